"""Principal component analysis of pictures: the linear rival of every bench. NumPy only.

Pearson 1901; fitted as eigenfaces are (Turk and Pentland 1991, doi 10.1162/jocn.1991.3.1.71), through the Gram matrix.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vae.evaluation.coding import Spread, finest
from vae.files import replacing

Array = np.ndarray

COMPONENTS = 128
COLUMNS = 4096  # pixels at once, so that the pictures are never all in float32
HEADER = 10  # bytes: what an .lsz file has beside its numbers, so that both rivals carry the same


def quantised(pixels: Array) -> Array:
    """float (...) in 0..255 -> uint8."""
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Pca:
    """mean (D,), vectors (k, D) float32 of length 1, values (k,): variance along each, in grey levels squared.

    rest: mean variance of a pixel outside the k components; shape: of a picture (s, s, c); count: pictures fitted to;
    source: what they were, for people.
    """

    mean: Array
    vectors: Array
    values: Array
    rest: float
    shape: tuple[int, int, int]
    count: int
    source: str

    def project(self, pictures: Array) -> Array:
        """Pictures uint8 or float (N, s, s, c) -> coefficients (N, k)."""
        flat = pictures.reshape(len(pictures), -1).astype(np.float32) - self.mean
        return (flat @ self.vectors.T).astype(np.float64)

    def restore(self, coefficients: Array) -> Array:
        """Coefficients (N, j), j <= k -> pictures uint8 (N, s, s, c)."""
        j = coefficients.shape[1]
        flat = coefficients.astype(np.float32) @ self.vectors[:j] + self.mean
        return quantised(flat).reshape(len(coefficients), *self.shape)

    def denoise(self, pictures: Array, sigma: float) -> Array:
        """The best linear guess from pictures with Gaussian noise: each component shrunk by its share of signal."""
        share = self.values / (self.values + sigma**2)
        return self.restore(self.project(pictures) * share)

    def fill(self, picture: Array, known: Array, noise: float = 5.0) -> Array:
        """One picture (s, s, c) of which only `known` (s, s) is seen: the conditional mean of the Gaussian of the data."""
        mask = np.repeat(known.reshape(-1), self.shape[2]).astype(bool)
        seen = self.vectors[:, mask].astype(np.float64)
        target = picture.reshape(-1)[mask].astype(np.float64) - self.mean[mask]
        precision = seen @ seen.T / (noise**2 + self.rest) + np.diag(1 / np.maximum(self.values, 1e-9))
        return self.restore(np.linalg.solve(precision, seen @ target / (noise**2 + self.rest))[None])[0]

    @cached_property
    def spread(self) -> Spread:
        """For the coder: one step for all components, which is best for a Gaussian (reverse water-filling)."""
        std = np.sqrt(np.maximum(self.values, 1e-6))
        return Spread.of(np.zeros(len(std)), std, np.full(len(std), max(std[-1], 0.25)))

    def compress(self, picture: Array, most: int) -> tuple[Array, int, int] | None:
        """One picture (s, s, c) in at most so many bytes -> the picture again, its bytes, the step; None where none fit."""
        found = finest(self.spread, self.project(picture[None]), most - HEADER)
        if found is None:
            return None
        step, symbols, data = found
        return self.restore(self.spread.restore(symbols, step))[0], len(data) + HEADER, step

    @property
    def digest(self) -> str:
        """Eight digits that tell one fit from another, for reports."""
        return f"{binascii.crc32(self.vectors.tobytes()):08x}"

    def save(self, path: Path) -> None:
        """Put it into a file as a whole, vectors as float16."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part, part.open("wb") as file:
            np.savez(
                file, mean=self.mean, vectors=self.vectors.astype(np.float16), values=self.values, rest=self.rest,
                shape=self.shape, count=self.count, source=self.source,
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Pca | None:
        """What `save` wrote, None where there is none that can be read."""
        try:
            with np.load(path, allow_pickle=False) as data:
                vectors = data["vectors"].astype(np.float32)
                shape = tuple(int(n) for n in data["shape"])
                numbers = data["mean"], vectors, data["values"], float(data["rest"])
                return cls(*numbers, shape, int(data["count"]), str(data["source"]))
        except (OSError, ValueError, KeyError, EOFError):
            return None


def fit(
    parts: Iterable[Array],
    components: int = COMPONENTS,
    source: str = "",
    tell: Callable[[float], None] = lambda x: None,
) -> Pca:
    """PCA of pictures uint8 (n, s, s, c), given in parts. Raises ValueError for fewer than three pictures."""
    pictures = np.concatenate(list(parts))
    count = len(pictures)
    if count < 3:
        raise ValueError(f"PCA needs at least 3 pictures, and there are {count}; give more of them")
    flat = pictures.reshape(count, -1)
    width = flat.shape[1]
    mean = flat.mean(0, dtype=np.float64).astype(np.float32)
    gram = np.zeros((count, count), np.float32)
    columns = range(0, width, COLUMNS)
    for i in columns:
        part = flat[:, i : i + COLUMNS].astype(np.float32) - mean[i : i + COLUMNS]
        gram += part @ part.T
        tell(0.9 * (i + COLUMNS) / width)
    k = min(components, count - 1, width)
    values, left = _largest(gram, k)
    values = np.maximum(values, 1e-6)
    weights = (left / np.sqrt(values)).astype(np.float32)  # (count, k)
    vectors = np.empty((k, width), np.float32)
    for i in columns:
        part = flat[:, i : i + COLUMNS].astype(np.float32) - mean[i : i + COLUMNS]
        vectors[:, i : i + COLUMNS] = weights.T @ part
    rest = max(float(np.trace(gram, dtype=np.float64) - values.sum()), 0.0) / count / width
    tell(1.0)
    return Pca(mean, vectors, values / count, rest, pictures.shape[1:], count, source)


def _largest(gram: Array, k: int) -> tuple[Array, Array]:
    """The k largest eigenvalues, falling, and their vectors as columns."""
    from scipy.linalg import eigh

    count = len(gram)
    values, vectors = eigh(gram.astype(np.float64) if count < 3000 else gram, subset_by_index=(count - k, count - 1))
    return values[::-1].astype(np.float64), vectors[:, ::-1]


def by_dimensions(pca: Pca, pictures: Array, sizes: Sequence[int]) -> list[float]:
    """Mean squared error in grey levels squared of pictures restored from their first j coefficients, for each j."""
    coefficients = pca.project(pictures)
    return [float(((pca.restore(coefficients[:, :j]).astype(np.float32) - pictures) ** 2).mean()) for j in sizes if j]
