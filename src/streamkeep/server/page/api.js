/** Ask the server: each call answers with what it said, or throws a `Refusal` that a person can read. */

import { fullJitter } from "./backoff.js";
import { KEY_NEEDED, authorization } from "./key.js";

/** Milliseconds for one call to answer; none of these calls waits for a model. */
const CALL_MS = 20_000;

/** Tries of a call that may be repeated without doing it twice; the last waits stay below some seconds each. */
const TRIES = 6;
const RETRY_BASE_MS = 400;
const RETRY_CAP_MS = 5_000;

/** Characters of a request that browsers still send after the page is gone (64 KiB in bytes). */
const KEEPALIVE_CHARACTERS = 16_000;

/** Statuses that say "later", not "no". */
export const PASSING = new Set([408, 425, 429, 500, 502, 503, 504, 529]);

/** What the server answered instead of what was asked. Status 0: it did not answer at all. */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} code stable, for programs.
   * @param {string} message for a person.
   * @param {number} retryAfter milliseconds to wait at least.
   */
  constructor(status, code, message, retryAfter = 0) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** True if the same request may succeed later. */
  get passing() {
    return this.status === 0 || PASSING.has(this.status);
  }
}

/**
 * Give the full address of a path of this server, also where the server is mounted below a prefix.
 *
 * @param {string} path without a leading slash.
 */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/**
 * Read why a request was refused.
 *
 * @param {Response} response
 * @returns {Promise<Refusal>}
 */
export async function refusal(response) {
  if (response.status === 401) window.dispatchEvent(new Event(KEY_NEEDED));
  const body = await response.json().catch(() => null);
  const error = body?.error ?? {};
  const message = typeof error.message === "string" ? error.message : `The server answered with status ${response.status}.`;
  const code = String(error.code ?? error.type ?? `http_${response.status}`);
  return new Refusal(response.status, code, message, 1000 * (Number(response.headers.get("retry-after")) || 0));
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 */
async function call(path, options = {}) {
  let response;
  try {
    const headers = { ...options.headers, ...authorization() };
    response = await fetch(address(path), { cache: "no-store", signal: AbortSignal.timeout(CALL_MS), ...options, headers });
  } catch {
    throw new Refusal(0, "unreachable", "The server cannot be reached.");
  }
  if (!response.ok) throw await refusal(response);
  return response.json().catch(() => null);
}

/**
 * Repeat a call that is safe to repeat until it is answered or refused for good.
 *
 * @template T
 * @param {() => Promise<T>} attempt
 * @param {(error: Refusal) => boolean} mayRepeat asked before each further try.
 * @returns {Promise<T>}
 */
async function persist(attempt, mayRepeat) {
  for (let failures = 0; ; failures += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Refusal) || !error.passing || failures + 1 >= TRIES || !mayRepeat(error)) throw error;
      const wait = Math.max(error.retryAfter, fullJitter(failures, RETRY_BASE_MS, RETRY_CAP_MS));
      await new Promise((resume) => setTimeout(resume, wait));
    }
  }
}

/**
 * Start a stream. The id is the idempotency key too, so a repeated start is the same start.
 *
 * @param {{ id: string, prompt: string, model?: string }} request
 * @param {(error: Refusal) => boolean} mayRepeat
 */
export function startStream(request, mayRepeat) {
  const body = JSON.stringify(request);
  const headers = { "Content-Type": "application/json", "Idempotency-Key": request.id };
  const keepalive = body.length < KEEPALIVE_CHARACTERS;
  return persist(() => call("v1/streams", { method: "POST", headers, body, keepalive }), mayRepeat);
}

/** Ask a stream to stop; also before it exists. @param {string} id */
export function stopStream(id) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}", keepalive: true };
  return persist(() => call(`v1/streams/${encodeURIComponent(id)}/cancel`, options), () => true);
}

/** List the newest streams. @param {number} limit */
export async function listStreams(limit) {
  const page = await call(`v1/streams?limit=${limit}`);
  return Array.isArray(page?.data) ? page.data : [];
}

/** List the names of the models. @returns {Promise<string[]>} */
export async function listModels() {
  const page = await call("v1/models");
  return (Array.isArray(page?.data) ? page.data : []).map((model) => String(model.id));
}
