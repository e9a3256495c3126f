/* Reconstruct: the picture, what comes back, the error; the nats of every dimension; all pictures in a table, worst first. */

import { download, h } from "../live/dom.js";
import { whole } from "../live/numbers.js";
import { bars } from "./chart.js";
import { Figures, HEADS, written } from "./figures.js";

const COLUMNS = ["psnr", "ssim", "perceptual", "nats"];
const CALLED = { nats: ["KL, nats", "How much the code says of this picture", -1] };

export class Reconstruct {
  title = "Reconstruct";
  /** @type {any[]} */
  rows = [];
  /** @type {any[]} the pictures that the rows are of */
  tried = [];
  text = "";
  sorted = { key: "psnr", up: true };

  /** @param {import("./lab.js").Lab} lab */
  constructor(lab) {
    this.lab = lab;
    this.figures = new Figures("reconstruct", (entry) => lab.compare.show(lab.truth(), entry));
    this.words = h("p", { class: "reading" });
    this.nats = h("div", { class: "nats" });
    this.table = h("div", { class: "many" });
    this.element = h("section", { class: "bench" },
      h("h3", {}, "How much of a picture survives?"),
      h("p", {}, "Encoder and decoder, once. What is lost did not fit through the code, or the model never learned it."),
      this.figures.element, this.words, this.nats,
      h("div", { class: "row" }, h("button", { type: "button", class: "button", "data-testid": "measure-all", onclick: () => this.all() }, "Measure all pictures"),
        this.csv = h("button", { type: "button", class: "button", hidden: true, onclick: () => download(new Blob([this.text], { type: "text/csv" }), "reconstruction.csv") }, "As CSV")),
      this.table);
  }

  async refresh() {
    const found = await this.lab.ask("reconstruct", this.lab.question());
    if (!found) return;
    this.figures.show(found.entries, "vae");
    this.words.replaceChildren("The code says ", h("b", {}, `${found.total.toFixed(1)} nats`), ` of this picture: ${found.bits.toFixed(0)} bits, or ${whole(Math.ceil(found.bits / 8))} bytes.`);
    const order = [...found.usual.keys()].sort((a, b) => found.usual[b] - found.usual[a]);
    const own = order.map((i) => found.nats[i]);
    this.nats.replaceChildren(
      bars(own, { faint: order.map((i) => found.usual[i]), title: (k) => `Dimension ${order[k]}: ${own[k].toFixed(2)} nats, usually ${found.usual[order[k]].toFixed(2)}`,
        label: `Nats of each of ${own.length} dimensions, from the most telling one on; the largest has ${Math.max(...own).toFixed(1)}` }),
      h("small", {}, `KL of each of the ${own.length} dimensions, the usually most telling first. Pale: the mean over the data.`));
    this.lab.keep("reconstruct", found);
  }

  async all() {
    const { tried } = this.lab.pictures;
    const found = await this.lab.ask("table", this.lab.pictures.question());
    if (!found) return;
    this.tried = tried;
    Object.assign(this, { rows: found.rows, text: found.csv });
    this.csv.hidden = false;
    this.#list();
  }

  #list() {
    const { key, up } = this.sorted;
    const rows = [...this.rows].sort((a, b) => (up ? 1 : -1) * (a[key] - b[key]));
    const keys = COLUMNS.filter((one) => rows[0]?.[one] !== undefined);
    const head = keys.map((one) => {
      const [name, title] = HEADS[one] ?? CALLED[one];
      const sort = one === key ? (up ? "ascending" : "descending") : "none";
      return h("th", { scope: "col", "aria-sort": sort }, h("button", { type: "button", class: "link", title,
        onclick: () => { this.sorted = { key: one, up: one === key ? !up : (HEADS[one]?.[2] ?? -1) > 0 }; this.#list(); } }, `${name}${one === key ? (up ? " \u2191" : " \u2193") : ""}`));
    });
    const show = (row) => {
      this.lab.pictures.choose(this.tried[row.index]);
    };
    this.table.replaceChildren(h("table", { class: "figures", "data-testid": "table" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Picture"), head)),
      h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, h("button", { type: "button", class: "method", onclick: () => show(row) },
        h("img", { src: row.src, alt: "", width: 36, height: 36 }), h("span", {}, row.name))), keys.map((one) => h("td", {}, written(one, row[one]))))))));
  }
}
