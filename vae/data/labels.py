"""What is known about pictures: classes by their folders, or a table of attributes."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from vae.data.files import DataError

MAX_CLASSES = 256
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}


def read_attributes(path: Path) -> tuple[dict[str, list[np.uint8]], list[str]]:
    """A csv with a `file` column -> a row of 0/1 per file, and the names of the columns of 0/1 (or -1/1)."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the attributes file {path.name} cannot be read ({type(error).__name__}); give a csv file"
        ) from None
    if not rows or "file" not in rows[0]:
        raise DataError(
            f"the attributes file {path.name} has no column `file`; name the column that holds the file names so"
        )
    allowed = ({"0", "1"}, {"-1", "1"})
    columns = [c for c in rows[0] if c and c != "file"]
    names = [c for c in columns if any({(row[c] or "").strip() for row in rows} <= values for values in allowed)]
    if not names:
        raise DataError(f"the attributes file {path.name} has no column of 0 and 1; add one per attribute")
    return {row["file"]: [np.uint8(row[c].strip() == "1") for c in names] for row in rows}, names


def class_names(files: Sequence[str]) -> list[str] | None:
    """Class of each file by its folder, or None. A folder around everything does not count, nor do train and test."""
    parts = [PurePosixPath(file).parts for file in files]
    while parts and all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    if not parts or any(len(p) < 2 for p in parts):
        return None
    if {p[0].lower() for p in parts} <= SPLITS:
        return class_names(["/".join(p[1:]) for p in parts])
    names = [p[0] for p in parts]
    return names if 2 <= len(set(names)) <= MAX_CLASSES else None
