"""The codes nearest to a code. NumPy only."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def nearest(codes: Array, z: Array, count: int) -> tuple[Array, Array]:
    """Indices and Euclidean distances (n, k) of the codes (M, d) nearest to z (n, d), nearest first."""
    codes, z = np.asarray(codes, np.float32), np.atleast_2d(np.asarray(z, np.float32))
    count = min(count, len(codes))
    square = np.einsum("md,md->m", codes, codes)
    index = np.empty((len(z), count), np.int64)
    distance = np.empty((len(z), count), np.float64)
    for i in range(0, len(z), 512):
        part = z[i : i + 512]
        table = square - 2 * part @ codes.T  # (n, M), up to |z|^2
        best = np.argpartition(table, count - 1, axis=1)[:, :count]
        # Differences taken anew: the expansion above loses digits where two codes nearly agree.
        exact = np.linalg.norm(codes[best].astype(np.float64) - part[:, None], axis=2)
        order = np.argsort(exact, axis=1, kind="stable")
        index[i : i + 512] = np.take_along_axis(best, order, 1)
        distance[i : i + 512] = np.take_along_axis(exact, order, 1)
    return index, distance


def place_among(codes: Array, xy: Array, z: Array, count: int) -> Array:
    """Places (n, 2) of codes z (n, d) from the places xy (M, 2) of the `count` codes (M, d) nearest to each."""
    index, distance = nearest(codes, z, count)
    weight = 1 / (distance**2 + 1e-9)
    weight /= weight.sum(1, keepdims=True)
    return np.einsum("nk,nkc->nc", weight, xy[index])
