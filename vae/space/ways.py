"""Curved axes: ways that the codes of the data go, found without labels. NumPy only.

What changes pictures most, such as the side that a patient is seen from, is seldom a straight line in the latent space:
the codes go along a curve, and a straight slider soon leaves it for codes that no picture has. A way is that curve (a
principal curve: Hastie and Stuetzle 1989, doi 10.1080/01621459.1989.10478797). A code is a place on it and what is left,
z = point(value) + rest; moving keeps the rest and changes the place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vae.bundles.contents import Ways

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Way:
    """One curve through evenly spaced points (P, d), from the value low to high; metric (d, d) as in contents.Ways."""

    low: float
    high: float
    points: Array = field(repr=False)
    metric: Array = field(repr=False)

    @property
    def step(self) -> float:
        """From one point to the next."""
        return (self.high - self.low) / (len(self.points) - 1)

    def at(self, value: Array | float) -> Array:
        """The code (..., d) at values (...), straight between the points; beyond an end it is the end."""
        place = (np.clip(np.asarray(value, np.float64), self.low, self.high) - self.low) / self.step
        before = np.minimum(place.astype(int), len(self.points) - 2)
        return self.points[before] + (place - before)[..., None] * (self.points[before + 1] - self.points[before])

    def value(self, z: Array) -> Array:
        """Values (...) of codes z (..., d): the nearest place on the curve, between the points by a parabola."""
        here, curve = np.asarray(z, np.float64) @ self.metric, self.points @ self.metric
        apart = (here**2).sum(-1)[..., None] - 2 * here @ curve.T + (curve**2).sum(-1)
        place = np.clip(apart.argmin(-1), 1, len(self.points) - 2)
        left, there, right = (np.take_along_axis(apart, (place + by)[..., None], -1)[..., 0] for by in (-1, 0, 1))
        off = np.clip((left - right) / np.maximum(2 * (left - 2 * there + right), 1e-12), -1, 1)
        return self.low + (place + off) * self.step

    def moved(self, z: Array, value: Array | float) -> Array:
        """Codes z (..., d) at another place, with what is left of them kept."""
        z = np.asarray(z, np.float64)
        return z - self.at(self.value(z)) + self.at(value)


def ways_of(ways: Ways | None) -> tuple[Way, ...]:
    """The curves of a bundle; none where it has none."""
    if ways is None:
        return ()
    return tuple(
        Way(float(low), float(high), points, metric)
        for (low, high), points, metric in zip(ways.ends, ways.points, ways.metric)
    )
