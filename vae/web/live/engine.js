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
   Surface
     .show(state, {preview})   latest wins: older requests are dropped. Two decodes are in flight in the browser, two to
                               four on the server, so that the engine works while an answer travels.
                               state: {z: Float32Array (d)} or {levels: Float32Array (L d)}, and {delta: Float32Array | null}
                               preview: the hand moves; the light decoder, or a smaller level, draws where the full one is too slow,
                               and the full one follows as soon as the hand rests
     .frames .fps .close()
   The canvas carries data-engine, data-frame (drawn frames), data-ms, and data-settled ("true" once it shows the last
   state that was asked for, at full size). */

const SMOOTH_MS = 22; // a decode slower than this makes way for the preview while the hand moves
const DEEPER_MS = 30; // of round trip for each decode in flight
const REST_MS = 120;
const KEEP_WARM_MS = 60_000;
const SAMPLES = 9;
const BETTER = 0.85; // "auto" changes engines only for a clear gain

const engines = new Map();

export function acquire(model) {
  const key = `${model.name}/${model.digest}`;
  if (!engines.has(key)) engines.set(key, new Engine(model, key));
  const engine = engines.get(key);
  engine.users += 1;
  clearTimeout(engine.farewell);
  return engine;
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function remembered() {
  try {
    const choice = localStorage.getItem("live-engine");
    return ["auto", "browser", "server"].includes(choice) ? choice : "auto";
  } catch {
    return "auto";
  }
}

class Engine {
  users = 0;
  #surfaces = new Set();
  #listeners = new Set();
  #pumping = false;
  #wake = () => {};
  #trips = []; // milliseconds of the last answers of the server, from the question on
  #doneAt = 0;
  #busyAt = 0;
  #times = { server: { full: [], preview: [] }, browser: { full: [], preview: [] } };
  #worker = null;
  #waiting = new Map();
  #serial = 0;
  #sentDelta = null;

  constructor(model, key) {
    this.model = model;
    this.key = key;
    this.choice = remembered();
    this.active = "server";
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

  surface(canvas, options = {}) {
    const surface = new Surface(this, canvas, options);
    this.#surfaces.add(surface);
    return surface;
  }

  forget(surface) {
    this.#surfaces.delete(surface);
  }

  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(sentence = "") {
    for (const listener of this.#listeners) listener(this.info, sentence);
  }

  get info() {
    const { choice, active, browser, provider, threads } = this;
    const ms = { server: this.#pace("server"), browser: browser === "ready" ? this.#pace("browser") : null };
    return { choice, active, ms, browser, provider, threads };
  }

  /* Milliseconds of one frame under the hand, or null before it is measured. */
  #pace(engine) {
    const { full, preview } = this.#times[engine];
    if (!full.length) return null;
    return this.#previews(engine) && preview.length ? median(preview) : median(full);
  }

  get #hasPreview() {
    return Boolean(this.model.preview || this.model.light);
  }

  #previews(engine) {
    const { full } = this.#times[engine];
    return this.#hasPreview && full.length > 0 && median(full) > SMOOTH_MS;
  }

  choose(choice) {
    this.choice = choice;
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
    const runtime = await fetch("/ort/ort.wasm.bundle.min.mjs", { method: "HEAD" }).catch(() => null);
    if (!runtime?.ok) throw new Error("The browser engine is not installed here, so the server draws.");
    const { name, digest, preview, light, levels, style_size: size, latent_size: latent } = this.model;
    const url = (part) => `/api/onnx/${encodeURIComponent(name)}/${digest}/${part}.onnx`;
    const parts = preview ? { head: url(`head-${preview}`), tail: url(`tail-${preview}`) } : { full: url("full") };
    if (light) parts.light = url("light");
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.#worker = worker;
    const ready = await new Promise((resolve, reject) => {
      worker.onerror = () => reject(new Error("The browser engine could not start, so the server draws."));
      worker.onmessage = ({ data }) => (data.type === "ready" ? resolve(data) : reject(new Error(this.#excuse(data.reason))));
      worker.postMessage({ type: "load", parts, gpu: true, threads: Math.max(1, Math.min(4, (navigator.hardwareConcurrency || 2) - 1)) });
    });
    worker.onmessage = ({ data }) => this.#answer(data);
    worker.onerror = () => this.#fail("The browser engine stopped, so the server draws.");
    this.style = { levels, size, latent };
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

  async #run(engine, state, preview) {
    const start = performance.now();
    const image = await (engine === "browser" ? this.#inBrowser(state, preview) : this.#onServer(state, preview));
    return { ...image, ms: performance.now() - start, engine };
  }

  #inBrowser({ z, levels, delta = null }, preview) {
    const id = ++this.#serial;
    const code = Float32Array.from(levels ?? z);
    const message = { type: "decode", id, z: code, style: this.style, whole: !preview };
    if (delta !== this.#sentDelta) message.delta = this.#sentDelta = delta; // 9 kB only when it changes
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage(message, [code.buffer]);
    });
  }

  #answer(data) {
    const waiting = this.#waiting.get(data.id);
    this.#waiting.delete(data.id);
    if (data.type === "image") waiting?.resolve({ pixels: data.pixels, size: data.size });
    else this.#fail(this.#excuse(data.reason).replace("did not load", "stopped"));
    if (data.type !== "image") waiting?.reject(new Error(data.reason));
  }

  async #onServer({ z, levels, delta }, preview) {
    const query = new URLSearchParams({ model: this.model.name });
    if (preview && this.model.light) query.set("quick", "1");
    else if (preview) query.set("size", this.model.preview);
    if (levels) query.set("layout", "levels");
    if (delta) query.set("offsets", "1");
    const code = levels ?? z;
    const body = new Float32Array(code.length + (delta?.length ?? 0));
    body.set(code);
    if (delta) body.set(delta, code.length);
    const response = await fetch(`/api/decode?${query}`, { method: "POST", body });
    if (!response.ok) {
      const answer = await response.json().catch(() => ({ error: `The server answered ${response.status}; reload the page.` }));
      throw Object.assign(new Error(answer.error), { refused: true });
    }
    const bytes = new Uint8Array(await response.arrayBuffer());
    const size = Math.sqrt(bytes.length / 3);
    const pixels = new Uint8ClampedArray(4 * size * size);
    for (let i = 0, o = 0; i < bytes.length; i += 3, o += 4) {
      pixels[o] = bytes[i];
      pixels[o + 1] = bytes[i + 1];
      pixels[o + 2] = bytes[i + 2];
      pixels[o + 3] = 255;
    }
    return { pixels, size };
  }

  async decode(state, { preview = false } = {}) {
    const engine = this.active;
    const small = preview && this.#previews(engine);
    const asked = performance.now();
    const image = await this.#run(engine, state, small);
    // With several in flight, what counts is how fast they follow each other.
    const now = performance.now();
    this.#note(engine, small, now - Math.max(asked, this.#doneAt));
    this.#doneAt = now;
    if (engine === "server") this.#trips = [...this.#trips, image.ms].slice(-SAMPLES);
    return { ...image, preview: small };
  }

  /* Decodes in flight at once: enough to keep the engine at work while an answer is drawn and the next question asked. */
  get #depth() {
    if (this.active !== "server") return 2;
    return Math.max(2, Math.min(4, Math.ceil(Math.min(...this.#trips, 1000) / DEEPER_MS)));
  }

  /* Serve the surfaces in turn while any of them wants a picture. */
  async pump() {
    this.#busyAt = performance.now();
    this.#wake();
    if (this.#pumping) return;
    this.#pumping = true;
    const flights = new Set();
    for (;;) {
      const surface = flights.size < this.#depth && [...this.#surfaces].find((s) => s.wanted);
      if (surface) {
        const flight = this.#serve(surface).finally(() => flights.delete(flight));
        flights.add(flight);
      } else if (flights.size) {
        const called = new Promise((resolve) => (this.#wake = resolve));
        await Promise.race([...flights, called]);
      } else break;
    }
    this.#pumping = false;
    this.#settle();
    if (this.browser === "off" && this.choice !== "server" && !navigator.connection?.saveData) {
      (self.requestIdleCallback ?? setTimeout)(() => this.#open());
    }
  }

  async #serve(surface) {
    // To the back of the line, so that two moving surfaces share the engine.
    this.#surfaces.delete(surface);
    this.#surfaces.add(surface);
    const { state, preview, turn } = surface.take();
    try {
      surface.present(await this.decode(state, { preview }), state, preview, turn);
      this.#lost = false;
    } catch (error) {
      await this.#recover(error, surface, state, preview);
    }
    this.#busyAt = performance.now();
  }

  #lost = false;

  async #recover(error, surface, state, preview) {
    if (error.refused) return this.#tell(error.message);
    if (this.active === "server") {
      if (!this.#lost) this.#tell("The server does not answer; the picture follows again as soon as it does.");
      this.#lost = true;
      await pause(1000);
    }
    surface.restore(state, preview);
  }
}

class Surface {
  frames = 0;
  state = null;
  wanted = null;
  #image = null;
  #drawn = [];
  #scheduled = false;
  #rest = 0;
  #turn = 0;
  #shown = 0;

  constructor(engine, canvas, { ondraw }) {
    this.engine = engine;
    this.canvas = canvas;
    this.ondraw = ondraw;
    canvas.width = canvas.height = engine.model.image_size;
    this.context = canvas.getContext("2d", { alpha: false });
    this.context.imageSmoothingQuality = "high";
    this.small = document.createElement("canvas");
  }

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

  take() {
    const wanted = this.wanted;
    this.wanted = null;
    return { ...wanted, turn: ++this.#turn };
  }

  /* After a failure: ask again, unless something newer was asked for, be it on its way or drawn. */
  restore(state, preview) {
    if (state === this.state) this.wanted ??= { state, preview };
  }

  present(image, state, moving, turn) {
    if (turn < this.#shown) return; // a newer picture came first
    this.#shown = turn;
    this.#image = { ...image, state, turn };
    if (!this.#scheduled) {
      this.#scheduled = true;
      requestAnimationFrame(() => this.#draw());
    }
    clearTimeout(this.#rest);
    // Only of what was asked for last: the preview of an older state must not take back a newer one that is on its way.
    if (image.preview && state === this.state) this.#rest = setTimeout(() => this.show(state), moving ? REST_MS : 0);
  }

  #draw() {
    this.#scheduled = false;
    const { pixels, size, ms, engine } = this.#image;
    const data = new ImageData(pixels, size, size);
    const { canvas, context, small } = this;
    if (size === canvas.width) context.putImageData(data, 0, 0);
    else {
      if (small.width !== size) small.width = small.height = size;
      small.getContext("2d").putImageData(data, 0, 0);
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
    }
    this.frames += 1;
    const now = performance.now();
    this.#drawn.push(now);
    while (this.#drawn.length > 2 && this.#drawn[0] < now - 1000) this.#drawn.shift();
    if (this.#drawn[0] < now - 3000) this.#drawn.shift(); // the hand had rested
    canvas.dataset.engine = engine;
    canvas.dataset.frame = this.frames;
    canvas.dataset.ms = ms.toFixed(1);
    const { state, preview, turn } = this.#image;
    if (turn === this.#turn && !this.wanted && !preview) canvas.dataset.settled = "true";
    this.ondraw?.({ ms, engine, size, preview, state });
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
