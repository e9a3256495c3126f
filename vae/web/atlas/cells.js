/* Where the dots lie, by cells of a grid: those near a place are found without a look at all others.

   new Cells(xy)                       xy: Float32Array (2 N)
     .bounds                           {x0, y0, x1, y1}
     .within(x0, y0, x1, y1, shown)    the dots in a rectangle, of those with shown[i], or of all where it is null */

import { clamp } from "../live/numbers.js";

const CELLS = 96;

export class Cells {
  /** @param {Float32Array} xy */
  constructor(xy) {
    const count = xy.length / 2;
    this.xy = xy;
    let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < count; i++) {
      const x = xy[2 * i], y = xy[2 * i + 1];
      if (x < x0) x0 = x;
      if (x > x1) x1 = x;
      if (y < y0) y0 = y;
      if (y > y1) y1 = y;
    }
    if (!count) [x0, y0, x1, y1] = [-1, -1, 1, 1];
    this.bounds = { x0, y0, x1, y1 };
    // Counting sort.
    const sx = CELLS / Math.max(x1 - x0, 1e-9), sy = CELLS / Math.max(y1 - y0, 1e-9);
    const cell = new Uint16Array(count);
    const start = new Uint32Array(CELLS * CELLS + 1);
    for (let i = 0; i < count; i++) {
      const cx = Math.min(CELLS - 1, (xy[2 * i] - x0) * sx | 0), cy = Math.min(CELLS - 1, (xy[2 * i + 1] - y0) * sy | 0);
      cell[i] = cy * CELLS + cx;
      start[cell[i] + 1]++;
    }
    for (let c = 0; c < CELLS * CELLS; c++) start[c + 1] += start[c];
    const fill = start.slice(), order = new Uint32Array(count);
    for (let i = 0; i < count; i++) order[fill[cell[i]]++] = i;
    this.grid = { start, order, sx, sy };
  }

  /**
   * @param {number} x0
   * @param {number} y0
   * @param {number} x1
   * @param {number} y1
   * @param {Uint8Array | null} shown
   * @returns {Generator<number>}
   */
  *within(x0, y0, x1, y1, shown) {
    const { bounds, grid, xy } = this;
    const cell = (v, from, scale) => clamp(Math.floor((v - from) * scale), 0, CELLS - 1);
    const c0 = cell(x0, bounds.x0, grid.sx), c1 = cell(x1, bounds.x0, grid.sx);
    const r0 = cell(y0, bounds.y0, grid.sy), r1 = cell(y1, bounds.y0, grid.sy);
    for (let r = r0; r <= r1; r++) {
      for (let k = grid.start[r * CELLS + c0]; k < grid.start[r * CELLS + c1 + 1]; k++) {
        const i = grid.order[k];
        const x = xy[2 * i], y = xy[2 * i + 1];
        if (x >= x0 && x <= x1 && y >= y0 && y <= y1 && (!shown || shown[i])) yield i;
      }
    }
  }
}
