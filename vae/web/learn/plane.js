/* A plane of codes: dots coloured by what they are, pictures drawn behind them, a cursor that hand and arrows move.

   new Plane({label, range, onmove})   range: how far the plane goes from 0, [x, y]; without onmove it is only looked at
     .element .canvas
     .dots      {xy: Float32Array, labels: Uint8Array} | null
     .cursor    [x, y] | null
     .path      [[x, y], ...]         a way, drawn as a line; .ring [x, y] a place to look at
     .prior     whether the prior's circles of one and two sigma are drawn
     .cloud     {mu, sigma, draws} | null   ellipses of one and two sigma
     .grid(decode, n)                 n x n decoded pictures behind; null for none
     .draw()    asked for after changes; once a frame
     .say(text) what a screen reader hears of it */

import { context } from "../live/canvas.js";
import { h } from "../live/dom.js";
import { clamp } from "../live/numbers.js";
import { LABELS } from "./parts.js";

/** @typedef {[number, number]} Spot */

const STEP = 1 / 40; // of the plane, for an arrow key
const FAST = 4;

/** @type {Set<Plane>} */
const open = new Set();

/** After a change of the theme. */
export const recolour = () => open.forEach((plane) => plane.draw());

export class Plane {
  /** @type {{xy: Float32Array, labels: ArrayLike<number>} | null} */
  dots = null;
  /** @type {Spot | null} */
  cursor = null;
  /** @type {Spot[]} */
  path = [];
  /** @type {Spot | null} */
  ring = null;
  prior = false;
  /** @type {{mu: ArrayLike<number>, sigma: ArrayLike<number>, draws: Spot[]} | null} */
  cloud = null;
  /** @type {{picture: ArrayLike<number>, at: Spot}[]} */
  #tiles = [];
  #wanted = 0;
  ink = "";
  #tilesWide = 0;
  /** @type {HTMLCanvasElement | null} */
  #backdrop = null;

