"""Mixing codes by weights."""

from __future__ import annotations

import numpy as np
import pytest

from vae.space import latent, mixing
from vae.space.mixing import BlendError


def test_groups_are_the_thirds_of_the_decoder() -> None:
    assert mixing.level_groups(6) == (0, 0, 1, 1, 2, 2)
    assert mixing.group_levels(6, 2) == (4, 5)
    assert mixing.level_groups(4) == (0, 0, 1, 2) and mixing.level_groups(0) == ()


def test_spherical_mean_is_slerp_for_two_and_keeps_lengths_for_more(bundle) -> None:
    codes = np.stack([latent.sample(bundle, seed, 0.7)[0] for seed in (28, 11, 12, 49)]).astype(float)
    pair = mixing.spherical_mean(codes, np.array([0.3, 0, 0.7, 0]))
    assert np.allclose(pair, latent.slerp(codes[0], codes[2], 0.7))
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    mean = mixing.spherical_mean(codes, weights)
    assert np.isclose(np.linalg.norm(mean), weights @ np.linalg.norm(codes, axis=1))
    assert np.linalg.norm(weights @ codes) < 0.95 * np.linalg.norm(mean)
    order = [2, 0, 3, 1]
    assert np.allclose(mixing.spherical_mean(codes[order], weights[order]), mean)
    # at the mean the pulls of all faces cancel, and the faces' own part in it grows with their weights
    toward = mixing.spherical_mean(codes, np.array([0.1, 0.1, 0.1, 0.7]))
    assert np.linalg.norm(toward - codes[3]) < np.linalg.norm(mean - codes[3])


def test_spherical_mean_survives_opposite_and_zero_codes() -> None:
    codes = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 0, 0]])
    for weights in ([0.5, 0.5, 0], [0.4, 0.4, 0.2], [0, 0, 1.0], [0, 0.5, 0.5]):
        assert np.isfinite(mixing.spherical_mean(codes, np.array(weights))).all()


@pytest.mark.parametrize("count, places", [
    (2, {(0, 0): [1, 0], (1, 0.3): [0, 1], (0.25, 0): [0.75, 0.25]}),
    (3, {(0, 0): [1, 0, 0], (1, 0): [0, 1, 0], (0.5, 1): [0, 0, 1], (0, 1): [0, 0, 1], (0.5, 0): [0.5, 0.5, 0]}),
    (4, {(0, 0): [1, 0, 0, 0], (1, 0): [0, 1, 0, 0], (0, 1): [0, 0, 1, 0], (0.5, 0.5): [0.25] * 4, (7, -3): [0, 1, 0, 0]}),
])  # fmt: skip
def test_pad_gives_each_corner_its_face(count: int, places: dict) -> None:
    for (x, y), weights in places.items():
        assert np.allclose(mixing.corner_weights(x, y, count), weights), (x, y)
    rng = np.random.default_rng(0)
    for x, y in rng.uniform(-0.2, 1.2, (200, 2)):
        weights = mixing.corner_weights(x, y, count)
        assert weights.min() >= -1e-12 and np.isclose(weights.sum(), 1)


def test_flat_models_mix_as_a_whole() -> None:
    weights = mixing.pair_weights(0, 0.25)
    assert weights.tolist() == [[0.75, 0.25]]
    assert mixing.grid_weights(0, 1, 1, 1).tolist() == [[[0.5, 0.5]]]
    with pytest.raises(BlendError, match="no levels"):
        mixing.pair_weights(0, 0.5, coarse=0.2)


@pytest.mark.parametrize("bad, word", [
    ([1.0], "shape"), ([[1.0, 0.0]] * 5, "shape"), ([0.0, 0.0], "all 0"), ([-1.0, 2.0], "below 0"),
    ([float("nan"), 1.0], "finite"), ("ab", "shape"), (None, "shape"),
])  # fmt: skip
def test_bad_weights_are_refused_in_a_sentence(bad: object, word: str) -> None:
    with pytest.raises(BlendError, match=word):
        mixing.check_weights(bad, 6, 2)


@pytest.mark.parametrize("mix", [-0.1, 1.1, float("nan")])
def test_bad_amounts_are_refused(mix: float) -> None:
    with pytest.raises(BlendError, match="0 .* to 1"):
        mixing.pair_weights(6, mix)
