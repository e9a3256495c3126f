/* Figures of methods: as words, and as a table whose rows are chosen.

   written(key, value)            "20.53", "0.580", "1,024"; an en dash for what is not there
   phrase(entry)                  "20.53 dB, SSIM 0.580, perceptual 0.367"
   new Figures(name, onpick)      a table of entries [{id, title, note, psnr, ssim, perceptual, bytes, src}]
     .element  .show(entries, chosen)  .pick(id) */

import { h } from "../live/dom.js";
import { whole } from "../live/numbers.js";

/** @type {Record<string, [string, string, number]>} what a figure is called, its title, the sign of what is better */
export const HEADS = {
  bytes: ["Bytes", "The whole file, with its headers", 0],
  psnr: ["PSNR", "Peak signal-to-noise ratio in dB: higher is nearer, pixel by pixel", 1],
  ssim: ["SSIM", "Structural similarity, 0 to 1: higher is nearer, patch by patch", 1],
  perceptual: ["Perceptual", "Distance as a network that has seen many photos finds it: lower is nearer", -1],
};
const DIGITS = { psnr: 2, ssim: 3, perceptual: 3 };

/**
 * @param {string} key
 * @param {number | null | undefined} value
 */
export function written(key, value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "\u2013";
  return key === "bytes" ? whole(value) : value.toFixed(DIGITS[key] ?? 2);
}

/** @param {Record<string, any>} entry */
export function phrase({ psnr, ssim, perceptual, bytes }) {
  const words = [];
  if (bytes) words.push(`${whole(bytes)} bytes`);
  if (psnr !== undefined) words.push(`${written("psnr", psnr)}\u202fdB`);
  if (ssim !== undefined) words.push(`SSIM ${written("ssim", ssim)}`);
  if (perceptual !== undefined) words.push(`perceptual ${written("perceptual", perceptual)}`);
  return words.join(", ");
}

export class Figures {
  /** @type {any[]} */
  entries = [];

  /**
   * @param {string} name
   * @param {(entry: any) => void} onpick
   */
  constructor(name, onpick) {
    this.onpick = onpick;
    this.element = h("table", { class: "figures", "data-testid": `figures-${name}` });
  }

  /**
   * @param {any[]} entries
   * @param {string} [chosen]
   */
  show(entries, chosen) {
    this.entries = entries;
    const keys = Object.keys(HEADS).filter((key) => entries.some((entry) => entry[key] !== null && entry[key] !== undefined));
    const best = Object.fromEntries(keys.filter((key) => HEADS[key][2]).map((key) => {
      const able = entries.filter((entry) => entry[key] !== undefined && !["damaged", "painted"].includes(entry.id));
      const most = Math.max(...able.map((entry) => HEADS[key][2] * entry[key]));
      return [key, able.length > 1 ? able.filter((entry) => HEADS[key][2] * entry[key] === most).map(({ id }) => id) : []];
    }));
    const head = h("tr", {}, h("th", { scope: "col" }, "Method"), keys.map((key) => h("th", { scope: "col", title: HEADS[key][1] }, HEADS[key][0])));
    const rows = entries.map((entry) => {
      const cells = keys.map((key) => h("td", { class: best[key]?.includes(entry.id) ? "best" : null, "data-figure": key }, written(key, entry[key])));
      const name = h("button", { type: "button", class: "method", disabled: !entry.src, "data-method": entry.id, onclick: () => this.pick(entry.id) },
        entry.src ? h("img", { src: entry.src, alt: "", width: 36, height: 36 }) : h("i", { class: "none" }),
        h("span", {}, h("b", {}, entry.title), entry.note ? h("small", {}, entry.note) : null));
      return h("tr", { "data-method": entry.id }, h("th", { scope: "row" }, name), cells);
    });
    this.element.replaceChildren(h("thead", {}, head), h("tbody", {}, rows));
    const able = entries.filter((entry) => entry.src);
    const first = [chosen, this.chosen, "vae"].map((id) => able.find((entry) => entry.id === id)).find(Boolean) ?? able[0];
    if (first) this.pick(first.id);
  }

  /** @param {string} id */
  pick(id) {
    this.chosen = id;
    for (const button of this.element.querySelectorAll("button.method")) {
      button.setAttribute("aria-pressed", String(/** @type {HTMLElement} */ (button).dataset.method === id));
    }
    const entry = this.entries.find((one) => one.id === id);
    if (entry) this.onpick(entry);
  }
}
