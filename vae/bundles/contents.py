"""The numbers of a bundle: statistics, codes and directions, read from its npz files and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vae.bundles.contract import (
    ACTIONS,
    CURVATURE_FILE,
    DRIVE_FILE,
    NAME,
    WAYS_FILE,
    BundleError,
    numbers,
    read_arrays,
    words,
)

Array = np.ndarray

MAX_CODES = 100_000
MAX_FRAMES = 240
FACTORS = ("factors", "factor_names", "factor_units")
MAX_WAYS, MAX_PLACES = 8, 1025


@dataclass(frozen=True, eq=False)
class Stats:
    """How the codes of the data are spread. Vectors (d,), matrices (d, d), float64; eigenvectors are columns.

    mean: the average picture's code, where all sliders stand at zero. It is the mean of the codes (`centre`), except
    where that decodes to no picture: the codes of photos lie on a shell around it, and the decoder knows nothing of
    its inside. Then `shell` is true and `mean` is the code of the average of the pictures.
    std, cov, eigenvalues, eigenvectors: of the codes around `centre`. kl: mean KL per dimension in nats.
    The prior is a mixture of k Gaussians: prior_weight (k,), prior_mean (k, d), prior_chol (k, d, d).
    """

    mean: Array
    std: Array
    centre: Array = field(repr=False)
    cov: Array = field(repr=False)
    kl: Array = field(repr=False)
    eigenvalues: Array = field(repr=False)
    eigenvectors: Array = field(repr=False)
    prior_weight: Array = field(repr=False)
    prior_mean: Array = field(repr=False)
    prior_chol: Array = field(repr=False)
    shell: bool = False


@dataclass(frozen=True, eq=False)
class Codes:
    """Encoded data: mu, logvar (M, d) float32; labels (M, K) uint8 with names (K,), never pictures.

    factors (M, F) float32: what is known exactly of each picture, of a world that computes them; names and units (F,).
    """

    mu: Array
    logvar: Array
    labels: Array
    label_names: tuple[str, ...]
    factors: Array
    factor_names: tuple[str, ...] = ()
    factor_units: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.mu)


@dataclass(frozen=True, eq=False)
class Drive:
    """A recorded drive that the model has not seen: frames (T, s, s, c) uint8, and the action (T, 3) after each."""

    frames: Array
    actions: Array

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, eq=False)
class Directions:
    """Named directions. w: (K, d) read-outs; score: held-out AUC of a label, correlation of a measurement.

    leaks: (K, K), row k: what every read-out moves, in sigma, when direction k moves by one sigma. steps (K, d): a sigma of
    each, w @ step = 1; None where all move along the covariance of the codes.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    kind: tuple[str, ...]
    group: tuple[str, ...]
    w: Array
    score: Array
    leaks: Array
    steps: Array | None = None

    def moves(self, cov: Array) -> Array:
        """How a code moves by a sigma of each (K, d), cov (d, d) being the covariance of the codes."""
        return self.w @ cov if self.steps is None else self.steps

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Ways:
    """Curves through the codes, found without labels: the longest ways that the data goes.

    points (K, P, d): the mean code at evenly spaced places from one end to the other; ends (K, 2): the values there, in
    sigma of the places of the data's codes.
    metric (K, d, d): |(z - point) @ metric| is how far a code is from a point, in spreads of the codes about the way.
    w (K, d): the linear read-out that comes nearest, for locks and maps. score: share of the variance of the codes that
    the way explains. follows: the factor that it turned out to be, or ""; agrees: its correlation with that, or 0.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    follows: tuple[str, ...]
    ends: Array
    points: Array
    metric: Array
    w: Array
    score: Array
    agrees: Array

    def __len__(self) -> int:
        return len(self.names)


def read_stats(path: Path, d: int) -> Stats:
    """stats.npz of a bundle's folder, for codes of d numbers. Raises BundleError."""
    vectors, matrices = ("mean", "std", "centre", "kl", "eigenvalues"), ("cov", "eigenvectors")
    arrays = read_arrays(path, "stats.npz", (*vectors, *matrices, "prior_weight", "prior_mean", "prior_chol", "shell"))
    shapes: dict[str, tuple] = {**dict.fromkeys(vectors, (d,)), **dict.fromkeys(matrices, (d, d))}
    count = len(np.atleast_1d(arrays["prior_weight"]))
    shapes |= {"prior_weight": (count,), "prior_mean": (count, d), "prior_chol": (count, d, d), "shell": ()}
    checked = {key: numbers(path, "stats.npz", key, arrays[key], shape) for key, shape in shapes.items()}
    positive = np.diagonal(checked["prior_chol"], axis1=1, axis2=2).all() and (checked["prior_weight"] > 0).all()
    if (checked["std"] < 0).any() or not positive or not count:
        raise BundleError(f"{path.name}/stats.npz has a spread that is negative or zero; export the model anew.")
    return Stats(**{**checked, "shell": bool(checked["shell"])})


