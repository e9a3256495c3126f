/* Formulas and symbols: KaTeX where it is installed, else the formula in a line; hovering a symbol lights the others.

   formulas(list)        an element; list: [{tex, plain}]
   lighting(root)        under the pointer and the focus, all of one symbol light up
   code(snippet, href)   the project's own code, its symbols in their colours */

import { h } from "../live/dom.js";
import { address } from "../live/net.js";

/** @type {Promise<any> | null} */
let loading = null;

/* Fonts of a shadow tree are not loaded, so the sheet stands in the document too. */
function katex() {
  if (!loading) {
    const link = () => h("link", { rel: "stylesheet", href: address("katex/katex.min.css") });
    document.head.append(link());
    loading = import(address("katex/katex.mjs")).then((module) => module.default);
  }
  return loading;
}

/** @param {{tex: string, plain: string}[]} list */
export function formulas(list) {
  const rows = list.map(({ plain }) => h("p", { class: "formula" }, plain));
  const element = h("div", { class: "formulas", "aria-label": "Formulas" }, rows);
  katex().then(
    (set) => {
      element.prepend(h("link", { rel: "stylesheet", href: address("katex/katex.min.css") }));
      const trust = ({ command }) => command === "\\htmlClass";
      list.forEach(({ tex }, i) =>
        set.render(tex, rows[i], { displayMode: true, throwOnError: false, strict: false, trust }),
      );
    },
    () => element.setAttribute("data-plain", ""),
  );
  return element;
}

const TOKENS = { x: "x", y: "y", mu: "mu", logvar: "sigma", eps: "eps", z: "z" };

/** @param {{name: string, where: string, line: string, code: string}} snippet */
export function code({ name, where, line, code: text }) {
  const parts = text
    .split(/\b(x|y|mu|logvar|eps|z)\b/)
    .map((part, i) => (i % 2 ? h("span", { class: `sym-${TOKENS[part]}` }, part) : part));
  const link = h(
    "a",
    { href: address("api/learn/source", { of: name }), target: "_blank", rel: "noopener" },
    `${where}, line ${line}`,
  );
  return h(
    "div",
    { class: "code" },
    h("pre", { tabindex: 0, "aria-label": `Code of ${where}` }, h("code", {}, parts)),
    h("p", {}, link),
  );
}

/** @param {HTMLElement} root */
export function lighting(root) {
  const symbol = (target) => {
    const found = target instanceof Element && target.closest("[class*='sym-'], [data-symbol]");
    if (!found) return null;
    return found.getAttribute("data-symbol") ?? found.getAttribute("class")?.match(/sym-(\w+)/)?.[1] ?? null;
  };
  const light = (event) => {
    const lit = symbol(event.target);
    if (lit) root.setAttribute("data-lit", lit);
    else root.removeAttribute("data-lit");
  };
  for (const name of ["pointerover", "focusin"]) root.addEventListener(name, light);
  for (const name of ["pointerleave", "focusout"]) root.addEventListener(name, () => root.removeAttribute("data-lit"));
}
