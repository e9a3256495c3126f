/* Dots drawn by software into one buffer of pixels: 100,000 of them take a few milliseconds, with or without a GPU.

   plotDots(buffer, map)   buffer: ImageData of the canvas; map: MapView, which says what and where */

import { parse } from "../live/canvas.js";
import { clamp } from "../live/numbers.js";

/**
 * @param {ImageData} buffer
 * @param {import("./map.js").MapView} map
 */
export function plotDots(buffer, map) {
  const { xy, values, table, shown, mask, second, camera, size, count, ink } = map;
  const { ratio } = size;
  const pixels = new Uint32Array(buffer.data.buffer);
  pixels.fill(0);
  const zoom = camera.scale / (map.home || camera.scale);
  const base = count > 40_000 ? 1 : count > 4_000 ? 1.6 : 2.6;
  const radius = Math.min(5, base * Math.max(1, zoom) ** 0.3) * ratio;
  const stamp = disc(radius);
  const colours = table.map(([r, g, b]) => (b << 16) | (g << 8) | r);
  const [W, H] = [buffer.width, buffer.height];
  const scale = camera.scale * ratio, ox = W / 2 - camera.x * scale, oy = H / 2 + camera.y * scale;
  const lit = mask || second;
  const accent = parse(ink.accent), other = parse(ink.second || "#c2410c");
  const marked = [0, (accent[2] << 16) | (accent[1] << 8) | accent[0], (other[2] << 16) | (other[1] << 8) | other[0]];
  const opacity = (count > 40_000 ? 0.62 : 0.82) * (map.density ? 0.4 : 1); // the shade must show through
  const pass = (chosen) => {
    for (let i = 0; i < count; i++) {
      if (shown && !shown[i]) continue;
      const set = lit ? (mask?.[i] ? 1 : second?.[i] ? 2 : 0) : 0;
      if (lit && chosen !== set > 0) continue;
      const px = xy[2 * i] * scale + ox, py = oy - xy[2 * i + 1] * scale;
      if (px < -8 || py < -8 || px > W + 8 || py > H + 8) continue;
      const colour = set ? marked[set] : colours[values[i]] ?? 0x808080;
      plot(pixels, W, H, px, py, stamp, colour, lit && !set ? opacity * 0.28 : set ? 0.95 : opacity);
    }
  };
  pass(false);
  if (lit) pass(true);
}

/** @typedef {{cover: Uint8Array, reach: number, side: number}} Disc */

/** @type {Map<string, Disc>} */
const discs = new Map();

/** Coverage of a disc, 0 to 255, for a centre on the pixel grid. @param {number} radius */
function disc(radius) {
  const key = radius.toFixed(1);
  const known = discs.get(key);
  if (known) return known;
  const reach = Math.ceil(radius + 0.5), side = 2 * reach + 1;
  const cover = new Uint8Array(side * side);
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      cover[(y + reach) * side + x + reach] = 255 * clamp(radius + 0.5 - Math.hypot(x, y));
    }
  }
  const made = { cover, reach, side };
  discs.set(key, made);
  return made;
}

/**
 * @param {Uint32Array} pixels of W x H
 * @param {number} W
 * @param {number} H
 * @param {number} x
 * @param {number} y
 * @param {Disc} disc
 * @param {number} colour
 * @param {number} opacity
 */
function plot(pixels, W, H, x, y, { cover, reach, side }, colour, opacity) {
  const cx = Math.round(x), cy = Math.round(y);
  const r = colour & 255, g = (colour >> 8) & 255, b = colour >> 16;
  const top = Math.max(0, cy - reach), bottom = Math.min(H - 1, cy + reach);
  const left = Math.max(0, cx - reach), right = Math.min(W - 1, cx + reach);
  for (let py = top; py <= bottom; py++) {
    let at = py * W + left, from = (py - cy + reach) * side + left - cx + reach;
    for (let px = left; px <= right; px++, at++, from++) {
      const a = cover[from] * opacity;
      if (a < 1) continue;
      const old = pixels[at], under = old >>> 24;
      if (!under) {
        pixels[at] = ((a << 24) | colour) >>> 0;
        continue;
      }
      const total = a + under * (1 - a / 255), share = a / total, rest = 1 - share;
      pixels[at] = ((total << 24) | ((((old >> 16) & 255) * rest + b * share) << 16) | ((((old >> 8) & 255) * rest + g * share) << 8)
        | ((old & 255) * rest + r * share)) >>> 0;
    }
  }
}
