/* The Blend component: the people, the live mix under the hand, the morph and the table of style mixes.

   render({data, parentElement, setStateValue, setTriggerValue}) is called at mount and after every rerun; unmount(root).
   data: what vae/web/blend_live.py sends. To Python go the state "blend" on release ({weights, at, path, shift}) and the
   trigger "event" ({name, ...}).
   The mix is a table of weights, a row for each level and a share for each person; sliders and pad are ways to set it. */

import { decodeFloats, encodeFloats, geometry } from "../live/codes.js";
import { button, h } from "../live/dom.js";
import { acquire } from "../live/engine.js";
import { GROUPS, corner, cornerWeights, group, mixCodes, mixOffsets } from "./mix.js";
import { LETTERS, People } from "./people.js";
import { follow } from "../live/refine.js";
import { SliderPanel } from "../live/sliders.js";

const STRIP = 8;
const DRAWS = 5;
const SETTLE_MS = 250;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const GROUP_WORDS = { coarse: ["Coarse", "pose, shape, hair"], middle: ["Middle", "features"], fine: ["Fine", "colour, texture"] };

const percent = (share) => `${Math.round(100 * share)}\u2009%`;
const sum = (values) => values.reduce((a, b) => a + b, 0);
const mean = (values) => sum(values) / values.length;

class Blend {
  people = [];
  weights = [];
  at = [];
  path = "slerp";
  cut = 2;
  moved = "all"; // what the pad moves
  #shape = "";
  #pending = null;
  #timer = 0;
  #round = 0;

