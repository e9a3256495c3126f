/* The Explore component: the picture on the left, a slider for every axis on the right.

   render(args) is called at mount and after every rerun of the page; unmount(root): see component.js.
   data: {model, revision, z (packed), code (float32, base64), levels?, spread (posterior sigma, base64), seed,
   temperature, link, photo?}; a new `revision` means that Python has set a new code.
   The code z is the state; sliders are read-outs. At rest z lies on the grid of the packed code, so that a link gives the
   same pixels. On release {z, revision, axis, photo, refined, seed, temperature} goes to Python as the state "code". */

import { fromRgb, pictureCanvas } from "../live/canvas.js";
import { geometry } from "../live/codes.js";
import { component } from "../live/component.js";
import { button, h } from "../live/dom.js";
import { acquire } from "../live/engine.js";
import { decodeFloats } from "../live/floats.js";
import { history } from "../live/history.js";
import { Meter } from "../live/meter.js";
import { askFloats, posted } from "../live/net.js";
import { gaussian } from "../live/numbers.js";
import { playerOf } from "../live/players/player.js";
import { Drive } from "../live/players/road.js";
import { follow } from "../live/refine.js";
import { SliderPanel } from "../live/sliders.js";

const MERGE_MS = 700; // releases of one slider this close together are one step of undo

/** @typedef {import("../live/engine.js").Floats} Floats */
/** @typedef {import("../live/codes.js").Basis} Basis */
/**
 * @typedef {object} Photo
 * @property {string} id
 * @property {string} crop
 * @property {number} psnr
 * @property {Floats} mu
 * @property {Floats} sigma
 * @property {Floats | null} deltaOnce what the encoder read beside the code
 * @property {Floats | null} delta what refining found
 * @property {string | null} featureOnce name of what one pass guesses beyond the styles
 * @property {string | null} feature name of what refining found beyond them
 * @property {number} detail how much of that is kept, 0 to 1
 * @property {Floats | null} at the code on screen when refining began
 * @property {{step: number, total: number} | null} progress
 * @property {boolean} refined
 * @property {number | null} refinedPsnr
 * @property {string} [job]
 * @property {() => void} [stop]
 */

/** For undo over a change of photo. @type {Map<string, Photo>} */
const photos = new Map();

class Explore {
  /** @type {Floats} */
  z;
  /** @type {Floats} */
  origin;
  /** @type {import("../live/codes.js").Geometry} undefined until it is fetched */
  space;
  /** @type {Photo | null} */
  photo = null;
  refined = true;
  /** @type {string | null} */
  packed = null;
  revision = null;
  comparing = false;
  /** @type {Floats} the encoder's usual sigma */
  spread;
  /** @type {import("../live/component.js").Args["setStateValue"]} */
  setStateValue;
  /** @type {Floats | null} */
  #grabbed = null;
  #committed = { axis: "", at: 0 };
  /** @type {Floats | null} */
  #anchor = null;

