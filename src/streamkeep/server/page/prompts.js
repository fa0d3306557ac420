/** Remember in this browser what was asked: the server gives out answers, not questions. */

const KEY = "streamkeep.prompts";

/** Prompts that are remembered; the list shows no more streams than that. */
const MOST = 50;

/** Characters of one prompt that are remembered, so that all fit a browser's 5 MB with room to spare. */
const LONGEST = 4_000;

/** @typedef {{ id: string, prompt: string, at: number }} Asked */

/** @returns {Asked[]} newest first; none where the browser keeps nothing. */
function all() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

/** @param {string} id @param {string} prompt */
export function remember(id, prompt) {
  const asked = { id, prompt: prompt.slice(0, LONGEST), at: Date.now() };
  try {
    localStorage.setItem(KEY, JSON.stringify([asked, ...all()].slice(0, MOST)));
  } catch {
    // A browser that keeps nothing shows the stream without its question.
  }
}

/** @param {string} id @returns {Asked | undefined} */
export function recall(id) {
  return all().find((asked) => asked.id === id);
}
