"""Draws from a model of strips, such as the beats of a piece: one strip after another, as they follow each other in the
data. NumPy only.

Such a model codes each strip by itself, so a prior over the whole code knows little of how one leads to the next, and what
is drawn from it begins anew at every beat. Here the next strip is one that the data put after a strip much like this one:
the nearest-neighbour bootstrap of time series (Lall and Sharma 1996, doi 10.1029/95WR02966), on codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vae.space.latent import check_seed

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

NEIGHBOURS = 7  # beside the nearest, at temperature 1


def strung(bundle: Bundle, seed: int, temperature: float = 0.7, count: int = 1) -> Array:
    """Codes (count, d) float32 of a bundle with strips, each strip drawn from around one of the data's.

    The first is where a piece of the data begins; the next follows, in some piece at the same place, one of the strips
    nearest to the last. The temperature says among how many, and how much of the posterior's sigma is added. The same
    seed gives the same codes, and code i does not depend on count. Raises LatentError.
    """
    check_seed(seed, temperature, count)
    pieces, strips = len(bundle.codes), bundle.model.strips
    mu = bundle.codes.mu.reshape(pieces, strips, -1)
    sigma = temperature * np.exp(0.5 * bundle.codes.logvar.reshape(mu.shape))
    near = min(pieces, 1 + round(NEIGHBOURS * temperature))
    draws = np.empty((count, *mu.shape[1:]), np.float32)
    for i in range(count):
        rng = np.random.default_rng((int(seed), i))
        row = int(rng.integers(pieces))
        for k in range(strips):
            if k:
                apart = ((mu[:, k - 1] - draws[i, k - 1]) ** 2).sum(1)
                row = int(np.argsort(apart, kind="stable")[rng.integers(near)])
            draws[i, k] = mu[row, k] + sigma[row, k] * rng.standard_normal(mu.shape[2])
    return draws.reshape(count, -1)
