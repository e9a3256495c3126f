/* Two models, one hand: the same picture or the same draw in both, and sliders that move both by as much.

   A draw of the first model becomes a code of the second by a straight map, which the server fits to pictures that both
   have seen. A slider at s puts both codes at start + s D, with D the direction of one standard deviation of each model:
   directions of the same name where both have some, else principal axes by rank. */

import { pictureCanvas, pixelated } from "../live/canvas.js";
import { geometry } from "../live/codes.js";
import { fill, h, radios } from "../live/dom.js";
import { acquire } from "../live/engine.js";
import { decodeFloats } from "../live/floats.js";
import { askFloats } from "../live/net.js";
import { dot, signed, spoken, whole } from "../live/numbers.js";
import { HEADS, written } from "./figures.js";

/** @typedef {import("../live/engine.js").Model} Model */
/** @typedef {import("../live/engine.js").Floats} Floats */
/** @typedef {import("../live/codes.js").Basis} Basis */
/** @typedef {{model: Model, engine: import("../live/engine.js").Engine, surface: import("../live/engine.js").Surface, canvas: HTMLCanvasElement, geometry: import("../live/codes.js").Geometry, start: Floats | null, delta: Floats | null}} Side */
/** @typedef {{label: string, rows: number[]}} Shared a slider, and its row in the basis of each side */
/** @typedef {{matrix: Floats, offset: Floats, r2: number, draws: number}} Straight */

const REACH = 3; // sigma
const STEP = 0.1;
const RANKS = 8;
const FROM = [["picture", "The picture", "Both models read the chosen picture"], ["draw", "A draw", "The first model draws, the second follows"]];
/** @type {[string, string, string, (value: any) => string, number][]} key, name, title, as words, the sign of what is better */
const ROWS = [
  ...["psnr", "ssim", "perceptual"].map((key) => /** @type {any} */ ([key, HEADS[key][0], HEADS[key][1], (value) => written(key, value), HEADS[key][2]])),
  ["nats", "KL, nats", "How much the code says of this picture", (value) => value.toFixed(1), 0],
  ["numbers", "Numbers", "What the reconstruction is made from: the code, and style offsets where the model reads them", whole, 0],
  ["weights", "Weights, MB", "Encoder and decoder", (value) => (value / 1e6).toFixed(1), 0],
];

export class Two {
  title = "Two models";
  wide = true;
  from = "picture";
  seed = 0;
  /** @type {Side[]} */
  sides = [];
  /** @type {{name: string, shared: Shared[]}} */
  basis = { name: "", shared: [] };
  /** @type {Map<number, number>} slider -> sigma */
  moves = new Map();
  /** @type {any} */
  picture = null;
  /** @type {any[]} what the server measured of `measured` */
  figures = [];
  measured = "";
  /** @type {Map<string, Straight>} */
  maps = new Map();
  /** @type {HTMLInputElement[]} */
  inputs = [];
  /** @type {HTMLOutputElement[]} */
  outputs = [];
  #turn = 0;

  /** @param {import("./lab.js").Lab} lab */
  constructor(lab) {
    this.lab = lab;
    /** @type {Model[]} */
    this.others = lab.data.others;
    this.other = this.others.find((one) => alike(one, lab.model)) ?? this.others[0];
    this.select = h("select", { "aria-label": "The other model", "data-testid": "two-other", onchange: () => this.against(this.select.value) });
    fill(this.select, this.others.map(({ name, title }) => ({ id: name, title })), this.other.name);
    this.ways = radios("lab-two", "What both begin with", FROM, (value) => (value === "draw" ? this.draw() : this.read()), { chosen: this.from });
    this.pictures = h("div", { class: "sides" });
    this.words = h("p", { class: "reading", "data-testid": "two-words" });
    this.table = h("table", { class: "figures", "data-testid": "figures-two" });
    this.sliders = h("div", { class: "list", role: "group", "aria-label": "Sliders of both models" });
    this.heading = h("h4", {});
    this.note = h("small", {});
    this.element = h("section", { class: "bench pair" }, h("h3", {}, "What would the other one make of it?"),
      h("p", {}, "Both models begin with the same picture or the same draw. Every slider moves both by as many of their own standard deviations."),
      h("div", { class: "controls" }, h("label", { class: "field" }, h("span", {}, "Against"), this.select), this.ways.element,
        this.again = h("button", { type: "button", class: "button", hidden: true, "data-testid": "two-again", onclick: () => { this.seed += 1; this.draw(); } }, "Draw again")),
      h("div", { class: "hand" },
        h("div", { class: "seen" }, this.pictures, this.table),
        h("div", { class: "moves" }, h("div", { class: "row" }, this.heading, h("span", { class: "push" }),
          h("button", { type: "button", class: "button", "data-testid": "two-reset", onclick: () => this.reset() }, "All to 0")), this.note, this.sliders)));
  }

  /** The picture above was chosen, or the bench was opened. */
  async refresh() {
    if (this.picture === this.lab.pictures.current && this.sides.length) return;
    this.picture = this.lab.pictures.current;
    await this.read();
  }

