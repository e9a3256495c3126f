/* Decodes codes and draws them: in the browser (ONNX Runtime Web in a worker) or on the server (POST /api/decode),
   whichever is measured faster on this visitor's machine.

   model: {name, digest, image_size, channels, latent_size, levels, style_size, preview, light}
          (preview: pixels of the level to stop at while the hand moves, or null; light: whether a light decoder draws
          then instead, at full size)
   acquire(model) -> Engine   shared by all surfaces of a page and kept warm over page switches; engine.release() when done
     .surface(canvas, {ondraw}) -> Surface
     .decode(state, {preview}) -> Promise<{pixels, size, ms, engine}>   one picture, not drawn
     .choose("auto" | "browser" | "server")
     .info -> {choice, active, ms: {browser, server}, browser: "off" | "loading" | "ready" | "failed", provider, threads}
     .listen(f) -> stop        f(info) after every change; f is also given notices: f(info, sentence)
     .step(at, action, before) -> Promise<{z, spread}>   where the code goes when somebody acts, by the model's transition
     .look(lens)               show every picture through a lens: (pixels) => pixels, or null for none
   Surface
     .show(state, {preview})   latest wins: older requests are dropped. Two decodes are in flight in the browser, two to
                               four on the server, so that the engine works while an answer travels.
                               state: {z: Float32Array (d)} or {levels: Float32Array (L d)}, {delta: Float32Array | null},
                               {features: [{id, share}], held}: details of photos, and whether the one gives way to edits
     .paint(pixels, size)      a picture of the state that was last shown, made elsewhere (RGBA)
                               preview: the hand moves; the light decoder, or a smaller level, draws where the full one is too slow,
                               and the full one follows as soon as the hand rests
     .frames .fps .close()
   The canvas carries data-engine, data-frame (drawn frames), data-ms, and data-settled ("true" once it shows the last
   state that was asked for, at full size). */

import { context, fromRgb, unpacked } from "./canvas.js";
import { pause } from "./dom.js";
import { joined } from "./floats.js";
import { ask, askFloats, posted, Refused } from "./net.js";
import { clamp, median } from "./numbers.js";

/**
 * @typedef {object} Model
 * @property {string} name
 * @property {string} title
 * @property {string} digest
 * @property {number} image_size
 * @property {number} channels
 * @property {number} latent_size
 * @property {number} levels 0 for a flat code
 * @property {number} style_size
 * @property {number | null} preview
 * @property {boolean} light
 * @property {[number, number, number] | null} feature channels and sides of a feature offset
 * @property {boolean} face
 * @property {string} noun what one of its pictures is called
 * @property {"picture" | "scan" | "roll" | "road" | "sprite"} player
 * @property {number} settle how often a draw is decoded and encoded again, 0 for never
 * @property {boolean} dynamics whether a transition says where a code goes
 * @property {boolean} drive whether a recorded drive lies beside it
 */
/** @typedef {"auto" | "browser" | "server"} Choice */
/** @typedef {"browser" | "server"} Place */
/** @typedef {Float32Array<ArrayBuffer>} Floats */
/** @typedef {{id: string, share: number}} Detail */
/** @typedef {{z?: Floats, levels?: Floats, delta?: Floats | null, features?: Detail[], held?: boolean}} State one of z and levels */
/** @typedef {{code: Floats, residual: Int16Array}} Known what the light decoder lacks of a photo's picture, RGBA, and where */
/** @typedef {{pixels: Uint8ClampedArray<ArrayBuffer>, size: number, ms: number, engine: Place}} Image */
/** @typedef {{ms: number, engine: Place, size: number, preview: boolean, state: State, pixels: Uint8ClampedArray<ArrayBuffer>}} Frame pixels: RGBA, as decoded */
/** @typedef {(pixels: Uint8ClampedArray<ArrayBuffer>) => Uint8ClampedArray<ArrayBuffer>} Lens */
/** @typedef {[number, number, number]} Action steering -1 (left) to 1, gas and brake 0 to 1 */
/** @typedef {{state: State, preview: boolean}} Wanted */
/** @typedef {{ondraw?: (frame: Frame) => void}} Drawing */
/**
 * @typedef {object} Info
 * @property {Choice} choice
 * @property {Place} active
 * @property {{server: number | null, browser: number | null}} ms
 * @property {"off" | "loading" | "ready" | "failed"} browser
 * @property {string} provider
 * @property {number} threads
 */

