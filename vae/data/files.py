"""Places that hold files of strangers: what every one answers, and folders.

Nothing is ever unpacked beside its place: a folder, like an archive (vae.data.archives), is read where it lies.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vae.data.kinds import HEAD, MAX_BYTES, PictureError
from vae.data.names import shown

MAX_ENTRIES = 200_000
MAX_UNPACKED_BYTES = 4 * 2**30
# What systems leave behind unasked.
_LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx"}


class DataError(ValueError):
    """A data set that cannot be used; one sentence that names what is wrong and the remedy."""


@dataclass(frozen=True)
class Refused:
    """A file that was left out, and why. kind: its kind in the plural, for counts."""

    file: str
    reason: str
    kind: str = "files"


def many(count: int, word: str) -> str:
    """A count with its word: "1 picture", "2,000 pictures"."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def first_of(refused: Sequence[Refused]) -> str:
    """The first file that was left out with its reason, for the middle of a sentence."""
    return f"({printable(refused[0].file)}) {refused[0].reason}" if refused else "was not found"


def printable(name: str) -> str:
    """A stranger's name for the middle of a line: without line breaks and other signs that control a screen."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def counted(refused: Sequence[Refused], most: int = 6) -> str:
    """Files that were left out, counted by kind, each with an example: "20 DICOM scans (the first, a.dcm, ...)"."""
    kinds = Counter(r.kind for r in refused)
    first: dict[str, Refused] = {}
    for r in refused:
        first.setdefault(r.kind, r)
    words = [
        f"{n:,} {kind} (the first, {printable(first[kind].file)}, {first[kind].reason})"
        for kind, n in kinds.most_common(most)
    ]
    rest = len(kinds) - most
    return ", ".join(words) + (f" and {rest} more kinds" if rest > 0 else "")


class Files(Protocol):
    """A place that holds files: reads one by its name, with '/' between folders.

    refused: files that cannot even be opened, each with the reason.
    """

    title: str
    names: list[str]
    refused: list[Refused]

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """The file's first `most` + 1 bytes at most, so that a longer one shows. Raises PictureError."""
        ...

    def size(self, name: str) -> int:
        """Bytes that the file is said to have."""
        ...


def is_hidden(name: str) -> bool:
    """Whether a file is hidden, or is what a system leaves behind."""
    return any(part.startswith(".") or part.lower() in _LITTER for part in name.split("/"))


def unreadable(word: str) -> PictureError:
    """The refusal of a file that its place does not give out. word: the reason as a predicate."""
    return PictureError(f"This file {word}; pack or copy it again.", word)


class Folder:
    """A folder and all below it, or a single file; links that lead out of it are refused one by one."""

    def __init__(self, root: Path):
        self.root, self.refused = root.resolve(), []
        self.title = shown([root.name])[0]
        if self.root.is_dir():
            paths = list(self._walk("", {self.root}))
        else:
            self.root, paths = self.root.parent, [self.root.name]
        if len(paths) > MAX_ENTRIES:
            raise DataError(f"{self.title} holds more than {MAX_ENTRIES:,} files; split it into smaller folders")
        # Names on disk need not be text: they are kept beside what is shown.
        self._paths = dict(zip(shown(paths), paths))
        self.refused = [Refused(shown([r.file])[0], r.reason, r.kind) for r in self.refused]
        self.names = list(self._paths)

    def _walk(self, prefix: str, above: set[Path]) -> Iterator[str]:
        try:
            entries = sorted(os.scandir(self.root / prefix), key=lambda e: e.name)
        except OSError as error:
            if not prefix:
                raise
            self.refused.append(Refused(prefix, f"cannot be opened ({error.strerror})", "folders"))
            return
        for entry in entries:
            name, target = prefix + entry.name, Path(entry.path)
            if is_hidden(name):
                continue
            if entry.is_symlink():
                target = target.resolve()
                if not target.is_relative_to(self.root):
                    self.refused.append(Refused(name, "is a link to outside the folder", "links"))
                    continue
            try:
                if entry.is_dir():
                    if target not in above:  # a link to a folder above would never end
                        yield from self._walk(f"{name}/", above | {target})
                elif entry.is_file():
                    yield name
            except OSError as error:
                self.refused.append(Refused(name, f"cannot be opened ({error.strerror})"))

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """The file's first `most` + 1 bytes at most. Raises PictureError."""
        try:
            with open(self.root / self._paths[name], "rb", buffering=0 if most <= HEAD else -1) as file:
                return file.read(most + 1)
        except OSError as error:
            raise unreadable(f"cannot be read ({error.strerror})") from None

    def size(self, name: str) -> int:
        """Bytes of the file; 0 where it is gone."""
        try:
            return os.stat(self.root / self._paths[name]).st_size
        except OSError:
            return 0