  /** @param {string} name */
  async against(name) {
    this.other = this.others.find((one) => one.name === name) ?? this.other;
    this.#release();
    await (this.from === "draw" ? this.draw() : this.read());
  }

  /** Both models read the picture. */
  async read() {
    const turn = (this.#turn += 1);
    this.#begin("picture");
    if (!(await this.#measure(turn))) return;
    this.sides.forEach((side, i) => {
      const { z, delta } = this.figures[i];
      Object.assign(side, { start: decodeFloats(z), delta: delta ? decodeFloats(delta) : null });
    });
    const [a, b] = this.sides.map(({ model }) => model);
    this.words.textContent = alike(a, b) ? ""
      : `Each model sees the picture in its own size and colours, ${kind(a)} and ${kind(b)}: PSNR, SSIM and perceptual distance of the two do not compare.`;
    this.reset();
    this.#keep();
  }

  /** The first model draws, and the second follows by the straight map. */
  async draw() {
    const turn = (this.#turn += 1);
    this.#begin("draw");
    if (!(await this.#measure(turn))) return;
    const map = await this.#map();
    if (turn !== this.#turn) return;
    if (!map) { // refused or cancelled
      await this.read();
      return;
    }
    const z = await askFloats("api/sample", { model: this.lab.model.name, seed: this.seed, temperature: 1 }).catch((error) => this.lab.say(error.message));
    if (!z || turn !== this.#turn) return;
    const [a, b] = this.sides;
    Object.assign(a, { start: z, delta: null });
    Object.assign(b, { start: map.offset.map((offset, i) => offset + dot(map.matrix.subarray(i * z.length, (i + 1) * z.length), z)), delta: null });
    this.words.replaceChildren("A straight map from the first code to the second reaches ", h("b", { "data-figure": "r2" }, `R\u00b2 ${map.r2.toFixed(2)}`),
      " on draws that it was not fitted to: that share of the second code's spread follows from the first. What does not follow is missing on the right, whose picture is the more average for it.");
    this.reset();
    this.#keep();
  }

  /** The figures of the picture in both, and a place for their pictures. @param {number} turn */
  async #measure(turn) {
    const asked = `${this.other.name} ${this.lab.truth().src}`;
    if (this.measured !== asked) {
      const found = await this.lab.ask("two", { ...this.lab.question(), other: this.other.name });
      if (!found || turn !== this.#turn) return false;
      this.figures = found.sides;
      this.measured = asked;
      this.#tabulate();
    }
    return this.#open(turn);
  }

  /** @returns {Promise<Straight | null>} */
  async #map() {
    const { name } = this.other;
    if (!this.maps.has(name)) {
      const found = await this.lab.ask("pair", { other: name });
      if (!found) return null;
      this.maps.set(name, { ...found, matrix: decodeFloats(found.matrix), offset: decodeFloats(found.offset) });
    }
    return this.maps.get(name) ?? null;
  }

  /** @param {string} from */
  #begin(from) {
    this.from = from;
    this.ways.choose(from);
    this.again.hidden = from !== "draw";
    this.element.dataset.from = from;
  }

  /** Canvases, engines and sliders of the two, once. @param {number} turn */
  async #open(turn) {
    if (this.sides.length) return true;
    const models = [/** @type {Model} */ (this.lab.model), this.other];
    const shapes = await Promise.all(models.map((model) => geometry(model))).catch((error) => this.lab.say(error.message));
    if (!shapes || turn !== this.#turn) return false;
    this.sides = models.map((model, i) => {
      const canvas = pictureCanvas(model, `two-${"ab"[i]}`, model.title);
      const engine = acquire(model);
      return { model, engine, canvas, surface: engine.surface(canvas), geometry: shapes[i], start: null, delta: null };
    });
    const src = h("img", { alt: "", class: pixelated(models[0].image_size) });
    this.source = h("figure", { class: "source" }, src, h("figcaption", {}, h("b", {}), h("span", {}, "The picture itself")));
    this.pictures.replaceChildren(this.source, this.words, ...this.sides.map(({ canvas, model }) => h("figure", {}, canvas, h("figcaption", {}, h("b", {}, model.title), h("span", {}, `${kind(model)}, ${whole(model.latent_size)} numbers`)))));
    this.#share();
    return true;
  }

  /** The sliders that both have. */
  #share() {
    const [a, b] = this.sides.map((side) => side.geometry.bases);
    const [mine, yours] = [a.get("named"), b.get("named")];
    const named = mine?.axes.flatMap(({ id, label }, row) => (yours?.index.has(id) ? [{ label, rows: [row, Number(yours.index.get(id))] }] : [])) ?? [];
    const count = Math.min(RANKS, ...[a, b].map((bases) => bases.get("principal")?.rows ?? 0));
    const ranked = Array.from({ length: count }, (_, row) => ({ label: `PC ${row + 1}`, rows: [row, row] }));
    this.basis = named.length ? { name: "named", shared: named } : { name: "principal", shared: ranked };
    this.heading.textContent = named.length ? "Named directions" : "Principal axes";
    this.note.textContent = named.length ? `${named.length} that both models have.`
      : "These two share no named direction: the widest axes of each, by rank. What they do need not be alike.";
    this.inputs = this.basis.shared.map(({ label }, k) => h("input", { type: "range", min: -REACH, max: REACH, step: STEP, value: 0, "aria-label": label, "data-slider": k,
      oninput: () => this.#move(k), onchange: () => this.#move(k, false), ondblclick: () => { this.inputs[k].value = "0"; this.#move(k, false); } }));
    this.outputs = this.basis.shared.map(() => h("output", {}));
    this.sliders.replaceChildren(...this.basis.shared.map(({ label }, k) => h("label", { class: "slide" }, h("span", {}, label), this.inputs[k], this.outputs[k])));
  }

  /** @param {number} k */
  #move(k, moving = true) {
    this.moves.set(k, Number(this.inputs[k].value));
    this.#said(k);
    this.#show(moving);
  }

  #said(k) {
    const value = this.moves.get(k) ?? 0;
    this.outputs[k].textContent = signed(value, 1);
    this.inputs[k].setAttribute("aria-valuetext", spoken(value));
  }

  reset() {
    this.moves.clear();
    this.inputs.forEach((input, k) => {
      input.value = "0";
      this.#said(k);
    });
    this.#show(false);
  }

  /** @param {boolean} moving */
  #show(moving) {
    const { title, src } = this.lab.truth();
    const begun = this.from === "draw" ? `Draw ${this.seed + 1}` : title;
    const [image, caption] = /** @type {HTMLElement} */ (this.source).children;
    image.setAttribute("src", src);
    /** @type {HTMLElement} */ (caption.firstElementChild).textContent = title;
    const moved = [...this.moves].filter(([, value]) => value).map(([k, value]) => `${this.basis.shared[k].label} ${spoken(value)}`);
    this.sides.forEach(({ surface, canvas, model, delta }, i) => {
      canvas.setAttribute("aria-label", `${model.title}: ${[begun, ...moved].join(", ")}`);
      const z = this.code(i);
      if (z) surface.show({ z, delta }, { preview: moving });
    });
  }

  /** The code that a side shows. @param {number} i */
  code(i) {
    const { start, geometry } = this.sides[i];
    if (!start) return null;
    const basis = /** @type {Basis} */ (geometry.bases.get(this.basis.name));
    let z = start;
    for (const [k, value] of this.moves) {
      const row = this.basis.shared[k].rows[i];
      z = geometry.move(z, basis, row, geometry.value(basis, row, z) + (i ? this.#sign(k) : 1) * value) ?? z;
    }
    return z;
  }

  /** Which way the second model's principal axis points when the first one's, mapped, tells; names tell by themselves. */
  #sign(k) {
    const map = this.maps.get(this.other.name);
    if (this.basis.name === "named" || !map) return 1;
    const [[a, from], [b, to]] = this.sides.map(({ geometry: { bases, d } }, i) => {
      const { D, W } = /** @type {Basis} */ (bases.get(this.basis.name));
      const row = this.basis.shared[k].rows[i];
      return /** @type {[number, Float32Array]} */ ([d, (i ? W : D).subarray(row * d, (row + 1) * d)]);
    });
    let along = 0;
    for (let j = 0; j < b; j++) along += to[j] * dot(map.matrix.subarray(j * a, (j + 1) * a), from);
    return along < 0 ? -1 : 1;
  }

  #tabulate() {
    const [a, b] = this.figures;
    const fair = a.size === b.size && a.channels === b.channels; // else they are of different pictures
    const cells = ([key, , , words, sign]) => this.figures.map((side, i) => {
      const best = fair && sign && side[key] !== undefined && sign * side[key] > sign * this.figures[1 - i][key];
      return h("td", { class: best ? "best" : null, "data-figure": key, "data-side": "ab"[i] }, side[key] === undefined ? "\u2013" : words(side[key]));
    });
    this.table.replaceChildren(
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, `${this.lab.truth().title}, in one pass`), [this.lab.model, this.other].map(({ title }) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, ROWS.map((row) => h("tr", {}, h("th", { scope: "row", title: row[2] }, row[1]), cells(row)))));
  }

  #keep() {
    const map = this.maps.get(this.other.name);
    this.lab.keep("two", {
      picture: this.lab.truth().title,
      sides: this.figures.map(({ z: _, delta: __, ...figures }) => figures),
      sliders: { basis: this.basis.name, names: this.basis.shared.map(({ label }) => label) },
      map: map ? { r2: map.r2, draws: map.draws } : null,
    });
  }

  #release() {
    for (const { surface, engine } of this.sides) {
      surface.close();
      engine.release();
    }
    this.sides = [];
    this.moves.clear();
    for (const input of this.inputs) input.disabled = true; // they belong to the pair before
  }

  close() {
    this.#turn += 1;
    this.#release();
  }
}

/** @param {Model} model */
const kind = ({ image_size: side, channels }) => `${side}\u202fpx ${channels === 1 ? "grey" : "colour"}`;

/**
 * @param {Model} a
 * @param {Model} b
 */
const alike = (a, b) => a.image_size === b.image_size && a.channels === b.channels;
