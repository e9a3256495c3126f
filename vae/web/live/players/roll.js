/* A piano roll that is heard: four bars in a loop, which follow the picture while a slider moves. Notes and sound can be
   taken away. Nothing sounds before Play is pressed. */

import { button, download, h, radios } from "../dom.js";
import { midi, wav } from "./files.js";
import { SIZE, doubtful, notesOf, spell } from "./notes.js";
import { Sound, rendered } from "./sound.js";

/** @typedef {import("./player.js").Host} Host */

/** @typedef {{label: string, state: import("../engine.js").State}} Other */

const BARS = 4;
const HERE = "here"; // the picture on the canvas, among those that can be heard
const COUNT = new Intl.PluralRules("en");
const counted = (n, one, many) => `${n} ${COUNT.select(n) === "one" ? one : many}`;

export class Roll {
  /** @type {import("./notes.js").Note[]} */
  notes = [];
  /** @type {Other[]} */
  #others = [];
  #heard = HERE;
  #key = "";

  /** @param {Host} host */
  constructor(host) {
    this.host = host;
    this.title = host.canvas.getAttribute("aria-label") ?? "";
    this.sound = new Sound((column) => this.#at(column));
    host.canvas.classList.add("pixels");
    this.head = h("i", { class: "playhead", hidden: true });
    host.stage.append(this.head);
    this.play = button("play", "Play", () => this.toggle(), { class: "button primary", "data-testid": "roll-play", title: "The four bars, again and again" });
    this.mute = button("mute", "Mute", () => this.#muted(), { class: "button bare", "aria-pressed": "false", title: "Mute" });
    const range = (label, properties, act) => {
      const output = h("output", {});
      const input = h("input", { type: "range", ...properties, oninput: () => output.replaceChildren(act(Number(input.value))) });
      output.append(act(Number(properties.value)));
      return h("label", { class: "dial" }, h("span", {}, label), input, output);
    };
    this.words = h("p", { class: "figures", "data-testid": "roll-words" });
    this.bar = h("span", { class: "bar" });
    this.choices = h("div", { class: "tools", hidden: true });
    this.element = h("div", { class: "player roll", role: "group", "aria-label": "Sound" },
      h("div", { class: "tools" }, this.play, this.mute,
        range("Volume", { min: 0, max: 100, value: 70 }, (value) => ((this.sound.volume = value / 100), `${value}\u202f%`)),
        range("Tempo", { min: 40, max: 160, step: 2, value: 84 }, (value) => ((this.sound.tempo = value), String(value)))),
      this.choices, h("div", { class: "line" }, this.words, this.bar),
      h("div", { class: "tools" },
        button("save", "MIDI", () => this.#save("mid", "audio/midi", midi(this.sound.notes, this.sound.tempo)), { title: "The notes as a file for any notation program" }),
        button("save", "WAV", () => this.#wave(), { title: "The four bars as sound" })));
  }

  /** @param {import("../engine.js").Frame} frame */
  drawn({ pixels, size }) {
    if (size !== SIZE) return;
    this.notes = notesOf(pixels);
    if (this.#heard === HERE) this.sound.notes = this.notes;
    const unsure = doubtful(pixels);
    const found = this.notes.length ? counted(this.notes.length, "note", "notes") : "No note is brighter than half, so nothing sounds";
    this.words.textContent = `${found}, ${counted(unsure, "beginning", "beginnings")} in doubt`;
    this.words.title = "In doubt: the model draws a beginning that is neither dark nor bright. What is brighter than half is played.";
    const pitches = this.notes.map((note) => note.pitch);
    const span = pitches.length ? ` from ${spell(Math.min(...pitches))} to ${spell(Math.max(...pitches))}` : "";
    this.host.canvas.setAttribute("aria-label", `${this.title}: four bars, ${counted(pitches.length, "note", "notes")}${span}`);
  }

  toggle() {
    const { sound } = this;
    if (sound.playing) sound.stop();
    else sound.start();
    this.head.hidden = !sound.playing;
    this.bar.textContent = "";
    this.play.replaceWith((this.play = button(sound.playing ? "stop" : "play", sound.playing ? "Stop" : "Play", () => this.toggle(), {
      class: "button primary", "data-testid": "roll-play" })));
    this.play.focus();
  }

  /** What can be heard beside the picture on the canvas, such as a blend's parents. @param {Other[]} others */
  others(others) {
    this.#others = others;
    const key = others.map(({ label }) => label).join();
    if (key !== this.#key) {
      this.#key = key;
      this.#heard = HERE;
      const row = radios("heard", "What is heard", [[HERE, "The blend"], ...others.map(({ label }) => [label, label])], (label) => this.#hear(label), { chosen: HERE });
      this.choices.replaceChildren(h("span", { class: "quiet" }, "Hear"), row.element);
      this.choices.hidden = others.length < 2;
    }
    this.#hear(this.#heard);
  }

  async #hear(label) {
    this.#heard = label;
    const other = this.#others.find((one) => one.label === label);
    const pixels = other ? (await this.host.engine.decode(other.state)).pixels : null;
    if (this.#heard === label) this.sound.notes = pixels ? notesOf(pixels) : this.notes;
  }

  #muted() {
    this.sound.muted = !this.sound.muted;
    this.mute.setAttribute("aria-pressed", String(this.sound.muted));
  }

  #at(column) {
    this.head.style.left = `${(100 * column) / SIZE}%`;
    this.bar.textContent = `bar ${1 + Math.floor((BARS * column) / SIZE)} of ${BARS}`;
  }

  #save(ending, type, bytes) {
    download(new Blob([bytes], { type }), `${this.host.model.name}.${ending}`);
  }

  async #wave() {
    const { samples, rate } = await rendered(this.sound.notes, this.sound.tempo);
    this.#save("wav", "audio/wav", wav(samples, rate));
  }

  close() {
    this.sound.close();
    this.head.remove();
  }
}
