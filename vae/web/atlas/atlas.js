/* The Map component: every place is a picture. The map on the left, what it says of a place, a selection or a path beside it.

   render({data, parentElement, setStateValue, setTriggerValue}) at mount and after every rerun; unmount(root).
   data: {model, revision, code (float32, base64), delta, photo, refined, seed, temperature, axes (version of the axes)}.
   A picked place becomes the visitor's code, as on Explore: state "code" {z, revision, photo, refined, seed, temperature}.
   Trigger "event": {name: "taught" | "explore", ...}. All else goes over /api/atlas. */

import { Backdrop, MapView, parse, Thumbs } from "./atlas_map.js";
import { decodeFloats, encodeFloats, geometry } from "../live/codes.js";
import { button, h, signed } from "../live/dom.js";
import { acquire } from "../live/engine.js";

const POLL_MS = 400;
const FRAMES = 90;
const STRIP = 9;
const HUES = ["#0f766e", "#d97706", "#7c3aed", "#dc2626", "#2563eb", "#65a30d", "#db2777", "#0891b2", "#a16207", "#64748b", "#4d7c0f", "#9333ea"];
const RAMP = ["#3d1f6b", "#31508f", "#1c7f8e", "#35a77a", "#9cc94b", "#f3df5b"].map(hex);
const memory = new Map(); // what was last looked at of a model, over page switches

