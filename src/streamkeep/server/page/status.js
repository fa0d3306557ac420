/**
 * Say how a stream stands, in words and figures.
 *
 * The word is computed from the facts each time, so it cannot lag behind them: "done" needs the log's own ending, "stopped"
 * needs the server's confirmation. Figures of the server are shown plain, our own estimates with "~".
 */

/** Characters per token, about, in English; only for the estimate while the answer is being written. */
const CHARACTERS_PER_TOKEN = 4;

/** Milliseconds of writing below which a pace means nothing. */
const SHORTEST_PACE_MS = 400;

/** Milliseconds for which "resumed" is worth saying. */
const RESUMED_NEWS_MS = 4_000;

/**
 * What is known about the stream that is shown. Times are those of `Date.now()`, 0 for "not yet".
 *
 * @typedef {object} Facts
 * @property {number} askedAt when it was asked for, here or by the server's clock.
 * @property {boolean} askedHere
 * @property {boolean} promptKnown this browser remembers the question.
 * @property {number} firstAt when the first content came.
 * @property {number} charactersAtFirst characters that were there already when this tab came.
 * @property {number} characters
 * @property {number} attempts calls to the model so far.
 * @property {boolean} startRepeated the start had to be sent again.
 * @property {import("./reader.js").Link | null} link
 * @property {number} resumedAt when a lost connection was found again.
 * @property {"no" | "here" | "elsewhere" | "earlier"} stopAsked `earlier`: before this tab came, by whomever.
 * @property {string} stopProblem why our stop did not get through.
 * @property {{ name: string, data: any } | null} ending
 * @property {number} endedAt
 * @property {any} usage
 * @property {import("./api.js").Refusal | null} refused
 */

/** @returns {Facts} */
export function nothingKnown() {
  return {
    askedAt: 0, askedHere: false, promptKnown: false, firstAt: 0, charactersAtFirst: 0, characters: 0, attempts: 0,
    startRepeated: false, link: null, resumedAt: 0, stopAsked: "no", stopProblem: "",
    ending: null, endedAt: 0, usage: null, refused: null,
  };
}

/** @typedef {"connecting" | "waiting" | "streaming" | "stopping" | "reconnecting" | "done" | "stopped" | "failed" | "gone"} Phase */

const ENDING_PHASES = { "stream.completed": "done", "stream.failed": "failed", "stream.cancelled": "stopped" };

/** @param {Facts} facts @returns {Phase} */
export function phaseOf(facts) {
  if (facts.ending) return ENDING_PHASES[facts.ending.name];
  if (facts.refused) return facts.refused.status === 404 || facts.refused.status === 410 ? "gone" : "failed";
  if (facts.link?.state === "lost" || facts.startRepeated) return "reconnecting";
  if (facts.stopAsked !== "no") return "stopping";
  if (facts.firstAt > 0) return "streaming";
  return facts.askedHere || facts.link?.state === "live" ? "waiting" : "connecting";
}

/** Phases after which nothing changes any more. @param {Phase} phase */
export function isFinal(phase) {
  return phase === "done" || phase === "stopped" || phase === "failed" || phase === "gone";
}

/** @param {number} milliseconds */
export function seconds(milliseconds) {
  return `${(Math.max(0, milliseconds) / 1000).toFixed(1)} s`;
}

const STOP_REASONS = {
  max_tokens: "cut at max_tokens",
  model_context_window_exceeded: "cut where the context window ends",
  refusal: "the model declined",
  tool_use: "it waits for its tools",
  pause_turn: "the model paused its turn",
};

/** @type {Record<Phase, (facts: Facts, now: number) => string>} */
const WORDS = {
  connecting: () => "connecting",
  waiting: (facts, now) => `waiting ${seconds(now - facts.askedAt)}${attempts(facts)}`,
  streaming: (facts, now) =>
    facts.resumedAt > 0 && now - facts.resumedAt < RESUMED_NEWS_MS ? "streaming, resumed with nothing lost" : "streaming",
  stopping: (facts) => (facts.stopAsked === "elsewhere" ? "stopping…, asked from elsewhere" : "stopping…"),
  reconnecting,
  done: (facts) => ["done", STOP_REASONS[facts.ending?.data.stop_reason]].filter(Boolean).join(": "),
  stopped: (facts) => ({ here: "stopped by you", elsewhere: "stopped from elsewhere" })[facts.stopAsked] ?? "stopped",
  failed: (facts) => `failed: ${problemOf(facts).message}`,
  gone: (facts) => (facts.refused?.status === 410 ? "expired: this stream was kept for its time and is forgotten" : "not found: no stream has this address"),
};

