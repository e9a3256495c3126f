/* The table of style mixes: a row for each person, a column for each person and some drawn faces.

   new Table(blend)
     .element
     .draw()      Promise of a function that shows the new table: only the newest drawing is shown
     .pick(i, j)  the cell of persons i and j becomes the face above */

import { button, h } from "../live/dom.js";
import { askFloats } from "../live/net.js";
import { decodeAll, tile } from "./batch.js";
import { mixCodes, mixDetails, mixOffsets } from "./mix.js";
import { LETTERS } from "./people.js";

/** @typedef {{seed: number, z: import("../live/engine.js").Floats, delta: null, feature: null}} Drawn */

const DRAWS = 5;

export class Table {
  cut = 2;
  #seed = 1;
  /** @type {Promise<Drawn[]> | null} */
  #drawn = null;

  /** @param {import("./blend.js").Blend} blend */
  constructor(blend) {
    this.blend = blend;
    const { levels } = blend.model;
    this.grid = h("div", { class: "table" });
    this.cutInput = h("input", { type: "range", min: 1, max: Math.max(1, levels - 1), step: 1, value: this.cut, "data-axis": "cut",
      "aria-label": "Level of the cut", oninput: () => this.#setCut(Number(this.cutInput.value)) });
    this.cutWords = h("output");
    const again = button("dice", "Other draws", () => {
      this.#seed = Math.floor(Math.random() * 1e6);
      this.#drawn = null;
      blend.later();
    });
    const cut = h("label", { class: "cut" }, h("span", {}, "Cut"),
      h("div", { class: "track" }, h("div", { class: "rail" }, h("i", { class: "ticks plain" })), this.cutInput), this.cutWords);
    this.element = h("section", { class: "tables", "aria-label": "Table of mixes" },
      h("div", { class: "tables-head" }, h("h3", {}, "Every pair"), levels ? cut : null, again),
      h("p", { class: "quiet" }, levels
        ? `Levels below the cut come from the row, the others from the column. A click makes the cell the ${blend.model.noun} above.`
        : `Each cell is the middle of its row and its column. A click makes it the ${blend.model.noun} above.`),
      this.grid);
    this.#label();
  }

  /** @param {number} cut */
  #setCut(cut) {
    this.cut = cut;
    this.#label();
    this.blend.later();
  }

  #label() {
    const { rows } = this.blend;
    const sizes = Array.from({ length: rows }, (_, level) => 4 * 2 ** level);
    const words = `${sizes[0]}\u2013${sizes[this.cut - 1]} px from the row, ${sizes[this.cut]}\u2013${sizes[rows - 1]} px from the column`;
    this.cutWords.textContent = words;
    this.cutInput.setAttribute("aria-valuetext", words);
  }

  async #draws() {
    const { model, data } = this.blend;
    this.#drawn ??= Promise.all(Array.from({ length: DRAWS }, async (_, i) => {
      const seed = this.#seed + i;
      const z = await askFloats("api/sample", { model: model.name, seed, temperature: data.temperature });
      return { seed, z, delta: null, feature: null };
    }));
    return this.#drawn;
  }

  async draw() {
    const { blend } = this;
    const { model, people, rows } = blend;
    const draws = await this.#draws();
    const columns = [...people, ...draws];
    const weights = Array.from({ length: rows }, (_, level) => (!model.levels ? [0.5, 0.5] : level < this.cut ? [1, 0] : [0, 1]));
    const cell = (row, column) => {
      const codes = mixCodes([row.z, column.z], weights, blend.path);
      if (!model.levels) return { z: codes };
      const features = mixDetails([row.feature, column.feature], weights, model.feature);
      return { levels: codes, delta: mixOffsets([row.delta, column.delta], weights, model.style_size), features };
    };
    const states = [...draws.map((face) => cell(face, face)), ...people.flatMap((row) => columns.map((column) => cell(row, column)))];
    const images = await decodeAll(model, await blend.whole.all(states));
    return () => this.#show(draws, images.slice(0, draws.length), images.slice(draws.length));
  }

  /**
   * @param {Drawn[]} draws
   * @param {ImageData[]} heads
   * @param {ImageData[]} images a row for each person
   */
  #show(draws, heads, images) {
    const { blend, grid } = this;
    const { people } = blend;
    const k = people.length;
    const full = k >= LETTERS.length;
    const head = (person, i, side) => h("div", { class: `head ${side}` }, h("img", { src: person.recon, alt: "" }), h("b", {}, LETTERS[i]));
    const drawnCell = (image, label, onclick, classes) => {
      const made = tile(image, label, onclick);
      made.classList.add(...classes);
      made.disabled = full;
      return made;
    };
    const { noun } = blend.model;
    /** @type {HTMLElement[]} */
    const cells = [h("span"), ...people.map((p, i) => head(p, i, "top")), ...draws.map(({ seed }, j) => drawnCell(
      heads[j], `Drawn ${noun}, seed ${seed}: add as a person`, () => blend.addDrawn(seed), ["head", "top", "drawn"]))];
    people.forEach((person, i) => {
      const row = images.slice(i * (k + draws.length), (i + 1) * (k + draws.length));
      cells.push(head(person, i, "side"));
      people.forEach((_, j) => cells.push(tile(row[j], i === j ? `${LETTERS[i]} itself` : `${LETTERS[i]} with ${LETTERS[j]}`, () => this.pick(i, j))));
      draws.forEach(({ seed }, j) => cells.push(drawnCell(
        row[k + j], `${LETTERS[i]} with drawn ${noun} ${seed}`, () => blend.addDrawn(seed, i), ["drawn"])));
    });
    grid.style.setProperty("--columns", String(k + draws.length));
    grid.style.setProperty("--people", String(k));
    grid.replaceChildren(...cells);
  }

  /**
   * @param {number} row
   * @param {number} column
   */
  pick(row, column) {
    const { blend } = this;
    const one = (i) => blend.people.map((_, n) => Number(n === i));
    const half = blend.people.map((_, n) => (Number(n === row) + Number(n === column)) / 2);
    blend.jump(Array.from({ length: blend.rows }, (_, level) => (!blend.model.levels ? half : one(level < this.cut ? row : column))));
    blend.say(row === column ? `${LETTERS[row]} itself.` : `${LETTERS[row]} up to the cut, ${LETTERS[column]} beyond it.`);
    blend.stage.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
}
