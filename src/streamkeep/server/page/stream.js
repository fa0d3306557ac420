/** The stream on the page: its question, its answer, its reader, and what is known about it. */

import { Refusal, address, startStream, stopStream } from "./api.js";
import { Answer, element } from "./answer.js";
import { recall } from "./prompts.js";
import { ENDINGS, Reader } from "./reader.js";
import { isFinal, nothingKnown, phaseOf, remarkOf } from "./status.js";

/** Milliseconds after asking in which "no such stream" may only mean that a reload overtook the start. */
const START_GRACE_MS = 5_000;

/** Milliseconds in which a late reader is given what was there before it came. */
const CATCH_UP_MS = 250;

export class ShownStream {
  facts = nothingKnown();
  /** @type {Reader | null} */
  #reader = null;
  #paintAsked = false;
  #isClosed = false;

  /**
   * @param {string} id
   * @param {object} options
   * @param {HTMLElement} options.transcript
   * @param {boolean} options.askedHere asked by this tab just now.
   * @param {(isOver: boolean) => void} options.onChange
   */
  constructor(id, { transcript, askedHere, onChange }) {
    this.id = id;
    this.openedAt = Date.now();
    this.onChange = onChange;
    this.prompt = recall(id)?.prompt ?? "";
    this.facts.askedHere = askedHere;
    this.facts.promptKnown = this.prompt !== "";
    this.facts.askedAt = this.openedAt;
    this.article = element("article", "answer");
    this.content = element("div", "content");
    this.remark = element("p", "remark");
    this.article.append(this.content, this.remark);
    this.answer = new Answer(this.content, askedHere);
    transcript.replaceChildren(...this.#question(), this.article);
    this.#describe();
  }

  #question() {
    if (this.prompt === "") return [];
    const article = element("article", "question");
    const body = element("div", "prose", this.prompt);
    body.dir = "auto";
    article.setAttribute("aria-label", "You asked");
    article.append(body);
    return [article];
  }

  get isOver() {
    return isFinal(phaseOf(this.facts));
  }

  /** Ask the server to start it, then follow it. @param {string} model "" for the server's own choice. */
  async start(model) {
    const request = { id: this.id, prompt: this.prompt, ...(model ? { model } : {}) };
    try {
      await startStream(request, () => this.#mayRepeatStart());
    } catch (error) {
      return this.#refuse(error);
    }
    this.#learn({ startRepeated: false });
    return this.follow();
  }

  #mayRepeatStart() {
    this.#learn({ startRepeated: true });
    return this.facts.stopAsked === "no" && !this.#isClosed;
  }

  /** Read it, from its start on. */
  async follow() {
    if (this.#isClosed) return;
    this.#reader = new Reader(address(`v1/streams/${encodeURIComponent(this.id)}/events`), {
      merged: !this.facts.askedHere,
      expectedUntil: (recall(this.id)?.at ?? 0) + START_GRACE_MS,
      onEntry: (entry) => this.#take(entry),
      onRestart: () => this.#restart(),
      onLink: (link) => this.#linked(link),
    });
    await this.#reader.run();
  }

  /** Ask for its end. It is over when its log says so. */
  async stop() {
    if (this.isOver || this.facts.stopAsked === "here") return;
    this.#learn({ stopAsked: "here", stopProblem: "" });
    try {
      await stopStream(this.id);
      this.#reader?.nudge();
    } catch (error) {
      this.#learn({ stopAsked: "no", stopProblem: error.message });
    }
  }

  /** Try again now, if a try is waiting. */
  nudge() {
    this.#reader?.nudge();
  }

  /** Take it off the page; it goes on without us. */
  close() {
    this.#isClosed = true;
    this.#reader?.close();
  }

  /** @param {import("./reader.js").Link} link */
  #linked(link) {
    if (link.state === "refused") return this.#refuse(link.error);
    const isBack = this.facts.link?.state === "lost" && link.state === "live";
    return this.#learn({ link, ...(isBack ? { resumedAt: Date.now() } : {}) });
  }

  /** @param {unknown} error */
  #refuse(error) {
    const refused = error instanceof Refusal ? error : new Refusal(0, "page_error", String(error));
    this.answer.end(false);
    this.#learn({ refused, startRepeated: false, endedAt: Date.now() });
  }

  #restart() {
    this.answer.reset();
    this.#learn({ firstAt: 0, characters: 0, charactersAtFirst: 0, usage: null, attempts: 0, resumedAt: 0 });
  }

  /** @param {import("./reader.js").Entry} entry */
  #take(entry) {
    const { name, data } = entry;
    this.answer.apply(entry);
    if (name === "stream.accepted" && !this.facts.askedHere) this.#began(data.created_at);
    else if (name === "stream.attempt") this.facts.attempts = Number(data.n) || this.facts.attempts + 1;
    else if (name === "content_block_delta") this.#wrote();
    else if (name === "message_delta") this.facts.usage = { ...this.facts.usage, ...data.usage };
    else if (name === "stream.cancel_requested" && this.facts.stopAsked === "no") this.#stopSeen();
    else if (ENDINGS.has(name)) this.#end(name, data);
    this.#paintSoon();
  }

  /** @param {unknown} createdAt RFC 3339, or seconds. */
  #began(createdAt) {
    const at = typeof createdAt === "number" ? createdAt * 1000 : Date.parse(String(createdAt));
    // A clock that runs ahead of ours must not make us wait a negative time.
    if (at < this.openedAt) this.facts.askedAt = at;
  }

  #wrote() {
    this.facts.firstAt ||= Date.now();
    this.facts.characters = this.answer.characters;
    const catchesUp = !this.facts.askedHere && Date.now() - this.facts.firstAt < CATCH_UP_MS;
    if (catchesUp) this.facts.charactersAtFirst = this.facts.characters;
  }

  #stopSeen() {
    const isNews = Date.now() - this.openedAt > CATCH_UP_MS;
    this.facts.stopAsked = isNews ? "elsewhere" : "earlier";
  }

  /** @param {string} name @param {any} data */
  #end(name, data) {
    this.answer.end(name === "stream.completed" && data.stop_reason === "tool_use");
    this.facts.characters = this.answer.characters;
    this.facts.ending = { name, data };
    this.facts.endedAt = Date.now();
  }

  /** Paint with the next frame; a tab that nobody sees has no frames. */
  #paintSoon() {
    if (document.hidden || this.isOver) return this.paint();
    if (this.#paintAsked) return undefined;
    this.#paintAsked = true;
    requestAnimationFrame(() => this.paint());
    return undefined;
  }

  /** Bring the page up to what is known. */
  paint() {
    this.#paintAsked = false;
    if (this.#isClosed) return;
    this.answer.paint();
    this.#describe();
    this.onChange(this.isOver);
  }

  #describe() {
    const phase = phaseOf(this.facts);
    this.article.setAttribute("aria-busy", String(!isFinal(phase)));
    this.article.setAttribute("aria-label", isFinal(phase) ? `Answer, ${phase}` : "Answer, streaming");
    this.article.dataset.phase = phase;
    this.remark.textContent = remarkOf(this.facts);
  }

  /** @param {Partial<import("./status.js").Facts>} news */
  #learn(news) {
    Object.assign(this.facts, news);
    this.paint();
  }
}
