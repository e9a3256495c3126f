"""Paths through codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import write_bundle
from vae.bundles.bundle import Bundle
from vae.space import paths
from vae.space.errors import AtlasError


def test_straight_and_arc_pass_through_every_stop(bundle: Bundle) -> None:
    stops = bundle.codes.mu[[3, 50, 200]]
    for kind in paths.PATHS:
        z, far = paths.path(bundle, stops, kind, 61)
        assert z.shape == (61, 6) and far.shape == (61,)
        assert z[[0, 30, 60]] == pytest.approx(stops, abs=1e-5)
    straight = paths.path(bundle, stops[:2], "straight", 11)[0]
    assert np.diff(straight, axis=0) == pytest.approx(np.tile((stops[1] - stops[0]) / 10, (10, 1)), abs=1e-5)
    arc = paths.path(bundle, np.eye(6)[:2] * 2, "slerp", 9)[0]
    assert np.linalg.norm(arc, axis=1) == pytest.approx(np.full(9, 2.0), abs=1e-5)


def test_the_dense_path_goes_round_where_the_data_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 1500)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1) * 3 + 0.1 * rng.standard_normal((1500, 2))
    data = write_bundle(tmp_path / "ring", ring)
    stops = np.array([[3.0, 0.0], [-3.0, 0.0]])
    dense = paths.path(data, stops, "dense", 60)[0]
    assert np.linalg.norm(dense, axis=1).min() > 2.5
    assert np.linalg.norm(paths.path(data, stops, "straight", 60)[0], axis=1).min() < 0.2
    steps = np.linalg.norm(np.diff(dense, axis=0), axis=1)
    assert steps.max() < 3 * steps.mean()  # no jumps


@pytest.mark.parametrize(
    ("stops", "kind", "frames", "words"),
    [(1, "straight", 9, "2 to 24"), (2, "bent", 9, "no path"), (25, "slerp", 90, "2 to 24"), (3, "slerp", 2, "frames")],
)
def test_paths_that_cannot_be_drawn_are_refused(bundle: Bundle, stops: int, kind: str, frames: int, words: str) -> None:
    with pytest.raises(AtlasError, match=words):
        paths.path(bundle, bundle.codes.mu[:stops], kind, frames)
