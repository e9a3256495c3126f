/* Numbers on the wire, as the server reads and writes them: little-endian float32, base64, bit masks.

   decodeFloats(text) encodeFloats(array)   base64 <-> Float32Array
   decodeDoubles(text)                      base64 -> Float64Array
   fromBase64(text) toBase64(bytes)         base64 <-> bytes
   halves(buffer)                           float16 -> Float32Array
   joined(parts)                            arrays of numbers one after another, as one Float32Array
   bits(mask)                               one bit an item, lowest bit first, base64
   unpacked(buffer)                         {head, data}: uint32 length, a JSON head, then bytes */

/** @param {string} text */
export function fromBase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** @param {Uint8Array} bytes */
export function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

/** @param {string} text */
export function decodeFloats(text) {
  return new Float32Array(fromBase64(text).buffer);
}

/** @param {string} text */
export function decodeDoubles(text) {
  return new Float64Array(fromBase64(text).buffer);
}

/** @param {Float32Array} array */
export function encodeFloats(array) {
  return toBase64(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
}

/** @param {ArrayBuffer} buffer */
export function halves(buffer) {
  return Float32Array.from(new Uint16Array(buffer), (bits) => {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24; // all of ours are finite
    return bits & 32768 ? -size : size;
  });
}

/** @param {ArrayLike<number>[]} parts */
export function joined(parts) {
  const all = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** @param {Uint8Array} mask */
export function bits(mask) {
  const bytes = new Uint8Array(Math.ceil(mask.length / 8));
  mask.forEach((v, i) => v && (bytes[i >> 3] |= 1 << (i & 7)));
  return toBase64(bytes);
}

/** @param {ArrayBuffer} buffer */
export function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { head, data: buffer.slice(4 + length) };
}
