/* Compress, at equal bytes: the model's code as a file, PCA with as many bytes, the best of WebP, JPEG and AVIF. */

import { download, h } from "../live/dom.js";
import { whole } from "../live/numbers.js";
import { lines, METHODS } from "./chart.js";
import { Figures } from "./figures.js";

const PAUSE = 160; // ms without a move, then the budget is tried

export class Compress {
  title = "Compress";
  budget = 100;
  /** @type {any} */
  curve = null;
  file = "";
  #timer = 0;

  /** @param {import("./lab.js").Lab} lab */
  constructor(lab) {
    this.lab = lab;
    this.figures = new Figures("compress", (entry) => lab.compare.show(lab.truth(), entry));
    this.words = h("p", { class: "reading" });
    this.range = h("input", { type: "range", min: 0, max: 1000, "aria-label": "Bytes for one picture", "data-testid": "budget", oninput: () => this.#slide() });
    this.output = h("output", {});
    this.chart = h("div", {});
    this.fit = h("div", { class: "note" });
    this.save = h("button", { type: "button", class: "button", disabled: true, "data-testid": "save-lsz",
      onclick: () => download(new Blob([Uint8Array.from(atob(this.file), (c) => c.charCodeAt(0))]), "picture.lsz") }, "Save as .lsz");
    this.element = h("section", { class: "bench" },
      h("h3", {}, "Who says most in so few bytes?"),
      h("p", {}, "The code, rounded to its own precision and packed, against files of the same size: the best of all sizes and qualities."),
      h("label", { class: "slide" }, h("span", {}, "At most"), this.range, h("span", { class: "value" }, this.output, " bytes")),
      this.figures.element, this.words, this.fit,
      h("div", { class: "row" }, this.save, h("button", { type: "button", class: "button", "data-testid": "curves", onclick: () => this.curves() }, "Curves over all pictures")),
      this.chart);
    this.set(100);
  }

  /** @param {number} bytes */
  set(bytes) {
    const { least, most } = this.lab.data.budget;
    this.budget = Math.max(least, Math.min(most, bytes));
    this.range.value = String(1000 * Math.log(this.budget / least) / Math.log(most / least));
    this.output.textContent = whole(this.budget);
    this.range.setAttribute("aria-valuetext", `${this.budget} bytes`);
  }

  #slide() {
    const { least, most } = this.lab.data.budget;
    this.set(Math.round(least * (most / least) ** (Number(this.range.value) / 1000)));
    this.#later();
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), PAUSE);
  }

  async refresh() {
    this.#draw();
    if (!this.lab.pictures.current) return; // the samples are on their way
    const found = await this.lab.ask("compress", { ...this.lab.question(), budget: this.budget });
    if (!found) return;
    this.figures.show(found.entries, "vae");
    this.file = found.lsz;
    this.save.disabled = !found.lsz;
    const { bytes, head, bound_bytes: bound, decoder_bytes: decoder } = found.file;
    this.words.replaceChildren("At its natural precision this picture is a file of ", h("b", {}, `${bytes} bytes`),
      `: ${head} say which model wrote it, and the prior asks for ${bound.toFixed(1)} of the other ${bytes - head}. Who reads it needs the decoder, `,
      h("b", {}, `${(decoder / 1e6).toFixed(1)} MB`), ", once for all pictures.");
    this.fit.replaceChildren(...(found.pca ? [] : [fitting(this.lab)]));
    this.lab.keep("compress", found);
  }

  async curves() {
    const found = await this.lab.ask("curves", this.lab.pictures.question());
    if (!found) return;
    this.curve = { ...found, flattered: this.lab.pictures.tried.length < this.lab.pictures.all.length };
    this.#draw();
  }

  #draw() {
    if (!this.curve) return;
    const { budgets, rows, pictures, flattered } = this.curve;
    const titles = Object.fromEntries(rows[0].map(({ id, title }) => [id, title]));
    const series = METHODS.filter((id) => titles[id]).map((id) => ({ id, title: titles[id],
      points: budgets.flatMap((budget, i) => {
        const row = rows[i].find((one) => one.id === id);
        return row.share === 1 ? [[budget, row.psnr]] : [];
      }) }));
    this.chart.replaceChildren(lines(series, { x: "bytes a picture", y: "PSNR, dB", ticks: [16, 32, 64, 128, 256, 512, 1024], mark: Math.max(16, this.budget),
      onmark: (bytes) => { this.set(bytes); this.#mark(); this.#later(); },
      label: `PSNR by bytes, means over ${pictures} pictures; a method's line begins where it can do all of them` }),
      h("small", {}, `Means over ${pictures} picture${pictures === 1 ? "" : "s"}. A line begins where the method can do them all. ${flattered ? "What the model drew itself is left out. " : ""}Drag to choose the budget.`));
  }

  #mark() {
    this.#draw();
  }
}

/**
 * PCA for this model is not there yet: say so, and offer to fit it.
 * @param {import("./lab.js").Lab} lab
 */
export function fitting(lab) {
  return h("p", {}, "PCA is not fitted for this model yet. ", h("button", { type: "button", class: "link", "data-testid": "fit-pca", onclick: async () => {
    if (await lab.ask("fit")) lab.refresh();
  } }, "Fit it, once"));
}
