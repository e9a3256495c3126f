/* Children with whole parts: a mix's code, decoded and encoded again by the server, which alone has the encoder.

   new Whole(blend, onchange)
     .element         a switch, null where the model has no parts that settle
     .on              whether mixes are shown with whole parts
     .choose(on)      set it from elsewhere
     .of(state)       the settled state of the mix at rest, where it is known already; else it is asked for, and `onchange`
                      is called once it has come
     .all(states)     Promise of the states, settled where the switch is on: for small pictures */

import { h } from "../live/dom.js";
import { joined } from "../live/floats.js";
import { askFloats, posted } from "../live/net.js";

/** @typedef {import("../live/engine.js").State} State */
/** @typedef {import("../live/engine.js").Floats} Floats */

export class Whole {
  on = false;
  /** @type {{from: Floats, z: Floats | null} | null} the code that was last asked for, and what it settles on */
  #last = null;

  /**
   * @param {import("./blend.js").Blend} blend
   * @param {(byHand: boolean) => void} onchange
   */
  constructor(blend, onchange) {
    this.blend = blend;
    this.onchange = onchange;
    // a code for each level has no encoder of its own, and no such model has parts
    const offered = blend.model.settle > 0 && !blend.model.levels;
    this.input = h("input", { type: "checkbox", role: "switch", onchange: () => {
      this.on = this.input.checked;
      onchange(true);
    } });
    this.element = offered ? h("label", { class: "switch", title: "Once the hand rests, decodes and encodes the mix again until no part of it is half there" },
      this.input, h("span", {}, "Whole parts")) : null;
  }

  /** @param {boolean} on */
  choose(on) {
    this.on = Boolean(on && this.element);
    this.input.checked = this.on;
  }

  /** @param {State} state @returns {State | null} */
  of({ z }) {
    if (!this.on || !z || this.blend.people.length < 2) return null;
    const known = this.#last;
    if (known && known.from.every((v, i) => v === z[i])) return known.z && { z: known.z };
    const asked = this.#last = { from: z, z: /** @type {Floats | null} */ (null) };
    this.#settle(z).then((found) => {
      asked.z = found;
      if (this.#last === asked) this.onchange(false);
    }, (error) => {
      if (this.#last === asked) this.#last = null; // a failure is never kept
      this.blend.say(error.message);
    });
    return null;
  }

  /** @param {State[]} states @returns {Promise<State[]>} */
  async all(states) {
    if (!this.on || this.blend.people.length < 2) return states;
    const d = this.blend.model.latent_size;
    const found = await this.#settle(joined(states.map(({ z }) => z ?? [])));
    return states.map((_, i) => ({ z: found.slice(i * d, (i + 1) * d) }));
  }

  /** @param {Floats} codes */
  #settle(codes) {
    return askFloats("api/settle", { model: this.blend.model.name }, posted(codes));
  }
}
