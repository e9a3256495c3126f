"""Read-outs of labels, and those alone that hold."""

from __future__ import annotations

import numpy as np

from vae.bundles.directions import directions


def test_directions_read_what_the_labels_say_and_no_more():
    rng = np.random.default_rng(0)
    mu, test_mu = rng.standard_normal((1200, 4)), rng.standard_normal((600, 4))
    mix = np.eye(4)
    mix[1, 0] = 0.8  # the second number follows the first
    mu, test_mu = mu @ mix.T, test_mu @ mix.T
    cov = np.cov(mu.T)

    def labels(z: np.ndarray) -> np.ndarray:
        return np.stack([z[:, 0] > 0, rng.random(len(z)) > 0.5, np.arange(len(z)) < 3], 1).astype(np.uint8)

    found = directions(mu, cov, labels(mu), ["first", "noise", "rare"], test_mu, labels(test_mu))
    assert found["names"].tolist() == ["first"] and found["score"][0] > 0.95
    w = found["w"].astype(float)
    assert np.allclose(w @ cov @ w.T, 1, atol=1e-3)  # in sigma
    step = cov @ w[0]
    assert step[0] > 0.9 and 0.4 < step[1] / step[0] < 1.2 and abs(step[2]) < 0.15
    assert directions(mu, cov, labels(mu)[:, 1:2], ["noise"], test_mu, labels(test_mu)[:, 1:2]) is None
