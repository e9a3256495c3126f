/* The faces of the lesson: codes that were drawn or came out of training, decoded; never a photo.

   draws(model, seed, temperature, count)  Promise of codes from the prior
   pictures(model, codes, size)            Promise of canvases, one a code, decoded on the server
   Still(model, label)                     one picture that follows, on the server: .element .show(z), the latest wins
   new Faces(context)                      what steps show of them: .squeeze() {element, close} */

import { fromRgb, painted, context as paper, pixelated } from "../live/canvas.js";
import { geometry } from "../live/codes.js";
import { h } from "../live/dom.js";
import { acquire } from "../live/engine.js";
import { joined } from "../live/floats.js";
import { ask, askFloats, posted } from "../live/net.js";
import { figure, slider } from "./parts.js";

/** @typedef {Float32Array<ArrayBuffer>} Floats */
/** @typedef {import("../live/engine.js").Model} FaceModel */

/** @param {FaceModel} model @returns {Promise<Floats[]>} */
export async function draws(model, seed, temperature, count) {
  const all = await askFloats("api/sample", { model: model.name, seed, temperature, count });
  return Array.from({ length: count }, (_, i) => all.slice(i * model.latent_size, (i + 1) * model.latent_size));
}

/**
 * @param {FaceModel} model
 * @param {Floats[]} codes
 * @param {number} [size] a lower level of the model's, where it has one
 */
export async function pictures(model, codes, size = 0) {
  const answer = await ask(
    "api/decode",
    { model: model.name, ...(size && model.levels ? { size: String(size) } : null) },
    posted(joined(codes)),
  );
  const [count, height, width] = (answer.headers.get("X-Image-Shape") ?? "").split(",").map(Number);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  return Array.from({ length: count }, (_, i) => painted(fromRgb(bytes, width, height, 3 * i * width * height)));
}

export class Still {
  #busy = false;
  /** @type {Floats | null} */
  #next = null;

  /**
   * @param {FaceModel} model
   * @param {string} label
   */
  constructor(model, label) {
    this.model = model;
    this.element = h("canvas", {
      width: model.image_size,
      height: model.image_size,
      // A scan is dark where the page is light, as doctors read it; other grey pictures are ink on the page.
      class: `still ${pixelated(model.image_size)} ${model.channels === 1 && model.player !== "scan" ? "ink" : ""}`,
      role: "img",
      "aria-label": label,
      "data-frame": 0,
    });
  }

  /** @param {Floats} z */
  async show(z) {
    this.#next = z;
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#next) {
        const code = this.#next;
        this.#next = null;
        const [drawn] = await pictures(this.model, [code]);
        paper(this.element).drawImage(drawn, 0, 0);
        this.element.dataset.frame = String(Number(this.element.dataset.frame) + 1);
      }
    } finally {
      this.#busy = false;
    }
  }
}

/**
 * A canvas that the app's engine draws on while a hand moves.
 * @param {FaceModel} model
 * @param {string} label
 * @param {string} id
 */
export function live(model, label, id) {
  const engine = acquire(model);
  const canvas = h("canvas", {
    class: pixelated(model.image_size),
    "data-testid": id,
    "data-frame": 0,
    role: "img",
    "aria-label": label,
  });
  const surface = engine.surface(canvas);
  return {
    element: h("div", { class: "stage", "data-drawn": true }, canvas),
    canvas,
    surface,
    close() {
      surface.close();
      engine.release();
    },
  };
}

const SEED = 11;
const TEMPERATURE = 0.7;

export class Faces {
  /** @param {import("./learn.js").Context} context */
  constructor(context) {
    this.context = context;
    /** @type {FaceModel | null} */
    this.model = context.data.faces;
  }

  missing() {
    return h(
      "p",
      { class: "quiet" },
      "The model of faces is not installed here; the rest of this step works without it.",
    );
  }

  /* A face through its strongest axes: the first k of them kept, the others at their mean. */
  squeeze() {
    const { model } = this;
    if (!model) return { element: this.missing(), close() {} };
    const still = live(model, "A face", "face-squeeze");
    const steps = [1, 2, 4, 8, 16, 32, 64, 128].filter((n) => n <= model.latent_size);
    /** @type {Floats | null} */
    let code = null;
    /** @type {import("../live/codes.js").Geometry | null} */
    let space = null;
    const show = (i) => {
      if (!space || !code) return;
      const basis = /** @type {import("../live/codes.js").Basis} */ (space.bases.get("principal"));
      const values = space.values(basis, code);
      const z = Float32Array.from(space.mean);
      for (let row = 0; row < Math.min(steps[i], basis.rows); row++)
        for (let j = 0; j < z.length; j++) z[j] += values[row] * basis.D[row * z.length + j];
      still.surface.show({ z });
      still.canvas.setAttribute(
        "aria-label",
        `A face that does not exist, drawn from the ${steps[i]} strongest of its ${model.latent_size} numbers`,
      );
    };
    const amount = slider({
      label: "Numbers kept of a face\u2019s code",
      min: 0,
      max: steps.length - 1,
      step: 1,
      value: 3,
      symbol: "z",
      id: "face-numbers",
      write: (v) => String(steps[v]),
      onmove: (v) => show(v),
    });
    Promise.all([draws(model, SEED, TEMPERATURE, 1), geometry(model)]).then(
      ([[z], found]) => {
        [code, space] = [z, found];
        show(Number(amount.input.value));
      },
      (error) => this.context.say(error.message),
    );
    const element = h(
      "div",
      { class: "faceline" },
      figure("", still.element),
      h(
        "div",
        { class: "controls stack" },
        h(
          "p",
          { class: "quiet" },
          `The same with a face: a person whom ${model.title} made up. ` +
            `Its code has ${model.latent_size} numbers, and only the strongest are kept.`,
        ),
        amount.element,
      ),
    );
    return { element, close: () => still.close() };
  }
}
