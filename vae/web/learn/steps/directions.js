/* Step 8: an arrow from the middle of some faces to the middle of others; what it drags; two faces joined by level. */

import { geometry } from "../../live/codes.js";
import { fill, h } from "../../live/dom.js";
import { unpacked } from "../../live/floats.js";
import { ask } from "../../live/net.js";
import { dot, signed } from "../../live/numbers.js";
import { draws, Faces, live, pictures } from "../faces.js";
import { figure, press, slider } from "../parts.js";

const LABELS = ["Smiling", "Eyeglasses", "Gray_Hair", "Blond_Hair", "Male", "Bangs", "Pale_Skin"];
const WIDE = 8;
const COUNT = 32;
const TEN = 10;
const DRAGGED = 6;
const STATES = ["", "with", "without"];
const GROUPS = ["coarse", "middle", "fine"];
const PAIRS = [
  [28, 12],
  [11, 49],
  [2, 28],
  [49, 11],
]; // seeds of faces A and B; A is also the one that moves
const TEMPERATURE = 0.7;

/** @typedef {Float32Array<ArrayBuffer>} Floats */

/** z0 + a w, brought back to the length of z0. */
export function along(z0, w, a) {
  const z = Float32Array.from(z0, (v, j) => v + a * w[j]);
  const longer = Math.sqrt(dot(z, z) / dot(z0, z0));
  return z.map((v) => v / longer);
}

export class Directions {
  /** @type {number[]} index into STATES */
  states = [];
  /** @type {Floats[]} */
  codes = [];
  /** @type {Floats | null} */
  arrow = null;
  /** @type {Floats[] | null} */
  pair = null;
  #turn = 0;
  /** @type {ReturnType<typeof live>} */
  view;
  /** @type {ReturnType<typeof live>} */
  mixed;
  /** @type {ReturnType<typeof slider>} */
  along;
  /** @type {HTMLElement} */
  map;
  /** @type {HTMLElement} */
  count;
  /** @type {HTMLElement} */
  dragged;
  /** @type {HTMLElement} */
  sources;
  /** @type {HTMLInputElement[]} */
  takes;
  /** @type {HTMLButtonElement[]} */
  buttons;
  label = LABELS[0];
  seed = 3;
  at = 0; // of PAIRS

