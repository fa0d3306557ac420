/** Keep the key of a server that asks for one, for as long as the tab lives. */

const KEPT_AS = "streamkeep.key";

/** Sent to the window when the server refused for want of a key. */
export const KEY_NEEDED = "streamkeep:key-needed";

let key = "";
try {
  key = sessionStorage.getItem(KEPT_AS) ?? "";
} catch {
  // Where the browser keeps nothing, the key is asked for after each reload.
}

/** @param {string} given */
export function useKey(given) {
  key = given;
  try {
    sessionStorage.setItem(KEPT_AS, given);
  } catch {
    // As above.
  }
}

/** Give the headers that carry the key. @returns {Record<string, string>} */
export function authorization() {
  return key === "" ? {} : { Authorization: `Bearer ${key}` };
}
