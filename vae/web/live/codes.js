/* Codes and axes in the browser: the same formulas as vae/latent.py.

   decodeFloats(text) / encodeFloats(array)   base64 <-> little-endian float32
   new Geometry(json)      json: the answer of /api/axes
     .mean .std .cov .kl   Float32Array, d numbers (cov d x d)
     .bases                Map name -> {name, title, axes, rows, W, D, index: Map id -> row}
     .values(basis, z)     slider read-outs s = W (z - mean), in sigma
     .move(z, basis, row, value, locks)   new code with exactly `value` on the axis, locked read-outs unchanged;
                           locks: [{basis, row}]; null where the locks hold all of the axis
     .hold(z, locks, targets)             the code nearest to z (in the data's metric) with the locked read-outs
     .pack(z) / .unpack(text)             16-bit fixed point, base64url, as in links; clipped to 6 standard deviations
     .settle(z)            unpack(pack(z)): the code that a link gives back, bit for bit
   gaussian()              one draw from N(0, 1) */

export function decodeFloats(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

export function encodeFloats(array) {
  return toBase64(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
}

function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

export function gaussian() {
  // Box and Muller; 1 - random() is never zero.
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

function decodeDoubles(text) {
  return new Float64Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
}

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
    this.bases = new Map();
    for (const { name, title, axes, W, D } of json.bases) {
      const index = new Map(axes.map((axis, row) => [axis.id, row]));
      this.bases.set(name, { name, title, axes, rows: axes.length, W: decodeFloats(W), D: decodeFloats(D), index });
    }
    this.steps = new Map();
  }

  #row(matrix, row) {
    return matrix.subarray(row * this.d, (row + 1) * this.d);
  }

  #dot(a, b) {
    let sum = 0;
    for (let i = 0; i < this.d; i++) sum += a[i] * b[i];
    return sum;
  }

  value(basis, row, z) {
    const w = this.#row(basis.W, row);
    let sum = 0;
    for (let i = 0; i < this.d; i++) sum += w[i] * (z[i] - this.mean[i]);
    return sum;
  }

  values(basis, z) {
    const centred = Float64Array.from(z, (v, i) => v - this.mean[i]);
    const values = new Float64Array(basis.rows);
    for (let row = 0; row < basis.rows; row++) values[row] = this.#dot(this.#row(basis.W, row), centred);
    return values;
  }

  /* C W' of the locks, and the Gram matrix W C W', with a ridge for locks that repeat each other. */
  #locked(locks) {
    const W = locks.map(({ basis, row }) => this.#row(basis.W, row));
    const carried = W.map((w) => {
      const out = new Float64Array(this.d);
      for (let i = 0; i < this.d; i++) out[i] = this.#dot(this.cov.subarray(i * this.d, (i + 1) * this.d), w);
      return out;
    });
    const gram = W.map((a, i) => carried.map((c, j) => this.#dot(a, c) + (i === j ? 1e-9 : 0)));
    return { W, carried, gram };
  }

  /* D' = D_k - C W' (W C W')^-1 W D_k, rescaled to W_k D' = 1; kept, as a drag asks for it each frame. */
  step(basis, row, locks) {
    const direction = this.#row(basis.D, row);
    if (!locks.length) return direction;
    const key = [basis.name, row, ...locks.map((lock) => `${lock.basis.name}:${lock.row}`)].join("|");
    if (!this.steps.has(key)) {
      const { W, carried, gram } = this.#locked(locks);
      const gain = solve(gram, W.map((w) => this.#dot(w, direction)));
      const free = Float64Array.from(direction);
      gain.forEach((g, m) => carried[m].forEach((c, i) => (free[i] -= g * c)));
      const reach = this.#dot(this.#row(basis.W, row), free);
      if (this.steps.size > 64) this.steps.clear();
      this.steps.set(key, reach < 1e-3 ? null : free.map((v) => v / reach));
    }
    return this.steps.get(key);
  }

  move(z, basis, row, value, locks = []) {
    const step = this.step(basis, row, locks);
    if (!step) return null;
    const change = value - this.value(basis, row, z);
    return Float32Array.from(z, (v, i) => v + change * step[i]);
  }

  hold(z, locks, targets) {
    if (!locks.length) return z;
    const { carried, gram } = this.#locked(locks);
    const gain = solve(gram, locks.map(({ basis, row }, m) => targets[m] - this.value(basis, row, z)));
    const held = Float64Array.from(z);
    gain.forEach((g, m) => carried[m].forEach((c, i) => (held[i] += g * c)));
    return Float32Array.from(held);
  }

  /* As the server will take it: on the grid of packed codes, within 6 standard deviations of the mean. */
  settle(z) {
    return this.unpack(this.pack(z));
  }

  pack(z) {
    const { mean, std } = this.grid;
    const steps = new DataView(new ArrayBuffer(2 * this.d));
    for (let i = 0; i < this.d; i++) {
      const scaled = (z[i] - mean[i]) / std[i] / PACK_RANGE;
      steps.setInt16(2 * i, Math.round(Math.max(-1, Math.min(1, scaled)) * 32767), true);
    }
    return toBase64(new Uint8Array(steps.buffer)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  }

  unpack(text) {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const steps = new DataView(bytes.buffer);
    const { mean, std } = this.grid;
    const f = Math.fround;
    return Float32Array.from(mean, (m, i) => {
      const value = f(m + (steps.getInt16(2 * i, true) / 32767) * PACK_RANGE * std[i]);
      return Math.max(f(m - REACH * std[i]), Math.min(f(m + REACH * std[i]), value));
    });
  }
}

/* Solve A x = b by elimination with pivoting; A: array of rows. */
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

const loaded = new Map();

/* The geometry of a model, fetched once a page; `version` changes when its axes do. */
export function geometry(model, version = "") {
  const key = `${model.digest}/${version}`;
  if (!loaded.has(key)) {
    const request = fetch(`/api/axes?model=${encodeURIComponent(model.name)}`).then(async (response) => {
      const json = await response.json();
      if (!response.ok) throw new Error(json.error);
      return new Geometry(json);
    });
    request.catch(() => loaded.delete(key)); // a failure is never kept
    loaded.set(key, request);
  }
  return loaded.get(key);
}
