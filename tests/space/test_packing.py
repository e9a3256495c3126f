"""Codes as text."""

from __future__ import annotations

import numpy as np
import pytest

from tests.space.lab import stand_in
from vae.space import latent, packing
from vae.space.errors import LatentError


def test_a_packed_code_comes_back():
    bundle = stand_in(d=128)
    z = latent.sample(bundle, 1, 1.0)[0]
    text = packing.pack(z, bundle.stats)
    assert len(text) == 342 and set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    back = packing.unpack(text, bundle.stats)
    assert np.abs((back - z) / bundle.stats.std).max() < 8 / 32767
    assert packing.pack(back, bundle.stats) == text  # a link of a link is the same link
    assert (
        packing.unpack(packing.pack(bundle.stats.mean, bundle.stats), bundle.stats)
        == bundle.stats.mean.astype(np.float32)
    ).all()
    far = packing.unpack(packing.pack(np.full(128, 1e9), bundle.stats), bundle.stats)
    assert np.allclose(far, bundle.stats.mean + 8 * bundle.stats.std, rtol=1e-4)


@pytest.mark.parametrize("text", ["", "abc", "é" * 16, "A" * 15, "A" * 17, "A" * 15 + "+", "A" * 342, "A A" * 5])
def test_a_damaged_link_is_refused(text):
    with pytest.raises(LatentError, match="code in this link"):
        packing.unpack(text, stand_in().stats)
