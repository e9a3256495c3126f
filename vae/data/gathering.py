"""Gather the pictures of several places into one set: decoded once, doubles left out, with their labels."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import numpy as np

from vae.config import DataConfig
from vae.data import files as places
from vae.data.files import DataError, Refused, first_of, many
from vae.data.imageset import Array, ImageSet, Stream, workers
from vae.data.kinds import Deep, PictureError
from vae.data.labels import Classes, classes_of
from vae.data.listing import Listing
from vae.data.pictures import decode_picture, deep_samples
from vae.data.tables import Table

Progress = Callable[[int, int], None]
Ranges = Mapping[str, tuple[float, float]]
File = tuple[int, str]  # the place among the sources, and the name there

RANGE_PICTURES = 1000  # an even spread of so many deep pictures tells the range of the whole set
RANGE_SAMPLES = 4096  # of each
RANGE_SHARES = (0.1, 99.9)  # percentiles that become black and white


def below(name: str, under: str) -> bool:
    """Whether a file lies below the sub-folder, which may itself lie below one folder around everything."""
    folder = under.strip("/") + "/"
    return not under.strip("/") or name.startswith(folder) or f"/{folder}" in name[: -len(PurePosixPath(name).name)]


def chosen(sources: Sequence[Listing], config: DataConfig) -> list[File]:
    """The pictures that the settings name, before any is decoded."""
    found = [(i, name) for i, source in enumerate(sources) for name in source.names if below(name, config.under)]
    if not config.limit or not found:
        return found
    # An even spread over the whole, so that every class of a sorted folder is in it.
    places_ = np.linspace(0, len(found) - 1, min(config.limit, len(found))).astype(int)
    return [found[i] for i in np.unique(places_)]


def find_ranges(
    sources: Sequence[Listing], files: Sequence[File]
) -> tuple[dict[str, tuple[float, float]], dict[str, int]]:
    """What becomes black and white in pictures of more than 8 bits, by their group: percentiles of the whole set.

    Also how many of those looked at say so themselves, by their group.
    """
    deep = [(i, name) for i, name in files if name in sources[i].deep]
    deep = [deep[k] for k in np.unique(np.linspace(0, len(deep) - 1, min(RANGE_PICTURES, len(deep))).astype(int))]

    def one(file: File) -> list[Deep]:
        try:
            content = sources[file[0]].read(file[1])
            return [content] if isinstance(content, Deep) else deep_samples(content)
        except PictureError:
            return []  # it is refused, with its reason, when it is decoded

    samples: dict[str, list[np.ndarray]] = {}
    windowed: Counter[str] = Counter()
    with ThreadPoolExecutor(workers(), "ranges") as pool:
        for found in pool.map(one, deep):
            for picture in found:
                if picture.fixed:
                    windowed[picture.group] += 1
                else:
                    values = np.asarray(picture.values).ravel()
                    values = values[:: max(1, len(values) // RANGE_SAMPLES)].astype(np.float32)
                    samples.setdefault(picture.group, []).append(values[np.isfinite(values)])
    ranges = {}
    for group, parts in samples.items():
        values = np.concatenate(parts)
        if values.size:
            low, high = (float(v) for v in np.percentile(values, RANGE_SHARES))
            ranges[group] = (low, high if high > low else low + 1)
    return ranges, windowed


def _range_notes(ranges: Ranges, windowed: Mapping[str, int]) -> list[str]:
    notes = [
        f"{group} were spread by the range of the whole set: {low:,.6g} became black and {high:,.6g} white"
        for group, (low, high) in ranges.items()
    ]
    return notes + [f"{group} were shown by their own window" for group in windowed if "scans" in group]


def gather(
    title: str,
    sources: Sequence[Listing],
    config: DataConfig,
    size: int,
    channels: int,
    table: Table | None,
    progress: Progress | None,
    ranges: Ranges | None = None,
) -> ImageSet:
    """The pictures of several places as one set, with the classes of their folders or the rows of a table.

    ranges: of a set that this one is to be comparable with, see find_ranges. Raises DataError where none can be used.
    """
    refused = [r for source in sources for r in source.refused if below(r.file, config.under)]
    others = [r for source in sources for r in source.others if below(r.file, config.under)]
    at_once = len(refused) + len(others)
    files = chosen(sources, config)
    found_ranges, windowed = find_ranges(sources, files) if ranges is None else (ranges, {})
    ranges, notes = found_ranges, _range_notes(found_ranges, windowed)
    decode = lambda content: decode_picture(content, size, channels, config.box, ranges)  # noqa: E731
    kept, duplicates = np.arange(len(files)), []
    if len(files) * size * size * channels <= config.memory_mb * 2**20:
        pictures, kept, duplicates = _decode_all(sources, files, decode, (size, size, channels), refused, progress)
        files = [files[i] for i in kept]
        store: Array | Stream = Array(pictures)
    else:
        store = Stream(sources, files, decode, refused)
    if not files:
        raise nothing_usable(title, config, refused, others)
    shown = [name for _, name in files]
    found = ImageSet(title, store, np.arange(len(files)), shown, None, (), refused, duplicates, (size, size, channels))
    found.others, found.notes, found.ranges = others, notes, ranges
    found.found = sum(below(name, config.under) for source in sources for name in source.names), at_once
    if table is not None:
        _join(found, table)
    else:
        told = [sources[i].labels.get(name) for i, name in files]
        classes = Classes(told) if any(label is not None for label in told) else classes_of(shown)
        found.labels, found.label_names = classes.table()
        strays = sum(name is None for name in classes.names)
        if found.labels is None:
            found.notes.append(f"no labels, since {classes.reason}")
        elif strays:
            first = shown[classes.names.index(None)]
            found.notes.append(
                f"{many(strays, 'picture')} outside the folders of classes without a label, such as {first}"
            )
    return found


def nothing_usable(
    title: str, config: DataConfig, refused: Sequence[Refused] = (), others: Sequence[Refused] = ()
) -> DataError:
    """What to raise where nothing of the place so called can be used: says what it holds, and what to do."""
    where = f" below '{config.under}'" if config.under else ""
    held = ""
    if refused:
        were = "was" if len(refused) == 1 else "were"
        held = f"; {many(len(refused), 'file')} {were} refused, the first {first_of(refused)}"
    elif others:
        held = f"; it holds {places.counted(others)}"
    return DataError(f"{title} holds no usable PNG, JPEG or WebP picture{where}{held}; choose other pictures")


def _join(found: ImageSet, table: Table) -> None:
    """Labels and factors of a table, by the pictures' names. Raises DataError where it names none of them."""
    rows = [table.row(name) for name in found.files]
    known = np.array([row is not None for row in rows])
    if not known.any():
        raise DataError(
            f"the attributes name none of the pictures, such as {found.files[0]}; write the same names into `file`"
        )
    index = np.array([row or 0 for row in rows])
    if table.label_names:
        found.labels = (table.labels[index] * known[:, None]).astype(np.uint8)
        found.label_names = table.label_names
    if table.factor_names:
        found.factors = np.where(known[:, None], table.factors[index], np.nan).astype(np.float32)
        found.factor_names = table.factor_names
    found.notes += table.notes
    if not known.all():
        first = found.files[int(np.argmin(known))]
        found.notes.append(f"{table.title} has no row for {many(int((~known).sum()), 'picture')}, such as {first}")
    unused = len(table.keys) - len({row for row in rows if row is not None})
    if unused:
        found.notes.append(f"{many(unused, 'row')} of {table.title} for pictures that are not there")


def _decode_all(
    sources: Sequence[Listing],
    files: Sequence[File],
    decode: Callable[[bytes | Deep], np.ndarray],
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
            if spent[source] > places.MAX_UNPACKED_BYTES and sources[source].packed:
                beyond = f"lies beyond the first {places.MAX_UNPACKED_BYTES // 2**30} GB unpacked"
                raise PictureError(f"This file {beyond}; split the archive.", beyond)
            content = sources[source].read(name)
            spent[source] += len(content) if isinstance(content, bytes) else 0
            return decode(content)
        except PictureError as error:
            return error

    kept, duplicates, seen = [], [], {}
    with ThreadPoolExecutor(workers(), "pictures") as pool:
        for place, result in enumerate(pool.map(one, range(len(files)))):
            source, name = files[place]
            if isinstance(result, PictureError):
                refused.append(Refused(name, result.reason, sources[source].kinds[name]))
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
