"""Layouts of codes without an inverse: UMAP and t-SNE. NumPy, scikit-learn, umap-learn.

They take seconds to minutes and print as they go, so they run in a process of their own: vae.space.worker.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable

import numpy as np

from vae.space.neighbours import nearest, place_among

Array = np.ndarray
Tell = Callable[[float, str], None]  # progress from 0 to 1, and the stage in words

TSNE_CODES = 10_000  # more codes are placed beside their nearest ones among these
EXACT_NEIGHBOURS = 30_000  # up to here UMAP is given all neighbours instead of searching for them


class _Reader(io.TextIOBase):
    """A text stream that turns what a library prints into progress."""

    def __init__(self, pattern: str, total: float, tell: Tell, low: float, high: float):
        self.pattern, self.total, self.tell, self.low, self.high = re.compile(pattern), total, tell, low, high

    def write(self, text: str) -> int:
        for number in self.pattern.findall(text):
            self.tell(self.low + (self.high - self.low) * min(1.0, float(number) / self.total), "Laying out")
        return len(text)


def _reduce(mu: Array) -> Array:
    """At most 50 principal coordinates (M, p), which hold nearly all that neighbours depend on."""
    x = mu.astype(np.float64) - mu.mean(0)
    if x.shape[1] <= 50:
        return x.astype(np.float32)
    vectors = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :50]
    return (x @ vectors).astype(np.float32)


def _start(x: Array) -> Array:
    """A first layout (M, 2): the two widest axes, small; it keeps the large shape and makes runs repeatable."""
    vectors = np.linalg.eigh(x.T.astype(np.float64) @ x)[1][:, ::-1]
    first = x @ vectors[:, :2] if x.shape[1] > 1 else np.concatenate([x, np.zeros_like(x)], 1)
    return (first / max(float(first[:, 0].std()), 1e-9)).astype(np.float32)


def umap_layout(mu: Array, neighbours: int, tell: Tell) -> Array:
    """UMAP (M, 2) of codes (M, d). McInnes, Healy and Melville 2018, arXiv 1802.03426."""
    tell(0.02, "Loading UMAP")
    import umap

    tell(0.1, "Finding neighbours")
    x = _reduce(mu)
    neighbours, epochs, known = min(neighbours, len(x) - 1), 400 if len(x) <= 20_000 else 200, (None, None)
    if len(x) <= EXACT_NEIGHBOURS:  # exact, and without the minute that compiling the approximate search takes
        known = nearest(x, x, neighbours)
        known = known[0].astype(np.int32), known[1].astype(np.float32)
    reader = _Reader(r"(\d+)%\|", 100, tell, 0.3, 0.99)
    model = umap.UMAP(
        n_neighbors=neighbours,
        min_dist=0.1,
        precomputed_knn=known,
        init=10 * _start(x),
        n_epochs=epochs,
        # One seed means one thread; with very many codes the minutes saved count for more.
        random_state=0 if known[0] is not None else None,
        n_jobs=1 if known[0] is not None else -1,
        verbose=True,
        tqdm_kwds={"file": reader, "mininterval": 0.2, "bar_format": "{percentage:3.0f}%|"},
    )
    with contextlib.redirect_stdout(io.StringIO()):
        return np.asarray(model.fit_transform(x), np.float32)


def tsne_layout(mu: Array, perplexity: int, tell: Tell) -> Array:
    """t-SNE (M, 2) of codes (M, d). van der Maaten and Hinton 2008, JMLR 9; beyond 10,000, placed by neighbours."""
    tell(0.02, "Finding neighbours")
    from sklearn.manifold import TSNE

    x = _reduce(mu)
    order = np.random.default_rng(0).permutation(len(x))
    chosen = np.sort(order[:TSNE_CODES])
    part = x[chosen]
    model = TSNE(
        perplexity=min(perplexity, (len(part) - 1) / 3),
        init=1e-4 * _start(part),
        learning_rate="auto",
        random_state=0,
        verbose=2,
        n_jobs=-1,
        max_iter=1000,
    )
    with contextlib.redirect_stdout(_Reader(r"Iteration (\d+)", 1000, tell, 0.1, 0.97)):
        xy = np.asarray(model.fit_transform(part), np.float32)
    if len(chosen) == len(x):
        return xy
    tell(0.97, "Placing the others")
    every = place_among(part, xy, x, 4).astype(np.float32)
    every[chosen] = xy
    return every
