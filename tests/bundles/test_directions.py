"""Read-outs of labels, and those alone that hold."""

from __future__ import annotations

import numpy as np

from vae.bundles.directions import Exact, Reading, directions


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


def test_a_factor_is_read_where_pictures_show_it():
    """The second number tells of the factor in the upper half of the pictures only, and of something else below."""
    rng = np.random.default_rng(0)

    def made(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mu, factor = rng.standard_normal((count, 3)), rng.standard_normal(count)
        shown = mu[:, 0] > 0.6
        mu[shown, 1] = factor[shown] + 0.2 * rng.standard_normal(shown.sum())
        return mu, factor[:, None], shown

    (mu, y, shown), (test_mu, truth, test_shown) = made(1200), made(600)
    mu[shown, 2] += 0.8 * mu[shown, 1]  # there the third number goes with it
    test_mu[test_shown, 2] += 0.8 * test_mu[test_shown, 1]

    def found(seen: np.ndarray | None, test_seen: np.ndarray | None):
        exact = Exact(["size"], ["mm"], y, truth, [Reading("size", 0, seen, test_seen)])
        none = np.zeros((1200, 0), np.uint8)
        return directions(mu, np.cov(mu.T), none, [], test_mu, none[:600], exact=exact)

    assert found(None, None) is None
    sought = found(shown, test_shown)
    assert sought["names"].tolist() == ["size"] and sought["score"][0] > 0.95
    w, step = sought["w"][0], sought["steps"][0]
    assert np.isclose(w @ step, 1, atol=1e-3) and np.isclose(
        np.var(mu[shown] @ w), 1, rtol=0.1
    )  # in sigma of that part
    assert step[1] > 0.8 and 0.6 < step[2] / step[1] < 1 and abs(step[0]) < 0.2  # and along its covariance
