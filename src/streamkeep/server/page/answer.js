/**
 * Show one answer: fold the entries of a stream into the page.
 *
 * Everything that a model wrote is set as text, never as markup.
 */

/** Characters of an unknown block that are shown; its whole content is in the stream. */
const UNKNOWN_CHARACTERS = 4_000;

/** Milliseconds of thinking below which its duration is not worth a word. */
const SHORT_THOUGHT_MS = 200;

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 */
export function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== "") made.textContent = text;
  return made;
}

/** A part of the answer: an element around one text node, to which only the end is added. */
class Block {
  /** @type {HTMLElement} */
  element;
  isOpen = true;
  length = 0;
  #waiting = "";
  /** Where each entry's text ends: `[seq, length]`, so that a rewind can cut. @type {[number, number][]} */
  #marks = [];

  /**
   * @param {HTMLElement} root
   * @param {HTMLElement} body where the text goes.
   * @param {number} seq of the entry that began it.
   */
  constructor(root, body, seq) {
    this.element = root;
    this.seq = seq;
    this.body = body;
    this.text = document.createTextNode("");
    body.append(this.text);
    root.classList.add("open");
  }

  /** @param {number} seq @param {string} text */
  add(seq, text) {
    this.#waiting += text;
    this.length += text.length;
    this.#marks.push([seq, this.length]);
  }

