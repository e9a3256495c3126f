/* Step 6: a variational autoencoder of two numbers trains here, on scikit-learn's 8 x 8 digits. */

import { h, radios } from "../../live/dom.js";
import { digitKey, figure, press, slider } from "../parts.js";
import { Plane } from "../plane.js";
import { Trainer } from "../trainer.js";

const SHOWN = 600; // dots
const FRAME_MS = 13; // of each frame for learning, so that the page stays at hand
const RANGE = 3.2;
const ENOUGH = 300;
const OTHER = 30; // steps of one wish alone
const GRID_EACH = 12; // frames between drawings of the backdrop
const SAY_EACH = 240; // and between sentences: a screen reader must be able to finish one
const CURVE = 400;

export class Train {
  #playing = 0;
  #frames = 0;
  #alone = 0;
  /** @type {Trainer} */
  trainer;
  /** @type {[number, number][]} */
  history = [];

  /** @param {import("../learn.js").Context} context */
  constructor(context) {
    this.context = context;
    this.digits = context.lessons.small;
    this.seed = Number(context.asked.get("seed") ?? 1) >>> 0;
    this.rows = Array.from({ length: SHOWN }, (_, i) => i * 2);
    this.labels = Uint8Array.from(this.rows, (row) => this.digits.labels[row]);
    this.plane = new Plane({ label: "The plane of the model that trains", range: [RANGE, RANGE], id: "plane-train" });
    this.steps = h("output", { "data-testid": "train-steps" });
    this.pixels = h("output", { class: "sym-loss", "data-testid": "train-pixels" });
    this.kl = h("output", { class: "sym-sigma", "data-testid": "train-kl" });
    this.groups = h("output", { "data-testid": "silhouette" });
    this.curve = h("canvas", {
      class: "curve",
      width: 800,
      height: 200,
      role: "img",
      "aria-label": "The two terms of the loss over the steps",
    });
    this.play = press("\u25b6 Train", () => this.#toggle(), { "data-testid": "play", class: "button plain primary" });
    this.slow = h("input", { type: "checkbox", "data-testid": "slow" });
    this.want = radios(
      "learn-want",
      "What is minimised",
      [
        ["both", "Both wishes"],
        ["pixels", "Reconstruction only"],
        ["kl", "KL only"],
      ],
      (want) => {
        this.trainer.want = /** @type {any} */ (want);
      },
      { chosen: "both" },
    );
    this.beta = slider({
      label: "\u03b2",
      min: -2,
      max: 1,
      step: 0.1,
      value: Math.log10(0.5),
      id: "train-beta",
      write: (v) => (10 ** v).toPrecision(2),
      onmove: (v) => (this.trainer.beta = 10 ** v),
    });
    this.element = h(
      "div",
      { class: "show" },
      h(
        "div",
        { class: "controls" },
        this.play,
        press("One step", () => this.#one(), { "data-testid": "step" }),
        press("Start again", () => this.#fresh(this.seed + 1), { "data-testid": "fresh" }),
        h("label", { class: "switch" }, this.slow, h("span", {}, "Slow")),
      ),
      h("div", { class: "controls" }, this.want.element, this.beta.element),
      h(
        "div",
        { class: "two" },
        h("div", {}, this.plane.element, digitKey()),
        h(
          "div",
          { class: "aside" },
          h("p", { class: "line" }, "Steps ", this.steps),
          h("p", { class: "line" }, h("b", { class: "sym-loss" }, "L "), this.pixels),
          h("p", { class: "line" }, h("b", { class: "sym-sigma" }, "KL "), this.kl),
          h("p", { class: "line" }, "Groups apart (silhouette) ", this.groups),
          figure(
            h(
              "span",
              {},
              h("b", { class: "sym-loss" }, "L"),
              " and ",
              h("b", { class: "sym-sigma" }, "KL"),
              " over the steps",
            ),
            this.curve,
          ),
          h("p", { class: "quiet" }, "Colours are the digits\u2019 names, which training never sees."),
        ),
      ),
    );
    this.#fresh(this.seed);
  }

  /** @param {number} seed */
  #fresh(seed) {
    this.#stop();
    this.seed = seed;
    this.context.keep({ seed });
    const chosen = this.trainer?.want ?? "both";
    this.trainer = new Trainer(this.digits.all, this.digits.size, { seed, beta: 10 ** Number(this.beta.input.value) });
    this.trainer.want = chosen;
    this.history = [];
    this.#show(true);
    this.context.say("Nothing is learned yet: all digits lie in one heap.");
  }

  #learn() {
    const { pixels, kl } = this.trainer.step();
    this.history.push([pixels, kl]);
    if (this.trainer.want !== "both") this.#alone += 1;
    if (this.trainer.steps >= ENOUGH && this.#alone >= OTHER) this.context.done();
  }

  #one() {
    this.#stop();
    this.#learn();
    this.#show(true);
  }

  #toggle() {
    if (this.#playing) {
      this.#stop();
      this.#show(true);
      return;
    }
    this.play.textContent = "\u23f8 Pause";
    const frame = () => {
      this.#playing = requestAnimationFrame(frame);
      this.#frames += 1;
      if (this.slow.checked) {
        if (this.#frames % 20 === 0) this.#learn();
      } else {
        const until = performance.now() + FRAME_MS;
        do this.#learn();
        while (performance.now() < until);
      }
      this.#show(this.#frames % GRID_EACH === 0);
    };
    this.#playing = requestAnimationFrame(frame);
  }

  #stop() {
    cancelAnimationFrame(this.#playing);
    this.#playing = 0;
    this.play.textContent = "\u25b6 Train";
  }

  /** @param {boolean} whole */
  #show(whole) {
    const { trainer, plane } = this;
    const mu = trainer.encode(this.rows);
    plane.dots = { xy: mu, labels: this.labels };
    if (whole) {
      plane.grid((z) => trainer.decode(z), 15);
      const apart = silhouette(mu, this.labels, 240);
      this.groups.textContent = apart.toFixed(2);
      this.#plot();
      plane.say(`After ${trainer.steps} steps the groups are apart by ${apart.toFixed(2)}`);
    }
    plane.draw();
    const last = this.history.slice(-20);
    const average = (k) => last.reduce((a, b) => a + b[k], 0) / last.length;
    this.steps.textContent = String(trainer.steps);
    this.pixels.textContent = last.length ? average(0).toFixed(2) : "\u2013";
    this.kl.textContent = last.length ? average(1).toFixed(2) : "\u2013";
    if (whole && trainer.steps && (!this.#playing || this.#frames % SAY_EACH === 0))
      this.context.say(`After ${trainer.steps} steps: L ${average(0).toFixed(1)}, KL ${average(1).toFixed(1)}.`);
  }

  #plot() {
    const on = this.curve.getContext("2d");
    if (!on) return;
    const { width, height } = this.curve;
    const style = getComputedStyle(this.curve);
    on.clearRect(0, 0, width, height);
    const every = Math.max(1, Math.ceil(this.history.length / CURVE));
    const points = this.history.filter((_, i) => i % every === 0);
    const most = Math.max(10, ...points.slice(0, 20).map(([a, b]) => Math.max(a, Math.min(b, 2 * a))));
    ["--sym-loss", "--sym-sigma"].forEach((name, k) => {
      on.strokeStyle = style.getPropertyValue(name);
      on.lineWidth = 3;
      on.beginPath();
      points.forEach((point, i) =>
        on.lineTo(
          (i / Math.max(1, points.length - 1)) * width,
          height - 4 - (height - 8) * Math.min(1, point[k] / most),
        ),
      );
      on.stroke();
    });
  }

  close() {
    this.#stop();
    this.plane.close();
  }
}

/** Mean silhouette of the first dots (Rousseeuw 1987): the distance to one's own group beside that to the nearest other. */
export function silhouette(xy, labels, count) {
  let total = 0;
  for (let i = 0; i < count; i++) {
    const far = new Float64Array(10);
    const many = new Float64Array(10);
    for (let j = 0; j < count; j++) {
      if (j === i) continue;
      far[labels[j]] += Math.hypot(xy[2 * i] - xy[2 * j], xy[2 * i + 1] - xy[2 * j + 1]);
      many[labels[j]] += 1;
    }
    const own = far[labels[i]] / Math.max(1, many[labels[i]]);
    let other = Infinity;
    for (let k = 0; k < 10; k++) if (k !== labels[i] && many[k]) other = Math.min(other, far[k] / many[k]);
    total += (other - own) / Math.max(own, other, 1e-12);
  }
  return total / count;
}
