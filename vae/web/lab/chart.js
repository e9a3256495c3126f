/* Small charts in SVG.

   lines(series, options)    a line chart; series: [{id, title, points: [[x, y]]}]; options: {x, y, label, log, mark, line}
                             mark: an x that a vertical line stands at; onmark(x): it is dragged, or clicked
   bars(values, options)     one bar a value; options: {label, faint, title(i)}; faint: a second row of values behind
   METHODS                   order of the colours */

import { h, svg } from "../live/dom.js";

export const METHODS = ["vae", "pca", "webp", "jpeg", "avif"];
const WIDE = 560;
const HIGH = 250;
const LEFT = 44;
const BOTTOM = 34;
const TOP = 12;
const RIGHT = 12;

/**
 * @param {{id: string, title: string, points: number[][], dot?: boolean}[]} series
 * @param {{x: string, y: string, label: string, ticks: number[], mark?: number, onmark?: (x: number) => void}} options
 */
export function lines(series, { x, y, label, ticks, mark, onmark }) {
  const all = series.flatMap(({ points }) => points);
  const [low, high] = [Math.min(...ticks), Math.max(...ticks)];
  const ys = all.map(([, v]) => v);
  const room = Math.max(Math.max(...ys) - Math.min(...ys), 1e-6) * 0.08;
  const [bottom, top] = [Math.min(...ys) - room, Math.max(...ys) + room];
  const px = (v) => LEFT + (WIDE - LEFT - RIGHT) * Math.log(v / low) / Math.log(high / low);
  const py = (v) => TOP + (HIGH - TOP - BOTTOM) * (1 - (v - bottom) / (top - bottom));
  const step = nice((top - bottom) / 4);
  const grid = [];
  for (let v = Math.ceil(bottom / step) * step; v <= top; v += step) {
    grid.push(svg("line", { x1: LEFT, x2: WIDE - RIGHT, y1: py(v), y2: py(v), class: "grid" }),
      text(LEFT - 6, py(v) + 4, step < 1 ? v.toFixed(1) : String(Math.round(v)), "end"));
  }
  for (const v of ticks) grid.push(text(px(v), HIGH - BOTTOM + 16, String(v), "middle"));
  grid.push(text((LEFT + WIDE) / 2, HIGH - 3, x, "middle"), text(LEFT - 36, TOP - 1, y, "start"));
  const drawn = series.filter(({ points }) => points.length).map(({ id, points, dot }) => svg("g", { "data-series": id },
    svg("path", { d: points.map(([a, b], i) => `${i ? "L" : "M"}${px(a).toFixed(1)} ${py(b).toFixed(1)}`).join(""), class: "line" }),
    ...(dot || points.length === 1 ? points.map(([a, b]) => svg("circle", { cx: px(a), cy: py(b), r: 4.5 })) : [])));
  const picture = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "chart", role: "img", "aria-label": label }, ...grid, ...drawn);
  if (mark !== undefined) picture.append(svg("line", { x1: px(mark), x2: px(mark), y1: TOP, y2: HIGH - BOTTOM, class: "mark" }));
  if (onmark) {
    picture.classList.add("moves");
    const at = (event) => {
      const box = picture.getBoundingClientRect();
      const share = ((event.clientX - box.left) / box.width * WIDE - LEFT) / (WIDE - LEFT - RIGHT);
      onmark(Math.round(low * (high / low) ** Math.max(0, Math.min(1, share))));
    };
    picture.addEventListener("pointerdown", at);
    picture.addEventListener("pointermove", (event) => event.buttons && at(event));
  }
  const legend = h("ul", { class: "legend" }, series.filter(({ points }) => points.length).map(({ id, title }) => h("li", { "data-series": id }, title)));
  return h("div", { class: "charted" }, picture, legend);
}

/** @param {number} value */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return power * ([1, 2, 5].find((one) => one * power >= value) ?? 10);
}

function text(x, y, words, anchor) {
  const node = svg("text", { x, y, "text-anchor": anchor });
  node.textContent = words;
  return node;
}

/**
 * @param {number[]} values
 * @param {{label: string, faint?: number[], title: (i: number) => string}} options
 */
export function bars(values, { label, faint = [], title }) {
  const most = Math.max(...values, ...faint, 1e-9);
  const wide = WIDE / values.length;
  const bar = (value, i, kind) => {
    const high = Math.max(1, 88 * value / most);
    const node = svg("rect", { x: i * wide + wide * 0.1, width: Math.max(0.8, wide * 0.8), y: 92 - high, height: high, class: kind });
    const said = svg("title", {});
    said.textContent = title(i);
    node.append(said);
    return node;
  };
  return svg("svg", { viewBox: `0 0 ${WIDE} 94`, class: "chart bars", role: "img", "aria-label": label, preserveAspectRatio: "none" },
    ...faint.map((value, i) => bar(value, i, "usual")), ...values.map((value, i) => bar(value, i, "own")));
}
