/* Generate: a sheet of draws; how near each is to a training picture, by a yardstick; and what the draws are of. */

import { h, radios, svg } from "../live/dom.js";
import { percent, whole } from "../live/numbers.js";
import { Figures } from "./figures.js";

const PRIORS = [["fitted", "Fitted prior"], ["normal", "N(0, I)"]];
const PAUSE = 200;

export class Generate {
  title = "Generate";
  prior = "fitted";
  seed = 1;
  /** @type {any} */
  found = null;
  #timer = 0;
  #asked = "";

  /** @param {import("./lab.js").Lab} lab */
  constructor(lab) {
    this.lab = lab;
    this.range = h("input", { type: "range", min: 0, max: 2, step: 0.05, value: 1, "aria-label": "Temperature", "data-testid": "temperature", oninput: () => this.#later() });
    this.output = h("output", {}, "1.00");
    this.sheet = h("div", { class: "sheet", role: "group", "aria-label": "Draws" });
    this.words = h("p", { class: "reading", "data-testid": "generate-words" });
    this.figures = new Figures("near", (entry) => lab.compare.show(this.#drawn(), entry));
    this.chart = h("div", {});
    this.balance = h("div", { class: "balance" });
    const priors = radios("lab-prior", "Drawn from", PRIORS, (value) => { this.prior = value; this.refresh(); }, { chosen: this.prior });
    this.element = h("section", { class: "bench" }, h("h3", {}, "Invented, or remembered?"),
      h("p", {}, "A draw that lies nearer to a training picture than the data's own pictures lie to each other is suspect: it may be a copy. Choose one to see its nearest."),
      h("div", { class: "controls" }, priors.element, h("label", { class: "slide" }, h("span", {}, "Temperature"), this.range, this.output),
        h("button", { type: "button", class: "button", "data-testid": "again", onclick: () => { this.seed += 1; this.refresh(); } }, "Draw again")),
      this.sheet, this.words, this.figures.element, this.chart, this.balance);
  }

  #later() {
    this.output.textContent = Number(this.range.value).toFixed(2);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), PAUSE);
  }

  #question() {
    return { prior: this.prior, temperature: Number(this.range.value), seed: this.seed };
  }

  #drawn() {
    return { title: `Draw ${this.index + 1}`, src: this.found.draws[this.index].src };
  }

  index = 0;

  async refresh() {
    const asked = JSON.stringify(this.#question());
    if (asked === this.#asked && this.found) return this.choose(this.index); // draws do not depend on the pictures above
    const found = await this.lab.ask("generate", this.#question());
    if (!found) return;
    this.#asked = asked;
    this.found = found;
    this.sheet.replaceChildren(...found.draws.map(({ src, distance, share }, i) => h("button", { type: "button", class: "thumb", "data-draw": i,
      title: `Draw ${i + 1}: distance ${distance.toFixed(2)}`, "aria-label": `Draw ${i + 1}${share < 0.01 ? ", suspiciously near to a training picture" : ""}`,
      "data-near": share < 0.01 ? "" : null, onclick: () => this.choose(i) }, h("img", { src, alt: "", width: 72, height: 72 }))));
    this.sheet.dataset.drawn = asked;
    this.#histogram();
    this.#balance();
    this.lab.keep("generate", { ...found, draws: found.draws.length });
    await this.choose(0);
  }

  /** @param {number} index */
  async choose(index) {
    this.index = index;
    for (const [i, one] of [...this.sheet.children].entries()) one.setAttribute("aria-pressed", String(i === index));
    const found = await this.lab.ask("near", { ...this.#question(), index });
    if (!found || index !== this.index) return;
    this.words.replaceChildren("This draw is ", h("b", {}, found.distance.toFixed(2)), ` from the nearest training code, in standard deviations. Of the data's own pictures `,
      h("b", {}, percent(found.share, true)), " have another one nearer than that.");
    this.figures.show(found.entries);
  }

  #histogram() {
    const { edges, usual, drawn, threshold, copied, count, codes } = this.found;
    const most = Math.max(...usual, ...drawn);
    const wide = 560 / usual.length;
    const bar = (value, i, kind) => svg("rect", { x: i * wide, width: wide * 0.92, y: 100 - 96 * value / most, height: 96 * value / most, class: kind });
    const at = 560 * threshold / edges[edges.length - 1];
    const picture = svg("svg", { viewBox: "0 0 560 102", class: "chart bars", preserveAspectRatio: "none", role: "img",
      "aria-label": `Distances to the nearest training code, of the data's own pictures and of ${count} draws; ${percent(copied, true)} of the draws are under the threshold of ${threshold.toFixed(2)}` },
      ...usual.map((value, i) => bar(value, i, "usual")), ...drawn.map((value, i) => bar(value, i, "own half")),
      svg("line", { x1: at, x2: at, y1: 0, y2: 102, class: "mark" }));
    this.chart.replaceChildren(h("h4", {}, "How near is near?"), picture,
      h("small", {}, `Distance to the nearest of ${whole(codes >> 1)} training codes, 0 to ${edges[edges.length - 1].toFixed(1)}. Pale: the other half of the data. Dashed: nearer than 99\u202f% of it. `,
        h("b", { "data-testid": "copied" }, percent(copied, true)), ` of ${count} draws are under it.`));
  }

  #balance() {
    const rows = this.found.balance;
    this.balance.replaceChildren(...(rows.length ? [h("h4", {}, "What are they of?"),
      h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Label"), h("th", { scope: "col" }, "Data"), h("th", { scope: "col" }, "Draws"), h("th", {}))),
        h("tbody", {}, rows.map(({ name, data, draws }) => h("tr", {}, h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td", {}, percent(data)), h("td", {}, percent(draws)),
          h("td", { class: "pair", "aria-hidden": "true" }, h("i", { style: `--share: ${data}` }), h("i", { class: "own", style: `--share: ${draws}` })))))),
      h("small", {}, "A linear read-out of the code judges the draws, with the threshold that finds each label as often as it is in the data.")] : []));
  }
}
