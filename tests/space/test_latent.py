"""Geometry of codes, draws, and how usual a code is."""

from __future__ import annotations

import numpy as np
import pytest

from tests.space.lab import stand_in
from vae.bundles.bundle import open_bundle
from vae.space import latent
from vae.space.axes import bases
from vae.space.errors import LatentError


@pytest.fixture(scope="module")
def bundle():
    return stand_in()


def test_slerp_keeps_to_the_arc():
    a, b = np.array([2.0, 0, 0]), np.array([0, 4.0, 0])
    assert np.allclose(latent.slerp(a, b, 0), a) and np.allclose(latent.slerp(a, b, 1), b)
    middle = latent.slerp(a, b, 0.5)
    assert np.allclose(middle, 3 * np.array([np.sqrt(0.5), np.sqrt(0.5), 0]))  # half-way in angle and in length
    assert np.linalg.norm(latent.lerp(a, b, 0.5)) < 3


def test_slerp_where_there_is_no_arc():
    a = np.array([1.0, 2, 3])
    assert np.allclose(latent.slerp(a, a, 0.3), a)
    assert np.allclose(latent.slerp(a, 2 * a, 0.5), 1.5 * a)
    for b in (-a, np.zeros(3)):
        assert np.isfinite(latent.slerp(a, b, 0.5)).all()
    many = latent.slerp(np.stack([a, a]), np.array([[3.0, 2, 1], [1, 2, 3]]), np.array([[0.5], [0.5]]))
    assert many.shape == (2, 3) and np.allclose(many[1], a)


def test_a_seed_gives_the_same_codes_whatever_the_count(bundle):
    one, many = latent.sample(bundle, 5, 0.8), latent.sample(bundle, 5, 0.8, 4)
    assert one.shape == (1, 6) and many.shape == (4, 6) and one.dtype == np.float32
    assert (one[0] == many[0]).all() and (latent.sample(bundle, 5, 0.8, 4) == many).all()
    assert np.abs(many[0] - many[1]).max() > 0.01
    assert (latent.sample(bundle, 6, 0.8) != one).any()


def test_draws_have_the_prior_s_moments():
    bundle = stand_in(d=3, parts=2)
    z = latent.sample(bundle, 0, 1.0, 4096)
    stats = bundle.stats
    mean = stats.prior_mean.mean(0)
    cov = stats.cov + (stats.prior_mean - mean).T @ (stats.prior_mean - mean) / 2
    assert np.abs(z.mean(0) - mean).max() < 0.1 and np.abs(np.cov(z.T) - cov).max() < 0.2


def test_temperature_goes_from_the_average_picture_to_a_draw(bundle):
    full, stats = latent.sample(bundle, 3, 1.0), bundle.stats
    assert np.allclose(latent.sample(bundle, 3, 0.0), stats.mean, atol=1e-6)
    assert np.allclose(latent.sample(bundle, 3, 0.5), (stats.mean + full) / 2, atol=1e-5)


def test_on_a_shell_a_cooler_draw_stays_on_the_shell():
    bundle = stand_in(d=24, shell=True)
    stats, full = bundle.stats, latent.sample(bundle, 3, 1.0)[0]
    assert np.allclose(latent.sample(bundle, 3, 0.0)[0], stats.mean, atol=1e-5)
    ends = sorted(np.linalg.norm([stats.mean, full], axis=1))
    for temperature in (0.3, 0.5, 0.7):
        z = latent.sample(bundle, 3, temperature)[0]
        assert ends[0] - 1e-4 <= np.linalg.norm(z) <= ends[1] + 1e-4
        assert np.linalg.norm(stats.mean + temperature * (full - stats.mean)) < np.linalg.norm(z)
    hot = latent.sample(bundle, 3, 1.3)[0]
    assert np.isclose(np.linalg.norm(hot), np.linalg.norm(full), rtol=1e-4)


@pytest.mark.parametrize(
    "seed, temperature, count",
    [
        (-1, 1, 1),
        (1.5, 1, 1),
        (2**63, 1, 1),
        (True, 1, 1),
        (0, -0.1, 1),
        (0, 2.1, 1),
        (0, np.nan, 1),
        (0, 1, 0),
        (0, 1, 5000),
    ],
)
def test_draws_that_cannot_be_made_are_refused(bundle, seed, temperature, count):
    with pytest.raises(LatentError) as caught:
        latent.sample(bundle, seed, temperature, count)
    assert str(caught.value).endswith(".")


def test_jitter_draws_with_the_posterior_s_sigma():
    mu, logvar = np.full(2000, 3.0), np.full(2000, 2 * np.log(0.2))
    z = latent.jitter(mu, logvar, seed=1)
    assert abs(z.mean() - 3) < 0.02 and abs(z.std() - 0.2) < 0.02
    assert (latent.jitter(mu, logvar, 1) == z).all() and (latent.jitter(mu, logvar, 1, 0) == mu).all()


def test_likelihood_is_that_of_the_mixture(bundle):
    from scipy.stats import multivariate_normal

    z, stats = np.random.default_rng(4).standard_normal((5, 6)), bundle.stats
    parts = [multivariate_normal(mean, stats.cov).pdf(z) for mean in stats.prior_mean]
    assert np.allclose(latent.log_density(z, stats), np.log(np.mean(parts, axis=0)))
    distance = [np.sqrt((v - stats.centre) @ np.linalg.solve(stats.cov, v - stats.centre)) for v in z]
    assert np.allclose(latent.mahalanobis(z, stats), distance)
    assert np.isclose(latent.mahalanobis(z[0], stats), distance[0])


def test_a_real_bundle_has_bases_and_draws(tiny_style_bundle):
    bundle = open_bundle(tiny_style_bundle)
    every = bases(bundle)
    assert {"raw", "principal"} <= set(every) and all(basis.W.shape[1] == 8 for basis in every.values())
    z = latent.sample(bundle, 1, 0.7, 3)
    assert np.isfinite(z).all() and bundle.decode(z).shape == (3, 32, 32, 3)