  /** @param {{label: string, range: Spot, onmove?: (spot: Spot) => void, id?: string}} options */
  constructor({ label, range, onmove, id }) {
    this.range = range;
    this.label = label;
    this.onmove = onmove;
    this.canvas = h("canvas", {
      class: "plane",
      "data-testid": id,
      "aria-label": label,
      ...(onmove
        ? { tabindex: 0, role: "application", "aria-roledescription": "plane: arrow keys move" }
        : { role: "img" }),
    });
    this.element = this.canvas;
    this.watch = new ResizeObserver(() => this.#size());
    this.watch.observe(this.canvas);
    if (onmove) this.#listen(onmove);
    open.add(this);
  }

  close() {
    open.delete(this);
    this.watch.disconnect();
    cancelAnimationFrame(this.#wanted);
  }

  /** @param {(spot: Spot) => void} onmove */
  #listen(onmove) {
    const { canvas } = this;
    /** @param {PointerEvent} event */
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      const share = (v, from, length) => clamp((v - from) / length) * 2 - 1;
      onmove([
        share(event.clientX, box.left, box.width) * this.range[0],
        -share(event.clientY, box.top, box.height) * this.range[1],
      ]);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      at(event);
    });
    canvas.addEventListener("pointermove", (event) => (event.buttons || event.pointerType === "mouse") && at(event));
    canvas.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      const move = moves[event.key];
      if (!move) return;
      event.preventDefault();
      const [x, y] = this.cursor ?? [0, 0];
      const by = 2 * STEP * (event.shiftKey ? FAST : 1);
      const held = (v, k) => clamp(v, -this.range[k], this.range[k]);
      onmove([held(x + move[0] * by * this.range[0], 0), held(y + move[1] * by * this.range[1], 1)]);
    });
  }

  /** @param {string} text */
  say(text) {
    this.canvas.setAttribute("aria-label", `${this.label}. ${text}`);
  }

  #size() {
    const { canvas } = this;
    const side = Math.round(canvas.clientWidth * Math.min(2, devicePixelRatio));
    if (!side || canvas.width === side) return;
    canvas.width = canvas.height = side;
    this.#backdrop = null;
    this.#paint();
  }

  /**
   * @param {((z: Spot) => ArrayLike<number>) | null} decode
   * @param {number} [n]
   */
  grid(decode, n = 13) {
    this.#tilesWide = n;
    this.#backdrop = null;
    this.#tiles = decode
      ? Array.from({ length: n * n }, (_, i) => {
          /** @type {Spot} */
          const at = [
            ((2 * (i % n) + 1) / n - 1) * this.range[0],
            (1 - (2 * Math.floor(i / n) + 1) / n) * this.range[1],
          ];
          return { at, picture: decode(at) };
        })
      : [];
  }

  draw() {
    if (!this.#wanted) this.#wanted = requestAnimationFrame(() => this.#paint());
  }

  #place([x, y]) {
    const { width } = this.canvas;
    return /** @type {Spot} */ ([(0.5 + x / this.range[0] / 2) * width, (0.5 - y / this.range[1] / 2) * width]);
  }

  #behind(ink) {
    if (this.#backdrop || !this.#tiles.length) return this.#backdrop;
    const { width } = this.canvas;
    const backdrop = h("canvas", { width, height: width });
    const on = context(backdrop);
    const side = Math.sqrt(this.#tiles[0].picture.length);
    const tile = h("canvas", { width: side, height: side });
    const image = context(tile).createImageData(side, side);
    const size = width / this.#tilesWide;
    for (const { at, picture } of this.#tiles) {
      for (let i = 0; i < picture.length; i++) image.data.set([...ink, 127.5 * (picture[i] + 1)], 4 * i);
      context(tile).putImageData(image, 0, 0);
      const [x, y] = this.#place(at);
      on.imageSmoothingQuality = "high";
      on.drawImage(tile, x - 0.46 * size, y - 0.46 * size, 0.92 * size, 0.92 * size);
    }
    this.#backdrop = backdrop;
    return backdrop;
  }

  #paint() {
    this.#wanted = 0;
    const { canvas } = this;
    const { width } = canvas;
    if (!width) return;
    const on = context(canvas);
    const style = getComputedStyle(canvas);
    const of = (name) => style.getPropertyValue(name).trim();
    const ink = this.#rgb(style.color);
    const unit = width / canvas.clientWidth;
    if (this.ink !== style.color) this.#backdrop = null; // the theme has changed
    this.ink = style.color;
    on.clearRect(0, 0, width, width);
    const behind = this.#behind(ink);
    if (behind) {
      on.globalAlpha = 0.34;
      on.drawImage(behind, 0, 0);
    }
    on.globalAlpha = 0.25;
    on.strokeStyle = style.color;
    on.lineWidth = unit;
    const [cx, cy] = this.#place([0, 0]);
    on.beginPath();
    on.moveTo(cx, 0);
    on.lineTo(cx, width);
    on.moveTo(0, cy);
    on.lineTo(width, cy);
    on.stroke();
    if (this.prior) {
      on.setLineDash([3 * unit, 4 * unit]);
      on.globalAlpha = 0.6;
      for (const by of [1, 2]) {
        on.beginPath();
        on.ellipse(cx, cy, (by * width) / this.range[0] / 2, (by * width) / this.range[1] / 2, 0, 0, 7);
        on.stroke();
      }
      on.setLineDash([]);
    }
    this.#dots(on, unit);
    on.globalAlpha = 1;
    if (this.cloud) this.#cloud(on, unit, of);
    if (this.path.length) {
      on.strokeStyle = of("--sym-z");
      on.lineWidth = 2.5 * unit;
      on.setLineDash([6 * unit, 5 * unit]);
      on.beginPath();
      this.path.forEach((spot, i) => (i ? on.lineTo(...this.#place(spot)) : on.moveTo(...this.#place(spot))));
      on.stroke();
      on.setLineDash([]);
    }
    if (this.ring) {
      on.strokeStyle = of("--sym-loss");
      on.lineWidth = 2 * unit;
      on.beginPath();
      on.arc(...this.#place(this.ring), 15 * unit, 0, 7);
      on.stroke();
    }
    if (this.cursor) {
      const [x, y] = this.#place(this.cursor);
      for (const [colour, wide] of /** @type {[string, number][]} */ ([
        [of("--ground"), 6],
        [of("--sym-z"), 3],
      ])) {
        on.strokeStyle = colour;
        on.lineWidth = wide * unit;
        on.beginPath();
        on.arc(x, y, 9 * unit, 0, 7);
        on.stroke();
      }
    }
  }

  #dots(on, unit) {
    if (!this.dots) return;
    const { xy, labels } = this.dots;
    const size = clamp(this.canvas.clientWidth / 170, 1.3, 2.6) * unit;
    on.globalAlpha = this.cloud ? 0.35 : 0.85;
    for (let i = 0; i < labels.length; i++) {
      const [x, y] = this.#place([xy[2 * i], xy[2 * i + 1]]);
      on.fillStyle = LABELS[labels[i]];
      on.fillRect(x - size, y - size, 2 * size, 2 * size);
    }
  }

  #cloud(on, unit, of) {
    const { mu, sigma, draws } = this.cloud ?? { mu: [], sigma: [], draws: [] };
    const { width } = this.canvas;
    const [x, y] = this.#place([mu[0], mu[1]]);
    const radius = (k, by) => (by * sigma[k] * width) / this.range[k] / 2;
    for (const by of [2, 1]) {
      on.beginPath();
      on.ellipse(x, y, radius(0, by), radius(1, by), 0, 0, 7);
      on.globalAlpha = 0.22;
      on.fillStyle = of("--sym-sigma");
      on.fill();
      on.globalAlpha = 1;
      on.strokeStyle = of("--sym-sigma");
      on.lineWidth = 1.5 * unit;
      on.stroke();
    }
    for (const spot of draws) {
      on.beginPath();
      on.arc(...this.#place(spot), 3.5 * unit, 0, 7);
      on.fillStyle = of("--sym-z");
      on.fill();
    }
    on.beginPath();
    on.arc(x, y, 4.5 * unit, 0, 7);
    on.fillStyle = of("--sym-mu");
    on.fill();
  }

  /** @param {string} colour rgb(...) */
  #rgb(colour) {
    const found = colour.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0];
    return found.slice(0, 3);
  }
}

/** How far a plane has to go to hold nearly all of its dots. @param {ArrayLike<number>} xy @returns {Spot} */
export function reach(xy, share = 0.985) {
  const of = (k) => {
    const far = Array.from({ length: xy.length / 2 }, (_, i) => Math.abs(xy[2 * i + k])).sort((a, b) => a - b);
    return 1.08 * far[Math.floor(share * (far.length - 1))];
  };
  return [of(0), of(1)];
}
