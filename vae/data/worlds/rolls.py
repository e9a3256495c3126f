"""Piano rolls as pictures, and back to notes exactly.

A roll is uint8 (64, 64, 3): a row a semitone, the highest above; a column a sixteenth. Red is where a note begins, green
and blue where one sounds, so a begin is white and the rest of a note cyan. Without a colour of its own for the begin,
repeated notes would melt into one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

SIZE = 64
LOWEST = 33  # MIDI number of the lowest row: the A of 55 Hz
HIGHEST = LOWEST + SIZE - 1


class Note(NamedTuple):
    """From the column `start` up to but without `end`, in sixteenths; pitch as its MIDI number."""

    start: int
    end: int
    pitch: int


def to_picture(notes: Iterable[Note]) -> np.ndarray:
    """Notes -> roll. What lies beyond the roll is left out, what reaches beyond its end is cut there."""
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    begins = []
    for start, end, pitch in notes:
        if LOWEST <= pitch <= HIGHEST and 0 <= start < SIZE and start < end:
            picture[HIGHEST - pitch, start : min(end, SIZE), 1:] = 255
            begins.append((HIGHEST - pitch, start))
    for row, column in begins:
        picture[row, column, 0] = 255
    return picture


def to_notes(picture: np.ndarray, threshold: float = 127.5) -> list[Note]:
    """Roll -> notes by their start, then pitch. A note ends where nothing sounds or the next one begins."""
    begins = np.asarray(picture)[..., 0] > threshold
    sounds = np.asarray(picture, np.float32)[..., 1:].mean(-1) > threshold
    notes = []
    for row in range(SIZE):
        start = None
        for column in range(SIZE + 1):
            on = column < SIZE and sounds[row, column]
            if start is not None and (not on or begins[row, column]):
                notes.append(Note(start, column, HIGHEST - row))
                start = None
            if on and start is None:
                start = column
    return sorted(notes)


def doubtful(picture: np.ndarray, low: float = 64, high: float = 191) -> int:
    """How many begins a model's roll is unsure of: red that is neither dark nor bright."""
    red = np.asarray(picture)[..., 0]
    return int(((red > low) & (red < high)).sum())
