/* The Learn component: nine steps, each a few words beside one live picture; addresses, glossary, 'done'.

   render(args), unmount(root): see component.js. data: {steps, words, symbols (vae/web/learn/steps.py), faces, uses}.
   The address holds ?step=NAME, what the step keeps (see Context.keep) and hide=words,formulas,code,steps,task, for
   what a teacher wants to hide. A step is a class in steps/: new Step(context) with .element and .close(). */

import { component } from "../live/component.js";
import { parse } from "../live/canvas.js";
import { h } from "../live/dom.js";
import { lessons } from "./lessons.js";
import { code, formulas, lighting } from "./formula.js";
import { recolour } from "./plane.js";
import { Squeeze } from "./steps/squeeze.js";
import { Holes } from "./steps/holes.js";
import { Cloud } from "./steps/cloud.js";
import { Trick } from "./steps/trick.js";
import { Wishes } from "./steps/wishes.js";
import { Train } from "./steps/train.js";
import { NewOnes } from "./steps/new.js";
import { Directions } from "./steps/directions.js";
import { Uses } from "./steps/uses.js";

/** @typedef {{tex: string, plain: string}} Formula */
/** @typedef {{id: string, title: string, text: string, task: string, formulas: Formula[], code: any[], symbols: string[]}} Step */
/** @typedef {{element: HTMLElement, close(): void}} Show */
/**
 * @typedef {object} Context what a step works with
 * @property {import("./lessons.js").Lessons} lessons
 * @property {any} data what Python sent
 * @property {URLSearchParams} asked what the address says
 * @property {(values: Record<string, string | number | null>) => void} keep puts the step's state into the address
 * @property {(sentence: string) => void} say what the picture shows now, for eye and ear
 * @property {() => void} done
 */

/** @type {Record<string, new (context: Context) => Show>} */
const SHOWS = {
  squeeze: Squeeze,
  holes: Holes,
  cloud: Cloud,
  trick: Trick,
  wishes: Wishes,
  train: Train,
  new: NewOnes,
  directions: Directions,
  uses: Uses,
};
lessons().catch(() => {}); // on their way while the page is built; who needs them hears of a failure
const KEEP_MS = 250; // browsers refuse addresses that change in every frame
const HIDDEN = ["steps", "words", "formulas", "code", "task"];

const STORE = "learn-done";

/** What was last open and what is done, over page switches; what is done lasts as long as the browser's tab. */
const memory = { step: "", done: new Set(remembered()) };

/** @returns {string[]} */
function remembered() {
  try {
    return (sessionStorage.getItem(STORE) ?? "").split(",").filter(Boolean);
  } catch {
    return []; // private windows may refuse
  }
}

class Learn {
  /** @type {Show | null} */
  show = null;
  /** @type {any} */
  data = null;
  #timer = 0;
  /** @type {Record<string, string>} */
  #kept = {};

