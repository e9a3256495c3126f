"""Sets of pictures of one size, held in memory or decoded when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vae.data.files import DataError, Refused, counted, first_of, many
from vae.data.kinds import Deep, PictureError
from vae.data.listing import Listing

MANY_SKIPPED = 0.5  # share of the files that cannot be used, from which on a training asks first


class Array:
    """Pictures held in memory, uint8 (M, s, s, c)."""

    def __init__(self, pictures: np.ndarray):
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The pictures of these rows, uint8 (len(rows), s, s, c)."""
        return self.pictures[rows]


class Stream:
    """Pictures decoded when they are asked for. One that turns out to be unusable is replaced by the next."""

    def __init__(
        self,
        sources: Sequence[Listing],
        files: Sequence[tuple[int, str]],
        decode: Callable[[bytes | Deep], np.ndarray],
        refused: list[Refused],
    ):
        self.sources, self.files, self.decode, self.refused = sources, files, decode, refused
        self._bad: set[int] = set()
        self._pool = ThreadPoolExecutor(workers(), "pictures")

    def __len__(self) -> int:
        return len(self.files)

    def _one(self, row: int) -> np.ndarray:
        for candidate in range(row, row + len(self.files)):
            candidate %= len(self.files)
            if candidate in self._bad:
                continue
            source, name = self.files[candidate]
            try:
                return self.decode(self.sources[source].read(name))
            except PictureError as error:
                if candidate not in self._bad:
                    self._bad.add(candidate)
                    self.refused.append(Refused(name, error.reason, self.sources[source].kinds[name]))
        raise DataError(f"none of the {len(self.files)} pictures can be used; the first {first_of(self.refused)}")

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The pictures of these rows, decoded now, uint8 (len(rows), s, s, c). Raises DataError."""
        return np.stack(list(self._pool.map(self._one, rows.tolist())))


def workers() -> int:
    """Threads that decode pictures: Pillow lets go of the interpreter meanwhile."""
    return min(4, os.cpu_count() or 1)


class ImageSet:
    """Pictures of one size with what is known about them.

    name: for people. files: a name per picture. labels: uint8 (n, K) of 0 and 1, or None, a column
    per name in label_names (K); classes (of sets whose pictures belong to one each) are one-hot, and
    a picture without a class is a row of zeros. factors: float32 (n, F) of other numbers that are known
    of each picture, or None, a column per name in factor_names (F); NaN where one is not known.
    refused: the pictures left out, each with its reason; grows while a streamed set is read. others: files
    that are no pictures. duplicates: (file, the earlier file that holds the same picture), left out as well.
    notes: what people should know about how the files were read, each a part of a sentence.
    """

    def __init__(
        self,
        name: str,
        store: Array | Stream,
        rows: np.ndarray,
        files: Sequence[str],
        labels: np.ndarray | None = None,
        label_names: Sequence[str] = (),
        refused: list[Refused] | None = None,
        duplicates: Sequence[tuple[str, str]] = (),
        shape: tuple[int, int, int] = (0, 0, 0),
        factors: np.ndarray | None = None,
        factor_names: Sequence[str] = (),
        others: Sequence[Refused] = (),
        notes: Sequence[str] = (),
    ):
        self.name, self.store, self.rows, self.files = name, store, rows, files
        self.labels, self.label_names = labels, tuple(label_names)
        self.factors, self.factor_names = factors, tuple(factor_names)
        self.refused, self.duplicates, self.shape = refused if refused is not None else [], list(duplicates), shape
        self.others, self.notes = list(others), list(notes)
        self.found = (len(rows), 0)  # where these came from: what looked like pictures, and what was left out at once
        self.ranges: Mapping[str, tuple[float, float]] = {}  # what became black and white, by group of deep pictures

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def in_memory(self) -> bool:
        """Whether reading a picture costs no decoding."""
        return isinstance(self.store, Array)

    @property
    def classes(self) -> np.ndarray | None:
        """Class of each picture (n,) as an index into label_names, -1 for one without; None where one has several."""
        if self.labels is None or len(self.label_names) < 2 or not (self.labels.sum(1) <= 1).all():
            return None
        return np.where(self.labels.any(1), self.labels.argmax(1), -1)

    @property
    def skipped(self) -> float:
        """Share, 0..1, of the files found that are no usable pictures: see check_skipped."""
        listed, at_once = self.found
        while_reading = len(self.refused) + len(self.others) - at_once
        read = len(self.store) + self.in_memory * (len(self.duplicates) + while_reading)
        # Of a set with a limit only a part was read: the rest is taken to be as that part is.
        return (at_once + listed * while_reading / max(1, read)) / max(1, listed + at_once)

    def check_skipped(self, accepted: bool) -> None:
        """Raises DataError where MANY_SKIPPED of the files cannot be used and nobody has accepted that."""
        if self.skipped >= MANY_SKIPPED and not accepted:
            raise DataError(
                f"{self.skipped:.0%} of the files of {self.name} cannot be used ({self.left_out()}); mend them, or add "
                "--accept-skipped (data.accept_skipped) to train on the others alone"
            )

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Pictures by their place in the set: uint8 (len(indices), s, s, c)."""
        return self.store.read(self.rows[np.asarray(indices, np.int64)])

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All pictures in order, at most `size` at a time: uint8 (<= size, s, s, c)."""
        for start in range(0, len(self), size):
            yield self.images(np.arange(start, min(start + size, len(self))))

    def subset(self, indices: Sequence[int] | np.ndarray) -> ImageSet:
        """The pictures at these places as a set of its own; shares the memory."""
        indices = np.asarray(indices, np.int64)
        labels = None if self.labels is None else self.labels[indices]
        factors = None if self.factors is None else self.factors[indices]
        files = [self.files[i] for i in indices]
        part = ImageSet(self.name, self.store, self.rows[indices], files, labels, self.label_names, self.refused)
        part.duplicates, part.shape, part.others, part.notes = self.duplicates, self.shape, self.others, self.notes
        part.factors, part.factor_names, part.ranges = factors, self.factor_names, self.ranges
        part.found = self.found
        return part

    def split(self, validation: float, most: int = 2048, seed: int = 0) -> tuple[ImageSet, ImageSet]:
        """Training and validation set: disjoint, the same for the same seed. A set of one picture is used as both."""
        if len(self) < 2:
            return self, self
        count = min(max(1, round(validation * len(self))), most, len(self) - 1)
        order = np.random.default_rng((seed, 0x5711)).permutation(len(self))
        return self.subset(np.sort(order[count:])), self.subset(np.sort(order[:count]))

    def left_out(self) -> str:
        """What was refused and what is no picture, counted by kind; "" where all is used."""
        words = [f"{many(len(self.refused), 'file')} refused: {counted(self.refused)}"] * bool(self.refused)
        words += [f"{many(len(self.others), 'other file')}: {counted(self.others)}"] * bool(self.others)
        return ", ".join(words)

    def summary(self) -> str:
        """One line for people: counts of pictures, of what was left out by kind, and how the files were read."""
        words = [f"{many(len(self), 'picture')} of {self.name}"]
        if self.label_names:
            words.append(many(len(self.label_names), "label"))
        if self.factor_names:
            words.append(many(len(self.factor_names), "factor"))
        if self.refused or self.others:
            words.append(self.left_out())
        if self.duplicates:
            words.append(f"{many(len(self.duplicates), 'duplicate')} left out")
        return "; ".join((", ".join(words), *self.notes[:8]))
