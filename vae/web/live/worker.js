/* Decodes in a thread of its own with ONNX Runtime Web.

   Messages in:  {type: "load", parts: {full} | {head, tail} | {full, light}, and {dynamics}, gpu, threads}
                 {type: "step", id, packed, latent}   packed: z, before (latent numbers each), action, action before
                 {type: "decode", id, z, style, delta?, whole}   style: {levels, size, latent, feature} of the decoder, levels 0 if
                 flat, feature: [channels, side]; features: [{id, share}] of photos, held: whether the one gives way to edits;
                 delta stays as it was where the message leaves it out. whole: by the full decoder, else by the light
                 one or by the head alone.
   Messages out: {type: "stepped", id, z, spread}
                 {type: "ready", provider, threads} | {type: "failed", reason}
                 {type: "image", id, pixels, size, ms} | {type: "error", id, reason, refused}   refused: by the server, so the engine itself is well */

import { halves } from "./floats.js";
import { address, ask, Refused } from "./net.js";

let ort;
let head; // z (and delta) -> features and small picture, or -> image where there is no tail
let tail;
let light;
let dynamics; // where a code goes when somebody acts
let delta = null;
/** Of photos by name, the offset and its anchor one after the other. @type {Map<string, Float32Array>} */
const details = new Map();
const KEPT = 8;
let sum = { key: "", offset: new Float32Array(0) };

async function open(path, provider) {
  const response = await ask(path);
  const options = { executionProviders: [provider], graphOptimizationLevel: "all" };
  return ort.InferenceSession.create(new Uint8Array(await response.arrayBuffer()), options);
}

/* An adapter that is a real device; a software one is far slower than WASM. */
async function hasGpu() {
  const adapter = await self.navigator.gpu?.requestAdapter().catch(() => null);
  const info = adapter?.info;
  if (!adapter || /** @type {any} */ (adapter).isFallbackAdapter) return false; // older browsers say it there
  return !info?.isFallbackAdapter && info?.architecture !== "swiftshader";
}

async function load({ parts, gpu, threads }) {
  const onGpu = gpu && (await hasGpu());
  const provider = onGpu ? "webgpu" : "wasm";
  ort = await import(address(`ort/ort.${provider}.bundle.min.mjs`));
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = address("ort/");
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threads : 1;
  head = await open(parts.head ?? parts.full, provider);
  tail = parts.tail ? await open(parts.tail, provider) : null;
  light = parts.light ? await open(parts.light, provider) : null;
  dynamics = parts.dynamics ? await open(parts.dynamics, "wasm") : null; // far too small for a trip to the GPU
  return { provider, threads: ort.env.wasm.numThreads };
}

/* float32 (1, c, s, s) in [-1, 1] -> RGBA bytes. */
function toPixels(tensor) {
  const [, channels, height, width] = tensor.dims;
  const n = height * width;
  const from = tensor.data;
  const pixels = new Uint8ClampedArray(4 * n); // clamps and rounds
  const green = channels === 3 ? n : 0;
  for (let i = 0, o = 0; i < n; i++, o += 4) {
    pixels[o] = (from[i] + 1) * 127.5;
    pixels[o + 1] = (from[i + green] + 1) * 127.5;
    pixels[o + 2] = (from[i + 2 * green] + 1) * 127.5;
    pixels[o + 3] = 255;
  }
  return { pixels, size: width };
}

function inputs(z, style) {
  if (!style.levels) return { z: new ort.Tensor("float32", z, [1, z.length]) };
  const d = style.latent;
  let byLevel = z;
  if (z.length === d) {
    byLevel = new Float32Array(style.levels * d);
    for (let level = 0; level < style.levels; level++) byLevel.set(z, level * d);
  }
  const offsets = delta ?? new Float32Array(style.levels * style.size);
  return {
    z: new ort.Tensor("float32", byLevel, [1, style.levels, d]),
    delta: new ort.Tensor("float32", offsets, [1, style.levels, style.size]),
  };
}

/** @param {string} id */
async function detail(id) {
  const known = details.get(id) ?? halves(await (await ask(`api/features/${encodeURIComponent(id)}`)).arrayBuffer());
  details.delete(id); // to the end of the line: the oldest goes first
  details.set(id, known);
  if (details.size > KEPT) details.delete([...details.keys()][0]);
  return known;
}

/* The feature offset of some photos, and the map that it was found at; one number a channel, 0, stands for none. */
async function featureInputs(features, held, { feature: [channels, side] }) {
  const n = channels * side * side;
  const none = () => new ort.Tensor("float32", new Float32Array(channels), [1, channels, 1, 1]);
  if (!features.length) return { feature: none(), anchor: none() };
  const known = await Promise.all(features.map(({ id }) => detail(id)));
  const key = features.map(({ id, share }) => `${id} ${share}`).join();
  if (key !== sum.key) {
    const offset = new Float32Array(n);
    features.forEach(({ share }, k) => {
      for (let i = 0; i < n; i++) offset[i] += share * known[k][i];
    });
    sum = { key, offset };
  }
  const map = (values) => new ort.Tensor("float32", values, [1, channels, side, side]);
  return { feature: map(sum.offset), anchor: held && known.length === 1 ? map(known[0].subarray(n)) : none() };
}

async function decode({ z, style, whole, features, held }) {
  const start = performance.now();
  const given = inputs(z, style);
  if (style.levels && (whole || !light)) Object.assign(given, await featureInputs(features, held, style));
  let found = await (whole || !light ? head : light).run(given);
  let image = found.image;
  if (tail) {
    if (whole) {
      found = await tail.run(Object.fromEntries(tail.inputNames.map((name) => [name, found[name] ?? given[name]])));
      image = found.image;
    } else {
      image = found[head.outputNames.find((name) => name.startsWith("rgb."))];
    }
  }
  return { ...toPixels(image), ms: performance.now() - start };
}

async function step({ packed, latent }) {
  const actions = (packed.length - 2 * latent) / 2;
  const part = (from, length) => new ort.Tensor("float32", packed.slice(from, from + length), [1, length]);
  const { next, spread } = await dynamics.run({
    z: part(0, latent), before: part(latent, latent),
    action: part(2 * latent, actions), action_before: part(2 * latent + actions, actions),
  });
  return { z: Float32Array.from(next.data), spread: Float32Array.from(spread.data) };
}

/** @param {any} error */
const reason = (error) => String(error?.message ?? error);

async function answer(data) {
  if (data.type === "load") {
    try {
      self.postMessage({ type: "ready", ...(await load(data)) });
    } catch (error) {
      self.postMessage({ type: "failed", reason: reason(error) });
    }
    return;
  }
  if (data.delta !== undefined) delta = data.delta;
  try {
    if (data.type === "step") return void self.postMessage({ type: "stepped", id: data.id, ...(await step(data)) });
    const image = await decode(data);
    self.postMessage({ type: "image", id: data.id, ...image }, { transfer: [image.pixels.buffer] });
  } catch (error) {
    self.postMessage({ type: "error", id: data.id, reason: reason(error), refused: error instanceof Refused });
  }
}

let turn = Promise.resolve(); // a session runs one decode at a time
self.onmessage = ({ data }) => (turn = turn.then(() => answer(data)));
