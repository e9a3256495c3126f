/* The way from the first person to the last: a strip of pictures, and a ribbon that says how usual its codes are.

   new Morph(blend)
     .element
     .draw()              Promise of a function that shows the new pictures: only the newest drawing is shown
     .ribbon(data)        data: {t, density, prior, data} along the way, or null
     .cursor()            where the mix stands on it */

import { h } from "../live/dom.js";
import { mean, percent, signed, sum } from "../live/numbers.js";
import { decodeAll, tile } from "./batch.js";

const STEPS = 8;
const RARE = 0.02; // share of the real faces below which hardly one is as far out
const USUAL = 0.1; // share from which the ribbon has its full colour
const HEIGHT = 34;

export class Morph {
  /** @type {HTMLElement | null} */
  #mark = null;

  /** @param {import("./blend.js").Blend} blend */
  constructor(blend) {
    this.blend = blend;
    this.strip = h("div", { class: "strip", role: "group", "aria-label": "Morph in eight steps" });
    this.band = h("div", { class: "ribbon" });
    this.element = h("section", { class: "morph", "aria-label": "Morph" }, h("h3", {}, "Morph"), this.strip, this.band);
  }

  async draw() {
    const { blend } = this;
    const k = blend.people.length;
    this.element.hidden = k < 2;
    if (k < 2) return () => {};
    const tables = Array.from({ length: STEPS }, (_, step) => {
      const place = (step / (STEPS - 1)) * (k - 1);
      return Array(blend.rows).fill(blend.people.map((_, i) => Math.max(0, 1 - Math.abs(place - i))));
    });
    const images = await decodeAll(blend.model, await blend.whole.all(tables.map((table) => blend.state(table))));
    return () => {
      this.strip.replaceChildren(...images.map((image, i) => tile(image, `Step ${i + 1} of ${STEPS}`, () => blend.jump(tables[i]))));
      this.ribbon(blend.ribbon);
    };
  }

  ribbon(data) {
    this.band.hidden = !data || this.blend.people.length < 2;
    if (this.band.hidden) return;
    const colour = (share) => `color-mix(in oklab, var(--accent) ${Math.round(100 * Math.min(1, share / USUAL))}%, var(--far))`;
    const stops = (values) => values.map((v, i) => `${colour(v)} ${((100 * i) / (values.length - 1)).toFixed(1)}%`).join(", ");
    const band = (label, values, title) => h("div", { class: "band-row", title }, h("span", {}, label),
      h("i", { class: "likely", style: `background:linear-gradient(to right, ${stops(values)})` }));
    this.#mark = h("i", { class: "cursor" });
    const { noun } = this.blend.model;
    const worst = data.data.reduce((best, v, i) => (v < data.data[best] ? i : best), 0);
    const far = data.data[worst];
    const place = percent(data.t[worst]);
    const words = far < RARE
      ? `Farthest from the data at ${place} of the way: there hardly any real ${noun} is as far from its neighbours.`
      : `The whole way stays near the data: at its farthest, at ${place}, ${percent(far)} of the real ${noun}s are farther from their neighbours.`;
    const nats = [Math.min(...data.density), Math.max(...data.density)].map((v) => signed(v, 0)).join(" to ");
    this.band.replaceChildren(h("div", { class: "bands" }, band("Prior", data.prior, `Share of the real ${noun}s that the prior finds no likelier`),
      band("Data", data.data, `Share of the real ${noun}s that lie at least as far from their nearest neighbours`), densityRow(data.density), this.#mark),
    h("p", { class: "quiet" }, `${words} The line is the log density, ${nats} nats against a usual ${noun} (dashed).`));
    this.cursor();
  }

  cursor() {
    const { people, weights } = this.blend;
    const k = people.length;
    if (!this.#mark || k < 2) return;
    const t = mean(weights.map((row) => sum(row.map((w, i) => (w * i) / (k - 1)))));
    this.#mark.style.setProperty("--t", t.toFixed(4));
  }
}

/** @param {number[]} density nats against a usual picture */
function densityRow(density) {
  const low = Math.min(...density, -20);
  const high = Math.max(...density, 20);
  const height = (v) => (HEIGHT - ((HEIGHT - 2) * (v - low)) / (high - low)).toFixed(2);
  const points = density.map((v, i) => `${((100 * i) / (density.length - 1)).toFixed(2)},${height(v)}`).join(" ");
  const box = h("i", { class: "density" });
  box.innerHTML = `<svg viewBox="0 0 100 36" preserveAspectRatio="none" aria-hidden="true"><line x1="0" x2="100" y1="${height(0)}" y2="${height(0)}"/><polyline points="${points}"/></svg>`;
  return h("div", { class: "band-row" }, h("span", {}, "Log density"), box);
}
