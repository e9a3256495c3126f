/* The pane "Path": stops on the map, the way between them as a line, a strip of pictures, a ribbon and a film.

   new Path(atlas)
     .stops            codes
     .add(z)           one more stop
     .clear()
     .retrace()        Promise: the view or the stops have changed
     .pane()           its elements
     .stop() .close()  the film */

import { pictureCanvas } from "../live/canvas.js";
import { button, download, h, radios } from "../live/dom.js";
import { joined } from "../live/floats.js";
import { project } from "./places.js";

/** @typedef {import("./places.js").Floats} Floats */
/** @typedef {{codes: Floats, far: Floats, frames: number, usual: number, d: number}} Way codes: frames x d; far: in sigma */

const FRAMES = 90; // between two stops
const MOST_FRAMES = 480;
const STOPS = 24;
const STRIP = 9;
const LINE = 40; // places on the line that is drawn
const TILE = 96;
const KINDS = [
  ["straight", "Straight", "The straight line between the codes: shortest, and through unusual codes where the ends are far apart."],
  ["slerp", "Arc", "Great arcs: the length of the codes is kept, as draws from a Gaussian lie on a shell."],
  ["dense", "Dense", "Past other codes, by many short steps, so that it stays where the data is."],
];

export class Path {
  /** @type {Floats[]} */
  stops = [];
  kind = "straight";
  /** @type {Way | null} */
  way = null;
  #serial = 0;
  #playing = false;

  /** @param {import("./atlas.js").Atlas} atlas */
  constructor(atlas) {
    this.atlas = atlas;
    this.canvas = pictureCanvas(atlas.model, "film-canvas", "The path as a film");
    this.box = h("div", { class: "stage small" }, this.canvas);
    this.film = atlas.engine.surface(this.canvas);
  }

  /** @param {Floats} z */
  add(z) {
    if (this.stops.length >= STOPS) return this.atlas.say(`A path has at most ${STOPS} stops; clear it to begin anew.`);
    this.stops.push(z);
    this.retrace();
    this.atlas.show("path");
  }

  clear() {
    this.stops = [];
    return this.retrace();
  }

  async retrace() {
    const { atlas, stops } = this;
    const serial = ++this.#serial;
    const { marks } = atlas.map;
    if (!atlas.points) return;
    marks.stops = stops.length ? await atlas.guard(() => Promise.all(stops.map((z) => atlas.where(z)))) ?? [] : [];
    if (stops.length < 2) {
      this.way = marks.line = null;
      atlas.map.draw(false);
      if (atlas.tab === "path") atlas.drawPane();
      return;
    }
    const frames = Math.min(MOST_FRAMES, FRAMES * (stops.length - 1));
    const answer = await atlas.guard(() => atlas.server.packed("path", { kind: this.kind, frames }, joined(stops)));
    if (!answer || serial !== this.#serial) return;
    const { head, data } = answer;
    const numbers = new Float32Array(data);
    const split = head.frames * head.d;
    this.way = { codes: numbers.subarray(0, split), far: numbers.subarray(split), frames: head.frames, usual: head.usual, d: head.d };
    const shown = this.#frames(LINE);
    const { points } = atlas;
    marks.line = await atlas.guard(async () => (points.linear ? shown.map((z) => project(points, z)) : atlas.locate(shown)));
    atlas.map.draw(false);
    if (atlas.tab === "path") atlas.drawPane();
  }

  /** The code of a frame. @param {number} i */
  #frame(i) {
    const { codes, d } = /** @type {Way} */ (this.way);
    return codes.subarray(i * d, (i + 1) * d);
  }

  /** So many codes, evenly along the way. @param {number} count */
  #frames(count) {
    const { frames } = /** @type {Way} */ (this.way);
    return Array.from({ length: count }, (_, i) => this.#frame(Math.round((i / (count - 1)) * (frames - 1))));
  }

