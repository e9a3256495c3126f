"""Two models side by side: the same picture through both, and the straight map from the one's codes to the other's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vae import media
from vae.evaluation.entries import Entry, measure
from vae.evaluation.reconstructing import dimension_nats
from vae.space import latent
from vae.space.kept import cache_file, read_cache, write_cache

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

DRAWS = 3  # for each number of a code, and one more
FEWEST, MOST = 200, 800
SEED = 20  # of the draws that maps are fitted to
HELD = 4  # every fourth draw is kept back, and R2 is of those
PENALTIES = np.geomspace(1e-4, 1e4, 33)
PART = 8


def as_seen(picture: Array, bundle: Bundle) -> Array:
    """A square picture uint8 (h, h, c) in a model's own size and colours, uint8 (s, s, c)."""
    if picture.shape == (bundle.image_size, bundle.image_size, bundle.channels):
        return picture
    scaled = media.resize(picture, bundle.image_size)
    return media.grey(scaled) if bundle.channels == 1 else scaled


def weight_bytes(bundle: Bundle) -> int:
    """Encoder and decoder: what a picture needs there and back."""
    return sum((bundle.path / name).stat().st_size for name in ("encoder.onnx", "decoder.onnx"))


@dataclass(eq=False)
class Side:
    """What one model makes of a picture in one pass.

    seen, made: uint8 (s, s, c). mu: (d,). delta: style offsets (L, S) or None. figures: psnr in dB, ssim and perceptual
    against `seen`, nats, numbers (of the code and the offsets), weights in bytes.
    """

    seen: Array
    made: Array
    mu: Array
    delta: Array | None
    figures: dict[str, Any] = field(default_factory=dict)


def side(bundle: Bundle, picture: Array, perceived: bool = True) -> Side:
    """A square picture uint8 (h, h, c) of any size through one model."""
    seen = as_seen(picture, bundle)
    mu, logvar, delta = bundle.encode_with_offsets(seen[None])
    made = bundle.decode(mu, delta)[0]
    entry = Entry(bundle.name, bundle.title, made)
    measure(seen, [entry], perceived)
    more = {
        "nats": float(dimension_nats(mu, logvar).sum()),
        "numbers": bundle.latent_size + (0 if delta is None else int(delta[0].size)),
        "weights": weight_bytes(bundle),
    }
    return Side(seen, made, mu[0], None if delta is None else delta[0], {**entry.figures, **more})


@dataclass(frozen=True, eq=False)
class Map:
    """z of the second model is about matrix @ z + offset: (e, d), (e,). r2: on draws kept back. draws: fitted to."""

    matrix: Array
    offset: Array
    r2: float
    draws: int

    def __call__(self, z: Array) -> Array:
        """Codes (..., d) -> (..., e)."""
        return np.asarray(z) @ self.matrix.T + self.offset


def least_squares(x: Array, y: Array) -> tuple[Array, Array]:
    """Matrix (e, d) and offset (e,) of the affine map from x (N, d) to y (N, e) with the least squared error.

    Ridge regression, as a code of d numbers seldom has many times d pictures; the penalty by generalised
    cross-validation. Golub, Heath and Wahba 1979, doi 10.1080/00401706.1979.10489751.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    x_mean, y_mean = x.mean(0), y.mean(0)
    u, s, vt = np.linalg.svd(x - x_mean, full_matrices=False)
    s = np.maximum(s, 1e-12)
    target = u.T @ (y - y_mean)
    outside = ((y - y_mean) ** 2).sum() - (target**2).sum()

    def score(penalty: float) -> float:
        keep = s**2 / (s**2 + penalty)
        error = outside + (((1 - keep)[:, None] * target) ** 2).sum()
        return float(error / max(len(x) - 1 - keep.sum(), 1e-9) ** 2)

    best = min(PENALTIES, key=score)
    matrix = (vt.T @ ((s / (s**2 + best))[:, None] * target)).T
    return matrix, y_mean - matrix @ x_mean


def r_squared(truth: Array, made: Array) -> float:
    """Share of the spread of truth (N, e) about its mean, over all numbers together, that made (N, e) accounts for."""
    return float(1 - ((truth - made) ** 2).sum() / max(((truth - truth.mean(0)) ** 2).sum(), 1e-12))


def fitted_map(x: Array, y: Array) -> Map:
    """The map from x (N, d) to y (N, e), fitted to all; its R2 is that of a map fitted without every HELD-th."""
    held = np.arange(len(x)) % HELD == 0
    tried = Map(*least_squares(x[~held], y[~held]), 0.0, int((~held).sum()))
    return Map(*least_squares(x, y), r_squared(np.asarray(y)[held], tried(np.asarray(x)[held])), len(x))


def between(a: Bundle, b: Bundle, tell: Callable[[float], None] = lambda share: None) -> Map:
    """From the codes of a to those of b, made once and kept in the cache.

    Fitted to draws from a's prior: their codes, and what b's encoder reads from the pictures that a makes of them.
    """
    path, shape = cache_file(a, f"to-{b.digest}"), (b.latent_size + 1, a.latent_size + 1)
    kept = read_cache(path, shape)  # the last column is the offset, the last row R2 and the number of draws
    if kept is not None:
        return Map(kept[:-1, :-1], kept[:-1, -1], float(kept[-1, 0]), int(kept[-1, -1]))
    count = int(np.clip(DRAWS * (a.latent_size + 1), FEWEST, MOST))
    z = latent.sample(a, SEED, 1.0, count)
    codes = []
    for i in range(0, count, PART):
        seen = np.stack([as_seen(picture, b) for picture in a.decode(a.check_z(z[i : i + PART]))])
        codes.append(b.encode(seen)[0])
        tell(min(1.0, (i + PART) / count))
    found = fitted_map(z, np.concatenate(codes))
    values = np.zeros(shape)
    values[:-1, :-1], values[:-1, -1] = found.matrix, found.offset
    values[-1, 0], values[-1, -1] = found.r2, found.draws
    write_cache(path, values)
    return found
