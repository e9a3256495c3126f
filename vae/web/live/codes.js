/* Codes and axes in the browser: the same formulas as vae/space/latent.py.

   new Geometry(json)      json: the answer of /api/axes
     .mean .std .cov .kl   Float32Array, d numbers (cov d x d)
     .bases                Map name -> {name, title, axes, rows, W, D, index: Map id -> row}
     .values(basis, z)     slider read-outs s = W (z - mean), in sigma; of a curve the nearest place on it
     .move(z, basis, row, value, locks)   new code with exactly `value` on the axis, locked read-outs unchanged;
                           locks: [{basis, row}]; null where the locks hold all of the axis
     .hold(z, locks, before)              the code nearest to z (in the data's metric) with the locked read-outs of `before`
     .pack(z) / .unpack(text)             16-bit fixed point, base64url, as in links; clipped to 6 standard deviations
     .settle(z)            unpack(pack(z)): the code that a link gives back, bit for bit
   geometry(model, version)   Promise of the Geometry of a model, fetched once a page */

import { decodeDoubles, decodeFloats, fromBase64, toBase64 } from "./floats.js";
import { askJson } from "./net.js";
import { clamp, dot } from "./numbers.js";
import { Way } from "./ways.js";

/** @typedef {import("./numbers.js").Numbers} Numbers */
/** @typedef {{id: string | number, label: string, detail: string, group: string, collapsed: boolean, reach: number | null}} Axis */
/**
 * @typedef {object} Basis
 * @property {string} name
 * @property {string} title
 * @property {Axis[]} axes
 * @property {number} rows
 * @property {Float32Array} W read-outs, rows x d
 * @property {Float32Array} D directions, rows x d
 * @property {Map<string | number, number>} index
 * @property {Way[]} ways curves, which are the first rows
 */
/** @typedef {{basis: Basis, row: number}} Lock */

const PACK_RANGE = 8;
const REACH = 6; // the server clips codes there too

export class Geometry {
  constructor(json) {
    this.digest = json.digest;
    this.mean = decodeFloats(json.mean);
    this.std = decodeFloats(json.std).map((s) => Math.max(s, 1e-6));
    this.cov = decodeFloats(json.cov);
    this.kl = decodeFloats(json.kl);
    this.d = this.mean.length;
    this.grid = { mean: decodeDoubles(json.grid.mean), std: decodeDoubles(json.grid.std).map((s) => Math.max(s, 1e-6)) };
    /** @type {Map<string, Basis>} */
    this.bases = new Map();
    for (const { name, title, axes, W, D, ways } of json.bases) {
      const index = new Map(axes.map((axis, row) => [axis.id, row]));
      const curves = ways.map((way) => new Way(way, this.d));
      this.bases.set(name, { name, title, axes, rows: axes.length, W: decodeFloats(W), D: decodeFloats(D), index, ways: curves });
    }
    /** @type {Map<string, Numbers | null>} */
    this.steps = new Map();
  }

