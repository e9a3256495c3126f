/* How the shares are set: a slider for each group of levels where two are mixed, a pad for three and four.

   new Mixer(blend)
     .element
     .build()             the number of people has changed
     .readouts(own)       show the weights; `own`: the slider in the hand, left alone */

import { h, radios } from "../live/dom.js";
import { clamp, mean, percent } from "../live/numbers.js";
import { corner, cornerWeights } from "./mix.js";
import { LETTERS } from "./people.js";

/** @typedef {import("./blend.js").Part} Part */
/** @typedef {{area: HTMLElement, dots: HTMLElement[], names: Part[], shares: HTMLElement}} Pad */
/** @typedef {{input: HTMLInputElement, output: HTMLOutputElement, fill: HTMLElement}} Slider */

/** @type {Record<string, [number, number]>} */
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEYS_REST_MS = 400;
/** @type {Record<Part, [string, string]>} */
const WORDS = { all: ["Mix", ""], coarse: ["Coarse", "pose, shape, hair"], middle: ["Middle", "features"], fine: ["Fine", "colour, texture"] };

export class Mixer {
  /** @type {Part} what the pad moves */
  moved = "all";
  /** @type {Map<Part, Slider>} */
  #sliders = new Map();
  /** @type {Pad | null} */
  #pad = null;
  #timer = 0;

  /** @param {import("./blend.js").Blend} blend */
  constructor(blend) {
    this.blend = blend;
    /** @type {Part[]} */
    this.names = ["all", ...blend.groups];
    this.element = h("div", { class: "mixer" });
  }

