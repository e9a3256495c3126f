/* Reduce dimensions: PCA, the code and UMAP of the same pictures, side by side; a lasso on one marks the same points on all. */

import { context } from "../live/canvas.js";
import { h } from "../live/dom.js";
import { lines } from "./chart.js";
import { picture } from "./compare.js";

const SIDE = 300;
const EDGE = 14;
const COLOURS = ["#14a098", "#e08a1e", "#8b6cf0", "#e5484d", "#4c8df6", "#7cb518", "#e0559b", "#18a5c9", "#b3743b", "#8a94a6"];
const HEADS = { trustworthiness: ["Trustworthy", "Neighbours on the map are neighbours in the data: 1 if all are"],
  continuity: ["Continuous", "Neighbours in the data stayed neighbours on the map: 1 if all did"],
  purity: ["Pure", "Share of a point's neighbours that are of its own class"] };

export class Reduce {
  title = "Reduce dimensions";
  wide = true;
  /** @type {any} */
  found = null;
  /** @type {HTMLCanvasElement[]} */
  canvases = [];
  /** @type {HTMLImageElement} */
  tiles;
  /** @type {Set<number>} */
  marked = new Set();

  /** @param {import("./lab.js").Lab} lab */
  constructor(lab) {
    this.lab = lab;
    this.maps = h("div", { class: "maps" });
    this.words = h("p", { class: "reading", "data-testid": "reduce-words" });
    this.shown = h("div", { class: "chosen", "aria-label": "Chosen pictures" });
    this.curve = h("div", {});
    this.element = h("section", { class: "bench" }, h("h3", {}, "What do a few numbers keep?"),
      h("p", {}, "The same pictures placed by PCA, by the code's widest axes and by UMAP. Draw around some points on one map: they light up on all."),
      h("div", { class: "row" }, h("button", { type: "button", class: "button primary", "data-testid": "reduce", onclick: () => this.measure(false) }, "Measure"),
        h("button", { type: "button", class: "button", onclick: () => this.measure(true) }, "With my pictures")),
      this.words, this.maps, this.shown, this.curve);
  }

  refresh() {}

  /** @param {boolean} own */
  async measure(own) {
    const question = this.lab.pictures.question();
    if (own && question.pictures.length < 12) return this.lab.say("For a map of your own, drop at least 12 pictures, or a zip.");
    const found = await this.lab.ask("dimensions", own ? question : {});
    if (!found) return;
    this.found = found;
    this.marked.clear();
    this.tiles = await picture(found.tiles.src);
    this.words.textContent = `${found.words}.${found.chance === null ? "" : ` By chance ${Math.round(100 * found.chance)}\u202f% of a point's neighbours would be of its class.`}`;
    this.canvases = found.maps.map((map) => this.#canvas(map));
    this.maps.replaceChildren(...found.maps.map((map, i) => h("figure", { "data-map": map.id }, this.canvases[i],
      h("figcaption", {}, h("b", {}, map.title), h("dl", {}, Object.entries(HEADS).filter(([key]) => map[key] !== undefined).flatMap(([key, [name, title]]) =>
        [h("dt", { title }, name), h("dd", { "data-figure": key }, map[key].toFixed(3))]))))));
    this.#draw();
    const points = found.sizes.map((size, i) => [size, 10 * Math.log10(255 ** 2 / Math.max(found.pca_error[i], 1e-9))]);
    const most = Math.max(...found.sizes, found.vae_size);
    this.curve.replaceChildren(h("h4", {}, "How near with so many numbers"),
      lines([{ id: "pca", title: "PCA", points }, { id: "vae", title: `VAE, ${found.vae_size} numbers`, points: [[found.vae_size, 10 * Math.log10(255 ** 2 / found.vae_error)]], dot: true }],
        { x: "numbers a picture", y: "PSNR, dB", ticks: [1, 2, 4, 8, 16, 32, 64, 128, 256].filter((n) => n < 2 * most), label: "PSNR of PCA by the number of its components, and of the VAE at its own" }),
      h("small", {}, "PCA was fitted to these very pictures, which flatters it; the VAE has seen others."));
    this.lab.keep("reduce", { ...found, maps: found.maps.map(({ places: _, ...map }) => map) });
  }

  #canvas(map) {
    const canvas = h("canvas", { width: SIDE * 2, height: SIDE * 2, role: "img", class: "map", "data-map": map.id,
      "aria-label": `${map.title}: ${map.places.length} points, trustworthiness ${map.trustworthiness.toFixed(3)}, continuity ${map.continuity.toFixed(3)}` });
    canvas.addEventListener("pointerdown", (event) => this.#lasso(event, canvas, map));
    return canvas;
  }

  /** Where a point lies, in units of SIDE. */
  #at([x, y]) {
    return [EDGE + x * (SIDE - 2 * EDGE), EDGE + (1 - y) * (SIDE - 2 * EDGE)];
  }

