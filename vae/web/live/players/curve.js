/* How far a dream keeps to what happened: decibels by frames ahead, against a picture that stands still.

   NAMES          of the two lines
   new Curve()
     .element
     .draw(lines, title)    lines: {dream, frozen}, each decibels by frames ahead from 0 on, NaN where unknown */

import { h, svg } from "../dom.js";
import { clamp } from "../numbers.js";

/** @typedef {{dream: number[], frozen: number[]}} Lines */

const WIDTH = 420;
const HEIGHT = 210;
const LEFT = 42;
const RIGHT = 84; // room for the lines' names
const TOP = 12;
const BOTTOM = 30;
const LOW = 10; // dB
const HIGH = 40;
export const NAMES = { dream: "the dream", frozen: "nothing moves" };
const LEAST = 60; // frames that the axis has from the beginning
const APART = 15; // px between two names

export class Curve {
  constructor() {
    this.svg = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
    this.element = h("div", { class: "curve" }, this.svg);
    this.draw({ dream: [], frozen: [] }, "");
  }

  /**
   * @param {Lines} lines
   * @param {string} title
   */
  draw(lines, title) {
    const last = Math.max(LEAST, lines.dream.length - 1);
    const x = (ahead) => LEFT + ((WIDTH - LEFT - RIGHT) * ahead) / last;
    const y = (db) => TOP + ((HEIGHT - TOP - BOTTOM) * (HIGH - clamp(db, LOW, HIGH))) / (HIGH - LOW);
    /** @type {SVGElement[]} */
    const parts = [];
    const write = (words, at, down, name = "") => parts.push(svg("text", { x: at, y: down, class: name }, document.createTextNode(words)));
    for (const db of [10, 20, 30, 40]) {
      parts.push(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(db), y2: y(db), class: "grid" }));
      write(db === HIGH ? `${db} dB` : String(db), LEFT - 6, y(db) + 4, "end");
    }
    for (let ahead = 0; ahead <= last; ahead += last > 120 ? 60 : 20) write(String(ahead), x(ahead), HEIGHT - 13, "middle");
    write("frames ahead", WIDTH - RIGHT, HEIGHT - 1, "end");
    const ends = Object.entries(NAMES).map(([key, name]) => {
      const known = lines[key].map((db, ahead) => [ahead, db]).filter(([, db]) => Number.isFinite(db));
      if (!known.length) return null;
      parts.push(svg("polyline", { points: known.map(([ahead, db]) => `${x(ahead).toFixed(1)},${y(db).toFixed(1)}`).join(" "), class: key }));
      const [ahead, db] = known[known.length - 1];
      return { key, name, across: x(ahead) + 6, down: y(db) + 4, db };
    }).filter((end) => end !== null);
    const [one, other] = ends;
    if (one && other && Math.abs(one.down - other.down) < APART) {
      const middle = (one.down + other.down) / 2;
      one.down = middle + (one.db >= other.db ? -APART : APART) / 2;
      other.down = 2 * middle - one.down;
    }
    for (const { key, name, across, down } of ends) write(name, across, down, key);
    this.svg.replaceChildren(...parts);
    this.svg.setAttribute("aria-label", title || "Decibels by frames ahead; nothing is measured yet");
  }
}
