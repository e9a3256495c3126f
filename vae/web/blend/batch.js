/* Small pictures, many in one request.

   decodeAll(model, states)     Promise of an ImageData for each state; see engine.js for states
   tile(image, label, onclick)  a picture as a button */

import { fromRgb, painted } from "../live/canvas.js";
import { h } from "../live/dom.js";
import { joined } from "../live/floats.js";
import { ask, posted } from "../live/net.js";

/** @typedef {import("../live/engine.js").State} State */

/**
 * @param {import("../live/engine.js").Model} model
 * @param {State[]} states
 */
export async function decodeAll(model, states) {
  const offsets = states.some((state) => state.delta);
  const none = new Float32Array(model.levels * model.style_size);
  const names = [...new Set(states.flatMap(({ features = [] }) => features.map(({ id }) => id)))];
  /** @param {State} state */
  const shares = ({ features = [] }) => names.map((name) => features.find(({ id }) => id === name)?.share ?? 0);
  const body = joined(states.flatMap((state) => [state.levels ?? state.z ?? [], offsets ? state.delta ?? none : [], shares(state)]));
  /** @type {import("../live/net.js").Query} */
  const query = { model: model.name };
  if (model.levels) query.layout = "levels";
  if (offsets) query.offsets = 1;
  if (names.length) query.features = names.join();
  const response = await ask("api/decode", query, posted(body));
  const [count, height, width] = (response.headers.get("X-Image-Shape") ?? "").split(",").map(Number);
  const bytes = new Uint8Array(await response.arrayBuffer());
  return Array.from({ length: count }, (_, i) => fromRgb(bytes, width, height, 3 * i * height * width));
}

/**
 * @param {ImageData} image
 * @param {string} label
 * @param {() => void} onclick
 */
export function tile(image, label, onclick) {
  return h("button", { type: "button", class: "tile", "aria-label": label, title: label, onclick }, painted(image));
}
