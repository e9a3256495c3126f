"""How near a picture is to its photo, and where along a mix each of two people is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vae.likeness import psnr
from vae.photos import faces
from vae.photos.film import morph
from vae.photos.sources import Source, reconstruct

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray


@dataclass(frozen=True)
class Likeness:
    """How near a picture is to its photo: PSNR in dB, and distance of dlib's descriptors (None without a face)."""

    psnr: float
    distance: float | None

    @property
    def same_person(self) -> bool:
        """Whether dlib's authors would call the two one person."""
        return self.distance is not None and self.distance < faces.SAME_PERSON


def likeness(bundle: Bundle, source: Source, picture: Array | None = None) -> Likeness:
    """Of a source and the model's picture of it (by default its reconstruction), which lies on the eye template."""
    picture = reconstruct(bundle, [source])[0] if picture is None else picture
    distance = None
    if bundle.eyes is not None and bundle.channels == 3:
        distance = faces.same_person(descriptor(bundle, source), faces.describe(picture, bundle.eyes))
    return Likeness(float(psnr(source.crop[None], picture[None])[0]), distance)


def descriptor(bundle: Bundle, source: Source) -> Array:
    """dlib's descriptor (128,) of a source: of the photo at its own resolution where there is one."""
    if source.photo is not None and source.eyes is not None:
        return faces.describe(source.photo, source.eyes)
    return faces.describe(source.crop, bundle.eyes)


def recognition(bundle: Bundle, a: Source, b: Source, path: str = "slerp", points: int = 11) -> tuple[Array, Array]:
    """Along the mix from a to b: t (n,) and the descriptor distances (n, 2) of each frame to the two people."""
    t = np.linspace(0, 1, points)
    people = [descriptor(bundle, source) for source in (a, b)]
    rows = []
    for picture in morph(bundle, [a, b], t, path):
        seen = faces.describe(picture, bundle.eyes)
        rows.append([faces.same_person(person, seen) for person in people])
    return t, np.array(rows)


def crossings(t: Array, distances: Array, bound: float = faces.SAME_PERSON) -> tuple[float | None, float | None]:
    """Mix up to which the first person is recognised, and from which the second is; None where one never is."""

    def last_below(x: Array, y: Array) -> float | None:
        above = np.flatnonzero(y >= bound)
        if not len(above):
            return float(x[-1])
        if above[0] == 0:
            return None
        i = above[0]
        return float(x[i - 1] + (bound - y[i - 1]) / (y[i] - y[i - 1]) * (x[i] - x[i - 1]))

    return last_below(t, distances[:, 0]), last_below(t[::-1], distances[::-1, 1])
