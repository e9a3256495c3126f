/* Step 5: a shelf of models that differ in beta alone, under one slider: clouds, reconstructions, draws, both terms. */

import { h } from "../../live/dom.js";
import { sum } from "../../live/numbers.js";
import { bars, choices, figure, picture, slider, value } from "../parts.js";
import { Plane, reach } from "../plane.js";
import { divergence, integrated, pixelLoss } from "../sums.js";
import { gaussian, rng } from "../trainer.js";

const COLLAPSED = 0.05; // nats, vae.config.COLLAPSED_NATS
const RANGE = 4;
const DRAWS = 4;
const AVERAGED = 80; // digits over which a number's worth is averaged
const OFFERED = 9;

export class Wishes {
  /** @param {import("../learn.js").Context} context */
  constructor(context) {
    this.context = context;
    const { lessons, asked } = context;
    const { test } = lessons;
    this.seen = new Set();
    this.models = lessons.about.models
      .filter(({ name }) => name.startsWith("beta-"))
      .map(({ name }) => lessons.model(name));
    const betas = this.models.map(({ about }) => about.beta);
    this.at = Math.max(0, betas.indexOf(Number(asked.get("beta") ?? 1)));
    this.seen.add(this.at);
    this.picture = Math.min(OFFERED - 1, Number(asked.get("picture") ?? 2) || 0);
    this.columns = this.models.map((model, k) => this.#column(model, k));
    this.slider = slider({
      label: "\u03b2, the weight of the second wish",
      min: 0,
      max: betas.length - 1,
      step: 1,
      value: this.at,
      id: "beta",
      write: (v) => String(betas[v]),
      onmove: (v) => this.#choose(v),
    });
    const pick = choices(
      "Picture",
      Array.from({ length: OFFERED }, (_, i) => ({
        x: test.x(i + 40),
        side: test.side,
        says: `A ${test.label(i + 40)}`,
      })),
      (i) => {
        this.picture = i;
        context.keep({ picture: i });
        this.#show();
      },
    );
    pick.pick(this.picture);
    this.texts = Object.fromEntries(
      ["pixels", "formula", "integral", "total"].map((id) => [id, value("loss", `wish-${id}`)]),
    );
    this.terms = bars("Both wishes by number", [
      { symbol: "sigma", says: "KL" },
      { symbol: "y", says: "worth to the picture" },
    ]);
    const line = (words, id) => h("p", { class: "line" }, `${words} `, this.texts[id]);
    this.element = h(
      "div",
      { class: "show" },
      h("div", { class: "controls" }, this.slider.element),
      h(
        "div",
        { class: "columns", role: "group", "aria-label": "Six models, by beta" },
        this.columns.map(({ element }) => element),
      ),
      pick.element,
      h(
        "div",
        { class: "two even" },
        figure(
          h(
            "span",
            {},
            "Each of the eight numbers: ",
            h("b", { class: "sym-sigma" }, "its KL"),
            ", and ",
            h("b", { class: "sym-y" }, "what the picture loses without it"),
            ", in nats, over unseen digits; faint where collapsed",
          ),
          this.terms.element,
        ),
        h(
          "div",
          { class: "aside" },
          h("h3", {}, "This one picture"),
          line("L, by pixels:", "pixels"),
          line("KL, by the formula:", "formula"),
          line("KL, integrated on the spot:", "integral"),
          line("L + \u03b2 KL =", "total"),
          h("p", { class: "quiet" }, "The dashed circles are the prior, one and two sigma wide."),
        ),
      ),
    );
    this.#show();
    this.#ahead(0);
  }

  /* What the slider will ask for, reckoned while the hand rests. */
  /** @param {number} k */
  #ahead(k) {
    if (k >= this.columns.length) return;
    this.later = setTimeout(() => {
      this.columns[k].worth();
      this.#ahead(k + 1);
    }, 60);
  }

