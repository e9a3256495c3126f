/* Requests to this app, below whatever path it lives, and its refusals as errors.

   address(path, query)          URL of "api/decode" or "ort/..." below the app's base
   ask(path, query, init)        Promise of the Response; throws Refused with the server's own sentence, or an Error where
                                 no answer comes
   askJson, askFloats(path, query, init)   the same, read: JSON, Float32Array
   posted(body)                  the `init` of a POST; an object that is no buffer and no file goes as JSON */

/** @typedef {Record<string, string | number>} Query */

// This file is BASE/web/live/net.js or BASE/web/@VERSION/live/net.js: the app may live below any path, so no address
// begins with a slash.
const BASE = new URL(/\/web\/@\w+\/live\//.test(import.meta.url) ? "../../../" : "../../", import.meta.url);

export class Refused extends Error {}

export const TOO_LARGE = "This file is larger than the server in front of the app lets through (413): use a smaller one, "
  + "or ask whoever runs the app to raise its limit (of nginx: client_max_body_size).";
export const CUT_OFF = "The file did not arrive whole: the line broke, or the server in front of the app takes none that large. "
  + "Try again, or use a smaller one.";
const LARGE = 2 ** 18; // bytes of a body from which on it may be the cause of a request that broke

/**
 * @param {string} path
 * @param {Query} [query]
 */
export function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, String(value));
  return url.href;
}

/**
 * @param {string} path
 * @param {Query} [query]
 * @param {RequestInit} [init]
 */
export async function ask(path, query = {}, init = {}) {
  const response = await fetch(address(path, query), init).catch(() => null);
  if (!response) throw new Error(size(init.body) > LARGE ? CUT_OFF : "The server does not answer; try again in a moment.");
  if (response.ok) return response;
  const answer = await response.json().catch(() => null);
  if (!answer?.error && response.status === 413) throw new Refused(TOO_LARGE);
  throw new Refused(answer?.error ?? `The server answered ${response.status}; reload the page.`);
}

/** @param {any} body */
const size = (body) => body?.size ?? body?.byteLength ?? body?.length ?? 0;

/** @type {(...request: Parameters<typeof ask>) => Promise<any>} */
export async function askJson(...request) {
  return (await ask(...request)).json();
}

/** @type {(...request: Parameters<typeof ask>) => Promise<Float32Array<ArrayBuffer>>} */
export async function askFloats(...request) {
  return new Float32Array(await (await ask(...request)).arrayBuffer());
}

/**
 * @param {any} body
 * @returns {RequestInit}
 */
export function posted(body) {
  const raw = ArrayBuffer.isView(body) || body instanceof Blob;
  return { method: "POST", body: raw ? /** @type {any} */ (body) : JSON.stringify(body) };
}
