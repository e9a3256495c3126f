"""Taught directions as files and as axes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.space.lab import teach_tall
from vae.bundles.bundle import Bundle
from vae.space import taught
from vae.space.axes import bases, move


def test_a_saved_direction_is_an_axis_until_it_is_removed(bundle: Bundle, home: Path) -> None:
    assert "named" not in bases(bundle)
    lesson = teach_tall(bundle, remove=["Wide"])
    before = taught.version(bundle)
    taught.save(bundle, lesson.taught("  Really   tall "))
    assert taught.version(bundle) != before
    basis = bases(bundle)["named"]
    assert [axis.id for axis in basis.axes] == ["taught-really-tall"] and basis.axes[0].label == "Really tall"
    assert "Wide removed" in basis.axes[0].detail and f"{lesson.auc:.3f}" in basis.axes[0].detail
    assert basis.D[0] == pytest.approx(lesson.direction(bundle), rel=1e-4, abs=1e-6)
    z = move(bundle.codes.mu[0], bundle.stats.mean, basis, 0, 2.0)
    assert basis.values(z, bundle.stats.mean)[0] == pytest.approx(2.0)
    exported = taught.to_json(bundle, taught.load(bundle)[0])
    taught.remove(bundle, "taught-really-tall")
    assert "named" not in bases(bundle)
    taught.save(bundle, taught.from_json(bundle, exported))
    assert pytest.approx(basis.W) == bases(bundle)["named"].W
    with pytest.raises(taught.TaughtError, match="no taught direction"):
        taught.remove(bundle, "../../x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"digest": "0" * 12}, "belongs to the model"),
        ({"w": [1.0]}, "usable numbers"),
        ({"w": [float("nan")] * 6}, "usable numbers"),
        ({"w": [0.0] * 6}, "usable numbers"),
        ({"w": [1e300] * 6}, "usable numbers"),
        ({"format": 2}, "not an exported"),
        ({"auc": "high"}, "scores"),
        ({"counts": [1]}, "scores"),
        ({"label": "../up"}, "cannot be used"),
        ({"label": "x" * 50}, "cannot be used"),
        ({"label": None}, "cannot be used"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(bundle: Bundle, home: Path, change: dict, words: str) -> None:
    good = json.loads(taught.to_json(bundle, teach_tall(bundle).taught("Tall")))
    with pytest.raises(taught.TaughtError, match=words):
        taught.from_json(bundle, json.dumps({**good, **change}))
    with pytest.raises(taught.TaughtError, match="not an exported"):
        taught.from_json(bundle, b"\x89PNG")


def test_names_stay_apart_as_files() -> None:
    ids = [taught.axis_id(label) for label in ("Smile", "smile 2", "L\u00e4cheln", "\u7b11", "a.b")]
    assert len(set(ids)) == len(ids) and all(i.replace("-", "").isalnum() and i.isascii() for i in ids)