  constructor(root, model) {
    this.root = root;
    this.model = model;
    this.rows = Math.max(1, model.levels);
    this.groups = model.levels ? GROUPS : [];
    this.shift = new Float32Array(model.latent_size);
    this.engine = acquire(model);
    this.#build();
    this.surface = this.engine.surface(this.canvas, { ondraw: (frame) => this.#drawn(frame) });
    this.unlisten = this.engine.listen((info, sentence) => this.#engineChanged(info, sentence));
    this.#engineChanged(this.engine.info);
  }

  #build() {
    const { model } = this;
    this.cards = new People({ model, send: (name, value) => this.send(name, value), say: (sentence) => this.say(sentence) });
    this.canvas = h("canvas", {
      class: model.image_size < 64 ? "pixels" : "", "data-testid": "live-canvas", "data-frame": 0, "data-engine": "server",
      role: "img", "aria-label": "The blend",
    });
    this.fps = h("output", { "data-testid": "live-fps", "aria-label": "Frames per second" }, "0");
    this.ms = h("output", { "aria-label": "Milliseconds per frame" }, "\u2013");
    this.where = h("span", { class: "where" }, "server");
    this.notice = h("p", { class: "notice", role: "status", "aria-live": "polite" });
    this.radios = ["auto", "browser", "server"].map((choice) => h("label", {},
      h("input", { type: "radio", name: "engine", value: choice, onchange: () => this.engine.choose(choice) }),
      h("span", {}, choice[0].toUpperCase() + choice.slice(1))));
    this.progress = h("progress", { max: 1, value: 0, "aria-label": "Refining" });
    this.refining = h("div", { class: "refining", hidden: true }, h("span", {}, "Refining"), this.progress,
      h("button", { type: "button", class: "link", onclick: () => this.stop?.() }, "Cancel"));
    this.refineButton = h("button", { type: "button", class: "button primary", "data-testid": "refine",
      title: "Fit what the encoder\u2019s one pass misses, for all photos together", onclick: () => this.send("refine") }, "More like me");
    this.mixer = h("div", { class: "mixer" });
    this.paths = [["slerp", "Along the sphere", "Slerp: the length of the code is kept, as in the data"],
      ["lerp", "Straight", "Lerp: the code gets shorter in the middle, the face more ordinary"]].map(([value, label, title]) =>
      h("label", { title }, h("input", { type: "radio", name: "path", value, onchange: () => this.#setPath(value) }), h("span", {}, label)));
    this.panel = new SliderPanel({
      onmove: (basis, row, value) => this.#edit(basis, row, value),
      oncommit: () => this.commit(),
      onreset: (basis, row) => this.#unedit(basis, row),
      onlocks: () => {},
      ongrab: () => (this.grabbed = this.shift),
      oncancel: () => this.#letGo(),
    });
    this.editCount = h("span", { class: "quiet" });
    this.edits = h("details", { class: "edits", ontoggle: () => this.#openEdits() },
      h("summary", {}, h("span", {}, "Change the blend"), this.editCount), this.panel.element,
      button("reset", "Undo all changes", () => this.#uneditAll()));
    this.stripRow = h("div", { class: "strip", role: "group", "aria-label": "Morph in eight steps" });
    this.ribbon = h("div", { class: "ribbon" });
    this.table = h("div", { class: "table" });
    this.cutInput = h("input", { type: "range", min: 1, max: Math.max(1, model.levels - 1), step: 1, value: this.cut, "data-axis": "cut",
      "aria-label": "Level of the cut", oninput: () => this.#setCut(Number(this.cutInput.value)) });
    this.cutWords = h("output", {});
    this.reroll = button("dice", "Other draws", () => { this.drawSeed = Math.floor(Math.random() * 1e6); this.drawCodes = null; this.#later(); });
    this.drawSeed = 1;
    this.work = h("div", { class: "work" },
      h("section", { class: "bench", "aria-label": "Blend" },
        h("div", { class: "sight" }, h("div", { class: "stage" }, this.canvas),
          h("div", { class: "meter" },
            h("p", { class: "speed" }, this.fps, " fps", h("i", {}, "\u00b7"), this.ms, " ms", h("i", {}, "\u00b7"), this.where),
            h("div", { class: "segments engine", role: "radiogroup", "aria-label": "Engine" }, ...this.radios)),
          h("div", { class: "likeness" }, this.refineButton, this.refining)),
        h("div", { class: "desk" }, this.mixer,
          h("div", { class: "way" }, h("span", { class: "quiet" }, "Way between the codes"),
            h("div", { class: "segments", role: "radiogroup", "aria-label": "Way between the codes" }, ...this.paths)),
          this.edits)),
      h("section", { class: "morph", "aria-label": "Morph" }, h("h3", {}, "Morph"), this.stripRow, this.ribbon),
      h("section", { class: "tables", "aria-label": "Table of mixes" },
        h("div", { class: "tables-head" }, h("h3", {}, "Every pair"),
          model.levels ? h("label", { class: "cut" }, h("span", {}, "Cut"), h("div", { class: "track" }, h("div", { class: "rail" }, h("i", { class: "ticks plain" })), this.cutInput), this.cutWords) : null,
          this.reroll),
        h("p", { class: "quiet" }, model.levels
          ? "Levels below the cut come from the row, the others from the column. A click makes the cell the face above."
          : "Each cell is the middle of its row and its column. A click makes it the face above."),
        this.table));
    this.element = h("div", { class: "live blend" }, this.cards.element, this.notice, this.work);
    this.#cutLabel();
  }

  send(name, value = {}) {
    this.setTriggerValue("event", { name, ...value });
  }

  say(sentence) {
    this.notice.textContent = sentence;
  }

  /* New data from Python. */
  async update({ data, setStateValue, setTriggerValue }) {
    Object.assign(this, { setStateValue, setTriggerValue, data });
    const first = !this.#shape;
    const people = data.sources.map((source) => ({ ...source, z: decodeFloats(source.z), delta: source.delta ? decodeFloats(source.delta) : null }));
    // Offsets that a refinement is just finding are newer than what Python knows.
    people.forEach((person) => {
      const known = this.people.find((p) => p.id === person.id);
      if (known && this.stop && data.refine?.chosen.includes(person.id)) person.delta = known.delta;
    });
    this.people = people;
    this.cards.update(data.sources, data.samples);
    if (first || data.revision !== this.revision) this.#adopt(data.state);
    else if (this.weights[0]?.length !== people.length) this.#centre();
    this.revision = data.revision;
    const shape = `${people.length}/${model_key(this.model)}`;
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.#buildMixer();
    }
    this.work.hidden = people.length === 0;
    const told = `${people.map((p) => p.id)}|${data.notice ?? ""}`;
    if (told !== this.told) this.say(data.notice ?? "");
    this.told = told;
    if (this.#pending && people.length === this.#pending.count) this.#applyPending();
    for (const label of this.paths) label.firstChild.checked = label.firstChild.value === this.path;
    if (people.length) {
      this.#readouts();
      this.show();
      this.#later();
    }
    this.refineButton.hidden = !data.refinable || Boolean(data.refine);
    this.#follow(data.refine);
    this.element.dataset.ready = "";
    this.element.dataset.people = people.length;
    if (!this.space) {
      this.space = await geometry(this.model).catch((error) => this.say(error.message));
      if (this.space) this.panel.open(this.space, this.model);
      this.#readouts();
    }
  }

  #adopt(state) {
    const k = this.people.length;
    const fits = state && state.weights?.length === this.rows && state.weights.every((row) => row.length === k);
    this.path = state?.path ?? "slerp";
    if (state?.shift) this.shift = decodeFloats(state.shift);
    if (!fits) return this.#centre();
    this.weights = state.weights;
    this.at = state.at ?? this.weights.map((row) => this.#placeOf(row));
  }

  #centre() {
    const k = this.people.length;
    if (!k) return;
    const place = k === 1 ? [0, 0] : k === 3 ? [0.5, 1 / 3] : k === 2 ? [0.5, 0] : [0.5, 0.5];
    this.#setRows([...Array(this.rows).keys()], place);
  }

  #placeOf(row) {
    return [0, 1].map((axis) => sum(row.map((w, i) => w * corner(i, row.length)[axis])));
  }

  #setRows(levels, place) {
    const k = this.people.length;
    const weights = cornerWeights(place[0], place[1], k);
    this.weights = [...Array(this.rows).keys()].map((level) => (levels.includes(level) ? weights : this.weights[level] ?? weights));
    this.at = [...Array(this.rows).keys()].map((level) => (levels.includes(level) ? place : this.at[level] ?? place));
  }

  #levels(name) {
    const all = [...Array(this.rows).keys()];
    return name === "all" ? all : all.filter((level) => GROUPS[group(level, this.rows)] === name);
  }

  /* The code on screen. */
  state(weights = this.weights) {
    const codes = mixCodes(this.people.map((p) => p.z), weights, this.path);
    const { shift } = this;
    if (this.shifted) for (let i = 0; i < codes.length; i++) codes[i] += shift[i % shift.length];
    if (!this.model.levels) return { z: codes };
    return { levels: codes, delta: mixOffsets(this.people.map((p) => p.delta), weights, this.model.style_size) };
  }

  get shifted() {
    return this.shift.some((v) => v !== 0);
  }

  show(preview = false) {
    if (!this.people.length) return;
    this.surface.show(this.state(), { preview });
  }

  commit() {
    this.setStateValue("blend", {
      weights: this.weights, at: this.at, path: this.path, shift: this.shifted ? encodeFloats(this.shift) : null, people: this.people.map((p) => p.id),
    });
  }

  /* Mixing: a slider for each group of levels where two are mixed, a pad for three and four. */

  #buildMixer() {
    const k = this.people.length;
    this.sliders = new Map();
    this.pad = null;
    if (k < 2) {
      this.mixer.replaceChildren(h("p", { class: "quiet lead" }, k ? "Add a second person to mix the two, or click a cell of the table below to mix with a drawn face." : ""));
      return;
    }
    if (k === 2) {
      const names = ["all", ...this.groups];
      this.mixer.replaceChildren(...names.map((name) => this.#slider(name)));
      return;
    }
    this.mixer.replaceChildren(this.#padBox());
  }

  #slider(name) {
    const [title, detail] = name === "all" ? ["Mix", ""] : GROUP_WORDS[name];
    const input = h("input", { type: "range", min: 0, max: 1, step: 0.005, "data-axis": `mix:${name}`, "aria-label": `${title}, from A to B`,
      oninput: () => this.#slide(name, Number(input.value)), onchange: () => this.commit() });
    const output = h("output", {});
    const fill = h("i", { class: "fill mix" });
    this.sliders.set(name, { input, output, fill });
    const end = (i) => h("button", { type: "button", class: "end-letter", title: `All ${LETTERS[i]}`, "aria-label": `${title}: all ${LETTERS[i]}`,
      onclick: () => { this.#slide(name, i); this.commit(); } }, LETTERS[i]);
    return h("div", { class: `row mix ${name === "all" ? "whole" : ""}` }, end(0),
      h("div", { class: "body" }, h("div", { class: "caption" }, h("span", {}, title, detail ? h("small", {}, detail) : null), output),
        h("div", { class: "track" }, h("div", { class: "rail" }, h("i", { class: "ticks" }), fill), input)), end(1));
  }

  #slide(name, value) {
    this.#setRows(this.#levels(name), [value, 0]);
    this.#readouts(true, name);
    this.show(true);
  }

  #padBox() {
    const k = this.people.length;
    const area = h("div", { class: `pad k${k}`, tabindex: 0, role: "slider", "data-testid": "pad", "aria-label": "Shares of the people; arrow keys move the hand",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 50 });
    const names = ["all", ...this.groups];
    const dots = names.map((name) => h("i", { class: `dot ${name}`, title: name === "all" ? "Everything" : GROUP_WORDS[name][0] }, name === "all" ? "" : name[0].toUpperCase()));
    const faces = this.people.map((person, i) => {
      const [x, y] = corner(i, k);
      return h("button", { type: "button", class: "corner", style: `left:${100 * x}%;top:${100 * y}%`, tabindex: -1, title: `All ${LETTERS[i]}`, "aria-label": `All ${LETTERS[i]}`,
        onclick: () => { this.#place(corner(i, k)); this.commit(); } }, h("img", { src: person.recon, alt: "" }), h("b", {}, LETTERS[i]));
    });
    const shares = h("div", { class: "shares" });
    const choice = h("div", { class: "segments", role: "radiogroup", "aria-label": "What the pad moves" }, ...names.map((name) => h("label", {},
      h("input", { type: "radio", name: "moved", value: name, checked: name === this.moved, onchange: () => { this.moved = name; this.#readouts(); } }),
      h("span", {}, name === "all" ? "Everything" : GROUP_WORDS[name][0]))));
    const field = h("div", { class: "pad-field" }, area, ...faces);
    area.append(...dots);
    let held = false;
    const aim = (event) => {
      const box = area.getBoundingClientRect();
      this.#place([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    };
    area.addEventListener("pointerdown", (event) => {
      held = true;
      area.setPointerCapture(event.pointerId);
      aim(event);
    });
    area.addEventListener("pointermove", (event) => held && aim(event));
    for (const name of ["pointerup", "pointercancel"]) area.addEventListener(name, () => { if (held) this.commit(); held = false; });
    area.addEventListener("keydown", (event) => {
      const step = KEYS[event.key];
      if (!step) return;
      event.preventDefault();
      const place = this.at[this.#levels(this.moved)[0]];
      const size = event.shiftKey ? 0.1 : 0.02;
      this.#place([place[0] + size * step[0], place[1] + size * step[1]]);
      clearTimeout(this.padTimer);
      this.padTimer = setTimeout(() => this.commit(), 400);
    });
    this.pad = { area, dots, names, shares };
    return h("div", { class: "pad-box" }, names.length > 1 ? choice : null, field, shares);
  }

  #place([x, y]) {
    const k = this.people.length;
    const weights = cornerWeights(x, y, k);
    // The hand may lie outside the triangle: the dot stays inside, where its weights are.
    this.#setRows(this.#levels(this.moved), k === 3 ? this.#placeOf(weights) : [Math.min(1, Math.max(0, x)), Math.min(1, Math.max(0, y))]);
    this.#readouts(true);
    this.show(true);
  }

  #readouts(moving = false, own = "") {
    const k = this.people.length;
    if (!k || !this.weights.length) return;
    for (const [name, { input, output, fill }] of this.sliders ?? []) {
      const value = mean(this.#levels(name).map((level) => this.weights[level][1] ?? 0));
      if (name !== own) input.value = value;
      output.textContent = `${percent(value)} B`;
      fill.style.transform = `scaleX(${value.toFixed(4)})`;
      input.setAttribute("aria-valuetext", `${Math.round(100 * (1 - value))} percent A, ${Math.round(100 * value)} percent B`);
    }
    if (this.pad) this.#padReadouts();
    this.#cursor();
    if (this.edits.open && this.space) this.panel.show(this.#average(), { moving, axis: this.panel.axis });
    this.editCount.textContent = this.shifted ? "changed" : "";
  }

  #padReadouts() {
    const { area, dots, names, shares } = this.pad;
    const together = this.groups.every((name) => this.#levels(name).every((level) => this.at[level].every((v, i) => Math.abs(v - this.at[0][i]) < 1e-6)));
    names.forEach((name, i) => {
      const place = this.at[this.#levels(name)[0]];
      dots[i].style.left = `${100 * place[0]}%`;
      dots[i].style.top = `${100 * place[1]}%`;
      dots[i].hidden = together ? name !== "all" : name === "all";
      dots[i].classList.toggle("held", together || this.moved === "all" || name === this.moved);
    });
    const levels = this.#levels(this.moved);
    const share = this.people.map((_, i) => mean(levels.map((level) => this.weights[level][i])));
    const words = share.map((w, i) => `${LETTERS[i]} ${percent(w)}`);
    shares.replaceChildren(...words.map((word) => h("span", {}, word)));
    area.setAttribute("aria-valuetext", words.join(", "));
    area.setAttribute("aria-valuenow", Math.round(100 * share[0]));
  }

  #setPath(path) {
    this.path = path;
    for (const label of this.paths) label.firstChild.checked = label.firstChild.value === path;
    this.show();
    this.#drawRibbon();
    this.#later();
    this.commit();
  }

  /* Edits: a shift of the code that stays while the mix moves. */

  #average(shift = this.shift) {
    const d = this.model.latent_size;
    const codes = mixCodes(this.people.map((p) => p.z), this.weights, this.path);
    return Float32Array.from(shift, (v, i) => {
      let total = 0;
      for (let level = 0; level < this.rows; level++) total += codes[level * d + i];
      return v + total / this.rows;
    });
  }

  #openEdits() {
    if (!this.edits.open || !this.space) return;
    this.panel.ready = true; // the pictures at the slider ends are made for whoever looks
    this.panel.show(this.#average());
    this.panel.pictures();
  }

  #edit(basis, row, value) {
    const z = this.#average();
    const moved = this.space.move(z, basis, row, value, this.panel.locks);
    if (!moved) return this.say(`${basis.axes[row].label} cannot move while the locked axes hold all of it; unlock one of them.`);
    this.shift = this.shift.map((v, i) => v + moved[i] - z[i]);
    this.#readouts(true);
    this.show(true);
    this.#later();
  }

  #unedit(basis, row) {
    this.#edit(basis, row, this.space.value(basis, row, this.#average(new Float32Array(this.shift.length))));
    this.commit();
  }

  #uneditAll() {
    this.shift = new Float32Array(this.shift.length);
    this.#readouts();
    this.show();
    this.#later();
    this.commit();
  }

  #letGo() {
    if (!this.grabbed) return;
    this.shift = this.grabbed;
    this.grabbed = null;
    this.#readouts();
    this.show();
  }

  /* Morph and table: small pictures in one request each, once the hand rests. */

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#drawRest().catch((error) => this.say(error.message)), SETTLE_MS);
  }

  async #drawRest() {
    if (this.stop) return; // while refining, all would change again at once
    const round = ++this.#round;
    await this.#drawStrip(round);
    await this.#drawTable(round);
  }

  async #batch(states) {
    const offsets = states.some((s) => s.delta);
    const size = this.model.levels * this.model.style_size;
    const parts = states.flatMap((s) => (offsets ? [s.levels ?? s.z, s.delta ?? new Float32Array(size)] : [s.levels ?? s.z]));
    const body = new Float32Array(sum(parts.map((p) => p.length)));
    let at = 0;
    for (const part of parts) {
      body.set(part, at);
      at += part.length;
    }
    const query = new URLSearchParams({ model: this.model.name });
    if (this.model.levels) query.set("layout", "levels");
    if (offsets) query.set("offsets", "1");
    const response = await fetch(`/api/decode?${query}`, { method: "POST", body });
    if (!response.ok) throw new Error((await response.json()).error);
    const [count, height, width] = response.headers.get("X-Image-Shape").split(",").map(Number);
    const bytes = new Uint8Array(await response.arrayBuffer());
    return [...Array(count).keys()].map((n) => {
      const pixels = new Uint8ClampedArray(4 * height * width).fill(255);
      const start = n * 3 * height * width;
      for (let i = 0; i < height * width; i++) for (let c = 0; c < 3; c++) pixels[4 * i + c] = bytes[start + 3 * i + c];
      return new ImageData(pixels, width, height);
    });
  }

  #tile(image, label, onclick) {
    const canvas = h("canvas", { width: image.width, height: image.height, class: image.width < 64 ? "pixels" : "" });
    canvas.getContext("2d").putImageData(image, 0, 0);
    return h("button", { type: "button", class: "tile", "aria-label": label, title: label, onclick }, canvas);
  }

  #pathWeights(t) {
    const k = this.people.length;
    return this.people.map((_, i) => Math.max(0, 1 - Math.abs(t * (k - 1) - i)));
  }

  async #drawStrip(round) {
    const k = this.people.length;
    this.stripRow.parentElement.hidden = k < 2;
    if (k < 2) return;
    const times = [...Array(STRIP).keys()].map((i) => i / (STRIP - 1));
    const tables = times.map((t) => Array(this.rows).fill(this.#pathWeights(t)));
    const images = await this.#batch(tables.map((table) => this.state(table)));
    if (round !== this.#round) return;
    this.stripRow.replaceChildren(...images.map((image, i) => this.#tile(image, `Step ${i + 1} of ${STRIP}`, () => this.#jump(tables[i]))));
    this.#drawRibbon();
  }

  #jump(table) {
    this.weights = table;
    this.at = table.map((row) => this.#placeOf(row));
    this.#readouts();
    this.show();
    this.commit();
  }

  #drawRibbon() {
    const data = this.data?.ribbon?.[this.path];
    this.ribbon.hidden = !data || this.people.length < 2;
    if (this.ribbon.hidden) return;
    const colour = (share) => `color-mix(in oklab, var(--accent) ${Math.round(100 * Math.min(1, share / 0.1))}%, var(--far))`;
    const stops = (values) => values.map((v, i) => `${colour(v)} ${((100 * i) / (values.length - 1)).toFixed(1)}%`).join(", ");
    const n = data.t.length;
    const low = Math.min(...data.density, -20);
    const high = Math.max(...data.density, 20);
    const points = data.density.map((v, i) => `${((100 * i) / (n - 1)).toFixed(2)},${(34 - (32 * (v - low)) / (high - low)).toFixed(2)}`).join(" ");
    const zero = (34 - (32 * (0 - low)) / (high - low)).toFixed(2);
    const band = (label, values, title) => h("div", { class: "band-row", title }, h("span", {}, label), h("i", { class: "likely", style: `background:linear-gradient(to right, ${stops(values)})` }));
    const chart = h("div", { class: "band-row" }, h("span", {}, "Log density"));
    const box = h("i", { class: "density" });
    box.innerHTML = `<svg viewBox="0 0 100 36" preserveAspectRatio="none" aria-hidden="true"><line x1="0" x2="100" y1="${zero}" y2="${zero}"/><polyline points="${points}"/></svg>`;
    chart.append(box);
    this.mark = h("i", { class: "cursor" });
    const worst = data.data.reduce((best, v, i) => (v < data.data[best] ? i : best), 0);
    const far = data.data[worst];
    const place = Math.round(100 * data.t[worst]);
    const words = far < 0.02
      ? `Farthest from the data at ${place}\u2009% of the way: there hardly any real face is as far from its neighbours.`
      : `The whole way stays near the data: at its farthest, at ${place}\u2009%, ${Math.round(100 * far)}\u2009% of the real faces are farther from their neighbours.`;
    this.ribbon.replaceChildren(h("div", { class: "bands" }, band("Prior", data.prior, "Share of the real faces that the prior finds no likelier"),
      band("Data", data.data, "Share of the real faces that lie at least as far from their nearest neighbours"), chart, this.mark),
    h("p", { class: "quiet" }, `${words} The line is the log density, ${signedNats(Math.min(...data.density))} to ${signedNats(Math.max(...data.density))} nats against a usual face (dashed).`));
    this.#cursor();
  }

  #cursor() {
    const k = this.people.length;
    if (!this.mark || k < 2) return;
    const t = mean(this.weights.map((row) => sum(row.map((w, i) => (w * i) / (k - 1)))));
    this.mark.style.setProperty("--t", t.toFixed(4));
  }

  #setCut(cut) {
    this.cut = cut;
    this.#cutLabel();
    this.#later();
  }

  #cutLabel() {
    const sizes = [...Array(this.rows).keys()].map((level) => 4 * 2 ** level);
    const words = `${sizes[0]}\u2013${sizes[this.cut - 1]} px from the row, ${sizes[this.cut]}\u2013${sizes[this.rows - 1]} px from the column`;
    this.cutWords.textContent = words;
    this.cutInput.setAttribute("aria-valuetext", words);
  }

  async #draws() {
    this.drawCodes ??= Promise.all([...Array(DRAWS).keys()].map(async (i) => {
      const query = new URLSearchParams({ model: this.model.name, seed: this.drawSeed + i, temperature: this.data.temperature });
      const response = await fetch(`/api/sample?${query}`);
      if (!response.ok) throw new Error((await response.json()).error);
      return { seed: this.drawSeed + i, z: new Float32Array(await response.arrayBuffer()), delta: null };
    }));
    return this.drawCodes;
  }

  /* Rows: the people. Columns: the people, then some drawn faces. */
  async #drawTable(round) {
    const k = this.people.length;
    const draws = await this.#draws();
    const columns = [...this.people, ...draws];
    const weights = [...Array(this.rows).keys()].map((level) => (!this.model.levels ? [0.5, 0.5] : level < this.cut ? [1, 0] : [0, 1]));
    const cell = (row, column) => {
      const codes = mixCodes([row.z, column.z], weights, this.path);
      if (!this.model.levels) return { z: codes };
      return { levels: codes, delta: mixOffsets([row.delta, column.delta], weights, this.model.style_size) };
    };
    const states = [...draws.map((face) => cell(face, face)), ...this.people.flatMap((row) => columns.map((column) => cell(row, column)))];
    const images = await this.#batch(states);
    if (round !== this.#round) return;
    const heads = images.splice(0, draws.length);
    const head = (person, i, side) => h("div", { class: `head ${side}` }, h("img", { src: person.recon, alt: "" }), h("b", {}, LETTERS[i]));
    const drawnHead = (image, { seed }) => {
      const tile = this.#tile(image, `Drawn face, seed ${seed}: add as a person`, () => this.#addDrawn(seed));
      tile.classList.add("head", "top", "drawn");
      tile.disabled = k >= LETTERS.length;
      return tile;
    };
    const cells = [h("span"), ...this.people.map((p, i) => head(p, i, "top")), ...draws.map((face, j) => drawnHead(heads[j], face))];
    this.people.forEach((person, i) => {
      cells.push(head(person, i, "side"));
      columns.forEach((column, j) => {
        const drawn = j >= k;
        const label = drawn ? `${LETTERS[i]} with drawn face ${column.seed}` : i === j ? `${LETTERS[i]} itself` : `${LETTERS[i]} with ${LETTERS[j]}`;
        const tile = this.#tile(images[i * columns.length + j], label, () => (drawn ? this.#addDrawn(column.seed, i) : this.#pick(i, j)));
        tile.classList.toggle("drawn", drawn);
        tile.disabled = drawn && k >= LETTERS.length;
        cells.push(tile);
      });
    });
    this.table.style.setProperty("--columns", columns.length);
    this.table.style.setProperty("--people", k);
    this.table.replaceChildren(...cells);
  }

  #pick(row, column) {
    const k = this.people.length;
    const one = (i) => this.people.map((_, n) => (n === i ? 1 : 0));
    const half = this.people.map((_, n) => ((n === row) + (n === column)) / 2);
    this.#jump([...Array(this.rows).keys()].map((level) => (!this.model.levels ? half : one(level < this.cut ? row : column))));
    this.say(k && row === column ? `${LETTERS[row]} itself.` : `${LETTERS[row]} up to the cut, ${LETTERS[column]} beyond it.`);
    this.element.querySelector(".stage").scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  /* A drawn face becomes a person of its own, and the cell the blend. */
  #addDrawn(seed, row = null) {
    const k = this.people.length;
    if (k >= LETTERS.length) return this.say("Four people are the most; take one away first.");
    this.#pending = { count: k + 1, row, column: k };
    this.send("draw", { seed });
  }

  #applyPending() {
    const { row, column } = this.#pending;
    this.#pending = null;
    if (row !== null) setTimeout(() => this.#pick(row, column));
  }

  /* Refining: the offsets arrive step by step, for all photos together. */
  #follow(refine) {
    if (!refine || refine.id === this.following) return;
    this.following = refine.id;
    const size = this.model.levels * this.model.style_size;
    this.refining.hidden = false;
    const chosen = refine.chosen.map((id) => this.people.find((p) => p.id === id));
    this.stop = follow(refine.id, {
      onstep: ({ step, total, delta }) => {
        chosen.forEach((person, n) => {
          const now = this.people.find((p) => p.id === person?.id);
          if (now) now.delta = delta.slice(n * size, (n + 1) * size);
        });
        Object.assign(this.progress, { max: total, value: step });
        this.show();
      },
      onend: (state, error) => {
        this.stop = null;
        this.refining.hidden = true;
        if (error) this.say(error);
        this.send("refined", { id: refine.id });
      },
    });
  }

  #drawn({ engine }) {
    this.where.textContent = engine;
    const now = performance.now();
    if (now - (this.metered ?? 0) > 250) {
      this.metered = now;
      this.fps.textContent = this.surface.fps;
      this.ms.textContent = Number(this.canvas.dataset.ms).toFixed(0);
    }
    this.element.dataset.drawn = "";
  }

  #engineChanged(info, sentence = "") {
    for (const label of this.radios) label.firstChild.checked = label.firstChild.value === info.choice;
    if (sentence) this.say(sentence);
  }

  close() {
    clearTimeout(this.#timer);
    this.unlisten();
    this.surface.close();
    this.panel.close();
    this.cards.close();
    this.engine.release();
  }
}

const model_key = (model) => `${model.name}/${model.digest}`;
const signedNats = (v) => `${v < 0 ? "\u2212" : "+"}${Math.abs(v).toFixed(0)}`;

export function render(args) {
  const { data, parentElement: root } = args;
  const key = model_key(data.model);
  if (root.liveBlend?.key !== key) {
    root.liveBlend?.view.close();
    const view = new Blend(root, data.model);
    root.querySelector(".frame").replaceChildren(view.element);
    root.liveBlend = { key, view };
  }
  root.liveBlend.view.update(args);
}

export function unmount(root) {
  root.liveBlend?.view.close();
  root.liveBlend = null;
}
