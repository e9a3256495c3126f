/* The sums that the page states, on plain arrays.

   pixelLoss(x, y)         L = sum (x - x')^2 / 2, nats
   divergence(mu, sigma)   KL of N(mu, sigma^2) from N(0, 1) for each number, nats
   integrated(mu, sigma)   the same of one number by Simpson's rule, without the formula
   draw(mu, sigma, eps)    z = mu + sigma eps
   slerp(a, b, t), lerp    ways between codes */

import { dot, sum } from "../live/numbers.js";

/** @typedef {ArrayLike<number>} Numbers */

/**
 * @param {Numbers} x
 * @param {Numbers} y
 */
export function pixelLoss(x, y) {
  let total = 0;
  for (let i = 0; i < x.length; i++) total += (x[i] - y[i]) ** 2;
  return total / 2;
}

/**
 * @param {Numbers} mu
 * @param {Numbers} sigma
 */
export function divergence(mu, sigma) {
  return Array.from(mu, (m, i) => 0.5 * (m * m + sigma[i] ** 2 - 1 - Math.log(sigma[i] ** 2)));
}

const REACH = 10; // sigmas either side: beyond them a Gaussian holds 1e-23
const PIECES = 400;

/**
 * @param {number} mu
 * @param {number} sigma
 */
export function integrated(mu, sigma) {
  const logDensity = (v, m, s) => -0.5 * ((v - m) / s) ** 2 - Math.log(s * Math.sqrt(2 * Math.PI));
  const step = (2 * REACH * sigma) / PIECES;
  const parts = Array.from({ length: PIECES + 1 }, (_, i) => {
    const v = mu + sigma * REACH * ((2 * i) / PIECES - 1);
    const q = logDensity(v, mu, sigma);
    return Math.exp(q) * (q - logDensity(v, 0, 1)) * (i === 0 || i === PIECES ? 1 : i % 2 ? 4 : 2);
  });
  return (sum(parts) * step) / 3;
}

/**
 * @param {Numbers} mu
 * @param {Numbers} sigma
 * @param {Numbers} eps
 */
export function draw(mu, sigma, eps) {
  return Float32Array.from(mu, (m, i) => m + sigma[i] * eps[i]);
}

/**
 * @param {Numbers} a
 * @param {Numbers} b
 * @param {number} t
 */
export function lerp(a, b, t) {
  return Float32Array.from(a, (v, i) => v + (b[i] - v) * t);
}

/** Along the great arc, lengths too: see vae/space/latent.py.
 * @param {Numbers} a
 * @param {Numbers} b
 * @param {number} t
 */
export function slerp(a, b, t) {
  const [la, lb] = [Math.sqrt(dot(a, a)), Math.sqrt(dot(b, b))];
  const angle = Math.acos(Math.max(-1, Math.min(1, dot(a, b) / Math.max(la * lb, 1e-12))));
  const sine = Math.sin(angle);
  if (sine < 1e-6) return lerp(a, b, t);
  const length = la + (lb - la) * t;
  const [p, q] = [Math.sin((1 - t) * angle) / sine / la, Math.sin(t * angle) / sine / lb];
  return Float32Array.from(a, (v, i) => length * (p * v + q * b[i]));
}
