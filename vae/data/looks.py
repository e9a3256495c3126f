"""How the pictures of a set look, before anything is trained: whether they have colour, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vae.config import DataConfig
from vae.data.gathering import chosen, nothing_usable
from vae.data.imageset import workers
from vae.data.kinds import PictureError
from vae.data.known import SETS
from vae.data.listing import Listing
from vae.data.pictures import decode_picture, picture_size
from vae.data.sets import open_source

MOST = 200  # an even spread of so many pictures is looked at
_THUMB = 48  # px
_CHROMA = 20  # of 255: the most that compression adds to a grey picture
_SHARE = 0.01  # of a picture's area, from which on it has colour


@dataclass(frozen=True)
class Looks:
    """colour: whether any picture has some. size: the usual shorter side in px. count: pictures looked at."""

    colour: bool
    size: int
    count: int


def look(config: DataConfig) -> Looks | None:
    """How the pictures that the settings name look; None for the known sets. Raises DataError."""
    if config.sources[0] in SETS:
        return None
    sources = [open_source(text) for text in config.sources]
    files = chosen(sources, config.replace(limit=min(config.limit or MOST, MOST)))

    def one(file: tuple[int, str]) -> tuple[bool, int] | None:
        return _look_at(sources, file, config.box)

    with ThreadPoolExecutor(workers(), "looks") as pool:
        found = [seen for seen in pool.map(one, files) if seen is not None]
    if not found:
        raise nothing_usable(" + ".join(source.title for source in sources), config)
    return Looks(any(colour for colour, _ in found), int(np.median([side for _, side in found])), len(found))


def _look_at(sources: Sequence[Listing], file: tuple[int, str], box: Sequence[int]) -> tuple[bool, int] | None:
    try:
        content = sources[file[0]].read(file[1])
        side = min(box[2] - box[0], box[3] - box[1]) if box else min(picture_size(content))
        small = decode_picture(content, _THUMB, 3, box).astype(int)
    except PictureError:
        return None  # it is refused, with its reason, when the set is opened
    return bool((np.ptp(small, axis=2) > _CHROMA).mean() > _SHARE), side
