/* Piano rolls as pictures and as notes: the same rule as vae/data/worlds/rolls.py.

   notesOf(pixels)          RGBA of a roll, SIZE x SIZE -> [{start, end, pitch}] by their start, then pitch
   rollOf(notes)            notes -> RGBA
   doubtful(pixels)         how many begins the model is unsure of: red that is neither dark nor bright
   hertz(pitch) spell(pitch)    of a MIDI number: 69 is the A of 440 Hz; "A4"

   A row is a semitone, the highest above; a column a sixteenth. Red is where a note begins, green and blue where one
   sounds. */

export const SIZE = 64;
export const LOWEST = 33;
export const HIGHEST = LOWEST + SIZE - 1;
const HALF = 127.5;
const UNSURE = [64, 191];
const NAMES = ["C", "C\u266f", "D", "E\u266d", "E", "F", "F\u266f", "G", "A\u266d", "A", "B\u266d", "B"];

/** @typedef {{start: number, end: number, pitch: number}} Note from the column start up to but without end */

/** @type {(pitch: number) => number} */
export const hertz = (pitch) => 440 * 2 ** ((pitch - 69) / 12);

/** @type {(pitch: number) => string} */
export const spell = (pitch) => `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;

/** @param {ArrayLike<number>} pixels */
export function notesOf(pixels) {
  /** @type {Note[]} */
  const notes = [];
  for (let row = 0; row < SIZE; row++) {
    let start = -1;
    for (let column = 0; column <= SIZE; column++) {
      const at = 4 * (row * SIZE + column);
      const on = column < SIZE && (pixels[at + 1] + pixels[at + 2]) / 2 > HALF;
      if (start >= 0 && (!on || pixels[at] > HALF)) {
        notes.push({ start, end: column, pitch: HIGHEST - row });
        start = -1;
      }
      if (on && start < 0) start = column;
    }
  }
  return notes.sort((a, b) => a.start - b.start || a.end - b.end || a.pitch - b.pitch);
}

/** @param {Note[]} notes */
export function rollOf(notes) {
  const pixels = new Uint8ClampedArray(4 * SIZE * SIZE);
  for (let i = 3; i < pixels.length; i += 4) pixels[i] = 255;
  const seen = notes.filter(({ start, end, pitch }) => pitch >= LOWEST && pitch <= HIGHEST && start >= 0 && start < SIZE && start < end);
  const place = (pitch, column) => 4 * ((HIGHEST - pitch) * SIZE + column);
  for (const { start, end, pitch } of seen) {
    for (let column = start; column < Math.min(end, SIZE); column++) {
      const at = place(pitch, column);
      pixels[at + 1] = pixels[at + 2] = 255;
    }
  }
  for (const { start, pitch } of seen) pixels[place(pitch, start)] = 255;
  return pixels;
}

/** @param {ArrayLike<number>} pixels */
export function doubtful(pixels) {
  let count = 0;
  for (let at = 0; at < 4 * SIZE * SIZE; at += 4) if (pixels[at] > UNSURE[0] && pixels[at] < UNSURE[1]) count += 1;
  return count;
}
