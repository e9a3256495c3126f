"""Files that are made once and kept in the user's cache folder; where that cannot be written, in a folder of this run."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from vae.bundles.sessions import return_memory
from vae.files import replacing
from vae.paths import user_home

_making: dict[str, threading.Lock] = {}


@lru_cache(maxsize=1)
def _spare() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="latent-space-explorer-")


def keep(names: Sequence[str], make: Callable[[], Sequence[bytes]]) -> list[Path]:
    """Files of the cache folder, made once, together, and complete from the moment they have their names.

    A user's folder that is read-only or full costs the next start its cache, and no visitor a picture.
    """
    folder = user_home() / "cache"
    with _making.setdefault(names[0], threading.Lock()):
        for place in (folder, *([Path(_spare().name)] if _spare.cache_info().currsize else [])):
            if all((place / name).is_file() for name in names):
                return [place / name for name in names]
        made = make()
        try:
            paths = _write(folder, names, made)
        except OSError:
            paths = _write(Path(_spare().name), names, made)
        return_memory()
    return paths


def _write(folder: Path, names: Sequence[str], made: Sequence[bytes]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in zip(names, made):
        with replacing(folder / name) as part:
            part.write_bytes(data)
    return [folder / name for name in names]
