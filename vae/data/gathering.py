"""Gather the pictures of several places into one set: decoded once, doubles left out, with their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import numpy as np

from vae.config import DataConfig
from vae.data import archives
from vae.data.files import DataError, Files, Refused, first_of
from vae.data.imageset import Array, ImageSet, Stream, workers
from vae.data.kinds import PictureError
from vae.data.labels import class_names
from vae.data.pictures import decode_picture

Progress = Callable[[int, int], None]


def below(name: str, under: str) -> bool:
    """Whether a file lies below the sub-folder, which may itself lie below one folder around everything."""
    folder = under.strip("/") + "/"
    return not under.strip("/") or name.startswith(folder) or f"/{folder}" in name[: -len(PurePosixPath(name).name)]


def gather(
    title: str,
    sources: Sequence[Files],
    config: DataConfig,
    size: int,
    channels: int,
    attributes: Callable[[str], Sequence[int] | None] | None,
    names: Sequence[str],
    progress: Progress | None,
) -> ImageSet:
    """The pictures of several places as one set. attributes: a file's name -> its row, of columns `names`.

    Raises DataError where none can be used.
    """
    refused = [r for source in sources for r in source.refused if below(r.file, config.under)]
    files = [(i, name) for i, source in enumerate(sources) for name in source.names if below(name, config.under)]
    if config.limit:
        # An even spread over the whole, so that every class of a sorted folder is in it.
        files = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(config.limit, len(files))).astype(int))]
    decode = lambda data: decode_picture(data, size, channels, config.box)  # noqa: E731
    kept, duplicates = np.arange(len(files)), []
    if len(files) * size * size * channels <= config.memory_mb * 2**20:
        pictures, kept, duplicates = _decode_all(sources, files, decode, (size, size, channels), refused, progress)
        files = [files[i] for i in kept]
        store: Array | Stream = Array(pictures)
    else:
        store = Stream(sources, files, decode, refused)
    if not files:
        where = f" below '{config.under}'" if config.under else ""
        count = f"; {len(refused):,} files were refused, the first {first_of(refused)}" if refused else ""
        raise DataError(
            f"{title} holds no usable PNG, JPEG or WebP picture{where}{count or '; choose another zip or folder'}"
        )
    shown = [name for _, name in files]
    labels = None
    if attributes is not None:
        found = [attributes(name) for name in shown]
        if not any(row is not None for row in found):
            raise DataError(
                f"the attributes name none of the pictures, such as {shown[0]}; write the same names into `file`"
            )
        labels = np.array([row if row is not None else [0] * len(names) for row in found], np.uint8)
    else:
        classes = class_names(shown)
        names = sorted(set(classes)) if classes else ()
        if classes:
            labels = (np.array(classes)[:, None] == np.array(names)).astype(np.uint8)
    rows = np.arange(len(files))
    return ImageSet(title, store, rows, shown, labels, names, refused, duplicates, (size, size, channels))


def _decode_all(
    sources: Sequence[Files],
    files: Sequence[tuple[int, str]],
    decode: Callable[[bytes], np.ndarray],
    shape: tuple[int, int, int],
    refused: list[Refused],
    progress: Progress | None,
) -> tuple[np.ndarray, list[int], list[tuple[str, str]]]:
    """Decode every file once -> pictures (m, s, s, c), places of the m files kept, duplicates."""
    pictures = np.empty((len(files), *shape), np.uint8)
    spent = [0] * len(sources)

    def one(place: int) -> np.ndarray | PictureError:
        source, name = files[place]
        try:
            if spent[source] > archives.MAX_UNPACKED_BYTES and isinstance(sources[source], archives.Zip):
                beyond = f"lies beyond the first {archives.MAX_UNPACKED_BYTES // 2**30} GB unpacked"
                raise PictureError(f"This file {beyond}; split the archive.", beyond)
            data = sources[source].read(name)
            spent[source] += len(data)
            return decode(data)
        except PictureError as error:
            return error

    kept, duplicates, seen = [], [], {}
    with ThreadPoolExecutor(workers(), "pictures") as pool:
        for place, result in enumerate(pool.map(one, range(len(files)))):
            name = files[place][1]
            if isinstance(result, PictureError):
                refused.append(Refused(name, result.reason))
            else:
                first = seen.setdefault(hashlib.blake2b(result.tobytes(), digest_size=16).digest(), name)
                if first is not name:
                    duplicates.append((name, first))
                else:
                    pictures[len(kept)] = result
                    kept.append(place)
            if progress and (place % 500 == 499 or place == len(files) - 1):
                progress(place + 1, len(files))
    return pictures[: len(kept)], kept, duplicates