const whole = (n) => n.toLocaleString("en-GB");
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}\u202f%`;

class Atlas {
  revision = null;
  index = null; // the dot that is the current code, if it is one
  logvar = null;
  placed = [];
  sets = { A: null, B: null };
  active = "A";
  stops = [];
  line = null;
  lesson = null;
  removed = new Set();
  tab = "here";
  #serial = 0;

  constructor(root, model) {
    this.root = root;
    this.model = model;
    this.kept = memory.get(model.digest) ?? { view: model.latent_size === 2 ? "raw:0:1" : "principal:0:1", by: "none" };
    this.engine = acquire(model);
    this.#build();
    this.probe = this.engine.surface(this.probeCanvas, { ondraw: (frame) => this.#drawn(frame) });
    this.still = this.engine.surface(this.stillCanvas, {});
    this.film = this.engine.surface(this.filmCanvas, {});
    this.unlisten = this.engine.listen((info, sentence) => sentence && this.say(sentence));
  }

  #build() {
    const { model } = this;
    const pixels = model.image_size < 64 ? "pixels" : "";
    const canvas = (id, label) => h("canvas", { class: pixels, "data-testid": id, role: "img", "aria-label": label });
    this.probeCanvas = canvas("live-canvas", "The picture at the cursor");
    this.probeCanvas.dataset.frame = 0;
    this.probeCanvas.dataset.engine = "server";
    this.stillCanvas = canvas("current-canvas", "The current picture");
    this.filmCanvas = canvas("film-canvas", "The path as a film");
    this.caption = h("p", { class: "where" });
    this.probeBox = h("div", { class: "probe", hidden: true }, h("div", { class: "face" }, this.probeCanvas), this.caption);
    this.map = new MapView({
      onprobe: (place) => this.#look(place),
      onpick: (place) => this.#pick(place),
      onselect: (selection) => this.#selected(selection),
      onmove: () => this.#placeProbe(),
      onescape: () => this.#escape(),
    });
    this.map.thumbs = new Thumbs((ids) => this.#sprite("thumbs", {}, new Uint32Array(ids)), () => this.map.draw(false));
    this.map.backdrop = new Backdrop((places) => this.#tiles(places), () => this.map.draw());
    this.map.marks = {};
    this.progress = h("div", { class: "progress", hidden: true, role: "status" });
    this.legend = h("div", { class: "legend" });
    this.fps = h("output", { "data-testid": "live-fps", "aria-label": "Frames per second" }, "0");
    this.exactness = h("p", { class: "exactness", "data-testid": "exactness" });
    this.notice = h("p", { class: "notice", role: "status", "aria-live": "polite" });
    this.viewSelect = h("select", { "aria-label": "View", "data-testid": "view", onchange: () => this.#viewKind(this.viewSelect.value) });
    this.xSelect = h("select", { "aria-label": "Horizontal axis", onchange: () => this.#axes() });
    this.ySelect = h("select", { "aria-label": "Vertical axis", onchange: () => this.#axes() });
    this.settingSelect = h("select", { "aria-label": "Neighbourhood", onchange: () => this.#open(`${this.viewSelect.value}:${this.settingSelect.value}`) });
    this.colourSelect = h("select", { "aria-label": "Colour", "data-testid": "colour", onchange: () => this.#colour(this.colourSelect.value) });
    this.hoverSelect = h("select", { "aria-label": "Picture under the cursor", onchange: () => this.#explain() },
      h("option", { value: "plane" }, "My picture, moved there"), h("option", { value: "near" }, "The nearest codes, blended"));
    const field = (words, ...inputs) => h("label", { class: "field" }, h("span", {}, words), ...inputs);
    this.axisFields = [field("Across", this.xSelect), field("Up", this.ySelect)];
    this.settingField = field("Neighbours", this.settingSelect);
    this.hoverField = field("Under the cursor", this.hoverSelect);
    this.tools = ["look", "box", "lasso", "path"].map((tool) => h("label", { title: TOOL_HELP[tool] },
      h("input", { type: "radio", name: "map-tool", value: tool, onchange: () => this.#tool(tool) }), h("span", {}, TOOL_NAMES[tool])));
    this.tools[0].firstChild.checked = true;
    const toggle = (words, name, onchange) => {
      const input = h("input", { type: "checkbox", role: "switch", "data-testid": name, onchange: () => onchange(input.checked) });
      this[name] = input;
      return h("label", { class: "switch" }, input, h("span", {}, words));
    };
    this.drop = h("input", { type: "file", accept: "image/png,image/jpeg,image/webp,.zip", multiple: true, hidden: true, "data-testid": "drop-input",
      onchange: () => this.#dropped([...this.drop.files]) });
    const zooms = h("div", { class: "zooms" }, ...[["+", "Zoom in", () => this.map.zoom(1.6)], ["\u2212", "Zoom out", () => this.map.zoom(1 / 1.6)],
      ["\u2922", "Show all", () => this.map.fit()]].map(([sign, label, onclick]) => h("button", { type: "button", "aria-label": label, title: label, onclick }, sign)));
    this.map.element.append(this.probeBox, zooms, this.progress);
    this.tabs = Object.entries({ here: "Here", selection: "Selection", teach: "Teach", path: "Path" }).map(([name, title]) => h("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "atlas-panel", "data-tab": name, onclick: () => this.#show(name) }, title));
    this.panel = h("div", { class: "pane", id: "atlas-panel", role: "tabpanel" });
    this.stillBox = h("div", { class: "stage" }, this.stillCanvas);
    this.filmBox = h("div", { class: "stage small" }, this.filmCanvas);
    this.element = h("div", { class: "live atlas" },
      h("div", { class: "bar" }, field("View", this.viewSelect), ...this.axisFields, this.settingField, field("Colour", this.colourSelect), this.hoverField),
      h("section", { class: "chart", "aria-label": "Map" },
        h("div", { class: "tools" },
          h("div", { class: "segments", role: "radiogroup", "aria-label": "Tool" }, ...this.tools),
          toggle("Pictures everywhere", "backdropSwitch", (on) => this.#backdrop(on)),
          toggle("Density", "densitySwitch", (on) => { this.map.density = on; this.map.draw(); }),
          toggle("Thumbnails", "thumbsSwitch", (on) => { this.map.thumbs.mode = on ? "auto" : "dots"; this.map.draw(); }),
          h("span", { class: "push" }),
          button("search", "Add pictures", () => this.drop.click(), { title: "Or drop pictures, or a zip of them, on the map" }), this.drop),
        this.map.element, this.legend,
        h("div", { class: "under" }, this.exactness, h("p", { class: "speed" }, this.fps, " fps"))),
      h("section", { class: "side", "aria-label": "Details" },
        h("div", { class: "segments", role: "tablist", "aria-label": "Details" }, ...this.tabs), this.panel, this.notice));
    this.thumbsSwitch.checked = true;
    const over = (event) => {
      event.preventDefault();
      this.element.toggleAttribute("data-dropping", event.type === "dragover");
    };
    for (const name of ["dragover", "dragleave", "drop"]) this.map.element.addEventListener(name, over);
    this.map.element.addEventListener("drop", (event) => this.#dropped([...event.dataTransfer.files]));
    this.map.element.addEventListener("pointerleave", () => this.#rest());
    this.#show("here");
  }

  /* New data from Python. */
  async update({ data, setStateValue, setTriggerValue }) {
    Object.assign(this, { setStateValue, setTriggerValue, data });
    this.map.recolour();
    if (data.revision !== this.revision) {
      this.revision = data.revision;
      this.index = this.logvar = null;
      this.delta = data.delta ? decodeFloats(data.delta) : null;
      this.photo = data.photo;
      this.z = decodeFloats(data.code);
      this.#current();
    }
    if (data.axes !== this.axes) {
      this.axes = data.axes;
      this.space = geometry(this.model, data.axes);
      this.space.catch((error) => this.say(error.message));
      await this.#options();
    }
  }

  say(sentence) {
    this.notice.textContent = sentence;
  }

  /* Requests */

  async #ask(path, query = {}, init = {}) {
    const response = await fetch(`/api/atlas/${path}?${new URLSearchParams({ model: this.model.name, ...query })}`, init).catch(() => null);
    if (!response) throw new Error("The server does not answer; try again in a moment.");
    if (!response.ok) {
      const answer = await response.json().catch(() => ({ error: `The server answered ${response.status}; reload the page.` }));
      throw new Error(answer.error);
    }
    return response;
  }

  async #json(path, query, body) {
    const init = body ? { method: "POST", body: JSON.stringify(body) } : {};
    return (await this.#ask(path, query, init)).json();
  }

  async #sprite(path, query, body) {
    const tile = Number(query.tile ?? 48);
    const image = await createImageBitmap(await (await this.#ask(path, query, { method: "POST", body })).blob());
    const columns = image.width / tile;
    return Array.from({ length: columns * (image.height / tile) }, (_, i) => ({ image, sx: (i % columns) * tile, sy: Math.floor(i / columns) * tile, size: tile }));
  }

  #tiles(places) {
    const body = new Float32Array(this.z.length + 2 * places.length);
    body.set(this.z);
    places.forEach(({ x, y }, i) => body.set([x, y], this.z.length + 2 * i));
    return this.#sprite("background", { view: this.points.view }, body);
  }

  async #guard(work) {
    try {
      return await work();
    } catch (error) {
      this.say(error.message);
      return null;
    }
  }

  /* Views and colours */

  async #options() {
    const options = await this.#guard(() => this.#json("options"));
    if (!options || this.closed) return;
    this.options = options;
    const { linear, computed } = options;
    fill(this.viewSelect, [...Object.entries(linear).map(([id, { title }]) => ({ id, title })), ...Object.entries(computed).map(([id, { title }]) => ({ id, title }))]);
    fill(this.colourSelect, options.colours);
    if (!options.colours.some(({ id }) => id === this.kept.by)) this.kept.by = "none";
    if (this.kept.by === "none" && options.classes && !memory.has(this.model.digest)) this.kept.by = "class";
    this.colourSelect.value = this.kept.by;
    if (options.plane && !memory.has(this.model.digest)) this.backdropSwitch.checked = this.map.backdrop.on = true;
    await Promise.all([this.#open(this.kept.view), this.#colour(this.kept.by)]);
    this.#drawPane();
  }

  #viewKind(kind) {
    const { linear, computed } = this.options;
    if (kind in computed) return this.#open(`${kind}:${computed[kind].default}`);
    const [a, b] = linear[kind].axes;
    return this.#open(`${kind}:${a.id}:${b.id}`);
  }

  #axes() {
    if (this.xSelect.value === this.ySelect.value) return this.say("Choose two different axes.");
    return this.#open(`${this.viewSelect.value}:${this.xSelect.value}:${this.ySelect.value}`);
  }

  /* The fields above the map show which view is open. */
  #fields(view) {
    const [kind, ...rest] = view.split(":");
    const { linear, computed } = this.options;
    this.viewSelect.value = kind;
    for (const field of this.axisFields) field.hidden = !(kind in linear);
    this.settingField.hidden = !(kind in computed);
    this.hoverField.hidden = !(kind in linear) || this.options.plane;
    if (kind in linear) {
      const axes = linear[kind].axes.map(({ id, label, collapsed }) => ({ id, title: collapsed ? `${label} (says little)` : label }));
      fill(this.xSelect, axes, rest[0]);
      fill(this.ySelect, axes, rest[1]);
    } else {
      this.settingField.firstChild.textContent = kind === "tsne" ? "Perplexity" : "Neighbours";
      fill(this.settingSelect, computed[kind].settings.map((id) => ({ id, title: id })), rest[0]);
    }
  }

  async #open(view) {
    const serial = ++this.#serial;
    this.#fields(view);
    const answer = await this.#guard(async () => unpacked(await (await this.#ask("points", { view })).arrayBuffer()));
    if (!answer || serial !== this.#serial || this.closed) {
      if (!answer && this.points && serial === this.#serial) this.#fields(this.points.view);
      return;
    }
    if (answer.head.state === "missing") return this.#compute(view.replace(":", "-"), () => this.#open(view), serial);
    this.progress.hidden = true;
    const { head, data } = answer;
    const raw = new Uint16Array(data);
    const xy = new Float32Array(raw.length);
    const [[x0, x1], [y0, y1]] = head.range;
    for (let i = 0; i < raw.length; i += 2) {
      xy[i] = x0 + ((x1 - x0) * raw[i]) / 65535;
      xy[i + 1] = y0 + ((y1 - y0) * raw[i + 1]) / 65535;
    }
    this.points = { ...head };
    if (head.linear) Object.assign(this.points, { W: decodeFloats(head.W), D: decodeFloats(head.D), origin: decodeFloats(head.origin) });
    this.kept = { ...this.kept, view };
    memory.set(this.model.digest, this.kept);
    if (this.map.values.length !== head.count) this.map.values = new Uint8Array(head.count);
    this.map.backdrop.clear();
    this.line = null;
    this.map.load({ xy, labels: head.labels, unit: head.unit });
    this.map.element.dataset.view = view;
    this.map.element.dataset.count = head.count;
    this.#explain();
    await this.#current();
    await this.#relocate();
    if (this.index !== null) this.#describe(this.index);
    this.#restop();
  }

  async #compute(name, then, serial) {
    const begun = await this.#guard(async () => (await this.#ask("compute", { name }, { method: "POST" })).json());
    if (!begun) return void (this.points && this.#fields(this.points.view));
    const bar = h("progress", { max: 1, value: 0 });
    const words = h("span", {}, "Starting");
    const cancel = h("button", { type: "button", class: "link", onclick: () => this.#guard(() => this.#ask("compute", { name }, { method: "DELETE" })) }, "Cancel");
    this.progress.replaceChildren(words, bar, cancel);
    this.progress.hidden = false;
    while (!this.closed && (serial === null || serial === this.#serial)) {
      const job = await this.#guard(() => this.#json("compute", { name }));
      if (!job) break;
      words.textContent = `${job.stage} \u00b7 ${percent(job.progress)} \u00b7 ${job.seconds.toFixed(0)} s`;
      bar.value = job.progress;
      if (job.state === "done") {
        this.progress.hidden = true;
        return then();
      }
      if (job.state !== "running") {
        this.say(job.state === "failed" ? job.error : "Cancelled; nothing of it was kept.");
        break;
      }
      await pause(POLL_MS);
    }
    this.progress.hidden = true;
    if (this.points && (serial === null || serial === this.#serial)) this.#fields(this.points.view);
    this.colourSelect.value = this.kept.by;
  }

  async #colour(by) {
    const answer = await this.#guard(async () => unpacked(await (await this.#ask("colours", { by })).arrayBuffer()));
    if (!answer || this.closed) return void (this.colourSelect.value = this.kept.by);
    if (answer.head.state === "missing") return this.#compute(by, () => this.#colour(by), null);
    this.kept = { ...this.kept, by };
    memory.set(this.model.digest, this.kept);
    this.colourSelect.value = by;
    this.colours = { ...answer.head, values: new Uint8Array(answer.data) };
    this.hidden = new Set();
    this.range = [0, 255];
    this.#paint();
    this.#drawLegend();
    this.#filter();
  }

  #palette() {
    const { colours } = this;
    const ink = getComputedStyle(this.element);
    const grey = parse(ink.getPropertyValue("--quiet")).map((v) => Math.round(v * 0.9 + 12));
    const accent = parse(ink.getPropertyValue("--accent"));
    if (colours.kind === "number") return Array.from({ length: 256 }, (_, i) => ramp(i / 255));
    if (colours.categories.length === 1) return [accent];
    if (colours.categories.length === 2) return [grey, accent];
    return colours.categories.map((_, i) => hex(HUES[i % HUES.length]));
  }

  #paint() {
    this.map.paint(this.colours.values, this.#palette());
  }

  #drawLegend() {
    const { colours, legend } = this;
    const table = this.#palette();
    if (colours.kind === "category") {
      if (colours.categories.length === 1) {
        return legend.replaceChildren(h("span", { class: "key" }, `${whole(colours.values.length)} codes of the data the model learned from`));
      }
      const total = colours.values.length;
      return legend.replaceChildren(...colours.categories.map((name, i) => h("button", {
        type: "button", class: "key", "aria-pressed": "true", "data-category": i, title: "Show or hide",
        onclick: (event) => {
          this.hidden.has(i) ? this.hidden.delete(i) : this.hidden.add(i);
          event.currentTarget.setAttribute("aria-pressed", String(!this.hidden.has(i)));
          this.#filter();
        } }, h("i", { style: `background: rgb(${table[i].join(" ")})` }), name, h("small", {}, percent(colours.counts[i] / total)))));
    }
    const top = Math.max(...colours.counts);
    const bars = colours.counts.map((n, i) => h("i", { style: `height: ${4 + 26 * (n / top)}px; background: rgb(${table[Math.round((255 * (i + 0.5)) / 12)].join(" ")})` }));
    const figure = (share) => (colours.low + (colours.high - colours.low) * share).toPrecision(3);
    const words = h("span", { class: "quiet" });
    const ends = ["lowest", "highest"].map((end, k) => h("input", { type: "range", min: 0, max: 255, value: this.range[k], "aria-label": `${end} ${colours.title} shown`,
      oninput: (event) => {
        this.range[k] = Number(event.currentTarget.value);
        tell();
        this.#filter();
      } }));
    const tell = () => (words.textContent = `${figure(Math.min(...this.range) / 255)} to ${figure(Math.max(...this.range) / 255)} ${colours.unit}`);
    tell();
    legend.replaceChildren(h("strong", {}, colours.title), h("div", { class: "ramp" }, h("div", { class: "bars" }, ...bars), h("div", { class: "ends" }, ...ends)), words);
  }

  #filter() {
    const { colours, hidden } = this;
    const [low, high] = [Math.min(...this.range), Math.max(...this.range)];
    const all = colours.kind === "category" ? !hidden.size : low === 0 && high === 255;
    this.map.filter(all ? null : colours.values.map((v) => (colours.kind === "category" ? !hidden.has(v) : v >= low && v <= high)));
  }

  #backdrop(on) {
    this.map.backdrop.on = on;
    this.map.draw();
  }

  #tool(tool) {
    this.map.tool = tool;
    this.map.element.dataset.tool = tool;
    if (tool === "path") this.#show("path");
    this.say(TOOL_HELP[tool]);
  }

  #explain() {
    const { points } = this;
    if (!points) return;
    const [x, y] = points.labels;
    this.exactness.textContent = this.#exact()
      ? (this.options.plane
        ? "Exact: this model\u2019s codes have two numbers, so every place on the map is one code, and you see what it decodes to."
        : `Exact: you see your picture moved to that ${x} and ${y}, and nothing else of it changed. The dots lie off this plane; click one to see it as it is.`)
      : points.linear
        ? "Approximate: you see a blend of the six codes drawn nearest to the cursor; on a dot, that code itself."
        : `Nearest neighbours, not exact: ${this.viewSelect.selectedOptions[0]?.textContent} cannot be read backwards, so you see a blend of the six codes drawn nearest; on a dot, that code itself.`;
  }

  #exact() {
    return this.points?.linear && (this.options.plane || this.hoverSelect.value === "plane");
  }

  /* Places and codes */

  project(z) {
    const { W, origin } = this.points;
    const d = z.length;
    let x = 0, y = 0;
    for (let i = 0; i < d; i++) {
      const v = z[i] - origin[i];
      x += W[i] * v;
      y += W[d + i] * v;
    }
    return [x, y];
  }

  lift(x, y) {
    const { D } = this.points;
    const d = this.z.length;
    const [x0, y0] = this.project(this.z);
    return Float32Array.from(this.z, (v, i) => v + (x - x0) * D[i] + (y - y0) * D[d + i]);
  }

  async #where(z) {
    if (this.points.linear) return this.project(z);
    const answer = await this.#ask("locate", { view: this.points.view }, { method: "POST", body: Float32Array.from(z) });
    return [...new Float32Array(await answer.arrayBuffer())];
  }

  async #code(x, y) {
    if (this.#exact()) return this.lift(x, y);
    const answer = await this.#ask("near", { view: this.points.view }, { method: "POST", body: new Float32Array([x, y]) });
    return new Float32Array(await answer.arrayBuffer());
  }

  #state(z) {
    return { z, delta: this.#exact() ? this.delta : null };
  }

  /* The pointer is at a place: the picture there, live. Latest wins. */
  #look(place) {
    if (!place || !this.points) return this.#rest();
    this.looking = place;
    this.map.crosshair = true;
    this.map.draw(false);
    this.#placeProbe();
    if (this.#exact()) {
      this.probe.show(this.#state(this.lift(place.x, place.y)), { preview: true });
      this.probeCanvas.dataset.x = place.x;
      this.probeCanvas.dataset.y = place.y;
      return;
    }
    this.wanted = place;
    if (!this.asking) this.#askNear();
  }

  async #askNear() {
    this.asking = true;
    while (this.wanted && !this.closed) {
      const place = this.wanted;
      this.wanted = null;
      const z = await this.#code(place.x, place.y).catch((error) => void this.say(error.message));
      if (!z) break;
      if (this.looking) {
        this.probe.show(this.#state(z), { preview: true });
        this.probeCanvas.dataset.x = place.x;
        this.probeCanvas.dataset.y = place.y;
      }
    }
    this.asking = false;
  }

  /* Nobody points: the picture in hand. */
  #rest() {
    this.looking = this.wanted = null;
    this.map.crosshair = false;
    this.map.draw(false);
    this.#placeProbe();
    if (this.z && this.points) this.probe.show({ z: this.z, delta: this.delta });
  }

  #placeProbe() {
    const { map, probeBox, points } = this;
    const at = this.looking ? [this.looking.px, this.looking.py] : map.marks.current && map.toScreen(...map.marks.current);
    probeBox.hidden = !at || !points || (!this.looking && (at[0] < 0 || at[1] < 0 || at[0] > map.size.width || at[1] > map.size.height));
    if (probeBox.hidden) return;
    const { offsetWidth: width, offsetHeight: height } = probeBox;
    const x = at[0] + 22 + width > map.size.width ? at[0] - 22 - width : at[0] + 22;
    const y = Math.max(6, Math.min(map.size.height - height - 6, at[1] - height / 2));
    probeBox.style.transform = `translate(${Math.max(6, Math.round(x))}px, ${Math.round(y)}px)`;
    const [mx, my] = this.looking ? [this.looking.x, this.looking.y] : map.marks.current;
    const dot = this.looking && this.looking.index >= 0 ? ` \u00b7 dot ${whole(this.looking.index)}` : "";
    this.caption.textContent = points.labels[0] ? `${signed(mx)}, ${signed(my)}${dot}` : this.looking ? `nearest codes${dot}` : "your picture";
  }

  #drawn({ engine }) {
    this.element.dataset.drawn = "";
    const now = performance.now();
    if (now - (this.metered ?? 0) > 250) {
      this.metered = now;
      this.fps.textContent = this.probe.fps;
      this.fps.title = engine;
    }
  }

  /* A place is picked: a dot is taken as it is, the open map as it decodes there. */
  async #pick(place) {
    if (!this.points) return;
    const { index } = place;
    if (this.map.tool === "path") {
      const z = index >= 0 ? (await this.#guard(() => this.#json("code", { view: this.points.view, index }))) : await this.#guard(() => this.#code(place.x, place.y));
      if (z) this.#addStop(index >= 0 ? decodeFloats(z.mu) : z);
      return;
    }
    if (index >= 0) return this.#describe(index, true);
    const z = await this.#guard(() => this.#code(place.x, place.y));
    if (!z) return;
    const keep = this.#exact();
    await this.#take(z, { delta: keep ? this.delta : null, photo: keep ? this.photo : null });
    this.#show("here");
    this.say(`Your picture is now the one at ${signed(place.x)}, ${signed(place.y)}.`);
  }

  /* A dot: its numbers, ellipse and neighbours; with `take` it becomes the picture in hand. */
  async #describe(index, take = false) {
    const found = await this.#guard(() => this.#json("code", { view: this.points.view, index }));
    if (!found) return;
    if (take) await this.#take(decodeFloats(found.mu), {}, index);
    this.about = found;
    this.map.marks.ellipse = found.ellipse;
    this.map.marks.dots = found.neighbours.map((one) => one.index);
    this.map.draw(false);
    if (take) this.#show("here");
    else this.#drawPane();
    if (take) this.say(`Code ${whole(index)}: its \u03c3 is drawn as an ellipse${found.exact ? "" : " (estimated from 64 draws)"}, its nearest codes are ringed.`);
  }

  async #take(z, { delta = null, photo = null } = {}, index = null) {
    const space = await this.space.catch(() => null);
    if (!space) return;
    const was = this.z;
    this.z = space.settle(z);
    Object.assign(this, { delta, photo, index });
    this.about = null;
    this.map.marks.ellipse = null;
    this.map.marks.dots = [];
    await this.#current(was);
    this.probeCanvas.dataset.code = space.pack(this.z);
    this.setStateValue("code", {
      z: space.pack(this.z), revision: this.revision, axis: null, photo: photo ?? null, refined: this.data.refined, seed: null, temperature: this.data.temperature,
    });
    this.#neighbours();
  }

  /* The code in hand changed: its mark, its picture; the background only where the plane through it is another. */
  async #current(was = null) {
    this.still.show({ z: this.z, delta: this.delta });
    if (!this.points) return;
    if (this.points.linear && !this.options.plane) {
      const before = was && this.lift(...this.project(was));
      if (!before || before.some((v, i) => Math.abs(v - was[i]) > 2e-2)) this.map.backdrop.clear();
    }
    const place = await this.#guard(() => this.#where(this.z));
    if (!place) return;
    this.map.marks.current = place;
    this.map.draw();
    if (!this.looking) this.#rest();
    else this.#look(this.looking);
  }

  async #neighbours() {
    const { z } = this;
    const answer = await this.#guard(async () => (await this.#ask("neighbours", {}, { method: "POST", body: Float32Array.from(z) })).json());
    if (!answer || z !== this.z || this.about) return;
    this.near = answer.neighbours.filter((one) => one.index !== this.index);
    this.#drawPane();
  }

  #escape() {
    this.sets = { A: null, B: null };
    this.#setsChanged();
    this.stops = [];
    this.#restop();
    this.say("Nothing is selected.");
  }

  /* The pane beside the map */

  #show(tab) {
    this.tab = tab;
    for (const one of this.tabs) one.setAttribute("aria-selected", String(one.dataset.tab === tab));
    if (tab !== "path") this.#stopFilm();
    this.panel.setAttribute("aria-labelledby", `tab-${tab}`);
    this.#drawPane();
  }

  #drawPane() {
    this.panel.dataset.tab = this.tab;
    const draw = { here: () => this.#paneHere(), selection: () => this.#paneSelection(), teach: () => this.#paneTeach(), path: () => this.#panePath() }[this.tab];
    this.panel.replaceChildren(...draw().filter(Boolean));
  }

  #paneHere() {
    const { about } = this;
    const title = this.index !== null ? `Code ${whole(this.index)} of the data` : this.photo ? "Your photo" : "Your picture";
    const near = about?.neighbours ?? this.near;
    return [
      this.stillBox,
      h("div", { class: "head" }, h("h3", {}, title), h("button", { type: "button", class: "link", onclick: () => this.setTriggerValue("event", { name: "explore" }) }, "Open its sliders")),
      about && h("p", { class: "quiet" }, `${about.kl.toFixed(0)} nats; the ellipse is one and two \u03c3 of what the encoder believes${about.exact ? "" : ", estimated"}.`),
      about?.labels.length ? h("p", { class: "chips" }, ...about.labels.map((label) => h("span", {}, label))) : null,
      near?.length ? h("h4", {}, "Nearest by latent distance") : h("p", { class: "quiet" }, "Move over the map: the picture follows. Click to take it; click a dot to take that code."),
      near?.length ? this.#gallery(near.map((one) => ({ index: one.index, words: one.distance.toFixed(1) }))) : null,
    ];
  }

  /* Tiles of codes; each takes its code on a click. */
  #gallery(items, ondone = null) {
    const tiles = items.map(({ index, words }) => h("button", {
      type: "button", class: "tile", "aria-label": `Code ${whole(index)}${words ? `, distance ${words}` : ""}`, "data-index": index,
      onclick: () => this.#goTo(index) }, h("canvas", { width: 48, height: 48 }), words ? h("small", {}, words) : null));
    this.#sprite("thumbs", {}, new Uint32Array(items.map((item) => item.index))).then((sprites) => {
      tiles.forEach((tile, i) => blit(tile.firstChild, sprites[i]));
      ondone?.();
    }, (error) => this.say(error.message));
    return h("div", { class: "gallery" }, ...tiles);
  }

  #goTo(index) {
    this.map.reveal(this.map.xy[2 * index], this.map.xy[2 * index + 1]);
    return this.#describe(index, true);
  }

  /* Selections */

  async #selected({ mask, count, add }) {
    this.selectedAt = performance.now();
    const slot = this.active;
    const known = this.sets[slot];
    if (add && known) known.mask.forEach((v, i) => v && (mask[i] = 1));
    if (!count && !(add && known)) return this.say("No dot lies in this outline; draw it around some.");
    const set = { mask, count: mask.reduce((n, v) => n + v, 0) };
    this.sets[slot] = set;
    this.lesson = null;
    this.map.select(this.sets.A?.mask ?? null, this.sets.B?.mask ?? null);
    this.#show(this.tab === "teach" ? "teach" : "selection");
    const summary = await this.#guard(() => this.#json("select", {}, { mask: bits(mask) }));
    if (!summary || this.sets[slot] !== set) return;
    set.summary = summary;
    this.#drawPane();
    this.element.dataset.selectMs = (performance.now() - this.selectedAt).toFixed(0);
    this.element.dataset.selected = set.count;
  }

  #setsChanged() {
    this.map.select(this.sets.A?.mask ?? null, this.sets.B?.mask ?? null);
    this.lesson = null;
    this.#drawPane();
  }

  #paneSelection() {
    const slots = ["A", "B"].map((slot) => h("label", {}, h("input", { type: "radio", name: "slot", value: slot, ...(this.active === slot ? { checked: true } : {}),
      onchange: () => { this.active = slot; this.#drawPane(); } }), h("span", {}, `Selection ${slot}${this.sets[slot] ? ` \u00b7 ${whole(this.sets[slot].count)}` : ""}`)));
    const head = h("div", { class: "segments slots", role: "radiogroup", "aria-label": "Which selection" }, ...slots);
    const set = this.sets[this.active];
    if (!set) {
      return [head, h("p", { class: "quiet" }, `Draw a box or a lasso around dots to fill selection ${this.active}; Shift adds to it. Holding Shift while you drag draws a box with any tool.`)];
    }
    const { summary } = set;
    if (!summary) return [head, h("p", { class: "quiet" }, `${whole(set.count)} codes \u2026`)];
    const picture = h("canvas", { width: 128, height: 128, class: this.model.image_size < 64 ? "pixels" : "", role: "img", "aria-label": "The picture of their mean code", "data-testid": "mean-canvas" });
    const mean = decodeFloats(summary.mean);
    this.#sprite("decoded", { tile: 128 }, mean).then(([tile]) => blit(picture, tile), (error) => this.say(error.message));
    const clear = h("button", { type: "button", class: "link", onclick: () => { this.sets[this.active] = null; this.#setsChanged(); } }, "Clear");
    return [
      head,
      h("div", { class: "mean" }, picture, h("div", {},
        h("h3", { "data-testid": "selection-count" }, `${whole(set.count)} codes`),
        h("p", { class: "quiet" }, `${percent(set.count / this.points.count)} of all. Their spread is ${percent(summary.spread)} of the whole.`),
        h("div", { class: "row" }, h("button", { type: "button", class: "link", onclick: () => this.#take(mean).then(() => this.#show("here")) }, "Take the mean"),
          h("button", { type: "button", class: "link", onclick: () => this.#show("teach") }, "Teach from it"), clear))),
      this.#rates(summary.rates),
      h("h4", {}, "Along its widest axis"),
      this.#gallery(summary.sheet.map((index) => ({ index })), () => {
        this.element.dataset.sheetMs = (performance.now() - this.selectedAt).toFixed(0);
      }),
    ];
  }

  #rates(rates) {
    if (!rates.length) return h("p", { class: "quiet" }, "This model\u2019s codes carry no labels, so there are no rates to compare.");
    const line = ({ name, rate, whole: all, score }) => h("li", { title: `${percent(rate)} here, ${percent(all)} of all; ${Math.abs(score).toFixed(1)} standard errors apart` },
      h("span", { class: "name" }, name), h("span", { class: "bar-track" }, h("i", { style: `width: ${100 * rate}%` }), h("b", { style: `left: ${100 * all}%` })),
      h("span", { class: "figure" }, percent(rate)), h("span", { class: "figure quiet" }, percent(all)));
    const rest = rates.slice(10);
    const list = h("ul", { class: "rates", "data-testid": "rates" }, ...rates.slice(0, 10).map(line));
    const more = rest.length ? h("button", { type: "button", class: "link", onclick: () => { list.append(...rest.map(line)); more.remove(); } }, `Show ${rest.length} more`) : null;
    return h("div", {}, h("div", { class: "head" }, h("h4", {}, "Labels, most telling first"), h("span", { class: "quiet" }, "here \u00b7 all")), list, ...(more ? [more] : []));
  }

  /* Teaching */

  #sides() {
    const found = [];
    for (const slot of ["A", "B"]) if (this.sets[slot]) found.push({ id: `set:${slot}`, title: `Selection ${slot} (${whole(this.sets[slot].count)})`, group: "Selections" });
    for (const { index, name } of this.options.labels) found.push({ id: `label:${index}:1`, title: this.options.classes ? name : `${name}: with`, group: "Labels" });
    if (!this.options.classes) for (const { index, name } of this.options.labels) found.push({ id: `label:${index}:0`, title: `${name}: without`, group: "Labels" });
    return found;
  }

  #side(id) {
    const [kind, which, value] = id.split(":");
    if (kind === "rest") return "rest";
    return kind === "set" ? { mask: bits(this.sets[which].mask) } : { label: Number(which), value: Number(value) };
  }

  #paneTeach() {
    if (!this.options) return [h("p", { class: "quiet" }, "One moment.")];
    const sides = this.#sides();
    const taught = this.#taughtList();
    if (!sides.length) {
      return [h("p", { class: "quiet" }, "Show what you mean: select codes that have it as A and, if you like, codes that lack it as B. The map learns the direction from the one to the other, and it becomes a slider."), taught];
    }
    this.withSelect = h("select", { "aria-label": "With", "data-testid": "teach-with" });
    this.withoutSelect = h("select", { "aria-label": "Without", "data-testid": "teach-without" });
    fill(this.withSelect, sides);
    fill(this.withoutSelect, [{ id: "rest", title: "All other codes", group: "" }, ...sides]);
    const ids = new Set(sides.map((side) => side.id));
    if (!ids.has(this.chosenWith)) this.chosenWith = sides[0].id;
    if (!ids.has(this.chosenWithout)) this.chosenWithout = this.sets.A && this.sets.B ? "set:B" : "rest";
    this.withSelect.value = this.chosenWith;
    this.withoutSelect.value = this.chosenWithout;
    const changed = () => {
      [this.chosenWith, this.chosenWithout] = [this.withSelect.value, this.withoutSelect.value];
      this.lesson = null;
      this.removed.clear();
      this.#drawPane();
    };
    this.withSelect.addEventListener("change", changed);
    this.withoutSelect.addEventListener("change", changed);
    const go = button("search", "Teach", () => this.#teach(), { class: "button primary", "data-testid": "teach" });
    return [
      h("p", { class: "quiet" }, "What tells the first side from the second becomes a slider."),
      h("label", { class: "field" }, h("span", {}, "With"), this.withSelect),
      h("label", { class: "field" }, h("span", {}, "Without"), this.withoutSelect), h("div", { class: "row" }, go),
      ...this.#lessonPane(), taught,
    ];
  }

  #lessonBody() {
    return { with: this.#side(this.chosenWith), without: this.#side(this.chosenWithout), remove: [...this.removed] };
  }

  async #teach() {
    this.say("Learning \u2026");
    const lesson = await this.#guard(() => this.#json("teach", {}, this.#lessonBody()));
    if (!lesson) return;
    this.lesson = lesson;
    this.say(`Learned from ${whole(lesson.trained)} codes, scored on ${whole(lesson.held)} others.`);
    this.#drawPane();
  }

  #lessonPane() {
    const { lesson } = this;
    if (!lesson) return [];
    const direction = decodeFloats(lesson.direction);
    const strip = h("canvas", { class: "strip", width: 7 * 96, height: 96, role: "img", "aria-label": "Your picture, from 3 sigma less to 3 sigma more of it" });
    const codes = new Float32Array(7 * this.z.length);
    for (let k = 0; k < 7; k++) codes.set(Float32Array.from(this.z, (v, i) => v + (k - 3) * direction[i]), k * this.z.length);
    this.#sprite("decoded", { tile: 96 }, codes).then((tiles) => tiles.slice(0, 7).forEach((tile, i) => blit(strip, tile, i * 96, 96)), (error) => this.say(error.message));
    const leaks = lesson.leaks.filter(({ id, sigma }) => Math.abs(sigma) >= 0.1 || this.removed.has(id)).slice(0, 12);
    const rows = leaks.map(({ id, label, sigma }) => h("li", {}, h("label", { class: "leak" },
      h("input", { type: "checkbox", "data-leak": id, ...(this.removed.has(id) ? { checked: true } : {}),
        onchange: (event) => { event.currentTarget.checked ? this.removed.add(id) : this.removed.delete(id); this.#teach(); } }),
      h("span", { class: "name" }, label), h("span", { class: "bar-track centred" }, h("i", { style: `left: ${sigma < 0 ? 50 - 50 * Math.min(1, -sigma) : 50}%; width: ${50 * Math.min(1, Math.abs(sigma))}%` })),
      h("span", { class: "figure" }, signed(sigma)))));
    this.nameInput = h("input", { class: "search", type: "text", maxlength: 40, placeholder: "Name of the slider", "aria-label": "Name of the slider", "data-testid": "teach-name", value: this.name ?? "",
      oninput: () => (this.name = this.nameInput.value) });
    this.nameInput.addEventListener("keydown", (event) => event.key === "Enter" && this.#save());
    const before = lesson.removed.length ? `; it was ${lesson.auc_before.toFixed(3)} before leaks were taken out` : "";
    return [
      h("div", { class: "score" }, h("strong", { "data-testid": "teach-auc" }, lesson.auc.toFixed(3)), h("span", { class: "quiet" },
        `held-out AUC (0.5 is chance, 1 is perfect) on ${whole(lesson.held)} codes that were not learned from${before}.`)),
      strip,
      rows.length ? h("h4", {}, "What one \u03c3 of it also moves, in \u03c3") : h("p", { class: "quiet" }, "One \u03c3 of it moves no other read-out by more than 0.1 \u03c3."),
      rows.length ? h("p", { class: "quiet" }, "Tick a leak to take it out.") : null,
      rows.length ? h("ul", { class: "leaks", "data-testid": "leaks" }, ...rows) : null,
      h("div", { class: "row" }, this.nameInput, button("lock", "Save slider", () => this.#save(), { "data-testid": "teach-save" })),
    ];
  }

  async #save() {
    const name = this.nameInput.value.trim();
    if (!name) return this.say("Give the slider a name first.");
    const saved = await this.#guard(() => this.#json("directions", {}, { ...this.#lessonBody(), label: name }));
    if (!saved) return;
    this.name = "";
    this.say(`\u201c${saved.label}\u201d is saved: it is a slider under Named on Explore.`);
    this.setTriggerValue("event", { name: "taught", id: saved.id });
    const options = await this.#guard(() => this.#json("options"));
    if (options) {
      this.options = options;
      this.#drawPane();
    }
  }

  #taughtList() {
    const { taught } = this.options;
    if (!taught.length) return null;
    return h("div", {}, h("h4", {}, "Your sliders"), h("ul", { class: "own", "data-testid": "taught" },
      ...taught.map(({ label, auc, detail }) => h("li", { title: detail }, h("span", {}, label), h("span", { class: "figure quiet" }, `AUC ${auc.toFixed(3)}`)))),
      h("p", { class: "quiet" }, "Export, import or remove them under \u201cMy directions\u201d above."));
  }

  /* Paths */

  #addStop(z) {
    if (this.stops.length >= 24) return this.say("A path has at most 24 stops; clear it to begin anew.");
    this.stops.push(z);
    this.#restop();
    this.#show("path");
  }

  async #restop() {
    const serial = (this.pathSerial = (this.pathSerial ?? 0) + 1);
    const { marks } = this.map;
    if (!this.points) return;
    marks.stops = this.stops.length ? await this.#guard(() => Promise.all(this.stops.map((z) => this.#where(z)))) ?? [] : [];
    if (this.stops.length < 2) {
      this.way = marks.line = null;
      this.map.draw(false);
      return this.tab === "path" && this.#drawPane();
    }
    const body = new Float32Array(this.stops.length * this.z.length);
    this.stops.forEach((z, i) => body.set(z, i * z.length));
    const frames = Math.min(480, FRAMES * (this.stops.length - 1));
    const answer = await this.#guard(async () => unpacked(await (await this.#ask("path", { kind: this.pathKind ?? "straight", frames }, { method: "POST", body })).arrayBuffer()));
    if (!answer || serial !== this.pathSerial) return;
    const { head, data } = answer;
    const numbers = new Float32Array(data);
    this.way = { codes: numbers.subarray(0, head.frames * head.d), far: numbers.subarray(head.frames * head.d), frames: head.frames, usual: head.usual, d: head.d };
    const shown = Array.from({ length: 40 }, (_, i) => this.#frame(Math.round((i / 39) * (head.frames - 1))));
    marks.line = await this.#guard(() => Promise.all(this.points.linear ? shown.map((z) => this.#where(z)) : [this.#locateAll(shown)]).then((places) => (this.points.linear ? places : places[0])));
    this.map.draw(false);
    if (this.tab === "path") this.#drawPane();
  }

  async #locateAll(codes) {
    const body = new Float32Array(codes.length * this.z.length);
    codes.forEach((z, i) => body.set(z, i * z.length));
    const numbers = new Float32Array(await (await this.#ask("locate", { view: this.points.view }, { method: "POST", body })).arrayBuffer());
    return codes.map((_, i) => [numbers[2 * i], numbers[2 * i + 1]]);
  }

  #frame(i) {
    return this.way.codes.subarray(i * this.way.d, (i + 1) * this.way.d);
  }

  #panePath() {
    const { way, stops } = this;
    const kinds = { straight: "Straight", slerp: "Arc", dense: "Dense" };
    const segments = h("div", { class: "segments", role: "radiogroup", "aria-label": "Way" }, ...Object.entries(kinds).map(([kind, title]) => h("label", { title: PATH_HELP[kind] },
      h("input", { type: "radio", name: "way", value: kind, ...((this.pathKind ?? "straight") === kind ? { checked: true } : {}), onchange: () => { this.pathKind = kind; this.#restop(); } }), h("span", {}, title))));
    const row = h("div", { class: "row" },
      button("undo", "Last stop", () => { this.stops.pop(); this.#restop(); }), button("close", "Clear", () => { this.stops = []; this.#restop(); }));
    if (!stops.length) {
      return [h("p", { class: "quiet" }, "Choose the tool Path and click places or dots in order; the way between them becomes a strip and a film."),
        h("div", { class: "row" }, button("search", "Begin at my picture", () => { this.#setTool("path"); this.#addStop(this.z); }))];
    }
    if (!way) return [segments, h("p", { class: "quiet" }, "One stop so far; click the next."), row];
    const strip = h("canvas", { class: "strip", width: STRIP * 96, height: 96, role: "img", "aria-label": "Pictures along the path", "data-testid": "path-strip" });
    const codes = new Float32Array(STRIP * way.d);
    for (let k = 0; k < STRIP; k++) codes.set(this.#frame(Math.round((k / (STRIP - 1)) * (way.frames - 1))), k * way.d);
    this.#sprite("decoded", { tile: 96 }, codes).then((tiles) => {
      tiles.slice(0, STRIP).forEach((tile, i) => blit(strip, tile, i * 96, 96));
      strip.dataset.ready = "";
    }, (error) => this.say(error.message));
    if (!this.playing) this.#play();
    const save = (form) => h("button", { type: "button", class: "link", onclick: (event) => this.#saveFilm(form, event.currentTarget) }, form.toUpperCase());
    return [
      segments, h("p", { class: "quiet" }, PATH_HELP[this.pathKind ?? "straight"]), this.filmBox, strip, this.#ribbon(way), row,
      h("div", { class: "row" }, h("span", { class: "quiet" }, "Save"), save("mp4"), save("gif"),
        h("button", { type: "button", class: "link", onclick: () => strip.toBlob((blob) => download(blob, "path.png")) }, "Strip")),
    ];
  }

  /* How usual the codes on the way are: their distance in sigma against that of a usual code. */
  #ribbon({ far, frames, usual }) {
    const top = 1.15 * Math.max(usual, ...far);
    const place = (v, i) => `${((i / (frames - 1)) * 300).toFixed(1)},${(48 - (44 * v) / top).toFixed(1)}`;
    const svg = `<svg viewBox="0 0 300 50" preserveAspectRatio="none" aria-hidden="true"><line x1="0" x2="300" y1="${48 - (44 * usual) / top}" y2="${48 - (44 * usual) / top}"/>`
      + `<polyline points="${Array.from(far, place).join(" ")}"/></svg>`;
    const box = h("div", { class: "ribbon" });
    box.innerHTML = svg;
    return h("div", {}, box, h("p", { class: "quiet" }, `Distance from the mean along the way, ${Math.min(...far).toFixed(1)} to ${Math.max(...far).toFixed(1)} \u03c3; the line is a usual code\u2019s ${usual.toFixed(1)}.`));
  }

  #play() {
    this.playing = true;
    const begun = performance.now();
    let shown = -1;
    const tick = () => {
      if (!this.playing || this.closed || !this.way) return void (this.playing = false);
      const { frames } = this.way;
      const at = Math.floor(((performance.now() - begun) / 1000) * 30) % (2 * frames);
      const frame = at < frames ? at : 2 * frames - 1 - at;
      // The hand on the map comes first: the film waits while it moves.
      if (frame !== shown && !this.looking) this.film.show({ z: Float32Array.from(this.#frame((shown = frame))) }, { preview: true });
      requestAnimationFrame(tick);
    };
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.playing = false;
      this.film.show({ z: Float32Array.from(this.#frame(Math.floor(this.way.frames / 2))) });
    } else requestAnimationFrame(tick);
  }

  #stopFilm() {
    this.playing = false;
  }

  async #saveFilm(form, link) {
    link.disabled = true;
    this.say("Drawing the film \u2026");
    const answer = await this.#guard(() => this.#ask("film", { format: form }, { method: "POST", body: Float32Array.from(this.way.codes) }));
    link.disabled = false;
    if (!answer) return;
    download(await answer.blob(), `path.${form}`);
    this.say("The film is saved; it runs there and back.");
  }

  #setTool(tool) {
    this.tools.find((label) => label.firstChild.value === tool).firstChild.checked = true;
    this.#tool(tool);
  }

  /* Pictures from the visitor: encoded on the server, kept nowhere, drawn as the model sees them. */

  async #dropped(files) {
    this.element.removeAttribute("data-dropping");
    if (!files.length) return;
    let placed = 0;
    const refused = [];
    for (const [i, file] of files.slice(0, 100).entries()) {
      this.say(`Reading ${file.name} (${i + 1} of ${Math.min(files.length, 100)}) \u2026`);
      if (file.size > 64 * 2 ** 20) {
        refused.push(`${file.name}: it has more than 64 MB; use a smaller file`);
        continue;
      }
      const answer = await this.#guard(async () => (await this.#ask("place", { name: file.name.slice(0, 80) }, { method: "POST", body: file })).json());
      if (!answer) return;
      refused.push(...answer.refused);
      for (const { name, mu, logvar, delta } of answer.placed) {
        const offsets = delta ? decodeFloats(delta) : null;
        this.placed.push({ name, z: decodeFloats(mu), logvar: decodeFloats(logvar), delta: offsets });
      }
      placed += answer.placed.length;
      await this.#relocate();
    }
    this.drop.value = "";
    const sorry = refused.length ? ` Not taken: ${refused.slice(0, 2).join("; ")}${refused.length > 2 ? `, and ${refused.length - 2} more` : ""}.` : "";
    this.say(`${placed === 1 ? "One picture is" : `${placed} pictures are`} on the map, drawn as the model sees ${placed === 1 ? "it" : "them"}; nothing was stored.${sorry}`);
    this.map.element.dataset.placed = this.placed.length;
    if (placed) {
      const last = this.placed.at(-1);
      await this.#take(last.z, { delta: last.delta });
      this.logvar = last.logvar;
      this.#ownEllipse();
      this.#show("here");
    }
  }

  /* The ellipse of a picture that was dropped, on a linear view. */
  #ownEllipse() {
    if (!this.logvar || !this.points.linear) return;
    const { W } = this.points;
    const d = this.z.length;
    let [a, b, c] = [0, 0, 0];
    for (let i = 0; i < d; i++) {
      const v = Math.exp(this.logvar[i]);
      a += W[i] * W[i] * v;
      b += W[i] * W[d + i] * v;
      c += W[d + i] * W[d + i] * v;
    }
    this.map.marks.ellipse = [[a, b], [b, c]];
    this.map.draw(false);
  }

  async #relocate() {
    if (!this.placed.length) return;
    const places = await this.#guard(() => this.#locateAll(this.placed.map((picture) => picture.z)));
    if (!places) return;
    this.placed.forEach((picture, i) => ([picture.x, picture.y] = places[i]));
    const fresh = this.placed.filter((picture) => !picture.image);
    for (let i = 0; i < fresh.length; i += 64) {
      const part = fresh.slice(i, i + 64);
      const offsets = part[0].delta ? { offsets: 1 } : {}; // the model reads them from every picture, or from none
      const records = Float32Array.from(part.flatMap(({ z, delta }) => [...z, ...(delta ?? [])]));
      const tiles = await this.#guard(() => this.#sprite("decoded", { tile: 96, ...offsets }, records));
      part.forEach((picture, k) => {
        if (!tiles) return;
        picture.image = h("canvas", { width: 96, height: 96 });
        blit(picture.image, tiles[k], 0, 96);
      });
    }
    this.map.marks.placed = this.placed;
    this.map.draw(false);
  }

  close() {
    this.closed = true;
    this.#stopFilm();
    this.unlisten();
    for (const surface of [this.probe, this.still, this.film]) surface.close();
    this.map.close();
    this.engine.release();
  }
}

const TOOL_NAMES = { look: "Look", box: "Box", lasso: "Lasso", path: "Path" };
const TOOL_HELP = {
  look: "Move to see, click to take, drag to pan, turn the wheel to zoom.",
  box: "Drag a rectangle around dots; Shift adds to the selection.",
  lasso: "Draw around dots; Shift adds to the selection.",
  path: "Click places in order; the way between them is drawn as a strip and a film.",
};
const PATH_HELP = {
  straight: "The straight line between the codes: shortest, and through unusual codes where the ends are far apart.",
  slerp: "Great arcs: the length of the codes is kept, as draws from a Gaussian lie on a shell.",
  dense: "Past other codes, by many short steps, so that it stays where the data is.",
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function hex(text) {
  return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
}

function ramp(t) {
  const at = t * (RAMP.length - 1), i = Math.min(RAMP.length - 2, Math.floor(at));
  return RAMP[i].map((v, k) => Math.round(v + (RAMP[i + 1][k] - v) * (at - i)));
}

function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { head, data: buffer.slice(4 + length) };
}

function bits(mask) {
  const bytes = new Uint8Array(Math.ceil(mask.length / 8));
  mask.forEach((v, i) => v && (bytes[i >> 3] |= 1 << (i & 7)));
  return encodeFloats(bytes);
}

function blit(canvas, tile, x = 0, size = canvas.width) {
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(tile.image, tile.sx, tile.sy, tile.size, tile.size, x, 0, size, size);
}

function download(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/* Options of a select, in their groups. */
function fill(select, items, value) {
  const groups = new Map();
  for (const { id, title, group = "" } of items) {
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(h("option", { value: id }, String(title)));
  }
  select.replaceChildren(...[...groups].flatMap(([group, options]) => (group ? [h("optgroup", { label: group }, ...options)] : options)));
  if (value !== undefined) select.value = value;
}

export function render(args) {
  const { data, parentElement: root } = args;
  const key = `${data.model.name}/${data.model.digest}`;
  if (root.liveAtlas?.key !== key) {
    root.liveAtlas?.view.close();
    const view = new Atlas(root, data.model);
    root.querySelector(".live")?.remove();
    (root.querySelector(".frame") ?? root).append(view.element);
    root.liveAtlas = { key, view };
  }
  root.liveAtlas.view.update(args);
}

export function unmount(root) {
  root.liveAtlas?.view.close();
  root.liveAtlas = null;
}
