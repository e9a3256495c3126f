/* Step 4: z = mu + sigma eps with eps under the hand, the graph of the sum, and the gradient's way around the die. */

import { h } from "../../live/dom.js";
import { signed } from "../../live/numbers.js";
import { Graph } from "../graph.js";
import { figure, listed, picture, press, slider, value } from "../parts.js";
import { draw, pixelLoss } from "../sums.js";
import { gaussian, rng } from "../trainer.js";

const SHOWN = 24; // the test digit of this step
const NUDGE = 1e-2;
const THROWS = 6;

export class Trick {
  #moved = false;
  #passed = false;
  inside = false;

  /** @param {import("../learn.js").Context} context */
  constructor(context) {
    this.context = context;
    const { lessons, asked } = context;
    this.model = lessons.model("plane");
    this.x = lessons.test.x(SHOWN);
    const { mu, sigma } = this.model.encode(this.x);
    this.mu = mu;
    this.sigma = sigma;
    this.eps = Float32Array.from(["e0", "e1"], (key) => Number(asked.get(key)) || 0);
    this.sliders = [0, 1].map((j) =>
      slider({
        label: `\u03b5${"\u2081\u2082"[j]}`,
        min: -3,
        max: 3,
        step: 0.05,
        value: this.eps[j],
        symbol: "eps",
        id: `eps-${j}`,
        write: (v) => signed(Number(v)),
        onmove: (v) => {
          this.eps[j] = v;
          this.#moved = true;
          this.#show();
        },
      }),
    );
    this.out = picture(lessons.test.side, "The picture drawn from z", { class: "large", id: "drawn" });
    this.input = picture(lessons.test.side, `The picture x, a ${lessons.test.label(SHOWN)}`, { class: "large" });
    this.texts = Object.fromEntries(
      [
        ["mu", "mu"],
        ["sigma", "sigma"],
        ["eps", "eps"],
        ["z", "z"],
        ["loss", "loss"],
        ["dmu", "loss"],
        ["dsigma", "loss"],
        ["check", "loss"],
      ].map(([id, symbol]) => [id, value(symbol, `trick-${id}`)]),
    );
    this.graph = new Graph();
    this.where = h(
      "button",
      {
        type: "button",
        class: "button plain",
        "aria-pressed": "false",
        "data-testid": "die",
        onclick: () => this.#place(!this.inside),
      },
      "Put the die in the way",
    );
    const row = (sign, symbol, id, after = "") =>
      h("p", { class: "line" }, h("b", { class: `sym-${symbol}` }, `${sign} = `), this.texts[id], after);
    this.slopes = h(
      "div",
      { class: "slopes", role: "status", hidden: true },
      row("\u2202L/\u2202\u03bc", "mu", "dmu"),
      row("\u2202L/\u2202\u03c3", "sigma", "dsigma"),
      h("p", { class: "quiet", "data-testid": "trick-check" }),
    );
    this.element = h(
      "div",
      { class: "show" },
      this.graph.element,
      h(
        "div",
        { class: "two narrow" },
        h(
          "div",
          { class: "controls stack" },
          ...this.sliders.map(({ element }) => element),
          h(
            "div",
            { class: "buttons" },
            press("Throw the die", () => this.#throw(), { "data-testid": "throw" }),
            press("Backward", () => this.#backward(), { class: "button plain primary", "data-testid": "backward" }),
            this.where,
          ),
          this.slopes,
        ),
        h(
          "div",
          { class: "aside" },
          h(
            "div",
            { class: "couple" },
            figure(h("b", { class: "sym-x" }, "x"), this.input.element),
            figure(h("b", { class: "sym-y" }, "x\u2032"), this.out.element),
          ),
          row("\u03bc", "mu", "mu"),
          row("\u03c3", "sigma", "sigma"),
          row("z", "z", "z"),
          row("L", "loss", "loss"),
        ),
      ),
    );
    this.input.show(this.x);
    this.#show();
  }

  #throw() {
    const random = rng((Date.now() ^ 0x9e37) >>> 0);
    this.eps = Float32Array.of(gaussian(random), gaussian(random)).map((v) => Math.max(-3, Math.min(3, v)));
    this.sliders.forEach(({ set }, j) => set(Number(this.eps[j].toFixed(2))));
    this.#moved = true;
    this.#show();
  }

  /** @param {boolean} inside */
  #place(inside) {
    this.inside = inside;
    this.where.setAttribute("aria-pressed", String(inside));
    this.where.textContent = inside ? "Take the die out" : "Put the die in the way";
    this.#show();
  }

  #loss(mu, sigma, eps) {
    return pixelLoss(this.x, this.model.decode(draw(mu, sigma, eps)));
  }

  #show() {
    const z = draw(this.mu, this.sigma, this.eps);
    this.out.show(this.model.decode(z));
    const loss = this.#loss(this.mu, this.sigma, this.eps);
    Object.entries({ mu: this.mu, sigma: this.sigma, z }).forEach(
      ([id, values]) => (this.texts[id].textContent = listed(values)),
    );
    this.texts.loss.textContent = loss.toFixed(3);
    this.slopes.hidden = true;
    this.graph.show(this.inside, "");
    this.context.keep({ e0: this.eps[0].toFixed(2), e1: this.eps[1].toFixed(2) });
    this.context.say(
      `With epsilon ${listed(this.eps, 2)} the code is ${listed(z, 2)}, and the loss ${loss.toFixed(1)}.`,
    );
  }

  #backward() {
    this.slopes.hidden = false;
    const check = this.slopes.querySelector(".quiet");
    if (this.inside) {
      const random = rng((this.context.lessons.test.count + Math.round(1e4 * this.eps[0])) >>> 0);
      const answers = Array.from({ length: THROWS }, () => {
        const thrown = () => [gaussian(random), gaussian(random)];
        return (
          (this.#loss([this.mu[0] + NUDGE, this.mu[1]], this.sigma, thrown()) -
            this.#loss(this.mu, this.sigma, thrown())) /
          NUDGE
        );
      });
      this.texts.dmu.textContent = this.texts.dsigma.textContent = "none";
      if (check) {
        const noise = answers.map((v) => signed(v, 0)).join(", ");
        check.textContent =
          "The die is thrown anew each time, so no slope passes it. " +
          `Nudge \u03bc all the same and compare: ${noise}. Noise.`;
      }
      this.graph.show(this.inside, "cut");
      this.context.say("With the die in the way there is no gradient for mu and sigma.");
      if (this.#moved && this.#passed) this.context.done();
      return;
    }
    const z = draw(this.mu, this.sigma, this.eps);
    const dz = this.model.slopes(this.x, z);
    const dsigma = dz.map((d, j) => d * this.eps[j]);
    const write = (values) => Array.from(values, (v) => signed(v, 2)).join(", ");
    const nudged = [0, 1].map((j) => {
      const by = (amount) => Array.from(this.mu, (v, k) => v + (k === j ? amount : 0));
      return (this.#loss(by(NUDGE), this.sigma, this.eps) - this.#loss(by(-NUDGE), this.sigma, this.eps)) / (2 * NUDGE);
    });
    this.texts.dmu.textContent = write(dz);
    this.texts.dsigma.textContent = write(dsigma);
    if (check) check.textContent = `Checked by nudging \u03bc by ${NUDGE} with the same \u03b5: ${write(nudged)}.`;
    this.graph.show(this.inside, "back");
    this.#passed = true;
    this.context.say(`Backward: the slope by mu is ${write(dz)}, by sigma ${write(dsigma)}.`);
  }

  close() {}
}
