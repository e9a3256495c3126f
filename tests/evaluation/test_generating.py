"""Draws: where they come from, how near they are to the data, and what they are of, on codes whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import write_bundle
from tests.tiny_worlds import write_world
from vae.bundles.bundle import Bundle
from vae.evaluation import generating
from vae.space.errors import LatentError

SPREAD = np.array([3.0, 1.0, 0.3, 1.0])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Gaussian codes; the first label is the sign of axis 0, the second means nothing."""
    rng = np.random.default_rng(0)
    mu = rng.standard_normal((2000, 4)) * SPREAD
    labels = np.stack([mu[:, 0] > 1.5, rng.random(2000) < 0.4], 1).astype(np.uint8)
    return write_bundle(tmp_path_factory.mktemp("models") / "cloud", mu, labels, ("Right", "Chance"))


def test_draws_have_the_spread_of_their_prior(model: Bundle) -> None:
    fitted = generating.draw(model, "fitted", 1, 0, 2000)
    assert fitted.std(0) == pytest.approx(SPREAD, rel=0.1)
    assert generating.draw(model, "fitted", 0.5, 0, 2000).std(0) == pytest.approx(SPREAD / 2, rel=0.1)
    normal = generating.draw(model, "normal", 1, 0, 2000)
    assert normal.std(0)[[0, 1, 3]] == pytest.approx(1, rel=0.1)
    assert np.array_equal(normal[:5], generating.draw(model, "normal", 1, 0, 5))
    with pytest.raises(ValueError, match="no prior"):
        generating.draw(model, "other", 1, 0, 1)
    with pytest.raises(LatentError):
        generating.draw(model, "normal", 9, 0, 1)


def test_draws_of_the_fitted_prior_have_whole_parts_where_the_model_has_parts(tmp_path: Path) -> None:
    dark, light = (np.full((16, 16, 3), grey, np.uint8) for grey in (40, 200))
    parts = write_world(tmp_path / "parts", dark, light, "sprite", settle=4)
    fitted, normal = (generating.draw(parts, prior, 1, 0, 40)[:, 0] for prior in generating.PRIORS)
    between = lambda share: ((share > 0.02) & (share < 0.98)).mean()  # noqa: E731
    assert between(fitted) < 0.2 < between(normal)


def test_whitened_codes_are_as_spread_in_every_direction(model: Bundle) -> None:
    assert np.cov(generating.whitened(model, model.codes.mu).T) == pytest.approx(np.eye(4), abs=0.01)


def test_the_nearest_is_the_nearest() -> None:
    rng = np.random.default_rng(0)
    reference, points = rng.standard_normal((700, 3)), rng.standard_normal((1100, 3))
    rows, far = generating.nearest(reference, points)
    apart = np.linalg.norm(points[:, None] - reference[None], axis=2)
    assert np.array_equal(rows, apart.argmin(1)) and far == pytest.approx(apart.min(1), abs=1e-6)


def test_fresh_draws_are_as_near_as_the_data_and_copies_are_found_out(model: Bundle) -> None:
    fresh = generating.held_against(model, generating.draw(model, "fitted", 1, 0, 400))
    assert fresh["copied"] < 0.04 and 0.35 < fresh["share"].mean() < 0.65
    around = generating.neighbourhood(model)
    copies = model.codes.mu[around.rows[:50]] + 1e-4
    found = generating.held_against(model, copies)
    assert found["copied"] == 1 and np.array_equal(found["rows"], around.rows[:50]) and found["share"].max() < 0.01


def test_the_balance_of_draws_is_that_of_where_they_are(model: Bundle) -> None:
    all_of_it = generating.balance(model, generating.draw(model, "fitted", 1, 0, 2000))
    assert [one["name"] for one in all_of_it] == ["Right"]  # what the code does not say is left out
    assert all_of_it[0]["draws"] == pytest.approx(all_of_it[0]["data"], abs=0.05)
    narrow = generating.balance(model, generating.draw(model, "normal", 0.5, 0, 2000))
    assert narrow[0]["draws"] < 0.05 < narrow[0]["data"]


def test_too_few_codes_are_refused_in_a_sentence(model: Bundle, tmp_path) -> None:
    few = write_bundle(tmp_path / "few", np.random.default_rng(0).standard_normal((10, 2)))
    with pytest.raises(ValueError, match="10 codes"):
        generating.held_against(few, np.zeros((1, 2)))
    assert generating.balance(few, np.zeros((1, 2))) == []
