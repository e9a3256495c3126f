"""The pictures that the Lab measures on, and where PCA of a model's pictures comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vae.config import DataConfig
from vae.data.sets import SETS, DataError, open_split
from vae.evaluation import pca
from vae.evaluation.pca import Pca
from vae.space.kept import cache_file

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.data.imageset import ImageSet

Array = np.ndarray

FITTED = 2000  # pictures that PCA is fitted to in the app
DRAWN = 500  # where they have to be decoded first
PACKAGED = ("digits", "sklearn-digits")  # sets that need no network


def digest_of_pictures(pictures: Array) -> str:
    """The first 12 digits of the SHA-256 of pictures uint8 (N, s, s, c) in their order."""
    return hashlib.sha256(repr(pictures.shape).encode() + np.ascontiguousarray(pictures).tobytes()).hexdigest()[:12]


def known_split(bundle: Bundle) -> tuple[ImageSet, ImageSet] | None:
    """Training and held-out pictures of a bundle that was trained on a set which comes with the program, else None.

    Never a path: a bundle may come from a stranger, and the pictures of this machine are none of its business.
    """
    settings = bundle.recipe.get("data")
    sources = settings.get("sources") if isinstance(settings, dict) else None
    if not isinstance(sources, list) or len(sources) != 1 or sources[0] not in set(SETS) & set(PACKAGED):
        return None
    try:
        config = DataConfig.from_dict({"sources": sources, "seed": int(settings.get("seed", 0))})
        share = float(settings.get("validation", config.validation))
        return open_split(config.replace(validation=share), bundle.image_size, bundle.channels)
    except (DataError, ValueError, TypeError):
        return None


def fitted_pca(bundle: Bundle, tell: Callable[[float], None] = lambda share: None) -> Pca | None:
    """PCA for a bundle, made once and kept in the cache; None for a bundle without codes or a set.

    It is fitted to the training pictures where those come with the program, else to what the model draws from the
    codes of its training pictures: a bundle never holds pictures, and these are the nearest thing to them.
    """
    path = pca_file(bundle)
    if (found := Pca.load(path)) is not None:
        return found
    split = known_split(bundle)
    if split is not None:
        train = split[0]
        rows = np.unique(np.linspace(0, len(train) - 1, min(FITTED, len(train))).astype(int))
        made = pca.fit([train.images(rows)], source=f"{len(rows):,} training pictures", tell=tell)
    else:
        mu = bundle.codes.mu
        if len(mu) < 3:
            return None
        rows = np.unique(np.linspace(0, len(mu) - 1, min(DRAWN, len(mu))).astype(int))
        parts = []
        for i in range(0, len(rows), 10):
            parts.append(bundle.decode(mu[rows[i : i + 10]], quick=True))
            tell(0.9 * (i + 10) / len(rows))
        source = f"{len(rows):,} training pictures as the model redraws them"
        made = pca.fit(parts, source=source)
    made.save(path)
    return made


def pca_file(bundle: Bundle) -> Path:
    """Where the PCA of a bundle is kept."""
    return cache_file(bundle, "pca")
