/* The Map component: every place is a picture. The map on the left, what it says of a place, a selection or a path beside it.

   render(args) at mount and after every rerun; unmount(root): see component.js.
   data: {model, revision, code (float32, base64), delta, features, photo, refined, seed, temperature, axes (version of the axes)}.
   A picked place becomes the visitor's code, as on Explore: state "code" {z, revision, photo, refined, seed, temperature}.
   Trigger "event": {name: "taught" | "explore", ...}. All else goes over /api/atlas.

   The Atlas holds the code in hand and what all parts share; each part is a thought of its own: views, colours, probe
   (the picture at the cursor), and the panes here, selections, lessons, path; dropped pictures. */

import { blit, pictureCanvas } from "../live/canvas.js";
import { geometry } from "../live/codes.js";
import { component } from "../live/component.js";
import { button, h, radios } from "../live/dom.js";
import { acquire } from "../live/engine.js";
import { decodeFloats, joined } from "../live/floats.js";
import { signed, whole } from "../live/numbers.js";
import { playerOf } from "../live/players/player.js";
import { Colours } from "./colours.js";
import { Dropped } from "./dropped.js";
import { pane as here } from "./here.js";
import { Lessons } from "./lessons.js";
import { MapView } from "./map.js";
import { Path } from "./path.js";
import { lift, project } from "./places.js";
import { Probe } from "./probe.js";
import { Progress } from "./progress.js";
import { Selections } from "./selections.js";
import { Server } from "./server.js";
import { Backdrop, Thumbs } from "./tiles.js";
import { Views } from "./views.js";

/** @typedef {import("../live/component.js").Args} Args */
/** @typedef {import("./places.js").Floats} Floats */
/** @typedef {import("./places.js").Place} Place */
/** @typedef {import("./map.js").Spot} Spot */
/** @typedef {"here" | "selection" | "teach" | "path"} Tab */

const TOOLS = [
  ["look", "Look", "Move to see, click to take, drag to pan, turn the wheel to zoom."],
  ["box", "Box", "Drag a rectangle around dots; Shift adds to the selection."],
  ["lasso", "Lasso", "Draw around dots; Shift adds to the selection."],
  ["path", "Path", "Click places in order; the way between them is drawn as a strip and a film."],
];
/** @type {Record<Tab, string>} */
const TABS = { here: "Here", selection: "Selection", teach: "Teach", path: "Path" };
const SAME = 2e-2; // two planes whose codes differ by less show the same pictures

/** What was last looked at of a model, over page switches. @type {Map<string, {view: string, by: string}>} */
const memory = new Map();

export class Atlas {
  closed = false;
  revision = null;
  axes = null;
  /** @type {any} what Python sent last */
  data = null;
  /** @type {Args["setStateValue"]} */
  setStateValue;
  /** @type {Args["setTriggerValue"]} */
  setTriggerValue;
  /** @type {Floats} the code in hand */
  z;
  /** @type {Floats | null} its style offsets */
  delta = null;
  /** @type {import("../live/engine.js").Detail[]} and what its photo has beyond them */
  features = [];
  /** @type {string | null} */
  photo = null;
  /** @type {number | null} the dot that is the code in hand, if it is one */
  index = null;
  /** @type {any} what the server says of that dot */
  about = null;
  /** @type {{index: number, distance: number}[] | null} */
  near = null;
  /** @type {Promise<any>} the stop of the path that was clicked last */
  #stops = Promise.resolve();
  /** @type {any} see /api/atlas/options */
  options = null;
  /** @type {import("./places.js").Points | null} */
  points = null;
  /** @type {Promise<import("../live/codes.js").Geometry>} */
  space;
  /** @type {Tab} */
  tab = "here";

