/* How a world's picture is shown beside being drawn: heard, seen through a window, taken away as a sprite.

   playerOf(host) -> Player | null    by the model's `player`; null for a plain picture
     .element                         to be placed by the page, near the picture
     .drawn(frame)                    at each drawn frame
     .others?.(others)                other pictures that it may play: [{label, state}]
     .close() */

import { Roll } from "./roll.js";
import { Scan } from "./scan.js";
import { Sprite } from "./sprite.js";

/**
 * @typedef {object} Host
 * @property {import("../engine.js").Model} model
 * @property {import("../engine.js").Engine} engine
 * @property {HTMLCanvasElement} canvas
 * @property {HTMLElement} stage what the canvas lies in
 */
/** @typedef {{element: HTMLElement, drawn(frame: import("../engine.js").Frame): void, close(): void,
    others?(others: import("./roll.js").Other[]): void}} Player */

/** @type {Record<string, new (host: Host) => Player>} */
const PLAYERS = { roll: Roll, scan: Scan, sprite: Sprite };

/**
 * @param {Host} host
 * @returns {Player | null}
 */
export function playerOf(host) {
  const Kind = PLAYERS[host.model.player];
  return Kind ? new Kind(host) : null;
}
