"""Results that took long, kept on disk for the model that they belong to. NumPy only."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vae.paths import user_home

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray


def cache_file(bundle: Bundle, name: str) -> Path:
    """Where a result for this model is kept."""
    return user_home() / "cache" / f"atlas-{bundle.digest}-{name}.npz"


def read_cache(path: Path, shape: tuple[int, ...]) -> Array | None:
    """The array of a cache file, or None where it has to be made anew."""
    try:
        with np.load(path, allow_pickle=False) as data:
            values = data["values"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = values.shape == shape and values.dtype.kind == "f" and np.isfinite(values).all()
    return values.astype(np.float32) if fits else None


def write_cache(path: Path, values: Array) -> None:
    """Put an array there as a whole, float32: a reader finds all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, values=values.astype(np.float32))
    part.replace(path)
