/* The slider panel: one slider per axis of a basis, between two pictures of what its ends do.

   new SliderPanel({onmove, oncommit, onreset, onlocks, ongrab, oncancel})
     .element                       to be placed by the owner
     .open(geometry, model)         build the tabs; axes appear in the order of the basis
     .show(z, {moving, axis})       set the read-outs; while `moving` only rows in view are touched
     .mark(mu, sigma)               a band of +- one sigma around the photo's own value on every track, or none (null)
     .pictures()                    fetch the traversal sprite of the open basis
     .locks                         [{basis, row}], held by the owner's moves
     .axis                          "<basis>:<id>" last touched
   Handlers: onmove(basis, row, value) at each input, oncommit(basis, row) at release, onreset(basis, row),
   onlocks() after a change, ongrab() and oncancel() around a touch that turns out to be a scroll.
   Sliders are plain range inputs with data-axis="<basis>:<id>": arrows step 0.1 sigma, with shift 0.5, page keys 1. */

import { h, icon } from "./dom.js";
import { ask } from "./net.js";
import { clamp, signed, spoken } from "./numbers.js";

/** @typedef {import("./codes.js").Basis} Basis */
/** @typedef {import("./codes.js").Lock} Lock */
/**
 * @typedef {object} Handlers
 * @property {(basis: Basis, row: number, value: number) => void} onmove
 * @property {(basis: Basis, row: number) => void} oncommit
 * @property {(basis: Basis, row: number) => void} onreset
 * @property {(count: number) => void} onlocks
 * @property {() => void} ongrab
 * @property {() => void} oncancel
 */

const RANGE = 4;
const TOP = 12;
const PER_GROUP = 2; // of axes in groups, the best of each group are in view
const SHOW_ALL_BELOW = 30; // a short list needs no "show all"
const ORDER = ["named", "principal", "raw"];
const SHORT = { named: "Named", principal: "Principal", raw: "Raw" };
const KEYS = { ArrowRight: 0.1, ArrowUp: 0.1, ArrowLeft: -0.1, ArrowDown: -0.1, PageUp: 1, PageDown: -1 };

// The sliders beside the one in the hand follow at this pace: painting all of them in every frame costs the picture
// more frames than the eye gains.
const OTHERS_MS = 100;

let serial = 0;

/** The row of each element. @type {WeakMap<Element, Row>} */
const rowOfElement = new WeakMap();

class Row {
  visible = true;
  #text = "";
  #value = 0;

  /**
   * @param {SliderPanel} panel
   * @param {Basis} basis
   * @param {number} row
   */
  constructor(panel, basis, row) {
    const axis = basis.axes[row];
    this.basis = basis;
    this.row = row;
    this.axis = axis;
    this.key = `${basis.name}:${axis.id}`;
    this.reach = axis.reach ?? RANGE; // a curve has ends
    const id = `axis-${++serial}`;
    this.input = h("input", {
      type: "range", id, min: -this.reach, max: this.reach, step: 0.01, "data-axis": this.key,
      "aria-label": axis.label, "aria-valuetext": `${axis.label}, zero sigma`,
    });
    this.output = h("output", { for: id });
    this.fill = h("i", { class: "fill" });
    this.band = h("i", { class: "band", hidden: true });
    this.lock = h("button", {
      type: "button", class: "tool", "aria-pressed": "false", "aria-label": `Lock ${axis.label}`,
      title: "Lock: other sliders leave this value alone", onclick: () => panel.toggleLock(this),
    }, icon("unlock"));
    this.reset = h("button", {
      type: "button", class: "tool", "aria-label": `Reset ${axis.label}`,
      title: "Back to where this picture began (or double-click the slider)", onclick: () => panel.handlers.onreset(basis, row),
    }, icon("reset"));
    const caption = h("div", { class: "caption" }, h("label", { for: id, title: axis.detail }, axis.label), this.output);
    const track = h("div", { class: "track" }, h("div", { class: "rail" }, h("i", { class: "ticks" }), this.band, this.fill), this.input);
    const [left, right] = ["low", "high"].map((side) => h("span", { class: `end ${side}`, "aria-hidden": "true" }));
    this.element = h("div", { class: "row" }, left, h("div", { class: "body" }, caption, track), right, this.lock, this.reset);
    this.element.style.setProperty("--row", String(row));
    rowOfElement.set(this.element, this);
  }

