"""Jobs that are done in a second, for the tests of them."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from vae.config import DataConfig, ModelConfig, ObjectiveConfig, Recipe, TrainingConfig
from vae.jobs import watch, worker
from vae.jobs.job import Job


def recipe(steps: int = 40, **training) -> Recipe:
    """A model that trains in a second."""
    settings = {
        "batch_size": 8,
        "steps": steps,
        "log_every": 5,
        "validate_every": 20,
        "validation_images": 16,
        "threads": 1,
        "checkpoint_seconds": 0.2,
        "device": "cpu",
        **training,
    }
    return Recipe(
        ModelConfig("conv", 8, 1, 3, width=0.0625), DataConfig(("sklearn-digits",), limit=120),
        ObjectiveConfig(kl="warmup", beta=0.5), TrainingConfig(**settings), "Tiny",
    )  # fmt: skip


def wait(ready: Callable[[], object], seconds: float = 300.0) -> None:
    """Until it is so; fails loudly when it never is."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def in_process(job: Job, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a job's process in this one, where torch is warm already."""
    monkeypatch.setattr(os, "nice", lambda _: 0)
    fd = os.open(job.folder / "lock", os.O_RDWR)
    try:
        return worker.run(job.folder, fd)
    finally:
        os.close(fd)


def losses(job: Job) -> dict[int, float]:
    """Training loss by step."""
    return {row["step"]: row["loss"] for row in watch.history(job.run).train}


def png(value: int, side: int = 12, mode: str = "L") -> bytes:
    """A small picture that differs by its value."""
    pixels = np.random.default_rng(value).integers(0, 256, (side, side, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "PNG")
    return out.getvalue()