  /** @param {import("../live/engine.js").Model} model */
  constructor(model) {
    this.model = model;
    this.history = history(`${model.name}/${model.digest}`);
    this.engine = acquire(model);
    this.meter = new Meter(this.engine);
    this.canvas = pictureCanvas(model, "live-canvas", `The picture that ${model.title} decodes from the sliders`);
    this.figures = h("p", { class: "figures" });
    this.notice = h("p", { class: "notice", role: "status", "aria-live": "polite" });
    const number = (properties) => h("input", { type: "number", inputmode: "decimal", ...properties, onchange: () => this.random(false) });
    const field = (label, input) => h("label", { class: "number" }, h("span", {}, label), input);
    this.seed = number({ min: 0, max: 4294967295, step: 1, class: "seed" });
    this.temperature = number({ min: 0, max: 2, step: 0.05, title: `Below 1 draws stay closer to the mean ${model.noun}` });
    this.undoButton = button("undo", "Undo", () => this.undo(), {
      class: "button bare", "aria-keyshortcuts": "Control+Z", title: "Undo (Ctrl+Z)" });
    this.redoButton = button("redo", "Redo", () => this.redo(), {
      class: "button bare", "aria-keyshortcuts": "Control+Shift+Z", title: "Redo (Ctrl+Shift+Z)" });
    this.hold = button("compare", "Compare", undefined, { title: `Hold to see the ${model.noun} this one began as`, "aria-pressed": "false" });
    this.#holdToCompare();
    this.jitterButton = button("jitter", "Jitter", () => this.jitter());
    this.wholeButton = model.settle ? button("parts", "Whole parts", () => this.whole(), {
      title: "Decodes and encodes the picture again until no part of it is half there" }) : null;
    this.photoBox = h("div", { class: "photo", hidden: true });
    this.photoText = h("p", { class: "photo-figures" });
    this.progress = h("progress", { max: 1, value: 0, "aria-label": "Refining" });
    this.cancel = h("button", { type: "button", class: "link", onclick: () => this.photo?.stop?.() }, "Cancel");
    this.progressRow = h("div", { class: "photo-progress" }, this.progress, this.cancel);
    this.switch = h("input", { type: "checkbox", role: "switch", onchange: () => this.#toggleRefined() });
    this.switchLabel = h("label", { class: "switch" }, this.switch, h("span", {}, "Refined"));
    this.detail = h("input", { type: "range", min: 0, max: 1, step: 0.01, "data-axis": "photo:detail", oninput: () => this.#keepDetail(true),
      onchange: () => this.#keepDetail(false) });
    this.detailLabel = h("label", { class: "keep", title: "All of it is the photo; none of it is the model\u2019s own picture of the person" },
      h("span", {}, "Keep the photo\u2019s detail"), this.detail);
    this.panel = new SliderPanel({
      onmove: (basis, row, value) => this.#move(basis, row, value),
      oncommit: (basis, row) => this.#release(basis, row),
      onreset: (basis, row) => this.#resetOne(basis, row),
      onlocks: (n) => this.say(n ? `${n} locked: other sliders leave ${n === 1 ? "it" : "them"} alone.` : "Nothing is locked."),
      ongrab: () => (this.#grabbed = this.z),
      oncancel: () => this.#letGo(),
    });
    const stage = h("div", { class: "stage" }, this.canvas);
    this.player = playerOf({ model, engine: this.engine, canvas: this.canvas, stage });
    this.drive = model.player === "road" && model.dynamics ? new Drive({
      model, engine: this.engine, start: () => this.z, take: (z) => this.space && this.#start(z, "The picture that was dreamt on the road.") }) : null;
    this.element = h("div", { class: "live" },
      h("section", { class: "view", "aria-label": "Picture" },
        stage,
        h("div", { class: "meter" }, this.meter.speed, this.meter.choice),
        this.figures, this.player?.element, this.photoBox,
        h("div", { class: "actions" },
          h("div", { class: "draw" }, button("dice", "Random", () => this.random(true), { class: "button primary" }),
            field("Seed", this.seed), field("Temperature", this.temperature)),
          h("div", { class: "tools" },
            button("mean", "Mean", () => this.mean(), { "aria-label": model.face ? "Mean face" : "Mean", title: "The average of all codes" }),
            button("reset", "Reset", () => this.resetAll(), { "aria-label": "Reset all", title: `All sliders back to where this ${model.noun} began` }), this.jitterButton, this.wholeButton, this.hold, this.undoButton, this.redoButton)),
        this.notice),
      this.panel.element, this.drive?.element);
    this.surface = this.engine.surface(this.canvas, { ondraw: (frame) => this.#drawn(frame) });
    this.unlisten = this.engine.listen((info, sentence) => this.#engineChanged(info, sentence));
    this.onkey = (event) => this.#key(event);
    document.addEventListener("keydown", this.onkey);
    this.onresize = () => this.#underHeader();
    window.addEventListener("resize", this.onresize);
    this.#underHeader();
    this.#engineChanged(this.engine.info);
  }

  /* Where the page's header floats over its content, the sticky picture stays below it. */
  #underHeader() {
    const box = (name) => document.querySelector(`[data-testid="${name}"]`)?.getBoundingClientRect();
    const header = box("stHeader");
    const main = box("stMain");
    const cover = header && main ? Math.max(0, header.bottom - Math.max(0, main.top)) : 0;
    this.element.style.setProperty("--sticky-top", `${cover}px`);
  }

  /* New data from Python: at mount, and after every rerun. */
  /** @param {import("../live/component.js").Args} args */
  async update({ data, setStateValue }) {
    this.setStateValue = setStateValue;
    this.spread = decodeFloats(data.spread);
    const photo = this.#adoptPhoto(data.photo);
    if (data.revision !== this.revision) {
      const first = this.revision === null;
      this.revision = data.revision;
      this.seed.value = data.seed ?? "";
      this.temperature.value = data.temperature.toFixed(2);
      this.linked = data.link;
      this.#adopt(decodeFloats(data.code), photo, first);
    }
    if (!this.space) {
      const space = await geometry(this.model, data.axes).catch((error) => this.say(error.message));
      if (!space || this.space) return;
      this.space = space;
      this.panel.open(space, this.model);
      this.panel.show(this.z);
      this.#drawPhoto();
      this.element.dataset.ready = "";
    }
    this.#address();
  }

  #adopt(z, photo, first) {
    this.z = this.origin = z;
    this.photo = photo;
    if (photo) photo.at ??= z;
    this.refined = photo?.refined ?? true;
    this.#anchor = null;
    const known = this.history.current;
    if (!known || !same(known.z, z) || known.photo !== (photo?.id ?? null)) this.#remember("");
    else this.origin = known.origin;
    this.panel.show(z);
    this.#drawPhoto();
    this.show();
    this.#historyChanged();
    if (!first && photo) this.say(`The sliders stand at the photo\u2019s own values${photo.progress ? "; now it is refined, step by step." : "."}`);
  }

  /** Keep one object per photo: its offsets grow while it is refined, whoever shows it. @returns {Photo | null} */
  #adoptPhoto(sent) {
    if (!sent) return null;
    /** @type {Photo} */
    const photo = photos.get(sent.id) ?? {
      id: sent.id, crop: sent.crop, psnr: sent.psnr, mu: decodeFloats(sent.mu), sigma: decodeFloats(sent.sigma),
      deltaOnce: sent.delta_once ? decodeFloats(sent.delta_once) : null,
      featureOnce: sent.feature_once, delta: null, feature: null, detail: sent.detail, at: null, progress: null, refined: sent.refined, refinedPsnr: null,
    };
    photos.set(sent.id, photo);
    if (sent.delta && !photo.delta) {
      photo.delta = decodeFloats(sent.delta);
      photo.refinedPsnr = sent.refined_psnr;
    }
    photo.feature ??= sent.feature;
    if (sent.refine && photo.job !== sent.refine) {
      this.#follow(photo, sent.refine);
    }
    return photo;
  }

  /**
   * @param {Photo} photo
   * @param {string} job
   */
  #follow(photo, job) {
    photo.job = job;
    photo.progress = { step: 0, total: 0 };
    photo.at = null;
    photo.stop = follow(job, {
      onstep: ({ step, total, psnr, delta, picture, features }) => {
        photo.delta = /** @type {Floats} */ (delta);
        photo.feature = features[0] ?? photo.feature;
        photo.progress = { step, total };
        photo.refinedPsnr = psnr;
        if (this.photo === photo) {
          this.#photoFigures();
          if (this.refined && !this.comparing && (picture.length || photo.feature)) this.#step(photo, picture);
        }
      },
      onend: (state, error) => {
        photo.progress = null;
        if (this.photo !== photo) return;
        this.#drawPhoto();
        this.say({ done: "Refined: the picture is the person now.", cancelled: "Refining was cancelled; what it reached is kept." }[state]
          ?? error ?? "Refining stopped.");
        this.#commit();
      },
    });
  }

  /* The picture of a step: as the worker drew it, where the sliders stand as they did when it began. */
  #step(photo, picture) {
    const size = this.model.image_size;
    if (!photo.at || !same(this.z, photo.at) || photo.feature || picture.length !== 3 * size * size) this.show();
    else this.surface.paint(fromRgb(picture, size, size).data, size);
  }

  get delta() {
    const { photo } = this;
    return (this.refined ? photo?.delta : null) ?? photo?.deltaOnce ?? null;
  }

  /** What the photo has beyond code and styles, and gives up where an edit changes the picture. */
  get details() {
    const { photo } = this;
    const id = (this.refined ? photo?.feature : null) ?? photo?.featureOnce;
    return photo && id ? { features: [{ id, share: photo.detail }], held: true } : {};
  }

  show(preview = false) {
    this.surface.show({ z: this.z, delta: this.delta, ...this.details }, { preview });
  }

  say(sentence) {
    this.notice.textContent = sentence;
  }

  #drawn(frame) {
    this.meter.drawn(this.surface, frame);
    this.player?.drawn(frame);
    if (!this.panel.ready) {
      this.panel.ready = true; // pictures at the slider ends wait for the first face
      this.element.dataset.drawn = "";
      if (this.space) this.panel.pictures();
    }
  }

  #engineChanged(info, sentence = "") {
    this.meter.chosen(info);
    const figure = (ms) => (ms === null ? "not measured yet" : `${ms.toFixed(0)} ms`);
    const browser = {
      off: "waits for the first picture", loading: "is loading", failed: "is not available",
      ready: `${figure(info.ms.browser)} (${info.provider === "webgpu" ? "WebGPU" : `WASM, ${info.threads} ${info.threads === 1 ? "thread" : "threads"}`})`,
    }[info.browser];
    const lead = info.choice === "auto" && info.browser === "ready" ? "Auto takes the faster: server" : "Server";
    this.figures.textContent = `${lead} ${figure(info.ms.server)}, browser ${browser}`;
    if (sentence) this.say(sentence);
  }

  /* Sliders */

  /**
   * @param {Basis} basis
   * @param {number} row
   * @param {number} value
   */
  #move(basis, row, value) {
    const z = this.space.move(this.z, basis, row, value, this.panel.locks);
    if (!z) {
      this.say(`${basis.axes[row].label} cannot move while the locked axes hold all of it; unlock one of them.`);
      this.panel.show(this.z);
      return;
    }
    this.z = z;
    this.panel.show(z, { moving: true, axis: this.panel.axis });
    this.show(true);
  }

  #release(basis, row) {
    this.#grabbed = null;
    this.#anchor = null;
    this.#commit(`${basis.name}:${basis.axes[row].id}`);
  }

  /* A touch that became a scroll: the slider goes back to where it was. */
  #letGo() {
    if (!this.#grabbed) return;
    this.z = this.#grabbed;
    this.#grabbed = null;
    this.panel.show(this.z);
    this.show();
  }

  /**
   * @param {Basis} basis
   * @param {number} row
   */
  #resetOne(basis, row) {
    const axis = `${basis.name}:${basis.axes[row].id}`;
    this.panel.axis = axis;
    this.#move(basis, row, this.space.value(basis, row, this.origin));
    this.#commit(axis);
    this.say(`${basis.axes[row].label} is back where this ${this.model.noun} began.`);
  }