const SMOOTH_MS = 22; // a decode slower than this makes way for the preview while the hand moves
const DEEPER_MS = 30; // of round trip for each decode in flight
const REST_MS = 120;
const KEEP_WARM_MS = 60_000;
const SAMPLES = 9;
const LINES = 3; // pictures that tell how slow the line is
const SLOW_LINE_MS = 60;
const FAR = 0.05; // of a code's length: beyond, the light decoder's picture of a photo has moved enough to be corrected anew
const STOPPED = "The browser engine stopped, so the server draws.";
const BETTER = 0.85; // "auto" changes engines only for a clear gain

/** @type {Map<string, Engine>} */
const engines = new Map();

/** @param {Model} model */
export function acquire(model) {
  const key = `${model.name}/${model.digest}`;
  const engine = engines.get(key) ?? new Engine(model, key);
  engines.set(key, engine);
  engine.users += 1;
  clearTimeout(engine.farewell);
  return engine;
}

/** @returns {Choice} */
function remembered() {
  try {
    const choice = localStorage.getItem("live-engine");
    return choice === "browser" || choice === "server" ? choice : "auto";
  } catch {
    return "auto";
  }
}

export class Engine {
  users = 0;
  /** @type {Set<Surface>} */
  #surfaces = new Set();
  /** @type {Set<(info: Info, sentence?: string) => void>} */
  #listeners = new Set();
  #pumping = false;
  /** @type {(value?: any) => void} */
  #wake = () => {};
  /** @type {number[]} */
  #trips = []; // milliseconds of the last answers of the server, from the question on
  #lines = []; // milliseconds that the last uncompressed pictures spent on the line
  #doneAt = 0;
  #busyAt = 0;
  /** @type {Record<Place, Record<"full" | "preview", number[]>>} */
  #times = { server: { full: [], preview: [] }, browser: { full: [], preview: [] } };
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Map<number, {resolve: (image: any) => void, reject: (error: Error) => void}>} */
  #waiting = new Map();
  #serial = 0;
  /** @type {Floats | null} */
  #sentDelta = null;
  /** By the name of a photo's details. @type {Map<string, Known>} */
  #known = new Map();
  /** @type {Lens | null} */
  lens = null;

  /**
   * @param {Model} model
   * @param {string} key
   */
  constructor(model, key) {
    this.model = model;
    this.key = key;
    this.choice = remembered();
    /** @type {Place} */
    this.active = "server";
    /** @type {Info["browser"]} */
    this.browser = "off";
    this.provider = "";
    this.threads = 1;
  }

  release() {
    this.users -= 1;
    if (this.users > 0) return;
    this.farewell = setTimeout(() => {
      this.#worker?.terminate();
      engines.delete(this.key);
    }, KEEP_WARM_MS);
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Drawing} [options]
   */
  surface(canvas, options = {}) {
    const surface = new Surface(this, canvas, options);
    this.#surfaces.add(surface);
    return surface;
  }

  forget(surface) {
    this.#surfaces.delete(surface);
  }

  /** @param {(info: Info, sentence?: string) => void} listener */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(sentence = "") {
    for (const listener of this.#listeners) listener(this.info, sentence);
  }

  /** @returns {Info} */
  get info() {
    const { choice, active, browser, provider, threads } = this;
    const ms = { server: this.#pace("server"), browser: browser === "ready" ? this.#pace("browser") : null };
    return { choice, active, ms, browser, provider, threads };
  }

  /** Milliseconds of one frame under the hand, or null before it is measured. @param {Place} engine */
  #pace(engine) {
    const { full, preview } = this.#times[engine];
    if (!full.length) return null;
    return this.#previews(engine) && preview.length ? median(preview) : median(full);
  }

  get #hasPreview() {
    return Boolean(this.model.preview || this.model.light);
  }

  /** @param {Place} engine */
  #previews(engine) {
    const { full } = this.#times[engine];
    return this.#hasPreview && full.length > 0 && median(full) > SMOOTH_MS;
  }

  /** @param {string} choice */
  choose(choice) {
    this.choice = /** @type {Choice} */ (choice);
    try {
      localStorage.setItem("live-engine", choice);
    } catch {
      // private windows may refuse; the choice then lasts as long as the page
    }
    if (choice !== "server") this.#open();
    this.#settle(true);
    for (const surface of this.#surfaces) surface.again();
    this.#tell();
  }

  /* Set the active engine from the choice and the figures. */
  #settle(fresh = false) {
    const before = this.active;
    const ready = this.browser === "ready";
    if (this.choice === "server" || !ready) this.active = "server";
    else if (this.choice === "browser") this.active = "browser";
    else {
      const server = this.#pace("server") ?? Infinity;
      const browser = this.#pace("browser") ?? Infinity;
      if (fresh) this.active = browser < server ? "browser" : "server";
      else if (this.active === "server" && browser < BETTER * server) this.active = "browser";
      else if (this.active === "browser" && server < BETTER * browser) this.active = "server";
    }
    if (this.active !== before) this.#tell();
  }

  /* Load the browser engine behind the first picture, which the server has drawn. */
  #open() {
    if (this.browser !== "off") return;
    this.browser = "loading";
    this.#tell();
    this.#load().catch((error) => this.#fail(error.message));
  }

  async #load() {
    if (typeof WebAssembly === "undefined") throw new Error("This browser has no WebAssembly, so the server draws.");
    const runtime = await ask("ort/ort.wasm.bundle.min.mjs", {}, { method: "HEAD" }).catch(() => null);
    if (!runtime) throw new Error("The browser engine is not installed here, so the server draws.");
    const { name, digest, preview, light, levels, style_size: size, latent_size: latent, feature } = this.model;
    const url = (part) => `api/onnx/${encodeURIComponent(name)}/${digest}/${part}.onnx`;
    /** @type {Record<string, string>} */
    const parts = preview ? { head: url(`lower-${preview}`), tail: url(`upper-${preview}`) } : { full: url(levels ? "whole" : "full") };
    if (light) parts.light = url("light");
    if (this.model.dynamics) parts.dynamics = url("dynamics");
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.#worker = worker;
    const ready = await new Promise((resolve, reject) => {
      worker.onerror = () => reject(new Error("The browser engine could not start, so the server draws."));
      worker.onmessage = ({ data }) => (data.type === "ready" ? resolve(data) : reject(new Error(this.#excuse(data.reason))));
      worker.postMessage({ type: "load", parts, gpu: true, threads: clamp((navigator.hardwareConcurrency || 2) - 1, 1, 4) });
    });
    worker.onmessage = ({ data }) => this.#answer(data);
    worker.onerror = () => this.#fail(STOPPED);
    this.style = { levels, size, latent, feature };
    this.provider = ready.provider;
    this.threads = ready.threads;
    await this.#measure();
  }

  #excuse(reason) {
    return `The browser engine did not load (${reason.replace(/[.\s]+$/, "").slice(0, 120)}), so the server draws.`;
  }

  #fail(sentence) {
    this.browser = "failed";
    this.#worker?.terminate();
    this.#worker = null;
    for (const { reject } of this.#waiting.values()) reject(new Error(sentence));
    this.#waiting.clear();
    this.#settle();
    this.#tell(sentence);
  }

  /* A few decodes on both engines while the hand rests, so that "auto" compares like with like. */
  async #measure() {
    const surface = [...this.#surfaces].find((s) => s.state);
    const state = surface?.state ?? { z: new Float32Array(this.model.latent_size), delta: null };
    /** @type {[Place, boolean][]} */
    const plan = [["browser", false], ["browser", true], ["browser", false], ["browser", true]]; // the first ones warm up
    for (let i = 0; i < 4; i++) plan.push(["browser", false], ["server", false]);
    if (this.#hasPreview) for (let i = 0; i < 4; i++) plan.push(["browser", true]);
    let step = 0;
    for (const [engine, preview] of plan) {
      while (performance.now() - this.#busyAt < 300) await pause(60);
      const wanted = preview && this.#hasPreview;
      const { ms } = await this.#run(engine, state, wanted);
      if (step++ >= 4) this.#note(engine, wanted, ms);
    }
    this.browser = "ready";
    this.#settle(true);
    for (const one of this.#surfaces) if (this.choice === "browser") one.again();
    this.#tell();
  }

  #note(engine, preview, ms) {
    const times = this.#times[engine][preview ? "preview" : "full"];
    times.push(ms);
    if (times.length > SAMPLES) times.shift();
  }

  /**
   * @param {Place} engine
   * @param {State} state
   * @param {boolean} preview
   * @returns {Promise<Image>}
   */
  async #run(engine, state, preview, packed = false) {
    const start = performance.now();
    const image = await (engine === "browser" ? this.#inBrowser(state, preview) : this.#onServer(state, preview, packed));
    return { ...image, ms: performance.now() - start, engine };
  }

  /** @param {State} state */
  #inBrowser({ z, levels, delta = null, features = [], held = false }, preview) {
    const worker = this.#worker;
    if (!worker) return Promise.reject(new Error(STOPPED));
    const id = ++this.#serial;
    const code = Float32Array.from(levels ?? z ?? []);
    /** @type {Record<string, any>} */
    const message = { type: "decode", id, z: code, style: this.style, whole: !preview, features, held };
    if (delta !== this.#sentDelta) message.delta = this.#sentDelta = delta; // 9 kB only when it changes
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage(message, [code.buffer]);
    });
  }

  #answer(data) {
    const waiting = this.#waiting.get(data.id);
    this.#waiting.delete(data.id);
    if (data.type === "image") return waiting?.resolve({ pixels: data.pixels, size: data.size });
    if (data.type === "stepped") return waiting?.resolve({ z: data.z, spread: data.spread });
    if (data.refused) waiting?.reject(new Refused(data.reason));
    else this.#fail(this.#excuse(data.reason).replace("did not load", "stopped"));
    waiting?.reject(new Error(data.reason));
  }

  /** @param {State} state */
  async #onServer({ z, levels, delta, features = [], held = false }, preview, packed) {
    /** @type {import("./net.js").Query} */
    const query = { model: this.model.name };
    if (preview && this.model.light) query.quick = 1;
    else if (preview) query.size = Number(this.model.preview);
    if (levels) query.layout = "levels";
    if (delta) query.offsets = 1;
    const shares = query.quick ? [] : features.map(({ share }) => share); // the light decoder knows no details
    if (shares.length) query.features = features.map(({ id }) => id).join();
    if (shares.length && held) query.held = 1;
    if (packed) query.format = "webp";
    const asked = performance.now();
    const response = await ask("api/decode", query, posted(joined([levels ?? z ?? [], delta ?? [], shares])));
    if (packed) return unpacked(await response.blob());
    const bytes = new Uint8Array(await response.arrayBuffer());
    const line = performance.now() - asked - Number(response.headers.get("X-Server-Ms") ?? 0);
    this.#lines = [...this.#lines, line].slice(-LINES);
    const size = Math.sqrt(bytes.length / 3);
    return { pixels: fromRgb(bytes, size, size).data, size };
  }

  /** @param {State} state */
  async decode(state, { preview = false } = {}) {
    const engine = this.active;
    const small = preview && this.#previews(engine) && !this.#far(state);
    // What moves may come compressed; at rest the picture is exact, and so goes on measuring the line.
    const packed = preview && engine === "server" && this.#lines.length === LINES && median(this.#lines) > SLOW_LINE_MS;
    const asked = performance.now();
    const image = await this.#run(engine, state, small, packed);
    // With several in flight, what counts is how fast they follow each other.
    const now = performance.now();
    this.#note(engine, small, now - Math.max(asked, this.#doneAt));
    this.#doneAt = now;
    if (engine === "server") this.#trips = [...this.#trips, image.ms].slice(-SAMPLES);
    if (small && this.model.light) this.#correct(image, state);
    return { ...image, preview: small || packed };
  }

  /** Whether the light decoder's picture of a photo would be too far from the full one. @param {State} state */
  #far({ z, levels, features = [] }) {
    if (!this.model.light || features.length !== 1) return false;
    const known = this.#known.get(features[0].id);
    const code = levels ?? z;
    if (!known || !code || known.code.length !== code.length) return true;
    let moved = 0;
    let length = 0;
    for (let i = 0; i < code.length; i++) {
      moved += (code[i] - known.code[i]) ** 2;
      length += code[i] ** 2;
    }
    return moved > FAR ** 2 * length;
  }

  /**
   * Add to the light decoder's picture what it lacked where the photos' pictures were last drawn in full.
   * @param {{pixels: Uint8ClampedArray}} image
   * @param {State} state
   */
  #correct({ pixels }, { features = [] }) {
    for (const { id, share } of features) {
      const residual = this.#known.get(id)?.residual;
      if (!residual || residual.length !== pixels.length) continue;
      for (let i = 0; i < pixels.length; i++) pixels[i] += share * residual[i];
    }
  }

  /**
   * Learn from a full picture with one photo's details what the light decoder lacks of it.
   * @param {State} state
   * @param {{pixels: Uint8ClampedArray}} image
   */
  async #learn(state, { pixels }) {
    const { z, levels, features = [] } = state;
    if (!this.model.light || features.length !== 1 || features[0].share < 0.1) return;
    const [{ id, share }] = features;
    const light = await this.#run(this.active, { ...state, features: [] }, true);
    const residual = Int16Array.from(pixels, (value, i) => (value - light.pixels[i]) / share);
    this.#known.set(id, { code: Float32Array.from(levels ?? z ?? []), residual });
  }

  /** Draw a photo once, unseen, so that the light decoder's pictures with its details can be corrected. @param {State} state */
  async prepare(state) {
    if (!this.model.light || this.#known.has(state.features?.[0]?.id ?? "")) return;
    await this.#learn(state, await this.#run(this.active, state, false)).catch(() => {}); // the first full picture learns it too
  }

  /**
   * @param {[Floats, Floats]} codes where one is, and was a frame ago
   * @param {Action} action
   * @param {Action} before the action of a frame ago
   * @returns {Promise<{z: Floats, spread: Floats}>} the next code, and how much of the step the transition leaves open
   */
  step(codes, action, before) {
    const packed = joined([...codes, action, before]);
    return this.active === "browser" ? this.#stepHere(packed) : this.#stepThere(packed);
  }

  /** @param {Floats} packed */
  #stepHere(packed) {
    const worker = this.#worker;
    if (!worker) return this.#stepThere(packed);
    const id = ++this.#serial;
    return /** @type {Promise<{z: Floats, spread: Floats}>} */ (new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      worker.postMessage({ type: "step", id, packed, latent: this.model.latent_size });
    }));
  }

  /** @param {Floats} packed */
  async #stepThere(packed) {
    const both = await askFloats("api/step", { model: this.model.name }, posted(packed));
    const d = this.model.latent_size;
    return { z: both.slice(0, d), spread: both.slice(d) };
  }

  /** @param {Lens | null} lens */
  look(lens) {
    this.lens = lens;
    for (const surface of this.#surfaces) surface.redraw();
  }

  /* Decodes in flight at once: enough to keep the engine at work while an answer is drawn and the next question asked. */
  get #depth() {
    if (this.active !== "server") return 2;
    return clamp(Math.ceil(Math.min(...this.#trips, 1000) / DEEPER_MS), 2, 4);
  }

  /* Serve the surfaces in turn while any of them wants a picture. */
  async pump() {
    this.#busyAt = performance.now();
    this.#wake();
    if (this.#pumping) return;
    this.#pumping = true;
    /** @type {Set<Promise<void>>} */
    const flights = new Set();
    for (;;) {
      const surface = flights.size < this.#depth && [...this.#surfaces].find((s) => s.wanted);
      if (surface) {
        /** @type {Promise<void>} */
        const flight = this.#serve(surface).finally(() => flights.delete(flight));
        flights.add(flight);
      } else if (flights.size) {
        const called = new Promise((resolve) => (this.#wake = resolve));
        await Promise.race([...flights, called]);
      } else break;
    }
    this.#pumping = false;
    this.#settle();
    if (this.browser === "off" && this.choice !== "server" && !(/** @type {any} */ (navigator).connection?.saveData)) {
      (self.requestIdleCallback ?? setTimeout)(() => this.#open());
    }
  }

  /** @param {Surface} surface */
  async #serve(surface) {
    // To the back of the line, so that two moving surfaces share the engine.
    this.#surfaces.delete(surface);
    this.#surfaces.add(surface);
    const { state, preview, turn } = surface.take();
    try {
      const image = await this.decode(state, { preview });
      const learnt = image.preview ? null : this.#learn(state, { pixels: image.pixels.slice() });
      surface.present(image, state, preview, turn);
      await learnt;
      this.#lost = false;
    } catch (error) {
      await this.#recover(error, surface, state, preview);
    }
    this.#busyAt = performance.now();
  }

  #lost = false;

  async #recover(error, surface, state, preview) {
    if (error instanceof Refused) return this.#tell(error.message);
    if (this.active === "server") {
      if (!this.#lost) this.#tell("The server does not answer; the picture follows again as soon as it does.");
      this.#lost = true;
      await pause(1000);
    }
    surface.restore(state, preview);
  }
}

export class Surface {
  frames = 0;
  /** @type {State | null} */
  state = null;
  /** @type {Wanted | null} */
  wanted = null;
  /** @type {Image & {preview: boolean, state: State, turn: number} | null} */
  #image = null;
  /** @type {number[]} */
  #drawn = [];
  #scheduled = false;
  #rest = 0;
  #turn = 0;
  #shown = 0;

  /**
   * @param {Engine} engine
   * @param {HTMLCanvasElement} canvas
   * @param {Drawing} drawing
   */
  constructor(engine, canvas, { ondraw }) {
    this.engine = engine;
    this.canvas = canvas;
    this.ondraw = ondraw;
    canvas.width = canvas.height = engine.model.image_size;
    this.context = context(canvas, { alpha: false });
    this.context.imageSmoothingQuality = "high";
    this.small = document.createElement("canvas");
  }

  /** @param {State} state */
  show(state, { preview = false } = {}) {
    clearTimeout(this.#rest);
    this.state = state;
    this.wanted = { state, preview };
    this.canvas.dataset.settled = "false";
    this.engine.pump();
  }

  again() {
    if (this.state) this.show(this.state);
  }

  /** What is wanted, which then counts as asked for; only while there is something. */
  take() {
    const wanted = /** @type {Wanted} */ (this.wanted);
    this.wanted = null;
    return { ...wanted, turn: ++this.#turn };
  }

  /* Show a picture of the last state that comes from elsewhere; decodes that are on their way come too late. */
  paint(pixels, size) {
    if (!this.state) return;
    clearTimeout(this.#rest);
    this.wanted = null;
    const { ms, engine } = this.#image ?? { ms: 0, engine: this.engine.active };
    this.present({ pixels, size, ms, engine, preview: false }, this.state, false, ++this.#turn);
  }

  /* After a failure: ask again, unless something newer was asked for, be it on its way or drawn. */
  restore(state, preview) {
    if (state === this.state) this.wanted ??= { state, preview };
  }

  present(image, state, moving, turn) {
    if (turn < this.#shown) return; // a newer picture came first
    this.#shown = turn;
    this.#image = { ...image, state, turn };
    this.redraw();
    clearTimeout(this.#rest);
    // Only of what was asked for last: the preview of an older state must not take back a newer one that is on its way.
    if (image.preview && state === this.state) this.#rest = setTimeout(() => this.show(state), moving ? REST_MS : 0);
  }

  /* The same picture once more, or the one that has just come. */
  redraw() {
    if (this.#scheduled || !this.#image) return;
    this.#scheduled = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#scheduled = false;
    if (!this.#image) return;
    const { pixels, size, ms, engine } = this.#image;
    const data = new ImageData(this.engine.lens?.(pixels) ?? pixels, size, size);
    const { canvas, small } = this;
    if (size === canvas.width) this.context.putImageData(data, 0, 0);
    else {
      if (small.width !== size) small.width = small.height = size;
      context(small).putImageData(data, 0, 0);
      this.context.drawImage(small, 0, 0, canvas.width, canvas.height);
    }
    this.frames += 1;
    const now = performance.now();
    this.#drawn.push(now);
    while (this.#drawn.length > 2 && this.#drawn[0] < now - 1000) this.#drawn.shift();
    if (this.#drawn[0] < now - 3000) this.#drawn.shift(); // the hand had rested
    canvas.dataset.engine = engine;
    canvas.dataset.frame = String(this.frames);
    canvas.dataset.ms = ms.toFixed(1);
    const { state, preview, turn } = this.#image;
    if (turn === this.#turn && !this.wanted && !preview) canvas.dataset.settled = "true";
    this.ondraw?.({ ms, engine, size, preview, state, pixels });
  }

  /* Frames drawn over the last second of movement. */
  get fps() {
    const n = this.#drawn.length;
    if (n < 2) return 0;
    const span = this.#drawn[n - 1] - this.#drawn[0];
    return Math.max(1, Math.round((1000 * (n - 1)) / Math.max(span, 1000 / 60)));
  }

  close() {
    clearTimeout(this.#rest);
    this.wanted = null;
    this.engine.forget(this);
  }
}
