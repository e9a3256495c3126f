/* What is drawn on the map beside its dots and pictures: axes below them, marks above them.

   inkOf(element)               the colours of the page: {accent, ground, text, second}
   drawAxes(context, map)
   drawMarks(context, map)      where the code in hand is, its ellipse, neighbours, stops, placed pictures, the outline of a
                                selection under way, the crosshair
   framed(context, picture, x, y, side, frame)   a picture with rounded corners around (x, y) */

/** @typedef {CanvasRenderingContext2D} Canvas */
/** @typedef {import("./map.js").MapView} MapView */
/** @typedef {import("../live/canvas.js").Tile} Tile */

const TAU = 2 * Math.PI;

/** @param {Element} element */
export function inkOf(element) {
  const style = getComputedStyle(element);
  const get = (name) => style.getPropertyValue(name).trim();
  return { accent: get("--accent"), ground: get("--ground"), text: get("--ink"), second: get("--second") };
}

/**
 * @param {Canvas} context
 * @param {MapView} map
 */
export function drawAxes(context, map) {
  const { ink } = map;
  if (!map.labels[0]) return;
  const { width, height } = map.size;
  const { x0, y0, x1, y1 } = map.window();
  const step = nice(90 / map.camera.scale);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  context.font = "11px " + getComputedStyle(map.element).fontFamily;
  context.lineWidth = 1;
  const text = (words, x, y, align) => {
    context.textAlign = align;
    context.lineWidth = 3;
    // On decoded pictures, white on black reads in either theme.
    context.strokeStyle = map.backdrop?.on ? "#000" : ink.ground;
    context.strokeText(words, x, y);
    context.fillStyle = map.backdrop?.on ? "#fff" : ink.text;
    context.globalAlpha = map.backdrop?.on ? 1 : 0.7;
    context.fillText(words, x, y);
    context.globalAlpha = 1;
    context.lineWidth = 1;
  };
  const lines = (from, to, place) => {
    for (let k = Math.ceil(from / step); k <= to / step; k++) {
      context.strokeStyle = ink.text;
      context.globalAlpha = k === 0 ? 0.28 : 0.07;
      context.beginPath();
      place(k * step);
      context.stroke();
      context.globalAlpha = 1;
    }
  };
  lines(x0, x1, (x) => {
    const px = Math.round(map.toScreen(x, 0)[0]) + 0.5;
    context.moveTo(px, 0);
    context.lineTo(px, height);
  });
  lines(y0, y1, (y) => {
    const py = Math.round(map.toScreen(0, y)[1]) + 0.5;
    context.moveTo(0, py);
    context.lineTo(width, py);
  });
  const figure = (v) => (Math.abs(v) < step / 2 ? "0" : v.toFixed(digits).replace("-", "\u2212"));
  for (let k = Math.ceil(x0 / step); k <= x1 / step; k++) {
    const px = map.toScreen(k * step, 0)[0];
    if (px > 60 && px < width - 110) text(figure(k * step), px, height - 8, "center");
  }
  for (let k = Math.ceil(y0 / step); k <= y1 / step; k++) {
    const py = map.toScreen(0, k * step)[1];
    if (py > 64 && py < height - 30) text(figure(k * step), 8, py + 4, "left");
  }
  const unit = map.unit ? ` (${map.unit})` : "";
  context.font = "600 12px " + getComputedStyle(map.element).fontFamily;
  text(`${map.labels[0]}${unit} \u2192`, width - 12, height - 8, "right");
  text(`\u2191 ${map.labels[1]}${unit}`, 10, height - 8, "left");
}

/**
 * @param {Canvas} context
 * @param {MapView} map
 */
