from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from tests.training.runs import VAE, start
from vae.networks.autoencoder import Autoencoder
from vae.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from vae.training.errors import TrainingError


def test_damaged_checkpoints_are_refused_with_a_sentence(tmp_path: Path) -> None:
    start(tmp_path / "run")
    path = tmp_path / "run" / CHECKPOINT
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(tmp_path / "run")
    with pytest.raises(TrainingError, match="holds no checkpoint"):
        load_checkpoint(tmp_path / "nowhere")


def test_checkpoint_gives_a_working_model(tmp_path: Path) -> None:
    start(tmp_path / "run")
    checkpoint = load_checkpoint(tmp_path / "run")
    model = Autoencoder(checkpoint.recipe.model)
    model.load_state_dict(checkpoint.ema)
    assert checkpoint.recipe == VAE and checkpoint.state["data"]["train"] == 180
    assert not all(torch.equal(checkpoint.ema[k], checkpoint.model[k]) for k in checkpoint.ema)
    recipe = VAE.replace(training={"ema_images": 0})
    start(tmp_path / "raw", recipe)
    raw = load_checkpoint(tmp_path / "raw")
    assert all(torch.equal(raw.ema[k], raw.model[k]) for k in raw.model)


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / CHECKPOINT
    save_checkpoint(path, {"a": torch.ones(3)}, {"n": 1})
    old = path.read_bytes()

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        save_checkpoint(path, {"a": torch.zeros(3)}, {"n": 2})
    assert path.read_bytes() == old and os.listdir(tmp_path) == [path.name]


def test_a_checkpoint_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("rename"), replace(a, b)))
    save_checkpoint(tmp_path / CHECKPOINT, {"a": torch.ones(3)}, {"n": 1})
    assert calls == ["sync", "rename", "sync"]  # the content, the name, the folder that holds the name
