"""The small models of the Learn page, opened with torch, to compare the browser's sums with."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open

from vae.paths import ASSETS
from vae.training.lessons import FILE, Lesson, SmallModel

SHIPPED = ASSETS / "lessons"


def opened(folder: Path = SHIPPED) -> tuple[dict, dict[str, torch.Tensor]]:
    """The recipe, and every tensor."""
    with safe_open(folder / FILE, "pt") as file:
        return json.loads(file.metadata()["lessons"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def model_of(lesson: Lesson, recipe: dict, tensors: dict[str, torch.Tensor]) -> SmallModel:
    """One of them with its weights."""
    model = SmallModel(recipe["side"] ** 2, recipe["hidden"], lesson)
    parts = [
        f"{half}.{layer}.{kind}" for half in ("encoder", "decoder") for layer in (0, 2) for kind in ("weight", "bias")
    ]
    model.load_state_dict({part: tensors[f"{lesson.name}.{part}"].float() for part in parts})
    return model
