"""Files that are made once and kept in the user's cache folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from vae.bundles.sessions import return_memory
from vae.paths import user_home

_making: dict[str, threading.Lock] = {}


def keep(names: Sequence[str], make: Callable[[], Sequence[bytes]]) -> list[Path]:
    """Files of the cache folder, made once, together, and complete from the moment they have their names."""
    paths = [user_home() / "cache" / name for name in names]
    with _making.setdefault(names[0], threading.Lock()):
        if not all(path.is_file() for path in paths):
            paths[0].parent.mkdir(parents=True, exist_ok=True)
            for path, data in zip(paths, make()):
                part = path.with_name(f"{path.name}.{os.getpid()}.part")
                part.write_bytes(data)
                part.replace(path)
            return_memory()
    return paths