  pane() {
    const { atlas, way, stops } = this;
    if (!stops.length) {
      return [h("p", { class: "quiet" }, "Choose the tool Path and click places or dots in order; the way between them becomes a strip and a film."),
        h("div", { class: "row" }, button("search", "Begin at my picture", () => { atlas.setTool("path"); this.add(atlas.z); }))];
    }
    const kinds = radios("way", "Way", KINDS, (kind) => { this.kind = kind; this.retrace(); }, { chosen: this.kind }).element;
    const row = h("div", { class: "row" },
      button("undo", "Last stop", () => { this.stops.pop(); this.retrace(); }), button("close", "Clear", () => this.clear()));
    if (!way) return [kinds, h("p", { class: "quiet" }, "One stop so far; click the next."), row];
    const strip = h("canvas", { class: "strip", width: STRIP * TILE, height: TILE, role: "img", "aria-label": "Pictures along the path", "data-testid": "path-strip" });
    atlas.strip(strip, joined(this.#frames(STRIP)), STRIP, TILE);
    if (!this.#playing) this.#play();
    const link = (words, onclick) => {
      const made = h("button", { type: "button", class: "link", onclick: () => onclick(made) }, words);
      return made;
    };
    return [
      kinds, h("p", { class: "quiet" }, KINDS.find(([kind]) => kind === this.kind)?.[2]), this.box, strip, this.#ribbon(way), row,
      h("div", { class: "row" }, h("span", { class: "quiet" }, "Save"),
        link("MP4", (it) => this.#save("mp4", it)), link("GIF", (it) => this.#save("gif", it)),
        link("Strip", () => strip.toBlob((blob) => blob && download(blob, "path.png")))),
    ];
  }

  /** How usual the codes on the way are: their distance in sigma against that of a usual code. @param {Way} way */
  #ribbon({ far, frames, usual }) {
    const top = 1.15 * Math.max(usual, ...far);
    const height = (v) => 48 - (44 * v) / top;
    const place = (v, i) => `${((i / (frames - 1)) * 300).toFixed(1)},${height(v).toFixed(1)}`;
    const box = h("div", { class: "ribbon" });
    box.innerHTML = `<svg viewBox="0 0 300 50" preserveAspectRatio="none" aria-hidden="true"><line x1="0" x2="300" y1="${height(usual)}" y2="${height(usual)}"/>`
      + `<polyline points="${Array.from(far, place).join(" ")}"/></svg>`;
    return h("div", {}, box, h("p", { class: "quiet" }, `Distance from the mean along the way, ${Math.min(...far).toFixed(1)} to ${Math.max(...far).toFixed(1)} \u03c3; the line is a usual code\u2019s ${usual.toFixed(1)}.`));
  }

  #play() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      if (this.way) this.film.show({ z: this.#frame(Math.floor(this.way.frames / 2)).slice() });
      return;
    }
    this.#playing = true;
    const begun = performance.now();
    let shown = -1;
    const tick = () => {
      if (!this.#playing || this.atlas.closed || !this.way) return void (this.#playing = false);
      const { frames } = this.way;
      const at = Math.floor(((performance.now() - begun) / 1000) * 30) % (2 * frames);
      const frame = at < frames ? at : 2 * frames - 1 - at;
      // The hand on the map comes first: the film waits while it moves.
      if (frame !== shown && !this.atlas.probe.looking) {
        shown = frame;
        this.film.show({ z: this.#frame(frame).slice() }, { preview: true });
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  stop() {
    this.#playing = false;
  }

  /**
   * @param {"mp4" | "gif"} format
   * @param {HTMLButtonElement} link
   */
  async #save(format, link) {
    const { atlas, way } = this;
    if (!way) return;
    link.disabled = true;
    atlas.say("Drawing the film \u2026");
    const blob = await atlas.guard(async () => (await atlas.server.ask("film", { format }, way.codes)).blob());
    link.disabled = false;
    if (!blob) return;
    download(blob, `path.${format}`);
    atlas.say("The film is saved; it runs there and back.");
  }

  close() {
    this.stop();
    this.film.close();
  }
}
