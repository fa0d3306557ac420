/**
 * Cut the bytes of an event stream into messages, as the WHATWG HTML standard says (§9.2.6).
 *
 * Pure: no I/O, no clock. How the bytes are divided into chunks makes no difference.
 */

/** Characters of one line or of one message's data; a merged replay of a very long answer stays well below. */
const MAX_CHARACTERS = 32 * 1024 * 1024;

const LINE_END = /\r\n|\r|\n/g;

/** @typedef {{ event: string, data: string, id: string }} Message */

export class SseDecoder {
  /** Milliseconds that the server asks to wait before a reconnect, or null. @type {number | null} */
  retry = null;

  // A TextDecoder drops one leading byte order mark by itself and keeps the bytes of a divided character.
  #utf8 = new TextDecoder();
  #afterCarriageReturn = false;
  /** @type {string[]} */
  #unfinished = [];
  #unfinishedLength = 0;
  /** @type {string[]} */
  #data = [];
  #dataLength = 0;
  #event = "";
  #id = "";

  /**
   * Take the next bytes and give the messages that they complete.
   *
   * @param {Uint8Array} bytes
   * @returns {Message[]}
   * @throws {RangeError} if a line or a message is too long.
   */
  feed(bytes) {
    const messages = [];
    let text = this.#utf8.decode(bytes, { stream: true });
    if (text === "") return messages;
    if (this.#afterCarriageReturn && text[0] === "\n") text = text.slice(1);
    this.#afterCarriageReturn = text.endsWith("\r");
    let start = 0;
    for (const end of text.matchAll(LINE_END)) {
      const message = this.#line(this.#finish(text.slice(start, end.index)));
      if (message) messages.push(message);
      start = end.index + end[0].length;
    }
    this.#keep(text.slice(start));
    return messages;
  }

  /** @param {string} rest */
  #keep(rest) {
    this.#unfinishedLength += rest.length;
    if (this.#unfinishedLength > MAX_CHARACTERS) throw new RangeError("A line of the event stream is too long.");
    if (rest !== "") this.#unfinished.push(rest);
  }

  /** @param {string} end */
  #finish(end) {
    if (this.#unfinished.length === 0) return end;
    const line = this.#unfinished.join("") + end;
    this.#unfinished = [];
    this.#unfinishedLength = 0;
    return line;
  }

  /** @param {string} line */
  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#addData(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) {
      // What is greater is no exact number any more, and no time to wait.
      this.retry = Math.min(Number(value), Number.MAX_SAFE_INTEGER);
    }
    return null;
  }

  /** @param {string} value */
  #addData(value) {
    this.#dataLength += value.length;
    if (this.#dataLength > MAX_CHARACTERS) throw new RangeError("A message of the event stream is too long.");
    this.#data.push(value);
  }

  /** @returns {Message | null} */
  #dispatch() {
    const message = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
    const isEmpty = this.#data.length === 0;
    this.#data = [];
    this.#dataLength = 0;
    this.#event = "";
    return isEmpty ? null : message;
  }
}
