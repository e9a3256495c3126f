"""How alike pictures are: pairs of them, pixel by pixel, and sets of them, by their features. NumPy only."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

NEIGHBOURS = 3


def psnr(a: Array, b: Array) -> Array:
    """Peak signal-to-noise ratio in dB of pairs of pictures uint8 (N, h, w, c) -> (N,); identical ones give 100."""
    error = ((a.astype(np.float64) - b) ** 2).mean((1, 2, 3))
    return np.minimum(10 * np.log10(255**2 / np.maximum(error, 1e-12)), 100.0)


def ssim(a: Array, b: Array) -> Array:
    """Structural similarity of pairs of pictures uint8 (N, h, w, c) -> (N,), Wang et al. 2004, Gaussian window."""
    from skimage.metrics import structural_similarity

    settings = dict(channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    # The window of sigma 1.5 spans 11 pixels; smaller pictures take the largest odd window that fits.
    if min(a.shape[1:3]) < 11:
        settings = dict(channel_axis=2, data_range=255, win_size=min(a.shape[1:3]) - 1 | 1)
    return np.array([structural_similarity(x, y, **settings) for x, y in zip(a, b)])


def frechet(a: Array, b: Array) -> float:
    """Frechet distance of two sets of features (N, d), (M, d), each taken for a Gaussian.

    |m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2), Heusel et al. 2017, arXiv 1706.08500. It depends on N and M:
    compare only what was measured with the same numbers of pictures.
    """
    mean = a.mean(0) - b.mean(0)
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ cov_b @ root), 0, None)).sum()
    return float(mean @ mean + np.trace(cov_a) + np.trace(cov_b) - 2 * cross)


def coverage(real: Array, made: Array, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Precision and recall of made features (M, d) against real ones (N, d), Kynkaanniemi et al. 2019, arXiv 1904.06991.

    Precision: the share of made pictures within reach of a real one, its reach being the distance to its k-th real
    neighbour. Recall: the same with the roles exchanged.
    """

    def distances(x: Array, y: Array) -> Array:
        squares = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
        return np.sqrt(np.maximum(squares, 0))

    def reached(x: Array, y: Array) -> float:
        reach = np.sort(distances(x, x), 1)[:, k]  # the first neighbour is the picture itself
        return float((distances(y, x) <= reach).any(1).mean())

    return reached(real, made), reached(made, real)