/** @param {Facts} facts */
function attempts(facts) {
  return facts.attempts > 1 ? `, attempt ${facts.attempts}` : "";
}

/** @param {Facts} facts @param {number} now */
function reconnecting(facts, now) {
  if (facts.link?.state !== "lost") return "reconnecting";
  if (facts.link.retryAt === null) return "connection lost";
  const wait = facts.link.retryAt - now;
  return wait > 500 ? `reconnecting, next try in ${Math.ceil(wait / 1000)} s` : "reconnecting";
}

/** @param {Facts} facts @returns {{ message: string, code: string }} */
export function problemOf(facts) {
  const error = facts.ending?.data.error ?? facts.refused ?? {};
  return { message: String(error.message ?? "no reason was given"), code: String(error.code ?? "") };
}

/** @param {Facts} facts @param {number} now */
export function wordOf(facts, now) {
  const phase = phaseOf(facts);
  const word = WORDS[phase](facts, now);
  if (phase === "reconnecting" && facts.stopAsked === "here") return `${word}, the stop is on its way`;
  return facts.stopProblem && !isFinal(phase) ? `${word}, the stop did not get through: ${facts.stopProblem}` : word;
}

/**
 * Give the figures that are known: name → text.
 *
 * @param {Facts} facts
 * @param {number} now
 * @returns {{ ttft: string, pace: string, tokens: string, duration: string }}
 */
export function figuresOf(facts, now) {
  const timing = facts.ending?.data.timing ?? {};
  const usage = facts.ending?.data.usage ?? facts.usage ?? {};
  return {
    ttft: ttftOf(facts, timing),
    pace: paceOf(facts, timing, now),
    tokens: tokensOf(facts, usage),
    duration: durationOf(facts, timing, now),
  };
}

/** @param {Facts} facts @param {any} timing */
function ttftOf(facts, timing) {
  if (typeof timing.ttft_ms === "number") return `${(timing.ttft_ms / 1000).toFixed(2)} s`;
  const isMeasured = facts.askedHere && facts.firstAt > 0 && !facts.ending;
  return isMeasured ? `${((facts.firstAt - facts.askedAt) / 1000).toFixed(2)} s` : "";
}

/** @param {Facts} facts @param {any} timing @param {number} now */
function paceOf(facts, timing, now) {
  if (typeof timing.output_tokens_per_s === "number") return timing.output_tokens_per_s.toFixed(0);
  const writing = now - facts.firstAt;
  if (facts.ending || facts.firstAt === 0 || writing < SHORTEST_PACE_MS) return "";
  const seen = (facts.characters - facts.charactersAtFirst) / CHARACTERS_PER_TOKEN;
  return `~${(seen / (writing / 1000)).toFixed(0)}`;
}

/** @param {Facts} facts @param {any} usage */
function tokensOf(facts, usage) {
  if (facts.ending && typeof usage.output_tokens === "number") {
    return `${facts.ending.data.usage_estimated ? "~" : ""}${usage.output_tokens}`;
  }
  return facts.characters > 0 ? `~${Math.ceil(facts.characters / CHARACTERS_PER_TOKEN)}` : "";
}

/** @param {Facts} facts @param {any} timing @param {number} now */
function durationOf(facts, timing, now) {
  if (typeof timing.duration_ms === "number") return seconds(timing.duration_ms);
  if (facts.ending || facts.refused || facts.firstAt === 0) return "";
  return seconds(now - facts.askedAt);
}

/** Say under the answer how it ended, where that is not plain. @param {Facts} facts */
export function remarkOf(facts) {
  const phase = phaseOf(facts);
  const reason = facts.ending?.data.stop_reason;
  if (phase === "stopped") return facts.characters > 0 ? "Stopped here." : "Stopped before anything was written.";
  if (phase === "failed") {
    return facts.characters > 0 ? "The answer breaks off here. What came before is kept." : "Nothing was written.";
  }
  if (phase === "done" && reason === "max_tokens") return "Cut here: max_tokens is reached.";
  if (phase === "done" && reason === "refusal") return "The model declined to go on.";
  return "";
}

/** Say once, aloud, that an answer is over. @param {Facts} facts */
export function announcementOf(facts) {
  const tokens = facts.ending?.data.usage?.output_tokens;
  const amount = typeof tokens === "number" ? `, ${tokens} tokens` : "";
  const phase = phaseOf(facts);
  if (phase === "done") return `Answer finished${amount}.`;
  if (phase === "stopped") return `Answer stopped${amount}.`;
  return `Answer ${wordOf(facts, 0)}`;
}
