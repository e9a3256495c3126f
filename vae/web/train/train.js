/* The film of a training: reconstructions, draws and a walk at every mark in time, with a scrubber that replays it.

   render({data, parentElement}) is called at mount and after every rerun; unmount(root).
   data: {frames: [{step, reconstructions, samples, traversal}, ...] (addresses of pictures, oldest first), image_size,
   flat (the code has two numbers)}. The newest mark is shown until a hand moves the scrubber. */

import { h } from "../live/dom.js";

const KINDS = [
  ["reconstructions", "Reconstructions", "Pictures kept aside, each one beside its reconstruction."],
  ["samples", "Draws", "Codes drawn at random: the same codes at every mark."],
  ["traversal", "Walk", "One number of the code changes from left to right, a row each."],
];
const MAP_NOTE = "The whole plane of codes, decoded.";
const FRAME_MS = 260;
const LARGE = 48; // pictures below this side are drawn with hard pixels

class Film {
  kind = "reconstructions";
  at = -1; // -1 follows the newest
  #cache = new Map();
  #timer = 0;

  constructor(root) {
    this.root = root;
    this.picture = h("img", { alt: "", "data-testid": "film-picture" });
    this.stage = h("div", { class: "stage" }, this.picture);
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

  #load(address) {
    if (!this.#cache.has(address)) {
      const image = new Image();
      image.src = address;
      this.#cache.set(address, image);
    }
    return this.#cache.get(address);
  }

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
    if (this.data && this.at >= this.data.frames.length - 1) this.at = -1;
  }

  #draw() {
    const { frames, image_size: size, flat } = this.data;
    const place = this.at < 0 ? frames.length - 1 : this.at;
    const frame = frames[place];
    const [, name, words] = KINDS.find(([kind]) => kind === this.kind);
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
    else image.onload = () => this.#load(this.data.frames[place]?.[this.kind]) === image && this.#draw();
  }
}

export function render({ data, parentElement: root }) {
  const place = root.querySelector(".film");
  if (!place) return;
  root.film ??= new Film(place);
  root.film.update(data);
}

export function unmount(root) {
  root.film?.close();
  root.film = null;
}
