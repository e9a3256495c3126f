/* The recorded drive that a model never learnt from: its frames, actions and codes.

   recorded(model) -> Promise<Recording>
     .count .codes[t] .actions[t]
     .picture(t)             ImageData of a frame
     .decibels(pixels, t)    PSNR of a picture (RGBA) against a frame
     .hold(z)                keeps a dreamt code within what the data know
   limits(recording)         how far the recorded driver pressed gas and brake */

import { fromRgb } from "../canvas.js";
import { unpacked } from "../floats.js";
import { ask } from "../net.js";
import { clamp } from "../numbers.js";

/** @typedef {import("../engine.js").Floats} Floats */
/** @typedef {import("../engine.js").Action} Action */

const FAR = 4; // standard deviations
const SURE = 0.01; // mean squared error, in levels, below which decibels would only count rounding

export class Recording {
  /**
   * @param {{count: number, size: number, mean: number[], std: number[]}} head
   * @param {ArrayBuffer} data
   */
  constructor(head, data) {
    const { count, size } = head;
    const d = head.mean.length;
    Object.assign(this, { count, size });
    this.count = count;
    this.size = size;
    this.mean = head.mean;
    this.std = head.std;
    const rows = (from, width) => Array.from({ length: count }, (_, t) => new Float32Array(data.slice(from + 4 * t * width, from + 4 * (t + 1) * width)));
    this.codes = rows(0, d);
    this.actions = /** @type {Action[]} */ (rows(4 * count * d, 3).map((row) => [...row]));
    this.frames = new Uint8Array(data, 4 * count * (d + 3));
  }

  /** @param {number} t */
  picture(t) {
    return fromRgb(this.frames, this.size, this.size, 3 * this.size ** 2 * t);
  }

  /**
   * @param {Uint8ClampedArray} pixels
   * @param {number} t
   */
  decibels(pixels, t) {
    const n = this.size ** 2;
    let error = 0;
    for (let i = 0, at = 3 * n * t; i < n; i++, at += 3) {
      for (let channel = 0; channel < 3; channel++) error += (pixels[4 * i + channel] - this.frames[at + channel]) ** 2;
    }
    return 10 * Math.log10(255 ** 2 / Math.max(SURE, error / (3 * n)));
  }

  /** @param {Floats} z */
  hold(z) {
    return z.map((value, i) => clamp(value, this.mean[i] - FAR * this.std[i], this.mean[i] + FAR * this.std[i]));
  }

  /** The hardest that gas and brake were pressed. */
  get limits() {
    return [1, 2].map((pedal) => Math.max(...this.actions.map((action) => action[pedal])));
  }
}

/** @param {import("../engine.js").Model} model */
export async function recorded(model) {
  const { head, data } = unpacked(await (await ask("api/drive", { model: model.name })).arrayBuffer());
  return new Recording(head, data);
}