  build() {
    const k = this.blend.people.length;
    this.#sliders = new Map();
    this.#pad = null;
    if (k > 2) this.element.replaceChildren(this.#padBox());
    else if (k === 2) this.element.replaceChildren(...this.names.map((name) => this.#slider(name)));
    else {
      const words = k ? `Add a second ${this.blend.model.face ? "person" : "picture"} to mix the two, or click a cell of the table below to mix with a drawn ${this.blend.model.noun}.` : "";
      this.element.replaceChildren(h("p", { class: "quiet lead" }, words));
    }
  }

  /** @param {Part} name */
  #slider(name) {
    const { blend } = this;
    const [title, detail] = WORDS[name];
    const input = h("input", { type: "range", min: 0, max: 1, step: 0.005, "data-axis": `mix:${name}`, "aria-label": `${title}, from A to B`,
      oninput: () => this.#slide(name, Number(input.value)), onchange: () => blend.commit() });
    const output = h("output");
    const fill = h("i", { class: "fill mix" });
    this.#sliders.set(name, { input, output, fill });
    const end = (i) => h("button", { type: "button", class: "end-letter", title: `All ${LETTERS[i]}`, "aria-label": `${title}: all ${LETTERS[i]}`,
      onclick: () => { this.#slide(name, i); blend.commit(); } }, LETTERS[i]);
    return h("div", { class: `row mix ${name === "all" ? "whole" : ""}` }, end(0),
      h("div", { class: "body" }, h("div", { class: "caption" }, h("span", {}, title, detail ? h("small", {}, detail) : null), output),
        h("div", { class: "track" }, h("div", { class: "rail" }, h("i", { class: "ticks" }), fill), input)), end(1));
  }

  /**
   * @param {Part} name
   * @param {number} value
   */
  #slide(name, value) {
    const { blend } = this;
    blend.setRows(blend.levels(name), [value, 0]);
    blend.readouts(true, name);
    blend.show(true);
  }

  #padBox() {
    const { blend, names } = this;
    const k = blend.people.length;
    const area = h("div", { class: `pad k${k}`, tabindex: 0, role: "slider", "data-testid": "pad", "aria-label": "Shares of the people; arrow keys move the hand",
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 50 });
    const words = (name) => (name === "all" ? "Everything" : WORDS[name][0]);
    const dots = names.map((name) => h("i", { class: `dot ${name}`, title: words(name) }, name === "all" ? "" : name[0].toUpperCase()));
    const faces = blend.people.map((person, i) => {
      const [x, y] = corner(i, k);
      return h("button", { type: "button", class: "corner", style: `left:${100 * x}%;top:${100 * y}%`, tabindex: -1, title: `All ${LETTERS[i]}`, "aria-label": `All ${LETTERS[i]}`,
        onclick: () => { this.#place([x, y]); blend.commit(); } }, h("img", { src: person.recon, alt: "" }), h("b", {}, LETTERS[i]));
    });
    const shares = h("div", { class: "shares" });
    const choice = radios("moved", "What the pad moves", names.map((name) => [name, words(name)]), (name) => {
      this.moved = /** @type {Part} */ (name);
      blend.readouts();
    }, { chosen: this.moved }).element;
    area.append(...dots);
    this.#listen(area);
    this.#pad = { area, dots, names, shares };
    return h("div", { class: "pad-box" }, names.length > 1 ? choice : null, h("div", { class: "pad-field" }, area, faces), shares);
  }

  /** @param {HTMLElement} area */
  #listen(area) {
    const { blend } = this;
    let held = false;
    /** @param {PointerEvent} event */
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
    for (const name of ["pointerup", "pointercancel"]) area.addEventListener(name, () => { if (held) blend.commit(); held = false; });
    area.addEventListener("keydown", (event) => {
      const step = KEYS[event.key];
      if (!step) return;
      event.preventDefault();
      const place = blend.at[blend.levels(this.moved)[0]];
      const size = event.shiftKey ? 0.1 : 0.02;
      this.#place([place[0] + size * step[0], place[1] + size * step[1]]);
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => blend.commit(), KEYS_REST_MS);
    });
  }

  /** @param {[number, number]} hand */
  #place([x, y]) {
    const { blend } = this;
    const k = blend.people.length;
    // The hand may lie outside the triangle: the dot stays inside, where its weights are.
    blend.setRows(blend.levels(this.moved), k === 3 ? blend.placeOf(cornerWeights(x, y, k)) : [clamp(x), clamp(y)]);
    blend.readouts(true);
    blend.show(true);
  }

  readouts(own = "") {
    const { blend } = this;
    for (const [name, { input, output, fill }] of this.#sliders) {
      const value = mean(blend.levels(name).map((level) => blend.weights[level][1] ?? 0));
      if (name !== own) input.value = String(value);
      output.textContent = `${percent(value)} B`;
      fill.style.transform = `scaleX(${value.toFixed(4)})`;
      input.setAttribute("aria-valuetext", `${Math.round(100 * (1 - value))} percent A, ${Math.round(100 * value)} percent B`);
    }
    if (this.#pad) this.#padReadouts(this.#pad);
  }

  /** @param {Pad} pad */
  #padReadouts({ area, dots, names, shares }) {
    const { blend } = this;
    const { at } = blend;
    const together = blend.groups.every((name) => blend.levels(name).every((level) => at[level].every((v, i) => Math.abs(v - at[0][i]) < 1e-6)));
    names.forEach((name, i) => {
      const place = at[blend.levels(name)[0]];
      dots[i].style.left = `${100 * place[0]}%`;
      dots[i].style.top = `${100 * place[1]}%`;
      dots[i].hidden = together ? name !== "all" : name === "all";
      dots[i].classList.toggle("held", together || this.moved === "all" || name === this.moved);
    });
    const levels = blend.levels(this.moved);
    const share = blend.people.map((_, i) => mean(levels.map((level) => blend.weights[level][i])));
    const words = share.map((w, i) => `${LETTERS[i]} ${percent(w)}`);
    shares.replaceChildren(...words.map((word) => h("span", {}, word)));
    area.setAttribute("aria-valuetext", words.join(", "));
    area.setAttribute("aria-valuenow", String(Math.round(100 * share[0])));
  }
}
