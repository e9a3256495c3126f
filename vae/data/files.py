"""Files of strangers: what every place that holds pictures answers, and folders.

Nothing is ever unpacked to disk: a folder, like an archive (vae.data.archives), is read in place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from vae.data.kinds import MAX_BYTES, PictureError

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
OTHER_PICTURES = (".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jp2", ".svg", ".ppm", ".pgm")


class DataError(ValueError):
    """A data set that cannot be used; one sentence that names what is wrong and the remedy."""


@dataclass(frozen=True)
class Refused:
    """A file that was left out, and why."""

    file: str
    reason: str


def first_of(refused: Sequence[Refused]) -> str:
    """The first file that was left out with its reason, for the middle of a sentence."""
    return f"({refused[0].file}) {refused[0].reason}" if refused else "was not found"


class Files(Protocol):
    """A place that holds picture files: reads one by its name, with '/' between folders."""

    names: list[str]
    refused: list[Refused]

    def read(self, name: str) -> bytes: ...


def is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def accept(name: str, size: int, refused: list[Refused]) -> bool:
    """Whether a file looks like a picture to read; pictures that are out of bounds are counted."""
    if is_hidden(name):
        return False
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in OTHER_PICTURES:
        refused.append(Refused(name, "is not a PNG, JPEG or WebP picture"))
    elif suffix in PICTURES and size > MAX_BYTES:
        refused.append(Refused(name, f"is {size / 2**20:.0f} MB large, the limit is {MAX_BYTES // 2**20} MB"))
    else:
        return suffix in PICTURES
    return False


class Folder:
    """A folder and all below it; links that lead out of it are refused one by one."""

    def __init__(self, root: Path):
        self.root, self.names, self.refused = root.resolve(), [], []
        for name, size in self._walk("", {self.root}):
            if accept(name, size, self.refused):
                self.names.append(name)

    def _walk(self, prefix: str, above: set[Path]) -> Iterator[tuple[str, int]]:
        for entry in sorted(os.scandir(self.root / prefix), key=lambda e: e.name):
            name, target = prefix + entry.name, Path(entry.path)
            if entry.is_symlink():
                target = target.resolve()
                if not target.is_relative_to(self.root):
                    if not is_hidden(name):
                        self.refused.append(Refused(name, "is a link to outside the folder"))
                    continue
            try:
                if entry.is_dir():
                    if target not in above:  # a link to a folder above would never end
                        yield from self._walk(f"{name}/", above | {target})
                elif entry.is_file():
                    yield name, entry.stat().st_size
            except OSError as error:
                self.refused.append(Refused(name, f"cannot be opened ({error.strerror})"))

    def read(self, name: str) -> bytes:
        try:
            with open(self.root / name, "rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise PictureError(
                f"This file cannot be read ({error.strerror}).", f"cannot be read ({error.strerror})"
            ) from None
