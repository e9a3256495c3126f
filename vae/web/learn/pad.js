/* A pad to draw a digit on, by hand or by keys: arrows move the pen, space puts it down and up.

   new Pad(side, ondraw)   .element .set(x) .clear(); x: numbers in [-1, 1] */

import { h } from "../live/dom.js";
import { clamp } from "../live/numbers.js";
import { picture } from "./parts.js";

const THICK = 1.05; // pixels of the pen's soft round tip

export class Pad {
  #down = false;
  /** @type {[number, number] | null} */
  #last = null;

  /**
   * @param {number} side
   * @param {(x: Float32Array<ArrayBuffer>) => void} ondraw
   */
  constructor(side, ondraw) {
    this.side = side;
    this.ondraw = ondraw;
    this.x = new Float32Array(side * side).fill(-1);
    this.shown = picture(side, "", { class: "large", id: "pad" });
    this.pen = { x: side / 2, y: side / 4, down: false };
    const { canvas } = this.shown;
    this.cursor = h("i", { class: "pen", "aria-hidden": "true" });
    canvas.setAttribute("tabindex", "0");
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Drawing pad: arrow keys move the pen, space puts it down and lifts it");
    this.element = h("div", { class: "pad" }, canvas, this.cursor);
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      return /** @type {[number, number]} */ ([
        ((event.clientX - box.left) / box.width) * side,
        ((event.clientY - box.top) / box.height) * side,
      ]);
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      if (this.fresh) this.#wipe();
      this.#down = true;
      this.#last = at(event);
      this.#line(this.#last, this.#last);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.#down || !this.#last) return;
      const now = at(event);
      this.#line(this.#last, now);
      this.#last = now;
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (this.#down = false));
    canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    const { pen, side } = this;
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down && this.fresh) this.#wipe();
    } else if (!move) return;
    event.preventDefault();
    const from = /** @type {[number, number]} */ ([pen.x, pen.y]);
    if (move) {
      pen.x = clamp(pen.x + move[0], 1, side - 1);
      pen.y = clamp(pen.y + move[1], 1, side - 1);
    }
    this.cursor.style.translate = `${(100 * pen.x) / side}cqw ${(100 * pen.y) / side}cqw`;
    this.cursor.toggleAttribute("data-down", pen.down);
    if (pen.down) this.#line(from, [pen.x, pen.y]);
  }

  /* A soft line: the ink of a pixel falls off with its distance from the stroke. */
  #line([ax, ay], [bx, by]) {
    const { side, x } = this;
    const long = (bx - ax) ** 2 + (by - ay) ** 2;
    for (let i = 0; i < x.length; i++) {
      const [px, py] = [(i % side) + 0.5, Math.floor(i / side) + 0.5];
      const t = long ? clamp(((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / long) : 0;
      const far = Math.hypot(px - ax - t * (bx - ax), py - ay - t * (by - ay));
      x[i] = Math.max(x[i], 2 * clamp(1.6 - far / THICK) - 1);
    }
    this.#changed();
  }

  #wipe() {
    this.x.fill(-1);
    this.fresh = false;
  }

  #changed() {
    this.shown.show(this.x);
    this.ondraw(this.x.slice());
  }

  clear() {
    this.#wipe();
    this.#changed();
  }

  /** An example, which the first stroke replaces. @param {ArrayLike<number>} x */
  set(x) {
    this.x.set(x);
    this.fresh = true;
    this.shown.show(this.x);
  }

  fresh = true;
}
