"""Bases of axes, and moving along them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.space.lab import stand_in
from vae.space.axes import bases, move, step, traversal_codes
from vae.space.errors import LatentError


@pytest.fixture(scope="module")
def bundle():
    return stand_in()


@pytest.fixture(autouse=True)
def no_directions_of_the_user(monkeypatch, tmp_path):
    """Bases also hold what the user taught; here that is nothing."""
    monkeypatch.setenv("VAE_HOME", str(tmp_path))


@pytest.mark.parametrize("name", ["raw", "principal", "named"])
def test_one_step_on_an_axis_is_one_sigma_on_its_slider(bundle, name):
    basis, stats = bases(bundle)[name], bundle.stats
    assert np.allclose((basis.W * basis.D).sum(1), 1)
    z = stats.mean + np.random.default_rng(1).standard_normal(6)
    for k in range(len(basis)):
        moved = basis.values(z + 0.7 * basis.D[k], stats.mean) - basis.values(z, stats.mean)
        assert np.isclose(moved[k], 0.7)
    # In sigma of the data: the values of codes drawn with its covariance have a standard deviation of one.
    assert np.allclose(np.einsum("kd,de,ke->k", basis.W, stats.cov, basis.W), 1)
    assert len({axis.id for axis in basis.axes}) == len(basis)


def test_raw_axes_are_ordered_by_information_and_fold_the_collapsed(bundle):
    basis = bases(bundle)["raw"]
    scores = [axis.score for axis in basis.axes]
    assert scores == sorted(scores, reverse=True)
    assert [axis.id for axis in basis.axes if axis.collapsed] == ["1"] == [basis.axes[-1].id]
    assert "0.05 nats" in basis.axes[-1].detail
    k = basis.index("3")
    assert np.flatnonzero(basis.D[k]).tolist() == [3]


def test_principal_axes_are_ordered_by_variance_and_do_not_mix(bundle):
    basis = bases(bundle)["principal"]
    assert np.allclose(basis.W @ basis.D.T, np.eye(6), atol=1e-9)
    lengths = np.linalg.norm(basis.D, axis=1)
    assert (np.diff(lengths) <= 1e-9).all()


def test_named_axes_say_where_they_come_from(bundle):
    basis = bases(bundle)["named"]
    assert [axis.id for axis in basis.axes] == ["Smiling", "Hat", "Tone"]  # by group: expression, worn, skin
    assert "labelled" in basis.axes[0].detail and "AUC 0.900" in basis.axes[0].detail
    assert "Measured" in basis.axes[2].detail and "correlation 0.90" in basis.axes[2].detail
    # What else one sigma moves is the leak table.
    order = [list(bundle.directions.names).index(axis.id) for axis in basis.axes]
    moved = basis.W @ basis.D.T
    assert np.allclose(moved.T, bundle.directions.leaks[np.ix_(order, order)])
    assert basis.axes[0].to_dict()["id"] == "Smiling"


def test_without_directions_there_is_no_named_basis():
    bundle = stand_in()
    bundle.directions = None
    assert list(bases(bundle)) == ["raw", "principal"]


def test_an_unknown_axis_is_refused(bundle):
    with pytest.raises(LatentError, match="nose"):
        bases(bundle)["raw"].index("nose")


@pytest.mark.parametrize("name", ["raw", "principal", "named"])
def test_move_sets_an_exact_value(bundle, name):
    basis, stats = bases(bundle)[name], bundle.stats
    z = stats.mean + np.random.default_rng(2).standard_normal((3, 6))
    moved = move(z, stats.mean, basis, 1, -1.75)
    assert moved.shape == z.shape and np.allclose(basis.values(moved, stats.mean)[:, 1], -1.75)
    assert np.allclose(move(moved, stats.mean, basis, 1, -1.75), moved)


def test_locked_axes_stay_while_another_moves(bundle):
    every, stats = bases(bundle), bundle.stats
    basis, z = every["named"], stats.mean + np.random.default_rng(3).standard_normal(6)
    locks = np.concatenate([basis.W[[1, 2]], every["raw"].W[:1]])
    moved = move(z, stats.mean, basis, 0, 2.5, locks, stats.cov)
    assert np.isclose(basis.values(moved, stats.mean)[0], 2.5)
    assert np.allclose(locks @ moved, locks @ z)
    free = move(z, stats.mean, basis, 0, 2.5)
    assert not np.allclose(locks @ free, locks @ z)


def test_a_lock_named_twice_changes_nothing(bundle):
    basis, stats = bases(bundle)["named"], bundle.stats
    once = step(basis, 0, basis.W[[1]], stats.cov)
    assert np.allclose(once, step(basis, 0, basis.W[[1, 1]], stats.cov))


def test_an_axis_that_the_locks_hold_is_refused(bundle):
    basis, stats = bases(bundle)["named"], bundle.stats
    with pytest.raises(LatentError, match="Smiling"):
        move(stats.mean, stats.mean, basis, 0, 1.0, basis.W[[0]], stats.cov)
    with pytest.raises(LatentError, match="unlock"):
        step(basis, 0, np.eye(6), stats.cov)


def test_traversals_stand_at_both_ends_of_every_axis(bundle):
    basis, stats = bases(bundle)["principal"], bundle.stats
    codes = traversal_codes(bundle, basis, sigma=2)
    assert codes.shape == (6, 2, 6) and codes.dtype == np.float32
    values = basis.values(codes.reshape(-1, 6), stats.mean).reshape(6, 2, 6)
    for k in range(6):
        assert np.allclose(values[k, :, k], [-2, 2], atol=1e-4)
