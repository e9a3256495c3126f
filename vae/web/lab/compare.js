/* Two pictures under one divider, so that every difference is seen in its place.

   new Compare(side)             side: pixels of a picture's edge
     .element
     .show(left, right)          Promise; each {title, src, figures?}: what the words under it say
     .look(lens)                 show both through a lens: (pixels) => pixels, or null for none; their difference stays
     .shared                     a drag or double click away from the divider is somebody else's, where nothing is panned
   The divider is a slider: arrows, Home, End, 1, 2, 3 for left, middle, right; a double click for the middle; hold the
   button or the space bar to flip. Zoomed in, drag the picture, or Shift and the arrows. */

import { context } from "../live/canvas.js";
import { h, radios } from "../live/dom.js";
import { clamp } from "../live/numbers.js";
import { phrase } from "./figures.js";

/** @typedef {{title: string, src: string, psnr?: number, ssim?: number, perceptual?: number, bytes?: number | null}} Shown */

const ZOOMS = [["fit", "Fit"], ["1", "100\u202f%"], ["2", "2\u00d7"], ["4", "4\u00d7"], ["8", "8\u00d7"]];
const GAIN = 4; // of a difference, so that faint ones are seen
const PLACES = { 1: 0, 2: 50, 3: 100 };

export class Compare {
  split = 50;
  zoom = "fit";
  x = 0; // how far the picture is dragged, in its own pixels
  y = 0;
  flipped = false;
  shared = false;
  /** @type {import("../live/engine.js").Lens | null} */
  #lens = null;
  /** @type {ImageData[]} both pictures as they are */
  #images = [];
  #turn = 0;

  /** @param {number} side */
  constructor(side) {
    this.side = side;
    const canvas = (name, label) => h("canvas", { width: side, height: side, role: "img", "aria-label": label, "data-testid": `compare-${name}` });
    this.a = canvas("left", "Left picture");
    this.b = canvas("right", "Right picture");
    this.d = canvas("difference", "Difference of both pictures");
    this.handle = h("div", { class: "divider", role: "slider", tabindex: 0, "aria-label": "Divider between the pictures", "aria-orientation": "horizontal",
      "aria-valuemin": 0, "aria-valuemax": 100, "data-testid": "divider", onkeydown: (event) => this.#key(event), onkeyup: (event) => event.key === " " && this.flip(false),
      onblur: () => this.flip(false) }, h("i", { "aria-hidden": "true" }));
    this.layers = h("div", { class: "layers" }, this.a, this.b, this.d);
    this.view = h("div", { class: "sight", onpointerdown: (event) => this.#grab(event),
      ondblclick: (event) => (this.#yields(event) ? null : this.place(50)) }, this.layers, this.handle);
    this.names = [h("figcaption", { class: "name left" }), h("figcaption", { class: "name right" })];
    const hold = h("button", { type: "button", class: "button", title: "Hold to see the pictures the other way round", "data-testid": "flip",
      onpointerdown: () => this.flip(true), onpointerup: () => this.flip(false), onpointerleave: () => this.flip(false),
      onkeydown: (event) => [" ", "Enter"].includes(event.key) && this.flip(true), onkeyup: () => this.flip(false), onblur: () => this.flip(false) }, "Hold to flip");
    this.differ = h("button", { type: "button", class: "button", "aria-pressed": "false", "data-testid": "difference",
      title: `What differs, ${GAIN} times as strong; black is equal`, onclick: () => this.difference(this.view.dataset.difference === undefined) }, "Difference");
    const zooms = radios("lab-zoom", "Zoom", ZOOMS, (value) => this.magnify(value), { chosen: "fit" });
    const tools = h("div", { class: "tools" }, zooms.element, h("span", { class: "push" }), hold, this.differ);
    this.element = h("figure", { class: "compare" }, this.view, h("div", { class: "names" }, ...this.names), tools,
      h("p", { class: "hint" }, "Drag the divider, or 1, 2, 3 and the arrow keys; the space bar flips."));
    new ResizeObserver(() => this.#lay()).observe(this.view);
    this.place(50);
  }

  /**
   * @param {Shown} left
   * @param {Shown} right
   */
  async show(left, right) {
    const turn = (this.#turn += 1);
    const images = await Promise.all([left, right].map(({ src }) => picture(src)));
    if (turn !== this.#turn) return; // another pair was chosen meanwhile
    this.#images = [this.a, this.b].map((canvas, i) => {
      const on = context(canvas, { willReadFrequently: true });
      on.clearRect(0, 0, this.side, this.side);
      on.drawImage(images[i], 0, 0, this.side, this.side);
      canvas.setAttribute("aria-label", [left, right][i].title);
      return on.getImageData(0, 0, this.side, this.side);
    });
    this.#paint();
    this.#differ();
    this.names.forEach((name, i) => {
      const { title, ...figures } = [left, right][i];
      name.replaceChildren(h("b", {}, title), h("span", {}, phrase(figures)));
    });
    this.element.dataset.drawn = String(turn);
  }

  /** @param {import("../live/engine.js").Lens | null} lens */
  look(lens) {
    this.#lens = lens;
    this.#paint();
  }

  #paint() {
    this.#images.forEach(({ data }, i) => {
      context([this.a, this.b][i]).putImageData(new ImageData(this.#lens?.(data) ?? data, this.side, this.side), 0, 0);
    });
  }

  /** @param {number} percent */
  place(percent) {
    this.split = clamp(percent, 0, 100);
    this.handle.setAttribute("aria-valuenow", String(Math.round(this.split)));
    this.handle.setAttribute("aria-valuetext", `${Math.round(this.split)} % of the left picture`);
    this.#lay();
  }

  /** @param {boolean} on */
  flip(on) {
    this.flipped = on;
    this.view.toggleAttribute("data-flipped", on);
    this.#lay();
  }

  /** @param {boolean} on */
  difference(on) {
    this.view.toggleAttribute("data-difference", on);
    this.differ.setAttribute("aria-pressed", String(on));
  }

  /** @param {string} zoom */
  magnify(zoom) {
    this.zoom = zoom;
    this.x = this.y = 0;
    this.#lay();
  }

  #scale() {
    const wide = this.view.clientWidth || this.side;
    // One pixel of the picture on whole pixels of the screen: the edges of all layers fall together.
    return this.zoom === "fit" ? wide / this.side : Number(this.zoom) / devicePixelRatio;
  }

  #lay() {
    const wide = this.view.clientWidth || this.side;
    const scale = this.#scale();
    const size = this.side * scale;
    const room = Math.max(0, (size - wide) / 2);
    const snap = (v) => Math.round(v * devicePixelRatio) / devicePixelRatio;
    this.x = clamp(this.x, -room / scale, room / scale);
    this.y = clamp(this.y, -room / scale, room / scale);
    const left = snap((wide - size) / 2 + this.x * scale);
    const top = snap((wide - size) / 2 + this.y * scale);
    const { style } = this.layers;
    style.width = style.height = `${size}px`;
    style.transform = `translate(${left}px, ${top}px)`;
    const cut = clamp((this.split / 100 * wide - left) / size * 100, 0, 100);
    this.layers.style.setProperty("--cut", `${cut}%`);
    this.view.style.setProperty("--split", `${this.split}%`);
    this.view.classList.toggle("hard", (this.zoom !== "fit" && Number(this.zoom) > 1) || this.side < 64);
  }

  #differ() {
    const [a, b] = this.#images.map(({ data }) => data);
    const image = new ImageData(this.side, this.side);
    for (let i = 0; i < a.length; i++) image.data[i] = i % 4 === 3 ? 255 : GAIN * Math.abs(a[i] - b[i]);
    context(this.d).putImageData(image, 0, 0);
  }

