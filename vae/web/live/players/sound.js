/* Plays a roll in a loop, and whatever the roll has become meanwhile: each sixteenth is decided when its turn comes.

   new Sound(oncolumn)       oncolumn(column): that sixteenth is heard now
     .notes                  what to play, to be replaced at any time
     .start() .stop() .playing    no context, so no sound, before the first start
     .volume .muted .tempo   to be set; tempo: quarters a minute
     .analyser               of the running context: what is heard
   rendered(notes, tempo)    Promise of the same loop once, as samples: {samples, rate} */

import { SIZE, hertz } from "./notes.js";

/** @typedef {import("./notes.js").Note} Note */
/** @typedef {{tone: OscillatorNode, level: GainNode}} Voice */

const AHEAD = 0.12; // seconds that are decided in advance
const TICK_MS = 30;
const HARMONICS = [0, 1, 0.42, 0.22, 0.12, 0.06, 0.03]; // a soft reed
const LOUDNESS = 0.16; // of a voice, so that six together stay below 1
const ATTACK = 0.012;
const SUSTAIN = 0.55; // of the first loudness
const DECAY = 0.35;
const RELEASE = 0.05;
const RATE = 44_100;

/** @param {BaseAudioContext} context */
const timbre = (context) => context.createPeriodicWave(new Float32Array(HARMONICS.length), Float32Array.from(HARMONICS), { disableNormalization: true });

/**
 * @param {BaseAudioContext} context
 * @param {AudioNode} out
 * @param {PeriodicWave} wave
 * @returns {Voice}
 */
function begin(context, out, wave, pitch, at) {
  const tone = context.createOscillator();
  tone.setPeriodicWave(wave);
  tone.frequency.value = hertz(pitch);
  const level = context.createGain();
  level.gain.setValueAtTime(0, at);
  level.gain.linearRampToValueAtTime(LOUDNESS, at + ATTACK);
  level.gain.setTargetAtTime(LOUDNESS * SUSTAIN, at + ATTACK, DECAY);
  tone.connect(level).connect(out);
  tone.start(at);
  return { tone, level };
}

/** @param {Voice} voice */
function end({ tone, level }, at) {
  level.gain.cancelScheduledValues(at);
  level.gain.setTargetAtTime(0, at, RELEASE);
  tone.stop(at + 10 * RELEASE);
}

export class Sound {
  /** @type {Note[]} */
  notes = [];
  tempo = 84;
  playing = false;
  /** @type {AudioContext | null} */
  context = null;
  /** @type {AnalyserNode | null} */
  analyser = null;
  /** @type {Map<number, Voice>} by pitch */
  #voices = new Map();
  #volume = 0.7;
  #muted = false;
  #column = 0;
  #next = 0;
  #timer = 0;

  /** @param {(column: number) => void} oncolumn */
  constructor(oncolumn) {
    this.oncolumn = oncolumn;
  }

  get volume() {
    return this.#volume;
  }

  set volume(value) {
    this.#volume = value;
    this.#loud();
  }

  get muted() {
    return this.#muted;
  }

  set muted(value) {
    this.#muted = value;
    this.#loud();
  }

  #loud() {
    // Hearing is by ratio: the square gives the middle of the slider a middle loudness.
    if (this.context) this.master?.gain.setTargetAtTime(this.#muted ? 0 : this.#volume ** 2, this.context.currentTime, 0.015);
  }

  start() {
    if (this.playing) return;
    const context = (this.context ??= new AudioContext());
    if (!this.master) {
      this.wave = timbre(context);
      this.master = context.createGain();
      this.analyser = context.createAnalyser();
      this.analyser.fftSize = 16_384;
      this.master.gain.value = 0;
      this.master.connect(this.analyser).connect(context.destination);
    }
    context.resume();
    this.#loud();
    this.playing = true;
    this.#next = context.currentTime + 0.06;
    this.#column = 0;
    this.#timer = setInterval(() => this.#schedule(), TICK_MS);
    this.#schedule();
  }

  stop() {
    clearInterval(this.#timer);
    this.playing = false;
    const now = this.context?.currentTime ?? 0;
    for (const voice of this.#voices.values()) end(voice, now);
    this.#voices.clear();
  }

  close() {
    this.stop();
    this.context?.close();
    this.context = this.master = null;
  }

  #schedule() {
    const { context } = this;
    if (!context) return;
    if (this.#next < context.currentTime) this.#next = context.currentTime; // the page had slept
    while (this.#next < context.currentTime + AHEAD) {
      this.#turn(this.#column, this.#next);
      this.#column = (this.#column + 1) % SIZE;
      this.#next += 15 / this.tempo;
    }
  }

  /* One sixteenth: end what no longer sounds, begin what begins, or sounds and was not heard yet. */
  #turn(column, at) {
    const { context, master, wave } = this;
    if (!context || !master || !wave) return;
    const now = new Map(this.notes.filter(({ start, end: last }) => start <= column && column < last).map((note) => [note.pitch, note]));
    for (const [pitch, voice] of this.#voices) {
      const note = now.get(pitch);
      if (note && note.start !== column) continue;
      end(voice, at);
      this.#voices.delete(pitch);
    }
    for (const pitch of now.keys()) if (!this.#voices.has(pitch)) this.#voices.set(pitch, begin(context, master, wave, pitch, at));
    setTimeout(() => this.playing && this.oncolumn(column), 1000 * Math.max(0, at - context.currentTime));
  }
}

/**
 * @param {Note[]} notes
 * @param {number} tempo
 */
export async function rendered(notes, tempo) {
  const seconds = 15 / tempo;
  const context = new OfflineAudioContext(1, Math.ceil(RATE * (SIZE * seconds + 0.5)), RATE);
  const wave = timbre(context);
  for (const { start, end: last, pitch } of notes) end(begin(context, context.destination, wave, pitch, start * seconds), last * seconds);
  return { samples: (await context.startRendering()).getChannelData(0), rate: RATE };
}
