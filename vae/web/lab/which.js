/* Which slider does what: how much every axis of the code says of every label, as a picture, and the field's scores. */

import { h } from "../live/dom.js";

const SHOWN_AXES = 24;
const SCORES = [
  ["mig", "MIG", "Mutual information gap: of each label, the most telling axis less the second; 1 if one axis says all. Chen et al. 2018"],
  ["sap", "SAP", "Separated attribute predictability: the same for how well a single axis predicts. Kumar et al. 2018"],
  ["disentanglement", "Disentanglement", "Whether each axis serves one label. Eastwood and Williams 2018"],
  ["completeness", "Completeness", "Whether each label is served by one axis. Eastwood and Williams 2018"],
  ["informativeness", "Informativeness", "How well all axes together say the labels; 0 is chance. Eastwood and Williams 2018"],
];

export class Sliders {
  title = "Which slider does what";
  wide = true;

  /** @param {import("./lab.js").Lab} lab */
  constructor(lab) {
    this.lab = lab;
    this.scores = h("dl", { class: "scores", "data-testid": "scores" });
    this.heat = h("div", { class: "heat" });
    this.element = h("section", { class: "bench" }, h("h3", {}, "Does one slider do one thing?"),
      h("p", {}, "Measured on the codes that come with the model and their labels. A VAE is not asked to sort its axes, and most do not: named directions on Explore are found afterwards."),
      h("div", { class: "row" }, h("button", { type: "button", class: "button primary", "data-testid": "measure-sliders", onclick: () => this.measure() }, "Measure")),
      this.scores, this.heat);
  }

  refresh() {}

  async measure() {
    const found = await this.lab.ask("sliders");
    if (!found) return;
    this.scores.replaceChildren(...SCORES.filter(([key]) => found[key] !== null).flatMap(([key, name, title]) => [h("dt", { title }, name), h("dd", { "data-figure": key }, found[key].toFixed(3))]));
    const told = found.information.map((row, axis) => ({ axis, row, most: Math.max(...row) })).sort((a, b) => b.most - a.most).slice(0, SHOWN_AXES).sort((a, b) => a.axis - b.axis);
    const top = Math.max(...told.map(({ most }) => most), 1e-6);
    const cell = (value, axis, name) => h("td", { style: `--share: ${(value / top).toFixed(3)}`, title: `Axis ${axis}, ${name}: ${(100 * value).toFixed(1)} % of what there is to know` });
    const head = h("tr", {}, h("th", { scope: "col" }, "Label"), told.map(({ axis }) => h("th", { scope: "col" }, String(axis))), h("th", { scope: "col", title: "All axes together; 0 is chance" }, "All"));
    const rows = found.factors.map(({ name, says }, k) => h("tr", {}, h("th", { scope: "row" }, name.replaceAll("_", " ")),
      told.map(({ axis, row }) => cell(row[k], axis, name)), h("td", { class: "number" }, says.toFixed(2))));
    this.heat.replaceChildren(h("table", {}, h("thead", {}, head), h("tbody", {}, rows)),
      h("small", {}, `Mutual information as a share of the label's entropy; the darkest is ${(100 * top).toFixed(1)} %. The ${told.length} most telling of ${found.axes} axes.`));
    this.lab.keep("sliders", found);
  }
}
