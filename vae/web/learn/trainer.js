/* A variational autoencoder that trains here, in plain JavaScript: backpropagation by hand, Adam.

   new Trainer(pictures, pixels, {hidden, latent, beta, rate, seed})   pictures: Float32Array (n, pixels) in [-1, 1]
     .step(size)       one batch -> {pixels, kl}, nats a picture; .steps counts
     .want             "both" | "pixels" | "kl": which terms are minimised
     .encode(rows)     mu of these pictures, Float32Array (rows, latent)
     .decode(z)        one picture, Float32Array (pixels)
     .net              {name: Layer} with weights W (out x in) and b, for whoever checks the sums
   forward(layer, x, y), rng(seed) and gaussian(rng) are for others too. */

/** @typedef {Float32Array<ArrayBuffer>} Floats */

/** A generator of numbers in [0, 1) from a seed (mulberry32). @param {number} seed */
export function rng(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** @param {() => number} random */
export function gaussian(random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** One fully connected layer; tanh says whether its outputs go through one. */
export class Layer {
  /**
   * @param {number} inputs
   * @param {number} outputs
   * @param {boolean} tanh
   * @param {() => number} [random] without it the weights are to be filled in
   */
  constructor(inputs, outputs, tanh, random) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.tanh = tanh;
    this.W = new Float32Array(inputs * outputs);
    this.b = new Float32Array(outputs);
    if (random) for (let i = 0; i < this.W.length; i++) this.W[i] = (2 * random() - 1) * Math.sqrt(3 / inputs);
    this.y = new Float32Array(outputs);
  }

  /** Outputs, kept in .y until the next call. @param {ArrayLike<number>} x */
  run(x) {
    const { W, b, y, inputs, outputs, tanh } = this;
    for (let o = 0, at = 0; o < outputs; o++, at += inputs) {
      let sum = b[o];
      for (let i = 0; i < inputs; i++) sum += W[at + i] * x[i];
      y[o] = tanh ? Math.tanh(sum) : sum;
    }
    return y;
  }

  /**
   * Slopes of the loss by the inputs, from those by the outputs (which are overwritten); with `sums` those by the
   * weights are added up there.
   * @param {ArrayLike<number>} x
   * @param {Floats} dy
   * @param {{W: Floats, b: Floats} | null} sums
   */
  back(x, dy, sums = null) {
    const { W, y, inputs, outputs, tanh } = this;
    const dx = new Float32Array(inputs);
    for (let o = 0, at = 0; o < outputs; o++, at += inputs) {
      const d = tanh ? dy[o] * (1 - y[o] * y[o]) : dy[o];
      if (sums) {
        sums.b[o] += d;
        for (let i = 0; i < inputs; i++) sums.W[at + i] += d * x[i];
      }
      for (let i = 0; i < inputs; i++) dx[i] += d * W[at + i];
    }
    return dx;
  }
}

const DECAY = [0.9, 0.99];

export class Trainer {
  steps = 0;
  /** @type {"both" | "pixels" | "kl"} */
  want = "both";

  /**
   * @param {Floats} pictures
   * @param {number} pixels
   * @param {{hidden?: number, latent?: number, beta?: number, rate?: number, seed?: number}} [options]
   */
  constructor(pictures, pixels, { hidden = 48, latent = 2, beta = 0.5, rate = 0.004, seed = 0 } = {}) {
    this.pictures = pictures;
    this.pixels = pixels;
    this.latent = latent;
    this.beta = beta;
    this.rate = rate;
    this.random = rng(seed);
    this.net = {
      up: new Layer(pixels, hidden, true, this.random),
      code: new Layer(hidden, 2 * latent, false, this.random),
      down: new Layer(latent, hidden, true, this.random),
      out: new Layer(hidden, pixels, true, this.random),
    };
    const zeros = () =>
      Object.values(this.net).map(({ W, b }) => ({ W: new Float32Array(W.length), b: new Float32Array(b.length) }));
    this.sums = zeros();
    this.moments = [zeros(), zeros()];
  }

  /** @param {number} row */
  picture(row) {
    return this.pictures.subarray(row * this.pixels, (row + 1) * this.pixels);
  }

  step(size = 64) {
    for (const { W, b } of this.sums) {
      W.fill(0);
      b.fill(0);
    }
    const total = { pixels: 0, kl: 0 };
    const n = this.pictures.length / this.pixels;
    for (let i = 0; i < size; i++) this.#one(this.picture(Math.floor(this.random() * n)), 1 / size, total);
    this.steps += 1;
    this.#adam();
    return total;
  }

  /* One picture forward and backward: z = mu + sigma eps, L = |x - x'|^2 / 2 + beta KL. */
  /**
   * @param {Floats} x
   * @param {number} share
   * @param {{pixels: number, kl: number}} total
   */
  #one(x, share, total) {
    const { up, code, down, out } = this.net;
    const d = this.latent;
    const h = up.run(x);
    const numbers = code.run(h);
    const eps = Float32Array.from({ length: d }, () => gaussian(this.random));
    const z = Float32Array.from(eps, (e, j) => numbers[j] + Math.exp(0.5 * numbers[d + j]) * e);
    const y = out.run(down.run(z));
    const [byPixels, byKl] = [this.want === "kl" ? 0 : share, this.want === "pixels" ? 0 : share * this.beta];
    const dy = new Float32Array(this.pixels);
    for (let p = 0; p < dy.length; p++) {
      total.pixels += 0.5 * share * (y[p] - x[p]) ** 2;
      dy[p] = byPixels * (y[p] - x[p]);
    }
    const dz = down.back(z, out.back(down.y, dy, this.sums[3]), this.sums[2]);
    const dn = new Float32Array(2 * d);
    for (let j = 0; j < d; j++) {
      const [mu, logvar] = [numbers[j], numbers[d + j]];
      const variance = Math.exp(logvar);
      total.kl += 0.5 * share * (mu * mu + variance - 1 - logvar);
      dn[j] = dz[j] + byKl * mu; // the gradient's way around the die
      dn[d + j] = 0.5 * dz[j] * Math.sqrt(variance) * eps[j] + 0.5 * byKl * (variance - 1);
    }
    up.back(x, code.back(h, dn, this.sums[1]), this.sums[0]);
  }

  #adam() {
    const [one, two] = DECAY;
    const rate = (this.rate * Math.sqrt(1 - two ** this.steps)) / (1 - one ** this.steps);
    Object.values(this.net).forEach((layer, k) => {
      for (const part of /** @type {const} */ (["W", "b"])) {
        const [weights, slopes, m, v] = [
          layer[part],
          this.sums[k][part],
          this.moments[0][k][part],
          this.moments[1][k][part],
        ];
        for (let i = 0; i < weights.length; i++) {
          m[i] = one * m[i] + (1 - one) * slopes[i];
          v[i] = two * v[i] + (1 - two) * slopes[i] * slopes[i];
          weights[i] -= (rate * m[i]) / (Math.sqrt(v[i]) + 1e-8);
        }
      }
    });
  }

  /** @param {number[]} rows */
  encode(rows) {
    const mu = new Float32Array(rows.length * this.latent);
    rows.forEach((row, i) =>
      mu.set(this.net.code.run(this.net.up.run(this.picture(row))).subarray(0, this.latent), i * this.latent),
    );
    return mu;
  }

  /** @param {ArrayLike<number>} z */
  decode(z) {
    return Float32Array.from(this.net.out.run(this.net.down.run(z)));
  }
}