  /** Put on the page what has come since the last time. */
  paint() {
    if (this.#waiting === "") return;
    this.text.appendData(this.#waiting);
    this.#waiting = "";
  }

  /** Take back what came after an entry. @param {number} seq */
  rewind(seq) {
    this.paint();
    while (this.#marks.length > 0 && this.#marks[this.#marks.length - 1][0] > seq) this.#marks.pop();
    this.length = this.#marks.length > 0 ? this.#marks[this.#marks.length - 1][1] : 0;
    this.text.data = this.text.data.slice(0, this.length);
  }

  close() {
    this.paint();
    this.isOpen = false;
    this.element.classList.remove("open");
  }

  /** The answer ended while this was open. */
  cut() {
    this.close();
  }
}

class TextBlock extends Block {
  /** @type {HTMLElement | null} */
  #sources = null;

  /** @param {number} seq */
  constructor(seq) {
    const body = element("div", "prose");
    body.dir = "auto";
    const root = element("div", "text");
    root.append(body);
    super(root, body, seq);
  }

  /** @param {any} citation */
  cite(citation) {
    if (!this.#sources) {
      this.#sources = element("ol", "sources");
      this.#sources.setAttribute("aria-label", "Sources");
      this.element.append(this.#sources);
    }
    const name = citation?.title ?? citation?.document_title ?? citation?.url ?? citation?.cited_text ?? "source";
    this.#sources.append(element("li", "", String(name)));
  }
}

class ThinkingBlock extends Block {
  #touched = false;

  /** @param {number} seq @param {boolean} timed @param {boolean} hidden */
  constructor(seq, timed, hidden) {
    const root = /** @type {HTMLDetailsElement} */ (element("details", "thinking"));
    const body = element("div", "thoughts");
    body.dir = "auto";
    super(root, body, seq);
    this.startedAt = timed ? performance.now() : 0;
    this.summary = element("summary", "", hidden ? "Thinking, kept hidden by the provider" : "Thinking…");
    this.summary.addEventListener("click", () => { this.#touched = true; });
    root.append(this.summary, body);
    root.open = !hidden;
  }

  /** The answer itself begins: fold, unless the reader has taken the matter in hand. */
  fold() {
    if (!this.#touched) /** @type {HTMLDetailsElement} */ (this.element).open = false;
  }

  close() {
    super.close();
    if (this.summary.textContent !== "Thinking…") return;
    const took = this.startedAt > 0 ? performance.now() - this.startedAt : 0;
    this.summary.textContent = took > SHORT_THOUGHT_MS ? `Thought for ${(took / 1000).toFixed(1)} s` : "Thought";
  }

  cut() {
    super.close();
    if (this.summary.textContent === "Thinking…") this.summary.textContent = "Thinking, cut off";
  }
}

class ToolBlock extends Block {
  /** @param {number} seq @param {any} block */
  constructor(seq, block) {
    const root = element("section", "tool");
    const head = element("header", "");
    const body = element("pre", "arguments");
    super(root, body, seq);
    body.tabIndex = 0;
    body.setAttribute("role", "group");
    body.setAttribute("aria-label", "Arguments");
    this.state = element("span", "state", "writing arguments…");
    head.append(element("span", "name", String(block.name ?? "tool")), this.state);
    root.setAttribute("aria-label", `Tool call ${block.name ?? ""}`);
    root.append(head, body);
    if (block.input && Object.keys(block.input).length > 0) this.add(seq, JSON.stringify(block.input));
  }

  paint() {
    super.paint();
    if (this.isOpen) this.body.scrollTop = this.body.scrollHeight;
  }

  close() {
    super.close();
    this.state.textContent = "arguments complete";
  }

  cut() {
    super.close();
    this.state.textContent = "cut off";
  }

  /** The answer ended here: somebody else has to run the tool. */
  handOver() {
    if (this.state.textContent === "arguments complete") this.state.textContent = "waiting for its result";
  }
}

class UnknownBlock extends Block {
  /** @param {number} seq @param {any} block */
  constructor(seq, block) {
    const root = element("details", "unknown");
    const body = element("pre", "arguments");
    super(root, body, seq);
    root.append(element("summary", "", String(block.type ?? "something new")), body);
    this.add(seq, JSON.stringify(block).slice(0, UNKNOWN_CHARACTERS));
  }
}

/** @param {number} seq @param {any} content @param {boolean} timed @returns {Block} */
function made(seq, content, timed) {
  const type = String(content?.type ?? "");
  if (type === "text") return new TextBlock(seq);
  if (type === "thinking") return new ThinkingBlock(seq, timed, false);
  if (type === "redacted_thinking") return new ThinkingBlock(seq, timed, true);
  if (type.endsWith("tool_use")) return new ToolBlock(seq, content);
  return new UnknownBlock(seq, content ?? {});
}

export class Answer {
  /** The blocks in their order, and by the index that the provider gave. @type {Block[]} */
  #blocks = [];
  /** @type {Map<number, Block>} */
  #byIndex = new Map();

  /**
   * @param {HTMLElement} container
   * @param {boolean} timed entries arrive as they are made, so that durations measured here are true.
   */
  constructor(container, timed) {
    this.container = container;
    this.timed = timed;
  }

  /** Characters that the model wrote so far, thinking and arguments included. */
  get characters() {
    return this.#blocks.reduce((sum, block) => sum + block.length, 0);
  }

  /** The answer's text alone, as it stands. */
  get text() {
    this.paint();
    const texts = this.#blocks.filter((block) => block instanceof TextBlock);
    return texts.map((block) => block.text.data).join("\n\n");
  }

  /** Take one entry; a name or a kind of delta that is not known changes nothing. @param {import("./reader.js").Entry} entry */
  apply({ seq, name, data }) {
    if (name === "content_block_start") this.#start(seq, data);
    else if (name === "content_block_delta") this.#delta(seq, data);
    else if (name === "content_block_stop") this.#byIndex.get(data.index)?.close();
    else if (name === "stream.seam" && Number.isInteger(data.rewind_to)) this.#rewind(data.rewind_to);
  }

  /** @param {number} seq @param {any} data */
  #start(seq, data) {
    const block = made(seq, data.content_block, this.timed);
    this.#byIndex.set(data.index, block);
    this.#blocks.push(block);
    this.container.append(block.element);
    if (block instanceof ToolBlock) this.#foldThinking();
    const given = data.content_block?.text;
    if (block instanceof TextBlock && given) this.#write(block, seq, given);
  }

  /** @param {number} seq @param {any} data */
  #delta(seq, data) {
    const block = this.#byIndex.get(data.index);
    const delta = data.delta ?? {};
    if (!block) return;
    if (delta.type === "citations_delta" && block instanceof TextBlock) block.cite(delta.citation);
    const written = delta.text ?? delta.thinking ?? delta.partial_json;
    if (typeof written === "string") this.#write(block, seq, written);
  }

  /** @param {Block} block @param {number} seq @param {string} written */
  #write(block, seq, written) {
    if (block instanceof TextBlock && block.length === 0 && written !== "") this.#foldThinking();
    block.add(seq, written);
  }

  #foldThinking() {
    for (const block of this.#blocks) if (block instanceof ThinkingBlock) block.fold();
  }

  /** @param {number} seq */
  #rewind(seq) {
    for (const block of this.#blocks.filter((each) => each.seq > seq)) block.element.remove();
    this.#blocks = this.#blocks.filter((block) => block.seq <= seq);
    for (const block of this.#blocks) block.rewind(seq);
  }

  /** Put everything that has arrived on the page. */
  paint() {
    for (const block of this.#blocks) if (block.isOpen) block.paint();
  }

  /** Nothing follows. @param {boolean} toolsWait the model stopped to have its tools run. */
  end(toolsWait) {
    for (const block of this.#blocks) {
      if (block.isOpen) block.cut();
      if (toolsWait && block instanceof ToolBlock) block.handOver();
    }
  }

  /** Forget everything, to be told it again. */
  reset() {
    for (const block of this.#blocks) block.element.remove();
    this.#blocks = [];
    this.#byIndex.clear();
    this.timed = false;
  }
}