def read_codes(path: Path, d: int) -> Codes:
    """codes.npz of a bundle's folder, codes of d numbers. Raises BundleError."""
    arrays = read_arrays(path, "codes.npz", ("mu", "logvar", "labels", "label_names"), FACTORS)
    mu = numbers(path, "codes.npz", "mu", arrays["mu"], (None, d), np.float32)
    if len(mu) > MAX_CODES:
        raise BundleError(
            f"{path.name}/codes.npz holds {len(mu):,} codes, more than {MAX_CODES:,}; export fewer codes."
        )
    logvar = numbers(path, "codes.npz", "logvar", arrays["logvar"], mu.shape, np.float32)
    labels = numbers(path, "codes.npz", "labels", arrays["labels"], (len(mu), None), np.int32)
    label_names = words(path, "codes.npz", "label_names", arrays["label_names"], labels.shape[1])
    if FACTORS[0] not in arrays:
        return Codes(mu, logvar, labels, label_names, np.zeros((len(mu), 0), np.float32))
    factors = numbers(path, "codes.npz", "factors", arrays["factors"], (len(mu), None), np.float32)
    names, units = (words(path, "codes.npz", key, arrays[key], factors.shape[1]) for key in FACTORS[1:])
    return Codes(mu, logvar, labels, label_names, factors, names, units)


def read_drive(path: Path, size: int, channels: int) -> Drive:
    """drive.npz of a bundle's folder, with pictures of `size` px. Raises BundleError."""
    arrays = read_arrays(path, DRIVE_FILE, ("frames", "actions"))
    frames = arrays["frames"]
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (size, size, channels):
        raise BundleError(
            f"{path.name}/{DRIVE_FILE} has frames of shape {frames.shape} and type {frames.dtype} where uint8 "
            f"(T, {size}, {size}, {channels}) belongs; export anew."
        )
    if not 2 <= len(frames) <= MAX_FRAMES:
        raise BundleError(f"{path.name}/{DRIVE_FILE} has {len(frames):,} frames; a drive has 2 to {MAX_FRAMES}.")
    actions = numbers(path, DRIVE_FILE, "actions", arrays["actions"], (len(frames), ACTIONS), np.float32)
    if np.abs(actions).max() > 1:
        raise BundleError(f"{path.name}/{DRIVE_FILE} has an action beyond -1 to 1; export anew.")
    return Drive(frames, actions)


def read_directions(path: Path, d: int) -> Directions:
    """directions.npz of a bundle's folder, for codes of d numbers. Raises BundleError."""
    name = "directions.npz"
    written = ("names", "labels", "kind", "group")
    arrays = read_arrays(path, name, (*written, "w", "score", "leaks"), ("steps",))
    w = numbers(path, name, "w", arrays["w"], (None, d))
    if not np.abs(w).sum(1).all():
        raise BundleError(f"{path.name}/{name} has a direction that is zero; export the model anew.")
    texts = {key: words(path, name, key, arrays[key], len(w)) for key in written}
    if len(set(texts["names"])) != len(w) or not all(NAME.fullmatch(n) for n in texts["names"]):
        raise BundleError(
            f"{path.name}/{name} has names that repeat or are not made of letters, digits, '-', '_'; export anew."
        )
    if set(texts["kind"]) - {"label", "measured"}:
        raise BundleError(f"{path.name}/{name} has a kind other than 'label' and 'measured'; export the model anew.")
    score = numbers(path, name, "score", arrays["score"], (len(w),))
    leaks = numbers(path, name, "leaks", arrays["leaks"], (len(w), len(w)))
    steps = numbers(path, name, "steps", arrays["steps"], w.shape) if "steps" in arrays else None
    if steps is not None and not np.allclose((w * steps).sum(1), 1, atol=1e-2):
        raise BundleError(
            f"{path.name}/{name} has steps that are not a sigma of their read-outs; export the model anew."
        )
    return Directions(**texts, w=w, score=score, leaks=leaks, steps=steps)


def read_ways(path: Path, d: int) -> Ways:
    """ways.npz of a bundle's folder, for codes of d numbers. Raises BundleError."""
    written = ("names", "labels", "follows")
    arrays = read_arrays(path, WAYS_FILE, (*written, "ends", "points", "metric", "w", "score", "agrees"))
    points = numbers(path, WAYS_FILE, "points", arrays["points"], (None, None, d))
    count, places = points.shape[:2]
    if not (1 <= count <= MAX_WAYS and 3 <= places <= MAX_PLACES):
        raise BundleError(
            f"{path.name}/{WAYS_FILE} has {count:,} ways of {places:,} places; a bundle has 1 to {MAX_WAYS}, of 3 to "
            f"{MAX_PLACES:,} places."
        )
    texts = {key: words(path, WAYS_FILE, key, arrays[key], count) for key in written}
    if len(set(texts["names"])) != count or not all(NAME.fullmatch(n) for n in texts["names"]):
        raise BundleError(f"{path.name}/{WAYS_FILE} has names that repeat or are not letters, digits, '-', '_'.")
    shapes = {"ends": (count, 2), "metric": (count, d, d), "w": (count, d), "score": (count,), "agrees": (count,)}
    checked = {key: numbers(path, WAYS_FILE, key, arrays[key], shape) for key, shape in shapes.items()}
    if not np.abs(checked["w"]).sum(1).all() or (checked["ends"][:, 0] >= checked["ends"][:, 1]).any():
        raise BundleError(f"{path.name}/{WAYS_FILE} has a way that leads nowhere; find the ways anew.")
    return Ways(**texts, points=points, **checked)


def check_curvature(path: Path, levels: int, style: int) -> None:
    """The curvature of style offsets is whole; only the refining process uses its numbers. Raises BundleError."""
    arrays = read_arrays(path, CURVATURE_FILE, ("triangles", "scale"))
    numbers(path, CURVATURE_FILE, "triangles", arrays["triangles"], (levels, style * (style + 1) // 2), np.float16)
    numbers(path, CURVATURE_FILE, "scale", arrays["scale"], (levels,))
