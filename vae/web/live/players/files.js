/* Music as files that other programs open.

   wav(samples, rate)       Float32Array in [-1, 1], one channel -> bytes of a 16-bit WAV
   midi(notes, tempo)       notes -> bytes of a standard MIDI file, format 0; tempo: quarters a minute */

const DIVISION = 480; // ticks a quarter
const SIXTEENTH = DIVISION / 4;
const LOUD = 80;

/**
 * @param {Float32Array} samples
 * @param {number} rate samples a second
 */
export function wav(samples, rate) {
  const bytes = new Uint8Array(44 + 2 * samples.length);
  const view = new DataView(bytes.buffer);
  const text = (at, word) => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, bytes.length - 8, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // whole numbers, not packed
  view.setUint16(22, 1, true); // one channel
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, value))), true));
  return bytes;
}

/** A number in groups of 7 bits, the highest first, all but the last marked. @param {number} value */
function varying(value) {
  const bytes = [value & 127];
  for (let rest = value >> 7; rest; rest >>= 7) bytes.unshift(128 | (rest & 127));
  return bytes;
}

/** @param {number} value */
const big = (value, count = 4) => Array.from({ length: count }, (_, i) => (value >> (8 * (count - 1 - i))) & 255);

/**
 * @param {import("./notes.js").Note[]} notes
 * @param {number} tempo
 */
export function midi(notes, tempo) {
  const events = notes.flatMap(({ start, end, pitch }) => [
    { at: start * SIXTEENTH, order: 1, bytes: [0x90, pitch, LOUD] },
    { at: end * SIXTEENTH, order: 0, bytes: [0x80, pitch, 0] }, // ends first, so that a repeated note begins anew
  ]);
  events.sort((a, b) => a.at - b.at || a.order - b.order || a.bytes[1] - b.bytes[1]);
  const track = [0, 0xff, 0x51, 3, ...big(Math.round(60_000_000 / tempo), 3)];
  let now = 0;
  for (const { at, bytes } of events) {
    track.push(...varying(at - now), ...bytes);
    now = at;
  }
  track.push(0, 0xff, 0x2f, 0);
  const word = (letters) => [...letters].map((letter) => letter.charCodeAt(0));
  return Uint8Array.from([...word("MThd"), ...big(6), ...big(0, 2), ...big(1, 2), ...big(DIVISION, 2), ...word("MTrk"), ...big(track.length), ...track]);
}
