"""Geometry of codes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vae.bundles.bundle import open_bundle
from vae.bundles.contents import Directions, Stats
from vae.space import latent
from vae.space.latent import LatentError


def make(d: int = 6, seed: int = 0, shell: bool = False, parts: int = 2, named: int = 3) -> SimpleNamespace:
    """A stand-in for a bundle with correlated codes."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((d, d)) / np.sqrt(d) + 0.5 * np.eye(d)
    cov = a @ a.T
    values, vectors = np.linalg.eigh(cov)
    centre = rng.standard_normal(d)
    mean = centre + 3 * rng.standard_normal(d) if shell else centre
    kl = rng.uniform(0.1, 3, d)
    kl[1] = 0.01
    means = centre + rng.standard_normal((parts, d))
    stats = Stats(
        mean, np.sqrt(np.diag(cov)), centre, cov, kl, values[::-1], vectors[:, ::-1], np.ones(parts) / parts, means,
        np.stack([np.linalg.cholesky(cov)] * parts), shell,
    )  # fmt: skip
    w = rng.standard_normal((named, d))
    w /= np.sqrt(np.einsum("kd,de,ke->k", w, cov, w))[:, None]
    names = ("Smiling", "Tone", "Hat")[:named]
    kinds = ("label", "measured", "label")[:named]
    directions = Directions(names, names, kinds, ("Expression", "Skin", "Worn")[:named], w, np.full(named, 0.9), w @ cov @ w.T)
    return SimpleNamespace(name="stand-in", digest="0" * 12, stats=stats, directions=directions, latent_size=d)


@pytest.fixture(scope="module")
def bundle():
    return make()


@pytest.fixture(autouse=True)
def no_directions_of_the_user(monkeypatch, tmp_path):
    """Bases also hold what the user taught; here that is nothing."""
    monkeypatch.setenv("VAE_HOME", str(tmp_path))


# ---------------------------------------------------------------- interpolation


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


# ---------------------------------------------------------------- bases


@pytest.mark.parametrize("name", ["raw", "principal", "named"])
def test_one_step_on_an_axis_is_one_sigma_on_its_slider(bundle, name):
    basis, stats = latent.bases(bundle)[name], bundle.stats
    assert np.allclose((basis.W * basis.D).sum(1), 1)
    z = stats.mean + np.random.default_rng(1).standard_normal(6)
    for k in range(len(basis)):
        moved = basis.values(z + 0.7 * basis.D[k], stats.mean) - basis.values(z, stats.mean)
        assert np.isclose(moved[k], 0.7)
    # In sigma of the data: the values of codes drawn with its covariance have a standard deviation of one.
    assert np.allclose(np.einsum("kd,de,ke->k", basis.W, stats.cov, basis.W), 1)
    assert len({axis.id for axis in basis.axes}) == len(basis)


def test_raw_axes_are_ordered_by_information_and_fold_the_collapsed(bundle):
    basis = latent.bases(bundle)["raw"]
    scores = [axis.score for axis in basis.axes]
    assert scores == sorted(scores, reverse=True)
    assert [axis.id for axis in basis.axes if axis.collapsed] == ["1"] == [basis.axes[-1].id]
    assert "0.05 nats" in basis.axes[-1].detail
    k = basis.index("3")
    assert np.flatnonzero(basis.D[k]).tolist() == [3]


def test_principal_axes_are_ordered_by_variance_and_do_not_mix(bundle):
    basis = latent.bases(bundle)["principal"]
    assert np.allclose(basis.W @ basis.D.T, np.eye(6), atol=1e-9)
    lengths = np.linalg.norm(basis.D, axis=1)
    assert (np.diff(lengths) <= 1e-9).all()


def test_named_axes_say_where_they_come_from(bundle):
    basis = latent.bases(bundle)["named"]
    assert [axis.id for axis in basis.axes] == ["Smiling", "Hat", "Tone"]  # by group: expression, worn, skin
    assert "labelled" in basis.axes[0].detail and "AUC 0.900" in basis.axes[0].detail
    assert "Measured" in basis.axes[2].detail and "correlation 0.90" in basis.axes[2].detail
    # What else one sigma moves is the leak table.
    order = [list(bundle.directions.names).index(axis.id) for axis in basis.axes]
    moved = basis.W @ basis.D.T
    assert np.allclose(moved.T, bundle.directions.leaks[np.ix_(order, order)])
    assert basis.axes[0].to_dict()["id"] == "Smiling"


def test_without_directions_there_is_no_named_basis():
    bundle = make()
    bundle.directions = None
    assert list(latent.bases(bundle)) == ["raw", "principal"]


def test_an_unknown_axis_is_refused(bundle):
    with pytest.raises(LatentError, match="nose"):
        latent.bases(bundle)["raw"].index("nose")


