/* The graph of the computation of step 4: the die outside, or in the way.

   new Graph()   .element .show(inside, state)
                 state: "" at rest; "back" lights the gradient's way; "cut" shows where it ends */

import { h, svg } from "../live/dom.js";

/** Symbol, what is written, place. @type {Record<string, [string, string, number, number]>} */
const NODES = {
  x: ["x", "x", 50, 150],
  encoder: ["", "encoder", 160, 150],
  mu: ["mu", "\u03bc", 290, 70],
  sigma: ["sigma", "\u03c3", 290, 230],
  times: ["", "\u00d7", 400, 230],
  plus: ["", "+", 400, 150],
  z: ["z", "z", 490, 150],
  decoder: ["", "decoder", 600, 150],
  y: ["y", "x\u2032", 710, 150],
  L: ["loss", "L", 790, 150],
};
const DIE = { outside: [290, 330], inside: [400, 150] };
const EYES = [-1, 1].flatMap((a) => [-1, 1].map((b) => [11 * a, 11 * b])).concat([[0, 0]]);
const ENDS = "x-encoder encoder-mu encoder-sigma";
const EDGES = {
  outside: `${ENDS} mu-plus sigma-times die-times times-plus plus-z z-decoder decoder-y y-L`,
  inside: `${ENDS} mu-die sigma-die die-z z-decoder decoder-y y-L`,
};
// Where no slope goes: to the picture, which is given, to a die outside, and past a die in the way.
const CLOSED = { outside: "x-encoder die-times", inside: `${ENDS} mu-die sigma-die die-z` };
const SAID = {
  outside: "z is mu plus sigma times epsilon, and the die only makes epsilon",
  inside: "mu and sigma go into the die, and z comes out of it",
};

/** @param {string} written */
const text = (written, properties) => svg("text", properties, document.createTextNode(written));

export class Graph {
  constructor() {
    this.element = h("div", { class: "graph" });
  }

  /**
   * @param {boolean} inside
   * @param {"" | "back" | "cut"} state
   */
  show(inside, state) {
    const where = inside ? "inside" : "outside";
    const [dieX, dieY] = DIE[where];
    const at = (id) => (id === "die" ? [dieX, dieY] : NODES[id].slice(2));
    const closed = CLOSED[where].split(" ");
    const edges = EDGES[where].split(" ").map((edge) => {
      const [[ax, ay], [bx, by]] = edge.split("-").map(at);
      const kind = !state ? "" : !closed.includes(edge) ? "back" : state === "cut" ? "cut" : "";
      return svg("path", { d: `M${ax} ${ay}L${bx} ${by}`, class: `edge ${kind}` });
    });
    const shown = Object.keys(NODES).filter((id) => EDGES[where].split(/[ -]/).includes(id));
    const die = svg(
      "g",
      { class: "die" },
      svg("rect", { x: dieX - 26, y: dieY - 26, width: 52, height: 52, rx: 9 }),
      ...EYES.map(([x, y]) => svg("circle", { cx: dieX + x, cy: dieY + y, r: 4 })),
    );
    const note = inside
      ? [text("the die is in the way", { x: dieX + 40, y: dieY + 52, class: "note" })]
      : [
          text("the die, outside", { x: dieX + 40, y: dieY + 6, class: "note" }),
          text("\u03b5", { x: dieX - 52, y: dieY + 7, class: "sym-eps big" }),
        ];
    const frame = {
      viewBox: `10 30 820 ${inside ? 240 : 335}`,
      role: "img",
      "aria-label": `Graph of the computation: ${SAID[where]}.`,
    };
    this.element.replaceChildren(svg("svg", frame, ...edges, ...shown.map((id) => this.#node(id)), die, ...note));
  }

  /** @param {string} id */
  #node(id) {
    const [symbol, written, x, y] = NODES[id];
    const shape =
      written.length > 2
        ? svg("rect", { x: x - 58, y: y - 24, width: 116, height: 48, rx: 10 })
        : svg("circle", { cx: x, cy: y, r: symbol ? 24 : 16 });
    return svg(
      "g",
      { class: `node ${symbol && `sym-${symbol}`}` },
      shape,
      text(written, { x, y: y + 7, "text-anchor": "middle" }),
    );
  }
}
