/* Places of a view: where the dots lie, and on a linear view the formulas between codes and places.

   placed(answer)                what the server says of a view, packed -> {points, xy}; xy: Float32Array (2 N)
   project(points, z)            the place [x, y] of a code, on a linear view
   lift(points, z, x, y)         the code z moved to a place, and nothing else of it changed
   covariance(points, logvar)    [[a, b], [b, c]] of what the encoder believes, in map units */

import { decodeFloats } from "../live/floats.js";

/** @typedef {[number, number]} Place */
/** @typedef {import("../live/engine.js").Floats} Floats */
/**
 * @typedef {object} Points
 * @property {string} view
 * @property {number} count
 * @property {[string, string]} labels
 * @property {string} unit
 * @property {boolean} linear
 * @property {Floats} W read-outs, 2 x d; with D and origin, on linear views only
 * @property {Floats} D directions, 2 x d
 * @property {Floats} origin
 */

/** @param {{head: any, data: ArrayBuffer}} answer */
export function placed({ head, data }) {
  const raw = new Uint16Array(data);
  const xy = new Float32Array(raw.length);
  const [[x0, x1], [y0, y1]] = head.range;
  for (let i = 0; i < raw.length; i += 2) {
    xy[i] = x0 + ((x1 - x0) * raw[i]) / 65535;
    xy[i + 1] = y0 + ((y1 - y0) * raw[i + 1]) / 65535;
  }
  /** @type {Points} */
  const points = { ...head };
  if (head.linear) Object.assign(points, { W: decodeFloats(head.W), D: decodeFloats(head.D), origin: decodeFloats(head.origin) });
  return { points, xy };
}

/**
 * @param {Points} points
 * @param {Floats} z
 * @returns {Place}
 */
export function project({ W, origin }, z) {
  const d = z.length;
  let x = 0, y = 0;
  for (let i = 0; i < d; i++) {
    const v = z[i] - origin[i];
    x += W[i] * v;
    y += W[d + i] * v;
  }
  return [x, y];
}

/**
 * @param {Points} points
 * @param {Floats} z
 * @param {number} x
 * @param {number} y
 */
export function lift(points, z, x, y) {
  const { D } = points;
  const d = z.length;
  const [x0, y0] = project(points, z);
  return Float32Array.from(z, (v, i) => v + (x - x0) * D[i] + (y - y0) * D[d + i]);
}

/**
 * @param {Points} points
 * @param {Floats} logvar
 */
export function covariance({ W }, logvar) {
  const d = logvar.length;
  let [a, b, c] = [0, 0, 0];
  for (let i = 0; i < d; i++) {
    const v = Math.exp(logvar[i]);
    a += W[i] * W[i] * v;
    b += W[i] * W[d + i] * v;
    c += W[d + i] * W[d + i] * v;
  }
  return [[a, b], [b, c]];
}
