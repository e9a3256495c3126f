"""Directions learned from two sets of codes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.space.lab import NAMES, teach_tall
from tests.tiny import write_bundle
from vae.bundles.bundle import Bundle
from vae.bundles.registry import Registry
from vae.space import lessons
from vae.space.errors import AtlasError


def test_auc_counts_pairs() -> None:
    score, positive = np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, False, True, True])
    assert lessons.auc(score, positive) == pytest.approx((1 + 0.5 + 1 + 1) / 4)


def test_a_taught_direction_tells_held_out_codes_apart_and_lists_its_leaks(bundle: Bundle) -> None:
    lesson = teach_tall(bundle)
    tall = bundle.codes.labels[:, 0] == 1
    assert lesson.auc > 0.97 and lesson.trained + lesson.held == len(tall)
    assert lesson.counts == (tall.sum(), (~tall).sum())
    assert np.corrcoef(bundle.codes.mu @ lesson.w, bundle.codes.mu[:, 0])[0, 1] > 0.97
    leaks = {name: sigma for name, _, sigma in lesson.leaks}
    assert set(leaks) == set(NAMES) and leaks["Tall"] > 0.95 and leaks["Tall_and_wide"] > 0.4
    step = lesson.direction(bundle)
    unit = lesson.w / np.sqrt(lesson.w @ bundle.stats.cov @ lesson.w)
    assert unit @ step == pytest.approx(1)


def test_removing_a_leak_leaves_its_read_out_where_it_is(bundle: Bundle) -> None:
    lesson = teach_tall(bundle, remove=["Wide", "Tall_and_wide"])
    names, _, W = lessons.references(bundle)
    moved = dict(zip(names, W @ lesson.direction(bundle)))
    assert abs(moved["Wide"]) < 1e-6 and abs(moved["Tall_and_wide"]) < 1e-6
    assert lesson.auc < lesson.auc_before and lesson.removed == ("Wide", "Tall_and_wide")


def test_lessons_that_cannot_be_learned_are_refused(bundle: Bundle) -> None:
    tall = bundle.codes.labels[:, 0] == 1
    few = np.zeros(len(tall), bool)
    few[:4] = True
    for one, two, words in (
        (tall, tall, "do not overlap"),
        (few & ~tall, tall, "at least 5"),
        (~few & few, tall, "at least 5"),
    ):
        with pytest.raises(AtlasError, match=words):
            lessons.teach(bundle, one, two)
    with pytest.raises(AtlasError, match="no read-out 'Nothing'"):
        teach_tall(bundle, remove=["Nothing"])
    d = bundle.latent_size
    everything = write_like(bundle, d)
    with pytest.raises(AtlasError, match="take out fewer"):
        lessons.teach(
            everything,
            everything.codes.labels[:, 0] == 1,
            everything.codes.labels[:, 0] == 0,
            [f"axis {k}" for k in range(d)],
        )


def write_like(bundle: Bundle, d: int) -> Bundle:
    """The same codes with a label for every axis, so that the read-outs span the whole space."""
    folder = bundle.path.parent / "everything"
    mu = bundle.codes.mu.astype(float)
    return write_bundle(folder, mu, (mu > 0).astype(np.uint8), tuple(f"axis {k}" for k in range(d)))


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("Smiling", 0.964),
        ("Male", 0.990),
        ("Eyeglasses", 0.943),
        ("Blond_Hair", 0.964),
        ("Bangs", 0.966),
        ("Wearing_Hat", 0.990),
        ("Pale_Skin", 0.964),
        ("Young", 0.864),
    ],
)
def test_directions_taught_from_the_labels_of_faces_reach_their_known_scores(name: str, score: float) -> None:
    faces = Registry([ROOT / "assets" / "models"]).get("faces-128")
    has = faces.codes.labels[:, faces.codes.label_names.index(name)] == 1
    # The known scores are of 1,024 other people; held out here are 4,000 codes of the bundle: up to 0.026 apart.
    assert lessons.teach(faces, has, ~has).auc == pytest.approx(score, abs=0.03)