  /** @param {import("../live/engine.js").Model} model */
  constructor(model) {
    this.model = model;
    this.fresh = !memory.has(model.digest);
    this.kept = memory.get(model.digest) ?? { view: model.latent_size === 2 ? "raw:0:1" : "principal:0:1", by: "none" };
    this.engine = acquire(model);
    this.server = new Server(model);
    this.map = new MapView({
      onprobe: (place) => this.probe.look(place),
      onpick: (place) => this.#pick(place),
      onselect: (selection) => this.selections.take(selection),
      onmove: () => this.probe.move(),
      onescape: () => this.#escape(),
    });
    this.map.thumbs = new Thumbs((ids) => this.server.sprite("thumbs", {}, new Uint32Array(ids)), () => this.map.draw(false));
    this.map.backdrop = new Backdrop((places) => this.#tiles(places), () => this.map.draw());
    this.probe = new Probe(this);
    this.progress = new Progress(this);
    this.views = new Views(this);
    this.colours = new Colours(this);
    this.selections = new Selections(this);
    this.lessons = new Lessons(this);
    this.path = new Path(this);
    this.dropped = new Dropped(this);
    this.stillCanvas = pictureCanvas(model, "current-canvas", "The current picture");
    this.stillBox = h("div", { class: "stage" }, this.stillCanvas);
    this.player = playerOf({ model, engine: this.engine, canvas: this.stillCanvas, stage: this.probe.face });
    this.still = this.engine.surface(this.stillCanvas);
    this.exactness = h("p", { class: "exactness", "data-testid": "exactness" });
    this.notice = h("p", { class: "notice", role: "status", "aria-live": "polite" });
    this.tools = radios("map-tool", "Tool", TOOLS, (tool) => this.#tool(tool), { chosen: "look" });
    this.tabs = new Map(Object.entries(TABS).map(([name, title]) => [name, h("button", {
      type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "atlas-panel", "data-tab": name,
      onclick: () => this.show(/** @type {Tab} */ (name)) }, title)]));
    this.panel = h("div", { class: "pane", id: "atlas-panel", role: "tabpanel" });
    this.backdropSwitch = toggle("Pictures everywhere", "backdropSwitch", (on) => this.#backdrop(on));
    this.element = this.#layOut();
    this.#listenForFiles();
    this.show("here");
    this.unlisten = this.engine.listen((_, sentence) => sentence && this.say(sentence));
  }

  #layOut() {
    const { map, views, colours } = this;
    const density = toggle("Density", "densitySwitch", (on) => { map.density = on; map.draw(); });
    const thumbs = toggle("Thumbnails", "thumbsSwitch", (on) => { map.thumbs.mode = on ? "auto" : "dots"; map.draw(); });
    thumbs.input.checked = true;
    /** @type {[string, string, () => void][]} */
    const zooms = [["+", "Zoom in", () => map.zoom(1.6)], ["\u2212", "Zoom out", () => map.zoom(1 / 1.6)], ["\u2922", "Show all", () => map.fit()]];
    map.element.append(this.probe.element, h("div", { class: "zooms" }, zooms.map(([sign, label, onclick]) => (
      h("button", { type: "button", "aria-label": label, title: label, onclick }, sign)))), this.progress.element);
    const add = button("search", "Add pictures", () => this.dropped.input.click(), { title: "Or drop pictures, or a zip of them, on the map" });
    const { view, rest, hover } = views.elements;
    return h("div", { class: "live atlas" },
      h("div", { class: "bar" }, view, rest, h("label", { class: "field" }, h("span", {}, "Colour"), colours.select), hover),
      h("section", { class: "chart", "aria-label": "Map" },
        h("div", { class: "tools" }, this.tools.element, this.backdropSwitch.element, density.element, thumbs.element,
          h("span", { class: "push" }), add, this.dropped.input),
        map.element, colours.legend,
        h("div", { class: "under" }, this.exactness, h("p", { class: "speed" }, this.probe.fps, " fps"))),
      h("section", { class: "side", "aria-label": "Details" },
        h("div", { class: "segments", role: "tablist", "aria-label": "Details" }, ...this.tabs.values()), this.player?.element, this.panel, this.notice));
  }

  #listenForFiles() {
    const { element } = this.map;
    /** @type {(event: Event) => void} */
    const over = (event) => {
      event.preventDefault();
      this.element.toggleAttribute("data-dropping", event.type === "dragover");
    };
    for (const name of ["dragover", "dragleave", "drop"]) element.addEventListener(name, over);
    element.addEventListener("drop", (event) => this.dropped.take([...event.dataTransfer?.files ?? []]));
    element.addEventListener("pointerleave", () => this.probe.look(null));
  }

  /** New data from Python. @param {Args} args */
  async update({ data, setStateValue, setTriggerValue }) {
    Object.assign(this, { setStateValue, setTriggerValue, data });
    this.map.recolour();
    if (data.revision !== this.revision) {
      this.revision = data.revision;
      this.index = null;
      this.delta = data.delta ? decodeFloats(data.delta) : null;
      this.features = data.features;
      this.photo = data.photo;
      this.z = decodeFloats(data.code);
      this.#current();
    }
    if (data.axes !== this.axes) {
      this.axes = data.axes;
      this.space = geometry(this.model, data.axes);
      this.space.catch((error) => this.say(error.message));
      await this.#offer();
    }
  }

  /* What the parts share */

  /** @param {string} sentence */
  say(sentence) {
    this.notice.textContent = sentence;
  }

  /**
   * What a request gives, or null and its sentence where it was refused.
   * @template T
   * @param {() => Promise<T>} work
   */
  async guard(work) {
    try {
      return await work();
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  /** @param {{view?: string, by?: string}} change */
  keep(change) {
    this.kept = { ...this.kept, ...change };
    this.fresh = false;
    memory.set(this.model.digest, this.kept);
  }

  /** Pictures of codes side by side. @param {HTMLCanvasElement} canvas */
  strip(canvas, codes, count, tile) {
    this.server.sprite("decoded", { tile }, codes).then((tiles) => {
      tiles.slice(0, count).forEach((one, i) => blit(canvas, one, i * tile, tile));
      canvas.dataset.ready = "";
    }, (error) => this.say(error.message));
  }

  /** @param {import("./tiles.js").Wanted[]} places */
  #tiles(places) {
    const body = joined([this.z, ...places.map(({ x, y }) => [x, y])]);
    return this.server.sprite("background", { view: this.points?.view ?? "" }, body);
  }

  /* Views and colours */

  async #offer() {
    const options = await this.guard(() => this.server.json("options"));
    if (!options || this.closed) return;
    this.options = options;
    this.views.offer(options);
    if (this.kept.by === "none" && options.classes && this.fresh) this.kept.by = "class";
    this.colours.offer(options);
    if (options.plane && this.fresh) {
      this.backdropSwitch.input.checked = true;
      this.#backdrop(true);
    }
    await Promise.all([this.openView(this.kept.view), this.colours.choose(this.kept.by)]);
    this.drawPane();
  }

  /** @param {string} view */
  async openView(view) {
    const { map } = this;
    const opened = await this.views.open(view);
    if (!opened) return;
    const { points, xy } = opened;
    this.points = points;
    this.keep({ view });
    if (map.values.length !== points.count) map.values = new Uint8Array(points.count);
    map.backdrop.clear();
    map.load({ xy, labels: points.labels, unit: points.unit });
    Object.assign(map.element.dataset, { view, count: points.count });
    this.explain();
    await this.#current();
    await this.dropped.relocate();
    if (this.index !== null) this.#describe(this.index);
    this.path.retrace();
  }

  explain() {
    if (this.points) this.exactness.textContent = this.views.explain(this.points);
  }

  /** @param {boolean} on */
  #backdrop(on) {
    this.map.backdrop.on = on;
    this.map.draw();
  }

