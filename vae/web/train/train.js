/* The film of a training: reconstructions, draws and a walk at every mark in time, with a scrubber that replays it.

   render({data, parentElement}) is called at mount and after every rerun; unmount(root).
   data: {frames: [{step, reconstructions, samples, traversal}, ...] (addresses of pictures, oldest first), image_size,
   flat (the code has two numbers)}. The newest mark is shown until a hand moves the scrubber. */

import { h } from "../live/dom.js";
import { address } from "../live/net.js";

/** @typedef {"reconstructions" | "samples" | "traversal"} Kind */
/** @typedef {{step: number} & Record<Kind, string>} Frame */

/** @type {[Kind, string, string][]} */
const KINDS = [
  ["reconstructions", "Reconstructions", "Pictures kept aside, each one beside its reconstruction."],
  ["samples", "Draws", "Codes drawn at random: the same codes at every mark."],
  ["traversal", "Walk", "One number of the code changes from left to right, a row each."],
];
const MAP_NOTE = "The whole plane of codes, decoded.";
const FRAME_MS = 260;
const LARGE = 48; // pictures below this side are drawn with hard pixels

class Film {
  /** @type {Kind} */
  kind = "reconstructions";
  at = -1; // -1 follows the newest
  /** @type {{frames: Frame[], image_size: number, flat: boolean}} */
  data = { frames: [], image_size: 0, flat: false };
  /** @type {Map<string, HTMLImageElement>} */
  #cache = new Map();
  #timer = 0;

  /** @param {Element} root */
  constructor(root) {
    this.picture = h("img", { alt: "", "data-testid": "film-picture" });
    this.stage = h("div", { class: "stage" }, this.picture);
    /** @param {Kind} kind */
    const tab = (kind) => ({ type: "button", role: "tab", onclick: () => this.#choose(kind) });
    this.kinds = KINDS.map(([kind, label]) => h("button", tab(kind), label));
    const seek = () => this.#seek(Number(this.range.value));
    this.range = h("input", { type: "range", min: "0", step: "1", "aria-label": "Mark in time", oninput: seek });
    this.label = h("output", { class: "at" });
    const replay = () => (this.#timer ? this.#stop() : this.#play());
    this.replay = h("button", { type: "button", class: "button", onclick: replay }, "Replay");
    this.note = h("p", { class: "note" });
    this.time = h("div", { class: "time" }, this.replay, this.range, this.label);
    const tabs = h("div", { class: "segments", role: "tablist", "aria-label": "What is shown" }, this.kinds);
    root.replaceChildren(tabs, this.stage, this.time, this.note);
  }

  update(data) {
    this.data = data;
    const last = data.frames.length - 1;
    this.range.max = String(last);
    this.time.hidden = last < 1;
    if (this.at > last) this.at = -1;
    for (const frame of data.frames) for (const [kind] of KINDS) this.#load(frame[kind]);
    this.#draw();
  }

  close() {
    this.#stop();
  }

  /** The picture at a path of this app, or in the address itself. @param {string} path */
  #load(path) {
    const known = this.#cache.get(path);
    if (known) return known;
    const image = new Image();
    image.src = address(path);
    this.#cache.set(path, image);
    return image;
  }

  /** @param {Kind} kind */
  #choose(kind) {
    this.kind = kind;
    this.#draw();
  }

  #seek(place) {
    this.#stop();
    this.at = place === this.data.frames.length - 1 ? -1 : place;
    this.#draw();
  }

  #play() {
    this.at = 0;
    this.replay.textContent = "Stop";
    this.#draw();
    this.#timer = setInterval(() => {
      this.at += 1;
      if (this.at >= this.data.frames.length - 1) this.#stop();
      this.#draw();
    }, FRAME_MS);
  }

  #stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.replay.textContent = "Replay";
    if (this.at >= this.data.frames.length - 1) this.at = -1;
  }

  #draw() {
    const { frames, image_size: size, flat } = this.data;
    const place = this.at < 0 ? frames.length - 1 : this.at;
    const frame = frames[place];
    const [, name, words] = KINDS.find(([kind]) => kind === this.kind) ?? KINDS[0];
    this.kinds.forEach((button, i) => button.setAttribute("aria-selected", String(KINDS[i][0] === this.kind)));
    this.range.value = String(place);
    this.label.value = `step ${frame.step.toLocaleString("en")}`;
    this.note.textContent = flat && this.kind === "traversal" ? MAP_NOTE : words;
    const image = this.#load(frame[this.kind]);
    const show = () => {
      this.picture.src = image.src;
      this.picture.alt = `${name} at step ${frame.step}`;
      this.picture.classList.toggle("pixels", size < LARGE);
      if (image.naturalWidth) this.stage.style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight}`;
    };
    if (image.complete) show();
    else image.onload = () => this.#cache.get(this.data.frames[place]?.[this.kind]) === image && this.#draw();
  }
}

/** @type {WeakMap<HTMLElement, Film>} */
const films = new WeakMap();

/** @param {import("../live/component.js").Args} args */
export function render({ data, parentElement: root }) {
  const place = root.querySelector(".film");
  if (!place) return;
  const film = films.get(root) ?? new Film(place);
  films.set(root, film);
  film.update(data);
}

/** @param {HTMLElement} root */
export function unmount(root) {
  films.get(root)?.close();
  films.delete(root);
}
