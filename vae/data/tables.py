"""Tables of attributes beside pictures, as people have them: csv, tsv, semicolons, CelebA's own txt.

What is 0/1, -1/1, true/false or yes/no becomes a label, other numbers become factors, and whatever is left out is
named with its reason.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from vae.data.files import DataError
from vae.data.names import guess

MAX_TABLE_BYTES = 512 * 2**20
NAMES = ("file", "filename", "image_id", "image", "path", "file_name", "filepath", "image_name", "img", "id")
_TRUE, _FALSE = {"1", "true", "yes", "y", "t", "1.0", "+1"}, {"0", "false", "no", "n", "f", "-1", "0.0", "-1.0"}
_EMPTY = {"", "na", "n/a", "nan", "null", "none", "?"}
_PICTURE_NAME = re.compile(r".*\.(png|jpe?g|jfif|jpe|webp|heic|heif|avif|dcm|nii|gz|npy|tiff?|bmp|gif)", re.IGNORECASE)


@dataclass
class Table:
    """labels: uint8 (n, K) of 0 and 1; factors: float32 (n, F). notes: what was left out and why, a sentence's part."""

    title: str
    keys: list[str]
    labels: np.ndarray
    label_names: tuple[str, ...]
    factors: np.ndarray
    factor_names: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    _rows: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The full path is the surest, then the name alone, then the name without its suffix, where only one has it.
        for simplify in (_plain, _base, _stem):
            short = [simplify(key) for key in self.keys]
            counts = Counter(short)
            for row, key in enumerate(short):
                if counts[key] == 1:
                    self._rows.setdefault(key, row)

    def row(self, name: str) -> int | None:
        """The row of a picture by its name in a set: suffix and folders are optional in the table."""
        whole = _plain(name)
        parts = whole.split("/")
        tried = [*("/".join(parts[i:]) for i in range(len(parts))), _stem(whole)]
        tried += ["/".join((*parts[i:-1], _stem(whole))) for i in range(len(parts) - 1)]
        return next((self._rows[key] for key in tried if key in self._rows), None)


def _plain(name: str) -> str:
    return name.strip().replace("\\", "/").removeprefix("./").lstrip("/")


def _base(name: str) -> str:
    return _plain(name).rsplit("/", 1)[-1]


def _stem(name: str) -> str:
    return PurePosixPath(_base(name)).stem


# ---------------------------------------------------------------- reading


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_TABLE_BYTES + 1)
        if data[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(data)) as packed:
                data = packed.read(MAX_TABLE_BYTES + 1)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"the attributes file {path.name} cannot be read ({type(error).__name__}); give a csv file"
        ) from None
    except Exception as error:  # zlib's own
        raise DataError(
            f"the attributes file {path.name} is damaged ({type(error).__name__}); give a csv file"
        ) from None
    return _words(data, path.name)


def _words(data: bytes, name: str) -> str:
    if len(data) > MAX_TABLE_BYTES:
        raise DataError(f"the attributes file {name} is larger than {MAX_TABLE_BYTES >> 20} MB; split it")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:4096]:
        raise DataError(f"the attributes file {name} is not a text; save the table as csv")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return guess([data], ("cp1252", "cp932", "gbk"))[0]


def _delimiter(lines: Sequence[str]) -> str | None:
    """What parts the cells: the sign that occurs equally often in all lines; None for runs of blanks."""
    best, most = None, 0.0
    for sign in (",", ";", "\t", "|"):
        counts = [len(row) for row in csv.reader(lines, delimiter=sign)]
        usual = max(set(counts), key=counts.count)
        score = counts.count(usual) / len(counts) * min(usual - 1, 3)
        if usual > 1 and score > most:
            best, most = sign, score
    return best


