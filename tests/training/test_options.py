from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae.__main__ import main
from vae.bundles import export
from vae.config import ConfigError
from vae.photos import measure_curvature as curvature
from vae.training.checkpoint import load_checkpoint
from vae.training.options import add_arguments, recipe_from


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def test_options_become_a_recipe() -> None:
    recipe = recipe_from(
        parse(
            "--preset",
            "sharp",
            "--data",
            "a.zip",
            "--data",
            "b.zip",
            "--under",
            "train",
            "--size",
            "32",
            "--latent",
            "16",
            "--kl-target",
            "50",
            "--images",
            "5000",
            "--box",
            "1",
            "2",
            "30",
            "31",
            "--set",
            "objective.adversarial=0",
            "--set",
            "training.ema_images=500",
            "--set",
            "objective.reconstruction=l1",
        )
    )
    assert (
        recipe.data.sources == ("a.zip", "b.zip") and recipe.data.box == (1, 2, 30, 31) and recipe.data.under == "train"
    )
    assert (recipe.model.image_size, recipe.model.latent_size) == (32, 16)
    assert (recipe.objective.kl_target, recipe.objective.adversarial, recipe.objective.reconstruction) == (
        50.0,
        0.0,
        "l1",
    )
    assert (recipe.training.images, recipe.training.minutes, recipe.training.ema_images) == (5000, 0.0, 500)
    with pytest.raises(ConfigError, match="--set is 'beta=1'; write PART.KEY=VALUE"):
        recipe_from(parse("--set", "beta=1"))
    with pytest.raises(ConfigError, match="no setting 'betas'"):
        recipe_from(parse("--set", "objective.betas=1"))


def test_command_trains_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--preset",
        "vae",
        "--data",
        "sklearn-digits",
        "--size",
        "8",
        "--steps",
        "3",
        "--batch",
        "8",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "run"),
        "--set",
        "data.limit=60",
        "--set",
        "model.width=0.25",
    ]
    assert main(["train", *words]) == 0
    assert "finished after 3 steps, 24 images" in capsys.readouterr().out
    assert main(["train", "--resume", "--out", str(tmp_path / "run"), "--steps", "5"]) == 0
    assert "finished after 5 steps" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "run").recipe.data.limit == 60


def test_command_asks_where_half_of_the_files_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").mkdir()
    for i in range(6):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)).save(tmp_path / "set" / f"{i}.png")
        (tmp_path / "set" / f"{i}.txt").write_text("a note")
    words = ["train", "--data", str(tmp_path / "set"), "--size", "8", "--channels", "1", "--steps", "1", "--batch", "4"]
    words += ["--device", "cpu", "--out", str(tmp_path / "run"), "--set", "model.width=0.25"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("50% of the files of set cannot be used (6 other files: 6 text files (the first, 0.txt,")
    assert "--accept-skipped" in said and not (tmp_path / "run" / "checkpoint.safetensors").exists()
    assert main([*words[:-4], "--out", str(tmp_path / "again"), *words[-2:], "--accept-skipped"]) == 0
    (tmp_path / "set" / "more.txt").write_text("a note")  # one who goes on has been asked before
    assert main(["train", "--resume", "--out", str(tmp_path / "again"), "--steps", "2"]) == 0


def test_command_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    # What the command adds to a bundle lives above the wing that exports.
    monkeypatch.setattr(export, "export_checkpoint", lambda *a, additions: calls.append((*a, additions)) or a[1])
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "home"))
    words = [
        "--data",
        "sklearn-digits",
        "--size",
        "8",
        "--steps",
        "1",
        "--batch",
        "8",
        "--device",
        "cpu",
        "--set",
        "data.limit=60",
    ]
    assert main(["train", *words, "--out", str(tmp_path / "run"), "--export", "mine"]) == 0
    assert calls == [(tmp_path / "run", tmp_path / "home" / "models" / "mine", (curvature.add,))]
