/* The picture at the cursor: it follows the pointer live, and shows the picture in hand where nobody points.

   new Probe(atlas)
     .element .fps       to be placed by the owner: the picture over the map, frames per second; .face holds the picture alone
     .look(place)        the pointer is at a place of the map; null: nowhere
     .move()             the map has moved beneath
     .refresh()          another picture is in hand
     .close()
   The canvas carries data-x, data-y (the place it shows) beside what the engine writes on it. */

import { pictureCanvas } from "../live/canvas.js";
import { h } from "../live/dom.js";
import { Meter } from "../live/meter.js";
import { clamp, signed, whole } from "../live/numbers.js";
import { lift } from "./places.js";

/** @typedef {import("./map.js").Spot} Spot */

const AWAY = 22; // css px between the pointer and the picture
const EDGE = 6;

export class Probe {
  /** @type {Spot | null} where the pointer is */
  looking = null;
  /** @type {Spot | null} the newest place that is still to be asked for */
  #wanted = null;
  #asking = false;

  /** @param {import("./atlas.js").Atlas} atlas */
  constructor(atlas) {
    this.atlas = atlas;
    this.canvas = pictureCanvas(atlas.model, "live-canvas", "The picture at the cursor");
    this.caption = h("p", { class: "where" });
    this.face = h("div", { class: "face" }, this.canvas);
    this.element = h("div", { class: "probe", hidden: true }, this.face, this.caption);
    this.meter = new Meter(atlas.engine, "0");
    this.fps = this.meter.fps;
    this.surface = atlas.engine.surface(this.canvas, { ondraw: (frame) => {
      atlas.element.dataset.drawn = "";
      this.meter.drawn(this.surface, frame);
      this.fps.title = frame.engine;
      atlas.player?.drawn(frame);
    } });
  }

  /** Latest wins. @param {Spot | null} place */
  look(place) {
    const { atlas } = this;
    if (!place || !atlas.points) return this.#rest();
    this.looking = place;
    atlas.map.crosshair = true;
    atlas.map.draw(false);
    this.move();
    if (atlas.views.exact) return this.#show(lift(atlas.points, atlas.z, place.x, place.y), place);
    this.#wanted = place;
    if (!this.#asking) this.#ask();
  }

  /**
   * @param {import("./places.js").Floats} z
   * @param {Spot} place
   */
  #show(z, place) {
    const { atlas } = this;
    const carried = atlas.views.exact ? { delta: atlas.delta, features: atlas.features, held: true } : { delta: null };
    this.surface.show({ z, ...carried }, { preview: true });
    Object.assign(this.canvas.dataset, { x: place.x, y: place.y });
  }

  async #ask() {
    const { atlas } = this;
    this.#asking = true;
    while (this.#wanted && !atlas.closed) {
      const place = this.#wanted;
      this.#wanted = null;
      const z = await atlas.guard(() => atlas.code(place.x, place.y));
      if (!z) break;
      if (this.looking) this.#show(z, place);
    }
    this.#asking = false;
  }

  /* Nobody points: the picture in hand. */
  #rest() {
    const { atlas } = this;
    this.looking = this.#wanted = null;
    atlas.map.crosshair = false;
    atlas.map.draw(false);
    this.move();
    if (atlas.z && atlas.points) this.surface.show({ z: atlas.z, delta: atlas.delta, features: atlas.features, held: true });
  }

  refresh() {
    this.look(this.looking);
  }

  move() {
    const { looking, element, atlas: { map, points } } = this;
    const { width, height } = map.size;
    const { current } = map.marks;
    const at = looking ? [looking.px, looking.py] : current && map.toScreen(...current);
    const seen = at && (looking || (at[0] >= 0 && at[1] >= 0 && at[0] <= width && at[1] <= height));
    element.hidden = !seen || !points;
    if (!seen || !points) return;
    const { offsetWidth, offsetHeight } = element;
    const x = at[0] + AWAY + offsetWidth > width ? at[0] - AWAY - offsetWidth : at[0] + AWAY;
    const y = clamp(at[1] - offsetHeight / 2, EDGE, Math.max(EDGE, height - offsetHeight - EDGE));
    element.style.transform = `translate(${Math.max(EDGE, Math.round(x))}px, ${Math.round(y)}px)`;
    const [mx, my] = looking ? [looking.x, looking.y] : current ?? [0, 0];
    const dot = looking && looking.index >= 0 ? ` \u00b7 dot ${whole(looking.index)}` : "";
    this.caption.textContent = points.labels[0] ? `${signed(mx)}, ${signed(my)}${dot}` : looking ? `nearest codes${dot}` : "your picture";
  }

  close() {
    this.surface.close();
  }
}
