"""What a set of codes has in common. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.space.errors import AtlasError
from vae.space.labels import plain

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray


def contact_sheet(mu: Array, chosen: Array, count: int) -> Array:
    """Indices of up to `count` of the chosen codes, spread evenly along the axis on which these differ most."""
    if len(chosen) <= 2:
        return chosen
    centred = mu[chosen].astype(np.float64)
    centred -= centred.mean(0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    order = chosen[np.argsort(centred @ axis, kind="stable")]
    return order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))]


@dataclass(frozen=True, eq=False)
class Selection:
    """What a set of codes has in common. spread: RMS distance from their mean, relative to that of all codes.

    mean: their mean code. Where codes lie on a shell, inside which nothing decodes, it is the code of the average
    picture, moved by how their mean differs from that of all codes.
    """

    count: int
    mean: Array = field(repr=False)
    std: Array = field(repr=False)
    spread: float
    sheet: Array = field(repr=False)
    rates: list[dict[str, Any]]


def summarise(bundle: Bundle, mask: Array, count: int = 24) -> Selection:
    """Statistics of the codes where mask (M,) is true; label rates against the whole, the most telling first.

    score of a rate: how many standard errors it lies from the rate of the whole. Raises AtlasError.
    """
    codes = bundle.codes
    chosen = np.flatnonzero(mask)
    if not len(chosen):
        raise AtlasError("There is no code in this selection; draw it around at least one dot.")
    mu = codes.mu[chosen].astype(np.float64)
    mean, std, stats = mu.mean(0), mu.std(0), bundle.stats
    if stats.shell:
        mean = stats.mean + mean - stats.centre
    whole = float(np.sqrt((stats.std**2).sum()))
    rates = []
    if codes.labels.shape[1]:
        inside, overall = (codes.labels[chosen] != 0).mean(0), (codes.labels != 0).mean(0)
        error = np.sqrt(np.maximum(overall * (1 - overall), 1e-9) / len(chosen))
        score = (inside - overall) / error
        rates = [
            {"name": plain(name), "rate": float(inside[k]), "whole": float(overall[k]), "score": float(score[k])}
            for k, name in enumerate(codes.label_names)
        ]
        rates.sort(key=lambda rate: -abs(rate["score"]))
    spread = float(np.sqrt((std**2).sum())) / max(whole, 1e-9)
    return Selection(len(chosen), mean, std, spread, contact_sheet(codes.mu, chosen, count), rates)
