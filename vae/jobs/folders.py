"""Where jobs and the user's models lie, and how small files there are named, read and written."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vae import files
from vae.failures import disk_is_full
from vae.paths import user_home


def runs_home() -> Path:
    """The folder of all jobs."""
    return user_home() / "runs"


def models_home() -> Path:
    """The folder of the user's own models."""
    return user_home() / "models"


def slug(title: str) -> str:
    """A title as a folder's name: letters, digits and dashes."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")[:48].strip("-").lower()
    return word or "model"


def untaken(base: str, is_taken: Callable[[str], bool], ending: str = "") -> str:
    """The base with the ending, or with the first number between that makes a name which is not taken."""
    name, number = f"{base}{ending}", 1
    while is_taken(name):
        number += 1
        name = f"{base}-{number}{ending}"
    return name


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write so that a reader, or a crash of the machine, finds the old file or the new one, never half of one."""
    files.write_json(path, values, durable=True)


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file; empty where there is none, or where it is damaged."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def disk_sentence(error: OSError, folder: Path) -> str:
    """An error of the file system as a sentence."""
    if disk_is_full(error):
        free = 0
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(folder).free
        return f"the disk is full ({free / 2**20:,.0f} MB free); make room and try again"
    name = Path(str(error.filename or folder)).name
    return f"{name} could not be written or read ({error.strerror or error}); check the disk"
