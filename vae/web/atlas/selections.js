/* The pane "Selection": two sets of codes, what they share and how they differ from all.

   new Selections(atlas)
     .sets                {A, B}: {mask, count, summary?} or null; mask: Uint8Array (N)
     .take(selection)     what the map's box or lasso has outlined: {mask, count, add}
     .clear()             both
     .pane()              its elements */

import { blit, pixelated } from "../live/canvas.js";
import { h, radios } from "../live/dom.js";
import { bits, decodeFloats } from "../live/floats.js";
import { percent, whole } from "../live/numbers.js";
import { gallery } from "./here.js";

/** @typedef {"A" | "B"} Slot */
/** @typedef {{mask: Uint8Array, count: number, summary?: any}} Chosen */

const RATES = 10; // shown at first

export class Selections {
  /** @type {Record<Slot, Chosen | null>} */
  sets = { A: null, B: null };
  /** @type {Slot} */
  active = "A";
  #at = 0; // of the last selection, ms

  /** @param {import("./atlas.js").Atlas} atlas */
  constructor(atlas) {
    this.atlas = atlas;
  }

  /** @param {{mask: Uint8Array, count: number, add: boolean}} selection */
  async take({ mask, count, add }) {
    const { atlas } = this;
    this.#at = performance.now();
    const slot = this.active;
    const known = this.sets[slot];
    if (add && known) known.mask.forEach((v, i) => v && (mask[i] = 1));
    if (!count && !(add && known)) return atlas.say("No dot lies in this outline; draw it around some.");
    /** @type {Chosen} */
    const set = { mask, count: mask.reduce((n, v) => n + v, 0) };
    this.sets[slot] = set;
    this.#mark();
    atlas.show(atlas.tab === "teach" ? "teach" : "selection");
    const summary = await atlas.guard(() => atlas.server.json("select", {}, { mask: bits(mask) }));
    if (!summary || this.sets[slot] !== set) return;
    set.summary = summary;
    atlas.drawPane();
    atlas.element.dataset.selectMs = this.#elapsed();
    atlas.element.dataset.selected = String(set.count);
  }

  #elapsed() {
    return (performance.now() - this.#at).toFixed(0);
  }

  #mark() {
    this.atlas.map.select(this.sets.A?.mask ?? null, this.sets.B?.mask ?? null);
    this.atlas.lessons.forget();
  }

  clear() {
    this.sets = { A: null, B: null };
    this.#mark();
    this.atlas.drawPane();
  }

  #drop() {
    this.sets[this.active] = null;
    this.#mark();
    this.atlas.drawPane();
  }

  pane() {
    const { atlas } = this;
    const choices = ["A", "B"].map((slot) => [slot, `Selection ${slot}${this.sets[slot] ? ` \u00b7 ${whole(this.sets[slot].count)}` : ""}`]);
    const head = radios("slot", "Which selection", choices, (slot) => {
      this.active = /** @type {Slot} */ (slot);
      atlas.drawPane();
    }, { chosen: this.active, class: "segments slots" }).element;
    const set = this.sets[this.active];
    if (!set) {
      return [head, h("p", { class: "quiet" }, `Draw a box or a lasso around dots to fill selection ${this.active}; Shift adds to it. Holding Shift while you drag draws a box with any tool.`)];
    }
    const { summary } = set;
    if (!summary) return [head, h("p", { class: "quiet" }, `${whole(set.count)} codes \u2026`)];
    return [
      head, this.#mean(set), this.#rates(summary.rates),
      h("h4", {}, "Along its widest axis"),
      gallery(atlas, summary.sheet.map((index) => ({ index })), () => (atlas.element.dataset.sheetMs = this.#elapsed())),
    ];
  }

  /** The picture of the mean code, and figures. @param {Chosen} set */
  #mean({ count, summary }) {
    const { atlas } = this;
    const picture = h("canvas", { width: 128, height: 128, class: pixelated(atlas.model.image_size), role: "img",
      "aria-label": "The picture of their mean code", "data-testid": "mean-canvas" });
    const mean = decodeFloats(summary.mean);
    atlas.server.sprite("decoded", { tile: 128 }, mean).then(([tile]) => blit(picture, tile), (error) => atlas.say(error.message));
    const link = (words, onclick) => h("button", { type: "button", class: "link", onclick }, words);
    return h("div", { class: "mean" }, picture, h("div", {},
      h("h3", { "data-testid": "selection-count" }, `${whole(count)} codes`),
      h("p", { class: "quiet" }, `${percent(count / (atlas.points?.count ?? count), true)} of all. Their spread is ${percent(summary.spread, true)} of the whole.`),
      h("div", { class: "row" }, link("Take the mean", () => atlas.take(mean).then(() => atlas.show("here"))),
        link("Teach from it", () => atlas.show("teach")), link("Clear", () => this.#drop()))));
  }

  #rates(rates) {
    if (!rates.length) return h("p", { class: "quiet" }, "This model\u2019s codes carry no labels, so there are no rates to compare.");
    const line = ({ name, rate, whole: all, score }) => h("li", { title: `${percent(rate, true)} here, ${percent(all, true)} of all; ${Math.abs(score).toFixed(1)} standard errors apart` },
      h("span", { class: "name" }, name), h("span", { class: "bar-track" }, h("i", { style: `width: ${100 * rate}%` }), h("b", { style: `left: ${100 * all}%` })),
      h("span", { class: "figure" }, percent(rate, true)), h("span", { class: "figure quiet" }, percent(all, true)));
    const rest = rates.slice(RATES);
    const list = h("ul", { class: "rates", "data-testid": "rates" }, rates.slice(0, RATES).map(line));
    const more = h("button", { type: "button", class: "link", onclick: () => { list.append(...rest.map(line)); more.remove(); } }, `Show ${rest.length} more`);
    const head = h("div", { class: "head" }, h("h4", {}, "Labels, most telling first"), h("span", { class: "quiet" }, "here \u00b7 all"));
    return h("div", {}, head, list, rest.length ? more : null);
  }
}
