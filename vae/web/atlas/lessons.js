/* The pane "Teach": what tells one side from another becomes a direction, and saved, a slider.

   new Lessons(atlas)
     .forget()     the sides have changed
     .pane()       its elements */

import { button, fill, h } from "../live/dom.js";
import { bits, decodeFloats, joined } from "../live/floats.js";
import { signed, whole } from "../live/numbers.js";

const STEPS = [-3, -2, -1, 0, 1, 2, 3]; // sigma, of the strip
const TILE = 96;
const LEAK = 0.1; // sigma below which a leak is not shown
const LEAKS = 12;

export class Lessons {
  /** @type {any} what was learned last */
  lesson = null;
  /** @type {Set<string>} leaks to take out */
  removed = new Set();
  name = "";
  with = "";
  without = "";
  #byHand = false; // whether the second side was chosen, and not only offered

  /** @param {import("./atlas.js").Atlas} atlas */
  constructor(atlas) {
    this.atlas = atlas;
  }

  forget() {
    this.lesson = null;
  }

  /* What can stand on a side: selections, labels. */
  #sides() {
    const { options, selections: { sets } } = this.atlas;
    const found = [];
    for (const slot of ["A", "B"]) if (sets[slot]) found.push({ id: `set:${slot}`, title: `Selection ${slot} (${whole(sets[slot].count)})`, group: "Selections" });
    for (const { index, name } of options.labels) found.push({ id: `label:${index}:1`, title: options.classes ? name : `${name}: with`, group: "Labels" });
    if (!options.classes) for (const { index, name } of options.labels) found.push({ id: `label:${index}:0`, title: `${name}: without`, group: "Labels" });
    return found;
  }

  /** @param {string} id */
  #side(id) {
    const [kind, which, value] = id.split(":");
    if (kind === "rest") return "rest";
    return kind === "set" ? { mask: bits(this.atlas.selections.sets[which].mask) } : { label: Number(which), value: Number(value) };
  }

  #body() {
    return { with: this.#side(this.with), without: this.#side(this.without), remove: [...this.removed] };
  }

  pane() {
    const { atlas } = this;
    if (!atlas.options) return [h("p", { class: "quiet" }, "One moment.")];
    const sides = this.#sides();
    const taught = this.#taught();
    if (!sides.length) {
      return [h("p", { class: "quiet" }, "Show what you mean: select codes that have it as A and, if you like, codes that lack it as B. The map learns the direction from the one to the other, and it becomes a slider."), taught];
    }
    const ids = new Set(sides.map((side) => side.id));
    if (!ids.has(this.with)) this.with = sides[0].id;
    const known = ids.has(this.without) || (this.without === "rest" && this.#byHand);
    if (!known) this.without = ids.has("set:A") && ids.has("set:B") ? "set:B" : "rest";
    const withSelect = h("select", { "aria-label": "With", "data-testid": "teach-with" });
    const withoutSelect = h("select", { "aria-label": "Without", "data-testid": "teach-without" });
    fill(withSelect, sides, this.with);
    fill(withoutSelect, [{ id: "rest", title: "All other codes" }, ...sides], this.without);
    const changed = () => {
      this.#byHand ||= withoutSelect.value !== this.without;
      [this.with, this.without] = [withSelect.value, withoutSelect.value];
      this.lesson = null;
      this.removed.clear();
      atlas.drawPane();
    };
    withSelect.addEventListener("change", changed);
    withoutSelect.addEventListener("change", changed);
    const go = button("search", "Teach", () => this.#teach(), { class: "button primary", "data-testid": "teach" });
    return [
      h("p", { class: "quiet" }, "What tells the first side from the second becomes a slider."),
      h("label", { class: "field" }, h("span", {}, "With"), withSelect),
      h("label", { class: "field" }, h("span", {}, "Without"), withoutSelect), h("div", { class: "row" }, go),
      ...this.#outcome(), taught,
    ];
  }

  async #teach() {
    const { atlas } = this;
    atlas.say("Learning \u2026");
    const lesson = await atlas.guard(() => atlas.server.json("teach", {}, this.#body()));
    if (!lesson) return;
    this.lesson = lesson;
    atlas.say(`Learned from ${whole(lesson.trained)} codes, scored on ${whole(lesson.held)} others.`);
    atlas.drawPane();
  }

  /* What was learned: its score, a strip along it, what else it moves, and a name to save it by. */
  #outcome() {
    const { lesson } = this;
    if (!lesson) return [];
    const leaks = this.#leaks();
    const name = h("input", { class: "search", type: "text", maxlength: 40, placeholder: "Name of the slider", "aria-label": "Name of the slider", "data-testid": "teach-name", value: this.name,
      oninput: () => (this.name = name.value) });
    name.addEventListener("keydown", (event) => event.key === "Enter" && this.#save());
    const before = lesson.removed.length ? `; it was ${lesson.auc_before.toFixed(3)} before leaks were taken out` : "";
    return [
      h("div", { class: "score" }, h("strong", { "data-testid": "teach-auc" }, lesson.auc.toFixed(3)), h("span", { class: "quiet" },
        `held-out AUC (0.5 is chance, 1 is perfect) on ${whole(lesson.held)} codes that were not learned from${before}.`)),
      this.#strip(decodeFloats(lesson.direction)),
      leaks.length ? h("h4", {}, "What one \u03c3 of it also moves, in \u03c3") : h("p", { class: "quiet" }, "One \u03c3 of it moves no other read-out by more than 0.1 \u03c3."),
      leaks.length ? h("p", { class: "quiet" }, "Tick a leak to take it out.") : null,
      leaks.length ? h("ul", { class: "leaks", "data-testid": "leaks" }, leaks) : null,
      h("div", { class: "row" }, name, button("lock", "Save slider", () => this.#save(), { "data-testid": "teach-save" })),
    ];
  }

  /** @param {Float32Array} direction */
  #strip(direction) {
    const { atlas } = this;
    const strip = h("canvas", { class: "strip", width: STEPS.length * TILE, height: TILE, role: "img", "aria-label": "Your picture, from 3 sigma less to 3 sigma more of it" });
    const codes = joined(STEPS.map((step) => atlas.z.map((v, i) => v + step * direction[i])));
    atlas.strip(strip, codes, STEPS.length, TILE);
    return strip;
  }

  #leaks() {
    const leaks = this.lesson.leaks.filter(({ id, sigma }) => Math.abs(sigma) >= LEAK || this.removed.has(id)).slice(0, LEAKS);
    return leaks.map(({ id, label, sigma }) => {
      const tick = h("input", { type: "checkbox", "data-leak": id, checked: this.removed.has(id), onchange: () => {
        if (tick.checked) this.removed.add(id);
        else this.removed.delete(id);
        this.#teach();
      } });
      const width = 50 * Math.min(1, Math.abs(sigma));
      return h("li", {}, h("label", { class: "leak" }, tick, h("span", { class: "name" }, label),
        h("span", { class: "bar-track centred" }, h("i", { style: `left: ${sigma < 0 ? 50 - width : 50}%; width: ${width}%` })),
        h("span", { class: "figure" }, signed(sigma))));
    });
  }

  async #save() {
    const { atlas } = this;
    const name = this.name.trim();
    if (!name) return atlas.say("Give the slider a name first.");
    const saved = await atlas.guard(() => atlas.server.json("directions", {}, { ...this.#body(), label: name }));
    if (!saved) return;
    this.name = "";
    atlas.say(`\u201c${saved.label}\u201d is saved: it is a slider under Named on Explore.`);
    atlas.setTriggerValue("event", { name: "taught", id: saved.id });
    const options = await atlas.guard(() => atlas.server.json("options"));
    if (!options) return;
    atlas.options = options;
    atlas.drawPane();
  }

  #taught() {
    const { taught } = this.atlas.options;
    if (!taught.length) return null;
    return h("div", {}, h("h4", {}, "Your sliders"), h("ul", { class: "own", "data-testid": "taught" },
      taught.map(({ label, auc, detail }) => h("li", { title: detail }, h("span", {}, label), h("span", { class: "figure quiet" }, `AUC ${auc.toFixed(3)}`)))),
      h("p", { class: "quiet" }, "Export, import or remove them under \u201cMy directions\u201d above."));
  }
}