  /* Write the read-out; the words for screen readers only at rest, they cost too much in every frame. */
  set(value, moving, own) {
    this.#value = value;
    const text = signed(value);
    if (text !== this.#text) {
      this.#text = this.output.textContent = text;
      const shown = clamp(value, -this.reach, this.reach);
      this.fill.style.transform = `scaleX(${(shown / this.reach).toFixed(4)})`;
      if (!own) this.input.value = String(shown);
    }
    if (!moving || own) this.input.setAttribute("aria-valuetext", `${this.axis.label}, ${spoken(value)}`);
  }

  get value() {
    return this.#value;
  }

  /** @param {number | null} value */
  mark(value, sigma = 0) {
    this.band.hidden = value === null;
    if (value === null) return;
    /** @param {number} v */
    const at = (v) => 50 + (50 * clamp(v, -this.reach, this.reach)) / this.reach;
    const low = at(value - sigma);
    this.band.style.left = `${low}%`;
    this.band.style.width = `${Math.max(1, at(value + sigma) - low)}%`;
    this.band.title = `The photo: ${signed(value)} \u00b1 ${sigma.toFixed(2)} sigma`;
  }
}

export class SliderPanel {
  /** @type {Lock[]} */
  locks = [];
  /** @type {string | null} */
  axis = null;
  /** @type {Basis} undefined before .open() */
  basis;
  /** @type {import("./codes.js").Geometry} */
  geometry;
  /** @type {import("./engine.js").Model} */
  model;
  ready = false; // whether the owner lets pictures be fetched
  /** @type {Map<string, Row[]>} by the name of the basis */
  #rows = new Map();
  /** @type {Map<string, HTMLButtonElement>} */
  #tabs = new Map();
  #all = new Set(); // bases shown in full
  #sprites = new Set();
  /** @type {Float32Array | null} */
  #z = null;
  /** @type {{mu: Float32Array, sigma: Float32Array} | null} */
  #band = null;
  #othersAt = 0;

