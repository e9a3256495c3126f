from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from vae.__main__ import main
from vae.bundles import export
from vae.config import ConfigError
from vae.photos import curvature
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
