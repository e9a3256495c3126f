"""A run seen from outside: its curves, and advice."""

from __future__ import annotations

import json
import os

import pytest

from tests.jobs.making import recipe
from vae.jobs import watch


def _past(
    reconstruction: list[float], validation: list[float], kl: list[float] | None = None, train: int = 5000
) -> watch.History:
    kl = kl or [1.0, 1.0]
    return watch.History(
        tuple({"kind": "train", "step": i, "reconstruction": r, "kl": sum(kl)} for i, r in enumerate(reconstruction)),
        tuple(
            {"kind": "validation", "step": i, "reconstruction": r, "kl_per_dimension": kl, "beta": 1.0}
            for i, r in enumerate(validation)
        ),
        ({"event": "started", "train": train},),
    )


@pytest.mark.parametrize(
    "past, kinds",
    [
        (_past([10 - 0.1 * i for i in range(20)], [10, 9, 8, 7, 6, 5]), []),
        (_past([10 - 0.1 * i for i in range(20)], [10, 9, 8, 7, 6, 5], [0.01, 0.0]), ["collapse"]),
        (_past([10, 8, 6, 4, 2, 9, 20, 30, 40], [10, 9]), ["divergence"]),
        (_past([10 - 0.1 * i for i in range(20)], [10, 5, 6, 7, 8, 9]), ["overfitting"]),
        (_past([10, 9], [10], train=80), ["small"]),
    ],
)
def test_warnings_in_words_with_a_remedy(past, kinds):
    found = watch.advice(past, recipe(), 0.5)
    assert [item.kind for item in found] == kinds
    assert all(item.what and item.remedy.endswith(".") for item in found)


def test_history_reads_on_and_survives_half_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    row = lambda step: json.dumps({"kind": "train", "step": step}) + "\n"  # noqa: E731
    path.write_text(row(1) + '{"kind": "tra')
    assert [r["step"] for r in watch.history(tmp_path).train] == [1]
    path.write_text(row(1) + row(2) + "broken\n" + row(3))
    assert [r["step"] for r in watch.history(tmp_path).train] == [1, 2, 3]
    other = tmp_path / "new"
    other.write_text(row(1))
    os.replace(other, path)  # what a resumed run does
    assert [r["step"] for r in watch.history(tmp_path).train] == [1]
    thinned = watch.thin(list(range(1000)), 5)
    assert len(thinned) == 5 and (thinned[0], thinned[-1]) == (0, 999)
    assert [watch.duration(s) for s in (40, 720, 12000, None)] == ["40 s", "12 min", "3 h 20 min", "not known yet"]
