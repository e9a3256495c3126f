/* The cards of the people to blend: choose, drop, paste or take a photo, or a ready sample; pick the face, drag the eyes.

   new People(model, {send, say})       send(name, value): an event for Python, as vae/web/blend/live.py lists them
     .element
     .update(sources, samples)   sources: what Python sends of each; samples: [{index, label, picture}] */

import { context } from "../live/canvas.js";
import { h, icon, svg } from "../live/dom.js";
import { eyeMarks } from "../live/eyes.js";
import { toBase64 } from "../live/floats.js";

export const LETTERS = ["A", "B", "C", "D"];
const MAX_BYTES = 20 * 2 ** 20;
const MAX_SOURCES = 4;

const text = (label, onclick, properties = {}) => h("button", { type: "button", class: "button", onclick, ...properties }, label);

export class People {
  /** @type {any[]} */
  #sources = [];
  /** @type {{index: number, label: string, picture: string}[]} */
  samples = [];
  /** @type {HTMLElement[]} */
  #shown = [];
  /** @type {number | null} */
  #pasteSlot = null;
  slot = 0; // what a chosen file is for

  /**
   * @param {{face: boolean}} model
   * @param {{send: (name: string, value?: object) => void, say: (sentence: string) => void}} owner
   */
  constructor({ face }, { send, say }) {
    this.person = face ? "person" : "picture";
    this.photo = face ? "photo" : "picture";
    this.looking = face ? "Looking for the face\u2026" : "Reading the picture\u2026";
    this.send = send;
    this.say = say;
    this.file = h("input", { type: "file", accept: "image/*,.heic,.heif,.avif,.npz", hidden: true, "data-testid": "blend-file",
      onchange: () => { this.#read(this.file.files?.[0], this.slot); this.file.value = ""; } });
    this.cards = h("div", { class: "cards" });
    this.element = h("section", { class: "people", "aria-label": face ? "People" : "Pictures" }, this.cards, this.file);
    this.onpaste = (event) => this.#paste(event);
    document.addEventListener("paste", this.onpaste);
  }

  update(sources, samples) {
    this.samples = samples;
    this.#sources = sources;
    const cards = sources.map((source, i) => this.#card(source, i));
    if (sources.length < 2) while (cards.length < 2) cards.push(this.#empty(cards.length));
    else if (sources.length < MAX_SOURCES) cards.push(this.#more(sources.length));
    this.#shown = cards;
    this.cards.replaceChildren(...cards);
    this.cards.dataset.count = sources.length;
  }

  /**
   * Reading a file: checked here to save the way, and again by Python.
   * @param {File | undefined} file
   * @param {number} slot
   */
  async #read(file, slot) {
    if (!file) return;
    if (file.size > MAX_BYTES) {
      this.say(`${file.name} has ${(file.size / 2 ** 20).toFixed(1)} MB; use a picture of at most 20 MB.`);
      return;
    }
    this.#busy(slot);
    const data = await file.arrayBuffer().catch(() => null);
    if (data === null) this.say(`${file.name} could not be read; choose it again.`);
    else this.send("photo", { slot, file: file.name || "Photo", data: toBase64(new Uint8Array(data)) });
  }

  #busy(slot) {
    const card = this.#shown[slot];
    if (card) card.dataset.busy = "";
    this.say(this.looking);
  }

  /** @param {string} letter */
  #title(letter) {
    return `${this.person[0].toUpperCase()}${this.person.slice(1)} ${letter}`;
  }

  #choose(slot) {
    this.slot = slot;
    this.file.click();
  }

  #paste(event) {
    const file = [...(event.clipboardData?.files ?? [])].find((f) => f.type.startsWith("image/"));
    if (!file || !this.element.isConnected) return;
    event.preventDefault();
    const example = this.#sources.findIndex((source) => source.example);
    const free = example < 0 ? Math.min(this.#sources.length, MAX_SOURCES - 1) : example;
    this.#read(file, this.#pasteSlot ?? free);
  }

  #droppable(card, slot) {
    for (const name of ["dragenter", "dragover"]) {
      card.addEventListener(name, (event) => {
        if (![...event.dataTransfer.types].includes("Files")) return;
        event.preventDefault();
        card.dataset.over = "";
      });
    }
    card.addEventListener("dragleave", (event) => !card.contains(event.relatedTarget) && delete card.dataset.over);
    card.addEventListener("drop", (event) => {
      event.preventDefault();
      delete card.dataset.over;
      this.#read(event.dataTransfer.files[0], slot);
    });
    // A picture that is pasted goes to the card under the hand.
    card.addEventListener("pointerenter", () => (this.#pasteSlot = slot));
    card.addEventListener("pointerleave", () => (this.#pasteSlot = null));
    return card;
  }

  #samples(slot) {
    return h("div", { class: "samples", role: "group", "aria-label": "Ready samples" }, ...this.samples.map(({ index, label, picture }) =>
      h("button", { type: "button", class: "sample", title: label, "aria-label": label, "data-sample": index,
        onclick: () => { this.#busy(slot); this.send("sample", { slot, index }); } },
      h("img", { src: picture, alt: "", width: 48, height: 48 }))));
  }

  #sourceButtons(slot) {
    return h("div", { class: "ways" },
      text(`Choose a ${this.photo}`, () => this.#choose(slot), { class: "button primary", "data-testid": `choose-${slot}` }),
      text("Camera", () => this.#camera(slot)));
  }

  #empty(slot) {
    return this.#droppable(h("article", { class: "card vacant", "data-slot": slot, "aria-label": this.#title(LETTERS[slot]) },
      h("header", {}, h("b", { class: "letter" }, LETTERS[slot]), h("span", { class: "name" }, `${slot ? "Second" : "First"} ${this.person}`)),
      h("div", { class: "drop" }, h("p", {}, `Drop a ${this.photo} here, paste one, or take one.`), this.#sourceButtons(slot)),
      h("p", { class: "or" }, "Or start with a sample"), this.#samples(slot)), slot);
  }

  #more(slot) {
    const box = h("details", { class: "card extra", "data-slot": slot },
      h("summary", {}, h("b", { class: "letter" }, LETTERS[slot]), h("span", {}, `Add a ${slot === 2 ? "third" : "fourth"} ${this.person}`)),
      h("div", { class: "drop" }, h("p", {}, `Drop or paste a ${this.photo}, or take one.`), this.#sourceButtons(slot)), this.#samples(slot));
    return this.#droppable(box, slot);
  }

  #card(source, slot) {
    const { name, crop, recon, remark, kind, faces = [], face, figures } = source;
    const ways = this.#sourceButtons(slot);
    const drawn = kind !== "photo"; // the way to one's own photo lies open
    const change = h("details", { class: "change" }, h("summary", {}, "Change"), drawn ? null : ways, this.#samples(slot));
    const remove = h("button", { type: "button", class: "tool", title: "Take away", "aria-label": `Take ${LETTERS[slot]} away`,
      onclick: () => this.send("remove", { slot }) }, icon("close"));
    const pair = h("div", { class: "pair" },
      h("figure", {}, h("img", { src: crop, alt: `What the model sees of ${name}`, width: 128, height: 128 }),
        h("figcaption", {}, drawn ? "Drawn by the model" : "Photo")),
      drawn ? null : h("figure", {}, h("img", { src: recon, class: "recon", alt: `What the model makes of ${name}`, width: 128, height: 128 }),
        h("figcaption", {}, "Model")));
    const own = drawn ? h("div", { class: "drop own" }, h("p", {}, `Your own ${this.photo} instead? Drop or paste it here, or take one.`), ways) : null;
    const choice = faces.length > 1
      ? h("label", { class: "face-choice" }, h("span", {}, `${faces.length} faces`),
        h("select", { "aria-label": "Which face", onchange: (event) => { this.#busy(slot); this.send("face", { slot, index: Number(event.target.value) }); } },
          ...faces.map((_, i) => h("option", { value: i, selected: i === face }, `Face ${i + 1}`)), face < 0 ? h("option", { selected: true, value: -1 }, "By hand") : null))
      : null;
    const card = h("article", { class: `card ${source.photo ? "with-photo" : ""}`, "data-slot": slot, "aria-label": this.#title(LETTERS[slot]) },
      h("header", {}, h("b", { class: "letter" }, LETTERS[slot]), h("span", { class: "name", title: name }, name), change, remove),
      h("div", { class: "card-body" }, source.photo ? this.#photo(source, slot) : null, pair, own),
      choice, figures ? h("p", { class: "card-figures" }, figures) : null, remark ? h("p", { class: "remark" }, remark) : null);
    return this.#droppable(card, slot);
  }

  /* The photo with its faces and the two eye marks. */
  #photo({ photo, region: [left, top, width, height], faces, eyes }, slot) {
    const overlay = eyeMarks({ region: [left, top, width, height], eyes, of: LETTERS[slot], onsettle: (points) => this.send("eyes", { slot, eyes: points }) });
    const unit = Math.max(width, height) / 100;
    overlay.prepend(...faces.map(({ box }, i) => {
      const frame = svg("rect", { x: box[0], y: box[1], width: box[2] - box[0], height: box[3] - box[1], rx: 2 * unit, class: "face", "stroke-width": 0.7 * unit });
      frame.addEventListener("click", () => faces.length > 1 && (this.#busy(slot), this.send("face", { slot, index: i })));
      return frame;
    }));
    return h("div", { class: "photo-frame" },
      h("div", { class: "photo-fit", style: `aspect-ratio: ${width} / ${height}` }, h("img", { src: photo, alt: "Your photo" }), overlay));
  }

  /* The camera, in place of the card. */
  async #camera(slot) {
    if (!window.isSecureContext) {
      this.say("Browsers open the camera over https only: open the app's https address, or choose a photo.");
      return;
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
    } catch {
      this.say("No camera could be opened; allow it in the browser, or choose a photo.");
      return;
    }
    const video = h("video", { autoplay: true, playsinline: true, muted: true });
    video.srcObject = stream;
    const dialog = h("dialog", { class: "camera" }, video);
    const end = () => {
      stream.getTracks().forEach((track) => track.stop());
      dialog.remove();
    };
    const shoot = () => {
      const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
      context(canvas).drawImage(video, 0, 0);
      end();
      canvas.toBlob((blob) => blob && this.#read(new File([blob], "Camera", { type: blob.type }), slot), "image/jpeg", 0.95);
    };
    dialog.append(h("div", { class: "ways" }, text("Take the photo", shoot, { class: "button primary" }), text("Cancel", end)));
    dialog.addEventListener("cancel", end);
    this.element.append(dialog);
    dialog.showModal();
  }

  close() {
    document.removeEventListener("paste", this.onpaste);
  }
}
