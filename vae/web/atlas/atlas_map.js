/* A map of points on canvases: pan, zoom, hover, click, box, lasso, dots, thumbnails, background, density. No requests.

   new MapView({onprobe, onpick, onselect, onmove, onstop})
     .element                      put it into the page; it fills its box
     .load({xy, labels, unit})     xy: Float32Array (2 N); keeps the camera only where `keep` is true
     .paint(values, table)         values: Uint8Array (N) into table: array of [r, g, b]
     .filter(shown)                Uint8Array (N), 1 = drawn and selectable
     .select(mask, second)         Uint8Array (N) or null: what stands out
     .tool = "look" | "box" | "lasso" | "path"
     .marks = {current: [x, y], ellipse: [[a, b], [b, c]], stops: [[x, y]], line: [[x, y]], placed: [{x, y, id}], dots: [index]}
     .thumbs .backdrop             providers of pictures, see below; .density = true draws a shade where dots are many
     .draw()                       at the next frame
   onprobe({x, y, px, py, index, moving} | null): the place under the pointer (map units, css px), nearest dot or -1.
   Software drawing into one pixel buffer: 100,000 dots take a few milliseconds, with or without a GPU. */

import { h } from "../live/dom.js";

const TAU = 2 * Math.PI;
const PICK_PX = 7;
const CELLS = 96;

