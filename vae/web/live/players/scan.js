/* A grey scan under a window: the greys between level - window / 2 and level + window / 2 are spread over the screen's.
   Drag on the picture as at a scanner's desk, or move the two sliders. Only the view changes, never the code. */

import { button, h } from "../dom.js";
import { clamp } from "../numbers.js";

/** @typedef {{canvas: HTMLElement, engine: {look(lens: import("../engine.js").Lens | null): void}}} Desk what is dragged on, and what shows the lens */

const WHOLE = { window: 100, level: 50 }; // per cent of the range of greys
const NARROW = 4;
const STEEP = 160; // per cent a picture's width

/** Slope and table of a window. @param {{window: number, level: number}} view */
export function tableOf({ window, level }) {
  const low = level - window / 2;
  return Uint8ClampedArray.from({ length: 256 }, (_, grey) => (255 * (grey / 2.55 - low)) / window);
}

export class Scan {
  view = { ...WHOLE };
  /** @type {{x: number, y: number, view: {window: number, level: number}} | null} */
  #grip = null;
  #undo = new AbortController();

  /** @param {Desk} host */
  constructor(host) {
    this.host = host;
    const dial = (key, label, title) => {
      const input = h("input", { type: "range", min: key === "window" ? NARROW : 0, max: 100, step: 1, "data-view": key, title,
        oninput: () => this.#set({ [key]: Number(input.value) }) });
      const output = h("output", {});
      this[key] = { input, output };
      return h("label", { class: "dial" }, h("span", {}, label), input, output);
    };
    this.words = h("p", { class: "figures" });
    this.element = h("div", { class: "player scan", role: "group", "aria-label": "Window and level" },
      h("div", { class: "tools" }, dial("window", "Window", "How many greys are spread from black to white"),
        dial("level", "Level", "The grey in the middle"),
        button("reset", "Whole range", () => this.#set(WHOLE), { title: "All greys, as the model draws them" })),
      this.words);
    host.canvas.classList.add("grip");
    const listen = (name, act) => host.canvas.addEventListener(name, act, { signal: this.#undo.signal });
    listen("pointerdown", (event) => this.#take(event));
    listen("pointermove", (event) => this.#drag(event));
    for (const name of ["pointerup", "pointercancel"]) listen(name, () => (this.#grip = null));
    listen("dblclick", () => this.#set(WHOLE));
    this.#set(WHOLE);
  }

  /** @param {PointerEvent} event */
  #take(event) {
    if (event.button) return;
    this.host.canvas.setPointerCapture(event.pointerId);
    this.#grip = { x: event.clientX, y: event.clientY, view: { ...this.view } };
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    if (!this.#grip) return;
    const { x, y, view } = this.#grip;
    const each = STEEP / this.host.canvas.getBoundingClientRect().width;
    this.#set({ window: Math.round(view.window + each * (event.clientX - x)), level: Math.round(view.level + each * (event.clientY - y)) });
  }

  /** @param {{window?: number, level?: number}} change */
  #set(change) {
    const view = { ...this.view, ...change };
    this.view = { window: clamp(view.window, NARROW, 100), level: clamp(view.level, 0, 100) };
    const { window, level } = this.view;
    for (const [key, value] of Object.entries(this.view)) {
      this[key].input.value = String(value);
      this[key].output.textContent = `${value}\u202f%`;
    }
    const [low, high] = [Math.max(0, level - window / 2), Math.min(100, level + window / 2)].map(Math.round);
    const whole = window === WHOLE.window && level === WHOLE.level;
    this.words.textContent = whole ? "All greys. Drag on the picture: to the side for the window, up and down for the level."
      : `Greys from ${low} to ${high}\u202f% fill the screen; darker ones are black, brighter ones white.`;
    const table = tableOf(this.view);
    this.host.engine.look(whole ? null : (pixels) => pixels.map((value, i) => (i % 4 === 3 ? value : table[value])));
  }

  drawn() {}

  close() {
    this.#undo.abort();
    this.host.canvas.classList.remove("grip");
    this.host.engine.look(null);
  }
}