  /** @param {import("../learn.js").Context} context */
  constructor(context) {
    this.context = context;
    this.model = context.data.faces;
    if (!this.model) {
      this.element = h("div", { class: "show" }, new Faces(context).missing());
      return;
    }
    this.label = LABELS.includes(context.asked.get("label") ?? "") ? String(context.asked.get("label")) : LABELS[0];
    this.seed = Number(context.asked.get("seed") ?? 3) >>> 0;
    this.at = (Number(context.asked.get("pair")) || 0) in PAIRS ? Number(context.asked.get("pair")) || 0 : 0;
    const select = h("select", {
      class: "search",
      "aria-label": "Label",
      "data-testid": "label",
      onchange: () => {
        this.label = select.value;
        context.keep({ label: this.label });
        this.#open();
      },
    });
    fill(
      select,
      LABELS.map((id) => ({ id, title: id.replaceAll("_", " ") })),
      this.label,
    );
    this.map = h("div", {
      class: "facemap",
      role: "group",
      "aria-label": "Faces of the model\u2019s own codes: press once for with, twice for without",
    });
    this.count = h("p", { class: "quiet", role: "status" });
    this.view = live(this.model, "The face that moves", "face-move");
    this.along = slider({
      label: "a, along the arrow",
      min: -1,
      max: 1,
      step: 0.02,
      value: 0,
      symbol: "z",
      id: "along",
      write: (v) => signed(Number(v)),
      onmove: () => this.#move(true),
    });
    this.dragged = h("ul", { class: "dragged", "aria-label": "What one step along the arrow moves" });
    this.mixed = live(this.model, "Two faces joined", "face-mix");
    this.sources = h("div", { class: "facerow two" });
    this.takes = GROUPS.map((group, i) =>
      h("input", { type: "checkbox", checked: i > 0, "data-testid": `take-${group}`, onchange: () => this.#mix() }),
    );
    this.element = h(
      "div",
      { class: "show" },
      h(
        "div",
        { class: "controls" },
        h("label", { class: "field" }, "Half of these faces were labelled ", select),
        press("Pick ten and ten by the label", () => this.#byLabel(), { "data-testid": "by-label" }),
        press("Clear", () => this.#clear()),
      ),
      this.map,
      this.count,
      h(
        "div",
        { class: "two faces" },
        figure(
          h(
            "span",
            {},
            "Face A, moved: ",
            h("b", { class: "sym-z" }, "z"),
            " keeps its length, as this model\u2019s codes lie on a shell",
          ),
          this.view.element,
        ),
        h(
          "div",
          { class: "aside" },
          this.along.element,
          h("h3", {}, "What it drags along, per step of a"),
          this.dragged,
        ),
      ),
      h("h3", {}, "Face A + face B, level by level"),
      h(
        "div",
        { class: "joined" },
        this.sources,
        figure("A + B", this.mixed.element),
        h(
          "div",
          { class: "controls stack" },
          GROUPS.map((group, i) => h("label", { class: "switch" }, this.takes[i], h("span", {}, `${group} from B`))),
          press("Other faces", () => this.#others(), { "data-testid": "others" }),
        ),
      ),
    );
    this.#begin();
  }

  async #begin() {
    const { model, context } = this;
    try {
      this.space = await geometry(model);
      await this.#open();
      await this.#draw();
    } catch (error) {
      context.say(error instanceof Error ? error.message : String(error));
    }
  }

  /* Faces A and B. */
  async #draw() {
    const { model } = this;
    const at = this.at;
    const seeds = PAIRS[at];
    const pair = (await Promise.all(seeds.map((seed) => draws(model, seed, TEMPERATURE, 1)))).flat();
    const made = await pictures(model, pair);
    if (at !== this.at) return;
    this.pair = pair;
    this.sources.replaceChildren(
      ...made.map((canvas, i) => {
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `Face ${"AB"[i]}`);
        return figure("AB"[i], canvas);
      }),
    );
    this.#move(false);
    this.#mix();
  }

  #others() {
    this.at = (this.at + 1) % PAIRS.length;
    this.context.keep({ pair: this.at });
    this.#draw().catch((error) => this.context.say(error.message));
  }

  /* The faces lie as on the map: columns by the strongest axis, rows within a column by the second. */
  async #open() {
    const { model, space } = this;
    if (!space) return;
    const turn = ++this.#turn;
    const answer = await ask("api/learn/codes", {
      model: model.name,
      label: this.label,
      count: COUNT,
      seed: this.seed,
    });
    const { head, data } = unpacked(await answer.arrayBuffer());
    const all = new Float32Array(data);
    const d = model.latent_size;
    const basis = space.bases.get("principal");
    if (!basis) return;
    const found = head.has
      .map((has, i) => {
        const z = all.slice(i * d, (i + 1) * d);
        return { has, z, x: space.value(basis, 0, z), y: space.value(basis, 1, z) };
      })
      .sort((a, b) => a.x - b.x);
    const tall = COUNT / WIDE;
    const columns = Array.from({ length: WIDE }, (_, c) =>
      found.slice(c * tall, (c + 1) * tall).sort((a, b) => b.y - a.y),
    );
    const placed = Array.from({ length: COUNT }, (_, i) => columns[i % WIDE][Math.floor(i / WIDE)]);
    const made = await pictures(
      model,
      placed.map(({ z }) => z),
      64,
    );
    if (turn !== this.#turn) return;
    this.codes = placed.map(({ z }) => z);
    this.has = placed.map(({ has }) => has);
    this.states = placed.map(() => 0);
    this.buttons = made.map((canvas, i) =>
      h(
        "button",
        {
          type: "button",
          class: "tile",
          "data-state": "",
          "aria-label": `Face ${i + 1}, not picked`,
          onclick: () => this.#cycle(i),
        },
        canvas,
      ),
    );
    this.map.replaceChildren(...this.buttons);
    this.#learn();
  }

  #state(i, state) {
    this.states[i] = state;
    this.buttons?.[i].setAttribute("data-state", STATES[state]);
    this.buttons?.[i].setAttribute("aria-label", `Face ${i + 1}, ${STATES[state] || "not picked"}`);
  }