  #key(event) {
    const step = event.key === "ArrowLeft" || event.key === "ArrowDown" ? -1 : event.key === "ArrowRight" || event.key === "ArrowUp" ? 1 : 0;
    if (step && event.shiftKey) {
      const along = event.key === "ArrowLeft" || event.key === "ArrowRight" ? "x" : "y";
      this[along] += (along === "x" ? -step : step) * this.side / 16;
      this.#lay();
    } else if (step) this.place(this.split + 2 * step);
    else if (event.key in PLACES) this.place(PLACES[event.key]);
    else if (event.key === "Home") this.place(0);
    else if (event.key === "End") this.place(100);
    else if (event.key === " ") this.flip(true);
    else return;
    event.preventDefault();
  }

  #near(event) {
    const box = this.view.getBoundingClientRect();
    return Math.abs(event.clientX - box.left - this.split / 100 * box.width) < 24;
  }

  /* Whether the picture is larger than its frame, so that a hand away from the divider pans it. */
  #pans(event) {
    return this.zoom !== "fit" && !this.#near(event) && this.side * this.#scale() > this.view.getBoundingClientRect().width;
  }

  #yields(event) {
    return this.shared && !this.#near(event) && !this.#pans(event);
  }

  #grab(event) {
    if (this.#yields(event)) return;
    event.stopImmediatePropagation();
    const box = this.view.getBoundingClientRect();
    const drags = this.#pans(event);
    const from = { x: event.clientX, y: event.clientY, px: this.x, py: this.y };
    const move = (e) => {
      if (drags) {
        this.x = from.px + (e.clientX - from.x) / this.#scale();
        this.y = from.py + (e.clientY - from.y) / this.#scale();
        this.#lay();
      } else this.place((e.clientX - box.left) / box.width * 100);
    };
    const end = () => {
      this.view.removeEventListener("pointermove", move);
      delete this.view.dataset.held;
    };
    this.view.setPointerCapture(event.pointerId);
    this.view.dataset.held = drags ? "picture" : "divider";
    this.view.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) this.view.addEventListener(name, end, { once: true });
    if (!drags) {
      this.handle.focus({ preventScroll: true });
      move(event);
    }
  }
}

/** @param {string} src */
export async function picture(src) {
  const image = new Image();
  image.src = src;
  await image.decode();
  return image;
}
