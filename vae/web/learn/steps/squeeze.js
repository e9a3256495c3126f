/* Step 1: a picture through 1, 2, 4 ... 32 numbers and back, drawn by the reader; and a face through its strongest axes. */

import { h } from "../../live/dom.js";
import { Faces } from "../faces.js";
import { choices, difference, figure, listed, picture, press, slider, value } from "../parts.js";
import { Pad } from "../pad.js";
import { pixelLoss } from "../sums.js";

const SIZES = [1, 2, 4, 8, 16, 32];
const SHOWN = 9;

export class Squeeze {
  #drew = false;
  #squeezed = false;

  /** @param {import("../learn.js").Context} context */
  constructor(context) {
    this.context = context;
    const { test } = context.lessons;
    this.size = Math.max(0, SIZES.indexOf(Number(context.asked.get("numbers") ?? 8)));
    const side = test.side;
    this.pad = new Pad(side, (x) => {
      this.#drew = true;
      this.x = x;
      this.#show();
    });
    this.out = picture(side, "The picture drawn again", { class: "large", id: "redrawn" });
    this.off = difference(side, "What is lost: blue where ink is missing or too light, red where there is too much");
    this.loss = value("loss", "loss");
    this.numbers = h("p", { class: "numbers sym-z", "data-testid": "numbers" });
    this.row = SIZES.map((n) => {
      const small = picture(side, `Through ${n} numbers`);
      const loss = value("loss");
      return { small, loss, element: h("li", {}, small.element, h("span", {}, String(n)), loss) };
    });
    const first = Math.min(SHOWN - 1, Number(context.asked.get("picture") ?? 3) || 0);
    const offered = Array.from({ length: SHOWN }, (_, i) => i);
    const examples = choices(
      "A digit to squeeze",
      offered.map((i) => ({ x: test.x(i), side, says: `A ${test.label(i)}` })),
      (i) => {
        context.keep({ picture: i });
        this.pad.set(test.x(i));
        this.x = test.x(i);
        this.#show();
      },
    );
    examples.pick(first);
    const amount = slider({
      label: "Numbers in the code",
      min: 0,
      max: SIZES.length - 1,
      step: 1,
      value: this.size,
      symbol: "z",
      id: "squeeze",
      write: (v) => String(SIZES[v]),
      onmove: (v) => {
        this.size = v;
        this.#squeezed = true;
        context.keep({ numbers: SIZES[v] });
        this.#show();
      },
    });
    this.face = new Faces(context).squeeze();
    this.element = h(
      "div",
      { class: "show" },
      h(
        "div",
        { class: "trio" },
        figure(h("span", {}, h("b", { class: "sym-x" }, "x"), ": draw here"), this.pad.element),
        h("div", { class: "neck", "aria-hidden": "true" }, h("i"), this.numbers, h("i")),
        figure(h("span", {}, h("b", { class: "sym-y" }, "x\u2032"), ": drawn again"), this.out.element),
        figure(h("span", {}, "x\u2032 \u2212 x: ", h("b", { class: "sym-loss" }, "L = "), this.loss), this.off.element),
      ),
      h(
        "div",
        { class: "controls" },
        amount.element,
        press("Clear the pad", () => this.pad.clear(), { "data-testid": "clear" }),
      ),
      examples.element,
      figure(
        "The same picture through each size of code, and the loss of each",
        h(
          "ol",
          { class: "shelf" },
          this.row.map(({ element }) => element),
        ),
      ),
      this.face.element,
    );
    this.pad.set(test.x(first));
    this.x = test.x(first);
    this.#show();
  }

  #show() {
    const { lessons, say, done } = this.context;
    const { x } = this;
    SIZES.forEach((n, i) => {
      const model = lessons.model(`plain-${n}`);
      const { mu } = model.encode(x);
      const y = model.decode(mu);
      const loss = pixelLoss(x, y);
      this.row[i].small.show(y);
      this.row[i].loss.textContent = loss.toFixed(1);
      this.row[i].element.toggleAttribute("data-here", i === this.size);
      if (i !== this.size) return;
      this.out.show(y);
      this.off.show(x, y);
      this.loss.textContent = loss.toFixed(2);
      this.numbers.textContent = listed(mu, 1).replaceAll(",", " ");
      say(`Through ${n} number${n > 1 ? "s" : ""} the loss is ${loss.toFixed(1)}.`);
    });
    if (this.#drew && this.#squeezed) done();
  }

  close() {
    this.face.close();
  }
}