# ---------------------------------------------------------------- moving


@pytest.mark.parametrize("name", ["raw", "principal", "named"])
def test_move_sets_an_exact_value(bundle, name):
    basis, stats = latent.bases(bundle)[name], bundle.stats
    z = stats.mean + np.random.default_rng(2).standard_normal((3, 6))
    moved = latent.move(z, stats.mean, basis, 1, -1.75)
    assert moved.shape == z.shape and np.allclose(basis.values(moved, stats.mean)[:, 1], -1.75)
    assert np.allclose(latent.move(moved, stats.mean, basis, 1, -1.75), moved)


def test_locked_axes_stay_while_another_moves(bundle):
    every, stats = latent.bases(bundle), bundle.stats
    basis, z = every["named"], stats.mean + np.random.default_rng(3).standard_normal(6)
    locks = np.concatenate([basis.W[[1, 2]], every["raw"].W[:1]])
    moved = latent.move(z, stats.mean, basis, 0, 2.5, locks, stats.cov)
    assert np.isclose(basis.values(moved, stats.mean)[0], 2.5)
    assert np.allclose(locks @ moved, locks @ z)
    free = latent.move(z, stats.mean, basis, 0, 2.5)
    assert not np.allclose(locks @ free, locks @ z)


def test_a_lock_named_twice_changes_nothing(bundle):
    basis, stats = latent.bases(bundle)["named"], bundle.stats
    once = latent.step(basis, 0, basis.W[[1]], stats.cov)
    assert np.allclose(once, latent.step(basis, 0, basis.W[[1, 1]], stats.cov))


def test_an_axis_that_the_locks_hold_is_refused(bundle):
    basis, stats = latent.bases(bundle)["named"], bundle.stats
    with pytest.raises(LatentError, match="Smiling"):
        latent.move(stats.mean, stats.mean, basis, 0, 1.0, basis.W[[0]], stats.cov)
    with pytest.raises(LatentError, match="unlock"):
        latent.step(basis, 0, np.eye(6), stats.cov)


def test_traversals_stand_at_both_ends_of_every_axis(bundle):
    basis, stats = latent.bases(bundle)["principal"], bundle.stats
    codes = latent.traversal_codes(bundle, basis, sigma=2)
    assert codes.shape == (6, 2, 6) and codes.dtype == np.float32
    values = basis.values(codes.reshape(-1, 6), stats.mean).reshape(6, 2, 6)
    for k in range(6):
        assert np.allclose(values[k, :, k], [-2, 2], atol=1e-4)


# ---------------------------------------------------------------- draws


def test_a_seed_gives_the_same_codes_whatever_the_count(bundle):
    one, many = latent.sample(bundle, 5, 0.8), latent.sample(bundle, 5, 0.8, 4)
    assert one.shape == (1, 6) and many.shape == (4, 6) and one.dtype == np.float32
    assert (one[0] == many[0]).all() and (latent.sample(bundle, 5, 0.8, 4) == many).all()
    assert np.abs(many[0] - many[1]).max() > 0.01
    assert (latent.sample(bundle, 6, 0.8) != one).any()


def test_draws_have_the_prior_s_moments():
    bundle = make(d=3, parts=2)
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
    bundle = make(d=24, shell=True)
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


# ---------------------------------------------------------------- links, likelihood


def test_a_packed_code_comes_back():
    bundle = make(d=128)
    z = latent.sample(bundle, 1, 1.0)[0]
    text = latent.pack(z, bundle.stats)
    assert len(text) == 342 and set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    back = latent.unpack(text, bundle.stats)
    assert np.abs((back - z) / bundle.stats.std).max() < 8 / 32767
    assert latent.pack(back, bundle.stats) == text  # a link of a link is the same link
    assert (
        latent.unpack(latent.pack(bundle.stats.mean, bundle.stats), bundle.stats)
        == bundle.stats.mean.astype(np.float32)
    ).all()
    far = latent.unpack(latent.pack(np.full(128, 1e9), bundle.stats), bundle.stats)
    assert np.allclose(far, bundle.stats.mean + 8 * bundle.stats.std, rtol=1e-4)


@pytest.mark.parametrize("text", ["", "abc", "é" * 16, "A" * 15, "A" * 17, "A" * 15 + "+", "A" * 342, "A A" * 5])
def test_a_damaged_link_is_refused(bundle, text):
    with pytest.raises(LatentError, match="code in this link"):
        latent.unpack(text, bundle.stats)


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
    every = latent.bases(bundle)
    assert {"raw", "principal"} <= set(every) and all(basis.W.shape[1] == 8 for basis in every.values())
    z = latent.sample(bundle, 1, 0.7, 3)
    assert np.isfinite(z).all() and bundle.decode(z).shape == (3, 32, 32, 3)