  /** @param {string} tool */
  #tool(tool) {
    this.map.tool = tool;
    this.map.element.dataset.tool = tool;
    if (tool === "path") this.show("path");
    this.say(TOOLS.find(([name]) => name === tool)?.[2] ?? "");
  }

  /** @param {string} tool */
  setTool(tool) {
    this.tools.choose(tool);
    this.#tool(tool);
  }

  /* Places and codes */

  /** The places of codes. @param {Floats[]} codes @returns {Promise<Place[]>} */
  async locate(codes) {
    const numbers = await this.server.floats("locate", { view: this.points?.view ?? "" }, joined(codes));
    return codes.map((_, i) => [numbers[2 * i], numbers[2 * i + 1]]);
  }

  /** The place of a code. @param {Floats} z @returns {Promise<Place>} */
  async where(z) {
    return this.points?.linear ? project(this.points, z) : (await this.locate([z]))[0];
  }

  /** The code at a place. @param {number} x @param {number} y @returns {Promise<Floats>} */
  async code(x, y) {
    if (this.points && this.views.exact) return lift(this.points, this.z, x, y);
    return this.server.floats("near", { view: this.points?.view ?? "" }, new Float32Array([x, y]));
  }

  /** @param {number} index */
  #dot(index) {
    return this.guard(() => this.server.json("code", { view: this.points?.view ?? "", index }));
  }

  /** A place is picked: a dot is taken as it is, the open map as it decodes there. @param {Spot} place */
  async #pick({ x, y, index }) {
    if (!this.points) return;
    if (this.map.tool === "path") {
      const found = index >= 0 ? this.#dot(index).then((dot) => dot && decodeFloats(dot.mu)) : this.guard(() => this.code(x, y));
      // Stops stand in the order of the clicks, whichever code comes first.
      this.#stops = this.#stops.then(() => found).then((z) => z && this.path.add(z));
      return this.#stops;
    }
    if (index >= 0) return this.#describe(index, true);
    const z = await this.guard(() => this.code(x, y));
    if (!z) return;
    await this.take(z, this.views.exact ? { delta: this.delta, features: this.features, photo: this.photo } : {});
    this.show("here");
    this.say(`Your picture is now the one at ${signed(x)}, ${signed(y)}.`);
  }

  /** A dot: its numbers, ellipse and neighbours; with `take` it becomes the picture in hand. @param {number} index */
  async #describe(index, take = false) {
    const found = await this.#dot(index);
    if (!found) return;
    if (take) await this.take(decodeFloats(found.mu), {}, index);
    this.about = found;
    this.map.marks.ellipse = found.ellipse;
    this.map.marks.dots = found.neighbours.map((one) => one.index);
    this.map.draw(false);
    if (!take) return this.drawPane();
    this.show("here");
    this.say(`Code ${whole(index)}: its \u03c3 is drawn as an ellipse${found.exact ? "" : " (estimated from 64 draws)"}, its nearest codes are ringed.`);
  }

  /** Show a dot and take it. @param {number} index */
  goTo(index) {
    this.map.reveal(this.map.xy[2 * index], this.map.xy[2 * index + 1]);
    return this.#describe(index, true);
  }

  /**
   * A code becomes the one in hand.
   * @param {Floats} z
   * @param {{delta?: Floats | null, features?: import("../live/engine.js").Detail[], photo?: string | null}} [more]
   * @param {number | null} [index] the dot that it is
   */
  async take(z, { delta = null, features = [], photo = null } = {}, index = null) {
    const space = await this.space.catch(() => null);
    if (!space) return;
    const was = this.z;
    this.z = space.settle(z);
    Object.assign(this, { delta, features, photo, index, about: null });
    this.map.marks.ellipse = null;
    this.map.marks.dots = [];
    await this.#current(was);
    const packed = space.pack(this.z);
    this.probe.canvas.dataset.code = packed;
    this.setStateValue("code", {
      z: packed, revision: this.revision, axis: null, photo, refined: this.data.refined, seed: null, temperature: this.data.temperature,
    });
    this.#neighbours();
  }

  /** The code in hand changed: its mark, its picture; the background only where the plane through it is another. @param {Floats | null} was */
  async #current(was = null) {
    const { points, map } = this;
    this.still.show({ z: this.z, delta: this.delta, features: this.features, held: true });
    if (!points) return;
    if (points.linear && !this.options.plane) {
      const before = was && lift(points, this.z, ...project(points, was));
      if (!was || !before || before.some((v, i) => Math.abs(v - was[i]) > SAME)) map.backdrop.clear();
    }
    const place = await this.guard(() => this.where(this.z));
    if (!place) return;
    map.marks.current = place;
    map.draw();
    this.probe.refresh();
  }

  async #neighbours() {
    const { z } = this;
    const answer = await this.guard(() => this.server.json("neighbours", {}, z));
    if (!answer || z !== this.z || this.about) return;
    this.near = answer.neighbours.filter((one) => one.index !== this.index);
    this.drawPane();
  }

  #escape() {
    this.selections.clear();
    this.path.clear();
    this.say("Nothing is selected.");
  }

  /* The pane beside the map */

  /** @param {Tab} tab */
  show(tab) {
    this.tab = tab;
    for (const [name, one] of this.tabs) one.setAttribute("aria-selected", String(name === tab));
    if (tab !== "path") this.path.stop();
    this.panel.setAttribute("aria-labelledby", `tab-${tab}`);
    this.drawPane();
  }

  drawPane() {
    this.panel.dataset.tab = this.tab;
    const panes = { here: () => here(this), selection: () => this.selections.pane(), teach: () => this.lessons.pane(), path: () => this.path.pane() };
    const elements = /** @type {(HTMLElement | null | undefined)[]} */ (panes[this.tab]());
    this.panel.replaceChildren(...elements.filter((element) => element instanceof HTMLElement));
  }

  close() {
    this.closed = true;
    this.unlisten();
    this.player?.close();
    this.probe.close();
    this.still.close();
    this.path.close();
    this.map.close();
    this.engine.release();
  }
}

/**
 * @param {string} words
 * @param {string} name
 * @param {(on: boolean) => void} onchange
 */
function toggle(words, name, onchange) {
  const input = h("input", { type: "checkbox", role: "switch", "data-testid": name, onchange: () => onchange(input.checked) });
  return { input, element: h("label", { class: "switch" }, input, h("span", {}, words)) };
}

export const { render, unmount } = component(Atlas);
