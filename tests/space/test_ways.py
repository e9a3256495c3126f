"""Curved axes: found on codes whose way is known, and moved along."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import write_bundle
from vae.bundles.bundle import Bundle, open_bundle
from vae.space import colouring, finding_ways
from vae.space.axes import bases, move, traversal_codes
from vae.space.errors import AtlasError

TURN = "Turn"


@pytest.fixture(autouse=True)
def nothing_taught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "home"))


def arc(count: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """Codes (count, 4) on three quarters of a circle, two more numbers that tell of something else; the angles."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(-135, 135, count)
    turn = np.deg2rad(angle)
    around = 1.5 * np.stack([np.cos(turn), np.sin(turn)], 1) + 0.03 * rng.standard_normal((count, 2))
    return np.concatenate([around, 0.3 * rng.standard_normal((count, 2))], 1), angle


@pytest.fixture(scope="module")
def curved(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle of these codes that got its way by the command."""
    mu, angle = arc()
    other = np.random.default_rng(1).uniform(-1, 1, len(mu))
    folder = tmp_path_factory.mktemp("models") / "arc"
    bundle = write_bundle(folder, mu, directions=(TURN, "Else"), factors={"Other": other, TURN: angle})
    told: list[str] = []
    assert finding_ways.run(argparse.Namespace(model=str(folder)), bundle, told.append) == 0 and told
    found = open_bundle(folder)
    assert found.formerly == (bundle.digest,)  # links that were made before hold
    return found


def test_the_way_is_the_angle_though_nobody_told_it(curved: Bundle) -> None:
    mu, angle = arc()
    basis = bases(curved)["named"]
    axis = basis.axes[0]
    assert axis.label == TURN and axis.group == "Found without labels" and "without labels" in axis.detail
    # The straight read-out of the same factor makes room for it; others stay.
    assert [one.label for one in basis.axes] == [TURN, "Else"]
    values = basis.values(mu, curved.stats.mean)[:, 0]
    assert np.corrcoef(values, angle)[0, 1] > 0.995
    assert axis.reach == pytest.approx(np.abs(values).max(), abs=0.03)
    straight = (mu - curved.stats.mean) @ basis.W[0]
    assert np.corrcoef(straight, angle)[0, 1] < 0.98
    assert f"it is *{TURN}*" in curved.card


def test_moving_goes_around_and_keeps_the_rest(curved: Bundle) -> None:
    mu, angle = arc()
    basis, mean = bases(curved)["named"], curved.stats.mean
    z = move(mu[:50], mean, basis, 0, 0.9)
    asked = np.interp(0.9, np.sort(basis.values(mu, mean)[:, 0]), np.sort(angle))
    there = np.rad2deg(np.arctan2(z[:, 1], z[:, 0]))
    assert np.median(np.abs(there - asked)) < 2 and np.abs(there - asked).max() < 20  # degrees
    assert (z[:, 2:] - mu[:50, 2:]).std() < 0.12  # what is not the way stays, as far as few codes tell
    assert np.allclose(np.linalg.norm(z[:, :2], axis=1), 1.5, atol=0.2)  # a straight step would leave the circle
    assert np.median(np.abs(basis.values(z, mean)[:, 0] - 0.9)) < 0.03
    again = move(z, mean, basis, 0, basis.values(mu[:50], mean)[:, 0][0])[0]
    assert np.allclose(again, mu[0], atol=0.1)
    beyond, end = move(mu[0], mean, basis, 0, 9.0), move(mu[0], mean, basis, 0, basis.axes[0].reach)
    assert np.allclose(beyond, end)


def test_a_locked_read_out_stays_while_the_way_moves(curved: Bundle) -> None:
    mu, _ = arc()
    basis, stats = bases(curved)["named"], curved.stats
    locks = basis.W[1:2]
    z = move(mu[3], stats.mean, basis, 0, -1.0, locks, stats.cov)
    assert np.allclose(locks @ z, locks @ mu[3])
    assert not np.allclose(move(mu[3], stats.mean, basis, 0, -1.0) @ locks[0], locks[0] @ mu[3])


def test_the_pictures_at_its_ends_are_the_ends(curved: Bundle) -> None:
    codes = traversal_codes(curved, bases(curved)["named"])[0]
    angles = np.rad2deg(np.arctan2(codes[:, 1], codes[:, 0]))
    assert angles[0] < -90 < 90 < angles[1]


def test_the_map_colours_by_the_place_on_the_way(curved: Bundle) -> None:
    found = colouring.colours(curved, f"axis:{bases(curved)['named'].axes[0].id}")
    assert np.corrcoef(found["values"], curved.codes.factors[:, 1])[0, 1] > 0.995


def test_codes_without_a_way_get_none(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "cloud", np.random.default_rng(0).standard_normal((600, 6)))
    with pytest.raises(AtlasError, match="a slider needs 30 %"):
        finding_ways.find(bundle)
    few = write_bundle(tmp_path / "few", np.random.default_rng(0).standard_normal((60, 3)))
    with pytest.raises(AtlasError, match="200 or more"):
        finding_ways.find(few)
