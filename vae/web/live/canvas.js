/* Pictures on canvases, and colours.

   pictureCanvas(model, name, label)      the canvas of one picture; data-testid is `name`
   context(canvas, options)               its 2d context
   fromRgb(bytes, width, height, start)   ImageData of raw RGB bytes
   unpacked(blob)                         Promise of {pixels, size} of a compressed square picture
   painted(image)                         a canvas that shows an ImageData
   sprite(blob, side)                     Promise of the tiles of a picture, row by row: [{image, sx, sy, size}]
   blit(canvas, tile, x, size)            draw a tile, scaled
   parse(colour)                          a CSS colour as [r, g, b]
   hex("#0f766e")                         the same of a hexadecimal one */

import { h } from "./dom.js";

/** @typedef {[number, number, number]} Rgb */
/** @typedef {{image: CanvasImageSource, sx: number, sy: number, size: number}} Tile */

const LARGE = 64; // pictures below this side are drawn with hard pixels

/**
 * @param {{image_size: number}} model
 * @param {string} name
 * @param {string} label
 */
export function pictureCanvas(model, name, label) {
  return h("canvas", {
    class: pixelated(model.image_size), "data-testid": name, "data-frame": 0, "data-engine": "server", role: "img", "aria-label": label,
  });
}

/** The class of a picture's canvas. @param {number} side */
export const pixelated = (side) => (side < LARGE ? "pixels" : "");

/**
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} [options]
 */
export function context(canvas, options) {
  const found = canvas.getContext("2d", options);
  if (!found) throw new Error("This browser gives no canvas to draw on; reload the page.");
  return found;
}

/** @param {Uint8Array} bytes */
export function fromRgb(bytes, width, height, start = 0) {
  const image = new ImageData(width, height);
  const { data } = image;
  for (let i = start, o = 0; o < data.length; i += 3, o += 4) {
    data[o] = bytes[i];
    data[o + 1] = bytes[i + 1];
    data[o + 2] = bytes[i + 2];
    data[o + 3] = 255;
  }
  return image;
}

/** @param {Blob} blob */
export async function unpacked(blob) {
  const image = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  const { width: size, height } = image;
  const on = context(h("canvas", { width: size, height }), { willReadFrequently: true });
  on.drawImage(image, 0, 0);
  return { pixels: on.getImageData(0, 0, size, height).data, size };
}

/** @param {ImageData} image */
export function painted(image) {
  const canvas = h("canvas", { width: image.width, height: image.height, class: pixelated(image.width) });
  context(canvas).putImageData(image, 0, 0);
  return canvas;
}

/**
 * @param {Blob} blob
 * @param {number} side
 * @returns {Promise<Tile[]>}
 */
export async function sprite(blob, side) {
  const image = await createImageBitmap(blob);
  const columns = image.width / side;
  return Array.from({ length: columns * (image.height / side) }, (_, i) => (
    { image, sx: (i % columns) * side, sy: Math.floor(i / columns) * side, size: side }));
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Tile} tile
 */
export function blit(canvas, tile, x = 0, size = canvas.width) {
  const on = context(canvas);
  on.imageSmoothingQuality = "high";
  on.drawImage(tile.image, tile.sx, tile.sy, tile.size, tile.size, x, 0, size, size);
}

/** @type {CanvasRenderingContext2D | undefined} */
let painter;

/**
 * @param {string} colour
 * @returns {Rgb}
 */
export function parse(colour) {
  painter ??= context(h("canvas", { width: 1, height: 1 }), { willReadFrequently: true });
  painter.fillStyle = "#808080"; // stays where the colour is none
  painter.fillStyle = colour;
  painter.fillRect(0, 0, 1, 1);
  const [r, g, b] = painter.getImageData(0, 0, 1, 1).data;
  return [r, g, b];
}

/**
 * @param {string} text
 * @returns {Rgb}
 */
export function hex(text) {
  const part = (at) => parseInt(text.slice(at, at + 2), 16);
  return [part(1), part(3), part(5)];
}
