"""The way back into the photo: the detail that the model cannot say, and the face pasted into its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vae import media
from vae.photos import faces
from vae.photos.sources import Source, reconstruct
from vae.space.mixing import BlendError, check_weights

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

FINE_FACTOR = 4  # a photo's crop is kept at up to this many times the model's size


def fine_factor(bundle: Bundle, source: Source) -> int:
    """How many times the model's size a photo's crop is worth, 1 to FINE_FACTOR."""
    apart = float(np.hypot(*np.subtract(*source.eyes)))
    template = float(np.hypot(*np.subtract(*bundle.eyes)))
    return int(min(FINE_FACTOR, max(1, np.ceil(apart / template))))


def _fine_eyes(bundle: Bundle, factor: int) -> list[list[float]]:
    """The eye template in px of a crop `factor` times as fine."""
    # Pixel centres: (x + 0.5) * factor - 0.5 is the place of x in the finer crop.
    return [[(x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5] for x, y in bundle.eyes]


def _fine_crop(bundle: Bundle, source: Source, factor: int) -> Array:
    size = bundle.image_size * factor
    if source.photo is None:
        return media.upscale(source.crop, factor)
    return faces.align(source.photo, source.eyes, _fine_eyes(bundle, factor), size)


def keep_detail(
    bundle: Bundle, sources: Sequence[Source], weights: Array, picture: Array, amount: float, factor: int = 1
) -> Array:
    """Add to a blend what the model could not say about its photos (photo minus reconstruction), weighted like the faces.

    picture: uint8 (s, s, 3); amount 0..1; the result is `factor` times as large. weights: (k,) or (L, k), averaged
    over the levels.
    """
    share = check_weights(weights, bundle.levels, len(sources)).mean(0)
    made = reconstruct(bundle, sources)
    photo = np.zeros((bundle.image_size * factor, bundle.image_size * factor, 3))
    drawn = np.zeros(made.shape[1:])
    for i in np.flatnonzero(share):
        photo += share[i] * _fine_crop(bundle, sources[i], factor)
        drawn += share[i] * made[i]
    return faces.detail(photo.round().astype(np.uint8), drawn.round().astype(np.uint8), amount, picture)


def paste(
    bundle: Bundle, source: Source, picture: Array, feather: float = 0.16, match: float = 1.0
) -> tuple[Array, Array]:
    """Lay a crop (s * factor px) back into a source's photo -> the photo, and the share 0..1 (h, w) that is not the photo's."""
    if source.photo is None or source.eyes is None or bundle.eyes is None:
        raise BlendError(f"{source.name} is not a photo; choose a photo to paste the face into.")
    factor = picture.shape[0] // bundle.image_size
    matrix = faces.align_matrix(source.eyes, _fine_eyes(bundle, factor))
    result = faces.paste_back(source.photo, picture, matrix, feather=feather, match=match)
    ground = np.zeros_like(source.photo)
    white = np.full_like(picture, 255)
    share = faces.paste_back(ground, white, matrix, feather=feather, match=0.0)[..., 0] / 255
    return result, share


def tint(picture: Array, share: Array, colour: tuple[int, int, int] = (20, 184, 166)) -> Array:
    """Colour what is the model's (share 0..1 (h, w)) over a picture that is turned grey where it is the photo's."""
    grey = picture.mean(2, keepdims=True)
    model = 0.55 * picture + 0.45 * np.array(colour)
    return (share[..., None] * model + (1 - share[..., None]) * grey).round().astype(np.uint8)
