/* The fields above the map: which view is open, along which axes, and what a place under the cursor means.

   new Views(atlas)
     .elements            fields, to be placed by the owner
     .offer(options)      what the server offers, see /api/atlas/options
     .open(view)          Promise of {points, xy}, or null where it did not come to that or another view was asked for since
     .show(view)          the fields stand at that view
     .exact               whether a place is one code: the plane through the code in hand, on a linear view
     .explain(points)     a sentence on how far what is seen is exact */

import { fill, h } from "../live/dom.js";
import { placed } from "./places.js";

/** @typedef {import("./places.js").Points} Points */

export class Views {
  #serial = 0;

  /** @param {import("./atlas.js").Atlas} atlas */
  constructor(atlas) {
    this.atlas = atlas;
    const field = (words, ...inputs) => h("label", { class: "field" }, h("span", {}, words), ...inputs);
    this.viewSelect = h("select", { "aria-label": "View", "data-testid": "view", onchange: () => this.#kind(this.viewSelect.value) });
    this.xSelect = h("select", { "aria-label": "Horizontal axis", onchange: () => this.#axes() });
    this.ySelect = h("select", { "aria-label": "Vertical axis", onchange: () => this.#axes() });
    this.settingSelect = h("select", { "aria-label": "Neighbourhood",
      onchange: () => atlas.openView(`${this.viewSelect.value}:${this.settingSelect.value}`) });
    this.hoverSelect = h("select", { "aria-label": "Picture under the cursor", onchange: () => atlas.explain() },
      h("option", { value: "plane" }, "My picture, moved there"), h("option", { value: "near" }, "The nearest codes, blended"));
    this.axisFields = [field("Across", this.xSelect), field("Up", this.ySelect)];
    this.settingWords = h("span", {}, "Neighbours");
    this.settingField = h("label", { class: "field" }, this.settingWords, this.settingSelect);
    this.hoverField = field("Under the cursor", this.hoverSelect);
    this.elements = { view: field("View", this.viewSelect), rest: [...this.axisFields, this.settingField], hover: this.hoverField };
  }

  offer(options) {
    this.options = options;
    const titles = { ...options.linear, ...options.computed };
    fill(this.viewSelect, Object.entries(titles).map(([id, { title }]) => ({ id, title })));
  }

  #kind(kind) {
    const { linear, computed } = this.options;
    if (kind in computed) return this.atlas.openView(`${kind}:${computed[kind].default}`);
    const [a, b] = linear[kind].axes;
    return this.atlas.openView(`${kind}:${a.id}:${b.id}`);
  }

  #axes() {
    if (this.xSelect.value === this.ySelect.value) return this.atlas.say("Choose two different axes.");
    return this.atlas.openView(`${this.viewSelect.value}:${this.xSelect.value}:${this.ySelect.value}`);
  }

  /** @param {string} view */
  show(view) {
    const [kind, ...rest] = view.split(":");
    const { linear, computed, plane } = this.options;
    this.viewSelect.value = kind;
    for (const field of this.axisFields) field.hidden = !(kind in linear);
    this.settingField.hidden = !(kind in computed);
    this.hoverField.hidden = !(kind in linear) || plane;
    if (kind in linear) {
      const axes = linear[kind].axes.map(({ id, label, collapsed }) => ({ id, title: collapsed ? `${label} (says little)` : label }));
      fill(this.xSelect, axes, rest[0]);
      fill(this.ySelect, axes, rest[1]);
    } else {
      this.settingWords.textContent = kind === "tsne" ? "Perplexity" : "Neighbours";
      fill(this.settingSelect, computed[kind].settings.map((id) => ({ id, title: id })), rest[0]);
    }
  }

  /**
   * @param {string} view
   * @returns {Promise<ReturnType<typeof placed> | null>}
   */
  async open(view) {
    const { atlas } = this;
    const serial = ++this.#serial;
    const wanted = () => serial === this.#serial && !atlas.closed;
    this.show(view);
    const answer = await atlas.guard(() => atlas.server.packed("points", { view }));
    if (!wanted()) return null;
    if (answer?.head.state === "ready") return placed(answer);
    if (answer && await atlas.progress.run(view.replace(":", "-"), wanted)) return wanted() ? this.open(view) : null;
    if (atlas.points && wanted()) this.show(atlas.points.view);
    return null;
  }

  get exact() {
    return Boolean(this.atlas.points?.linear && (this.options.plane || this.hoverSelect.value === "plane"));
  }

  /** @param {Points} points */
  explain(points) {
    const [x, y] = points.labels;
    if (this.exact) {
      return this.options.plane
        ? "Exact: this model\u2019s codes have two numbers, so every place on the map is one code, and you see what it decodes to."
        : `Exact: you see your picture moved to that ${x} and ${y}, and nothing else of it changed. The dots lie off this plane; click one to see it as it is.`;
    }
    if (points.linear) return "Approximate: you see a blend of the six codes drawn nearest to the cursor; on a dot, that code itself.";
    const title = this.viewSelect.selectedOptions[0]?.textContent;
    return `Nearest neighbours, not exact: ${title} cannot be read backwards, so you see a blend of the six codes drawn nearest; on a dot, that code itself.`;
  }
}