  /** @param {import("../lessons.js").Model} model @param {number} k */
  #column(model, k) {
    const { test } = this.context.lessons;
    const codes = model.codes(test);
    const kl = new Float64Array(model.d);
    for (let i = 0; i < test.count; i++) {
      const [mu, sigma] = [codes.mu, codes.sigma].map((all) => all.subarray(i * model.d, (i + 1) * model.d));
      divergence(mu, sigma).forEach((v, j) => (kl[j] += v / test.count));
    }
    const order = [...kl.keys()].sort((a, b) => kl[b] - kl[a]);
    const xy = new Float32Array(2 * test.count);
    for (let i = 0; i < test.count; i++)
      xy.set([codes.mu[i * model.d + order[0]], codes.mu[i * model.d + order[1]]], 2 * i);
    const far = Math.max(RANGE, ...reach(xy)); // each cloud whole; the dashed circles are the same prior in all
    const plane = new Plane({
      label: `beta ${model.about.beta}: the two strongest numbers of ${test.count} digits`,
      range: [far, far],
    });
    plane.prior = true;
    plane.dots = { xy, labels: test.labels };
    const out = picture(test.side, "", { id: `wish-out-${k}` });
    const random = rng(7); // the same eps for all
    const tiles = Array.from({ length: DRAWS }, (_, i) => {
      const tile = picture(test.side, `Draw ${i + 1} from the prior`);
      tile.show(model.decode(Float32Array.from({ length: model.d }, () => gaussian(random))));
      return tile;
    });
    const element = h(
      "button",
      {
        type: "button",
        class: "column",
        tabindex: -1,
        "data-beta": model.about.beta,
        onclick: () => {
          this.slider.set(k);
          this.#choose(k);
        },
      },
      h("b", {}, String(model.about.beta)),
      plane.element,
      out.element,
      h(
        "span",
        { class: "tiles" },
        tiles.map((tile) => tile.element),
      ),
    );
    /** @type {number[] | null} */
    let worth = null;
    return {
      model,
      plane,
      out,
      element,
      kl,
      order,
      /* What a picture's loss grows by where one number says nothing. */
      worth: () =>
        (worth ??= Array.from({ length: model.d }, (_, j) => {
          let more = 0;
          for (let i = 0; i < AVERAGED; i++) {
            const mu = codes.mu.slice(i * model.d, (i + 1) * model.d);
            const whole = pixelLoss(test.x(i), model.decode(mu));
            mu[j] = 0;
            more += (pixelLoss(test.x(i), model.decode(mu)) - whole) / AVERAGED;
          }
          return Math.max(0, more);
        })),
    };
  }

  /** @param {number} k */
  #choose(k) {
    this.at = k;
    this.seen.add(k);
    this.context.keep({ beta: this.models[k].about.beta });
    this.#show();
    if (this.seen.has(0) && this.seen.has(this.models.length - 1)) this.context.done();
  }

  #show() {
    const { test } = this.context.lessons;
    const x = test.x(this.picture + 40);
    this.columns.forEach(({ model, plane, out, element, order }, k) => {
      const { mu, sigma } = model.encode(x);
      const y = model.decode(mu);
      out.show(y, `The digit drawn again with beta ${model.about.beta}`);
      const of = (values) => order.slice(0, 2).map((j) => values[j]);
      plane.cloud = { mu: of(mu), sigma: of(sigma), draws: [] };
      plane.draw();
      element.toggleAttribute("data-here", k === this.at);
      if (k !== this.at) return;
      const kl = divergence(mu, sigma);
      const pixels = pixelLoss(x, y);
      this.texts.pixels.textContent = pixels.toFixed(3);
      this.texts.formula.textContent = sum(kl).toFixed(6);
      this.texts.integral.textContent = sum(Array.from(mu, (m, j) => integrated(m, sigma[j]))).toFixed(6);
      this.texts.total.textContent = (pixels + model.about.beta * sum(kl)).toFixed(3);
    });
    const { kl, worth, model, order } = this.columns[this.at];
    const each = worth();
    const gone = [...kl].filter((v) => v < COLLAPSED).length;
    this.terms.show(
      order.map((j) => [kl[j], each[j]]),
      { faint: order.map((j) => kl[j] < COLLAPSED) },
    );
    const { psnr } = model.about.figures;
    const words =
      gone === 0
        ? "none of the eight numbers has collapsed"
        : gone === model.d
          ? "all eight numbers have collapsed: every picture is the same"
          : `${gone} of the eight numbers have collapsed`;
    const held = model.about.beta === 0 ? " Nothing holds the codes near the prior, so draws from it miss them." : "";
    this.context.say(`\u03b2 = ${model.about.beta}: pictures come back at ${psnr.toFixed(1)} dB, and ${words}.${held}`);
  }

  close() {
    clearTimeout(this.later);
    for (const { plane } of this.columns) plane.close();
  }
}
