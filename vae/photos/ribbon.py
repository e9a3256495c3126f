"""How usual the codes of a walk through faces are: under the prior, and near the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vae.photos.sources import Source
from vae.space import latent
from vae.space.mixing import mix_codes, path_weights

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class Ribbon:
    """How usual the codes of a path are, all (n,).

    density: log density under the prior in nats, less the median of the data's codes. prior: share 0..1 of the data's codes
    that are no likelier under the prior. data: share of them whose nearest neighbours are at least as far away; both fall
    towards 0 where a path leaves the manifold.
    """

    t: Array
    density: Array
    prior: Array
    data: Array


@lru_cache(maxsize=4)
def _usual(bundle: Bundle) -> tuple[Array, Array, Array]:
    """Of the data: codes in units of their spread (M, d), and sorted, for some of them, log density and distance to others."""
    codes = np.asarray(bundle.codes.mu, np.float64)
    scaled = (codes / np.maximum(bundle.stats.std, 1e-6)).astype(np.float32)
    some = np.random.default_rng(0).permutation(len(codes))
    density = np.sort(latent.log_density(codes[some[:400]], bundle.stats))
    return scaled, density, np.sort(_neighbours(scaled[some[:400]], scaled, skip=1))


def warm_ribbon(bundle: Bundle) -> None:
    """Measure the data ahead of the first ribbon."""
    if len(bundle.codes.mu) >= 10 * NEIGHBOURS:
        _usual(bundle)


def _neighbours(queries: Array, scaled: Array, skip: int = 0) -> Array:
    """Mean distance (n,) to the NEIGHBOURS nearest codes; skip=1 leaves out the query itself."""
    square = (queries**2).sum(1)[:, None] + (scaled**2).sum(1) - 2 * queries @ scaled.T
    last = min(skip + NEIGHBOURS, scaled.shape[0]) - 1
    nearest = np.sort(np.partition(square, last, axis=1)[:, : last + 1], axis=1)[:, skip:]
    return np.sqrt(np.maximum(nearest, 0)).mean(1)


def make_ribbon(
    bundle: Bundle, sources: Sequence[Source], path: str = "slerp", points: int = 49, shift: Array | None = None
) -> Ribbon | None:
    """How usual the frames of a morph are under the prior and near the data; None where the bundle has hardly any codes."""
    if len(bundle.codes.mu) < 10 * NEIGHBOURS or len(sources) < 2:
        return None
    t = np.linspace(0, 1, points)
    z = np.stack([source.z for source in sources])
    codes = mix_codes(z, path_weights(t, len(sources)), path)
    codes = codes if shift is None else codes + shift
    scaled, usual, near = _usual(bundle)
    density = latent.log_density(codes, bundle.stats)
    distance = _neighbours((codes / np.maximum(bundle.stats.std, 1e-6)).astype(np.float32), scaled)
    return Ribbon(
        t=t,
        density=density - float(np.median(usual)),
        prior=np.searchsorted(usual, density, side="right") / len(usual),
        data=1 - np.searchsorted(near, distance) / len(near),
    )
