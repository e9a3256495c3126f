/* The small models of the lesson, out of one safetensors file (vae/training/lessons.py makes it).

   lessons()             Promise of Lessons, fetched once a page
     .model(name)        Model: .encode(x) {mu, sigma}, .decode(z), .codes(set) mu of all its digits
     .train .test .small Digits: .count .side .label(i) .x(i) Float32Array in [-1, 1]
     .about              what the file says: models with beta and figures */

import { halves } from "../live/floats.js";
import { ask } from "../live/net.js";
import { Layer } from "./trainer.js";

/** @typedef {Float32Array<ArrayBuffer>} Floats */
/** @typedef {{name: string, d: number, beta: number, variational: boolean, figures: Record<string, number>}} About */

export class Digits {
  /**
   * @param {Uint8Array} pixels
   * @param {Uint8Array} labels
   */
  constructor(pixels, labels) {
    this.labels = labels;
    this.count = labels.length;
    this.size = pixels.length / labels.length;
    this.side = Math.sqrt(this.size);
    this.all = Float32Array.from(pixels, (v) => v / 127.5 - 1);
  }

  /** @param {number} i */
  x(i) {
    return this.all.subarray(i * this.size, (i + 1) * this.size);
  }

  /** @param {number} i */
  label = (i) => this.labels[i];
}

export class Model {
  /** @type {Map<Digits, {mu: Floats, sigma: Floats}>} */
  #codes = new Map();

  /**
   * @param {About} about
   * @param {(name: string) => Floats} read
   */
  constructor(about, read) {
    this.about = about;
    this.d = about.d;
    const layer = (part, tanh) => {
      const [W, b] = [read(`${about.name}.${part}.weight`), read(`${about.name}.${part}.bias`)];
      return Object.assign(new Layer(W.length / b.length, b.length, tanh), { W, b });
    };
    this.up = layer("encoder.0", true);
    this.code = layer("encoder.2", false);
    this.down = layer("decoder.0", true);
    this.out = layer("decoder.2", true);
  }

  /** @param {ArrayLike<number>} x */
  encode(x) {
    const { d } = this;
    const numbers = this.code.run(this.up.run(x));
    const sigma = (v) => Math.exp(0.5 * Math.max(-12, Math.min(8, v)));
    return {
      mu: numbers.slice(0, d),
      sigma: Float32Array.from({ length: d }, (_, j) => (this.about.variational ? sigma(numbers[d + j]) : 0)),
    };
  }

  /** @param {ArrayLike<number>} z */
  decode(z) {
    return this.out.run(this.down.run(z)).slice();
  }

  /**
   * Slopes of L(x, decode(z)) by z.
   * @param {ArrayLike<number>} x
   * @param {ArrayLike<number>} z
   */
  slopes(x, z) {
    const y = this.out.run(this.down.run(z));
    const dy = Float32Array.from(y, (v, p) => v - x[p]);
    return this.down.back(z, this.out.back(this.down.y, dy));
  }

  /** @param {Digits} digits */
  codes(digits) {
    let known = this.#codes.get(digits);
    if (!known) {
      known = { mu: new Float32Array(digits.count * this.d), sigma: new Float32Array(digits.count * this.d) };
      for (let i = 0; i < digits.count; i++) {
        const { mu, sigma } = this.encode(digits.x(i));
        known.mu.set(mu, i * this.d);
        known.sigma.set(sigma, i * this.d);
      }
      this.#codes.set(digits, known);
    }
    return known;
  }
}

export class Lessons {
  /** @type {Map<string, Model>} */
  #models = new Map();

  /** @param {ArrayBuffer} file */
  constructor(file) {
    const length = Number(new DataView(file).getBigUint64(0, true));
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, length)));
    this.about = JSON.parse(head.__metadata__.lessons);
    /** @param {string} name */
    const bytes = (name) => {
      const [from, to] = head[name].data_offsets;
      return file.slice(8 + length + from, 8 + length + to);
    };
    this.read = (name) => halves(bytes(name));
    const digits = (set) =>
      new Digits(new Uint8Array(bytes(`${set}.pictures`)), new Uint8Array(bytes(`${set}.labels`)));
    this.train = digits("train");
    this.test = digits("test");
    this.small = digits("small");
  }

  /** @param {string} name */
  model(name) {
    let known = this.#models.get(name);
    if (!known) {
      const about = this.about.models.find((each) => each.name === name);
      known = new Model(about, this.read);
      this.#models.set(name, known);
    }
    return known;
  }
}

/** @type {Promise<Lessons> | null} */
let loading = null;

export function lessons() {
  loading ??= ask("api/learn/lessons").then(async (answer) => new Lessons(await answer.arrayBuffer()));
  loading.catch(() => (loading = null)); // a failure is never kept
  return loading;
}
