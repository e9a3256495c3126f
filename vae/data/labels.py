"""Classes by folders: which level of a tree carries them, and why there are none."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

MAX_CLASSES = 4096
MAX_CELLS = 2**28  # of the table of pictures by classes, one byte each
_SPLIT = re.compile(
    r"(?:[a-z]+[ _-])?(?:train|training|test|testing|val|valid|validation|dev|eval|evaluation|pred|predict|prediction)s?"
    r"(?:[ _-]?(?:set|data|images?|imgs?|split|\d+))?"
)

_NEUTRAL = {"images", "image", "imgs", "img", "masks", "mask", "photos", "pictures", "frames", "jpg", "png", "jpeg"}


@dataclass(frozen=True)
class Classes:
    """names: the class of each picture, None for one without. reason: where there are none, why; else ""."""

    names: list[str | None]
    reason: str = ""

    def table(self) -> tuple[np.ndarray | None, tuple[str, ...]]:
        """One-hot labels uint8 (n, K) and their names; a picture without a class is a row of zeros."""
        words = sorted({name for name in self.names if name is not None})
        if not words:
            return None, ()
        place = {word: k for k, word in enumerate(words)}
        labels = np.zeros((len(self.names), len(words)), np.uint8)
        for row, name in enumerate(self.names):
            if name is not None:
                labels[row, place[name]] = 1
        return labels, tuple(words)


def is_split(name: str) -> bool:
    """Whether a folder or an archive in it names a part of a set (train, test_set, single_prediction), no class."""
    return bool(_SPLIT.fullmatch(re.sub(r"\.(zip|npz)$", "", name.lower())))


def classes_of(files: Sequence[str]) -> Classes:
    """Class of each file by its folders, with '/' between them.

    A folder around everything does not count, nor do train, test and the like at any level; pictures that lie above
    the level of the classes are kept without one.
    """
    parts = [PurePosixPath(file).parts[:-1] for file in files]
    if not any(parts):
        return Classes([None] * len(files), "all pictures lie in one folder, without a folder for each class")
    names, reason = _find(_without_splits(parts), list(range(len(files))))
    found = [names.get(i) for i in range(len(files))]
    count = len(set(names.values()))
    if count > MAX_CLASSES or count * len(files) > MAX_CELLS:
        return Classes([None] * len(files), f"there are {count:,} folders, more than {MAX_CLASSES:,} classes")
    if count == len(files) > 2:
        return Classes([None] * len(files), "each picture lies in a folder of its own")
    return Classes(found, reason)


def _without_splits(parts: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Each file's folders without those that only name a part of a set."""
    children: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for path in set(parts):
        for depth in range(len(path)):
            children[path[:depth]].add(path[depth])
    # A class may be called "test" too: only where all its neighbours are parts of a set it is one itself.
    splits = {
        (*path, name) for path, names in children.items() if all(is_split(name) for name in names) for name in names
    }
    return [tuple(name for depth, name in enumerate(path) if path[: depth + 1] not in splits) for path in parts]


def _find(level: list[tuple[str, ...]], rows: list[int]) -> tuple[dict[int, str], str]:
    """Classes of the files in `rows` by the folders left to them -> {row: class}, or {} and the reason."""
    while True:
        below: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            if level[row]:
                below[level[row][0]].append(row)
        if not below:
            return {}, "all pictures lie in one folder, without a folder for each class"
        inside = sum(map(len, below.values()))
        if len(below) == 1:
            if inside < len(rows) - inside and all(len(level[row]) == 1 for row in next(iter(below.values()))):
                return {}, f"most pictures lie beside the only folder, {next(iter(below))}"
            rows = next(iter(below.values()))
            level = [folders[1:] if folders else folders for folders in level]
            continue
        flat = [name for name, members in below.items() if any(len(level[row]) == 1 for row in members)]
        deep = [name for name in below if name not in flat]
        if not deep:
            break
        held = sum(len(below[name]) for name in deep)
        aside = len(flat) <= 1 and held * 2 >= inside  # one folder of single pictures beside, as for predictions
        if len(deep) == 1 and aside:
            rows = below[deep[0]]
            level = [folders[1:] if folders else folders for folders in level]
            continue
        if aside and _repeats([{level[row][1] for row in below[name]} for name in deep]):
            rows = [row for name in deep for row in below[name]]
            level = [folders[1:] if folders else folders for folders in level]
            continue
        break
    return {row: level[row][0] for row in rows if level[row]}, ""


def _repeats(folders: list[set[str]]) -> bool:
    """Whether the same names lie below several folders: then those folders are places, and the names are classes."""
    counts = Counter(name for names in folders for name in names if not is_split(name) and name.lower() not in _NEUTRAL)
    return len(folders) > 1 and len(counts) > 1 and sum(counts.values()) > 0.6 * len(folders) * len(counts)
