"""The codes nearest to a code."""

from __future__ import annotations

import numpy as np
import pytest

from vae.bundles.bundle import Bundle
from vae.space.neighbours import nearest


def test_nearest_finds_what_a_full_search_finds(bundle: Bundle) -> None:
    z = bundle.codes.mu[:5] + 0.1
    index, distance = nearest(bundle.codes.mu, z, 7)
    table = np.linalg.norm(bundle.codes.mu[None].astype(float) - z[:, None], axis=2)
    assert distance == pytest.approx(np.sort(table, 1)[:, :7], abs=1e-5)
    assert np.take_along_axis(table, index, 1) == pytest.approx(distance, abs=1e-5)
