/* Drive: a road that is dreamt. The transition says where the code goes under wheel and pedals, the decoder draws it, and
   beside it lies a drive that was recorded and never learnt from: to look at, and to be measured against.

   new Drive(host)     host: {model, engine, start(), take(z), say(sentence)}
     .element .close() */

import { context, pictureCanvas } from "../canvas.js";
import { button, h, radios } from "../dom.js";
import { gaussian, mean } from "../numbers.js";
import { Curve, NAMES } from "./curve.js";
import { recorded } from "./reality.js";
import { Wheel } from "./wheel.js";

/** @typedef {import("../engine.js").Floats} Floats */
/** @typedef {import("../engine.js").Action} Action */
/**
 * @typedef {object} Host
 * @property {import("../engine.js").Model} model
 * @property {import("../engine.js").Engine} engine
 * @property {() => Floats} start the code of the sliders
 * @property {(z: Floats) => void} take a code for the sliders
 */

const FRAME_MS = 15; // a screen of 120 Hz would drive twice as fast
const STRIDE = 5; // frames of one step for who wants no moving pictures
const AHEAD = 60; // frames that are measured
const EVERY = 20; // frames between the places that are measured from
const TOLD = [5, 10, 20, 40, 60];
/** @type {Action} */
const STILL = [0, 0, 0];
const WHO = [["you", "You"], ["recording", "The recording"]];

export class Drive {
  /** @type {import("./reality.js").Recording | null} */
  reality = null;
  /** @type {Floats | null} */
  z = null;
  /** @type {Floats | null} */
  before = null;
  action = STILL;
  who = "you";
  running = false;
  t = 1; // the recorded drive's frame
  ahead = 0; // frames since reality was seen
  /** @type {import("./curve.js").Lines} */
  lines = { dream: [], frozen: [] };
  /** @type {Uint8ClampedArray | null} the picture that the dream began with */
  frozen = null;
  #run = 0; // which dream a picture is of
  #seen = false;
  #closed = false;
  #measuring = false;
  #stepping = Promise.resolve();

