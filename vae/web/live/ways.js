/* Curved axes, as in vae/space/ways.py: z = at(value) + rest; moving keeps the rest.

   new Way({low, high, points, metric}, d)   points, metric: float32, base64
     .at(value)          the code there, straight between the points; beyond an end it is the end
     .value(z)           the nearest place on the curve
     .moved(z, value)    the code at another place */

import { decodeFloats } from "./floats.js";
import { clamp, dot } from "./numbers.js";

/** @typedef {import("./numbers.js").Numbers} Numbers */

export class Way {
  /** What was moved last. A hand moves on from there many times, and errors of reading would add up.
   * @type {{z: Numbers, value: number, rest: Float64Array} | null} */
  #last = null;

  constructor(json, d) {
    this.d = d;
    this.low = json.low;
    this.high = json.high;
    this.points = decodeFloats(json.points);
    this.count = this.points.length / d;
    this.step = (this.high - this.low) / (this.count - 1);
    const metric = decodeFloats(json.metric);
    /** @type {Float32Array[]} its columns */
    this.metric = Array.from({ length: d }, (_, j) => Float32Array.from({ length: d }, (_, i) => metric[i * d + j]));
    this.curve = Array.from({ length: this.count }, (_, place) => this.#measured(this.#point(place)));
  }

  /** @param {number} place */
  #point(place) {
    return this.points.subarray(place * this.d, (place + 1) * this.d);
  }

  /** @param {Numbers} z */
  #measured(z) {
    return Float64Array.from(this.metric, (column) => dot(column, z));
  }

  /** @param {number} value */
  at(value) {
    const place = (clamp(value, this.low, this.high) - this.low) / this.step;
    const before = Math.min(Math.floor(place), this.count - 2);
    const [a, b] = [this.#point(before), this.#point(before + 1)];
    return Float64Array.from(a, (v, i) => v + (place - before) * (b[i] - v));
  }

  /** @param {Numbers} z */
  value(z) {
    if (this.#last?.z === z) return this.#last.value;
    const here = this.#measured(z);
    const apart = this.curve.map((there) => there.reduce((sum, v, i) => sum + (v - here[i]) ** 2, 0));
    const nearest = apart.reduce((best, far, place) => (far < apart[best] ? place : best), 0);
    const place = clamp(nearest, 1, this.count - 2);
    const [left, there, right] = apart.slice(place - 1, place + 2);
    const off = clamp((left - right) / Math.max(2 * (left - 2 * there + right), 1e-12), -1, 1);
    return this.low + (place + off) * this.step;
  }

  /**
   * @param {Numbers} z
   * @param {number} value
   */
  moved(z, value) {
    const from = this.#last?.z === z ? null : this.at(this.value(z));
    const rest = from ? Float64Array.from(z, (v, i) => v - from[i]) : /** @type {any} */ (this.#last).rest;
    const to = this.at(value);
    const moved = Float32Array.from(rest, (v, i) => v + to[i]);
    this.#last = { z: moved, value: clamp(value, this.low, this.high), rest };
    return moved;
  }
}