def _cells(text: str, name: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"the attributes file {name} is empty; give a csv file")
    if lines[0].strip().isdigit() and len(lines) > 2:  # CelebA's list begins with its length
        lines = lines[1:]
    sign = _delimiter(lines[:50])
    if sign is None:
        rows = [line.split() for line in lines]
    else:
        try:
            rows = list(csv.reader(lines, delimiter=sign, skipinitialspace=True))
        except csv.Error as error:
            raise DataError(f"the attributes file {name} cannot be read ({error}); give a csv file") from None
    return [[cell.strip() for cell in row] for row in rows]


def _header(rows: list[list[str]], name: str) -> tuple[list[str], list[list[str]], int]:
    """Names of the columns, the rows below, and which column names the pictures."""
    head, body = rows[0], rows[1:]
    if body and len(head) == len(body[0]) - 1:  # CelebA names only the attributes
        head = ["file", *head]
    lower = [cell.lower() for cell in head]
    for wanted in NAMES[:5]:
        if wanted in lower:
            return head, body, lower.index(wanted)
    pictures = [
        k for k in range(len(head)) if body and all(_PICTURE_NAME.fullmatch(r[k]) for r in body[:20] if len(r) > k)
    ]
    if any(_PICTURE_NAME.fullmatch(cell) for cell in head):  # no names of columns at all
        at = next(k for k, cell in enumerate(head) if _PICTURE_NAME.fullmatch(cell))
        return [f"column {k + 1}" for k in range(len(head))], rows, at
    if pictures:
        return head, body, pictures[0]
    for wanted in NAMES[5:]:
        if wanted in lower:
            return head, body, lower.index(wanted)
    raise DataError(
        f"the attributes file {name} has no column `file` (nor {', '.join(NAMES[1:5])}); "
        "name the column that holds the file names so"
    )


def read_table(path: Path) -> Table:
    """A table with a column of file names -> its labels and factors. Raises DataError."""
    return _parsed(_text(path), path.name)


def table_of(data: bytes, title: str) -> Table:
    """A table's bytes -> its labels and factors; title: its file's name, for words. Raises DataError."""
    return _parsed(_words(data, title), title)


def _parsed(text: str, title: str) -> Table:
    head, rows, at = _header(_cells(text, title), title)
    notes, kept, seen = [], [], set()
    for number, row in enumerate(rows, 2):
        if len(row) <= at or not row[at]:
            notes.append(f"row {number} of {title} left out: it names no file")
        elif row[at] in seen:
            notes.append(f"row {number} of {title} left out: {row[at]} is named twice")
        else:
            seen.add(row[at])
            kept.append((number, row))
    labels: dict[str, list[int]] = {}
    factors: dict[str, list[float]] = {}
    for k, name in enumerate(head):
        if k == at or not name:
            continue
        cells = [(row[k] if k < len(row) else "").lower() for _, row in kept]
        empty = next((i for i, cell in enumerate(cells) if cell in _EMPTY), None)
        if empty is not None:
            number, row = kept[empty]
            notes.append(f"column {name} of {title} left out: row {number} ({row[at]}) has no value")
        elif cells and all(cell in _TRUE or cell in _FALSE for cell in cells):
            labels[name] = [int(cell in _TRUE) for cell in cells]
        else:
            numbers = [_number(cell) for cell in cells]
            wrong = next((i for i, value in enumerate(numbers) if value is None), None)
            if wrong is None and cells:
                factors[name] = numbers
            elif cells:
                number, row = kept[wrong]
                notes.append(f"column {name} of {title} left out: {row[k]!r} in row {number} is not a number")
    if not labels and not factors:
        why = f" ({notes[0]})" if notes else ""
        raise DataError(f"the attributes file {title} has no column of 0 and 1{why}; add one per attribute")
    n = len(kept)
    return Table(
        title,
        [row[at] for _, row in kept],
        np.array(list(labels.values()), np.uint8).reshape(len(labels), n).T,
        tuple(labels),
        np.array(list(factors.values()), np.float32).reshape(len(factors), n).T,
        tuple(factors),
        notes,
    )


def _number(cell: str) -> float | None:
    """A finite number, also with a decimal comma; None for anything else."""
    try:
        value = float(cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 3e38 else None
