/** Show the status: the word, the figures, and the buttons that make sense now. */

import { announcementOf, figuresOf, isFinal, phaseOf, problemOf, wordOf } from "./status.js";

export class StatusBar {
  /** @param {HTMLElement} bar */
  constructor(bar) {
    /** @param {string} name @returns {any} */
    const part = (name) => bar.querySelector(`#${name}`);
    this.bar = bar;
    this.word = part("word");
    this.code = part("code");
    this.figures = { ttft: part("ttft"), pace: part("pace"), tokens: part("tokens"), duration: part("duration") };
    this.stop = part("stop");
    this.again = part("again");
    this.copy = part("copy");
    this.reconnect = part("reconnect");
  }

  hide() {
    this.bar.hidden = true;
  }

  /** @param {import("./status.js").Facts} facts @param {number} now */
  show(facts, now) {
    const phase = phaseOf(facts);
    this.bar.hidden = false;
    this.bar.dataset.phase = phase;
    write(this.word, wordOf(facts, now));
    write(this.code, phase === "failed" ? problemOf(facts).code : "");
    for (const [name, text] of Object.entries(figuresOf(facts, now))) this.#figure(name, text);
    this.#buttons(facts, isFinal(phase));
  }

  /** @param {string} name @param {string} text */
  #figure(name, text) {
    write(this.figures[name], text);
    this.figures[name].parentElement.hidden = text === "";
  }

  /** @param {import("./status.js").Facts} facts @param {boolean} isOver */
  #buttons(facts, isOver) {
    // Copy takes Stop's place: a second click that comes too late does no harm.
    this.stop.hidden = isOver;
    this.stop.disabled = facts.stopAsked === "here";
    this.again.hidden = !isOver || !facts.promptKnown;
    this.copy.hidden = !isOver || facts.characters === 0;
    this.reconnect.hidden = isOver || facts.link?.state !== "lost";
  }

  /** @param {import("./status.js").Facts} facts */
  announcement(facts) {
    return announcementOf(facts);
  }
}

/** Touch the page only where it changes. @param {HTMLElement} place @param {string} text */
function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
