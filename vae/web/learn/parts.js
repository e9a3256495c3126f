/* Small parts of the steps.

   picture(side, label, options)    {element, canvas, show(x)}: a grey picture of numbers in [-1, 1], ink on paper
   difference(side, label)          the same for x' - x: too much ink in one colour, too little in the other
   slider(options)                  {element, input, set(value)}: a labelled range with its value
   choices(label, pictures, onpick) {element, pick(i), fill(pictures)}: a row of pictures of which one is taken
   bars(label, title)               {element, show(rows)}: one bar or two for each number of a code
   figure(caption, ...children)     a figure with its caption; it lights with the first symbol that the caption names
   value(symbol, id)                an output in a symbol's colour; listed(values, digits) writes several
   press(label, onclick)            a button of words; digitKey() says the colours of LABELS */

import { context } from "../live/canvas.js";
import { h } from "../live/dom.js";

/** @typedef {ArrayLike<number>} Numbers */

/**
 * @param {number} side
 * @param {string} label
 * @param {{class?: string, id?: string}} [options]
 */
export function picture(side, label, options = {}) {
  const canvas = h("canvas", {
    width: side,
    height: side,
    class: `ink ${options.class ?? ""}`,
    role: "img",
    "aria-label": label,
    "data-testid": options.id,
  });
  const on = context(canvas);
  const image = on.createImageData(side, side);
  return {
    element: canvas,
    canvas,
    /**
     * @param {Numbers} x
     * @param {string} [says]
     */
    show(x, says) {
      for (let i = 0; i < x.length; i++) {
        const v = Math.round((x[i] + 1) * 127.5);
        image.data.set([v, v, v, 255], 4 * i);
      }
      on.putImageData(image, 0, 0);
      if (says) canvas.setAttribute("aria-label", says);
    },
  };
}

/**
 * @param {number} side
 * @param {string} label
 */
export function difference(side, label) {
  const canvas = h("canvas", { width: side, height: side, class: "difference", role: "img", "aria-label": label });
  const on = context(canvas);
  const image = on.createImageData(side, side);
  return {
    element: canvas,
    /**
     * @param {Numbers} x
     * @param {Numbers} y
     */
    show(x, y) {
      for (let i = 0; i < x.length; i++) {
        const d = y[i] - x[i];
        image.data.set(d > 0 ? [37, 99, 235, 255 * Math.min(1, d)] : [220, 38, 38, 255 * Math.min(1, -d)], 4 * i);
      }
      on.putImageData(image, 0, 0);
    },
  };
}

/**
 * @typedef {object} Sliding
 * @property {string} label
 * @property {number} min
 * @property {number} max
 * @property {number} step
 * @property {number} value
 * @property {string} [symbol] whose colour it has
 * @property {string} [id] data-testid
 * @property {(v: number) => string} [write]
 * @property {(v: number) => void} onmove
 */

/** @param {Sliding} options */
export function slider({ label, min, max, step, value, symbol, id, write = (v) => String(v), onmove }) {
  const output = h("output", { class: symbol ? `sym-${symbol}` : "" }, write(value));
  const say = (v) => {
    output.textContent = write(v);
    input.setAttribute("aria-valuetext", `${label} ${write(v)}`);
    input.style.setProperty("--fill", `${(100 * (v - min)) / (max - min)}%`);
  };
  const input = h("input", {
    type: "range",
    min,
    max,
    step,
    value,
    "aria-label": label,
    "data-testid": id,
    oninput: () => {
      say(Number(input.value));
      onmove(Number(input.value));
    },
  });
  input.value = String(value);
  say(value);
  return {
    element: h("label", { class: "slider" }, h("span", { class: symbol ? `sym-${symbol}` : "" }, label), input, output),
    input,
    /** @param {number} v */
    set(v) {
      input.value = String(v);
      say(v);
    },
  };
}

let groups = 0;

/**
 * @param {string} label
 * @param {{x: Numbers, side: number, says: string}[]} pictures
 * @param {(i: number) => void} onpick
 */
