/* Mixes of codes in the browser: the same formulas as vae/photos/blend.py.

   cornerWeights(x, y, k)             shares (k) of a hand at (x, y) in 0..1, y downwards: line, triangle (A B over C), square
   corner(i, k)                       the place [x, y] of face i on that pad
   mixCodes(codes, weights, path)     codes: k x Float32Array(d); weights: L rows of k -> Float32Array(L d)
   mixOffsets(offsets, weights, size) offsets: k x Float32Array(L S) or null -> Float32Array(L S), or null where all are
   mixDetails(names, weights, shape)  names of the people's details or null; shape: channels and sides of their level ->
                                      what an engine takes as a state's features: these act at one level, by its weights
   group(level, levels)               0 coarse, 1 middle, 2 fine */

import { clamp, dot } from "../live/numbers.js";

/** @typedef {import("../live/numbers.js").Numbers} Numbers */

export const GROUPS = ["coarse", "middle", "fine"];

/**
 * @param {(string | null)[]} names
 * @param {Numbers[]} weights
 * @param {[number, number, number] | null} shape
 * @returns {import("../live/engine.js").Detail[]}
 */
export function mixDetails(names, weights, shape) {
  if (!shape) return [];
  const shares = weights[Math.log2(shape[1]) - 2];
  return names.flatMap((id, i) => (id && shares[i] ? [{ id, share: shares[i] }] : []));
}

/** @type {(level: number, levels: number) => number} */
export const group = (level, levels) => Math.floor((level * GROUPS.length) / levels);

/** @type {(i: number, k: number) => [number, number]} */
export function corner(i, k) {
  if (k === 3 && i === 2) return [0.5, 1];
  return [i % 2, i >> 1];
}

/** @type {(x: number, y: number, k: number) => number[]} */
export function cornerWeights(x, y, k) {
  x = clamp(x);
  y = clamp(y);
  if (k === 1) return [1];
  if (k === 2) return [1 - x, x];
  if (k === 4) return [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y];
  const half = (1 - y) / 2;
  const b = clamp(x, 0.5 - half, 0.5 + half) - y / 2;
  return [1 - b - y, b, y];
}

/** @param {Iterable<number>} v */
function length(v) {
  let sum = 0;
  for (const x of v) sum += x * x;
  return Math.sqrt(sum);
}

const unit = (v) => {
  const size = Math.max(length(v), 1e-300);
  return Float64Array.from(v, (x) => x / size);
};

/** @type {(codes: Numbers[], weights: Numbers) => Float64Array} */
function combine(codes, weights) {
  const out = new Float64Array(codes[0].length);
  codes.forEach((code, k) => {
    const w = weights[k];
    if (w) for (let i = 0; i < out.length; i++) out[i] += w * code[i];
  });
  return out;
}

function slerp(a, b, t) {
  const la = length(a);
  const lb = length(b);
  const ua = unit(a);
  const ub = unit(b);
  const angle = Math.acos(clamp(dot(ua, ub), -1, 1));
  const sine = Math.sin(angle);
  if (sine <= 1e-6) return combine([a, b], [1 - t, t]);
  const size = la + (lb - la) * t;
  return combine([ua, ub], [(size * Math.sin((1 - t) * angle)) / sine, (size * Math.sin(t * angle)) / sine]);
}

/* Buss and Fillmore 2001: the mean on the sphere, by steps in the tangent plane. */
function sphericalMean(codes, weights) {
  const used = weights.map((w, i) => (w ? i : -1)).filter((i) => i >= 0);
  if (used.length === 1) return codes[used[0]];
  const total = used.reduce((sum, i) => sum + weights[i], 0);
  const w = used.map((i) => weights[i] / total);
  const some = used.map((i) => codes[i]);
  if (used.length === 2) return slerp(some[0], some[1], w[1]);
  const lengths = some.map(length);
  if (Math.min(...lengths) < 1e-9) return combine(some, w);
  const units = some.map(unit);
  let mean = combine(units, w);
  if (length(mean) < 1e-6) return combine(some, w);
  mean = unit(mean);
  for (let turn = 0; turn < 20; turn++) {
    const tangent = new Float64Array(mean.length);
    units.forEach((u, k) => {
      const cosine = clamp(dot(u, mean), -1, 1);
      const away = u.map((x, i) => x - cosine * mean[i]);
      const norm = length(away);
      const gain = w[k] * (norm > 1e-12 ? Math.acos(cosine) / norm : 1);
      for (let i = 0; i < tangent.length; i++) tangent[i] += gain * away[i];
    });
    const size = length(tangent);
    if (size < 1e-12) break;
    mean = unit(mean.map((x, i) => Math.cos(size) * x + (Math.sin(size) * tangent[i]) / size));
  }
  const size = dot(w, lengths);
  return mean.map((x) => x * size);
}

/**
 * @param {Float32Array[]} codes
 * @param {number[][]} weights
 */
export function mixCodes(codes, weights, path = "slerp") {
  const d = codes[0].length;
  const out = new Float32Array(weights.length * d);
  const known = new Map();
  weights.forEach((row, level) => {
    const key = row.join(",");
    if (!known.has(key)) known.set(key, path === "lerp" ? combine(codes, row) : sphericalMean(codes, row));
    out.set(known.get(key), level * d);
  });
  return out;
}

/**
 * @param {(Float32Array | null)[]} offsets
 * @param {number[][]} weights
 * @param {number} size
 */
export function mixOffsets(offsets, weights, size) {
  if (!offsets.some(Boolean)) return null;
  const out = new Float32Array(weights.length * size);
  weights.forEach((row, level) => {
    row.forEach((w, k) => {
      if (!w || !offsets[k]) return;
      const from = level * size;
      for (let i = from; i < from + size; i++) out[i] += w * offsets[k][i];
    });
  });
  return out;
}
