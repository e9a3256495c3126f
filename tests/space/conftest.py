"""Models that the tests of the space share."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tiny import write_bundle
from vae.bundles.bundle import Bundle


@pytest.fixture(scope="module")
def bundle(lab: Bundle) -> Bundle:
    return lab


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((240, 8)) + np.repeat([[-4.0], [4.0]], 120, 0)
    one_hot = np.repeat(np.eye(2, dtype=np.uint8), 120, 0)
    return write_bundle(tmp_path_factory.mktemp("models") / "clusters", z, one_hot, ("left", "right"))
