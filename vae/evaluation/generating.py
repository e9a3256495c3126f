"""Draws from a model: which prior they come from, how near the nearest training picture is, and what they are of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.space import latent, settling

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

PRIORS = ("fitted", "normal")
COPIED = 0.01  # of the data's own pictures have another one so near: what a draw must be nearer than to be suspect
SAID = 0.2  # correlation of a linear read-out with its label below which the balance of that label is not given
MEASURED = 400  # draws that the histogram and the balance are of
BLOCK = 500


def draw(bundle: Bundle, prior: str, temperature: float, seed: int, count: int) -> Array:
    """Codes (count, d) float32 from the fitted prior or N(0, I), its spread scaled. Raises LatentError, ValueError.

    Draws from the fitted prior are those that every page shows, settled where the bundle says so; N(0, I) stays raw. Code i
    of a seed does not depend on count.
    """
    if prior not in PRIORS:
        raise ValueError(f"there is no prior {prior!r}; use {' or '.join(PRIORS)}")
    if prior == "fitted":
        return bundle.check_z(settling.draw(bundle, seed, temperature, count))
    latent.check_seed(seed, temperature, count)
    draws = [np.random.default_rng((seed, 7, i)).standard_normal(bundle.latent_size) for i in range(count)]
    return bundle.check_z(temperature * np.array(draws))


def whitened(bundle: Bundle, z: Array) -> Array:
    """Codes (..., d) in coordinates in which those of the data are as spread in every direction.

    Distances there are Mahalanobis distances; a direction that the data does not use at all is left out.
    """
    stats = bundle.stats
    used = stats.eigenvalues > 1e-6 * stats.eigenvalues.max()
    y = (np.asarray(z, np.float64) - stats.centre) @ stats.eigenvectors[:, used]
    return y / np.sqrt(stats.eigenvalues[used])


def nearest(reference: Array, points: Array) -> tuple[Array, Array]:
    """Row and distance (N,) of the nearest of reference (M, d) for each of points (N, d)."""
    rows, far = [], []
    squares = (reference**2).sum(1)
    for i in range(0, len(points), BLOCK):
        part = points[i : i + BLOCK]
        apart = squares - 2 * part @ reference.T + (part**2).sum(1)[:, None]
        rows.append(apart.argmin(1))
        far.append(np.sqrt(np.maximum(apart.min(1), 0)))
    return np.concatenate(rows), np.concatenate(far)


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Codes of the data in two halves: draws are held against the first, and so is the second half, as a yardstick.

    rows: places of the first half among the bundle's codes; reference: whitened (M, d); usual: distances (M',) of the
    second half to the first, which no draw can be blamed for; threshold: their COPIED quantile.
    """

    rows: Array
    reference: Array
    usual: Array
    threshold: float


@lru_cache(maxsize=4)
def neighbourhood(bundle: Bundle) -> Neighbourhood:
    """What draws are held against. Raises ValueError for fewer than 20 codes."""
    count = len(bundle.codes)
    if count < 20:
        raise ValueError(f"{bundle.title} has {count} codes, too few to hold draws against; export it with 20 or more")
    order = np.random.default_rng(0).permutation(count)
    y = whitened(bundle, bundle.codes.mu)
    first, second = order[: count // 2], order[count // 2 :][:2000]
    usual = nearest(y[first], y[second])[1]
    return Neighbourhood(first, y[first], usual, float(np.quantile(usual, COPIED)))


def held_against(bundle: Bundle, z: Array) -> dict[str, Any]:
    """How near draws (N, d) are to the data.

    rows: of the nearest training code (N,); distances (N,); share: of the data's own pictures that have another one
    nearer than that (N,), small for a draw that is suspiciously near; copied: the share of draws under the threshold.
    """
    around = neighbourhood(bundle)
    places, far = nearest(around.reference, whitened(bundle, z))
    share = np.searchsorted(np.sort(around.usual), far) / len(around.usual)
    return {
        "rows": around.rows[places], "distances": far, "share": share,
        "threshold": around.threshold, "copied": float((far < around.threshold).mean()),
    }  # fmt: skip


def balance(bundle: Bundle, z: Array) -> list[dict[str, Any]]:
    """How often each label is there in the data and in draws (N, d), most frequent first.

    A linear read-out (ridge regression on one half of the codes) judges the draws; its threshold is the one at which it
    finds the label as often in the other half as it is there. said: its correlation with the label there; labels under
    SAID are left out.
    """
    codes = bundle.codes
    if len(codes) < 40 or not codes.labels.shape[1]:
        return []
    order = np.random.default_rng(1).permutation(len(codes))
    fit, held = order[: len(order) // 2], order[len(order) // 2 :]
    y, drawn = whitened(bundle, codes.mu), whitened(bundle, z)
    labels = codes.labels.astype(np.float64)
    gram = y[fit].T @ y[fit] + 0.01 * len(fit) * np.eye(y.shape[1])
    w = np.linalg.solve(gram, y[fit].T @ (labels[fit] - labels[fit].mean(0)))  # (d, K)
    found = []
    for k, name in enumerate(codes.label_names):
        share, truth = labels[:, k].mean(), labels[held, k]
        scores = y[held] @ w[:, k]
        if not 0 < truth.mean() < 1 or scores.std() < 1e-12:
            continue
        said = float(np.corrcoef(scores, truth)[0, 1])
        if said < SAID:
            continue
        least = np.quantile(scores, 1 - truth.mean())
        found.append(
            {"name": name, "data": float(share), "draws": float((drawn @ w[:, k] > least).mean()), "said": said}
        )
    return sorted(found, key=lambda one: -one["data"])
