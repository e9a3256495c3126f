"""The world chorales: four bars of Bach's four-voice chorales as piano rolls, in all twelve keys.

Only notes are read from the corpus, and only rolls go on from here; none of its files does. Every tenth chorale lies in
`test`, with all its bars and keys, the others in `train`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

from vae.data.worlds.rolls import HIGHEST, LOWEST, SIZE, Note, to_picture
from vae.data.worlds.world import Sample, World, folder_of, rng_of

BAR = 16  # sixteenths of a bar in 4/4
KEYS = range(-6, 6)  # semitones up
TEST_EVERY = 10
VOICES = 4


def _scores() -> list[Path]:
    return sorted((folder_of("music21") / "corpus" / "bach").glob("*.mxl"))


def _voices(score) -> list[list[Note]] | None:
    """The notes of four voices in sixteenths, ties joined; None where a score is no four-voice one in 4/4 throughout."""
    parts = list(score.parts)
    if len(parts) != VOICES:
        return None
    if {meter.ratioString for meter in score.flatten().getElementsByClass("TimeSignature")} - {"4/4", "C"}:
        return None
    voices = []
    for part in parts:
        notes: list[Note] = []
        for note in part.flatten().notes:
            for pitch in note.pitches[-1:]:
                start = round(float(note.offset) * 4)
                end = round(float(note.offset + note.quarterLength) * 4)
                tied = note.tie is not None and note.tie.type in ("stop", "continue")
                if tied and notes and notes[-1].pitch == pitch.midi and notes[-1].end == start:
                    notes[-1] = notes[-1]._replace(end=end)
                elif end > start:
                    notes.append(Note(start, end, pitch.midi))
        if not notes:
            return None
        voices.append(notes)
    return voices


def bars_of(begins: list[int]) -> list[int]:
    """Where whole bars begin, of measures that begin so, all in sixteenths, and an end.

    A phrase that is repeated may part a bar into two measures, such as 12 and 4: they are one bar.
    """
    lengths = [b - a for a, b in itertools.pairwise(begins)]
    parted = [a + b == BAR for a, b in itertools.pairwise(lengths)] + [False]
    return [begin for begin, length, two in zip(begins, lengths, parted) if length == BAR or two]


def _bars(score) -> list[int]:
    measures = list(score.parts[0].getElementsByClass("Measure"))
    return bars_of([*(round(float(m.offset) * 4) for m in measures), round(float(score.highestTime) * 4)])


def windows(voices: list[list[Note]], bars: list[int]) -> Iterator[list[list[Note]]]:
    """Every four bars in a row, a list of notes a voice; notes that reach in from before begin with the window."""
    for start in bars:
        if not all(start + k * BAR in bars for k in range(1, SIZE // BAR)):
            continue
        end = start + SIZE
        cut = [
            [Note(max(a, start) - start, min(b, end) - start, p) for a, b, p in voice if a < end and b > start]
            for voice in voices
        ]
        if all(cut):
            yield cut


def _factors(voices: list[list[Note]], minor: bool, up: int) -> dict[str, float]:
    means = [sum(n.pitch * (n.end - n.start) for n in v) / sum(n.end - n.start for n in v) for v in voices]
    begins = {n.start for voice in voices for n in voice}
    low, high = (extreme(n.pitch for n in voices[0]) for extreme in (min, max))
    return {
        "minor": float(minor),
        "pitch": sum(means) / len(means),
        "spread": means[0] - means[-1],
        "melody_range": float(high - low),
        "notes": sum(map(len, voices)) / (SIZE / BAR),
        "rhythm": len(begins) / (SIZE / BAR),
        "key": float(up),
    }


def _pieces() -> Iterator[tuple[str, str, bool, list[list[list[Note]]]]]:
    """Part of the set, name, whether in minor, and the windows of every chorale that has some."""
    from music21 import converter

    kept = 0
    for path in _scores():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                score = converter.parse(path)
            except Exception:  # music21 raises many things at a score that it does not understand
                continue
            voices = _voices(score)
            found = list(windows(voices, _bars(score))) if voices else []
            if not found:
                continue
            minor = score.analyze("key").mode == "minor"
        kept += 1
        yield "test" if kept % TEST_EVERY == 0 else "train", path.stem, minor, found


def draw(count: int, seed: int) -> Iterator[Sample]:
    """Bars in all keys; where fewer are wanted than there are, each chorale gives as many of its own, at random."""
    share = min(1.0, count / WORLD.count)
    left = count
    for place, (part, name, minor, found) in enumerate(_pieces()):
        rolls = [(window, up) for window in range(len(found)) for up in KEYS]
        rng = rng_of(seed, place)
        wanted = max(1, round(share * len(rolls)))
        for k in sorted(rng.permutation(len(rolls))[:wanted]) if wanted < len(rolls) else range(len(rolls)):
            window, up = rolls[k]
            voices = [[n._replace(pitch=n.pitch + up) for n in voice] for voice in found[window]]
            pitches = [n.pitch for voice in voices for n in voice]
            if min(pitches) < LOWEST or max(pitches) > HIGHEST:
                continue
            picture = to_picture(n for voice in voices for n in voice)
            yield Sample(f"{part}/{name}-{window:02d}{up:+03d}", picture, _factors(voices, minor, up))
            left -= 1
            if not left:
                return


WORLD = World(
    name="chorales",
    title="Bach's chorales",
    draw=draw,
    packages=("music21",),
    count=39_800,
    factors={
        "pitch": "mean pitch (MIDI number)",
        "spread": "soprano above bass (semitones)",
        "melody_range": "range of the soprano (semitones)",
        "notes": "notes of all voices (a bar)",
        "rhythm": "different begins (a bar)",
        "key": "moved up (semitones)",
    },
    labels={"minor": "the chorale is in a minor key"},
    licence="the notes are Bach's; read from music21's corpus, of which no file is part of the model",
    player="roll",
    order=("key",),
    limits=(
        "Four bars of four voices in sixteenths: no loudness, no words, no form beyond four bars.",
        "A draw keeps the voices apart, but breaks rules of voice leading that Bach keeps.",
    ),
    settle=4,
)
