"""Faces to blend that have more than a code: a photo, and sources with style offsets."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data as pictures

from tests.pictures import photo_file
from vae.bundles.bundle import Bundle
from vae.photos.refine_sources import with_offsets
from vae.photos.sources import Source, photo_source


@pytest.fixture(scope="module")
def astronaut(bundle: Bundle) -> Source:
    return photo_source(bundle, photo_file(pictures.astronaut()), "astronaut")


@pytest.fixture(scope="module")
def offset_pair(bundle: Bundle, astronaut: Source, drawn: list[Source]) -> list[Source]:
    """Two sources with style offsets, as refining gives them."""
    offsets = 0.3 * np.random.default_rng(3).standard_normal((2, bundle.levels, bundle.style_size))
    return with_offsets([astronaut, drawn[0]], [0, 1], offsets)