export class MapView {
  tool = "look";
  count = 0;
  xy = new Float32Array(0);
  values = new Uint8Array(0);
  table = [[120, 120, 120]];
  shown = null;
  mask = null;
  second = null;
  marks = {};
  thumbs = null;
  backdrop = null;
  density = false;
  labels = ["", ""];
  unit = "";
  #scheduled = false;
  #fresh = true;
  #pointers = new Map();
  #gesture = null;
  #shade = null;

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
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.element);
    this.#listen();
  }

  close() {
    this.observer.disconnect();
    this.closed = true;
  }

  /* Places */

  load({ xy, labels, unit }, keep = false) {
    this.xy = xy;
    this.count = xy.length / 2;
    this.labels = labels;
    this.unit = unit;
    this.#index();
    this.#shade = null;
    if (!keep) this.fit();
    this.draw();
  }

  #index() {
    const { xy, count } = this;
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
    // Counting sort into cells: the dot under the pointer is found without a look at all others.
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

  /* Shown dots in a rectangle of the map, by cells. */
  *within(x0, y0, x1, y1) {
    const { bounds, grid, xy, shown } = this;
    const low = (v, from, scale) => Math.max(0, Math.min(CELLS - 1, Math.floor((v - from) * scale)));
    const c0 = low(x0, bounds.x0, grid.sx), c1 = low(x1, bounds.x0, grid.sx);
    const r0 = low(y0, bounds.y0, grid.sy), r1 = low(y1, bounds.y0, grid.sy);
    for (let r = r0; r <= r1; r++) {
      for (let k = grid.start[r * CELLS + c0]; k < grid.start[r * CELLS + c1 + 1]; k++) {
        const i = grid.order[k];
        const x = xy[2 * i], y = xy[2 * i + 1];
        if (x >= x0 && x <= x1 && y >= y0 && y <= y1 && (!shown || shown[i])) yield i;
      }
    }
  }

  nearest(x, y, px = PICK_PX) {
    const reach = px / this.camera.scale;
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
    if (!width || !this.bounds) return void (this.unfitted = true);
    this.unfitted = false;
    // The middle 99.6 % of the dots: a single odd one must not shrink the rest.
    const [x0, x1] = middle(this.xy, 0), [y0, y1] = middle(this.xy, 1);
    const room = Math.min(width / Math.max(x1 - x0, 1e-6), height / Math.max(y1 - y0, 1e-6)) * 0.9;
    this.camera = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, scale: room };
    this.home = room;
    this.#moved();
  }

  toMap(px, py) {
    const { x, y, scale } = this.camera;
    return [x + (px - this.size.width / 2) / scale, y - (py - this.size.height / 2) / scale];
  }

  toScreen(x, y) {
    const { camera, size } = this;
    return [(x - camera.x) * camera.scale + size.width / 2, size.height / 2 - (y - camera.y) * camera.scale];
  }

  window() {
    const [x0, y1] = this.toMap(0, 0), [x1, y0] = this.toMap(this.size.width, this.size.height);
    return { x0, y0, x1, y1 };
  }

  zoom(factor, px = this.size.width / 2, py = this.size.height / 2) {
    const [x, y] = this.toMap(px, py);
    const scale = Math.max((this.home ?? 1) / 8, Math.min((this.home ?? 1) * 400, this.camera.scale * factor));
    this.camera.scale = scale;
    this.camera.x = x - (px - this.size.width / 2) / scale;
    this.camera.y = y + (py - this.size.height / 2) / scale;
    this.#moved();
  }

  pan(dx, dy) {
    this.camera.x -= dx / this.camera.scale;
    this.camera.y += dy / this.camera.scale;
    this.#moved();
  }

  /* Bring a place into view. */
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
    this.handlers.onmove?.();
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
    if (this.unfitted ?? true) this.fit();
    else this.#moved();
  }

  /* Hands */

  #listen() {
    const { element } = this;
    const at = (event) => {
      const box = element.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const step = event.deltaMode === 1 ? 33 * event.deltaY : event.deltaY;
      this.zoom(Math.exp(-Math.max(-240, Math.min(240, step)) * 0.0022), ...at(event));
      this.#probe(...at(event), false);
    }, { passive: false });
    element.addEventListener("pointerdown", (event) => {
      if (event.button > 1 || event.target.closest("button, a, .probe")) return;
      this.touched = true;
      element.focus({ preventScroll: true });
      element.removeAttribute("data-keys");
      element.setPointerCapture(event.pointerId);
      const [px, py] = at(event);
      this.#pointers.set(event.pointerId, [px, py]);
      if (this.#pointers.size === 2) return void (this.#gesture = { kind: "pinch", ...this.#span() });
      const shift = event.shiftKey ? "box" : null;
      const kind = event.button === 1 ? "pan" : shift ?? { box: "box", lasso: "lasso" }[this.tool] ?? (event.pointerType === "touch" ? "touch" : "pan");
      this.#gesture = { kind, from: [px, py], last: [px, py], moved: false, line: [[px, py]] };
      if (kind === "touch") this.#probe(px, py, true);
    });
    element.addEventListener("pointermove", (event) => {
      const [px, py] = at(event);
      const gesture = this.#gesture;
      if (!gesture) return this.#probe(px, py, true);
      if (this.#pointers.has(event.pointerId)) this.#pointers.set(event.pointerId, [px, py]);
      if (gesture.kind === "pinch") return this.#pinch(gesture);
      const far = Math.hypot(px - gesture.from[0], py - gesture.from[1]);
      if (far > 4) gesture.moved = true;
      if (!gesture.moved) return;
      if (gesture.kind === "pan") {
        this.pan(px - gesture.last[0], py - gesture.last[1]);
        this.#probe(px, py, true);
      } else if (gesture.kind === "touch") this.#probe(px, py, true);
      else if (gesture.kind === "lasso") {
        if (Math.hypot(px - gesture.last[0], py - gesture.last[1]) > 2) gesture.line.push([px, py]);
        else return;
      }
      gesture.last = [px, py];
      this.#fresh = false;
      this.draw(false);
    });
    const end = (event, cancelled) => {
      this.#pointers.delete(event.pointerId);
      const gesture = this.#gesture;
      if (!gesture || (gesture.kind === "pinch" && this.#pointers.size)) return;
      this.#gesture = null;
      if (cancelled || gesture.kind === "pinch") return this.draw();
      const [px, py] = at(event);
      if (!gesture.moved) this.#pick(px, py);
      else if (gesture.kind === "box") this.#choose(box(gesture.from, [px, py]), event);
      else if (gesture.kind === "lasso") this.#choose(gesture.line, event);
      this.draw();
    };
    element.addEventListener("pointerup", (event) => end(event, false));
    element.addEventListener("pointercancel", (event) => end(event, true));
    element.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && !this.#gesture && this.handlers.onprobe?.(null));
    element.addEventListener("dblclick", (event) => event.preventDefault());
    element.addEventListener("keydown", (event) => this.#key(event));
    // The frame of the focus is for those who came by keyboard.
    element.addEventListener("focus", () => {
      element.toggleAttribute("data-keys", !this.touched);
      this.touched = false;
    });
  }

  #span() {
    const [a, b] = [...this.#pointers.values()];
    return { middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], spread: Math.max(20, Math.hypot(a[0] - b[0], a[1] - b[1])) };
  }

  #pinch(gesture) {
    const { middle, spread } = this.#span();
    this.pan(middle[0] - gesture.middle[0], middle[1] - gesture.middle[1]);
    this.zoom(spread / gesture.spread, ...middle);
    Object.assign(gesture, { middle, spread });
  }

  #probe(px, py, moving) {
    this.cursor = [px, py];
    const [x, y] = this.toMap(px, py);
    this.handlers.onprobe?.({ x, y, px, py, index: this.nearest(x, y), moving });
  }

  /* What the pointer would see at a place, without a pointer. */
  probeAt(px, py) {
    this.#probe(px, py, true);
    this.draw(false);
  }

  #pick(px, py) {
    const [x, y] = this.toMap(px, py);
    const index = this.nearest(x, y);
    this.handlers.onpick?.({ x, y, px, py, index });
  }

  #key(event) {
    if (event.target !== this.element || event.ctrlKey || event.metaKey || event.altKey) return;
    const { width, height } = this.size;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in steps) {
      const reach = event.shiftKey ? 48 : 12;
      let [px, py] = this.cursor ?? [width / 2, height / 2];
      px += steps[event.key][0] * reach;
      py += steps[event.key][1] * reach;
      const out = [px - Math.max(20, Math.min(width - 20, px)), py - Math.max(20, Math.min(height - 20, py))];
      if (out[0] || out[1]) this.pan(-out[0], -out[1]);
      this.element.setAttribute("data-keys", "");
      this.probeAt(px - out[0], py - out[1]);
    } else if (event.key === "Enter" || event.key === " ") this.#pick(...(this.cursor ?? [width / 2, height / 2]));
    else if (event.key === "+" || event.key === "=") this.zoom(1.5, ...(this.cursor ?? []));
    else if (event.key === "-") this.zoom(1 / 1.5, ...(this.cursor ?? []));
    else if (event.key === "0") this.fit();
    else if (event.key === "Escape") this.handlers.onescape?.();
    else return;
    event.preventDefault();
  }

  /* Dots inside an outline in css px. */
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
    this.handlers.onselect?.({ mask, count, add: event.shiftKey && this.tool !== "look", outline: line });
  }

  paint(values, table) {
    this.values = values;
    this.table = table;
    this.draw();
  }

  filter(shown) {
    this.shown = shown;
    this.#shade = null;
    this.draw();
  }

  select(mask, second = null) {
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
        this.#colours();
        this.#drawUnder();
        this.#drawDots();
        this.element.dataset.drawMs = (performance.now() - start).toFixed(1);
      }
      this.#fresh = false;
      this.#drawOver();
    });
  }

  #colours() {
    const style = getComputedStyle(this.element);
    const get = (name) => style.getPropertyValue(name).trim();
    this.ink = { accent: get("--accent"), ground: get("--ground"), text: get("--ink"), quiet: get("--quiet-solid") || get("--ink"), line: get("--line"), second: get("--second") };
  }

  #context(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.scale(this.size.ratio, this.size.ratio);
    return context;
  }

  #drawUnder() {
    const context = this.#context(this.under);
    context.imageSmoothingQuality = "high";
    this.backdrop?.draw(context, this);
    if (this.density) this.#drawDensity(context);
    this.#drawAxes(context);
  }

  #drawAxes(context) {
    if (!this.labels[0]) return;
    const { width, height } = this.size;
    const { x0, y0, x1, y1 } = this.window();
    const step = nice(90 / this.camera.scale);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    context.font = "11px " + getComputedStyle(this.element).fontFamily;
    context.lineWidth = 1;
    const text = (words, x, y, align) => {
      context.textAlign = align;
      context.lineWidth = 3;
      // On decoded pictures, white on black reads in either theme.
      context.strokeStyle = this.backdrop?.on ? "#000" : this.ink.ground;
      context.strokeText(words, x, y);
      context.fillStyle = this.backdrop?.on ? "#fff" : this.ink.text;
      context.globalAlpha = this.backdrop?.on ? 1 : 0.7;
      context.fillText(words, x, y);
      context.globalAlpha = 1;
      context.lineWidth = 1;
    };
    const lines = (from, to, place) => {
      for (let k = Math.ceil(from / step); k <= to / step; k++) {
        context.strokeStyle = this.ink.text;
        context.globalAlpha = k === 0 ? 0.28 : 0.07;
        context.beginPath();
        place(k * step);
        context.stroke();
        context.globalAlpha = 1;
      }
    };
    lines(x0, x1, (x) => {
      const px = Math.round(this.toScreen(x, 0)[0]) + 0.5;
      context.moveTo(px, 0);
      context.lineTo(px, height);
    });
    lines(y0, y1, (y) => {
      const py = Math.round(this.toScreen(0, y)[1]) + 0.5;
      context.moveTo(0, py);
      context.lineTo(width, py);
    });
    const figure = (v) => (Math.abs(v) < step / 2 ? "0" : v.toFixed(digits).replace("-", "\u2212"));
    for (let k = Math.ceil(x0 / step); k <= x1 / step; k++) {
      const px = this.toScreen(k * step, 0)[0];
      if (px > 60 && px < width - 110) text(figure(k * step), px, height - 8, "center");
    }
    for (let k = Math.ceil(y0 / step); k <= y1 / step; k++) {
      const py = this.toScreen(0, k * step)[1];
      if (py > 64 && py < height - 30) text(figure(k * step), 8, py + 4, "left");
    }
    const unit = this.unit ? ` (${this.unit})` : "";
    context.font = "600 12px " + getComputedStyle(this.element).fontFamily;
    text(`${this.labels[0]}${unit} \u2192`, width - 12, height - 8, "right");
    text(`\u2191 ${this.labels[1]}${unit}`, 10, height - 8, "left");
  }

  /* A shade that deepens where dots are many: counts in cells, blurred, drawn at the place of the data. */
  #drawDensity(context) {
    const n = 320;
    if (!this.#shade) {
      const { x0, y0, x1, y1 } = this.bounds;
      const mx = (x1 - x0) * 0.06 + 1e-9, my = (y1 - y0) * 0.06 + 1e-9;
      const span = [x0 - mx, y0 - my, x1 + mx, y1 + my];
      let field = new Float32Array(n * n);
      for (let i = 0; i < this.count; i++) {
        if (this.shown && !this.shown[i]) continue;
        const cx = ((this.xy[2 * i] - span[0]) / (span[2] - span[0])) * n | 0;
        const cy = ((span[3] - this.xy[2 * i + 1]) / (span[3] - span[1])) * n | 0;
        if (cx >= 0 && cy >= 0 && cx < n && cy < n) field[cy * n + cx]++;
      }
      for (let k = 0; k < 3; k++) field = blur(blur(field, n, 1, n, 5), n, n, 1, 5);
      let top = 0;
      for (const v of field) if (v > top) top = v;
      const image = new ImageData(n, n);
      const [r, g, b] = parse(this.ink.accent);
      for (let i = 0; i < n * n; i++) {
        // Five steps read as contours, which a smooth shade does not.
        const level = Math.ceil(5 * Math.sqrt(field[i] / (top || 1)) - 0.7) / 5;
        image.data.set([r, g, b, level > 0 ? 20 + 95 * level : 0], 4 * i);
      }
      const canvas = h("canvas", { width: n, height: n });
      canvas.getContext("2d").putImageData(image, 0, 0);
      this.#shade = { canvas, span };
    }
    const { canvas, span } = this.#shade;
    const [px, py] = this.toScreen(span[0], span[3]), [qx, qy] = this.toScreen(span[2], span[1]);
    context.imageSmoothingEnabled = true;
    context.drawImage(canvas, px, py, qx - px, qy - py);
  }

  recolour() {
    this.#shade = null;
    this.draw();
  }

  #drawDots() {
    const { buffer, xy, values, table, shown, mask, second, camera, size, count } = this;
    const { ratio } = size;
    const pixels = new Uint32Array(buffer.data.buffer);
    pixels.fill(0);
    const zoom = camera.scale / (this.home ?? camera.scale);
    const base = count > 40_000 ? 1 : count > 4_000 ? 1.6 : 2.6;
    const radius = Math.min(5, base * Math.max(1, zoom) ** 0.3) * ratio;
    const stamp = disc(radius);
    const colours = table.map(([r, g, b]) => (b << 16) | (g << 8) | r);
    const [W, H] = [buffer.width, buffer.height];
    const scale = camera.scale * ratio, ox = W / 2 - camera.x * scale, oy = H / 2 + camera.y * scale;
    const lit = mask || second;
    const accent = parse(this.ink.accent), other = parse(this.ink.second || "#c2410c");
    const marked = [0, (accent[2] << 16) | (accent[1] << 8) | accent[0], (other[2] << 16) | (other[1] << 8) | other[0]];
    const opacity = (count > 40_000 ? 0.62 : 0.82) * (this.density ? 0.4 : 1); // the shade must show through
    const pass = (chosen) => {
      for (let i = 0; i < count; i++) {
        if (shown && !shown[i]) continue;
        const set = lit ? (mask?.[i] ? 1 : second?.[i] ? 2 : 0) : 0;
        if (lit && chosen !== set > 0) continue;
        const px = xy[2 * i] * scale + ox, py = oy - xy[2 * i + 1] * scale;
        if (px < -8 || py < -8 || px > W + 8 || py > H + 8) continue;
        const colour = set ? marked[set] : colours[values[i]] ?? 0x808080;
        plot(pixels, W, H, px, py, stamp, colour, lit && !set ? opacity * 0.28 : set ? 0.95 : opacity);
      }
    };
    pass(false);
    if (lit) pass(true);
    this.dots.getContext("2d").putImageData(buffer, 0, 0);
  }

  #drawOver() {
    const context = this.#context(this.over);
    const { marks, ink } = this;
    if (!ink) return;
    this.thumbs?.draw(context, this);
    const ring = (x, y, r, colour, width = 2) => {
      context.beginPath();
      context.arc(x, y, r, 0, TAU);
      context.lineWidth = width + 3;
      context.strokeStyle = ink.ground;
      context.stroke();
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
    };
    for (const i of marks.dots ?? []) ring(...this.toScreen(this.xy[2 * i], this.xy[2 * i + 1]), 5, ink.second, 1.5);
    for (const picture of marks.placed ?? []) {
      const [px, py] = this.toScreen(picture.x, picture.y);
      if (picture.image) {
        context.save();
        context.beginPath();
        context.roundRect(px - 20, py - 20, 40, 40, 8);
        context.clip();
        context.drawImage(picture.image, px - 20, py - 20, 40, 40);
        context.restore();
      }
      context.lineWidth = 2.5;
      context.strokeStyle = ink.second;
      context.beginPath();
      context.roundRect(px - 20, py - 20, 40, 40, 8);
      context.stroke();
    }
    if (marks.line?.length) {
      context.beginPath();
      for (const [x, y] of marks.line) context.lineTo(...this.toScreen(x, y));
      context.lineJoin = "round";
      for (const [width, colour] of [[5, ink.ground], [2.5, ink.second]]) {
        context.lineWidth = width;
        context.strokeStyle = colour;
        context.stroke();
      }
    }
    (marks.stops ?? []).forEach(([x, y], i) => {
      const [px, py] = this.toScreen(x, y);
      context.beginPath();
      context.arc(px, py, 10, 0, TAU);
      context.fillStyle = ink.second;
      context.fill();
      context.lineWidth = 2;
      context.strokeStyle = ink.ground;
      context.stroke();
      context.fillStyle = ink.ground;
      context.font = "600 11px " + getComputedStyle(this.element).fontFamily;
      context.textAlign = "center";
      context.fillText(i + 1, px, py + 4);
    });
    if (marks.current) {
      const [px, py] = this.toScreen(...marks.current);
      if (marks.ellipse) this.#drawEllipse(context, px, py, marks.ellipse, ink.accent);
      ring(px, py, 7, ink.accent, 2.5);
      context.beginPath();
      context.arc(px, py, 2, 0, TAU);
      context.fillStyle = ink.accent;
      context.fill();
    }
    const gesture = this.#gesture;
    if (gesture?.moved && (gesture.kind === "box" || gesture.kind === "lasso")) {
      const outline = gesture.kind === "box" ? box(gesture.from, gesture.last) : gesture.line;
      context.beginPath();
      for (const [px, py] of outline) context.lineTo(px, py);
      context.closePath();
      context.globalAlpha = 0.12;
      context.fillStyle = ink.accent;
      context.fill();
      context.globalAlpha = 1;
      context.lineWidth = 1.5;
      context.strokeStyle = ink.accent;
      context.stroke();
    }
    if (this.cursor && this.crosshair) {
      const [px, py] = this.cursor.map((v) => Math.round(v) + 0.5);
      context.lineWidth = 1;
      context.globalAlpha = 0.55;
      context.strokeStyle = ink.text;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(px + 4 * dx, py + 4 * dy);
        context.lineTo(px + 11 * dx, py + 11 * dy);
      }
      context.stroke();
      context.globalAlpha = 1;
    }
  }

  /* One and two sigma of a covariance [[a, b], [b, c]] in map units. */
  #drawEllipse(context, px, py, [[a, b], [, c]], colour) {
    const middle = (a + c) / 2, off = Math.hypot((a - c) / 2, b);
    const angle = 0.5 * Math.atan2(2 * b, a - c);
    const scale = this.camera.scale;
    for (const times of [1, 2]) {
      context.beginPath();
      const rx = times * scale * Math.sqrt(Math.max(middle + off, 0)), ry = times * scale * Math.sqrt(Math.max(middle - off, 0));
      context.ellipse(px, py, Math.max(rx, 0.5), Math.max(ry, 0.5), -angle, 0, TAU);
      context.globalAlpha = times === 1 ? 0.16 : 0.07;
      context.fillStyle = colour;
      context.fill();
      context.globalAlpha = times === 1 ? 0.9 : 0.45;
      context.lineWidth = 1.5;
      context.strokeStyle = colour;
      context.stroke();
    }
    context.globalAlpha = 1;
  }
}

