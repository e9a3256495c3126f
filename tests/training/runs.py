"""Small runs for the tests of this wing, and hands to start, watch and steer them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vae.config import DataConfig, ModelConfig, ObjectiveConfig, Recipe, TrainingConfig
from vae.data.sets import open_split
from vae.presets import PRESETS
from vae.training.loop import TrainingResult, train
from vae.training.trainer import Trainer

VAE = Recipe(
    ModelConfig("conv", 8, 1, 2, width=0.25),
    DataConfig(("sklearn-digits",), limit=200),
    ObjectiveConfig(beta=0.1),
    TrainingConfig(
        steps=12, batch_size=16, device="cpu", log_every=2, validate_every=6, validation_images=32, flip=True
    ),
)
HELD = VAE.replace(objective={"kl": "target", "kl_target": 4.0, "beta": 0.01})
PLAIN = VAE.replace(model={"variational": False})
SHARP = Recipe(
    ModelConfig("style", 32, 3, 4, width=0.0625, style_size=16),
    DataConfig(("sklearn-digits",), limit=40),
    ObjectiveConfig(
        "multiscale", 10.0, "target", 0.01, kl_target=10.0, adversarial=0.5, adversarial_start=0.25, penalty_every=3
    ),
    TrainingConfig(
        steps=12, batch_size=4, device="cpu", log_every=2, validate_every=6, validation_images=8, adam_beta1=0.0
    ),
)
FACES = PRESETS["faces"].replace(
    model={"image_size": 32, "latent_size": 4, "width": 0.0625, "style_size": 16},
    data={"sources": ["sklearn-digits"], "limit": 40},
    objective={
        "kl_target": 10.0,
        "adversarial_start": 0.25,
        "penalty_every": 3,
        "perceptual_side": 32,
        "identity": 0.0,
    },
    training={
        "minutes": 0.0,
        "steps": 12,
        "frozen_images": 16,
        "batch_size": 4,
        "device": "cpu",
        "log_every": 2,
        "validate_every": 6,
        "validation_images": 8,
    },
)
LINEAR = SHARP.replace(model={"linear": True}, objective={"adversarial": 0.0})


def start(folder: Path, recipe: Recipe = VAE, resume: bool = False, **changes: Any) -> TrainingResult:
    recipe = recipe.replace(training=changes)
    return train(folder, recipe.model, recipe.data, recipe.objective, recipe.training, resume)


def trainer_of(recipe: Recipe) -> Trainer:
    return Trainer(recipe, *open_split(recipe.data, recipe.model.image_size, recipe.model.channels))


def lines(folder: Path, kind: str = "train") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


def timeless(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_s")} for line in found]


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Run an action right after a step."""
    original = Trainer.step

    def wrapped(self: Trainer, batch: Any) -> None:
        original(self, batch)
        if self.step_count == step:
            action()

    monkeypatch.setattr(Trainer, "step", wrapped)


def steer(folder: Path, **values: Any) -> None:
    (folder / "control.new").write_text(json.dumps(values))
    os.replace(folder / "control.new", folder / "control.json")


def wait_for(check: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
