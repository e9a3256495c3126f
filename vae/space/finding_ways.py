"""`python -m vae ways`: find the longest way through a model's codes, without labels, and put it into its bundle.

The place of a code on the way is its coordinate in the first Laplacian eigenmap (Belkin and Niyogi 2003, doi
10.1162/089976603321780317) of the codes' nearest-neighbour graph: it knows who is next to whom and nothing else. The
curve is the mean code at each place. Only where it explains much of what the codes differ by is it a way at all, and only
where a picture drawn at a place is seen there again is it a slider.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.bundles.contract import WAYS_FILE
from vae.bundles.directions import slug
from vae.bundles.encoding import evenly
from vae.bundles.folder import extend
from vae.bundles.statistics import used_of
from vae.space.axes import in_sigma
from vae.space.errors import AtlasError
from vae.space.ways import Way

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

HEADING = "## A way found without labels"
ARRAYS = ("names", "labels", "follows", "ends", "points", "metric", "w", "score", "agrees")
MOST_CODES, NEIGHBOURS = 3000, 15
PLACES, SMOOTH = 65, 0.06  # of the curve; the width of the mean over MOST_CODES, in sigma of the place
LEAST_SHARE = 0.3  # of the variance of the codes, that makes a way worth a slider
LEAST_ANSWER = 0.95  # correlation of the place asked for with the place of the picture drawn there
LEAST_AGREEING = 0.9  # correlation with a factor after which the way is called
ASKED, MOVED = 7, 32  # places, and codes that are moved to each


def places(mu: Array) -> Array:
    """The place (M,) of codes (M, d) on their longest way, evenly spread with mean 0 and variance 1."""
    from sklearn.manifold import SpectralEmbedding

    embedding = SpectralEmbedding(
        1, affinity="nearest_neighbors", n_neighbors=min(NEIGHBOURS, len(mu) - 1), random_state=0
    )
    order = np.argsort(np.argsort(embedding.fit_transform(mu)[:, 0]))
    return np.sqrt(3) * (2 * (order + 0.5) / len(mu) - 1)


def curve(mu: Array, place: Array) -> Way:
    """The mean codes along the places, and the metric in which codes are as spread about them in every direction."""
    high = 1.7  # a little less than where the last code is
    values = np.linspace(-high, high, PLACES)
    width = SMOOTH * (MOST_CODES / len(mu)) ** 0.2  # the fewer codes, the wider: as the best width of a mean shrinks
    weights = np.exp(-0.5 * ((values[:, None] - place) / width) ** 2)
    points = weights @ mu / weights.sum(1, keepdims=True)
    way = Way(-high, high, points, np.eye(mu.shape[1]))
    rest = mu - way.at(place)
    spread = np.atleast_2d(np.cov(rest.T)) + 1e-3 * np.eye(mu.shape[1])
    return Way(-high, high, points, np.linalg.cholesky(np.linalg.inv(spread)))


def redrawn(bundle: Bundle, way: Way, mu: Array) -> tuple[Array, Array]:
    """Move codes (M, d) to ASKED places, draw, encode -> the places asked for (ASKED, M), the new codes (ASKED, M, d)."""
    asked = np.repeat(np.linspace(way.low, way.high, ASKED + 2)[1:-1, None], len(mu), 1)
    pictures = bundle.decode(way.moved(mu, asked).reshape(-1, mu.shape[1]).astype(np.float32))
    return asked, bundle.encode(pictures)[0].reshape(*asked.shape, -1)


def dragged(bundle: Bundle, mu: Array, rows: Array, new: Array) -> list[tuple[str, float]]:
    """How far each factor goes while codes are moved from the first place to the last, in its spreads, the largest first.

    Read in the new pictures, codes (ASKED, M, d), by a linear fit to the codes of the rows.
    """
    from sklearn.linear_model import Ridge

    factors = bundle.codes.factors[rows]
    spread = np.maximum(factors.std(0), 1e-9)
    reader = Ridge(alpha=1.0).fit(mu[rows], (factors - factors.mean(0)) / spread)
    first, last = (reader.predict(new[k] * used_of(bundle.stats.kl)).reshape(new.shape[1], -1).mean(0) for k in (0, -1))
    return sorted(zip(bundle.codes.factor_names, (last - first).tolist()), key=lambda pair: -abs(pair[1]))


def find(bundle: Bundle, say: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """The arrays of ways.npz, and figures for the card (`described`). Raises AtlasError where there is no way.

    Half of the codes give the way, the others the figures. Labels and factors take no part in it; afterwards the way is
    turned and called after a factor that it agrees with.
    """
    codes = bundle.codes
    mu = codes.mu.astype(np.float64) * used_of(bundle.stats.kl)
    if len(mu) < 200:
        raise AtlasError(f"{bundle.name} keeps {len(mu)} codes; a way needs 200 or more.")
    every = evenly(len(mu), 2 * MOST_CODES)
    rows, others = every[::2], every[1::2]
    say(f"finding the longest way through {len(rows):,} codes")
    way = curve(mu[rows], places(mu[rows]))
    seen = way.value(mu[others])
    share = 1 - (mu[others] - way.at(seen)).var(0).sum() / mu[others].var(0).sum()
    if share < LEAST_SHARE:
        raise AtlasError(
            f"The longest way of {bundle.name} explains {100 * share:.0f} % of what its codes differ by; a slider needs "
            f"{100 * LEAST_SHARE:.0f} %."
        )
    say("drawing pictures along it")
    asked, new = redrawn(bundle, way, codes.mu[others[evenly(len(others), MOVED)]].astype(np.float64))
    answer = float(np.corrcoef(asked.ravel(), way.value(new).ravel())[0, 1])
    if answer < LEAST_ANSWER:
        raise AtlasError(
            f"Pictures along the longest way of {bundle.name} are not where they were asked for (r {answer:.2f})."
        )
    agree = [0.0 if values.std() < 1e-9 else np.corrcoef(seen, values)[0, 1] for values in codes.factors[others].T]
    best = int(np.argmax(np.abs(agree))) if agree else -1
    follows = codes.factor_names[best] if agree and abs(agree[best]) >= LEAST_AGREEING else ""
    if follows and agree[best] < 0:
        way, seen, new = Way(way.low, way.high, way.points[::-1], way.metric), -seen, new[::-1]
    drags = dragged(bundle, mu, rows, new) if follows else []
    w = np.linalg.lstsq(np.c_[mu[others], np.ones(len(others))], seen, rcond=None)[0][:-1]
    return {
        "names": np.array([f"way-{slug(follows or bundle.name)}"[:64]]), "labels": np.array([follows or "The longest way"]), "follows": np.array([follows]),
        "ends": np.array([[way.low, way.high]]), "points": way.points[None].astype(np.float32),
        "metric": way.metric[None].astype(np.float32), "w": in_sigma(w, bundle.stats.cov)[None].astype(np.float32),
        "score": np.array([share]), "agrees": np.array([abs(agree[best]) if follows else 0.0]),
        "drags": [pair for pair in drags if pair[0] != follows],
        "answer": answer, "first": float(bundle.stats.eigenvalues[0] / bundle.stats.eigenvalues.sum()),
    }  # fmt: skip


def described(bundle: Bundle, found: Mapping[str, Any]) -> str:
    """The section of the card."""
    share, first, answer, agrees = (float(np.ravel(found[key])[0]) for key in ("score", "first", "answer", "agrees"))
    text = (
        "One slider is a curve: the first Laplacian eigenmap of half of the kept codes, no label and no factor used. It "
        f"explains {100 * share:.0f} % of what the other half differs by (the first principal axis: {100 * first:.0f} %). "
        f"Pictures drawn at {ASKED} places along it are read where they were asked for with a correlation of {answer:.3f}."
    )
    if follows := str(found["follows"][0]):
        text += f" Held against the factors afterwards, it is *{follows}*, with a correlation of {agrees:.3f}."
        if found["drags"]:
            name, far = found["drags"][0]
            text += f" From the first of these places to the last the factor that it drags most is *{name}*, by {far:+.2f} spreads."
    return f"{text}\n\n    python -m vae ways --model {bundle.name}\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m vae ways`."""
    parser.add_argument("--model", required=True, help="name of a bundle, or path of its folder; it gets the file")


def run(args: argparse.Namespace, bundle: Bundle, say: Callable[[str], None]) -> int:
    """Find the way of a bundle and put it there."""
    found = find(bundle, say)

    def write(folder: Path) -> None:
        np.savez_compressed(folder / WAYS_FILE, **{key: found[key] for key in ARRAYS})

    extend(bundle, write, HEADING, lambda _: described(bundle, found))
    print(
        f"{bundle.name}: {found['labels'][0]}, {100 * found['score'][0]:.0f} % of the spread, r {found['answer']:.3f} asked "
        f"and drawn" + (f", r {found['agrees'][0]:.3f} with the factor" if found["follows"][0] else "")
    )
    return 0
