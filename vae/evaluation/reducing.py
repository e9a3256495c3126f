"""Reducing dimensions: how well a map keeps neighbours, and what a reconstruction loses with few numbers."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

NEIGHBOURS = 10


def _usable(count: int, k: int) -> int:
    """The neighbours that the figures can be asked for: fewer than half of the points."""
    if count < 5:
        raise ValueError(f"{count} points have no neighbourhoods to compare; give at least 5 pictures")
    return max(1, min(k, (count - 1) // 2))


def trustworthiness(data: Array, places: Array, k: int = NEIGHBOURS) -> float:
    """Whether neighbours on a map (N, m) are neighbours in the data (N, D): 1 if all are, about 0.5 by chance.

    Venna and Kaski 2001, doi 10.1007/3-540-44668-0_68: 1 minus the scaled sum, over points on the map that do not
    belong among the k nearest, of how far down they stand in the data's own order. Raises ValueError.
    """
    from sklearn.manifold import trustworthiness as trust

    return float(trust(data, places, n_neighbors=_usable(len(data), k)))


def ranks(points: Array) -> Array:
    """Place of j in the order of points by their distance from i, (N, N): 0 for i itself, 1 for the nearest."""
    squares = (points**2).sum(1)
    distances = squares[:, None] + squares - 2 * points @ points.T
    np.fill_diagonal(distances, -np.inf)
    order = np.argsort(distances, 1, kind="stable")
    found = np.empty_like(order)
    np.put_along_axis(found, order, np.arange(len(points))[None], 1)
    return found


def continuity(data: Array, places: Array, k: int = NEIGHBOURS) -> float:
    """Whether neighbours in the data (N, D) stayed neighbours on a map (N, m): 1 if all did, about 0.5 by chance.

    Venna and Kaski 2001, equation 4: C = 1 - 2 / (N k (2N - 3k - 1)) * sum over i and over j in V_k(i) of
    (r_map(i, j) - k), with V_k(i) the points that are among the k nearest in the data but not on the map.
    Raises ValueError.
    """
    data, places = np.asarray(data, np.float64), np.asarray(places, np.float64)
    count, k = len(data), _usable(len(data), k)
    near, on_map = ranks(data), ranks(places)
    lost = (near <= k) & (on_map > k)
    return float(1 - 2 / (count * k * (2 * count - 3 * k - 1)) * (on_map[lost] - k).sum())


def purity(places: Array, classes: Array, k: int = NEIGHBOURS) -> float:
    """Mean share of the k nearest points (N, m) that have the point's own class (N,); -1 is none and does not count."""
    found = ranks(np.asarray(places, np.float64))
    known = classes >= 0
    near = (found >= 1) & (found <= _usable(len(places), k)) & known[None]
    same = near & (classes[:, None] == classes)
    counted = known & near.any(1)
    return float((same.sum(1)[counted] / near.sum(1)[counted]).mean()) if counted.any() else float("nan")


def chance(classes: Array) -> float:
    """The purity of a map that knows nothing: two points drawn at random are of one class so often."""
    share = np.bincount(classes[classes >= 0]) / max(1, (classes >= 0).sum())
    return float((share**2).sum())


def judged(data: Array, places: Array, classes: Array | None, k: int = NEIGHBOURS) -> dict[str, float]:
    """All figures of one map."""
    found = {"trustworthiness": trustworthiness(data, places, k), "continuity": continuity(data, places, k)}
    if classes is not None:
        found["purity"] = purity(places, classes, k)
    return found


def sizes_up_to(most: int) -> list[int]:
    """Numbers of dimensions for a curve: 1, 2, 3, 4, 6, 8, ... and the last one."""
    found = sorted({n for i in range(12) for n in (2**i, 3 * 2**i) if n <= most} | {most})
    return [n for n in found if n >= 1]