  /**
   * @param {number[][]} [lasso]
   * @param {HTMLCanvasElement} [on]
   */
  #draw(lasso, on) {
    const { maps, classes } = this.found;
    const ink = getComputedStyle(this.element).color;
    maps.forEach((map, k) => {
      const draw = context(this.canvases[k]);
      draw.setTransform(2, 0, 0, 2, 0, 0);
      draw.clearRect(0, 0, SIDE, SIDE);
      map.places.forEach((place, i) => {
        const [x, y] = this.#at(place);
        draw.globalAlpha = this.marked.size && !this.marked.has(i) ? 0.15 : 0.85;
        draw.fillStyle = classes ? COLOURS[classes[i] % COLOURS.length] : COLOURS[0];
        draw.beginPath();
        draw.arc(x, y, this.marked.has(i) ? 3.4 : 2.4, 0, 7);
        draw.fill();
      });
      draw.globalAlpha = 1;
      if (lasso && on === this.canvases[k]) {
        draw.strokeStyle = ink;
        draw.beginPath();
        lasso.forEach(([x, y], i) => (i ? draw.lineTo(x, y) : draw.moveTo(x, y)));
        draw.stroke();
      }
    });
  }

  #lasso(event, canvas, map) {
    const box = canvas.getBoundingClientRect();
    const place = (e) => [(e.clientX - box.left) / box.width * SIDE, (e.clientY - box.top) / box.height * SIDE];
    const path = [place(event)];
    const move = (e) => {
      path.push(place(e));
      this.#draw(path, canvas);
    };
    const end = () => {
      canvas.removeEventListener("pointermove", move);
      this.choose(path.length < 3 ? [] : map.places.flatMap((one, i) => (inside(this.#at(one), path) ? [i] : [])));
    };
    canvas.setPointerCapture(event.pointerId);
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerup", end, { once: true });
    canvas.addEventListener("pointercancel", end, { once: true });
  }

  /** @param {number[]} indices */
  choose(indices) {
    this.marked = new Set(indices);
    this.#draw();
    const { side, columns } = this.found.tiles;
    this.shown.replaceChildren(...(indices.length ? [h("p", {}, `${indices.length} chosen`)] : []), ...indices.slice(0, 40).map((i) => {
      const tile = h("canvas", { width: side, height: side });
      context(tile).drawImage(this.tiles, (i % columns) * side, Math.floor(i / columns) * side, side, side, 0, 0, side, side);
      return tile;
    }));
  }
}

/**
 * Whether a point lies within a closed path: an odd number of edges to its right.
 * @param {number[]} point
 * @param {number[][]} path
 */
export function inside([x, y], path) {
  let odd = false;
  for (let i = 0, j = path.length - 1; i < path.length; j = i++) {
    const [[ax, ay], [bx, by]] = [path[i], path[j]];
    if (ay > y !== by > y && x < (bx - ax) * (y - ay) / (by - ay) + ax) odd = !odd;
  }
  return odd;
}