export function choices(label, pictures, onpick) {
  const name = `learn-choice-${++groups}`;
  const element = h("div", { class: "choices", role: "radiogroup", "aria-label": label });
  /** @type {HTMLInputElement[]} */
  let inputs = [];
  const made = {
    element,
    /** @param {number} i */
    pick(i) {
      if (inputs[i]) inputs[i].checked = true;
    },
    /** @param {{x: Numbers, side: number, says: string}[]} list */
    fill(list) {
      inputs = list.map((each, i) =>
        h("input", { type: "radio", name, "aria-label": each.says, onchange: () => onpick(i) }),
      );
      element.replaceChildren(
        ...list.map((each, i) => {
          const tile = picture(each.side, "");
          tile.canvas.setAttribute("aria-hidden", "true");
          tile.show(each.x);
          return h("label", { title: each.says }, inputs[i], tile.element);
        }),
      );
    },
  };
  made.fill(pictures);
  return made;
}

/**
 * @param {string} label
 * @param {{symbol: string, says: string}[]} kinds
 */
export function bars(label, kinds) {
  const element = h("div", { class: "bars", role: "img", "aria-label": label });
  return {
    element,
    /**
     * Rows of one value a kind, all on one scale.
     * @param {number[][]} rows
     * @param {{most?: number, faint?: boolean[], write?: (v: number) => string}} [options]
     */
    show(rows, { most = Math.max(...rows.flat(), 1e-6), faint = [], write = (v) => v.toFixed(2) } = {}) {
      const spoken = (v, k) => `${kinds[k].says} ${write(v)}`;
      element.replaceChildren(
        ...rows.map((row, j) =>
          h(
            "div",
            { class: faint[j] ? "bar faint" : "bar" },
            h("span", { class: "nth" }, String(j + 1)),
            h(
              "span",
              { class: "rods" },
              row.map((v, k) =>
                h("i", {
                  class: `fill-${kinds[k].symbol}`,
                  style: `width:${Math.min(100, (100 * v) / most).toFixed(1)}%`,
                }),
              ),
            ),
            h(
              "span",
              { class: "values" },
              row.map((v, k) => h("b", { class: `sym-${kinds[k].symbol}` }, write(v))),
            ),
          ),
        ),
      );
      element.setAttribute(
        "aria-label",
        `${label}: ${rows.map((row, j) => `number ${j + 1}, ${row.map(spoken).join(", ")}`).join("; ")}`,
      );
    },
  };
}

/**
 * @param {string | Node} caption
 * @param {...(Node | string)} children
 */
export function figure(caption, ...children) {
  const named =
    caption instanceof Element
      ? [caption, ...caption.children].find((node) => node.className.startsWith("sym-"))
      : null;
  return h("figure", { "data-symbol": named?.className.slice(4) }, ...children, h("figcaption", {}, caption));
}

/**
 * @param {string} symbol
 * @param {string} [id]
 */
export function value(symbol, id) {
  return h("output", { class: `sym-${symbol}`, "data-testid": id });
}

/**
 * @param {string} label
 * @param {() => void} onclick
 * @param {Record<string, any>} [properties]
 */
export function press(label, onclick, properties = {}) {
  return h("button", { type: "button", class: "button plain", onclick, ...properties }, label);
}

/** Numbers in a row, with true minus signs. @param {Numbers} values */
export const listed = (values, digits = 3) =>
  Array.from(values, (v) => v.toFixed(digits).replace("-", "\u2212")).join(", ");

/** What colour each digit's dots have. */
export const digitKey = () =>
  h(
    "p",
    { class: "key", "aria-hidden": "true" },
    LABELS.map((colour, i) => h("span", {}, h("i", { style: `background:${colour}` }), String(i))),
  );

export const LABELS = [
  "#4269d0",
  "#d98a00",
  "#e0555a",
  "#3f9fa8",
  "#3c9c47",
  "#e06fa8",
  "#8a5cd1",
  "#6f8fd8",
  "#9c6b4e",
  "#7b8087",
];
