"""Identity and effect of edits, and of mixes, on people whose descriptors are known."""

from __future__ import annotations

import numpy as np
import pytest

from vae.bundles.bundle import Bundle
from vae.evaluation import edits
from vae.evaluation.edits import Refined
from vae.photos import faces
from vae.photos.feature import Feature
from vae.space import latent
from vae.space.axes import bases


@pytest.fixture()
def found(bundle: Bundle) -> Refined:
    """Three drawn people, who have nothing beyond their codes."""
    mu = latent.sample(bundle, 4, 0.6, 3)
    none = np.zeros((3, bundle.levels, bundle.style_size), np.float32)
    return Refined(mu, None, none, [None] * 3)


def test_an_edit_of_people_without_detail_has_all_its_effect(bundle: Bundle, found: Refined, monkeypatch) -> None:
    assert len(edits.EDITS) == 10
    monkeypatch.setattr(edits, "EDITS", edits.EDITS[:3])
    people = edits.described(bundle, bundle.decode(found.mu))
    told, pictures = edits.under_edits(bundle, people, found)
    assert list(told) == [f"{name} {step:+g}" for name, step in edits.EDITS] and len(pictures) == len(told)
    for figures in told.values():
        assert figures["effect"] == pytest.approx(1, abs=1e-3)
    named = bases(bundle)["named"]
    smile = bundle.decode(bundle.check_z(found.mu + 2 * named.D[named.index("Smiling")]))
    gap = np.linalg.norm(edits.described(bundle, smile) - people, axis=1)
    assert told["Smiling +2"]["distance"] == pytest.approx(np.median(gap), abs=1e-6)
    assert told["Smiling +2"]["same"] == pytest.approx((gap < faces.SAME_PERSON).mean())


def test_detail_that_holds_an_edit_back_shows_in_its_effect(bundle: Bundle, found: Refined, monkeypatch) -> None:
    still = bundle.decode(found.mu)
    monkeypatch.setattr(edits, "EDITS", edits.EDITS[:2])
    monkeypatch.setattr(Refined, "pictures", lambda self, bundle, mu: still)  # the detail hides everything
    told, _ = edits.under_edits(bundle, edits.described(bundle, still), found)
    for figures in told.values():
        assert figures["effect"] == pytest.approx(0, abs=1e-6) and figures["same"] == 1 and figures["distance"] < 1e-6


def test_detail_goes_with_an_edited_face_by_its_gate(bundle: Bundle, found: Refined) -> None:
    shape = bundle.model.feature_shape
    rng = np.random.default_rng(0)
    anchor = bundle.feature_map(found.mu, found.delta).astype(np.float16)
    features = [Feature(rng.standard_normal(shape).astype(np.float16), one) for one in anchor]
    whole = Refined(found.mu, None, found.delta, features)
    moved = bundle.check_z(found.mu + 0.5)
    offsets = np.stack([one.offset for one in features])
    wanted = bundle.decode(moved, found.delta, feature=offsets, anchor=anchor.astype(np.float32))
    assert np.array_equal(whole.pictures(bundle, moved), wanted)
    assert np.abs(wanted.astype(int) - bundle.decode(moved, found.delta, feature=offsets)).max() > 0


def test_mixes_go_from_one_person_to_the_next(bundle: Bundle, found: Refined) -> None:
    pictures = edits.mixes(bundle, found)
    assert pictures.shape == (2, edits.STEPS, 128, 128, 3)
    ends = bundle.decode(found.mu)
    for pair in (0, 1):
        for step, person in ((0, pair), (-1, pair + 1)):
            assert np.abs(pictures[pair, step].astype(int) - ends[person]).max() <= 1
    told = edits.in_mixes(bundle, edits.described(bundle, ends), pictures)
    assert told["pairs"] == 2 and told["a"][0] < 0.05 and told["b"][-1] < 0.05
    assert told["a"][0] < told["a"][3] < told["a"][-1] and told["one_face"] == 1
