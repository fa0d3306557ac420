/**
 * Follow one stream: connect, read, lose the connection, come back at the same place.
 *
 * Laws
 *   1. Each entry is given once, in order. The cursor moves after an entry was given, never before.
 *   2. A body that ends without an ending is a broken connection.
 *   3. A gap in the numbers is not shown over: the stream is read again from its start.
 */

import { PASSING, Refusal, refusal } from "./api.js";
import { fullJitter } from "./backoff.js";
import { authorization } from "./key.js";
import { SseDecoder } from "./sse.js";

/** Milliseconds without a byte until the connection counts as dead; the server sends a heartbeat every 15 s. */
const SILENCE_MS = 45_000;

/** Milliseconds without a byte that are suspicious when a tab wakes up: more than one heartbeat. */
const STALE_MS = 20_000;

/** Milliseconds; the first wait's bound unless the server asks for another, and the longest wait. */
const RETRY_BASE_MS = 1_000;
const RETRY_FLOOR_MS = 100;
const RETRY_CAP_MS = 15_000;

/** Milliseconds of a lasting outage after which the page stops trying by itself. */
const OUTAGE_MS = 10 * 60_000;

/** Times that one stream is read again from its start; more means that server and page disagree. */
const MAX_RESTARTS = 3;

export const ENDINGS = new Set(["stream.completed", "stream.failed", "stream.cancelled"]);

/** @typedef {{ seq: number, name: string, data: any }} Entry */
/**
 * What happened to the connection. `lost`: the next try is at `retryAt` (a time of `Date.now()`), or none by itself.
 *
 * @typedef {{ state: "connecting" | "live" | "ended" }
 *   | { state: "lost", retryAt: number | null }
 *   | { state: "refused", error: Refusal }} Link
 */

export class Reader {
  #cursor = "";
  #seq = 0;
  #restarts = 0;
  #failures = 0;
  #lostSince = 0;
  #lastByteAt = 0;
  #retryBase = RETRY_BASE_MS;
  #ended = false;
  /** What was given is void, but stays on the page until its replacement begins to arrive. */
  #isVoid = false;
  #closed = false;
  /** @type {AbortController | null} */
  #connection = null;
  /** @type {(() => void) | null} */
  #wake = null;

  /**
   * @param {string} url of the stream's events.
   * @param {object} options
   * @param {boolean} options.merged join what is already there into few messages: the numbers then have gaps.
   * @param {number} options.expectedUntil a time of `Date.now()` until which 404 means "not yet".
   * @param {(entry: Entry) => void} options.onEntry
   * @param {() => void} options.onRestart everything given so far is void; it comes again.
   * @param {(link: Link) => void} options.onLink
   */
  constructor(url, { merged, expectedUntil, onEntry, onRestart, onLink }) {
    this.url = url;
    this.merged = merged;
    this.expectedUntil = expectedUntil;
    this.onEntry = onEntry;
    this.onRestart = onRestart;
    this.onLink = onLink;
  }

