/* The strip of pictures that are tried: samples, and the visitor's own by choosing, dropping or pasting, also from a zip.

   new Pictures(lab)
     .element
     .load()          Promise: the samples
     .take(files)     Promise
     .all, .current   [{name, kind, src}], one of them; .tried: those that means are taken over */

import { h } from "../live/dom.js";
import { askJson, posted } from "../live/net.js";

const MAX_BYTES = 64 * 2 ** 20;
const MOST = 100;
const KINDS = { drawn: "drawn by the model", photo: "a photo", "held out": "held out of training", yours: "yours" };

export class Pictures {
  /** @type {{name: string, kind: string, src: string}[]} */
  all = [];
  /** @type {{name: string, kind: string, src: string} | null} */
  current = null;

  /** @param {import("./lab.js").Lab} lab */
  constructor(lab) {
    this.lab = lab;
    this.file = h("input", { type: "file", accept: "image/*,.heic,.heif,.avif,.dcm,.zip,.lsz", multiple: true, hidden: true, "data-testid": "lab-file",
      onchange: () => this.take([...this.file.files ?? []]) });
    this.list = h("div", { class: "thumbs", role: "group", "aria-label": "Pictures" });
    const choose = h("button", { type: "button", class: "button primary", onclick: () => this.file.click() }, "Your pictures");
    this.words = h("p", { class: "about" }, "Fetching samples \u2026");
    this.element = h("section", { class: "strip", "aria-label": "Pictures to try",
      ondragover: (event) => { event.preventDefault(); this.element.dataset.over = ""; },
      ondragleave: () => { delete this.element.dataset.over; },
      ondrop: (event) => { event.preventDefault(); delete this.element.dataset.over; this.take([...event.dataTransfer.files]); } },
      h("div", { class: "add" }, choose, h("small", {}, "or drop pictures, a zip, an .lsz file")), this.list, this.words, this.file);
    this.onpaste = (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length && this.element.isConnected) this.take(files);
    };
    document.addEventListener("paste", this.onpaste);
  }

  async load() {
    const found = await askJson("api/lab/samples", { model: this.lab.model.name }).catch((error) => this.lab.say(error.message));
    if (!found) return;
    this.all = [...found.pictures, ...this.all];
    this.choose(this.all[0]);
  }

  /** @param {File[]} files */
  async take(files) {
    /** @type {string[]} */
    const refused = [];
    let first = null;
    for (const file of files) {
      if (file.size > MAX_BYTES) {
        refused.push(`${file.name}: it has more than 64 MB; use a smaller file`);
        continue;
      }
      this.lab.say(`Reading ${file.name} \u2026`);
      try {
        const found = file.name.toLowerCase().endsWith(".lsz") ? await this.#unpacked(file)
          : await askJson("api/lab/pictures", { model: this.lab.model.name, name: file.name.slice(0, 80) }, posted(file));
        refused.push(...(found.refused ?? []));
        first ??= found.pictures[0];
        this.all = [...this.all.filter(({ kind }) => kind !== "drawn" || this.all.length < MOST), ...found.pictures].slice(-MOST);
      } catch (error) {
        refused.push(`${file.name}: ${/** @type {Error} */ (error).message}`);
      }
    }
    this.file.value = "";
    const more = refused.length > 2 ? `, and ${refused.length - 2} more` : "";
    this.lab.say(refused.length ? `Not taken: ${refused.slice(0, 2).join("; ")}${more}` : "");
    if (first) this.choose(first);
  }

  /** @param {File} file */
  async #unpacked(file) {
    const { result } = await askJson("api/lab/unpack", { model: this.lab.model.name }, posted(file));
    return { pictures: result.pictures.map((src, i) => ({ name: `${file.name}${i ? ` ${i + 1}` : ""}`, kind: "drawn", src })), refused: [] };
  }

  choose(picture) {
    this.current = picture;
    this.list.replaceChildren(...this.all.map((one) => h("button", { type: "button", class: "thumb", title: `${one.name}, ${KINDS[one.kind]}`,
      "aria-label": `${one.name}, ${KINDS[one.kind]}`, "aria-pressed": String(one === picture), onclick: () => this.choose(one) },
      h("img", { src: one.src, alt: "", width: 52, height: 52 }))));
    this.list.dataset.count = String(this.all.length);
    const drawn = picture.kind === "drawn" ? " The model drew it, so it redraws it better than a photo: try one of yours." : "";
    this.words.replaceChildren(h("b", {}, picture.name), `, ${KINDS[picture.kind]}.${drawn}`);
    this.lab.refresh();
  }

  /** Those that a mean is taken over: what the model drew itself would flatter it, and counts only where there is nothing else. */
  get tried() {
    const honest = this.all.filter(({ kind }) => kind !== "drawn");
    return honest.length ? honest : this.all;
  }

  /** What a question says of them. */
  question() {
    return { pictures: this.tried.map(({ src }) => src), names: this.tried.map(({ name }) => name) };
  }

  close() {
    document.removeEventListener("paste", this.onpaste);
  }
}
