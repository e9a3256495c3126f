/* The Lab: pictures to try on top, two of them under one divider on the left, a bench of measurements on the right. */

import { component } from "../live/component.js";
import { download, h } from "../live/dom.js";
import { Scan } from "../live/players/scan.js";
import { Asking } from "./asking.js";
import { Compare } from "./compare.js";
import { Compress } from "./compress.js";
import { Generate } from "./generate.js";
import { Pictures } from "./pictures.js";
import { Reconstruct } from "./reconstruct.js";
import { Reduce } from "./reduce.js";
import { Repair } from "./repair.js";
import { Two } from "./two.js";
import { Sliders } from "./which.js";

/** @typedef {{title: string, element: HTMLElement, wide?: boolean, refresh(): Promise<void> | void, close?(): void}} Bench */

export class Lab {
  /** @type {Record<string, Bench>} */
  benches = {};
  open = "";
  /** @type {any} */
  data;
  /** @type {((name: string, value: any) => void) | undefined} */
  tell;
  /** @type {Map<string, any>} */
  #kept = new Map();

  /** @param {any} model */
  constructor(model) {
    this.model = model;
    this.element = h("div", { class: "live lab", "data-ready": "", "data-testid": "lab" });
    this.status = h("p", { class: "said", role: "status", hidden: true, "data-testid": "lab-status" });
    this.asking = new Asking(model, (sentence) => this.say(sentence));
    this.compare = new Compare(model.image_size);
    this.compare.shared = model.player === "scan";
    this.scan = this.compare.shared ? new Scan({ canvas: this.compare.view, engine: this.compare }) : null;
    this.pictures = new Pictures(this);
    this.tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Benches", onkeydown: (event) => this.#step(event) });
    const report = h("button", { type: "button", class: "button", "data-testid": "report", onclick: () => this.report() }, "Report");
    const bar = h("div", { class: "bar" }, this.tabs, report);
    this.place = h("div", { class: "place", role: "tabpanel" });
    this.desk = h("div", { class: "desk" }, h("div", { class: "two" }, this.compare.element, this.scan?.element), this.place);
    this.element.append(this.pictures.element, bar, this.status, this.asking.element, this.desk);
  }

  /** @param {import("../live/component.js").Args} args */
  update({ data, setStateValue }) {
    this.tell = setStateValue;
    if (this.data) return;
    this.data = data;
    this.benches = { reconstruct: new Reconstruct(this), compress: new Compress(this), repair: new Repair(this), reduce: new Reduce(this) };
    if (data.codes >= 20) this.benches.generate = new Generate(this);
    if (data.labelled) this.benches.sliders = new Sliders(this);
    if (data.others.length) this.benches.two = new Two(this);
    this.tabs.replaceChildren(
      ...Object.entries(this.benches).map(([id, { title }]) => h("button", { type: "button", role: "tab", id: `tab-${id}`, "data-bench": id, onclick: () => this.turn(id) }, title)));
    this.turn(data.bench in this.benches ? data.bench : "reconstruct", false);
    this.pictures.load();
  }

  /**
   * @param {string} id
   * @param {boolean} [told]
   */
  turn(id, told = true) {
    this.open = id;
    for (const tab of this.tabs.querySelectorAll("[role=tab]")) {
      const chosen = /** @type {HTMLElement} */ (tab).dataset.bench === id;
      tab.setAttribute("aria-selected", String(chosen));
      tab.setAttribute("tabindex", chosen ? "0" : "-1");
      const [box, all] = [tab, this.tabs].map((one) => one.getBoundingClientRect());
      if (chosen) this.tabs.scrollLeft += box.left + box.width / 2 - all.left - all.width / 2; // on a phone they do not all fit
    }
    const bench = this.benches[id];
    this.place.replaceChildren(bench.element);
    this.place.setAttribute("aria-labelledby", `tab-${id}`);
    this.desk.toggleAttribute("data-wide", Boolean(bench.wide));
    this.say("");
    if (told) this.tell?.("bench", id);
    this.refresh();
  }

  #step(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.target.getAttribute("role") !== "tab") return;
    const ids = Object.keys(this.benches);
    const next = ids[(ids.indexOf(this.open) + step + ids.length) % ids.length];
    this.turn(next);
    /** @type {HTMLElement} */ (this.tabs.querySelector(`[data-bench="${next}"]`)).focus();
  }

  refresh() {
    if (this.pictures.current) this.benches[this.open]?.refresh();
  }

  /**
   * A question to the server; while it is waited for the bench is marked as busy.
   * @param {string} bench
   * @param {object} [body]
   */
  async ask(bench, body) {
    const begun = performance.now();
    this.element.dataset.busy = bench;
    const found = await this.asking.ask(bench, body);
    if (this.element.dataset.busy === bench) {
      delete this.element.dataset.busy;
      this.element.dataset.ms = String(Math.round(performance.now() - begun));
    }
    return found;
  }

  /** The picture that the others are held against, as Compare shows it. */
  truth() {
    const { current } = this.pictures;
    return { title: current?.name ?? "", src: current?.src ?? "" };
  }

  question() {
    return { pictures: [this.truth().src] };
  }

  /** @param {string} sentence */
  say(sentence) {
    this.status.textContent = sentence;
    this.status.hidden = !sentence;
  }

  /** What a bench has found goes into the report's JSON, without the pictures. */
  keep(bench, found) {
    this.#kept.set(bench, JSON.parse(JSON.stringify(found, (key, value) => (key === "src" || key === "lsz" || key === "tiles" ? undefined : value))));
  }

  async report() {
    const { budget } = /** @type {any} */ (this.benches.compress);
    const found = await this.ask("study", { ...this.pictures.question(), budget });
    if (!found) return;
    const name = `lab-${this.model.name}`;
    download(new Blob([found.html], { type: "text/html" }), `${name}.html`);
    const shown = Object.fromEntries(this.#kept);
    download(new Blob([JSON.stringify({ ...found.figures, page: shown }, null, 2)], { type: "application/json" }), `${name}.json`);
    this.say("The report and its figures are saved.");
  }

  close() {
    this.asking.close();
    this.pictures.close();
    this.scan?.close();
    for (const bench of Object.values(this.benches)) bench.close?.();
  }
}

export const { render, unmount } = component(Lab);
