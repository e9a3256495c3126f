/* The colours of the dots: what they tell, their legend, and which dots it leaves in sight.

   new Colours(atlas)
     .select .legend      elements
     .offer(options)      what the server offers
     .choose(by)          Promise: fetch, paint, draw the legend
   A category of the legend hides its dots; a number has two handles that keep a range of it in sight. */

import { hex, parse } from "../live/canvas.js";
import { fill, h } from "../live/dom.js";
import { percent, whole } from "../live/numbers.js";

/** @typedef {import("../live/canvas.js").Rgb} Rgb */

const HUES = ["#0f766e", "#d97706", "#7c3aed", "#dc2626", "#2563eb", "#65a30d", "#db2777", "#0891b2", "#a16207", "#64748b", "#4d7c0f", "#9333ea"].map(hex);
const RAMP = ["#3d1f6b", "#31508f", "#1c7f8e", "#35a77a", "#9cc94b", "#f3df5b"].map(hex);

export class Colours {
  /** @type {any} what the server says of them, and one byte a code: .values */
  colours = null;
  /** @type {Set<number>} categories */
  hidden = new Set();
  range = [0, 255];

  /** @param {import("./atlas.js").Atlas} atlas */
  constructor(atlas) {
    this.atlas = atlas;
    this.select = h("select", { "aria-label": "Colour", "data-testid": "colour", onchange: () => this.choose(this.select.value) });
    this.legend = h("div", { class: "legend" });
  }

  offer(options) {
    const { kept } = this.atlas;
    fill(this.select, options.colours);
    if (!options.colours.some(({ id }) => id === kept.by)) kept.by = "none";
    this.select.value = kept.by;
  }

  /**
   * @param {string} by
   * @returns {Promise<void>}
   */
  async choose(by) {
    const { atlas } = this;
    const answer = await atlas.guard(() => atlas.server.packed("colours", { by }));
    if (answer?.head.state === "missing" && !atlas.closed) {
      if (await atlas.progress.run(by, () => true)) return this.choose(by);
    } else if (answer && !atlas.closed) {
      atlas.keep({ by });
      this.colours = { ...answer.head, values: new Uint8Array(answer.data) };
      this.hidden = new Set();
      this.range = [0, 255];
      atlas.map.paint(this.colours.values, this.#palette());
      this.legend.replaceChildren(...this.#legend());
      this.#filter();
    }
    this.select.value = atlas.kept.by;
  }

  /** @returns {Rgb[]} */
  #palette() {
    const { kind, categories } = this.colours;
    if (kind === "number") return Array.from({ length: 256 }, (_, i) => ramp(i / 255));
    const ink = getComputedStyle(this.atlas.element);
    const [r, g, b] = parse(ink.getPropertyValue("--quiet"));
    const grey = /** @type {Rgb} */ ([r, g, b].map((v) => Math.round(v * 0.9 + 12)));
    const accent = parse(ink.getPropertyValue("--accent"));
    if (categories.length === 1) return [accent];
    if (categories.length === 2) return [grey, accent];
    return categories.map((_, i) => HUES[i % HUES.length]);
  }

  #legend() {
    const { colours } = this;
    if (colours.kind !== "category") return this.#ramp();
    const total = colours.values.length;
    if (colours.categories.length === 1) {
      return [h("span", { class: "key" }, `${whole(total)} codes of the data the model learned from`)];
    }
    const table = this.#palette();
    return colours.categories.map((name, i) => {
      const key = h("button", {
        type: "button", class: "key", "aria-pressed": "true", "data-category": i, title: "Show or hide",
        onclick: () => {
          if (!this.hidden.delete(i)) this.hidden.add(i);
          key.setAttribute("aria-pressed", String(!this.hidden.has(i)));
          this.#filter();
        } }, h("i", { style: `background: rgb(${table[i].join(" ")})` }), name, h("small", {}, percent(colours.counts[i] / total, true)));
      return key;
    });
  }

  /* Of a number: a histogram over its colours, and two handles. */
  #ramp() {
    const { colours } = this;
    const table = this.#palette();
    const top = Math.max(...colours.counts);
    const bars = colours.counts.map((n, i) => h("i", {
      style: `height: ${4 + 26 * (n / top)}px; background: rgb(${table[Math.round((255 * (i + 0.5)) / 12)].join(" ")})` }));
    const figure = (share) => (colours.low + (colours.high - colours.low) * share).toPrecision(3);
    const words = h("span", { class: "quiet" });
    const tell = () => {
      words.textContent = `${figure(Math.min(...this.range) / 255)} to ${figure(Math.max(...this.range) / 255)} ${colours.unit}`;
    };
    const ends = ["lowest", "highest"].map((end, k) => {
      const input = h("input", { type: "range", min: 0, max: 255, value: this.range[k], "aria-label": `${end} ${colours.title} shown`,
        oninput: () => {
          this.range[k] = Number(input.value);
          tell();
          this.#filter();
        } });
      return input;
    });
    tell();
    return [h("strong", {}, colours.title), h("div", { class: "ramp" }, h("div", { class: "bars" }, bars), h("div", { class: "ends" }, ends)), words];
  }

  #filter() {
    const { colours, hidden } = this;
    const [low, high] = [Math.min(...this.range), Math.max(...this.range)];
    const byCategory = colours.kind === "category";
    const all = byCategory ? !hidden.size : low === 0 && high === 255;
    const shown = (v) => Number(byCategory ? !hidden.has(v) : v >= low && v <= high);
    this.atlas.map.filter(all ? null : colours.values.map(shown));
  }
}

/**
 * @param {number} t 0 to 1
 * @returns {Rgb}
 */
function ramp(t) {
  const at = t * (RAMP.length - 1), i = Math.min(RAMP.length - 2, Math.floor(at));
  const mixed = RAMP[i].map((v, k) => Math.round(v + (RAMP[i + 1][k] - v) * (at - i)));
  return /** @type {Rgb} */ (mixed);
}