  /** Follow until the stream's ending, a refusal, or `close()`. */
  async run() {
    this.onLink({ state: "connecting" });
    while (!this.#closed) {
      const problem = await this.#connect();
      if (this.#closed) return;
      if (this.#ended) return this.onLink({ state: "ended" });
      if (problem.status !== 0 && !this.#passes(problem)) return this.onLink({ state: "refused", error: problem });
      await this.#pause(problem.retryAfter);
    }
  }

  /** Stop following; the stream itself goes on. */
  close() {
    this.#closed = true;
    this.#connection?.abort();
    this.#wake?.();
  }

  /** Something changed (the tab woke up, the network is back): do not wait, and do not trust a silent connection. */
  nudge() {
    if (this.#wake) this.#wake();
    else if (Date.now() - this.#lastByteAt > STALE_MS) this.#connection?.abort();
  }

  /** @param {Refusal} problem */
  #passes(problem) {
    return PASSING.has(problem.status) || (problem.status === 404 && Date.now() < this.expectedUntil);
  }

  /** Make one connection and read it to its end. @returns {Promise<Refusal>} why it ended. */
  async #connect() {
    this.#connection = new AbortController();
    this.#lastByteAt = Date.now();
    try {
      const response = await this.#request(this.#connection.signal);
      if (response.status === 204) return this.#nothingMore();
      if (response.status === 409) return this.#cursorRefused(await refusal(response));
      if (!response.ok) return await refusal(response);
      if (!response.headers.get("content-type")?.startsWith("text/event-stream")) return broken("no event stream");
      return (await this.#read(response.body.getReader())) ?? broken("the body ended");
    } catch (error) {
      return error instanceof RangeError ? new Refusal(422, "stream_unreadable", error.message) : broken(String(error));
    } finally {
      this.#connection.abort();
    }
  }

  /** @param {AbortSignal} signal */
  async #request(signal) {
    const headers = { Accept: "text/event-stream", ...authorization() };
    if (this.#cursor !== "") headers["Last-Event-ID"] = this.#cursor;
    const query = this.#joins() ? "?catchup=merged" : "";
    const watchdog = setTimeout(() => this.#connection?.abort(), SILENCE_MS);
    try {
      return await fetch(this.url + query, { headers, signal, cache: "no-store" });
    } finally {
      clearTimeout(watchdog);
    }
  }

  /** Only a first read is joined; after a break the exact entries are asked for, so that a gap would show. */
  #joins() {
    return this.merged && this.#cursor === "";
  }

  /** @param {ReadableStreamDefaultReader<Uint8Array>} body @returns {Promise<Refusal | undefined>} */
  async #read(body) {
    const decoder = new SseDecoder();
    const gapless = !this.#joins();
    this.onLink({ state: "live" });
    while (!this.#ended && !this.#closed) {
      const { done, value } = await this.#chunk(body);
      if (done) return undefined;
      this.#lastByteAt = Date.now();
      this.#lostSince = 0;
      for (const message of decoder.feed(value)) {
        if (this.#ended || this.#closed) return undefined;
        if (!this.#take(message, gapless)) return this.#restart();
      }
      if (decoder.retry !== null) this.#retryBase = Math.min(Math.max(decoder.retry, RETRY_FLOOR_MS), RETRY_CAP_MS);
    }
    return undefined;
  }

  /** @param {ReadableStreamDefaultReader<Uint8Array>} body */
  async #chunk(body) {
    const watchdog = setTimeout(() => this.#connection?.abort(), SILENCE_MS);
    try {
      return await body.read();
    } finally {
      clearTimeout(watchdog);
    }
  }

  /**
   * @param {import("./sse.js").Message} message
   * @param {boolean} gapless
   * @returns {boolean} false if entries are missing before this one.
   */
  #take(message, gapless) {
    const seq = Number(message.id.slice(message.id.lastIndexOf(".") + 1));
    if (!Number.isInteger(seq) || seq <= this.#seq) return true;
    if (gapless && seq !== this.#seq + 1) return false;
    if (this.#isVoid) this.onRestart();
    this.#isVoid = false;
    this.onEntry({ seq, name: message.event, data: parsed(message.data) });
    this.#cursor = message.id;
    this.#seq = seq;
    this.#failures = 0;
    this.#ended = ENDINGS.has(message.event);
    return true;
  }

  /** 204 is the answer to a reader that has the ending; one that has not must have been misled. */
  #nothingMore() {
    return this.#restart() ?? broken("nothing more");
  }

  /** @param {Refusal} problem */
  #cursorRefused(problem) {
    return problem.code.startsWith("cursor_") ? (this.#restart() ?? broken(problem.code)) : problem;
  }

  /** Forget what was read, to read it again. @returns {Refusal | undefined} if that was done too often. */
  #restart() {
    this.#restarts += 1;
    if (this.#restarts > MAX_RESTARTS) {
      return new Refusal(409, "stream_inconsistent", "The server's log of this stream does not fit what it sent before.");
    }
    this.#cursor = "";
    this.#seq = 0;
    this.merged = true;
    this.#isVoid = true;
    return undefined;
  }

  /** @param {number} atLeast milliseconds. */
  async #pause(atLeast) {
    const now = Date.now();
    this.#lostSince ||= now;
    const wait = Math.max(atLeast, fullJitter(this.#failures, this.#retryBase, RETRY_CAP_MS));
    this.#failures += 1;
    const givenUp = now - this.#lostSince > OUTAGE_MS;
    this.onLink({ state: "lost", retryAt: givenUp ? null : now + wait });
    await new Promise((resume) => {
      this.#wake = () => resume(undefined);
      if (!givenUp) setTimeout(this.#wake, wait);
    });
    this.#wake = null;
  }
}

/** @param {string} why */
function broken(why) {
  return new Refusal(0, "connection_lost", why);
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}
