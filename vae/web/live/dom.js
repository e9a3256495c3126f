/* Small helpers to build and style elements; no state.

   h(tag, properties, ...children)  element; properties: class, data-*, aria-*, on<event>, any attribute;
                                    a value of null, undefined or false leaves the attribute out.
   icon(name)                       inline SVG, 20 x 20, drawn in the text colour.
   button(icon, label, onclick)     button with icon and words.
   signed(value)                    "+1.20", "−0.35", "0.00": a true minus sign, so that columns line up.
   spoken(value)                    "plus 1.2 sigma", for screen readers. */

const SVG = "http://www.w3.org/2000/svg";

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
};

export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function button(name, label, onclick, properties = {}) {
  const given = { type: "button", class: "button", ...(onclick && { onclick }), ...properties };
  return h("button", given, icon(name), h("span", {}, label));
}

export function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return (value < 0 ? "\u2212" : "+") + text;
}

export function spoken(value) {
  const text = Math.abs(value).toFixed(1);
  if (Number(text) === 0) return "zero sigma";
  return `${value < 0 ? "minus" : "plus"} ${text} sigma`;
}
