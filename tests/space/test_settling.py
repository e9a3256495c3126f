"""Codes with whole parts, on a world of one part: a code between two pictures, and an encoder that knows the two alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import write_bundle
from tests.tiny_worlds import write_world
from vae.bundles.bundle import Bundle, open_bundle
from vae.space import latent
from vae.space.settling import draw, settled


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A hat that is there or not: dark above, or not."""
    bare = np.full((16, 16, 3), 200, np.uint8)
    hat = bare.copy()
    hat[:6] = 20
    return write_world(tmp_path_factory.mktemp("models") / "hats", bare, hat, "sprite", settle=3)


def off(bundle: Bundle, z: np.ndarray) -> np.ndarray:
    """How far codes are from those of their own pictures."""
    return np.linalg.norm(bundle.encode(bundle.decode(z))[0] - z, axis=1)


def test_settled_draws_are_nearer_to_a_fixed_point(parts: Bundle) -> None:
    raw = latent.sample(parts, 1, 1.0, 24)
    found = draw(parts, 1, 1.0, 24)
    assert found.shape == raw.shape and found.dtype == np.float32
    assert (off(parts, found) <= off(parts, raw) + 1e-6).all() and np.median(off(parts, found)) < 1e-3
    there = found[:, 0] > 0.5
    assert np.isin(np.round(found[:, 0], 3), (0, 1)).mean() > 0.9 and there.any() and not there.all()
    assert (there == (raw[:, 0] > 0.5)).all()  # the part that was nearer
    assert (parts.check_z(found) == found).all()


def test_a_seed_gives_the_same_settled_codes_whatever_the_count(parts: Bundle) -> None:
    assert (draw(parts, 5, 0.8)[0] == draw(parts, 5, 0.8, 7)[0]).all()
    assert (draw(parts, 5, 0.8, 7)[:3] == draw(parts, 5, 0.8, 3)).all()


def test_passes_are_made_one_after_another(parts: Bundle) -> None:
    z = np.array([0.4, 0.1], np.float32)
    once = settled(parts, z, 1)
    assert once.shape == (2,) and once == pytest.approx([0.3, 0], abs=0.01)
    assert (settled(parts, once, 2) == settled(parts, z)).all()
    assert (settled(parts, z, 0) == z).all()


def test_an_encoder_that_reads_far_beyond_the_data_is_held_within_reach(tmp_path: Path) -> None:
    narrow = write_bundle(tmp_path / "narrow", 0.1 * np.random.default_rng(0).standard_normal((64, 3)))
    z = np.full((2, 3), 50, np.float32)
    assert np.abs(narrow.encode(narrow.decode(z))[0]).max() > 2
    found = settled(narrow, z, 1)
    assert (narrow.check_z(found) == found).all() and np.abs(found).max() < 1


def test_a_bundle_without_parts_draws_as_before(tiny_bundle, tiny_style_bundle) -> None:
    for folder in (tiny_bundle, tiny_style_bundle):
        bundle = open_bundle(folder)
        raw = latent.sample(bundle, 3, 0.9, 5)
        assert draw(bundle, 3, 0.9, 5).tobytes() == raw.tobytes()
        far = 100 * raw  # not clipped either
        assert settled(bundle, far) is far
