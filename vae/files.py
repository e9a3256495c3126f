"""Files that change while others read them: a reader finds the old one or the new one, never half of one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """Where to write what then takes the place of `path` as a whole; it lies beside it, so that renaming is enough.

    durable: also after a crash of the machine, for what cannot be written again. It costs some milliseconds, too many
    for what is written every second. Where anything fails, the old file stays and nothing is left beside it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable:
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows neither can nor need."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Any, durable: bool = False) -> None:
    """Replace a small JSON file as a whole; durable: see `replacing`. Raises OSError."""
    with replacing(path, durable) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
