/* Step 7: draws from the prior, the nearest digits of training, a walk between two draws; and drawn faces. */

import { h } from "../../live/dom.js";
import { askFloats, posted } from "../../live/net.js";
import { clamp, median } from "../../live/numbers.js";
import { draws, Faces, pictures } from "../faces.js";
import { figure, picture, press, slider, value } from "../parts.js";
import { lerp, pixelLoss } from "../sums.js";
import { gaussian, rng } from "../trainer.js";

const COUNT = 18;
const FACES = 5;
const HELD = 150; // unseen digits whose own distance says what is usual

export class NewOnes {
  #drawn = new Set();
  #walked = false;
  #asked = 0;
  /** @type {Float32Array[]} */
  codes = [];
  later = 0;
  /** @type {number | null} how far the nearest training digit of an unseen one is */
  typical = null;
  /** @type {number[]} the two that the walk goes between, the last taken first */
  ends = [3, 2];

  /** @param {import("../learn.js").Context} context */
  constructor(context) {
    this.context = context;
    const { lessons, asked } = context;
    this.model = lessons.model("beta-1");
    this.seed = Number(asked.get("seed") ?? 1) >>> 0;
    this.temperature = clamp(Number(asked.get("temperature") ?? 1) || 0, 0, 2);
    const { side } = lessons.test;
    this.tiles = Array.from({ length: COUNT }, (_, i) => {
      const tile = picture(side, "", { id: `new-${i}` });
      const button = h("button", { type: "button", class: "tile", onclick: () => this.#take(i) }, tile.element);
      return { tile, button };
    });
    const outs = ["first", "second", "between", "near"].map((id) => [
      id,
      picture(side, "", { class: "large", id: `walk-${id}` }),
    ]);
    /** @type {Record<string, ReturnType<typeof picture>>} */
    this.outs = Object.fromEntries(outs);
    this.far = value("loss", "near-loss");
    this.usual = h("span", {});
    this.walk = slider({
      label: "Walk from the first to the second",
      min: 0,
      max: 100,
      step: 1,
      value: 50,
      symbol: "z",
      id: "new-walk",
      write: (v) => `${v}\u202f%`,
      onmove: () => {
        this.#walked = true;
        this.#between();
        this.#check();
      },
    });
    const heat = slider({
      label: "Temperature",
      min: 0,
      max: 2,
      step: 0.05,
      value: this.temperature,
      id: "temperature",
      write: (v) => Number(v).toFixed(2),
      onmove: (v) => {
        this.temperature = v;
        context.keep({ temperature: v });
        this.#draw();
        this.#check();
      },
    });
    this.faces = h("div", { class: "facerow" });
    this.near = h("p", { class: "quiet", role: "status" });
    this.element = h(
      "div",
      { class: "show" },
      h(
        "div",
        { class: "controls" },
        heat.element,
        press(
          "Draw new ones",
          () => {
            this.seed += 1;
            context.keep({ seed: this.seed });
            this.#draw();
            this.#check();
          },
          { "data-testid": "redraw", class: "button plain primary" },
        ),
      ),
      h(
        "div",
        { class: "draws wide", role: "group", "aria-label": "Draws from the prior; press two for the walk" },
        this.tiles.map(({ button }) => button),
      ),
      h(
        "div",
        { class: "quartet" },
        figure("first", this.outs.first.element),
        figure(h("b", { class: "sym-y" }, "between"), this.outs.between.element),
        figure("second", this.outs.second.element),
        figure(
          h("span", {}, `nearest of ${lessons.train.count.toLocaleString("en-GB")} training digits: `, this.far),
          this.outs.near.element,
        ),
      ),
      h("div", { class: "controls" }, this.walk.element),
      h("p", { class: "quiet" }, this.usual),
      context.data.faces
        ? figure("Faces by the same temperature: nobody whom a camera saw", this.faces)
        : new Faces(context).missing(),
      this.near,
    );
    this.#draw();
  }

  #check() {
    this.#drawn.add(this.temperature);
    if (this.#drawn.size >= 2 && this.#walked) this.context.done();
  }

  #draw() {
    const random = rng(this.seed);
    this.codes = this.tiles.map(() =>
      Float32Array.from({ length: this.model.d }, () => this.temperature * gaussian(random)),
    );
    this.codes.forEach((z, i) => this.tiles[i].tile.show(this.model.decode(z), `Draw ${i + 1}`));
    this.#between();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.#faces(), 150);
  }

  /** @param {number} i */
  #take(i) {
    this.ends = [i, this.ends[0]];
    this.#between();
  }

  #nearest(y) {
    const { train } = this.context.lessons;
    let [best, at] = [Infinity, 0];
    for (let i = 0; i < train.count; i++) {
      const loss = pixelLoss(train.x(i), y);
      if (loss < best) [best, at] = [loss, i];
    }
    return { best, at };
  }

  #between() {
    const [second, first] = this.ends;
    const t = Number(this.walk.input.value) / 100;
    const y = this.model.decode(lerp(this.codes[first], this.codes[second], t));
    const { train, test } = this.context.lessons;
    this.outs.first.show(this.model.decode(this.codes[first]), `Draw ${first + 1}`);
    this.outs.second.show(this.model.decode(this.codes[second]), `Draw ${second + 1}`);
    this.outs.between.show(y, `The picture ${Math.round(100 * t)} % of the way`);
    const { best, at } = this.#nearest(y);
    this.outs.near.show(train.x(at), `The nearest digit of training, a ${train.label(at)}`);
    this.far.textContent = best.toFixed(1);
    this.tiles.forEach(({ button }, i) => button.toggleAttribute("data-end", i === first || i === second));
    this.typical ??= median(Array.from({ length: HELD }, (_, i) => this.#nearest(test.x(i)).best));
    this.usual.textContent =
      `A real digit that training never saw has its nearest one at ${this.typical.toFixed(1)} in the middle. ` +
      `A copy would be near 0; ${best < 0.25 * this.typical ? "this is close to a copy." : "this is none."}`;
    this.context.say(
      `At temperature ${Number(this.temperature).toFixed(2)}: ${Math.round(100 * t)} % of the way, ` +
        `and the nearest digit of training is at a loss of ${best.toFixed(1)}.`,
    );
  }

  async #faces() {
    const { faces } = this.context.data;
    if (!faces) return;
    const turn = ++this.#asked;
    try {
      const codes = await draws(faces, this.seed, this.temperature, FACES);
      const made = await pictures(faces, codes);
      if (turn !== this.#asked) return;
      this.faces.replaceChildren(
        ...made.map((canvas, i) => {
          canvas.setAttribute("role", "img");
          canvas.setAttribute("aria-label", `A face that does not exist, draw ${i + 1}`);
          canvas.dataset.face = String(i);
          return canvas;
        }),
      );
      const found = await askFloats("api/learn/nearest", { model: faces.name }, posted(codes[0]));
      if (turn !== this.#asked) return;
      const [far, usual] = found;
      this.near.textContent =
        `The nearest code of training to the first face is ${far.toFixed(1)} away; ` +
        `a code of training has its own nearest other at ${usual.toFixed(1)} in the middle.`;
      const [neighbour] = await pictures(faces, [found.slice(2)]);
      if (turn !== this.#asked) return;
      neighbour.setAttribute("role", "img");
      neighbour.setAttribute("aria-label", "The nearest code of training to the first face, drawn");
      this.faces.append(figure("nearest to the first", neighbour));
    } catch (error) {
      this.near.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  close() {
    this.#asked += 1;
    clearTimeout(this.later);
  }
}
