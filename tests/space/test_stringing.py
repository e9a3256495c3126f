"""Draws of strips: they follow each other as those of the data do, in strings that the data does not have."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vae.space.errors import LatentError
from vae.space.stringing import strung

STRIPS, D, PIECES = 6, 2, 400


@pytest.fixture(scope="module")
def bundle() -> SimpleNamespace:
    """Pieces whose every strip is the one before, turned by a right angle, or now and then by none."""
    rng = np.random.default_rng(0)
    strips = [rng.standard_normal((PIECES, D))]
    for _ in range(STRIPS - 1):
        turned = strips[-1] @ np.array([[0, 1], [-1, 0]])
        strips.append(np.where(rng.random((PIECES, 1)) < 0.2, strips[-1], turned))
    mu = np.stack(strips, 1).reshape(PIECES, -1).astype(np.float32)
    codes = SimpleNamespace(mu=mu, logvar=np.full_like(mu, -9))

    class Codes(SimpleNamespace):
        def __len__(self) -> int:
            return PIECES

    return SimpleNamespace(codes=Codes(**vars(codes)), model=SimpleNamespace(strips=STRIPS))


def test_a_strip_follows_the_one_before_as_in_the_data(bundle: SimpleNamespace) -> None:
    z = strung(bundle, 3, 1.0, 50).reshape(50, STRIPS, D)
    before, after = z[:, :-1].reshape(-1, D), z[:, 1:].reshape(-1, D)
    turned = np.linalg.norm(after - before @ np.array([[0, 1], [-1, 0]]), axis=1)
    still = np.linalg.norm(after - before, axis=1)
    assert (np.minimum(turned, still) < 0.7).mean() > 0.95  # shuffled strips: 0.4
    assert 0.08 < (still < turned).mean() < 0.35


def test_the_strings_are_new_and_lower_temperatures_stay_nearer(bundle: SimpleNamespace) -> None:
    z = strung(bundle, 3, 1.0, 50)
    apart = np.sqrt(((z[:, None] - bundle.codes.mu[None]) ** 2).sum(-1)).min(1)
    assert np.median(apart) > 0.2
    cold = strung(bundle, 3, 0.0, 50)
    assert np.sqrt(((cold[:, None] - bundle.codes.mu[None]) ** 2).sum(-1)).min(1).max() < 1e-6  # the pieces themselves


def test_a_seed_gives_the_same_code_however_many_are_drawn(bundle: SimpleNamespace) -> None:
    many = strung(bundle, 7, 0.7, 5)
    assert many.dtype == np.float32 and np.array_equal(strung(bundle, 7, 0.7, 2), many[:2])
    assert not np.array_equal(strung(bundle, 8, 0.7, 2), many[:2])
    with pytest.raises(LatentError, match="temperature"):
        strung(bundle, 7, 3.0)
