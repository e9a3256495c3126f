/* Decoded pictures on the map: thumbnails at the dots, and a background of them everywhere. They ask in batches.

   new Thumbs(request, ondone)      request(ids) -> Promise of tiles in order; ondone: more have come
     .mode                          "auto" (once few enough dots are in view) | "dots" | "pictures"
   new Backdrop(request, ondone)    request(places) -> Promise of tiles
     .on
     .clear()                       what was decoded shows another plane
   Both: .draw(context, map) */

import { pause } from "../live/dom.js";
import { clamp } from "../live/numbers.js";
import { framed } from "./paint.js";

/** @typedef {import("../live/canvas.js").Tile} Tile */
/** @typedef {import("./map.js").MapView} MapView */
/** @typedef {{key: string, x: number, y: number}} Wanted */

/* Small decoded pictures at the dots once few enough are in view. */
export class Thumbs {
  mode = "auto"; // "auto" | "dots" | "pictures"
  /** @type {Map<number, Tile>} */
  #known = new Map();
  /** @type {number[]} */
  #wanted = [];
  #busy = false;

  /**
   * @param {(ids: number[]) => Promise<Tile[]>} request
   * @param {() => void} ondone
   */
  constructor(request, ondone) {
    this.request = request;
    this.ondone = ondone;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {MapView} map
   */
  draw(context, map) {
    this.shown = 0;
    if (this.mode === "dots" || !map.count) return;
    const zoom = map.camera.scale / (map.home || map.camera.scale);
    if (this.mode === "auto" && zoom < 2.5) return;
    const { x0, y0, x1, y1 } = map.window();
    const side = clamp(30 + 7 * zoom, 34, 72);
    // One picture a cell of a grid that stands still on the map, so that pictures do not jump while it moves.
    const cell = 2 ** Math.round(Math.log2((side * 1.12) / map.camera.scale));
    /** @type {Map<string, number>} */
    const taken = new Map();
    for (const i of map.within(x0, y0, x1, y1)) {
      const key = `${Math.floor(map.xy[2 * i] / cell)}:${Math.floor(map.xy[2 * i + 1] / cell)}`;
      const holder = taken.get(key);
      if (holder === undefined || hash(i) < hash(holder)) taken.set(key, i);
    }
    /** @type {[number, number][]} */
    const drawn = [];
    /** @type {number[]} */
    const missing = [];
    const size = Math.min(side, cell * map.camera.scale * 0.92);
    for (const i of [...taken.values()].sort((a, b) => hash(a) - hash(b))) {
      const [px, py] = map.toScreen(map.xy[2 * i], map.xy[2 * i + 1]);
      if (drawn.some(([qx, qy]) => Math.abs(px - qx) < size * 0.8 && Math.abs(py - qy) < size * 0.8)) continue;
      drawn.push([px, py]);
      const tile = this.#known.get(i);
      if (!tile) {
        missing.push(i);
        continue;
      }
      this.shown++;
      const [r, g, b] = map.table[map.values[i]] ?? [120, 120, 120];
      framed(context, tile, px, py, size, { radius: 6, colour: `rgb(${r} ${g} ${b})`, width: 2 });
    }
    map.element.dataset.thumbs = String(this.shown);
    this.#wanted = missing;
    this.#fetch();
  }

  async #fetch() {
    if (this.#busy) return;
    this.#busy = true;
    await pause(90); // what is passed at speed is not asked for
    while (this.#wanted.length) {
      const ids = this.#wanted.slice(0, 24);
      this.#wanted = this.#wanted.slice(24);
      const tiles = await this.request(ids).catch(() => null);
      if (!tiles) break;
      ids.forEach((id, k) => this.#known.set(id, tiles[k]));
      for (const key of this.#known.keys()) {
        if (this.#known.size <= 4000) break;
        this.#known.delete(key);
      }
      this.ondone();
    }
    this.#busy = false;
  }
}

/* What is decoded everywhere: tiles fixed to the map, coarse ones first. */
export class Backdrop {
  on = false;
  /** @type {Wanted[]} */
  wanted = [];
  /** @type {Map<string, Tile>} */
  #known = new Map();
  #busy = false;
  #generation = 0;

  /**
   * @param {(places: Wanted[]) => Promise<Tile[]>} request
   * @param {() => void} ondone
   */
  constructor(request, ondone) {
    this.request = request;
    this.ondone = ondone;
  }

  clear() {
    this.#known.clear();
    this.#generation++;
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {MapView} map
   */
  draw(context, map) {
    map.element.dataset.tiles = "0";
    if (!this.on || !map.count) return;
    const { x0, y0, x1, y1 } = map.window();
    const finest = Math.ceil(Math.log2(map.camera.scale / 76)); // tiles of 38 to 76 css px
    /** @type {Wanted[]} */
    const missing = [];
    let drawn = 0;
    for (let level = finest - 3; level <= finest; level++) {
      const side = 2 ** -level;
      const seen = [];
      for (let row = Math.floor(y0 / side); row <= Math.floor(y1 / side); row++) {
        for (let column = Math.floor(x0 / side); column <= Math.floor(x1 / side); column++) {
          const key = `${level}:${column}:${row}`;
          const tile = this.#known.get(key);
          if (tile) {
            const [px, py] = map.toScreen(column * side, (row + 1) * side);
            const width = side * map.camera.scale;
            const [qx, qy] = [Math.round(px), Math.round(py)];
            context.drawImage(tile.image, tile.sx, tile.sy, tile.size, tile.size, qx, qy, Math.round(px + width) - qx, Math.round(py + width) - qy);
            if (level === finest) drawn++;
          } else seen.push({ key, x: (column + 0.5) * side, y: (row + 0.5) * side });
        }
      }
      seen.sort((a, b) => Math.hypot(a.x - map.camera.x, a.y - map.camera.y) - Math.hypot(b.x - map.camera.x, b.y - map.camera.y));
      missing.push(...seen);
    }
    map.element.dataset.tiles = String(drawn);
    this.wanted = missing;
    this.#fetch();
  }

  async #fetch() {
    if (this.#busy) return;
    this.#busy = true;
    await pause(60);
    while (this.on && this.wanted.length) {
      const batch = this.wanted.slice(0, 32);
      const generation = this.#generation;
      const tiles = await this.request(batch).catch(() => null);
      if (!tiles) break;
      if (generation === this.#generation) batch.forEach(({ key }, k) => this.#known.set(key, tiles[k]));
      for (const key of this.#known.keys()) {
        if (this.#known.size <= 6000) break;
        this.#known.delete(key);
      }
      this.wanted = [];
      this.ondone(); // drawing asks for what is still missing
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    }
    this.#busy = false;
  }
}

/** @param {number} i */
const hash = (i) => Math.imul(i + 1, 2654435761) >>> 0;
