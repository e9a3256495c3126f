/* The line under a live picture: frames per second, milliseconds, where it is decoded, and the choice of the engine.

   new Meter(engine, idle)          idle: what stands for the frames before any are counted
     .speed .choice                 the two elements, to be placed by the owner; .fps the read-out alone
     .drawn(surface, frame)         at each drawn frame
     .chosen(info)                  when the engine has changed */

import { h, radios } from "./dom.js";

const EACH_MS = 250; // read-outs that change in every frame cannot be read

export class Meter {
  #at = 0;

  /** @param {import("./engine.js").Engine} engine */
  constructor(engine, idle = "\u2013") {
    this.fps = h("output", { "data-testid": "live-fps", "aria-label": "Frames per second" }, idle);
    this.ms = h("output", { class: "ms", "aria-label": "Milliseconds per frame" }, "\u2013");
    this.where = h("span", { class: "where" }, "server");
    this.speed = h("p", { class: "speed" }, this.fps, " fps", h("i", {}, "\u00b7"), this.ms, " ms", h("i", {}, "\u00b7"), this.where);
    const choices = [["auto", "Auto"], ["browser", "Browser"], ["server", "Server"]];
    this.radios = radios("engine", "Engine", choices, (choice) => engine.choose(choice), { class: "segments engine" });
    this.choice = this.radios.element;
    this.chosen(engine.info);
  }

  /**
   * @param {import("./engine.js").Surface} surface
   * @param {import("./engine.js").Frame} frame
   */
  drawn(surface, { engine, ms }) {
    this.where.textContent = engine;
    const now = performance.now();
    if (now - this.#at <= EACH_MS) return;
    this.#at = now;
    if (surface.fps) this.fps.textContent = String(surface.fps);
    this.ms.textContent = ms.toFixed(0);
  }

  /** @param {import("./engine.js").Info} info */
  chosen(info) {
    this.radios.choose(info.choice);
  }
}
