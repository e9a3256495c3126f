"""Codes whose structure is known, for the tests of the space, and of the map that shows it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tests.tiny import write_bundle
from vae.bundles.bundle import Bundle
from vae.bundles.contents import Directions, Stats
from vae.space import lessons

NAMES = ("Tall", "Wide", "Tall_and_wide")


def codes(count: int = 1200, d: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated codes, and labels that depend on two axes: the third label goes with both."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((count, d)) @ (np.eye(d) + 0.35 * rng.standard_normal((d, d)))
    noise = 0.3 * rng.standard_normal((count, 3))
    labels = np.stack([z[:, 0], z[:, 1], z[:, 0] + z[:, 1]], 1) + noise > 0.2
    return z.astype(np.float16).astype(np.float64), labels.astype(np.uint8)


def write_lab(folder: Path) -> Bundle:
    """A bundle of these codes."""
    z, labels = codes()
    return write_bundle(folder, z, labels, NAMES)


def teach_tall(bundle: Bundle, **options: object) -> lessons.Lesson:
    tall = bundle.codes.labels[:, 0] == 1
    return lessons.teach(bundle, tall, ~tall, **options)


def stand_in(d: int = 6, seed: int = 0, shell: bool = False, parts: int = 2, named: int = 3) -> SimpleNamespace:
    """A stand-in for a bundle with correlated codes."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((d, d)) / np.sqrt(d) + 0.5 * np.eye(d)
    cov = a @ a.T
    values, vectors = np.linalg.eigh(cov)
    centre = rng.standard_normal(d)
    mean = centre + 3 * rng.standard_normal(d) if shell else centre
    kl = rng.uniform(0.1, 3, d)
    kl[1] = 0.01
    means = centre + rng.standard_normal((parts, d))
    stats = Stats(
        mean, np.sqrt(np.diag(cov)), centre, cov, kl, values[::-1], vectors[:, ::-1], np.ones(parts) / parts, means,
        np.stack([np.linalg.cholesky(cov)] * parts), shell,
    )  # fmt: skip
    w = rng.standard_normal((named, d))
    w /= np.sqrt(np.einsum("kd,de,ke->k", w, cov, w))[:, None]
    names = ("Smiling", "Tone", "Hat")[:named]
    kinds = ("label", "measured", "label")[:named]
    directions = Directions(
        names, names, kinds, ("Expression", "Skin", "Worn")[:named], w, np.full(named, 0.9), w @ cov @ w.T
    )
    return SimpleNamespace(
        name="stand-in", digest="0" * 12, stats=stats, directions=directions, ways=None, latent_size=d
    )
