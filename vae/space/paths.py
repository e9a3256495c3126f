"""Paths through codes: straight, along great arcs, or where codes are dense. NumPy and SciPy."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.space import latent
from vae.space.errors import AtlasError
from vae.space.neighbours import nearest

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

PATHS = ("straight", "slerp", "dense")
LANDMARKS = 10_000  # codes in the neighbour graph of a path along dense regions

_graphs: OrderedDict[str, tuple[Array, Any]] = OrderedDict()
_graphs_lock = threading.Lock()


def _graph(bundle: Bundle, neighbours: int = 12) -> tuple[Array, Any]:
    """Landmark codes (m, d) and the sparse graph of their nearest neighbours, an edge weighing length^3.

    The power makes many short steps cheaper than one long one, so that shortest paths stay where codes are dense
    (Fermat distance; Groisman, Jonckheere and Sapienza 2022, arXiv 1810.09398).
    """
    from scipy.sparse import csr_matrix

    key = f"{bundle.path}:{bundle.digest}"
    with _graphs_lock:
        if key not in _graphs:
            mu = bundle.codes.mu
            if len(mu) > LANDMARKS:
                mu = mu[np.random.default_rng(0).permutation(len(mu))[:LANDMARKS]]
            index, distance = nearest(mu, mu, neighbours + 1)
            rows = np.repeat(np.arange(len(mu)), index.shape[1])
            weight = np.maximum(distance.ravel(), 1e-6) ** 3
            keep = rows != index.ravel()
            graph = csr_matrix((weight[keep], (rows[keep], index.ravel()[keep])), shape=(len(mu), len(mu)))
            _graphs[key] = mu, graph.maximum(graph.T)
            while len(_graphs) > 4:
                _graphs.popitem(last=False)
        return _graphs[key]


def _along(points: Array, count: int) -> Array:
    """`count` codes at even steps along a polyline (n, d)."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(steps)])
    if at[-1] < 1e-12:
        return np.repeat(points[:1], count, axis=0)
    t = np.linspace(0, at[-1], count)
    segment = np.clip(np.searchsorted(at, t, side="right") - 1, 0, len(steps) - 1)
    share = (t - at[segment]) / np.maximum(steps[segment], 1e-12)
    return points[segment] + share[:, None] * (points[segment + 1] - points[segment])


def _dense(bundle: Bundle, a: Array, b: Array, count: int) -> Array:
    """Codes (count, d) from a to b, led past the codes of the cheapest path in the graph, corners rounded."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.sparse.csgraph import dijkstra

    mu, graph = _graph(bundle)
    (from_index, to_index), (from_far, to_far) = nearest(mu, np.stack([a, b]), 8)
    cost, before = dijkstra(graph, indices=from_index, return_predecessors=True)
    total = from_far[:, None] ** 3 + cost[:, to_index] + to_far[None] ** 3  # (8, 8)
    start, end = np.unravel_index(np.argmin(total), total.shape)
    if not np.isfinite(total[start, end]):
        raise AtlasError("No chain of near codes joins these places; choose stops in one part of the map.")
    nodes = [to_index[end]]
    while nodes[-1] != from_index[start]:
        nodes.append(before[start, nodes[-1]])
    line = np.concatenate([a[None], mu[nodes[::-1]].astype(np.float64), b[None]])
    fine = _along(line, 257)
    # Smoothed over one node's length, less and less towards the ends, which must stay where they are.
    smooth = gaussian_filter1d(fine, 0.5 * 256 / (len(line) - 1), axis=0, mode="nearest")
    hold = np.clip(np.minimum(np.arange(257), np.arange(257)[::-1]) / (256 / (len(line) - 1)), 0, 1)[:, None]
    return _along(fine + hold * (smooth - fine), count)


def path(bundle: Bundle, stops: Array, kind: str, frames: int) -> tuple[Array, Array]:
    """Codes (frames, d) float32 through the stops (n, d), and how unusual each is: its distance in sigma (frames,).

    kind: "straight", "slerp" (great arcs), or "dense" (past other codes, where there are many). Raises AtlasError.
    """
    stops = np.asarray(stops, np.float64)
    if kind not in PATHS:
        raise AtlasError(f"There is no path {str(kind)[:40]!r}; use one of {', '.join(PATHS)}.")
    if not 2 <= len(stops) <= 24:
        raise AtlasError(f"A path has 2 to 24 stops, and this one has {len(stops)}; add or remove some.")
    if not len(stops) <= frames <= 480:
        raise AtlasError(f"A path of {len(stops)} stops has {len(stops)} to 480 frames, and not {frames}.")
    legs = len(stops) - 1
    # Frames shared out over the legs; each stop is a frame of its own.
    marks = np.linspace(0, frames - 1, legs + 1).round().astype(int)
    z = np.empty((frames, stops.shape[1]))
    for leg, (first, last) in enumerate(itertools.pairwise(marks)):
        a, b, count = stops[leg], stops[leg + 1], last - first + 1
        t = np.linspace(0, 1, count)[:, None]
        if kind == "dense":
            z[first : last + 1] = _dense(bundle, a, b, count)
        else:
            z[first : last + 1] = (latent.slerp if kind == "slerp" else latent.lerp)(a, b, t)
    return z.astype(np.float32), latent.mahalanobis(z, bundle.stats)
