/* Small helpers to build and style elements, and what pages do beside; no state.

   h(tag, properties, ...children)  element; properties: class, data-*, aria-*, on<event>, any attribute;
                                    a value of null, undefined or false leaves the attribute out.
   icon(name)                       inline SVG, 20 x 20, drawn in the text colour.
   button(icon, label, onclick)     button with icon and words.
   radios(name, label, choices, onchange, options)   radio buttons in a row: .element, .choose(value) checks one.
                                    choices: [value, words, title?]; options: {chosen, class}
   svg(tag, properties, ...children)  an element of SVG
   fill(select, items, value)       options of a select, in their groups; items: [{id, title, group?}]
   download(blob, name)             hand a file to the visitor
   pause(ms)                        Promise */

const SVG = "http://www.w3.org/2000/svg";

/** @type {Record<string, string>} */
const ICONS = {
  dice: "M5 3.5h10A1.5 1.5 0 0 1 16.5 5v10a1.5 1.5 0 0 1-1.5 1.5H5A1.5 1.5 0 0 1 3.5 15V5A1.5 1.5 0 0 1 5 3.5zM7.2 7.2h.01M12.8 7.2h.01M10 10h.01M7.2 12.8h.01M12.8 12.8h.01",
  mean: "M3 15.5c3.5 0 4-10 7-10s3.5 10 7 10M10 5.5v10",
  reset: "M4.2 8.2A6.2 6.2 0 1 1 3.8 11.5M4 4.2v4h4",
  undo: "M4 8h8a4 4 0 0 1 0 8H8M7.2 4.5 3.7 8l3.5 3.5",
  redo: "M16 8H8a4 4 0 0 0 0 8h4M12.8 4.5 16.3 8l-3.5 3.5",
  jitter: "M2.5 10h2l1.7-5 2.8 10 2.6-8 1.8 5 1.2-2h2.9",
  compare: "M10 3v14M8 5.5H4.5a1 1 0 0 0-1 1v7a1 1 0 0 0 1 1H8M12 5.5h3.5a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H12",
  lock: "M5.5 9h9v7h-9zM7.2 9V6.5a2.8 2.8 0 0 1 5.6 0V9",
  unlock: "M5.5 9h9v7h-9zM7.2 9V6a2.8 2.8 0 0 1 5.4-1",
  search: "M8.8 14.1a5.3 5.3 0 1 0 0-10.6 5.3 5.3 0 0 0 0 10.6zM12.7 12.7l3.8 3.8",
  close: "M5.5 5.5l9 9M14.5 5.5l-9 9",
  play: "M6 4.5v11l9-5.5z",
  stop: "M5.5 5.5h9v9h-9z",
  step: "M5 5v10l6.5-5zM14.5 5v10",
  mute: "M3.5 8v4H6l4 3.5v-11L6 8zM13 8l4 4M17 8l-4 4",
  save: "M10 3.5v9M6.5 9.2l3.5 3.6 3.5-3.6M4 16.5h12",
  eye: "M2.5 10S5.2 5 10 5s7.5 5 7.5 5-2.7 5-7.5 5S2.5 10 2.5 10zM10 12.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z",
  parts: "M3.5 3.5h6v6h-6zM10.5 10.5h6v6h-6zM10.5 3.5h6v6h-6zM3.5 10.5h6v6h-6z",
  curve: "M3.5 3.5v13h13M6 7c3 0 3 6 9.5 6.5",
};

/** @typedef {Node | string | null | undefined} Child */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number>} properties
 * @param {...Node} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, properties, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(properties)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

/** @param {string} name */
export function icon(name) {
  return svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true", class: "icon" }, svg("path", { d: ICONS[name] }));
}

/**
 * @param {string} name
 * @param {string} label
 * @param {((event: MouseEvent) => void) | undefined} onclick
 * @param {Record<string, any>} [properties]
 */
export function button(name, label, onclick, properties = {}) {
  const given = { type: "button", class: "button", ...(onclick && { onclick }), ...properties };
  return h("button", given, icon(name), h("span", {}, label));
}

/**
 * @param {string} name
 * @param {string} label
 * @param {string[][]} choices
 * @param {(value: string) => void} onchange
 * @param {{chosen?: string, class?: string}} [options]
 */
export function radios(name, label, choices, onchange, options = {}) {
  const inputs = choices.map(([value]) => h("input", {
    type: "radio", name, value, checked: value === options.chosen, onchange: () => onchange(value) }));
  const labels = choices.map(([, words, title], i) => h("label", { title }, inputs[i], h("span", {}, words)));
  return {
    element: h("div", { class: options.class ?? "segments", role: "radiogroup", "aria-label": label }, labels),
    /** @param {string} value */
    choose: (value) => inputs.forEach((input) => (input.checked = input.value === value)),
  };
}

/**
 * @param {HTMLSelectElement} select
 * @param {{id: string, title: string | number, group?: string}[]} items
 * @param {string} [value]
 */
export function fill(select, items, value) {
  /** @type {Map<string, HTMLOptionElement[]>} */
  const groups = new Map();
  for (const { id, title, group = "" } of items) {
    groups.set(group, [...(groups.get(group) ?? []), h("option", { value: id }, String(title))]);
  }
  select.replaceChildren(...[...groups].flatMap(([group, options]) => (group ? [h("optgroup", { label: group }, options)] : options)));
  if (value !== undefined) select.value = value;
}

/**
 * @param {Blob} blob
 * @param {string} name
 */
export function download(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {number} ms */
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