  /** @param {Handlers} handlers */
  constructor(handlers) {
    this.handlers = handlers;
    this.tabs = h("div", { class: "segments tabs", role: "tablist", "aria-label": "Which axes" });
    this.search = h("input", {
      type: "search", class: "search", placeholder: "Find an axis", "aria-label": "Find an axis", oninput: () => this.#layout(),
    });
    this.unlock = h("button", { type: "button", class: "link", hidden: true, onclick: () => this.unlockAll() });
    this.list = h("div", { class: "list", role: "tabpanel" });
    this.detail = h("p", { class: "detail" });
    this.element = h(
      "section", { class: "panel", "aria-label": "Sliders" },
      h("div", { class: "panel-head" }, this.tabs, h("label", { class: "find" }, icon("search"), this.search)),
      this.list,
      h("div", { class: "panel-foot" }, this.detail, this.unlock),
    );
    this.observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const row = rowOfElement.get(entry.target);
        if (!row) continue;
        row.visible = entry.isIntersecting;
        if (row.visible && this.#z) this.#refresh(row);
      }
    }, { rootMargin: "80px" });
    this.#listen();
  }

  #listen() {
    /** @param {Event} event */
    const rowOf = (event) => {
      const element = event.target instanceof Element ? event.target.closest(".row") : null;
      return element ? rowOfElement.get(element) : undefined;
    };
    /** @param {Event} event */
    const onSlider = (event) => event.target instanceof Element && event.target.matches("input[type=range]");
    const { list, handlers } = this;
    list.addEventListener("input", (event) => {
      const row = rowOf(event);
      if (row) this.#moveTo(row, Number(row.input.value));
    });
    list.addEventListener("change", (event) => {
      const row = rowOf(event);
      if (row) handlers.oncommit(row.basis, row.row);
    });
    list.addEventListener("keydown", (event) => {
      const row = rowOf(event);
      if (!row || event.target !== row.input || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = KEYS[event.key];
      const end = { Home: -row.reach, End: row.reach }[event.key];
      if (step === undefined && end === undefined) return;
      event.preventDefault();
      const value = end ?? row.value + step * (event.shiftKey && Math.abs(step) < 1 ? 5 : 1);
      row.input.value = String(clamp(value, -row.reach, row.reach));
      this.#moveTo(row, Number(row.input.value));
    });
    list.addEventListener("keyup", (event) => {
      const row = rowOf(event);
      if (row && event.target === row.input && (event.key in KEYS || event.key === "Home" || event.key === "End")) {
        handlers.oncommit(row.basis, row.row);
      }
    });
    list.addEventListener("dblclick", (event) => {
      const row = rowOf(event);
      if (row && event.target === row.input && !row.input.disabled) handlers.onreset(row.basis, row.row);
    });
    list.addEventListener("pointerdown", (event) => onSlider(event) && handlers.ongrab());
    list.addEventListener("pointercancel", (event) => onSlider(event) && handlers.oncancel());
    /** @param {Event} event */
    const explain = (event) => {
      const detail = rowOf(event)?.axis.detail;
      if (detail !== undefined && this.detail.textContent !== detail) this.detail.textContent = detail;
    };
    list.addEventListener("pointerover", explain);
    list.addEventListener("focusin", explain);
  }

  /**
   * @param {Row} row
   * @param {number} value
   */
  #moveTo(row, value) {
    this.axis = row.key;
    this.handlers.onmove(row.basis, row.row, value);
  }

  /**
   * @param {import("./codes.js").Geometry} geometry
   * @param {import("./engine.js").Model} model
   */
  open(geometry, model) {
    this.geometry = geometry;
    this.model = model;
    const names = ORDER.filter((name) => geometry.bases.has(name));
    for (const name of geometry.bases.keys()) if (!names.includes(name)) names.push(name);
    this.#tabs = new Map(names.map((name) => {
      const title = geometry.bases.get(name)?.title;
      const onclick = () => this.choose(name);
      return [name, h("button", { type: "button", role: "tab", id: `tab-${name}`, "data-basis": name, title, onclick }, SHORT[name] ?? title)];
    }));
    this.tabs.replaceChildren(...this.#tabs.values());
    this.tabs.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = names[(names.indexOf(this.basis.name) + step + names.length) % names.length];
      this.choose(next);
      this.#tabs.get(next)?.focus();
    };
    this.choose(names[0]);
  }

  /** @param {string} name */
  choose(name) {
    const basis = this.geometry.bases.get(name);
    if (!basis) return;
    this.basis = basis;
    for (const [one, tab] of this.#tabs) {
      const on = one === name;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
    }
    this.list.setAttribute("aria-labelledby", `tab-${name}`);
    this.search.value = "";
    if (!this.#rows.has(name)) this.#rows.set(name, basis.axes.map((_, row) => new Row(this, basis, row)));
    for (const row of this.rows) this.#drawLock(row);
    this.#layout();
    this.list.scrollTop = 0;
    this.pictures();
  }

  get rows() {
    return (this.basis && this.#rows.get(this.basis.name)) ?? [];
  }

  /** @param {Row[]} rows */
  #top(rows) {
    if (!rows.some((row) => row.axis.group)) return rows.slice(0, TOP);
    const taken = new Map();
    return rows.filter(({ axis: { group } }) => {
      taken.set(group, (taken.get(group) ?? 0) + 1);
      return !group || group === "Taught" || taken.get(group) <= PER_GROUP;
    });
  }

  /* Which rows are in the list: the top ones, all, or those that were searched for; collapsed ones in a fold. */
  #layout() {
    const words = this.search.value.trim().toLowerCase();
    const every = this.rows;
    const alive = every.filter((row) => !row.axis.collapsed);
    const dead = every.filter((row) => row.axis.collapsed);
    const full = this.#all.has(this.basis.name) || alive.length <= SHOW_ALL_BELOW;
    /** @param {Row} row */
    const found = (row) => `${row.axis.label} ${row.axis.group}`.toLowerCase().includes(words);
    const shown = words ? every.filter(found) : full ? alive : this.#top(alive);
    /** @type {HTMLElement[]} */
    const nodes = this.#grouped(shown);
    if (words && !shown.length) nodes.push(h("p", { class: "empty" }, `No axis is called \u201c${this.search.value.trim()}\u201d here.`));
    if (!words && alive.length > SHOW_ALL_BELOW) {
      const label = full ? "Show fewer" : `Show all ${alive.length}`;
      nodes.push(h("button", { type: "button", class: "more", onclick: () => this.#toggleAll() }, label));
    }
    if (!words && dead.length) {
      const reason = `${dead.length} folded away: each carries under 0.05 nats, so moving it hardly changes the picture`;
      nodes.push(h("details", { class: "folded" }, h("summary", {}, reason), ...dead.map((row) => row.element)));
    }
    this.list.replaceChildren(...nodes);
    this.observer.disconnect();
    for (const node of this.list.querySelectorAll(".row")) this.observer.observe(node);
    for (const row of every) row.visible = true;
    if (this.#z) for (const row of every) this.#refresh(row);
  }

  /**
   * @param {Row[]} rows
   * @returns {HTMLElement[]}
   */
  #grouped(rows) {
    /** @type {Map<string, HTMLElement[]>} */
    const groups = new Map();
    for (const row of rows) {
      const group = row.axis.collapsed ? "" : row.axis.group;
      groups.set(group, [...(groups.get(group) ?? []), row.element]);
    }
    // rows of no group would seem to be of the one above
    return [...groups].flatMap(([group, elements], i) => (group || i ? [h("h3", {}, group || "As labelled"), ...elements] : elements));
  }

  #toggleAll() {
    const { name } = this.basis;
    if (!this.#all.delete(name)) this.#all.add(name);
    this.#layout();
  }

  /** @param {Row} row */
  #refresh(row) {
    if (!this.#z) return;
    row.set(this.geometry.value(row.basis, row.row, this.#z), false, false);
    if (this.#band) {
      const { mu, sigma } = this.#band;
      const { d } = this.geometry;
      let variance = 0;
      for (let i = 0; i < d; i++) variance += (row.basis.W[row.row * d + i] * sigma[i]) ** 2;
      row.mark(this.geometry.value(row.basis, row.row, mu), Math.sqrt(variance));
    } else row.mark(null);
  }

  /**
   * @param {Float32Array} z
   * @param {{moving?: boolean, axis?: string | null}} [how]
   */
  show(z, { moving = false, axis = null } = {}) {
    this.#z = z;
    if (!this.basis) return;
    const values = this.geometry.values(this.basis, z);
    const now = performance.now();
    const others = !moving || now - this.#othersAt > OTHERS_MS;
    if (others) this.#othersAt = now;
    for (const row of this.rows) {
      const own = moving && row.key === axis;
      if (own || (others && (!moving || row.visible))) row.set(values[row.row], moving, own);
    }
  }

  /**
   * @param {Float32Array | null} mu
   * @param {Float32Array | null} sigma
   */
  mark(mu, sigma) {
    this.#band = mu && sigma ? { mu, sigma } : null;
    if (this.#z) for (const row of this.rows) this.#refresh(row);
  }

  async pictures() {
    const { name } = this.basis;
    const list = this.list;
    list.dataset.pictures = this.#sprites.has(name) ? name : "";
    list.style.setProperty("--sprite", `var(--sprite-${name})`);
    if (this.#sprites.has(name) || !this.ready) return;
    const query = { model: this.model.name, basis: name, digest: this.model.digest };
    const response = await ask("api/traversals", query).catch(() => null);
    if (!response) return; // the sliders work without their pictures; the next visit of the tab asks again
    list.style.setProperty(`--sprite-${name}`, `url(${URL.createObjectURL(await response.blob())})`);
    this.#sprites.add(name);
    if (this.basis.name === name) list.dataset.pictures = name;
  }

  /** @param {Row} row */
  toggleLock(row) {
    const at = this.#lockAt(row);
    if (at >= 0) this.locks.splice(at, 1);
    else this.locks.push({ basis: row.basis, row: row.row });
    this.#drawLock(row);
    this.#locksChanged();
  }

  unlockAll() {
    this.locks = [];
    for (const row of this.rows) this.#drawLock(row);
    this.#locksChanged();
  }

  /** @param {Row} row */
  #lockAt(row) {
    return this.locks.findIndex((lock) => lock.basis === row.basis && lock.row === row.row);
  }

  /** @param {Row} row */
  #drawLock(row) {
    const on = this.#lockAt(row) >= 0;
    row.lock.setAttribute("aria-pressed", String(on));
    row.lock.replaceChildren(icon(on ? "lock" : "unlock"));
    row.input.disabled = on;
    row.reset.disabled = on;
    row.element.classList.toggle("locked", on);
  }

  #locksChanged() {
    const n = this.locks.length;
    this.unlock.hidden = n === 0;
    this.unlock.textContent = `Unlock ${n === 1 ? "the locked one" : `all ${n}`}`;
    this.handlers.onlocks(n);
  }

  close() {
    this.observer.disconnect();
  }
}
