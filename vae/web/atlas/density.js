/* A shade that deepens where dots are many: counts in cells, blurred, drawn at the place of the data.

   shadeOf(map)                    made once for the dots in sight
   drawShade(context, map, shade) */

import { context as contextOf, parse } from "../live/canvas.js";
import { h } from "../live/dom.js";

/** @typedef {import("./map.js").MapView} MapView */
/** @typedef {{canvas: HTMLCanvasElement, span: number[]}} Shade */

const N = 320; // cells to a side

/**
 * @param {MapView} map
 * @returns {Shade}
 */
export function shadeOf(map) {
  const { xy, count, shown, cells } = map;
  const { x0, y0, x1, y1 } = cells.bounds;
  const mx = (x1 - x0) * 0.06 + 1e-9, my = (y1 - y0) * 0.06 + 1e-9;
  const span = [x0 - mx, y0 - my, x1 + mx, y1 + my];
  let field = new Float32Array(N * N);
  for (let i = 0; i < count; i++) {
    if (shown && !shown[i]) continue;
    const cx = ((xy[2 * i] - span[0]) / (span[2] - span[0])) * N | 0;
    const cy = ((span[3] - xy[2 * i + 1]) / (span[3] - span[1])) * N | 0;
    if (cx >= 0 && cy >= 0 && cx < N && cy < N) field[cy * N + cx]++;
  }
  for (let k = 0; k < 3; k++) field = blur(blur(field, N, 1, N, 5), N, N, 1, 5);
  let top = 0;
  for (const v of field) if (v > top) top = v;
  const image = new ImageData(N, N);
  const [r, g, b] = parse(map.ink.accent);
  for (let i = 0; i < N * N; i++) {
    // Five steps read as contours, which a smooth shade does not.
    const level = Math.ceil(5 * Math.sqrt(field[i] / (top || 1)) - 0.7) / 5;
    image.data.set([r, g, b, level > 0 ? 20 + 95 * level : 0], 4 * i);
  }
    const canvas = h("canvas", { width: N, height: N });
  contextOf(canvas).putImageData(image, 0, 0);
  return { canvas, span };
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {MapView} map
 * @param {Shade} shade
 */
export function drawShade(context, map, { canvas, span }) {
  const [px, py] = map.toScreen(span[0], span[3]), [qx, qy] = map.toScreen(span[2], span[1]);
  context.imageSmoothingEnabled = true;
  context.drawImage(canvas, px, py, qx - px, qy - py);
}

/* Running mean over 2 r + 1 cells along one direction. */
function blur(field, n, along, across, r) {
  const out = new Float32Array(field.length);
  for (let line = 0; line < n; line++) {
    let sum = 0;
    for (let k = -r; k < n + r; k++) {
      if (k + r < n && k + r >= 0) sum += field[line * across + (k + r) * along];
      if (k - r - 1 >= 0) sum -= field[line * across + (k - r - 1) * along];
      if (k >= 0 && k < n) out[line * across + k * along] = sum / (2 * r + 1);
    }
  }
  return out;
}
