/* The two eye marks on a photo: dragged, or moved by the arrow keys (five times as far with Shift).

   eyeMarks({region, eyes, of, onsettle})   SVG to lie over the photo's picture
     region   [left, top, width, height], the part of the photo that is shown, in its pixels
     eyes     [[x, y], [x, y]], picture-left first
     of       whose eyes, for who hears the page
     onmove(points)     where they are while they move
     onsettle(points)   where they were let go, once they have moved */

import { svg } from "./dom.js";
import { clamp } from "./numbers.js";

const SETTLE_MS = 500; // after the last key

/** @typedef {(points: number[][]) => void} Told */
/** @param {{region: number[], eyes: number[][], of: string, onmove?: Told, onsettle?: Told}} settings */
export function eyeMarks({ region, eyes, of, onmove, onsettle }) {
  const [left, top, width, height] = region;
  const overlay = svg("svg", { viewBox: region.join(" "), class: "marks", role: "group" });
  const unit = Math.max(width, height) / 100;
  const points = eyes.map((eye) => [...eye]);
  const line = svg("line", { class: "between", "stroke-width": 0.5 * unit });
  overlay.append(line);
  const marks = points.map((_, i) => {
    const label = `${i ? "Right" : "Left"} eye in the picture of ${of}; move it with the arrow keys`;
    const mark = svg("g", { class: "eye", tabindex: 0, role: "button", "aria-label": label });
    mark.append(svg("circle", { r: 5.5 * unit, class: "grip" }), svg("circle", { r: 1.9 * unit, class: "ring", "stroke-width": 0.8 * unit }));
    overlay.append(mark);
    return mark;
  });
  const draw = () => {
    marks.forEach((mark, i) => mark.setAttribute("transform", `translate(${points[i][0]} ${points[i][1]})`));
    points.forEach(([x, y], i) => {
      line.setAttribute(`x${i + 1}`, String(x));
      line.setAttribute(`y${i + 1}`, String(y));
    });
  };
  draw();
  const settle = () => {
    if (points.some((p, i) => p[0] !== eyes[i][0] || p[1] !== eyes[i][1])) onsettle?.(points);
  };
  const place = (i, x, y) => {
    points[i] = [clamp(x, left, left + width), clamp(y, top, top + height)];
    draw();
    onmove?.(points);
  };
  marks.forEach((mark, i) => {
    let held = false;
    mark.addEventListener("pointerdown", (event) => {
      held = true;
      mark.setPointerCapture(event.pointerId);
      event.preventDefault();
      mark.focus();
    });
    mark.addEventListener("pointermove", (event) => {
      if (!held) return;
      const area = overlay.getBoundingClientRect();
      place(i, left + ((event.clientX - area.left) / area.width) * width, top + ((event.clientY - area.top) / area.height) * height);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      mark.addEventListener(name, () => {
        if (held) settle();
        held = false;
      });
    }
    let waiting = 0;
    mark.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step) return;
      event.preventDefault();
      const size = Math.max(1, width / 400) * (event.shiftKey ? 5 : 1);
      place(i, points[i][0] + size * step[0], points[i][1] + size * step[1]);
      clearTimeout(waiting);
      waiting = setTimeout(settle, SETTLE_MS);
    });
  });
  return overlay;
}
