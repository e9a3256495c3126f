/* A game's character to take away: a PNG whose background is transparent. */

import { context } from "../canvas.js";
import { button, download, h } from "../dom.js";

/** @typedef {import("./player.js").Host} Host */

const NEAR = 26; // levels from the background's colour that still count as background, in each channel
const SIZES = [1, 4];

/**
 * The picture without what can be reached from its edge over the background's colour, which is the commonest on the edge.
 * @param {Uint8ClampedArray} pixels RGBA
 * @param {number} size
 */
export function cutOut(pixels, size) {
  const found = new Uint8ClampedArray(pixels);
  const edge = Array.from({ length: size }, (_, i) => [i, size * (size - 1) + i, size * i, size * i + size - 1]).flat();
  const middle = (channel) => edge.map((at) => pixels[4 * at + channel]).sort((a, b) => a - b)[edge.length >> 1];
  const ground = [0, 1, 2].map(middle);
  const open = (at) => found[4 * at + 3] && ground.every((value, channel) => Math.abs(pixels[4 * at + channel] - value) <= NEAR);
  const waiting = edge.filter(open);
  while (waiting.length) {
    const at = /** @type {number} */ (waiting.pop());
    if (!open(at)) continue;
    found.fill(0, 4 * at, 4 * at + 4);
    const x = at % size;
    if (x) waiting.push(at - 1);
    if (x < size - 1) waiting.push(at + 1);
    if (at >= size) waiting.push(at - size);
    if (at < size * (size - 1)) waiting.push(at + size);
  }
  return found;
}

export class Sprite {
  /** @type {import("../engine.js").Frame | null} */
  frame = null;

  /** @param {Host} host */
  constructor(host) {
    this.host = host;
    host.canvas.classList.add("pixels");
    this.element = h("div", { class: "player sprite", role: "group", "aria-label": "Sprite" },
      h("span", { class: "quiet" }, "Sprite, transparent around it"),
      h("div", { class: "tools" }, SIZES.map((scale) => button("save", `${scale * host.model.image_size} px`, () => this.#save(scale)))));
  }

  drawn(frame) {
    this.frame = frame;
  }

  #save(scale) {
    if (!this.frame) return;
    const { pixels, size } = this.frame;
    const small = h("canvas", { width: size, height: size });
    context(small).putImageData(new ImageData(cutOut(pixels, size), size, size), 0, 0);
    const large = h("canvas", { width: scale * size, height: scale * size });
    const on = context(large);
    on.imageSmoothingEnabled = false;
    on.drawImage(small, 0, 0, large.width, large.height);
    large.toBlob((blob) => blob && download(blob, `${this.host.model.name}-sprite.png`));
  }

  close() {}
}