export function drawMarks(context, map) {
  const { marks, ink } = map;
  /** @type {(width: number, colour: string) => void} */
  const stroke = (width, colour) => {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  };
  const circle = (x, y, r) => {
    context.beginPath();
    context.arc(x, y, r, 0, TAU);
  };
  const ring = (x, y, r, colour, width) => {
    circle(x, y, r);
    stroke(width + 3, ink.ground);
    stroke(width, colour);
  };
  for (const i of marks.dots ?? []) ring(...map.toScreen(map.xy[2 * i], map.xy[2 * i + 1]), 5, ink.second, 1.5);
  for (const picture of marks.placed ?? []) {
    const [px, py] = map.toScreen(picture.x, picture.y);
    const { image } = picture;
    const tile = image && { image, sx: 0, sy: 0, size: image.width };
    framed(context, tile, px, py, 40, { radius: 8, colour: ink.second, width: 2.5 });
  }
  if (marks.line?.length) {
    context.beginPath();
    for (const [x, y] of marks.line) context.lineTo(...map.toScreen(x, y));
    context.lineJoin = "round";
    stroke(5, ink.ground);
    stroke(2.5, ink.second);
  }
  (marks.stops ?? []).forEach(([x, y], i) => {
    const [px, py] = map.toScreen(x, y);
    circle(px, py, 10);
    context.fillStyle = ink.second;
    context.fill();
    stroke(2, ink.ground);
    context.fillStyle = ink.ground;
    context.font = "600 11px " + getComputedStyle(map.element).fontFamily;
    context.textAlign = "center";
    context.fillText(String(i + 1), px, py + 4);
  });
  if (marks.current) {
    const [px, py] = map.toScreen(...marks.current);
    if (marks.ellipse) drawEllipse(context, px, py, marks.ellipse, map);
    ring(px, py, 7, ink.accent, 2.5);
    circle(px, py, 2);
    context.fillStyle = ink.accent;
    context.fill();
  }
  const { outline } = map;
  if (outline) {
    context.beginPath();
    for (const [px, py] of outline) context.lineTo(px, py);
    context.closePath();
    context.globalAlpha = 0.12;
    context.fillStyle = ink.accent;
    context.fill();
    context.globalAlpha = 1;
    stroke(1.5, ink.accent);
  }
  if (map.cursor && map.crosshair) {
    const [px, py] = map.cursor.map((v) => Math.round(v) + 0.5);
    context.lineWidth = 1;
    context.globalAlpha = 0.55;
    context.strokeStyle = ink.text;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(px + 4 * dx, py + 4 * dy);
      context.lineTo(px + 11 * dx, py + 11 * dy);
    }
    context.stroke();
    context.globalAlpha = 1;
  }
}

/**
 * One and two sigma of a covariance [[a, b], [b, c]] in map units.
 * @param {Canvas} context
 * @param {number} px
 * @param {number} py
 * @param {number[][]} covariance
 * @param {MapView} map
 */
function drawEllipse(context, px, py, [[a, b], [, c]], map) {
  const { accent } = map.ink;
  const middle = (a + c) / 2, off = Math.hypot((a - c) / 2, b);
  const angle = 0.5 * Math.atan2(2 * b, a - c);
  const scale = map.camera.scale;
  for (const times of [1, 2]) {
    context.beginPath();
    const rx = times * scale * Math.sqrt(Math.max(middle + off, 0)), ry = times * scale * Math.sqrt(Math.max(middle - off, 0));
    context.ellipse(px, py, Math.max(rx, 0.5), Math.max(ry, 0.5), -angle, 0, TAU);
    context.globalAlpha = times === 1 ? 0.16 : 0.07;
    context.fillStyle = accent;
    context.fill();
    context.globalAlpha = times === 1 ? 0.9 : 0.45;
    context.lineWidth = 1.5;
    context.strokeStyle = accent;
    context.stroke();
  }
  context.globalAlpha = 1;
}

/**
 * @param {Canvas} context
 * @param {Tile | undefined} tile
 * @param {number} x
 * @param {number} y
 * @param {number} side
 * @param {{radius: number, colour: string, width: number}} frame
 */
export function framed(context, tile, x, y, side, { radius, colour, width }) {
  const outline = () => {
    context.beginPath();
    context.roundRect(x - side / 2, y - side / 2, side, side, radius);
  };
  if (tile) {
    context.save();
    outline();
    context.clip();
    context.drawImage(tile.image, tile.sx, tile.sy, tile.size, tile.size, x - side / 2, y - side / 2, side, side);
    context.restore();
  }
  context.lineWidth = width;
  context.strokeStyle = colour;
  outline();
  context.stroke();
}

/** A round step of at least so much. @param {number} step */
function nice(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return power * ([1, 2, 5, 10].find((k) => k * power >= step) ?? 10);
}