  /** @param {Host} host */
  constructor(host) {
    this.host = host;
    const { model, engine } = host;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    this.canvas = pictureCanvas(model, "dream-canvas", "The road that the model dreams");
    this.truth = pictureCanvas(model, "reality-canvas", "The recorded drive");
    this.truth.width = this.truth.height = model.image_size;
    this.surface = engine.surface(this.canvas, { ondraw: (frame) => this.#drawn(frame) });
    this.wheel = new Wheel(() => this.#pressed());
    this.curve = new Curve();
    this.notice = h("p", { class: "figures", role: "status", "data-testid": "drive-notice" });
    this.table = h("table", { "data-testid": "drive-figures", hidden: true });
    this.dreamt = h("span", { class: "quiet" });
    this.recordedAt = h("span", { class: "quiet" });
    this.choice = radios("driver", "Who drives", WHO, (who) => this.#choose(who), { chosen: this.who });
    this.playBox = h("span", {});
    const heat = h("output", {}, "0.0");
    this.temperature = h("input", { type: "range", min: 0, max: 2, step: 0.1, value: 0, "data-drive": "temperature",
      title: "How much of what a step leaves open is drawn by lot", oninput: () => (heat.textContent = Number(this.temperature.value).toFixed(1)) });
    this.look = button("eye", "Look at reality", () => this.lookAt(), { title: "Go on from the recorded drive\u2019s true picture (R)", "aria-keyshortcuts": "r", "data-testid": "look" });
    this.measureButton = button("curve", "Measure the whole drive", () => this.measure(), { "data-testid": "measure" });
    this.seat = h("div", { class: "seat", tabindex: 0, role: "application", "aria-label": "Driver\u2019s seat: arrow keys steer, space starts and stops, R looks at reality",
      onkeydown: (event) => this.#key(event, true), onkeyup: (event) => this.#key(event, false), onblur: () => this.wheel.release() },
    h("div", { class: "stage" }, this.canvas));
    this.beside = h("figure", { class: "beside" }, h("div", { class: "stage" }, this.truth), h("figcaption", {}, h("b", {}, "What happened"), this.recordedAt));
    this.element = h("section", { class: "drive", "aria-label": "Drive" },
      h("header", {}, h("h3", {}, "Drive"), h("p", { class: "quiet" }, "Nothing here is simulated: a small network says where the code goes next, and the decoder draws it.")),
      h("div", { class: "road" },
        h("figure", {}, this.seat, h("figcaption", {}, h("b", {}, "The dream"), this.dreamt)), this.beside,
        h("div", { class: "hands" },
          h("div", { class: "orders" },
            h("div", { class: "row-of" }, this.playBox, this.look),
            h("div", { class: "row-of" }, h("span", { class: "quiet" }, "Who drives"), this.choice.element),
            h("div", { class: "row-of" }, button("mean", "From the sliders", () => this.begin(), { title: "Begin with the picture above, standing still" }),
              button("save", "To the sliders", () => this.z && host.take(this.z), { title: "Set the sliders above to this picture" }))),
          h("div", { class: "cockpit" }, this.wheel.pad, h("div", { class: "orders" }, this.wheel.dials,
            h("label", { class: "dial" }, h("span", {}, "Temperature"), this.temperature, heat))),
          this.notice),
        h("div", { class: "drift" }, h("h4", {}, "How long the dream holds"), this.curve.element, this.table, this.measureButton)));
    this.#buttons();
    this.still.addEventListener("change", this.onmotion = () => this.#buttons());
    this.seat.addEventListener("pointerdown", () => this.seat.focus({ preventScroll: true }));
    this.watch = new IntersectionObserver(([entry]) => {
      if (entry.isIntersecting) this.#open();
      else this.stop();
    });
    this.watch.observe(this.element);
  }

  /* The recorded drive is fetched when somebody comes near. */
  async #open() {
    if (this.#seen) return;
    this.#seen = true;
    const { model } = this.host;
    this.beside.hidden = this.look.hidden = this.measureButton.hidden = !model.drive;
    if (model.drive) this.reality = await recorded(model).catch((error) => (this.#say(error.message), null));
    if (this.#closed) return;
    if (this.reality) await this.lookAt();
    else this.begin();
    this.element.dataset.ready = "";
  }

  #say(sentence) {
    this.notice.textContent = sentence;
  }

  get limits() {
    return this.reality?.limits ?? [0.3, 0.15];
  }

  /* A start without a past: nothing moves yet. */
  begin() {
    this.z = this.before = Float32Array.from(this.host.start());
    this.#fresh(STILL);
    this.#say("From the sliders\u2019 picture, standing still.");
  }

  /* Leave the dream for the true frame, and dream on from there. */
  async lookAt() {
    const { reality } = this;
    if (!reality) return;
    if (this.t >= reality.count - 1) this.t = 1;
    [this.before, this.z] = [reality.codes[this.t - 1], reality.codes[this.t]];
    this.#fresh(reality.actions[this.t - 1]);
    const { t, z } = this;
    const run = this.#run;
    const { pixels } = await this.host.engine.decode({ z });
    if (run !== this.#run) return;
    this.frozen = pixels;
    this.lines.dream[0] = this.lines.frozen[0] = reality.decibels(pixels, t);
    this.#say(`Reality, frame ${t}: ${this.lines.dream[0].toFixed(1)} dB through the model.`);
  }

  #fresh(action) {
    this.action = action;
    this.#run += 1;
    this.ahead = 0;
    this.frozen = null;
    this.lines = { dream: [], frozen: [] };
    this.#show();
  }

  #show() {
    if (!this.z) return;
    this.surface.show(/** @type {any} */ ({ z: this.z, ahead: this.ahead, t: this.t, run: this.#run }));
    if (this.reality) {
      context(this.truth).putImageData(this.reality.picture(this.t), 0, 0);
      this.truth.dataset.frame = String(this.t);
      this.recordedAt.textContent = `frame ${this.t} of ${this.reality.count}`;
    }
    this.dreamt.textContent = this.ahead === 1 ? "1 frame ahead" : `${this.ahead} frames ahead`;
    this.wheel.show(this.action, this.limits);
  }

  /** @param {import("../engine.js").Frame} frame */
  #drawn({ state, pixels, size }) {
    this.element.dataset.drawn = "";
    const { ahead, t, run } = /** @type {any} */ (state);
    const { reality, frozen } = this;
    if (!reality || !frozen || this.who !== "recording" || !ahead || size !== reality.size || run !== this.#run) return;
    this.lines.dream[ahead] = reality.decibels(pixels, t);
    this.lines.frozen[ahead] = reality.decibels(frozen, t);
    this.#draw(this.lines, "from here");
  }

  /**
   * @param {import("./curve.js").Lines} lines
   * @param {string} where
   */
  #draw(lines, where) {
    const told = TOLD.filter((ahead) => Number.isFinite(lines.dream[ahead]));
    const figure = (key, ahead) => lines[key][ahead].toFixed(1);
    const row = (label, cells) => h("tr", {}, h("th", { scope: "row" }, label), cells.map((cell) => h("td", {}, cell)));
    this.table.hidden = !told.length;
    this.table.replaceChildren(h("caption", {}, `Decibels against what happened, ${where}`),
      row("frames ahead", told.map(String)), ...Object.entries(NAMES).map(([key, label]) => row(label, told.map((ahead) => figure(key, ahead)))));
    this.curve.draw(lines, told.length ? `Decibels by frames ahead, ${where}: ${told.map((ahead) => (
      `at ${ahead}, ${NAMES.dream} ${figure("dream", ahead)}, ${NAMES.frozen} ${figure("frozen", ahead)}`)).join("; ")}` : "");
  }

  /* One frame on. */
  async tick(held = this.wheel.held) {
    const { z, before, action, reality, who } = this;
    if (!z || !before) return;
    const next = who === "recording" && reality ? reality.actions[this.t] : this.wheel.next(this.limits, held);
    const heat = Number(this.temperature.value);
    const found = await this.host.engine.step([z, before], next, action);
    if (this.z !== z || this.#closed) return; // somebody looked at reality meanwhile
    const dreamt = found.z.map((value, i) => value + heat * found.spread[i] * gaussian());
    [this.before, this.z, this.action] = [z, reality?.hold(dreamt) ?? dreamt, next];
    this.ahead += 1;
    if (reality) this.t = this.t + 1 < reality.count ? this.t + 1 : 1;
  }

  async #drive() {
    let last = 0;
    while (this.running && !this.#closed) {
      const now = await new Promise(requestAnimationFrame);
      if (now - last < FRAME_MS) continue;
      last = now;
      if (this.#ended) {
        this.stop();
        return this.#say("The recording ends here. Look at reality to begin it again.");
      }
      try {
        await this.tick();
      } catch (error) {
        this.#say(/** @type {Error} */ (error).message);
        return this.stop();
      }
      if (!this.running) return;
      this.#show();
    }
  }

  get #ended() {
    return this.who === "recording" && this.reality !== null && this.t >= this.reality.count - 1;
  }

  start() {
    if (this.running || !this.z) return;
    this.running = true;
    this.#buttons();
    this.#drive();
  }

  stop() {
    if (!this.running) return;
    this.running = false;
    this.wheel.release();
    this.#buttons();
  }

  /* A stride for who wants no moving pictures: several frames, of which the last is shown. */
  stride() {
    const held = new Set(this.wheel.held); // a key may be up again before the first frame
    this.#stepping = this.#stepping.then(async () => {
      for (let i = 0; i < STRIDE && !this.#ended; i++) await this.tick(held);
      this.#show();
    }).catch((error) => this.#say(error.message));
    return this.#stepping;
  }

  #pressed() {
    if (this.who !== "you") this.#choose("you");
    if (this.still.matches) this.stride();
    else this.start();
  }

  #choose(who) {
    this.who = who;
    this.choice.choose(who);
    this.wheel.pressed = [0, 0, 0];
    if (who === "recording") this.lookAt();
  }

  /** @param {KeyboardEvent} event */
  #key(event, down) {
    if (this.wheel.key(event, down) || !down) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") this.#toggle();
    else if (event.key.toLowerCase() === "r") this.lookAt();
    else return;
    event.preventDefault();
  }

  #toggle() {
    if (this.still.matches) this.stride();
    else if (this.running) this.stop();
    else this.start();
  }

  #buttons() {
    const [icon, label] = this.still.matches ? ["step", `${STRIDE} frames on`] : this.running ? ["stop", "Stop"] : ["play", "Drive"];
    if (this.still.matches) this.running = false;
    const old = this.playBox.firstElementChild;
    const focused = old?.matches(":focus");
    this.playBox.replaceChildren(button(icon, label, () => this.#toggle(), { class: "button primary", "data-testid": "drive-play" }));
    if (focused) /** @type {HTMLElement} */ (this.playBox.firstElementChild).focus();
  }

  /* From many places of the recorded drive, under its own actions: the mean of what the curve shows for one. */
  async measure() {
    const { reality, host: { engine } } = this;
    if (!reality || this.#measuring) return;
    this.#measuring = this.measureButton.disabled = true;
    this.stop();
    /** @type {{dream: number[][], frozen: number[][]}} */
    const found = { dream: [], frozen: [] };
    try {
      for (let from = 1; from + AHEAD < reality.count && !this.#closed; from += EVERY) {
        let [before, z, action] = [reality.codes[from - 1], reality.codes[from], reality.actions[from - 1]];
        const { pixels: frozen } = await engine.decode({ z });
        /** @type {import("./curve.js").Lines} */
        const lines = { dream: [reality.decibels(frozen, from)], frozen: [reality.decibels(frozen, from)] };
        for (let ahead = 1; ahead <= AHEAD; ahead++) {
          const next = reality.actions[from + ahead - 1];
          [before, z, action] = [z, (await engine.step([z, before], next, action)).z, next];
          const { pixels } = await engine.decode({ z });
          lines.dream.push(reality.decibels(pixels, from + ahead));
          lines.frozen.push(reality.decibels(frozen, from + ahead));
        }
        found.dream.push(lines.dream);
        found.frozen.push(lines.frozen);
        const middle = (rows) => rows[0].map((_, ahead) => mean(rows.map((row) => row[ahead])));
        const places = found.dream.length;
        this.#draw({ dream: middle(found.dream), frozen: middle(found.frozen) }, `mean of ${places} ${places === 1 ? "place" : "places"}`);
      }
      this.element.dataset.measured = String(found.dream.length);
    } catch (error) {
      this.#say(/** @type {Error} */ (error).message);
    }
    this.#measuring = this.measureButton.disabled = false;
  }

  close() {
    this.#closed = true;
    this.stop();
    this.watch.disconnect();
    this.still.removeEventListener("change", this.onmotion);
    this.surface.close();
  }
}
