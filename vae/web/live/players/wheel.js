/* Hands on the wheel: keys or thumbs that are held press wheel and pedals further at every frame, and they fall back when
   let go (as in the browser demo of World Models, Ha and Schmidhuber 2018).

   new Wheel(onpress)       onpress(): something is pressed
     .pad                   four buttons for thumbs, and for the keyboard
     .key(event, down)      an arrow key -> whether it was one
     .next(limits)          the action of the next frame
     .show(action)          on the dials
     .dials */

import { h } from "../dom.js";
import { clamp, signed } from "../numbers.js";

/** @typedef {import("../engine.js").Action} Action */

const PRESS = 0.1; // of the full way, a frame
const FALL = 0.9; // of what it was, a frame
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "gas", ArrowDown: "brake" };
const PAD = [["gas", "\u2191", "Gas"], ["left", "\u2190", "Steer left"], ["brake", "\u2193", "Brake"], ["right", "\u2192", "Steer right"]];
const DIALS = ["Wheel", "Gas", "Brake"];

export class Wheel {
  /** @type {Set<string>} */
  held = new Set();
  /** shares of the full way @type {Action} */
  pressed = [0, 0, 0];

  /** @param {() => void} onpress */
  constructor(onpress) {
    this.onpress = onpress;
    this.pad = h("div", { class: "pad", role: "group", "aria-label": "Wheel and pedals" }, PAD.map(([name, arrow, label]) => {
      const hold = (down) => (event) => {
        if (event instanceof KeyboardEvent && event.key !== " " && event.key !== "Enter") return;
        if (event instanceof KeyboardEvent) event.stopPropagation(); // the seat would take the space bar for itself
        if (event.type !== "blur") event.preventDefault();
        this.#hold(name, down);
      };
      const on = Object.fromEntries(["pointerdown", "keydown"].map((kind) => [`on${kind}`, hold(true)]));
      const off = Object.fromEntries(["pointerup", "pointerleave", "pointercancel", "keyup", "blur"].map((kind) => [`on${kind}`, hold(false)]));
      return h("button", { type: "button", class: `button ${name}`, "aria-label": label, "data-pedal": name, ...on, ...off, oncontextmenu: (event) => event.preventDefault() }, arrow);
    }));
    this.bars = DIALS.map(() => h("i", {}));
    this.dials = h("div", { class: "dials", role: "img" }, DIALS.map((label, i) => h("span", { class: i ? "pedal" : "steer" }, h("b", {}, label), h("u", {}, this.bars[i]))));
    this.show([0, 0, 0]);
  }

  #hold(name, down) {
    if (down) this.held.add(name);
    else this.held.delete(name);
    if (down) this.onpress();
  }

  /** @param {KeyboardEvent} event */
  key(event, down) {
    const name = KEYS[event.key];
    if (!name || event.ctrlKey || event.metaKey || event.altKey) return false;
    event.preventDefault();
    if (!event.repeat) this.#hold(name, down);
    return true;
  }

  release() {
    this.held.clear();
  }

  /**
   * @param {number[]} limits of gas and brake
   * @param {Set<string>} held
   * @returns {Action}
   */
  next(limits, held = this.held) {
    const wheel = Number(held.has("right")) - Number(held.has("left"));
    const moved = (value, towards) => (towards ? clamp(value + PRESS * towards, -1, 1) : FALL * value);
    const [steering, gas, brake] = this.pressed;
    this.pressed = [moved(steering, wheel), moved(gas, Number(held.has("gas"))), moved(brake, Number(held.has("brake")))];
    return [this.pressed[0], this.pressed[1] * limits[0], this.pressed[2] * limits[1]];
  }

  /** @param {Action} action */
  show([steering, gas, brake], limits = [1, 1]) {
    const shares = [Math.abs(steering), gas / (limits[0] || 1), brake / (limits[1] || 1)];
    this.bars.forEach((bar, i) => {
      bar.style.width = `${(i ? 100 : 50) * shares[i]}%`;
      if (!i) bar.style.left = `${50 + 50 * Math.min(0, steering)}%`;
    });
    this.dials.setAttribute("aria-label", `Wheel ${signed(steering)}, gas ${gas.toFixed(2)}, brake ${brake.toFixed(2)}`);
  }
}
