/** Put the page together: the composer, the stream that the address names, its status, and the list. */

import { listModels } from "./api.js";
import { KEY_NEEDED, useKey } from "./key.js";
import { remember } from "./prompts.js";
import { Recent, titleOf } from "./recent.js";
import { StickyScroll } from "./scroll.js";
import { StatusBar } from "./status_bar.js";
import { ShownStream } from "./stream.js";

/** Milliseconds between two looks at the clock while an answer is being written. */
const TICK_MS = 100;

/** Milliseconds after which an ending is news and not history. */
const NEWS_MS = 1_000;

const ID = /^[A-Za-z0-9_-]{1,64}$/;

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

const composer = byId("composer");
const prompt = byId("prompt");
const model = byId("model");
const transcript = byId("transcript");
const welcome = byId("welcome");
const unlock = byId("unlock");
const key = byId("key");
const announcer = byId("announcer");
const drawer = byId("drawer");
const menu = byId("menu");

const scroll = new StickyScroll(byId("scroll"), byId("latest"));
const recent = new Recent(byId("recent"), byId("recent-note"));
const status = new StatusBar(byId("status"));

/** @type {ShownStream | null} */
let shown = null;
let ticking = 0;

/** @param {string} id @param {boolean} askedHere */
function show(id, askedHere) {
  clear();
  welcome.hidden = true;
  shown = new ShownStream(id, { transcript, askedHere, onChange });
  document.title = `${titleOf(id)} · Streamkeep`;
  recent.mark(id);
  scroll.stick();
  ticking = setInterval(tick, TICK_MS);
  return shown;
}

function clear() {
  clearInterval(ticking);
  shown?.close();
  shown = null;
  transcript.replaceChildren();
  welcome.hidden = false;
  status.hide();
  recent.mark("");
  document.title = "Streamkeep";
}

function tick() {
  if (shown) status.show(shown.facts, Date.now());
}

/** @param {boolean} isOver */
function onChange(isOver) {
  tick();
  scroll.follow();
  if (!isOver || ticking === 0 || !shown) return;
  clearInterval(ticking);
  ticking = 0;
  if (Date.now() - shown.openedAt > NEWS_MS || shown.facts.askedHere) announcer.textContent = status.announcement(shown.facts);
  recent.refresh();
}

/** @param {string} text */
function send(text) {
  const asked = text.trim();
  if (asked === "") return;
  const id = `page_${crypto.randomUUID().replaceAll("-", "")}`;
  remember(id, asked);
  prompt.value = "";
  fit();
  announcer.textContent = "";
  const stream = show(id, true);
  history.pushState(null, "", `#${id}`);
  stream.start(model.value.trim());
  setTimeout(() => recent.refresh(), 300);
}

/** Show the stream that the address names. */
function showAddress() {
  const id = location.hash.slice(1);
  if (shown?.id === id) return;
  closeDrawer();
  if (!ID.test(id)) return clear();
  show(id, false).follow();
}

function begin() {
  history.pushState(null, "", location.pathname + location.search);
  clear();
  closeDrawer();
  prompt.focus();
}

async function offerModels() {
  const names = await listModels().catch(() => []);
  byId("models").replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name })));
  if (model.value === "" && names.length > 0) model.value = names[0];
}

/** Grow the composer with its text, where the browser does not do it by itself. */
function fit() {
  if (CSS.supports("field-sizing", "content")) return;
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight}px`;
}

function closeDrawer() {
  drawer.classList.remove("shown");
  menu.setAttribute("aria-expanded", "false");
}

function toggleDrawer() {
  const isShown = drawer.classList.toggle("shown");
  menu.setAttribute("aria-expanded", String(isShown));
  if (isShown) byId("new").focus();
}

/** Give the focus back to the composer; on a touch screen that would bring up the keyboard. */
function attend() {
  if (matchMedia("(hover: hover)").matches) prompt.focus();
}

/** @param {HTMLElement} button @param {string} text */
async function copy(button, text) {
  const label = button.textContent;
  const isCopied = await navigator.clipboard.writeText(text).then(() => true, () => false);
  button.textContent = isCopied ? "Copied" : "Not allowed";
  setTimeout(() => { button.textContent = label; }, 1_500);
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.key !== "Escape" || event.isComposing) return;
  if (drawer.classList.contains("shown")) {
    closeDrawer();
    menu.focus();
  } else shown?.stop();
}

function askForKey() {
  if (!unlock.hidden) return;
  unlock.hidden = false;
  key.focus();
}

/** Try again, with the key, what was refused without it. */
function unlocked() {
  useKey(key.value.trim());
  key.value = "";
  unlock.hidden = true;
  offerModels();
  recent.refresh();
  attend();
  if (shown?.facts.refused?.status !== 401) return;
  if (shown.facts.askedHere) send(shown.prompt);
  else show(shown.id, false).follow();
}

/** The tab is seen again, or the network is back: what is on the page may be old. */
function wakeUp() {
  if (document.hidden) return;
  shown?.paint();
  shown?.nudge();
  recent.refresh();
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  send(prompt.value);
  attend();
});
unlock.addEventListener("submit", (event) => {
  event.preventDefault();
  unlocked();
});
window.addEventListener(KEY_NEEDED, askForKey);
prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});
prompt.addEventListener("input", fit);
document.addEventListener("keydown", onKey);
byId("stop").addEventListener("click", () => { shown?.stop(); attend(); });
byId("again").addEventListener("click", () => { send(shown?.prompt ?? ""); attend(); });
byId("copy").addEventListener("click", (event) => copy(event.currentTarget, shown?.answer.text ?? ""));
byId("reconnect").addEventListener("click", () => { shown?.nudge(); attend(); });
byId("latest").addEventListener("click", attend);
byId("new").addEventListener("click", begin);
menu.addEventListener("click", toggleDrawer);
byId("recent").addEventListener("click", closeDrawer);
byId("shade").addEventListener("click", closeDrawer);
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => { send(example.textContent ?? ""); attend(); });
}
window.addEventListener("hashchange", showAddress);
window.addEventListener("popstate", showAddress);
window.addEventListener("online", wakeUp);
window.addEventListener("pageshow", (event) => { if (event.persisted) wakeUp(); });
document.addEventListener("visibilitychange", () => (document.hidden ? shown?.paint() : wakeUp()));

offerModels();
showAddress();
recent.refresh();
