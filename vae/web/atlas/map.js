/* A map of points on canvases: pan, zoom, hover, click, box, lasso, dots, thumbnails, background, density. No requests.

   new MapView({onprobe, onpick, onselect, onmove, onescape})
     .element                      put it into the page; it fills its box
     .load({xy, labels, unit})     xy: Float32Array (2 N)
     .paint(values, table)         values: Uint8Array (N) into table: array of [r, g, b]
     .filter(shown)                Uint8Array (N), 1 = drawn and selectable
     .select(mask, second)         Uint8Array (N) or null: what stands out
     .tool = "look" | "box" | "lasso" | "path"
     .marks = {current: [x, y], ellipse: [[a, b], [b, c]], stops: [[x, y]], line: [[x, y]], placed: [picture], dots: [index]}
     .thumbs .backdrop             providers of pictures, see tiles.js; .density = true draws a shade where dots are many
     .draw()                       at the next frame
   onprobe({x, y, px, py, index} | null): the place under the pointer (map units, css px), nearest dot or -1. */

import { context } from "../live/canvas.js";
import { h } from "../live/dom.js";
import { clamp } from "../live/numbers.js";
import { Cells } from "./cells.js";
import { drawShade, shadeOf } from "./density.js";
import { drawAxes, drawMarks, inkOf } from "./paint.js";
import { plotDots } from "./plot.js";

/** @typedef {import("../live/canvas.js").Rgb} Rgb */
/** @typedef {[number, number]} Point */
/** @typedef {{x: number, y: number, px: number, py: number, index: number}} Spot a place of the map, in its units and in css px */
/**
 * @typedef {object} Marks
 * @property {Point | null} [current]
 * @property {number[][] | null} [ellipse]
 * @property {Point[]} [stops]
 * @property {Point[] | null} [line]
 * @property {{x: number, y: number, image?: HTMLCanvasElement}[]} [placed]
 * @property {number[]} [dots]
 */
/**
 * @typedef {object} Handlers
 * @property {(place: Spot | null) => void} onprobe
 * @property {(place: Spot) => void} onpick
 * @property {(selection: {mask: Uint8Array, count: number, add: boolean}) => void} onselect
 * @property {() => void} onmove
 * @property {() => void} onescape
 */
/** @typedef {{kind: string, from: Point, last: Point, moved: boolean, line: Point[]}} Drag */
/** @typedef {{middle: Point, spread: number}} Span */

const PICK_PX = 7;

export class MapView {
  tool = "look";
  count = 0;
  xy = new Float32Array(0);
  values = new Uint8Array(0);
  /** @type {Rgb[]} */
  table = [[120, 120, 120]];
  /** @type {Uint8Array | null} */
  shown = null;
  /** @type {Uint8Array | null} */
  mask = null;
  /** @type {Uint8Array | null} */
  second = null;
  /** @type {Marks} */
  marks = {};
  /** @type {import("./tiles.js").Thumbs} set by the owner, as is the next */
  thumbs;
  /** @type {import("./tiles.js").Backdrop} */
  backdrop;
  density = false;
  crosshair = false;
  closed = false;
  touched = false;
  home = 0; // the scale at which all is in view
  cells = new Cells(this.xy);
  /** @type {ImageData} */
  buffer;
  /** @type {Point | null} */
  cursor = null;
  /** @type {[string, string]} */
  labels = ["", ""];
  unit = "";
  #scheduled = false;
  #fresh = true;
  #loaded = false;
  #unfitted = true;
  /** @type {Map<number, Point>} */
  #pointers = new Map();
  /** @type {Drag | null} */
  #drag = null;
  /** @type {Span | null} */
  #pinched = null;
  /** @type {import("./density.js").Shade | null} */
  #shade = null;

  /** @param {Handlers} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    this.under = h("canvas", { "aria-hidden": "true" });
    this.dots = h("canvas", { "aria-hidden": "true" });
    this.over = h("canvas", { "aria-hidden": "true" });
    this.element = h("div", {
      class: "map", tabindex: 0, role: "application", "data-testid": "atlas-map",
      "aria-label": "Map of codes. Arrow keys move the cursor and the picture follows, Enter takes it, plus and minus zoom, 0 shows all.",
    }, this.under, this.dots, this.over);
    this.camera = { x: 0, y: 0, scale: 1 };
    this.size = { width: 0, height: 0, ratio: 1 };
    this.ink = inkOf(this.element);
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.element);
    this.#listen();
  }

  close() {
    this.observer.disconnect();
    this.closed = true;
  }

  /* Places */