/* Small decoded pictures at the dots once few enough are in view. request(ids) -> Promise<[{image, sx, sy, size}]> in order. */
export class Thumbs {
  mode = "auto"; // "auto" | "dots" | "pictures"
  #known = new Map();
  #wanted = [];
  #busy = false;

  constructor(request, ondone) {
    this.request = request;
    this.ondone = ondone;
  }

  clear() {
    this.#known.clear();
  }

  draw(context, map) {
    this.shown = 0;
    if (this.mode === "dots" || !map.count) return;
    const zoom = map.camera.scale / (map.home ?? map.camera.scale);
    if (this.mode === "auto" && zoom < 2.5) return;
    const { x0, y0, x1, y1 } = map.window();
    const side = Math.max(34, Math.min(72, 30 + 7 * zoom));
    // One picture a cell of a grid that stands still on the map, so that pictures do not jump while it moves.
    const cell = 2 ** Math.round(Math.log2((side * 1.12) / map.camera.scale));
    const taken = new Map();
    for (const i of map.within(x0, y0, x1, y1)) {
      const key = `${Math.floor(map.xy[2 * i] / cell)}:${Math.floor(map.xy[2 * i + 1] / cell)}`;
      const holder = taken.get(key);
      if (holder === undefined || hash(i) < hash(holder)) taken.set(key, i);
    }
    const drawn = [], missing = [];
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
      context.save();
      context.beginPath();
      context.roundRect(px - size / 2, py - size / 2, size, size, 6);
      context.clip();
      context.drawImage(tile.image, tile.sx, tile.sy, tile.size, tile.size, px - size / 2, py - size / 2, size, size);
      context.restore();
      const [r, g, b] = map.table[map.values[i]] ?? [120, 120, 120];
      context.lineWidth = 2;
      context.strokeStyle = `rgb(${r} ${g} ${b})`;
      context.beginPath();
      context.roundRect(px - size / 2, py - size / 2, size, size, 6);
      context.stroke();
    }
    map.element.dataset.thumbs = this.shown;
    this.#wanted = missing;
    this.#fetch();
  }

  async #fetch() {
    if (this.#busy) return;
    this.#busy = true;
    await new Promise((resolve) => setTimeout(resolve, 90)); // what is passed at speed is not asked for
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

/* What is decoded everywhere: tiles fixed to the map, coarse ones first. request(places) -> Promise<[{image, sx, sy, size}]>. */
export class Backdrop {
  on = false;
  #known = new Map();
  #busy = false;
  #generation = 0;

  constructor(request, ondone) {
    this.request = request;
    this.ondone = ondone;
  }

  clear() {
    this.#known.clear();
    this.#generation++;
  }

  draw(context, map) {
    map.element.dataset.tiles = 0;
    if (!this.on || !map.count) return;
    const { x0, y0, x1, y1 } = map.window();
    const finest = Math.ceil(Math.log2(map.camera.scale / 76)); // tiles of 38 to 76 css px
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
    map.element.dataset.tiles = drawn;
    this.wanted = missing;
    this.#fetch();
  }

  async #fetch() {
    if (this.#busy) return;
    this.#busy = true;
    await new Promise((resolve) => setTimeout(resolve, 60));
    while (this.on && this.wanted?.length) {
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

const hash = (i) => Math.imul(i + 1, 2654435761) >>> 0;

function box([px, py], [qx, qy]) {
  return [[px, py], [qx, py], [qx, qy], [px, qy]];
}

function inside(x, y, line) {
  let odd = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [xi, yi] = line[i], [xj, yj] = line[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

function middle(xy, offset) {
  const step = Math.max(1, Math.floor(xy.length / 2 / 5000));
  const some = [];
  for (let i = 0; i < xy.length / 2; i += step) some.push(xy[2 * i + offset]);
  if (!some.length) return [-1, 1];
  some.sort((a, b) => a - b);
  return [some[Math.floor(some.length * 0.002)], some[Math.ceil(some.length * 0.998) - 1]];
}

function nice(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return power * ([1, 2, 5, 10].find((k) => k * power >= step) ?? 10);
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

const discs = new Map();

/* Coverage of a disc, 0 to 255, for a centre on the pixel grid. */
function disc(radius) {
  const key = radius.toFixed(1);
  if (!discs.has(key)) {
    const reach = Math.ceil(radius + 0.5), side = 2 * reach + 1;
    const cover = new Uint8Array(side * side);
    for (let y = -reach; y <= reach; y++) {
      for (let x = -reach; x <= reach; x++) {
        cover[(y + reach) * side + x + reach] = 255 * Math.max(0, Math.min(1, radius + 0.5 - Math.hypot(x, y)));
      }
    }
    discs.set(key, { cover, reach, side });
  }
  return discs.get(key);
}

function plot(pixels, W, H, x, y, { cover, reach, side }, colour, opacity) {
  const cx = Math.round(x), cy = Math.round(y);
  const r = colour & 255, g = (colour >> 8) & 255, b = colour >> 16;
  const top = Math.max(0, cy - reach), bottom = Math.min(H - 1, cy + reach);
  const left = Math.max(0, cx - reach), right = Math.min(W - 1, cx + reach);
  for (let py = top; py <= bottom; py++) {
    let at = py * W + left, from = (py - cy + reach) * side + left - cx + reach;
    for (let px = left; px <= right; px++, at++, from++) {
      const a = cover[from] * opacity;
      if (a < 1) continue;
      const old = pixels[at], under = old >>> 24;
      if (!under) {
        pixels[at] = ((a << 24) | colour) >>> 0;
        continue;
      }
      const total = a + under * (1 - a / 255), share = a / total, rest = 1 - share;
      pixels[at] = ((total << 24) | ((((old >> 16) & 255) * rest + b * share) << 16) | ((((old >> 8) & 255) * rest + g * share) << 8)
        | ((old & 255) * rest + r * share)) >>> 0;
    }
  }
}

/* A CSS colour as [r, g, b]. */
let painter;
export function parse(colour) {
  painter ??= h("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  painter.fillStyle = "#808080";
  painter.fillStyle = colour;
  painter.fillRect(0, 0, 1, 1);
  return [...painter.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
}
