"""What WebP, JPEG and AVIF make of a picture in so many bytes: the best over size and quality. Pillow, no torch.

Every file counts whole, with its headers, as it would be sent.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vae.likeness import psnr

Array = np.ndarray

CODECS = ("webp", "jpeg", "avif")
TITLES = {"webp": "WebP", "jpeg": "JPEG", "avif": "AVIF"}
SHARES = (1, 0.75, 0.5, 0.375, 0.25, 0.1875, 0.125, 0.0625)  # of the side, scaled down before and up again after
QUALITIES = (0, 1, 2, 4, 6, 9, 13, 18, 24, 31, 39, 48, 58, 69, 80, 90, 96)
OPTIONS = {
    "webp": {"method": 4, "exact": False},
    "jpeg": {"optimize": True, "subsampling": 2},
    "avif": {"speed": 7, "subsampling": "4:2:0", "max_threads": 1},
}


@dataclass(frozen=True, eq=False)
class Attempt:
    """One file: its bytes, the side that was kept, the quality that was asked for, and the picture at full size."""

    size: int
    side: int
    quality: int
    psnr: float
    picture: Array


@lru_cache(maxsize=1)
def available() -> tuple[str, ...]:
    """The codecs that this Pillow can write."""
    from PIL import features

    return tuple(codec for codec in CODECS if codec == "jpeg" or features.check(codec))


def _attempts(image: Array, codec: str, side: int, most: int) -> Iterator[Attempt]:
    """Files of one size by rising quality, until one is longer than `most` bytes."""
    from PIL import Image

    full = image.shape[0]
    whole = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    small = whole if side == full else whole.resize((side, side), Image.Resampling.LANCZOS)
    for quality in QUALITIES:
        buffer = io.BytesIO()
        small.save(buffer, codec.upper(), quality=max(quality, codec == "jpeg"), **OPTIONS[codec])
        size = buffer.tell()
        if size > most:
            return
        again = Image.open(buffer).convert(whole.mode)
        if side != full:
            again = again.resize((full, full), Image.Resampling.BICUBIC)
        picture = np.asarray(again).reshape(image.shape)
        yield Attempt(size, side, quality, float(psnr(image[None], picture[None])[0]), picture)


def attempts(image: Array, codec: str, most: int) -> list[Attempt]:
    """All files of one picture uint8 (s, s, c) with at most `most` bytes."""
    sides = sorted({max(8, round(image.shape[0] * share)) for share in SHARES})
    return [one for side in sides if side <= image.shape[0] for one in _attempts(image, codec, side, most)]


def best(found: Sequence[Attempt], most: int) -> Attempt | None:
    """The one with the highest PSNR within so many bytes; None where the smallest file is longer."""
    return max((one for one in found if one.size <= most), key=lambda one: one.psnr, default=None)
