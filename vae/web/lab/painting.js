/* Painting on the picture by hand: what is hidden, or what was never there.

   new Painting(side, onchange)
     .element
     .begin(src)            Promise: a fresh picture under the brush
     .colour                null paints a mask, else the colour that is painted
     .mask, .painted        data addresses of the mask and the painted picture
     .empty                 whether nothing was painted */

import { context } from "../live/canvas.js";
import { h } from "../live/dom.js";
import { picture } from "./compare.js";

export class Painting {
  /** @type {string | null} */
  colour = null;
  empty = true;
  size = 14; // % of the side
  at = { x: 0.5, y: 0.5 }; // where the keys paint

  /**
   * @param {number} side
   * @param {() => void} onchange
   */
  constructor(side, onchange) {
    this.side = side;
    this.onchange = onchange;
    const canvas = () => h("canvas", { width: side, height: side, "aria-hidden": "true" });
    this.base = canvas();
    this.paint = canvas();
    this.brush = h("i", { class: "brush", "aria-hidden": "true" });
    this.board = h("div", { class: "board", tabindex: 0, role: "application", "data-testid": "board",
      "aria-label": "Paint on the picture: drag, or move the brush with the arrow keys and press the space bar",
      onpointerdown: (event) => this.#stroke(event), onkeydown: (event) => this.#key(event) }, this.base, this.paint, this.brush);
    const size = h("input", { type: "range", min: 3, max: 40, value: this.size, "aria-label": "Size of the brush", oninput: () => { this.size = Number(size.value); this.#place(); } });
    this.element = h("div", { class: "painting" }, this.board, h("div", { class: "row" },
      h("label", { class: "slide" }, h("span", {}, "Brush"), size),
      h("button", { type: "button", class: "button", onclick: () => this.clear() }, "Wipe")));
  }

  /** @param {string} src */
  async begin(src) {
    if (src === this.src) return;
    this.src = src;
    context(this.base).drawImage(await picture(src), 0, 0, this.side, this.side);
    this.clear();
  }

  clear() {
    this.empty = true;
    context(this.paint).clearRect(0, 0, this.side, this.side);
    this.#place();
  }

  get mask() {
    const canvas = h("canvas", { width: this.side, height: this.side });
    const on = context(canvas);
    on.drawImage(this.paint, 0, 0);
    const image = on.getImageData(0, 0, this.side, this.side);
    for (let i = 0; i < image.data.length; i += 4) {
      const value = image.data[i + 3] > 127 ? 255 : 0;
      image.data.fill(value, i, i + 3);
      image.data[i + 3] = 255;
    }
    on.putImageData(image, 0, 0);
    return canvas.toDataURL("image/png");
  }

  get painted() {
    const canvas = h("canvas", { width: this.side, height: this.side });
    context(canvas).drawImage(this.base, 0, 0);
    context(canvas).drawImage(this.paint, 0, 0);
    return canvas.toDataURL("image/png");
  }

  #dab(x, y) {
    const on = context(this.paint);
    on.fillStyle = this.colour ?? "#14b8a6";
    on.beginPath();
    on.arc(x * this.side, y * this.side, Math.max(0.7, this.size / 200 * this.side), 0, 7);
    on.fill();
    this.empty = false;
  }

  #place() {
    const { style } = this.brush;
    style.left = `${100 * this.at.x}%`;
    style.top = `${100 * this.at.y}%`;
    style.width = `${this.size}%`;
  }

  #stroke(event) {
    event.preventDefault();
    const box = this.board.getBoundingClientRect();
    let last = null;
    const move = (e) => {
      const to = { x: (e.clientX - box.left) / box.width, y: (e.clientY - box.top) / box.height };
      const from = last ?? to;
      const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / (this.size / 400)));
      for (let i = 1; i <= steps; i++) this.#dab(from.x + (to.x - from.x) * i / steps, from.y + (to.y - from.y) * i / steps);
      this.at = last = to;
      this.#place();
    };
    const end = () => {
      this.board.removeEventListener("pointermove", move);
      this.onchange();
    };
    this.board.setPointerCapture(event.pointerId);
    this.board.addEventListener("pointermove", move);
    this.board.addEventListener("pointerup", end, { once: true });
    this.board.addEventListener("pointercancel", end, { once: true });
    this.board.focus({ preventScroll: true });
    move(event);
  }

  #key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step) {
      this.at = { x: Math.min(1, Math.max(0, this.at.x + step[0] / 25)), y: Math.min(1, Math.max(0, this.at.y + step[1] / 25)) };
      this.#place();
    } else if (event.key === " ") {
      this.#dab(this.at.x, this.at.y);
      this.onchange();
    } else return;
    event.preventDefault();
  }
}
