/** List the newest streams beside the answer. */

import { listStreams } from "./api.js";
import { element } from "./answer.js";
import { recall } from "./prompts.js";

/** Streams in the list. */
const MOST = 30;

/** Milliseconds between two looks at the list, while the page is seen. */
const REFRESH_MS = 8_000;

/** Characters of a prompt that make a title; the page cuts it to the line. */
const TITLE_CHARACTERS = 120;

const STATES = { open: "writing", cancelling: "stopping", completed: "done", failed: "failed", cancelled: "stopped" };

/** Give the one line by which a stream is known. @param {string} id */
export function titleOf(id) {
  const asked = recall(id)?.prompt.trim().replace(/\s+/g, " ");
  return asked ? asked.slice(0, TITLE_CHARACTERS) : `Stream ${id.replace(/^page_/, "").slice(0, 12)}`;
}

/** @param {string} createdAt RFC 3339. */
function ageOf(createdAt) {
  const passed = (Date.now() - Date.parse(createdAt)) / 1000;
  if (!(passed >= 5)) return "now";
  if (passed < 60) return `${Math.floor(passed)} s ago`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86_400) return `${Math.floor(passed / 3600)} h ago`;
  return `${Math.floor(passed / 86_400)} d ago`;
}

class Row {
  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.item = element("li", "");
    this.link = /** @type {HTMLAnchorElement} */ (element("a", ""));
    this.title = element("span", "title");
    this.meta = element("span", "meta");
    this.link.href = `#${id}`;
    this.link.append(this.title, this.meta);
    this.item.append(this.link);
  }

  /** @param {any} stream @param {boolean} isShown */
  show(stream, isShown) {
    this.title.textContent = titleOf(stream.id);
    this.meta.textContent = [STATES[stream.state] ?? stream.state, ageOf(stream.created_at), stream.model].filter(Boolean).join(" · ");
    this.link.dataset.state = stream.state;
    if (isShown) this.link.setAttribute("aria-current", "true");
    else this.link.removeAttribute("aria-current");
  }
}

export class Recent {
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {any[]} */
  #streams = [];
  #shownId = "";
  #timer = 0;

  /** @param {HTMLElement} list @param {HTMLElement} note */
  constructor(list, note) {
    this.list = list;
    this.note = note;
  }

  /** Mark the stream that is on the page. @param {string} id */
  mark(id) {
    this.#shownId = id;
    this.#render();
  }

  /** Ask the server now, and again from time to time. */
  async refresh() {
    clearTimeout(this.#timer);
    if (!document.hidden) await this.#load();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), REFRESH_MS);
  }

  async #load() {
    try {
      this.#streams = await listStreams(MOST);
      this.note.textContent = this.#streams.length > 0 ? "" : "Nothing yet.";
    } catch (error) {
      this.note.textContent = error.status === 401 ? "The list needs the key." : `The list cannot be read now. ${error.message}`;
    }
    this.#render();
  }

  #render() {
    const rows = this.#streams.map((stream) => this.#row(stream));
    this.#rows = new Map(rows.map((row) => [row.id, row]));
    const isSame = rows.length === this.list.children.length && rows.every((row, at) => this.list.children[at] === row.item);
    // Moving a link would take the focus from it.
    if (!isSame) this.list.replaceChildren(...rows.map((row) => row.item));
  }

  /** @param {any} stream */
  #row(stream) {
    const row = this.#rows.get(stream.id) ?? new Row(stream.id);
    row.show(stream, stream.id === this.#shownId);
    return row;
  }
}
