/* Step 3: one picture, its cloud, draws from it; how wide each number's cloud is; and pictures that are no digits. */

import { h } from "../../live/dom.js";
import { median } from "../../live/numbers.js";
import { bars, choices, digitKey, figure, listed, picture, press, value } from "../parts.js";
import { Plane, reach } from "../plane.js";
import { draw, pixelLoss } from "../sums.js";
import { gaussian, rng } from "../trainer.js";

const DRAWS = 10;
const OFFERED = 8;

/** Pictures that no digit model has seen: a cross, stripes, a ring with a dot, noise. */
function strangers(side) {
  const make = (f) =>
    Float32Array.from({ length: side * side }, (_, i) =>
      f((i % side) - side / 2 + 0.5, Math.floor(i / side) - side / 2 + 0.5),
    );
  const random = rng(4);
  return [
    {
      says: "A cross, no digit",
      x: make((x, y) =>
        Math.min(Math.abs(x - y), Math.abs(x + y)) < 1.6 && Math.max(Math.abs(x), Math.abs(y)) < 6 ? 1 : -1,
      ),
    },
    { says: "Stripes, no digit", x: make((x) => (Math.abs(x) % 4 < 2 ? 1 : -1)) },
    {
      says: "A tree, no digit",
      x: make((x, y) =>
        (y < 3 && y > -7 && Math.abs(x) < (y + 7) / 2) || (y >= 3 && y < 7 && Math.abs(x) < 1.1) ? 1 : -1,
      ),
    },
    { says: "Noise, no digit", x: make(() => 2 * random() - 1) },
  ];
}

export class Cloud {
  #drew = false;
  #other = false;
  #strange = false;

  /** @param {import("../learn.js").Context} context */
  constructor(context) {
    this.context = context;
    const { lessons, asked } = context;
    const { test } = lessons;
    this.model = lessons.model("plane");
    this.wide = lessons.model("beta-1");
    this.seed = Number(asked.get("seed") ?? 1) >>> 0;
    const { mu } = this.model.codes(test);
    this.usual = median(
      Array.from({ length: 200 }, (_, i) => pixelLoss(test.x(i), this.model.decode(this.model.encode(test.x(i)).mu))),
    );
    this.plane = new Plane({
      label: `Codes of ${test.count} digits and one picture's cloud`,
      range: reach(mu, 0.995),
      id: "plane-cloud",
    });
    this.plane.prior = true;
    this.plane.dots = { xy: mu, labels: test.labels };
    const digits = Array.from({ length: OFFERED }, (_, i) => ({ x: test.x(i + 20), says: `A ${test.label(i + 20)}` }));
    this.list = [...digits, ...strangers(test.side)].map((each) => ({ ...each, side: test.side }));
    this.at = Math.min(this.list.length - 1, Number(asked.get("picture") ?? 0) || 0);
    this.pick = choices("Picture", this.list, (i) => {
      this.at = i;
      if (i < OFFERED) this.#other = true;
      else this.#strange = true;
      context.keep({ picture: i });
      this.#show();
    });
    this.pick.pick(this.at);
    this.input = picture(test.side, "The picture", { class: "large", id: "input" });
    this.tiles = Array.from({ length: DRAWS }, (_, i) => picture(test.side, `Draw ${i + 1}`, { id: `draw-${i}` }));
    this.numbers = { mu: value("mu", "mu"), sigma: value("sigma", "sigma"), loss: value("loss", "loss") };
    this.bars = bars("Width of the cloud in each number of a model with eight", [{ symbol: "sigma", says: "sigma" }]);
    this.element = h(
      "div",
      { class: "show" },
      h(
        "div",
        { class: "two" },
        h("div", {}, this.plane.element, digitKey()),
        h(
          "div",
          { class: "aside" },
          figure(h("span", {}, h("b", { class: "sym-x" }, "x")), this.input.element),
          h("p", { class: "line" }, h("b", { class: "sym-mu" }, "\u03bc = "), this.numbers.mu),
          h("p", { class: "line" }, h("b", { class: "sym-sigma" }, "\u03c3 = "), this.numbers.sigma),
          h(
            "p",
            { class: "line" },
            h("b", { class: "sym-loss" }, "L = "),
            this.numbers.loss,
            ` (a usual digit: ${this.usual.toFixed(1)})`,
          ),
          figure("\u03c3 of each number, in a model with eight; 1 says nothing at all", this.bars.element),
        ),
      ),
      h(
        "div",
        { class: "controls" },
        this.pick.element,
        press(
          "Draw again",
          () => {
            this.seed += 1;
            this.#drew = true;
            context.keep({ seed: this.seed });
            this.#show();
          },
          { "data-testid": "again", class: "button plain primary" },
        ),
      ),
      figure(
        h("span", {}, "Drawn from ten places of the cloud, ", h("b", { class: "sym-z" }, "z = \u03bc + \u03c3\u03b5")),
        h(
          "div",
          { class: "draws" },
          this.tiles.map(({ element }) => element),
        ),
      ),
    );
    this.#show();
  }

  #show() {
    const { x, says } = this.list[this.at];
    const { mu, sigma } = this.model.encode(x);
    const random = rng(this.seed);
    const codes = this.tiles.map(() => draw(mu, sigma, [gaussian(random), gaussian(random)]));
    codes.forEach((z, i) => this.tiles[i].show(this.model.decode(z)));
    this.plane.cloud = { mu, sigma, draws: codes.map((z) => [z[0], z[1]]) };
    this.plane.draw();
    this.input.show(x, says);
    const loss = pixelLoss(x, this.model.decode(mu));
    this.numbers.mu.textContent = listed(mu);
    this.numbers.sigma.textContent = listed(sigma);
    this.numbers.loss.textContent = loss.toFixed(2);
    this.bars.show(
      Array.from(this.wide.encode(x).sigma, (v) => [v]),
      { most: 1 },
    );
    const strange = this.at >= OFFERED;
    const sentence = `${says}: the middle is ${listed(mu, 2)}, the width ${listed(sigma, 2)}.`;
    this.plane.say(sentence);
    this.context.say(
      strange
        ? `${sentence} It is drawn as a digit all the same: the cloud does not tell that it was never seen, ` +
            `the loss of ${loss.toFixed(0)} does.`
        : sentence,
    );
    if (this.#drew && this.#other && this.#strange) this.context.done();
  }

  close() {
    this.plane.close();
  }
}