  /* Put z on the grid of the packed code, remember it, and tell Python and the address bar. */
  #commit(axis = "") {
    if (!this.space) return;
    this.packed = this.space.pack(this.z);
    this.z = this.space.unpack(this.packed);
    this.panel.show(this.z);
    this.show();
    this.#remember(axis);
    this.#historyChanged();
    this.#address();
    this.#send();
  }

  #send() {
    this.setStateValue("code", {
      z: this.packed, revision: this.revision, axis: this.panel.axis, photo: this.photo?.id ?? null, refined: this.refined, detail: this.photo?.detail,
      seed: this.seed.value === "" ? null : Number(this.seed.value), temperature: Number(this.temperature.value),
    });
  }

  #remember(axis) {
    const entry = { z: this.z, origin: this.origin, photo: this.photo?.id ?? null, refined: this.refined, seed: this.seed.value };
    const now = performance.now();
    const known = this.history.current;
    if (known && same(known.z, entry.z) && known.photo === entry.photo) this.history.amend(entry);
    else if (axis && axis === this.#committed.axis && now - this.#committed.at < MERGE_MS) this.history.amend(entry);
    else this.history.push(entry);
    this.#committed = { axis, at: now };
  }

  #historyChanged() {
    this.undoButton.disabled = !this.history.canUndo;
    this.redoButton.disabled = !this.history.canRedo;
  }

  #restore(entry, sentence) {
    if (!entry) return;
    Object.assign(this, { z: entry.z, origin: entry.origin, refined: entry.refined, photo: photos.get(entry.photo) ?? null });
    this.seed.value = entry.seed;
    this.#anchor = null;
    this.#committed.axis = "";
    this.packed = this.space.pack(this.z);
    this.panel.show(this.z);
    this.#drawPhoto();
    this.show();
    this.#historyChanged();
    this.#address();
    this.#send();
    this.say(sentence);
  }

  undo() {
    this.#restore(this.history.undo(), "Undone.");
  }

  redo() {
    this.#restore(this.history.redo(), "Done again.");
  }

  #key(event) {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
    const target = event.composedPath()[0];
    const typing = target.matches?.("textarea, [contenteditable]") || (target.matches?.("input") && target.type !== "range" && target.type !== "radio");
    if (typing) return;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.shiftKey) this.undo();
    else if (key === "y" || key === "z") this.redo();
    else return;
    event.preventDefault();
  }

  /* Actions */

  /* A new start, without a photo. */
  /**
   * @param {Floats} z
   * @param {string} sentence
   */
  #start(z, sentence) {
    const { locks } = this.panel;
    this.z = this.space.settle(this.space.hold(z, locks, this.z));
    this.origin = this.z;
    this.photo = null;
    this.#anchor = null;
    this.#drawPhoto();
    this.#commit();
    this.say(locks.length ? `${sentence.replace(/\.$/, "")}; locked values are kept.` : sentence);
  }

  async random(fresh) {
    if (!this.space) return;
    if (fresh || this.seed.value === "") this.seed.value = String(Math.floor(Math.random() * 1e6));
    const query = { model: this.model.name, seed: this.seed.value, temperature: this.temperature.value };
    const z = await askFloats("api/sample", query).catch((error) => this.say(error.message));
    if (!z) return;
    this.#start(z, `Seed ${this.seed.value} at temperature ${this.temperature.value}.`);
  }

  mean() {
    if (!this.space) return;
    this.seed.value = "";
    this.#start(this.space.mean, "The mean of all codes.");
  }

  resetAll() {
    if (!this.space) return;
    this.z = this.space.hold(this.origin, this.panel.locks, this.z);
    this.#anchor = null;
    this.#commit();
    this.say(`Every slider is back where this ${this.model.noun} began.`);
  }

  /* z = mu + sigma * eps around the photo, or around the code of the first press with the usual sigma. */
  jitter() {
    if (!this.space) return;
    this.#anchor ??= this.z;
    const anchor = this.#anchor;
    const sigma = this.photo?.sigma ?? this.spread;
    const drawn = Float32Array.from(anchor, (mu, i) => mu + sigma[i] * gaussian());
    this.z = this.space.hold(drawn, this.panel.locks, anchor);
    this.#commit();
    this.say(this.photo
      ? "Jitter: z = \u03bc + \u03c3\u00b7\u03b5, a fresh draw from what the encoder believes about this photo (the reparameterisation trick)."
      : "Jitter: z = \u03bc + \u03c3\u00b7\u03b5 around this code, with the encoder\u2019s usual \u03c3 (the reparameterisation trick).");
  }

  /* Decoded and encoded again by the server, which alone has the encoder: parts that are half there come whole, or go. */
  async whole() {
    if (!this.space) return;
    const from = this.z;
    const found = await askFloats("api/settle", { model: this.model.name }, posted(from)).catch((error) => this.say(error.message));
    if (!found || this.z !== from) return; // the hand has moved on
    const { locks } = this.panel;
    this.z = this.space.hold(found, locks, from);
    this.#anchor = null;
    this.#commit();
    this.say(`Whole parts: what was half there is there now, or gone${locks.length ? "; locked values are kept" : ""}.`);
  }

  #holdToCompare() {
    const { hold } = this;
    const begin = (event) => {
      if (event.type === "keydown" && event.key !== " " && event.key !== "Enter") return;
      if (event.type === "keydown") event.preventDefault();
      if (this.comparing || !this.origin) return;
      this.comparing = true;
      hold.setAttribute("aria-pressed", "true");
      this.surface.show({ z: this.origin, delta: this.delta, ...this.details });
    };
    const end = () => {
      if (!this.comparing) return;
      this.comparing = false;
      hold.setAttribute("aria-pressed", "false");
      this.show();
    };
    for (const name of ["pointerdown", "keydown"]) hold.addEventListener(name, begin);
    for (const name of ["pointerup", "pointerleave", "pointercancel", "keyup", "blur"]) hold.addEventListener(name, end);
  }

  /* The photo under the picture: crop, figures, progress, the switch. */
  #drawPhoto() {
    const { photo, photoBox } = this;
    photoBox.hidden = !photo;
    this.panel.mark(photo?.mu ?? null, photo?.sigma ?? null);
    this.jitterButton.title = `A draw around ${photo ? "the photo" : "this code"}: z = \u03bc + \u03c3\u00b7\u03b5`;
    if (!photo) return;
    this.switch.checked = this.refined;
    Object.assign(this.progress, { max: 1, value: 0 });
    photoBox.replaceChildren(
      h("img", { src: photo.crop, alt: "The part of your photo that the model sees", width: 72, height: 72 }),
      h("div", { class: "photo-body" }, this.photoText, this.progressRow, h("div", { class: "photo-switches" }, this.switchLabel, this.detailLabel)));
    this.detail.value = String(photo.detail);
    this.#photoFigures();
  }

  #photoFigures() {
    const { photo } = this;
    if (!photo) return;
    const db = (value) => `${value.toFixed(1)} dB`;
    const once = `One pass: ${db(photo.psnr)}`;
    this.photoText.textContent = photo.refinedPsnr ? `${once}, refined: ${db(photo.refinedPsnr)}` : once;
    this.progressRow.hidden = !photo.progress;
    if (photo.progress?.total) {
      this.progress.max = photo.progress.total;
      this.progress.value = photo.progress.step;
    }
    this.switchLabel.hidden = !photo.delta;
    this.detailLabel.hidden = !this.details.held;
  }

  #toggleRefined() {
    this.refined = this.switch.checked;
    this.history.amend({ refined: this.refined });
    this.packed = this.space.pack(this.z);
    this.#photoFigures();
    this.show();
    this.#send();
    this.say(this.refined ? "With the offsets that refining found." : "What the encoder\u2019s single pass gives.");
  }

  #keepDetail(moving) {
    const { photo } = this;
    if (!photo) return;
    photo.detail = Number(this.detail.value);
    this.show(moving);
    if (!moving) this.#send();
  }

  /* The link in the address bar; replaced, so that Back leaves the page and not the last slider. */
  #address() {
    if (!this.linked || !this.space) return;
    const url = new URL(location.href);
    url.searchParams.set("model", this.model.name);
    url.searchParams.set("hash", this.model.digest);
    url.searchParams.set("z", this.packed ?? this.space.pack(this.z));
    if (url.href !== location.href) window.history.replaceState(window.history.state, "", url);
  }

  close() {
    document.removeEventListener("keydown", this.onkey);
    window.removeEventListener("resize", this.onresize);
    this.unlisten();
    this.player?.close();
    this.drive?.close();
    this.surface.close();
    this.panel.close();
    this.engine.release();
  }
}

const same = (a, b) => a.length === b.length && a.every((value, i) => Math.abs(value - b[i]) < 1e-6);

export const { render, unmount } = component(Explore);
