/* The Blend component: the people, and the live mix under the hand.

   render(args) is called at mount and after every rerun; unmount(root): see component.js.
   data: what vae/web/blend/live.py sends. To Python go the state "blend" on release ({weights, at, path, shift, whole}) and the
   trigger "event" ({name, ...}).
   The mix is a table of weights, a row for each level and a share for each person. The Blend holds it; the mixer's sliders
   and pad, the strip of the morph and the table of mixes are ways to set it. At rest it may be shown with whole parts: whole.js. */

import { pictureCanvas } from "../live/canvas.js";
import { geometry } from "../live/codes.js";
import { component } from "../live/component.js";
import { button, h, radios } from "../live/dom.js";
import { acquire } from "../live/engine.js";
import { decodeFloats, encodeFloats } from "../live/floats.js";
import { Meter } from "../live/meter.js";
import { sum } from "../live/numbers.js";
import { playerOf } from "../live/players/player.js";
import { follow } from "../live/refine.js";
import { SliderPanel } from "../live/sliders.js";
import { GROUPS, corner, cornerWeights, group, mixCodes, mixDetails, mixOffsets } from "./mix.js";
import { Mixer } from "./mixer.js";
import { Morph } from "./morph.js";
import { LETTERS, People } from "./people.js";
import { Table } from "./table.js";
import { Whole } from "./whole.js";

/** @typedef {import("../live/component.js").Args} Args */
/** @typedef {import("../live/codes.js").Basis} Basis */
/** @typedef {import("../live/engine.js").Floats} Floats */
/** @typedef {{id: string, recon: string, z: Floats, delta: Floats | null, feature: string | null}} Person with what else Python sends of it */
/** @typedef {"all" | "coarse" | "middle" | "fine"} Part */
/** @typedef {[number, number]} Place */

const SETTLE_MS = 250;
const PATHS = (noun) => [["slerp", "Along the sphere", "Slerp: the length of the code is kept, as in the data"],
  ["lerp", "Straight", `Lerp: the code gets shorter in the middle, the ${noun} more ordinary`]];

export class Blend {
  /** @type {Person[]} */
  people = [];
  /** @type {number[][]} a row for each level */
  weights = [];
  /** @type {Place[]} where the hand stands, for each level */
  at = [];
  path = "slerp";
  /** @type {any} what Python sent last */
  data = null;
  /** @type {Args["setStateValue"]} */
  setStateValue;
  /** @type {Args["setTriggerValue"]} */
  setTriggerValue;
  /** @type {import("../live/codes.js").Geometry} undefined until it is fetched */
  space;
  revision = null;
  #told = "";
  #shape = "";
  /** @type {{count: number, row: number | null, column: number} | null} a drawn face that Python is about to send */
  #pending = null;
  #timer = 0;
  #round = 0;
  /** @type {Floats | null} */
  #grabbed = null;
  /** @type {string | null} */
  #following = null;
  /** @type {(() => void) | null} ends the refinement under way */
  #stop = null;

