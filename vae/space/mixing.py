"""Mix the codes of two to four faces by weights, level by level, in a straight line or on the sphere.

Groups of levels: Karras et al. 2019 (arXiv 1812.04948), section 3.1. Weighted means on the sphere: Buss and Fillmore 2001,
doi 10.1145/502122.502124. Weights are (L, k), a row for each level of the decoder, one row for a flat code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.space import axes, latent

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

GROUPS = ("coarse", "middle", "fine")
MAX_SOURCES = 4
PATHS = ("slerp", "lerp")


class BlendError(ValueError):
    """A blend that cannot be made; the message is one sentence for the user."""


def level_groups(levels: int) -> tuple[int, ...]:
    """Index into GROUPS for each level: thirds of the decoder, from coarse to fine."""
    return tuple(level * len(GROUPS) // levels for level in range(levels))


def group_levels(levels: int, group: int) -> tuple[int, ...]:
    """The levels that one of GROUPS covers."""
    return tuple(level for level, g in enumerate(level_groups(levels)) if g == group)


def pair_weights(
    levels: int, mix: float = 0.5, coarse: float | None = None, middle: float | None = None, fine: float | None = None
) -> Array:
    """Weights (L, 2) of two faces for each level, from the amounts 0..1 of the second; (1, 2) for a flat code.

    A group's own amount overrides `mix`. Raises BlendError.
    """
    amounts = [mix if value is None else value for value in (coarse, middle, fine)]
    for name, value in zip(("mix", *GROUPS), (mix, *amounts)):
        if not 0 <= value <= 1:  # false for nan too
            raise BlendError(f"The {name} is {value}; give a number from 0 (all A) to 1 (all B).")
    if not levels:
        if any(value is not None and value != mix for value in (coarse, middle, fine)):
            raise BlendError("This model has one flat code and no levels; mix everything at once with --mix.")
        return np.array([[1 - mix, mix]])
    share = np.array([amounts[group] for group in level_groups(levels)])
    return np.column_stack([1 - share, share])


def check_weights(weights: Any, levels: int, count: int) -> Array:
    """Weights as (L, k) rows that sum to 1, from (k,) or (L, k) numbers, none negative. Raises BlendError."""
    rows = max(1, levels)
    try:
        weights = np.array(weights, np.float64)
    except (TypeError, ValueError):
        weights = np.empty(0)
    if weights.ndim == 1:
        weights = np.broadcast_to(weights, (rows, len(weights))).copy()
    if weights.shape != (rows, count):
        raise BlendError(f"The weights have the shape {weights.shape}; give {count} numbers, or {rows} rows of them.")
    if not np.isfinite(weights).all() or (weights < 0).any() or (weights.sum(1) <= 0).any():
        raise BlendError("The weights must be finite, none below 0 and not all 0; give each face a share.")
    return weights / weights.sum(1, keepdims=True)


def corner_weights(x: float, y: float, count: int) -> Array:
    """Weights (k,) of a hand at (x, y) in 0..1, y downwards: on a line (2), in a triangle (3) or a square (4).

    Triangle: A at the top left, B at the top right, C at the middle of the bottom edge; a hand outside it counts as
    the nearest point inside. Square: A B over C D, bilinear.
    """
    x, y = (float(min(1.0, max(0.0, v))) for v in (x, y))
    if count == 2:
        return np.array([1 - x, x])
    if count == 4:
        return np.array([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y])
    if count != 3:
        raise BlendError(f"A pad holds 2 to {MAX_SOURCES} faces, not {count}; add or take away some.")
    c = y
    half = (1 - c) / 2
    x = min(0.5 + half, max(0.5 - half, x))
    b = x - c / 2
    return np.array([1 - b - c, b, c])


def spherical_mean(codes: Array, weights: Array) -> Array:
    """Weighted mean (d,) of codes (k, d) on the sphere, lengths averaged in a straight line; slerp where two count.

    A weight of 1 gives that code back, bit for bit.
    """
    used = np.flatnonzero(weights)
    if len(used) == 1:
        return np.array(codes[used[0]], np.float64)
    codes, weights = np.asarray(codes, np.float64)[used], weights[used] / weights[used].sum()
    if len(used) == 2:
        return latent.slerp(codes[0], codes[1], weights[1])
    lengths = np.linalg.norm(codes, axis=1)
    if lengths.min() < 1e-9:
        return weights @ codes
    units = codes / lengths[:, None]
    mean = weights @ units
    if np.linalg.norm(mean) < 1e-6:
        return weights @ codes
    mean /= np.linalg.norm(mean)
    for _ in range(20):
        cosine = np.clip(units @ mean, -1, 1)
        angle = np.arccos(cosine)
        away = units - cosine[:, None] * mean
        norm = np.linalg.norm(away, axis=1)
        tangent = (weights * np.where(norm > 1e-12, angle / np.maximum(norm, 1e-12), 1)) @ away
        size = np.linalg.norm(tangent)
        if size < 1e-12:
            break
        mean = np.cos(size) * mean + np.sin(size) * tangent / size
        mean /= np.linalg.norm(mean)
    return mean * (weights @ lengths)


def mix_codes(codes: Array, weights: Array, path: str = "slerp") -> Array:
    """Codes (k, d) and weights (L, k) -> a code for each level (L, d)."""
    if path not in PATHS:
        raise BlendError(f"The path is {path!r}; use slerp or lerp.")
    if path == "lerp":
        return weights @ np.asarray(codes, np.float64)
    rows: dict[bytes, Array] = {}
    return np.stack([rows.setdefault(w.tobytes(), spherical_mean(codes, w)) for w in weights])


def mix_offsets(offsets: Array, weights: Array) -> Array:
    """Style offsets (k, L, S) and weights (L, k) -> (L, S), level by level in a straight line."""
    return np.einsum("lk,kls->ls", weights, np.asarray(offsets, np.float64))


def grid_weights(levels: int, rows: int, columns: int, cut: int) -> Array:
    """Weights (rows * columns, L, rows + columns): levels below the cut from the row's face, the rest from the column's."""
    if levels and not 1 <= cut < levels:
        raise BlendError(f"The cut is {cut}; use a level from 1 to {levels - 1}.")
    coarse = np.arange(max(1, levels)) < cut
    weights = np.zeros((rows, columns, max(1, levels), rows + columns))
    for i in range(rows):
        for j in range(columns):
            if levels:
                weights[i, j, coarse, i] = 1
                weights[i, j, ~coarse, rows + j] = 1
            else:  # one flat code has no levels to cut: the cell is the middle of the two
                weights[i, j, 0, [i, rows + j]] = 0.5
    return weights.reshape(rows * columns, max(1, levels), rows + columns)


def path_weights(t: Array, count: int) -> Array:
    """Weights (n, k) at the times t (n,) in 0..1 of a walk through the sources in their order."""
    place = np.clip(np.asarray(t, float), 0, 1) * (count - 1)
    return np.clip(1 - np.abs(place[:, None] - np.arange(count)), 0, 1)


def edit_shift(bundle: Bundle, edits: Mapping[str, float]) -> Array:
    """Shift (d,) of a code for moves along named directions, sigma by name. Raises LatentError, BlendError."""
    shift = np.zeros(bundle.latent_size)
    edits = {name: float(value) for name, value in edits.items() if value}
    if not edits:
        return shift
    basis = axes.bases(bundle).get("named")
    if basis is None:
        raise BlendError(f"{bundle.name} has no named directions; leave the edits out.")
    for name, value in edits.items():
        if not abs(value) <= 6:
            raise BlendError(f"The edit {name} is {value} sigma; give a number from -6 to 6.")
        shift += value * basis.D[basis.index(name)]
    return shift