  constructor() {
    this.nav = h("ol", { class: "steps" });
    this.words = h("section", { class: "words" });
    this.figure = h("section", { class: "figure", "aria-label": "Live picture" });
    this.print = h("div", { class: "handout", "aria-hidden": "true" });
    this.element = h(
      "div",
      { class: "live learn", "data-drawn": true },
      h("nav", { "aria-label": "Steps" }, this.nav),
      this.words,
      this.figure,
      this.print,
    );
    lighting(this.element);
    this.nav.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const buttons = [...this.nav.querySelectorAll("button")];
      const at = buttons.findIndex((button) => button.matches(":focus"));
      if (!by || at < 0) return;
      event.preventDefault();
      buttons[(at + by + buttons.length) % buttons.length].focus();
    });
  }

  /** @param {import("../live/component.js").Args} args */
  update({ data }) {
    const ground = parse(getComputedStyle(this.element).getPropertyValue("--ground"));
    this.element.toggleAttribute("data-dark", ground[0] + ground[1] + ground[2] < 384);
    recolour();
    if (this.data) return; // a rerun of the page changes nothing here
    this.data = data;
    for (const part of (new URLSearchParams(location.search).get("hide") ?? "").split(",")) {
      if (HIDDEN.includes(part)) this.element.setAttribute(`data-hide-${part}`, "");
    }
    this.print.replaceChildren(
      h("h2", {}, "Autoencoders and variational autoencoders"),
      ...data.steps.map((step, i) => this.#handout(step, i)),
    );
    const asked = new URLSearchParams(location.search).get("step") ?? memory.step;
    const known = data.steps.some((step) => step.id === asked);
    this.open(known ? asked : data.steps[0].id, false);
  }

  close() {
    this.show?.close();
    clearTimeout(this.#timer);
  }

  /**
   * @param {string} id
   * @param {boolean} [moved] the reader went there, so the address's state belongs to another step
   */
  async open(id, moved = true) {
    const { steps } = this.data;
    const at = steps.findIndex((step) => step.id === id);
    const step = steps[at];
    this.show?.close();
    this.show = null;
    memory.step = id;
    clearTimeout(this.#timer);
    const asked = moved ? new URLSearchParams() : new URLSearchParams(location.search);
    this.#kept = Object.fromEntries([...asked].filter(([key]) => !["step", "hide"].includes(key)));
    this.#address();
    this.#steps(id);
    this.sentence = h("p", { class: "sentence", role: "status", "aria-live": "polite" });
    this.task = h("p", { class: "task", role: "status" });
    this.figure.replaceChildren(h("div", { class: "stage" }));
    this.element.removeAttribute("data-ready");
    this.words.replaceChildren(...this.#text(step, at));
    this.#task(step);
    if (moved) this.words.querySelector("h2")?.focus();
    try {
      const context = {
        lessons: await lessons(),
        data: this.data,
        asked,
        keep: (values) => this.#keep(values),
        say: (sentence) => this.sentence && (this.sentence.textContent = sentence),
        done: () => this.#done(step),
      };
      if (memory.step !== id) return;
      this.show = new SHOWS[id](context);
      this.figure.replaceChildren(this.show.element, this.sentence);
      this.element.setAttribute("data-ready", id);
    } catch (error) {
      this.figure.replaceChildren(h("p", { class: "notice" }, error instanceof Error ? error.message : String(error)));
    }
  }

  /** @param {string} id */
  #steps(id) {
    this.nav.replaceChildren(
      ...this.data.steps.map((step, i) =>
        h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              "data-step": step.id,
              "aria-current": step.id === id ? "step" : null,
              tabindex: step.id === id ? 0 : -1,
              "data-done": memory.done.has(step.id),
              onclick: () => this.open(step.id),
            },
            h("span", { class: "nth" }, memory.done.has(step.id) ? "\u2713" : String(i + 1)),
            h("span", { class: "name" }, step.title),
            memory.done.has(step.id) ? h("span", { class: "hush" }, " (done)") : null,
          ),
        ),
      ),
    );
    const here = this.nav.querySelector("[aria-current]")?.parentElement;
    if (here) this.nav.scrollLeft = here.offsetLeft - this.nav.offsetLeft - 40;
  }

  /**
   * @param {Step} step
   * @param {number} at
   */
  #text(step, at) {
    const { steps } = this.data;
    this.meaning = h("p", { class: "meaning", role: "note", hidden: true });
    const go = (to, label) =>
      steps[to]
        ? h(
            "button",
            {
              type: "button",
              class: to > at ? "button plain primary" : "button plain",
              onclick: () => this.open(steps[to].id),
            },
            label,
          )
        : null;
    return [
      h("p", { class: "kicker" }, `Step ${at + 1} of ${steps.length}`),
      h("h2", { tabindex: -1 }, step.title),
      h("p", { class: "text" }, this.#marked(step.text)),
      this.meaning,
      this.task ?? "",
      step.formulas.length ? h("div", { class: "stated" }, formulas(step.formulas), this.#legend(step)) : null,
      step.code.length
        ? h(
            "details",
            { class: "source" },
            h("summary", {}, "The same in this project\u2019s code"),
            ...step.code.map(code),
          )
        : null,
      h("div", { class: "turn" }, go(at - 1, "\u2190 Back"), go(at + 1, `Next: ${steps[at + 1]?.title} \u2192`)),
    ].filter((node) => node !== null);
  }

  /** @param {Step} step */
  #legend(step) {
    return h(
      "ul",
      { class: "legend", "aria-label": "Symbols" },
      step.symbols.map((symbol) => {
        const [sign, means] = this.data.symbols[symbol];
        return h("li", { tabindex: 0, "data-symbol": symbol }, h("b", { class: `sym-${symbol}` }, sign), ` ${means}`);
      }),
    );
  }

  /* "An [autoencoder] ..." with a button for each word of the glossary. */
  /** @param {string} text */
  #marked(text) {
    return text.split(/\[([^\]]+)\]/).flatMap((part, i) => {
      if (i % 2 === 0) return this.#coloured(part);
      const [word, written = word] = part.split("|");
      const button = h(
        "button",
        { type: "button", class: "term", "aria-expanded": "false", onclick: () => this.#explain(word, button) },
        written,
      );
      return button;
    });
  }

  /* Symbols within the words have their colours too. */
  /** @param {string} text */
  #coloured(text) {
    const { symbols } = this.data;
    const signs = new Map(Object.entries(symbols).map(([name, [sign]]) => [sign, name]));
    return text
      .split(/(\u03bc|\u03c3|\u03b5|\bz\b)/)
      .map((part, i) => (i % 2 ? h("b", { class: `sym-${signs.get(part)}` }, part) : part));
  }

  /**
   * @param {string} word
   * @param {HTMLElement} button
   */
  #explain(word, button) {
    const { meaning } = this;
    if (!meaning) return;
    const open = button.getAttribute("aria-expanded") === "true";
    for (const other of this.words.querySelectorAll(".term")) other.setAttribute("aria-expanded", "false");
    meaning.hidden = open;
    if (open) return;
    button.setAttribute("aria-expanded", "true");
    meaning.replaceChildren(h("b", {}, word), `: ${this.data.words[word]}`);
  }

  /** @param {Step} step */
  #task(step) {
    const done = memory.done.has(step.id);
    this.task?.toggleAttribute("data-done", done);
    this.task?.replaceChildren(h("b", {}, done ? "\u2713 Done. " : "Do: "), step.task);
  }

  /** @param {Step} step */
  #done(step) {
    if (memory.done.has(step.id)) return;
    memory.done.add(step.id);
    try {
      sessionStorage.setItem(STORE, [...memory.done].join(","));
    } catch {
      // then it lasts as long as the page
    }
    this.#task(step);
    this.#steps(step.id);
  }

  /** @param {Record<string, string | number | null>} values */
  #keep(values) {
    for (const [key, value] of Object.entries(values)) {
      if (value === null) delete this.#kept[key];
      else this.#kept[key] = String(value);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#address(), KEEP_MS);
  }

  #address() {
    const url = new URL(location.href);
    const hide = url.searchParams.get("hide");
    url.search = new URLSearchParams({ step: memory.step, ...this.#kept, ...(hide && { hide }) }).toString();
    history.replaceState(history.state, "", url);
  }

  /* On paper: every step with its words, its formulas and what its words mean. */
  /**
   * @param {Step} step
   * @param {number} i
   */
  #handout(step, i) {
    const plain = step.text.replace(/\[(?:[^\]|]+\|)?([^\]]+)\]/g, "$1");
    const words = [...step.text.matchAll(/\[([^\]|]+)/g)].map(([, word]) => word);
    return h(
      "article",
      {},
      h("h3", {}, `${i + 1}. ${step.title}`),
      h("p", {}, plain),
      step.formulas.length ? formulas(step.formulas) : null,
      h("p", { class: "doing" }, h("b", {}, "Do: "), step.task),
      h(
        "dl",
        {},
        words.flatMap((word) => [h("dt", {}, word), h("dd", {}, this.data.words[word])]),
      ),
    );
  }
}

export const { render, unmount } = component(Learn);