  /** @param {{xy: Float32Array<ArrayBuffer>, labels: [string, string], unit: string}} points */
  load({ xy, labels, unit }) {
    this.xy = xy;
    this.count = xy.length / 2;
    this.labels = labels;
    this.unit = unit;
    this.cells = new Cells(xy);
    this.#loaded = true;
    this.#shade = null;
    this.fit();
    this.draw();
  }

  /** Shown dots in a rectangle of the map. @type {(x0: number, y0: number, x1: number, y1: number) => Generator<number>} */
  within(x0, y0, x1, y1) {
    return this.cells.within(x0, y0, x1, y1, this.shown);
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  nearest(x, y) {
    const reach = PICK_PX / this.camera.scale;
    let best = -1, bound = reach * reach;
    for (const i of this.within(x - reach, y - reach, x + reach, y + reach)) {
      const dx = this.xy[2 * i] - x, dy = this.xy[2 * i + 1] - y, far = dx * dx + dy * dy;
      if (far <= bound) [best, bound] = [i, far];
    }
    return best;
  }

  /* Camera: scale in css px per unit, y upwards. */

  fit() {
    const { width, height } = this.size;
    this.#unfitted = !width || !this.#loaded;
    if (this.#unfitted) return;
    // The middle 99.6 % of the dots: a single odd one must not shrink the rest.
    const [x0, x1] = middle(this.xy, 0), [y0, y1] = middle(this.xy, 1);
    const room = Math.min(width / Math.max(x1 - x0, 1e-6), height / Math.max(y1 - y0, 1e-6)) * 0.9;
    this.camera = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, scale: room };
    this.home = room;
    this.#moved();
  }

  /** @type {(px: number, py: number) => Point} */
  toMap(px, py) {
    const { x, y, scale } = this.camera;
    return [x + (px - this.size.width / 2) / scale, y - (py - this.size.height / 2) / scale];
  }

  /** @type {(x: number, y: number) => Point} */
  toScreen(x, y) {
    const { camera, size } = this;
    return [(x - camera.x) * camera.scale + size.width / 2, size.height / 2 - (y - camera.y) * camera.scale];
  }

  window() {
    const [x0, y1] = this.toMap(0, 0), [x1, y0] = this.toMap(this.size.width, this.size.height);
    return { x0, y0, x1, y1 };
  }

  /** @param {number} factor */
  zoom(factor, px = this.size.width / 2, py = this.size.height / 2) {
    const [x, y] = this.toMap(px, py);
    const home = this.home || 1;
    const scale = clamp(this.camera.scale * factor, home / 8, home * 400);
    this.camera.scale = scale;
    this.camera.x = x - (px - this.size.width / 2) / scale;
    this.camera.y = y + (py - this.size.height / 2) / scale;
    this.#moved();
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    this.camera.x -= dx / this.camera.scale;
    this.camera.y += dy / this.camera.scale;
    this.#moved();
  }

  /** Bring a place into view. @param {number} x @param {number} y */
  reveal(x, y) {
    const [px, py] = this.toScreen(x, y);
    const { width, height } = this.size;
    const edge = 40;
    if (px < edge || py < edge || px > width - edge || py > height - edge) {
      Object.assign(this.camera, { x, y });
      this.#moved();
    }
  }

  #moved() {
    this.handlers.onmove();
    this.draw();
  }

  #resize() {
    const box = this.element.getBoundingClientRect();
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const width = Math.round(box.width), height = Math.round(box.height);
    if (!width || (width === this.size.width && height === this.size.height && ratio === this.size.ratio)) return;
    this.size = { width, height, ratio };
    for (const canvas of [this.under, this.dots, this.over]) {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
    }
    this.buffer = new ImageData(width * ratio, height * ratio);
    if (this.#unfitted) this.fit();
    else this.#moved();
  }

  /* Hands */