  /** @param {import("../live/engine.js").Model} model */
  constructor(model) {
    this.model = model;
    this.rows = Math.max(1, model.levels);
    this.groups = /** @type {Part[]} */ (model.levels ? GROUPS : []);
    this.shift = new Float32Array(model.latent_size);
    this.engine = acquire(model);
    this.cards = new People(model, { send: (name, value) => this.send(name, value), say: (sentence) => this.say(sentence) });
    this.canvas = pictureCanvas(model, "live-canvas", "The blend");
    this.stage = h("div", { class: "stage" }, this.canvas);
    this.player = playerOf({ model, engine: this.engine, canvas: this.canvas, stage: this.stage });
    this.meter = new Meter(this.engine, "0");
    this.notice = h("p", { class: "notice", role: "status", "aria-live": "polite" });
    this.progress = h("progress", { max: 1, value: 0, "aria-label": "Refining" });
    this.refining = h("div", { class: "refining", hidden: true }, h("span", {}, "Refining"), this.progress,
      h("button", { type: "button", class: "link", onclick: () => this.#stop?.() }, "Cancel"));
    this.refineButton = h("button", { type: "button", class: "button primary", "data-testid": "refine",
      title: "Fit what the encoder\u2019s one pass misses, for all photos together", onclick: () => this.send("refine") }, "More like me");
    this.mixer = new Mixer(this);
    this.paths = radios("path", "Way between the codes", PATHS(model.noun), (path) => this.#setPath(path));
    this.whole = new Whole(this, (byHand) => this.#wholeChanged(byHand));
    this.panel = new SliderPanel({
      onmove: (basis, row, value) => this.#edit(basis, row, value),
      oncommit: () => this.commit(),
      onreset: (basis, row) => this.#unedit(basis, row),
      onlocks: () => {},
      ongrab: () => (this.#grabbed = this.shift),
      oncancel: () => this.#letGo(),
    });
    this.editCount = h("span", { class: "quiet" });
    this.edits = h("details", { class: "edits", ontoggle: () => this.#openEdits() },
      h("summary", {}, h("span", {}, "Change the blend"), this.editCount), this.panel.element,
      button("reset", "Undo all changes", () => this.#uneditAll()));
    this.morph = new Morph(this);
    this.table = new Table(this);
    this.work = h("div", { class: "work" },
      h("section", { class: "bench", "aria-label": "Blend" },
        h("div", { class: "sight" }, this.stage,
          h("div", { class: "meter" }, this.meter.speed, this.meter.choice),
          this.player?.element,
          h("div", { class: "likeness" }, this.refineButton, this.refining)),
        h("div", { class: "desk" }, this.mixer.element,
          h("div", { class: "way" }, h("span", { class: "quiet" }, "Way between the codes"), this.paths.element, this.whole.element),
          this.edits)),
      this.morph.element, this.table.element);
    this.element = h("div", { class: "live blend" }, this.cards.element, this.notice, this.work);
    this.surface = this.engine.surface(this.canvas, { ondraw: (frame) => {
      this.meter.drawn(this.surface, frame);
      this.player?.drawn(frame);
      this.element.dataset.drawn = "";
    } });
    this.unlisten = this.engine.listen((info, sentence) => {
      this.meter.chosen(info);
      if (sentence) this.say(sentence);
    });
  }

  /** An event for Python. @param {string} name */
  send(name, value = {}) {
    this.setTriggerValue("event", { name, ...value });
  }

  /** @param {string} sentence */
  say(sentence) {
    this.notice.textContent = sentence;
  }

  /** New data from Python. @param {Args} args */
  async update({ data, setStateValue, setTriggerValue }) {
    Object.assign(this, { setStateValue, setTriggerValue, data });
    const first = !this.#shape;
    /** @type {Person[]} */
    const people = data.sources.map((source) => ({ ...source, z: decodeFloats(source.z), delta: source.delta ? decodeFloats(source.delta) : null }));
    // Offsets that a refinement is just finding are newer than what Python knows.
    for (const person of people) {
      const known = this.people.find((p) => p.id === person.id);
      if (known && this.#stop && data.refine?.chosen.includes(person.id)) Object.assign(person, { delta: known.delta, feature: known.feature });
    }
    this.people = people;
    this.player?.others?.(people.map((person, i) => ({ label: LETTERS[i], state: this.model.levels ? this.alone(person) : { z: person.z } })));
    for (const person of people) if (person.feature) this.engine.prepare(this.alone(person));
    this.cards.update(data.sources, data.samples);
    if (first || data.revision !== this.revision) this.#adopt(data.state);
    else if (this.weights[0]?.length !== people.length) this.#centre();
    this.revision = data.revision;
    const shape = String(people.length);
    if (shape !== this.#shape) {
      this.#shape = shape;
      this.mixer.build();
    }
    this.work.hidden = people.length === 0;
    const told = `${people.map((p) => p.id)}|${data.notice ?? ""}`;
    if (told !== this.#told) this.say(data.notice ?? "");
    this.#told = told;
    if (this.#pending && people.length === this.#pending.count) this.#applyPending();
    this.paths.choose(this.path);
    if (people.length) {
      this.readouts();
      this.show();
      this.later();
    }
    this.refineButton.hidden = !data.refinable || Boolean(data.refine);
    this.#follow(data.refine);
    this.element.dataset.ready = "";
    this.element.dataset.people = String(people.length);
    if (!this.space) {
      const space = await geometry(this.model).catch((error) => this.say(error.message));
      if (space) {
        this.space = space;
        this.panel.open(space, this.model);
      }
      this.readouts();
    }
  }

  #adopt(state) {
    const k = this.people.length;
    const fits = state && state.weights?.length === this.rows && state.weights.every((row) => row.length === k);
    this.path = state?.path ?? "slerp";
    this.whole.choose(state?.whole ?? false);
    if (state?.shift) this.shift = decodeFloats(state.shift);
    if (!fits) return this.#centre();
    this.weights = state.weights;
    this.at = state.at ?? this.weights.map((row) => this.placeOf(row));
  }

  #centre() {
    const k = this.people.length;
    if (!k) return;
    /** @type {Place} */
    const place = k === 1 ? [0, 0] : k === 3 ? [0.5, 1 / 3] : k === 2 ? [0.5, 0] : [0.5, 0.5];
    this.setRows(this.levels("all"), place);
  }

  /** Where the hand stands for such shares. @param {number[]} row @returns {Place} */
  placeOf(row) {
    const at = (axis) => sum(row.map((w, i) => w * corner(i, row.length)[axis]));
    return [at(0), at(1)];
  }

  /**
   * @param {number[]} levels
   * @param {Place} place
   */
  setRows(levels, place) {
    const k = this.people.length;
    const weights = cornerWeights(place[0], place[1], k);
    this.weights = this.levels("all").map((level) => (levels.includes(level) ? weights : this.weights[level] ?? weights));
    this.at = this.levels("all").map((level) => (levels.includes(level) ? place : this.at[level] ?? place));
  }

  /** The levels of a group. @param {Part} name */
  levels(name) {
    const all = [...Array(this.rows).keys()];
    return name === "all" ? all : all.filter((level) => GROUPS[group(level, this.rows)] === name);
  }

  /** The code on screen. @returns {import("../live/engine.js").State} */
  state(weights = this.weights) {
    const codes = mixCodes(this.people.map((p) => p.z), weights, this.path);
    const { shift } = this;
    if (this.shifted) for (let i = 0; i < codes.length; i++) codes[i] += shift[i % shift.length];
    if (!this.model.levels) return { z: codes };
    const features = mixDetails(this.people.map((p) => p.feature), weights, this.model.feature);
    return { levels: codes, delta: mixOffsets(this.people.map((p) => p.delta), weights, this.model.style_size), features };
  }

  /** One person's own picture. @param {Person} person @returns {import("../live/engine.js").State} */
  alone({ z, delta, feature }) {
    const levels = Float32Array.from({ length: this.model.levels * z.length }, (_, i) => z[i % z.length]);
    return { levels, delta, features: feature ? [{ id: feature, share: 1 }] : [] };
  }

  get shifted() {
    return this.shift.some((v) => v !== 0);
  }

  show(preview = false) {
    if (!this.people.length) return;
    const state = this.state();
    this.surface.show((preview ? null : this.whole.of(state)) ?? state, { preview });
  }

  commit() {
    if (this.whole.on) this.show(); // the hand rests
    this.setStateValue("blend", {
      weights: this.weights, at: this.at, path: this.path, shift: this.shifted ? encodeFloats(this.shift) : null, whole: this.whole.on, people: this.people.map((p) => p.id),
    });
  }

  /** A table of weights from elsewhere becomes the mix. @param {number[][]} table */
  jump(table) {
    this.weights = table;
    this.at = table.map((row) => this.placeOf(row));
    this.readouts();
    this.show();
    this.commit();
  }

  readouts(moving = false, own = "") {
    if (!this.people.length || !this.weights.length) return;
    this.mixer.readouts(own);
    this.morph.cursor();
    if (this.edits.open && this.space) this.panel.show(this.#average(), { moving, axis: this.panel.axis });
    this.editCount.textContent = this.shifted ? "changed" : "";
  }

  /** @param {string} path */
  #setPath(path) {
    this.path = path;
    this.paths.choose(path);
    this.show();
    this.morph.ribbon(this.ribbon);
    this.later();
    this.commit();
  }

  /* The switch was turned, or the picture at rest has come. */
  #wholeChanged(byHand) {
    this.show();
    if (!byHand) return;
    this.later();
    this.commit();
  }

  /* What Python says of the way between the people. */
  get ribbon() {
    return this.data?.ribbon?.[this.path];
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

  /**
   * @param {Basis} basis
   * @param {number} row
   * @param {number} value
   */
  #edit(basis, row, value) {
    const z = this.#average();
    const moved = this.space.move(z, basis, row, value, this.panel.locks);
    if (!moved) return this.say(`${basis.axes[row].label} cannot move while the locked axes hold all of it; unlock one of them.`);
    this.shift = this.shift.map((v, i) => v + moved[i] - z[i]);
    this.readouts(true);
    this.show(true);
    this.later();
  }

  /**
   * @param {Basis} basis
   * @param {number} row
   */
  #unedit(basis, row) {
    this.#edit(basis, row, this.space.value(basis, row, this.#average(new Float32Array(this.shift.length))));
    this.commit();
  }

  #uneditAll() {
    this.shift = new Float32Array(this.shift.length);
    this.readouts();
    this.show();
    this.later();
    this.commit();
  }

  #letGo() {
    if (!this.#grabbed) return;
    this.shift = this.#grabbed;
    this.#grabbed = null;
    this.readouts();
    this.show();
  }

  /* Morph and table: small pictures in one request each, once the hand rests. */

  later() {
    this.#round += 1; // what is being drawn is of people or a mix that are no more
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#drawRest().catch((error) => this.say(error.message)), SETTLE_MS);
  }

  async #drawRest() {
    if (this.#stop) return; // while refining, all would change again at once
    const round = ++this.#round;
    for (const part of [this.morph, this.table]) {
      const show = await part.draw();
      if (round !== this.#round) return;
      show();
    }
  }

  /**
   * A drawn face becomes a person of its own, and the cell of it and `row` the blend.
   * @param {number} seed
   * @param {number | null} [row]
   */
  addDrawn(seed, row = null) {
    const k = this.people.length;
    if (k >= LETTERS.length) return this.say("Four people are the most; take one away first.");
    this.#pending = { count: k + 1, row, column: k };
    this.send("draw", { seed });
  }

  #applyPending() {
    if (!this.#pending) return;
    const { row, column } = this.#pending;
    this.#pending = null;
    if (row !== null) setTimeout(() => this.table.pick(row, column));
  }

  /* Refining: the offsets arrive step by step, for all photos together. */
  #follow(refine) {
    if (!refine || refine.id === this.#following) return;
    this.#following = refine.id;
    const size = this.model.levels * this.model.style_size;
    this.refining.hidden = false;
    const chosen = refine.chosen.map((id) => this.people.find((p) => p.id === id));
    this.#stop = follow(refine.id, {
      onstep: ({ step, total, delta, picture, features }) => {
        Object.assign(this.progress, { max: total, value: step });
        if (!picture.length && !features.length) return; // what one pass gave is still the best
        chosen.forEach((person, n) => {
          const now = this.people.find((p) => p.id === person?.id);
          if (now) Object.assign(now, { delta: delta.slice(n * size, (n + 1) * size), feature: features[n] ?? null });
        });
        this.show();
      },
      onend: (_, error) => {
        this.#stop = null;
        this.refining.hidden = true;
        if (error) this.say(error);
        this.send("refined", { id: refine.id });
      },
    });
  }

  close() {
    clearTimeout(this.#timer);
    this.player?.close();
    this.unlisten();
    this.surface.close();
    this.panel.close();
    this.cards.close();
    this.engine.release();
  }
}

export const { render, unmount } = component(Blend);
