"""The prior of the codes."""

from __future__ import annotations

import numpy as np

from vae.bundles.statistics import prior


def test_the_prior_takes_as_many_parts_as_the_codes_have():
    rng = np.random.default_rng(1)
    one = rng.standard_normal((400, 2))
    four = one + 8 * rng.integers(0, 2, (400, 2))
    assert len(prior(one)["prior_weight"]) == 1 and len(prior(four)["prior_weight"]) > 1
    assert prior(one)["prior_chol"].shape == (1, 2, 2)
