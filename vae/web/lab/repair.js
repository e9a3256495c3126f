/* Denoise and repair: damage a picture and mend it, hide a part of it, or paint in what no training picture has. */

import { h, radios } from "../live/dom.js";
import { percent } from "../live/numbers.js";
import { fitting } from "./compress.js";
import { Figures } from "./figures.js";
import { Painting } from "./painting.js";

const WAYS = [["damage", "Damage"], ["hide", "Hide a part"], ["invent", "Paint something in"]];
const PAUSE = 160;
const COLOURS = [["#ffffff", "White"], ["#808080", "Grey"], ["#000000", "Black"], ["#e11d48", "Red"]];

export class Repair {
  title = "Denoise and repair";
  way = "damage";
  /** @type {any[]} */
  entries = [];
  #timer = 0;

  /** @param {import("./lab.js").Lab} lab */
  constructor(lab) {
    this.lab = lab;
    this.damages = lab.data.damages;
    this.kind = this.damages[0];
    this.figures = new Figures("repair", (entry) => lab.compare.show(this.#left(), entry));
    this.words = h("p", { class: "reading", "data-testid": "reading" });
    this.note = h("div", { class: "note" });
    this.chosen = h("select", { "aria-label": "Kind of damage", onchange: () => { this.#damage(this.chosen.value); this.#later(); } },
      this.damages.map(({ id, title }) => h("option", { value: id }, title)));
    this.range = h("input", { type: "range", "aria-label": "Strength", "data-testid": "strength", oninput: () => { this.#said(); this.#later(); } });
    this.output = h("span", { class: "value" });
    this.painting = new Painting(lab.model.image_size, () => this.refresh());
    this.colours = radios("lab-colour", "Colour", lab.model.channels === 1 ? COLOURS.slice(0, 3) : COLOURS, (value) => { this.painting.colour = value; }, { chosen: COLOURS[0][0] });
    this.parts = {
      damage: h("div", { class: "controls" }, h("label", { class: "field" }, this.chosen), h("label", { class: "slide" }, this.range, this.output)),
      hide: h("div", {}),
      invent: h("div", { class: "controls" }, this.colours.element),
    };
    this.mode = h("button", { type: "button", class: "button", "data-testid": "mode", title: "Searches for the code that explains best what is known and is itself usual: some seconds",
      onclick: () => this.search() }, "Posterior mode");
    const ways = radios("lab-way", "What to repair", WAYS, (value) => this.#turn(value), { chosen: this.way });
    this.element = h("section", { class: "bench" }, h("h3", {}, "Does it know what is missing?"), ways.element,
      this.hint = h("p", {}), ...Object.values(this.parts), this.painting.element, this.figures.element, this.words, this.note, h("div", { class: "row" }, this.mode));
    this.#damage(this.kind.id);
    this.#turn("damage", false);
  }

  #damage(id) {
    this.kind = this.damages.find((one) => one.id === id);
    const { least, most, usual } = this.kind;
    Object.assign(this.range, { min: least, max: most, step: most - least > 20 ? 1 : 0.25 });
    this.range.value = String(usual);
    this.#said();
  }

  #said() {
    this.output.textContent = `${Number(this.range.value)} ${this.kind.unit}`;
    this.range.setAttribute("aria-valuetext", this.output.textContent);
  }

  #turn(way, ask = true) {
    this.way = way;
    for (const [name, part] of Object.entries(this.parts)) part.hidden = name !== way;
    this.painting.element.hidden = way === "damage";
    this.painting.colour = way === "invent" ? COLOURS[0][0] : null;
    this.colours.choose(COLOURS[0][0]);
    this.mode.hidden = way === "invent";
    this.hint.textContent = {
      damage: "Classical methods look at the picture alone; the model and PCA know what pictures are like. Each is told how strong the damage is.",
      hide: "Paint over a part. What is known stays; each method fills in the rest.",
      invent: "Paint in what no training picture has, such as a spot. The model answers with what it knows: see whether the spot vanishes, or turns into something else.",
    }[way] ?? "";
    this.painting.clear();
    this.figures.show([]);
    this.words.textContent = "";
    if (ask) this.refresh();
  }

  #left() {
    return this.way === "invent" && this.entries[0] ? this.entries[0] : this.lab.truth();
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), PAUSE);
  }

  #question() {
    const base = this.lab.question();
    if (this.way === "damage") return { ...base, kind: this.kind.id, strength: Number(this.range.value) };
    if (this.way === "hide") return { ...base, mask: this.painting.mask };
    return { pictures: [...base.pictures, this.painting.painted], mask: this.painting.mask };
  }

  async refresh() {
    if (!this.lab.pictures.current) return; // the samples are on their way
    await this.painting.begin(this.lab.truth().src);
    if (this.way !== "damage" && this.painting.empty) {
      this.lab.compare.show(this.lab.truth(), this.lab.truth());
      return;
    }
    const found = await this.lab.ask({ damage: "denoise", hide: "fill", invent: "invent" }[this.way] ?? "", this.#question());
    if (!found) return;
    this.entries = found.entries;
    this.figures.show(this.entries, this.way === "invent" ? "after" : undefined);
    const pca = this.entries.some(({ id }) => id === "pca");
    this.note.replaceChildren(...(pca || this.way === "invent" ? [] : [fitting(this.lab)]));
    if (this.way === "invent") this.#tell(found);
    this.lab.keep(this.way, found);
  }

  #tell({ kept, place, elsewhere, spread }) {
    const share = Math.max(0, Math.min(1, kept));
    this.words.replaceChildren("Of what you painted the model kept ", h("b", {}, percent(share)), `. In its place the reconstruction is off by ${place.toFixed(0)} grey levels of 255, ` +
      `elsewhere by ${elsewhere.toFixed(0)}, and the paint moved the rest by ${spread.toFixed(1)}. `,
      share < 0.5 ? "What is not in the training pictures is explained away: a finding in a scan would be, too." : "This much of it the model can say.");
  }

  async search() {
    if (!this.lab.pictures.current) return;
    if (this.way === "hide" && this.painting.empty) return this.lab.say("Paint over a part of the picture first.");
    const found = await this.lab.ask(this.way === "hide" ? "fill_mode" : "mode", this.#question());
    if (!found) return;
    const others = this.entries.filter(({ id }) => id !== "mode");
    this.entries = [...others.slice(0, 2), ...found.entries, ...others.slice(2)];
    this.figures.show(this.entries, "mode");
    this.lab.keep(this.way, { entries: this.entries });
  }
}
