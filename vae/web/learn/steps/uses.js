/* Step 9: what the few numbers are used for: a live miniature of each world that is installed, its limit, its page. */

import { geometry } from "../../live/codes.js";
import { h } from "../../live/dom.js";
import { address } from "../../live/net.js";
import { signed } from "../../live/numbers.js";
import { Still } from "../faces.js";
import { slider } from "../parts.js";

const REACH = 3; // of each slider, in sigma

export class Uses {
  #closed = false;

  /** @param {import("../learn.js").Context} context */
  constructor(context) {
    this.context = context;
    const order = [...context.data.uses].sort((a, b) => Number(Boolean(b.model)) - Number(Boolean(a.model)));
    this.element = h(
      "div",
      { class: "show" },
      h(
        "div",
        { class: "worlds" },
        order.map((use) => this.#card(use)),
      ),
    );
    const here = order.filter(({ model }) => model).length;
    context.say(`${here} of ${order.length} worlds are installed here.`);
  }

  #card({ id, title, text, limit, page, model, start }) {
    const words = [h("h3", {}, title), h("p", {}, text), h("p", { class: "limit" }, h("b", {}, "Its limit: "), limit)];
    if (!model) {
      return h(
        "article",
        { class: "world absent", "data-world": id },
        ...words,
        h(
          "p",
          { class: "quiet" },
          "Not installed here; ",
          h("a", { href: address("train") }, "Train"),
          " makes one from pictures of your own.",
        ),
      );
    }
    const still = new Still(model, `${title}: a picture by ${model.title}`);
    const show = async (value, byHand) => {
      const space = await geometry(model);
      if (this.#closed) return;
      const named = space.bases.get("named");
      const curved = named?.ways.length;
      const basis = curved ? named : (space.bases.get("principal") ?? space.bases.get("raw"));
      if (!basis) return;
      const [axis] = basis.axes;
      // A curve is gone from end to end, and on it: the mean of the codes lies beside it, where nothing decodes well.
      const to = curved ? (value * Number(axis.reach)) / REACH : value;
      const from = start ? Float32Array.from(start) : space.mean;
      const z = curved ? Float32Array.from(basis.ways[0].at(to)) : space.move(from, basis, 0, to);
      await still.show(z ?? space.mean);
      const way = curved ? axis.label : "the strongest direction";
      still.element.setAttribute("aria-label", `${title}: ${signed(to)} sigma along ${way}`);
      if (!byHand) return;
      this.context.say(`${title}: ${signed(to)} sigma along ${way} of ${model.title}.`);
      this.context.done();
    };
    const fail = (error) => this.context.say(error.message);
    const move = slider({
      label: `Strongest direction of ${title}`,
      min: -REACH,
      max: REACH,
      step: 0.1,
      value: 0,
      symbol: "z",
      id: `world-${id}`,
      write: (v) => signed(Number(v), 1),
      onmove: (v) => show(v, true).catch(fail),
    });
    show(0, false).catch(fail);
    return h(
      "article",
      { class: "world", "data-world": id },
      still.element,
      h(
        "div",
        {},
        ...words,
        move.element,
        h(
          "a",
          { href: `${address(page)}?model=${encodeURIComponent(model.name)}` },
          `Go on with ${model.title} \u2192`,
        ),
      ),
    );
  }

  close() {
    this.#closed = true;
  }
}
