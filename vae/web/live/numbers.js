/* Numbers: a few sums, and how they are written for people.

   clamp(v, low, high)      v held between the two, by default 0 and 1
   sum, mean, median(values) dot(a, b)
   gaussian()               one draw from N(0, 1)
   signed(value, digits)    "+1.20", "−0.35", "0.00": a true minus sign, so that columns line up
   spoken(value)            "plus 1.2 sigma", for screen readers
   whole(n)                 "12,345"
   percent(share, fine)     "12 %"; with fine, one decimal where the share is small */

/** @typedef {ArrayLike<number>} Numbers */

/** @type {(v: number, low?: number, high?: number) => number} */
export const clamp = (v, low = 0, high = 1) => Math.max(low, Math.min(high, v));

/** @param {number[]} values */
export const sum = (values) => values.reduce((a, b) => a + b, 0);

/** @param {number[]} values */
export const mean = (values) => sum(values) / values.length;

/** @param {number[]} values */
export const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

/**
 * @param {Numbers} a
 * @param {Numbers} b
 */
export function dot(a, b) {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i] * b[i];
  return total;
}

export function gaussian() {
  // Box and Muller; 1 - random() is never zero.
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

/** @param {number} value */
export function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? "\u2212" : "+") + text;
}

/** @param {number} value */
export function spoken(value) {
  const text = Math.abs(value).toFixed(1);
  if (Number(text) === 0) return "zero sigma";
  return `${value < 0 ? "minus" : "plus"} ${text} sigma`;
}

/** @param {number} n */
export const whole = (n) => n.toLocaleString("en-GB");

/** @param {number} share */
export const percent = (share, fine = false) => `${(100 * share).toFixed(fine && share < 0.0995 ? 1 : 0)}\u202f%`;
