/* Pictures from the visitor on the map: encoded on the server, kept nowhere, drawn as the model sees them.

   new Dropped(atlas)
     .input            the file chooser, to be placed by the owner
     .take(files)      Promise: encode them, put them on the map, take the last one
     .relocate()       Promise: the view has changed */

import { blit } from "../live/canvas.js";
import { h } from "../live/dom.js";
import { eyeMarks } from "../live/eyes.js";
import { decodeFloats, joined } from "../live/floats.js";
import { covariance } from "./places.js";

/** @typedef {import("./places.js").Floats} Floats */
/** @typedef {{name: string, z: Floats, logvar: Floats, delta: Floats | null, x: number, y: number, image?: HTMLCanvasElement}} Picture */
/** @typedef {{name: string, photo: string, size: number[], eyes: number[][]}} Unseen */

const MOST = 100;
const MAX_BYTES = 64 * 2 ** 20;
const TILE = 96;
const AT_ONCE = 64; // tiles of one sprite

export class Dropped {
  /** @type {Picture[]} */
  placed = [];

  /** @param {import("./atlas.js").Atlas} atlas */
  constructor(atlas) {
    this.atlas = atlas;
    this.input = h("input", { type: "file", accept: "image/*,.heic,.heif,.avif,.dcm,.zip", multiple: true, hidden: true, "data-testid": "drop-input",
      onchange: () => this.take([...this.input.files ?? []]) });
  }

  /** @param {File[]} files */
  async take(files) {
    const { atlas, placed } = this;
    atlas.element.removeAttribute("data-dropping");
    if (!files.length) return;
    const before = placed.length;
    /** @type {string[]} */
    const refused = [];
    /** @type {{file: File, unseen: Unseen}[]} photos whose eyes the visitor can mark */
    const unseen = [];
    for (const [i, file] of files.slice(0, MOST).entries()) {
      atlas.say(`Reading ${file.name} (${i + 1} of ${Math.min(files.length, MOST)}) \u2026`);
      if (file.size > MAX_BYTES) {
        refused.push(`${file.name}: it has more than 64 MB; use a smaller file`);
        continue;
      }
      const answer = await atlas.guard(() => atlas.server.json("place", { name: file.name.slice(0, 80) }, file));
      if (!answer) return;
      unseen.push(...answer.unseen.map((one) => ({ file, unseen: one })));
      if (!answer.unseen.length) refused.push(...answer.refused);
      await this.#place(answer);
    }
    this.input.value = "";
    for (const { file, unseen: one } of unseen) {
      const eyes = await this.#marked(one);
      const query = { name: one.name, eyes: eyes?.flat().map((v) => v.toFixed(2)).join() ?? "" };
      const answer = eyes && await atlas.guard(() => atlas.server.json("place", query, file));
      if (answer) await this.#place(answer);
      else refused.push(`${one.name}: no face was found in it, and its eyes were not marked`);
    }
    this.#tell(placed.length - before, refused);
    atlas.map.element.dataset.placed = String(placed.length);
    const last = placed.at(-1);
    if (!last || placed.length === before) return;
    await atlas.take(last.z, { delta: last.delta });
    if (atlas.points?.linear) {
      atlas.map.marks.ellipse = covariance(atlas.points, last.logvar);
      atlas.map.draw(false);
    }
    atlas.show("here");
  }

  /** @param {{placed: {name: string, mu: string, logvar: string, delta?: string}[]}} answer */
  async #place(answer) {
    for (const { name, mu, logvar, delta } of answer.placed) {
      this.placed.push({ name, z: decodeFloats(mu), logvar: decodeFloats(logvar), delta: delta ? decodeFloats(delta) : null, x: 0, y: 0 });
    }
    await this.relocate();
  }

  /**
   * Asks for the eyes of a photo in which no face was found -> their points, or null where it is left out.
   * @param {Unseen} unseen
   * @returns {Promise<number[][] | null>}
   */
  #marked({ name, photo, size: [width, height], eyes }) {
    let points = eyes;
    return new Promise((resolve) => {
      const end = (found) => {
        dialog.remove();
        resolve(found);
      };
      const use = h("button", { type: "button", class: "button primary", "data-testid": "use-eyes", onclick: () => end(points) }, "Put it on the map");
      const leave = h("button", { type: "button", class: "button", onclick: () => end(null) }, "Leave it out");
      const marks = eyeMarks({ region: [0, 0, width, height], eyes, of: name, onmove: (moved) => (points = moved) });
      const dialog = h("dialog", { class: "eyes", "aria-label": `Where are the eyes in ${name}?` },
        h("h3", {}, "Where are the eyes?"),
        h("p", { class: "quiet" }, `No face was found in ${name}. Put a mark on each eye, by hand or by the arrow keys.`),
        h("div", { class: "photo-fit", style: `aspect-ratio: ${width} / ${height}` }, h("img", { src: photo, alt: name }), marks),
        h("div", { class: "ways" }, use, leave));
      dialog.addEventListener("cancel", () => end(null));
      this.atlas.element.append(dialog);
      dialog.showModal();
    });
  }

  /**
   * @param {number} count
   * @param {string[]} refused
   */
  #tell(count, refused) {
    const more = refused.length > 2 ? `, and ${refused.length - 2} more` : "";
    const sorry = refused.length ? ` Not taken: ${refused.slice(0, 2).join("; ")}${more}.` : "";
    const one = count === 1;
    this.atlas.say(`${one ? "One picture is" : `${count} pictures are`} on the map, drawn as the model sees ${one ? "it" : "them"}; nothing was stored.${sorry}`);
  }

  async relocate() {
    const { atlas, placed } = this;
    if (!placed.length) return;
    const places = await atlas.guard(() => atlas.locate(placed.map((picture) => picture.z)));
    if (!places) return;
    placed.forEach((picture, i) => ([picture.x, picture.y] = places[i]));
    const fresh = placed.filter((picture) => !picture.image);
    for (let i = 0; i < fresh.length; i += AT_ONCE) {
      const part = fresh.slice(i, i + AT_ONCE);
      /** @type {import("../live/net.js").Query} */
      const offsets = part[0].delta ? { offsets: 1 } : {}; // the model reads them from every picture, or from none
      const records = joined(part.flatMap(({ z, delta }) => [z, delta ?? []]));
      const tiles = await atlas.guard(() => atlas.server.sprite("decoded", { tile: TILE, ...offsets }, records));
      part.forEach((picture, k) => {
        if (!tiles) return;
        picture.image = h("canvas", { width: TILE, height: TILE });
        blit(picture.image, tiles[k]);
      });
    }
    atlas.map.marks.placed = placed;
    atlas.map.draw(false);
  }
}
