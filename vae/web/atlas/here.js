/* The pane "Here": the picture in hand, what is known of its code, and the codes nearest to it.

   pane(atlas)                      its elements
   gallery(atlas, items, ondone)    tiles of codes, each takes its code on a click; items: [{index, words?}]; ondone: they are drawn */

import { blit } from "../live/canvas.js";
import { h } from "../live/dom.js";
import { whole } from "../live/numbers.js";

/** @typedef {import("./atlas.js").Atlas} Atlas */

/** @param {Atlas} atlas */
export function pane(atlas) {
  const { about } = atlas;
  const title = atlas.index !== null ? `Code ${whole(atlas.index)} of the data` : atlas.photo ? "Your photo" : "Your picture";
  const near = about?.neighbours ?? atlas.near;
  const sliders = h("button", { type: "button", class: "link", onclick: () => atlas.setTriggerValue("event", { name: "explore" }) }, "Open its sliders");
  return [
    atlas.stillBox,
    h("div", { class: "head" }, h("h3", {}, title), sliders),
    about && h("p", { class: "quiet" }, `${about.kl.toFixed(0)} nats; the ellipse is one and two \u03c3 of what the encoder believes${about.exact ? "" : ", estimated"}.`),
    about?.labels.length ? h("p", { class: "chips" }, about.labels.map((label) => h("span", {}, label))) : null,
    near?.length ? h("h4", {}, "Nearest by latent distance") : h("p", { class: "quiet" }, "Move over the map: the picture follows. Click to take it; click a dot to take that code."),
    near?.length ? gallery(atlas, near.map((one) => ({ index: one.index, words: one.distance.toFixed(1) }))) : null,
  ];
}

/**
 * @param {Atlas} atlas
 * @param {{index: number, words?: string}[]} items
 * @param {() => void} [ondone]
 */
export function gallery(atlas, items, ondone) {
  const canvases = items.map(() => h("canvas", { width: 48, height: 48 }));
  const tiles = items.map(({ index, words }, i) => h("button", {
    type: "button", class: "tile", "aria-label": `Code ${whole(index)}${words ? `, distance ${words}` : ""}`, "data-index": index,
    onclick: () => atlas.goTo(index) }, canvases[i], words ? h("small", {}, words) : null));
  atlas.server.sprite("thumbs", {}, new Uint32Array(items.map((item) => item.index))).then((sprites) => {
    canvases.forEach((canvas, i) => blit(canvas, sprites[i]));
    ondone?.();
  }, (error) => atlas.say(error.message));
  return h("div", { class: "gallery" }, tiles);
}
