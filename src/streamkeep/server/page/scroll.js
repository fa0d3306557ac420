/** Keep the end in sight while text grows, until the reader scrolls up. */

/** Pixels from the end that still count as the end. */
const NEAR = 24;

export class StickyScroll {
  #sticks = true;
  #last = 0;

  /** @param {HTMLElement} box that scrolls. @param {HTMLButtonElement} button that leads back to the end. */
  constructor(box, button) {
    this.box = box;
    this.button = button;
    box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    button.addEventListener("click", () => this.stick());
  }

  /** Go to the end and stay there. */
  stick() {
    this.#sticks = true;
    this.follow();
  }

  /** Something was added. */
  follow() {
    if (this.#sticks) this.box.scrollTop = this.box.scrollHeight;
    this.#show();
  }

  // Only a movement upwards lets go: growth below the reader also changes the distance, but not the position.
  #scrolled() {
    const position = this.box.scrollTop;
    if (this.#distance() <= NEAR) this.#sticks = true;
    else if (position < this.#last) this.#sticks = false;
    this.#last = position;
    this.#show();
  }

  #distance() {
    return this.box.scrollHeight - this.box.clientHeight - this.box.scrollTop;
  }

  #show() {
    this.button.hidden = this.#sticks || this.#distance() <= NEAR;
  }
}
