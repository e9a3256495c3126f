/* Follow a refinement as the server streams it: GET /api/refine/ID, frames of uint32 length, a JSON line, float32 offsets, pictures.

   follow(id, {onstep, onend}) -> cancel()
     onstep({step, total, psnr, delta, picture, features})   delta: Float32Array (n L S); psnr in decibels and picture (RGB)
                                          of the first photo; features: names of what was found beyond the styles, at the end
     onend(state, error)                  state: "done" | "cancelled" | "failed" */

import { ask, Refused } from "./net.js";

const LOST = "The refinement could not be followed; load the photo again to repeat it.";

/** @typedef {{step: number, total: number, psnr: number, delta: Float32Array, picture: Uint8Array, features: string[]}} Step */

/**
 * @param {string} id
 * @param {{onstep: (step: Step) => void, onend: (state: string, error?: string) => void}} handlers
 * @returns {() => void}
 */
export function follow(id, { onstep, onend }) {
  const url = `api/refine/${encodeURIComponent(id)}`;
  let cancelled = false;
  read(url, onstep).then(
    ({ state, error }) => onend(cancelled ? "cancelled" : state, error),
    (error) => onend("failed", error instanceof Refused ? error.message : LOST),
  );
  return () => {
    cancelled = true;
    ask(`${url}/cancel`, {}, { method: "POST" }).catch(() => {});
  };
}

/**
 * @param {string} url
 * @param {(step: Step) => void} onstep
 * @returns {Promise<{state: string, error: string}>}
 */
async function read(url, onstep) {
  const response = await ask(url);
  if (!response.body) throw new Error(LOST);
  const reader = response.body.getReader();
  let held = new Uint8Array(0);
  let last = { state: "failed", error: "" };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return last;
    const joined = new Uint8Array(held.length + value.length);
    joined.set(held);
    joined.set(value, held.length);
    held = joined;
    while (held.length >= 4) {
      const length = new DataView(held.buffer, held.byteOffset).getUint32(0, true);
      if (held.length < 4 + length) break;
      const payload = held.slice(4, 4 + length);
      held = held.slice(4 + length);
      const line = payload.indexOf(10);
      const head = JSON.parse(new TextDecoder().decode(payload.subarray(0, line)));
      last = head;
      if (!head.offsets) continue;
      const split = line + 1 + 4 * head.offsets;
      const pictures = payload.subarray(split);
      onstep({ ...head, psnr: head.psnr[0], delta: new Float32Array(payload.slice(line + 1, split).buffer),
        picture: pictures.subarray(0, pictures.length / head.psnr.length) });
    }
  }
}
