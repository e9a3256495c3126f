"""Decoding, encoding and decoding again."""

from __future__ import annotations

import numpy as np
import pytest

from vae.bundles.bundle import Bundle
from vae.space.round_trip import round_trip


def test_round_trip_error_is_the_difference_after_encoding_again(clusters: Bundle) -> None:
    values = round_trip(clusters)
    # The tiny decoder is linear and its encoder the inverse: only the clipping to 8 bits is lost.
    once = clusters.decode(clusters.codes.mu[:3])
    again = clusters.decode(clusters.encode(once)[0]).astype(float)
    assert values[:3] == pytest.approx(np.sqrt(((once - again) ** 2).mean((1, 2, 3))), abs=1e-4)
