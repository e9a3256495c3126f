/* Step 2: the plane of a plain autoencoder beside that of a variational one; one cursor in both, a guess, and a walk
   from a 3 to an 8 by way of the emptiest place of each plane. */

import { h } from "../../live/dom.js";
import { clamp } from "../../live/numbers.js";
import { Plane, reach } from "../plane.js";
import { digitKey, figure, picture, press, slider } from "../parts.js";
import { lerp, pixelLoss } from "../sums.js";

const FROM = 3;
const TO = 8;
const NAMES = { plain: "Plain autoencoder", cloud: "Variational autoencoder" };

const GRID = 24;

/** The place within a plane that is farthest from every code, both measured as shares of the plane. */
function emptiest(mu, range) {
  let [best, place] = [-1, [0, 0]];
  for (let i = 0; i < GRID * GRID; i++) {
    const at = [i % GRID, Math.floor(i / GRID)].map((v) => ((2 * v + 1) / GRID - 1) * 0.88);
    let near = Infinity;
    for (let j = 0; j < mu.length; j += 2)
      near = Math.min(near, (mu[j] / range[0] - at[0]) ** 2 + (mu[j + 1] / range[1] - at[1]) ** 2);
    if (near > best) [best, place] = [near, at];
  }
  return Float32Array.from(place, (v, k) => v * range[k]);
}

export class Holes {
  #guessed = false;
  #far = 0;

  /** @param {import("../learn.js").Context} context */
  constructor(context) {
    this.context = context;
    const { lessons, asked } = context;
    const { test } = lessons;
    const [from, to] = [FROM, TO].map((digit) => [...test.labels].indexOf(digit));
    this.sides = /** @type {const} */ (["plain", "cloud"]).map((id) => {
      const model = lessons.model(id === "plain" ? "plain-2" : "plane");
      const { mu } = model.codes(test);
      const range = reach(mu);
      const plane = new Plane({
        label: `${NAMES[id]}: codes of ${test.count} digits`,
        range,
        id: `plane-${id}`,
        onmove: ([x, y]) => this.move(x / range[0], y / range[1]),
      });
      plane.dots = { xy: mu, labels: test.labels };
      const [start, end] = [from, to].map((i) => model.encode(test.x(i)).mu);
      const ends = [start, emptiest(mu, range), end];
      const out = picture(test.side, "", { class: "large", id: `out-${id}` });
      const far = h("output", { "data-testid": `far-${id}` });
      plane.path = /** @type {any} */ (ends.map((z) => [...z]));
      plane.ring = plane.path[1];
      return { id, model, range, plane, ends, out, far };
    });
    this.walk = slider({
      label: `Walk from a ${FROM}, through nothing, to an ${TO}`,
      min: 0,
      max: 100,
      step: 1,
      value: 0,
      symbol: "z",
      id: "walk",
      write: (v) => `${v}\u202f%`,
      onmove: (v) => this.#walk(v),
    });
    this.answer = h("p", { class: "answer", role: "status" });
    this.guess = h(
      "fieldset",
      { class: "guess" },
      h("legend", {}, "Guess: at the emptiest place of each plane (ringed), which of the two draws a digit?"),
      press("The plain one", () => this.#reveal("plain")),
      press("The variational one", () => this.#reveal("cloud")),
      press("Both", () => this.#reveal("both")),
      this.answer,
    );
    this.element = h(
      "div",
      { class: "show" },
      this.guess,
      h(
        "div",
        { class: "pair" },
        this.sides.map(({ id, plane, out, far }) =>
          h(
            "div",
            { class: "half" },
            h("h3", {}, NAMES[id]),
            plane.element,
            figure(
              h(
                "span",
                {},
                h("b", { class: "sym-y" }, "x\u2032"),
                " here; nearest real digit: ",
                h("b", { class: "sym-loss" }, far),
              ),
              out.element,
            ),
          ),
        ),
      ),
      digitKey(),
      h(
        "div",
        { class: "controls" },
        this.walk.element,
        press("Draw the whole plane", () => this.#paint(), { "data-testid": "paint", "aria-pressed": "false" }),
      ),
    );
    const place = ["x", "y"].map((key) => Number(asked.get(key)));
    if (asked.has("x") && place.every(Number.isFinite)) this.move(clamp(place[0], -1, 1), clamp(place[1], -1, 1));
    else this.#walk(0);
    this.#covered(!asked.has("x"));
  }

  /* Until the guess is made, the pictures are covered. */
  /** @param {boolean} on */
  #covered(on) {
    this.element.toggleAttribute("data-covered", on);
  }

  /** @param {"plain" | "cloud" | "both"} guess */
  #reveal(guess) {
    this.#guessed = true;
    this.#covered(false);
    if (this.element.querySelector("[data-testid=paint]")?.getAttribute("aria-pressed") === "false") this.#paint();
    if (this.element.querySelector("[data-testid=paint]")?.getAttribute("aria-pressed") === "false") this.#paint();
    this.walk.set(50);
    this.#walk(50);
    const [plain, cloud] = this.sides.map(({ far }) => Number(far.textContent));
    const right = cloud < plain ? "cloud" : "plain";
    const name = NAMES[right].toLowerCase();
    this.answer.textContent =
      `${guess === right ? "Right." : "Look."} There the ${name} draws what is nearer to a real digit: a loss of ` +
      `${Math.min(plain, cloud).toFixed(1)} from the nearest one, against ${Math.max(plain, cloud).toFixed(1)}. Now walk.`;
  }

  #paint() {
    const button = this.element.querySelector("[data-testid=paint]");
    const on = button?.getAttribute("aria-pressed") !== "true";
    button?.setAttribute("aria-pressed", String(on));
    for (const { plane, model } of this.sides) {
      plane.grid(on ? (z) => model.decode(z) : null);
      plane.draw();
    }
  }

  /** @param {number} percent */
  #walk(percent) {
    this.#far = Math.max(this.#far, percent);
    const part = percent <= 50 ? 0 : 1;
    this.#show(this.sides.map(({ ends }) => lerp(ends[part], ends[part + 1], percent / 50 - part)));
    if (this.#guessed && percent >= 95 && this.#far >= 95) this.context.done();
  }

  /** One cursor: the same share of either plane. */
  move(x, y) {
    this.context.keep({ x: x.toFixed(3), y: y.toFixed(3) });
    this.#show(this.sides.map(({ range }) => Float32Array.of(x * range[0], y * range[1])));
  }

  /** @param {Float32Array[]} codes */
  #show(codes) {
    const { test } = this.context.lessons;
    const said = this.sides.map(({ id, model, plane, out, far }, k) => {
      const z = codes[k];
      plane.cursor = [z[0], z[1]];
      const y = model.decode(z);
      let [best, label] = [Infinity, 0];
      for (let i = 0; i < test.count; i++) {
        const loss = pixelLoss(test.x(i), y);
        if (loss < best) [best, label] = [loss, test.label(i)];
      }
      out.show(y, `Drawn at ${z[0].toFixed(2)}, ${z[1].toFixed(2)}; nearest to a ${label}`);
      far.textContent = best.toFixed(1);
      plane.say(`Cursor at ${z[0].toFixed(2)}, ${z[1].toFixed(2)}`);
      plane.draw();
      return `${NAMES[id]}: nearest to a ${label}, a loss of ${best.toFixed(1)}.`;
    });
    this.context.say(said.join(" "));
  }

  close() {
    for (const { plane } of this.sides) plane.close();
  }
}
