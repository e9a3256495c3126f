"""The small models of the Learn page: the shipped file, and the command that makes it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lessons import SHIPPED, model_of, opened
from vae.__main__ import main
from vae.training import lessons
from vae.training.lessons import Lesson, measure, shelf, to_numbers


def test_the_shelf_is_shipped_whole_and_small():
    recipe, tensors = opened()
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 3_000_000
    assert [m["name"] for m in recipe["models"]] == [lesson.name for lesson in shelf()]
    assert tensors["train.pictures"].shape == (1500, 16, 16) and tensors["small.pictures"].shape == (1797, 8, 8)
    card = (SHIPPED / "card.md").read_text()
    assert "python -m vae lessons" in card and all(m["name"] in card for m in recipe["models"])


def test_the_figures_are_those_of_the_weights():
    recipe, tensors = opened()
    x = to_numbers(tensors["test.pictures"].numpy())
    figures = {m["name"]: m["figures"] for m in recipe["models"]}
    for lesson in shelf():
        found = measure(model_of(lesson, recipe, tensors), lesson, x)  # half of the 1,000 that the card measured
        assert found["loss"] == pytest.approx(figures[lesson.name]["loss"], rel=0.1)
        assert found.get("active") == figures[lesson.name].get("active")


def test_what_the_steps_say_of_the_shelves_is_so():
    figures = {m["name"]: m["figures"] for m in opened()[0]["models"]}
    losses = [figures[f"plain-{d}"]["loss"] for d in lessons.SQUEEZE]
    assert losses == sorted(losses, reverse=True)
    betas = [figures[f"beta-{beta:g}"] for beta in lessons.BETAS]
    assert [b["kl"] for b in betas] == sorted((b["kl"] for b in betas), reverse=True)
    assert betas[0]["active"] == 8 and 0 < betas[-2]["active"] < 8 and betas[-1]["active"] == 0


def test_a_lesson_learns_and_repeats():
    rng = np.random.default_rng(0)
    x = to_numbers(((rng.random((40, 1, 1)) + rng.random((1, 4, 4))) * 127).astype(np.uint8))
    lesson = Lesson("tiny", 2, True, 0.1)
    first, again, longer = (lessons.train_one(lesson, x, steps) for steps in (40, 40, 200))
    assert all((a == b).all() for a, b in zip(first.parameters(), again.parameters()))
    assert measure(longer, lesson, x)["loss"] < 0.7 * measure(lessons.train_one(lesson, x, 1), lesson, x)["loss"]
    assert all((w == w.half().float()).all() for w in first.parameters())


def test_the_command_writes_what_the_page_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lessons, "shelf", lambda: [Lesson("plain-2", 2), Lesson("plane", 2, True, 0.5)])
    assert main(["lessons", "--out", str(tmp_path), "--steps", "2"]) == 0
    recipe, tensors = opened(tmp_path)
    assert [m["name"] for m in recipe["models"]] == ["plain-2", "plane"] and recipe["steps"] == 2
    shipped = opened()[1]
    assert (tensors["test.pictures"] == shipped["test.pictures"]).all()  # the same digits every time
    assert main(["lessons", "--out", str(tmp_path), "--steps", "0"]) == 2
    assert "--steps is 0" in capsys.readouterr().err