  #listen() {
    const { element } = this;
    /** @type {(event: MouseEvent) => Point} */
    const at = (event) => {
      const box = element.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const step = event.deltaMode === 1 ? 33 * event.deltaY : event.deltaY;
      this.zoom(Math.exp(-clamp(step, -240, 240) * 0.0022), ...at(event));
      this.#probe(...at(event));
    }, { passive: false });
    element.addEventListener("pointerdown", (event) => {
      if (event.button > 1 || (event.target instanceof Element && event.target.closest("button, a, .probe"))) return;
      this.touched = true;
      element.focus({ preventScroll: true });
      element.removeAttribute("data-keys");
      element.setPointerCapture(event.pointerId);
      const [px, py] = at(event);
      this.#pointers.set(event.pointerId, [px, py]);
      if (this.#pointers.size === 2) return void (this.#pinched = this.#span());
      const shift = event.shiftKey ? "box" : null;
      const kind = event.button === 1 ? "pan" : shift ?? { box: "box", lasso: "lasso" }[this.tool] ?? (event.pointerType === "touch" ? "touch" : "pan");
      this.#drag = { kind, from: [px, py], last: [px, py], moved: false, line: [[px, py]] };
      if (kind === "touch") this.#probe(px, py);
    });
    element.addEventListener("pointermove", (event) => {
      const [px, py] = at(event);
      const drag = this.#drag;
      if (!drag && !this.#pinched) return this.#probe(px, py);
      if (this.#pointers.has(event.pointerId)) this.#pointers.set(event.pointerId, [px, py]);
      if (this.#pinched && this.#pointers.size === 2) return this.#pinch(this.#pinched);
      if (!drag || this.#pinched) return;
      const far = Math.hypot(px - drag.from[0], py - drag.from[1]);
      if (far > 4) drag.moved = true;
      if (!drag.moved) return;
      if (drag.kind === "pan") {
        this.pan(px - drag.last[0], py - drag.last[1]);
        this.#probe(px, py);
      } else if (drag.kind === "touch") this.#probe(px, py);
      else if (drag.kind === "lasso") {
        if (Math.hypot(px - drag.last[0], py - drag.last[1]) > 2) drag.line.push([px, py]);
        else return;
      }
      drag.last = [px, py];
      this.#fresh = false;
      this.draw(false);
    });
    /** @type {(event: PointerEvent, cancelled: boolean) => void} */
    const end = (event, cancelled) => {
      this.#pointers.delete(event.pointerId);
      const drag = this.#drag;
      if (!drag || (this.#pinched && this.#pointers.size)) return;
      const ended = cancelled || this.#pinched;
      this.#drag = this.#pinched = null;
      if (ended) return this.draw();
      const [px, py] = at(event);
      if (!drag.moved) this.#pick(px, py);
      else if (drag.kind === "box") this.#choose(box(drag.from, [px, py]), event);
      else if (drag.kind === "lasso") this.#choose(drag.line, event);
      this.draw();
    };
    element.addEventListener("pointerup", (event) => end(event, false));
    element.addEventListener("pointercancel", (event) => end(event, true));
    element.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && !this.#drag && this.handlers.onprobe(null));
    element.addEventListener("dblclick", (event) => event.preventDefault());
    element.addEventListener("keydown", (event) => this.#key(event));
    // The frame of the focus is for those who came by keyboard.
    element.addEventListener("focus", () => {
      element.toggleAttribute("data-keys", !this.touched);
      this.touched = false;
    });
  }

  /** @returns {Span} */
  #span() {
    const [a, b] = [...this.#pointers.values()];
    return { middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], spread: Math.max(20, Math.hypot(a[0] - b[0], a[1] - b[1])) };
  }

  /** @param {Span} before */
  #pinch(before) {
    const { middle, spread } = this.#pinched = this.#span();
    this.pan(middle[0] - before.middle[0], middle[1] - before.middle[1]);
    this.zoom(spread / before.spread, ...middle);
  }

  /** @type {(px: number, py: number) => Spot} */
  #spot(px, py) {
    const [x, y] = this.toMap(px, py);
    return { x, y, px, py, index: this.nearest(x, y) };
  }

  /** @param {number} px @param {number} py */
  #probe(px, py) {
    this.cursor = [px, py];
    this.handlers.onprobe(this.#spot(px, py));
  }

  /** What the pointer would see at a place, without a pointer. @param {number} px @param {number} py */
  probeAt(px, py) {
    this.#probe(px, py);
    this.draw(false);
  }

  /** @param {number} px @param {number} py */
  #pick(px, py) {
    this.handlers.onpick(this.#spot(px, py));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.target !== this.element || event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height } = this.size;
    /** @type {Record<string, Point>} */
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in steps) {
      const reach = event.shiftKey ? 48 : 12;
      let [px, py] = this.cursor ?? [width / 2, height / 2];
      px += steps[event.key][0] * reach;
      py += steps[event.key][1] * reach;
      const out = [px - clamp(px, 20, width - 20), py - clamp(py, 20, height - 20)];
      if (out[0] || out[1]) this.pan(-out[0], -out[1]);
      this.element.setAttribute("data-keys", "");
      this.probeAt(px - out[0], py - out[1]);
    } else if (event.key === "Enter" || event.key === " ") this.#pick(...(this.cursor ?? [width / 2, height / 2]));
    else if (event.key === "+" || event.key === "=") this.zoom(1.5, ...(this.cursor ?? []));
    else if (event.key === "-") this.zoom(1 / 1.5, ...(this.cursor ?? []));
    else if (event.key === "0") this.fit();
    else if (event.key === "Escape") this.handlers.onescape();
    else return;
    event.preventDefault();
  }

  /** Dots inside an outline in css px. @param {Point[]} outline @param {PointerEvent} event */
  #choose(outline, event) {
    const line = outline.map(([px, py]) => this.toMap(px, py));
    const mask = new Uint8Array(this.count);
    const xs = line.map((p) => p[0]), ys = line.map((p) => p[1]);
    let count = 0;
    for (const i of this.within(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys))) {
      if (inside(this.xy[2 * i], this.xy[2 * i + 1], line)) {
        mask[i] = 1;
        count++;
      }
    }
    this.handlers.onselect({ mask, count, add: event.shiftKey && this.tool !== "look" });
  }

  /** @param {Uint8Array<ArrayBuffer>} values @param {Rgb[]} table */
  paint(values, table) {
    this.values = values;
    this.table = table;
    this.draw();
  }

  /** @param {Uint8Array | null} shown */
  filter(shown) {
    this.shown = shown;
    this.#shade = null;
    this.draw();
  }

  /** @type {(mask: Uint8Array | null, second: Uint8Array | null) => void} */
  select(mask, second) {
    this.mask = mask;
    this.second = second;
    this.draw();
  }

  /* Drawing */

  draw(all = true) {
    if (all) this.#fresh = true;
    if (this.#scheduled || this.closed) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      if (!this.size.width || this.closed) return;
      if (this.#fresh) {
        const start = performance.now();
        this.ink = inkOf(this.element);
        this.#drawUnder();
        plotDots(this.buffer, this);
        context(this.dots).putImageData(this.buffer, 0, 0);
        this.element.dataset.drawMs = (performance.now() - start).toFixed(1);
      }
      this.#fresh = false;
      const over = this.#cleared(this.over);
      this.thumbs.draw(over, this);
      drawMarks(over, this);
    });
  }

  /** @param {HTMLCanvasElement} canvas */
  #cleared(canvas) {
    const on = context(canvas);
    on.setTransform(1, 0, 0, 1, 0, 0);
    on.clearRect(0, 0, canvas.width, canvas.height);
    on.scale(this.size.ratio, this.size.ratio);
    return on;
  }

  #drawUnder() {
    const on = this.#cleared(this.under);
    on.imageSmoothingQuality = "high";
    this.backdrop.draw(on, this);
    if (this.density) drawShade(on, this, (this.#shade ??= shadeOf(this)));
    drawAxes(on, this);
  }

  /* The colours of the page have changed. */
  recolour() {
    this.#shade = null;
    this.draw();
  }

  /* The outline of a selection under way, css px. */
  get outline() {
    const drag = this.#drag;
    if (!drag?.moved || this.#pinched) return null;
    return drag.kind === "box" ? box(drag.from, drag.last) : drag.kind === "lasso" ? drag.line : null;
  }
}

/** The corners between two. @type {(a: Point, b: Point) => Point[]} */
function box([px, py], [qx, qy]) {
  return [[px, py], [qx, py], [qx, qy], [px, qy]];
}

/** @type {(x: number, y: number, line: Point[]) => boolean} */
function inside(x, y, line) {
  let odd = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [xi, yi] = line[i], [xj, yj] = line[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

/** Where most of the dots lie along one axis. @type {(xy: Float32Array, offset: number) => Point} */
function middle(xy, offset) {
  const step = Math.max(1, Math.floor(xy.length / 2 / 5000));
  /** @type {number[]} */
  const some = [];
  for (let i = 0; i < xy.length / 2; i += step) some.push(xy[2 * i + offset]);
  if (!some.length) return [-1, 1];
  some.sort((a, b) => a - b);
  return [some[Math.floor(some.length * 0.002)], some[Math.ceil(some.length * 0.998) - 1]];
}