  #cycle(i) {
    this.#state(i, (this.states[i] + 1) % STATES.length);
    this.#learn();
  }

  #byLabel() {
    const many = [0, 0];
    this.codes.forEach((_, i) => {
      const side = this.has?.[i] ? 0 : 1;
      this.#state(i, many[side]++ < TEN ? side + 1 : 0);
    });
    this.#learn();
  }

  #clear() {
    this.codes.forEach((_, i) => this.#state(i, 0));
    this.#learn();
  }

  #middle(state) {
    const chosen = this.codes.filter((_, i) => this.states[i] === state);
    return Float32Array.from(
      { length: this.model.latent_size },
      (_, j) => chosen.reduce((sum, z) => sum + z[j], 0) / chosen.length,
    );
  }

  #learn() {
    const [with_, without] = [1, 2].map((state) => this.states.filter((s) => s === state).length);
    this.arrow = null;
    if (with_ && without) {
      const [a, b] = [this.#middle(1), this.#middle(2)];
      this.arrow = a.map((v, j) => v - b[j]);
    }
    const then = this.arrow
      ? "The arrow goes from the middle of those without to the middle of those with."
      : "Press a face once for with, twice for without; ten of each make a steady arrow.";
    this.count.textContent = `${with_} with, ${without} without. ${then}`;
    this.along.input.disabled = !this.arrow;
    this.#drags();
    this.#move(false);
  }

  #drags() {
    const { space, arrow } = this;
    const basis = space?.bases.get("named");
    if (!space || !basis || !arrow) {
      this.dragged.replaceChildren(h("li", { class: "quiet" }, "No arrow yet."));
      return;
    }
    const moved = space.values(
      basis,
      Float32Array.from(space.mean, (m, j) => m + arrow[j]),
    );
    const order = [...moved.keys()].sort((a, b) => Math.abs(moved[b]) - Math.abs(moved[a])).slice(0, DRAGGED);
    const most = Math.abs(moved[order[0]]);
    this.dragged.replaceChildren(
      ...order.map((row) =>
        h(
          "li",
          {},
          h("span", {}, basis.axes[row].label),
          h("i", { style: `width:${((38 * Math.abs(moved[row])) / most).toFixed(1)}%` }),
          h("output", {}, `${signed(moved[row])} \u03c3`),
        ),
      ),
    );
  }

  /** @param {boolean} byHand */
  #move(byHand) {
    const { pair, arrow, view } = this;
    if (!pair) return;
    const a = Number(this.along.input.value);
    view.surface.show({ z: arrow ? along(pair[0], arrow, a) : pair[0] });
    if (!arrow) return;
    view.canvas.setAttribute("aria-label", `Face A, ${signed(a)} along the arrow`);
    this.context.say(`The face has moved ${signed(a)} along your arrow.`);
    if (byHand && a !== 0) this.context.done();
  }

  #mix() {
    if (!this.pair) return;
    const { levels, latent_size: d } = this.model;
    if (!levels) return;
    const codes = new Float32Array(levels * d);
    for (let level = 0; level < levels; level++) {
      const group = Math.floor((level * GROUPS.length) / levels); // vae.space.mixing.level_groups
      codes.set(this.pair[this.takes[group].checked ? 1 : 0], level * d);
    }
    this.mixed.surface.show({ levels: codes });
    const taken = GROUPS.filter((_, i) => this.takes[i].checked);
    this.mixed.canvas.setAttribute("aria-label", `Face A with ${taken.join(" and ") || "nothing"} of face B`);
  }

  close() {
    this.#turn += 1;
    this.view?.close();
    this.mixed?.close();
  }
}