  #row(matrix, row) {
    return matrix.subarray(row * this.d, (row + 1) * this.d);
  }

  /**
   * @param {Basis} basis
   * @param {number} row
   * @param {Numbers} z
   */
  value(basis, row, z) {
    if (row < basis.ways.length) return basis.ways[row].value(z);
    const w = this.#row(basis.W, row);
    let sum = 0;
    for (let i = 0; i < this.d; i++) sum += w[i] * (z[i] - this.mean[i]);
    return sum;
  }

  /**
   * @param {Basis} basis
   * @param {Numbers} z
   */
  values(basis, z) {
    const centred = Float64Array.from(z, (v, i) => v - this.mean[i]);
    const values = new Float64Array(basis.rows);
    for (let row = 0; row < basis.rows; row++) {
      values[row] = row < basis.ways.length ? basis.ways[row].value(z) : dot(this.#row(basis.W, row), centred);
    }
    return values;
  }

  /* C W' of the locks, and the Gram matrix W C W', with a ridge for locks that repeat each other. */
  /** @param {Lock[]} locks */
  #locked(locks) {
    const W = locks.map(({ basis, row }) => this.#row(basis.W, row));
    const carried = W.map((w) => {
      const out = new Float64Array(this.d);
      for (let i = 0; i < this.d; i++) out[i] = dot(this.cov.subarray(i * this.d, (i + 1) * this.d), w);
      return out;
    });
    const gram = W.map((a, i) => carried.map((c, j) => dot(a, c) + (i === j ? 1e-9 : 0)));
    return { W, carried, gram };
  }

  /* D' = D_k - C W' (W C W')^-1 W D_k, rescaled to W_k D' = 1; kept, as a drag asks for it each frame. */
  /**
   * @param {Basis} basis
   * @param {number} row
   * @param {Lock[]} locks
   * @returns {Numbers | null}
   */
  step(basis, row, locks) {
    const direction = this.#row(basis.D, row);
    if (!locks.length) return direction;
    const key = [basis.name, row, ...locks.map((lock) => `${lock.basis.name}:${lock.row}`)].join("|");
    const known = this.steps.get(key);
    if (known !== undefined) return known;
    const { W, carried, gram } = this.#locked(locks);
    const gain = solve(gram, W.map((w) => dot(w, direction)));
    const free = Float64Array.from(direction);
    gain.forEach((g, m) => carried[m].forEach((c, i) => (free[i] -= g * c)));
    const reach = dot(this.#row(basis.W, row), free);
    const step = reach < 1e-3 ? null : free.map((v) => v / reach);
    if (this.steps.size > 64) this.steps.clear();
    this.steps.set(key, step);
    return step;
  }

  /**
   * @param {Float32Array} z
   * @param {Basis} basis
   * @param {number} row
   * @param {number} value
   * @param {Lock[]} [locks]
   */
  move(z, basis, row, value, locks = []) {
    if (row < basis.ways.length) return this.hold(basis.ways[row].moved(z, value), locks, z);
    const step = this.step(basis, row, locks);
    if (!step) return null;
    const change = value - this.value(basis, row, z);
    return Float32Array.from(z, (v, i) => v + change * step[i]);
  }

  /**
   * @param {Float32Array<ArrayBuffer>} z
   * @param {Lock[]} locks
   * @param {Numbers} before
   */
  hold(z, locks, before) {
    if (!locks.length) return z;
    const { W, carried, gram } = this.#locked(locks);
    const lost = Float64Array.from(z, (v, i) => before[i] - v);
    const gain = solve(gram, W.map((w) => dot(w, lost)));
    const held = Float64Array.from(z);
    gain.forEach((g, m) => carried[m].forEach((c, i) => (held[i] += g * c)));
    return Float32Array.from(held);
  }

  /* As the server will take it: on the grid of packed codes, within 6 standard deviations of the mean. */
  /** @param {Numbers} z */
  settle(z) {
    return this.unpack(this.pack(z));
  }

  /** @param {Numbers} z */
  pack(z) {
    const { mean, std } = this.grid;
    const steps = new DataView(new ArrayBuffer(2 * this.d));
    for (let i = 0; i < this.d; i++) {
      const scaled = (z[i] - mean[i]) / std[i] / PACK_RANGE;
      steps.setInt16(2 * i, Math.round(clamp(scaled, -1, 1) * 32767), true);
    }
    return toBase64(new Uint8Array(steps.buffer)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  }

  /** @param {string} text */
  unpack(text) {
    const bytes = fromBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
    const steps = new DataView(bytes.buffer);
    const { mean, std } = this.grid;
    const f = Math.fround;
    return Float32Array.from(mean, (m, i) => {
      const value = f(m + (steps.getInt16(2 * i, true) / 32767) * PACK_RANGE * std[i]);
      return clamp(value, f(m - REACH * std[i]), f(m + REACH * std[i]));
    });
  }
}

/* Solve A x = b by elimination with pivoting; A: array of rows. */
/**
 * @param {number[][]} A
 * @param {number[]} b
 */
function solve(A, b) {
  const n = b.length;
  const M = A.map((row, i) => [...row, b[i]]);
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(M[i][k]) > Math.abs(M[pivot][k])) pivot = i;
    [M[k], M[pivot]] = [M[pivot], M[k]];
    if (Math.abs(M[k][k]) < 1e-12) continue;
    for (let i = k + 1; i < n; i++) {
      const factor = M[i][k] / M[k][k];
      for (let j = k; j <= n; j++) M[i][j] -= factor * M[k][j];
    }
  }
  const x = new Array(n).fill(0);
  for (let k = n - 1; k >= 0; k--) {
    if (Math.abs(M[k][k]) < 1e-12) continue;
    let sum = M[k][n];
    for (let j = k + 1; j < n; j++) sum -= M[k][j] * x[j];
    x[k] = sum / M[k][k];
  }
  return x;
}

/** @type {Map<string, Promise<Geometry>>} */
const loaded = new Map();

/* The geometry of a model, fetched once a page; `version` changes when its axes do. */
/** @param {{name: string, digest: string}} model */
export function geometry(model, version = "") {
  const key = `${model.digest}/${version}`;
  const known = loaded.get(key);
  if (known) return known;
  const request = askJson("api/axes", { model: model.name }).then((json) => new Geometry(json));
  request.catch(() => loaded.delete(key)); // a failure is never kept
  loaded.set(key, request);
  return request;
}
