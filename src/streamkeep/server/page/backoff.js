/** How long to wait before the next try. */

/**
 * Give a random wait below a bound that doubles with each failure ("full jitter"): readers that lost a server together
 * do not come back together.
 *
 * @param {number} failures tries that failed before, from 0.
 * @param {number} base milliseconds; the bound of the first wait.
 * @param {number} cap milliseconds; no wait is longer.
 * @returns {number} milliseconds.
 */
export function fullJitter(failures, base, cap) {
  return Math.random() * Math.min(cap, base * 2 ** Math.min(failures, 20));
}
