"""Answers for the page that starts a training: what the machine has, what the pictures are, what a run would cost.

They are given in a short-lived process (vae.jobs.worker): torch is imported here, and only where an answer needs it.
"""

from __future__ import annotations

import base64
import io
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vae.config import DataConfig, Recipe
from vae.data.imageset import MANY_SKIPPED, ImageSet
from vae.data.sets import count_pictures, open_data

INSPECT_MOST = 20_000
SHEET_COLUMNS, SHEET_ROWS = 12, 5
TILE = 56
TRIAL_IMAGES = 512
TRIAL_SECONDS = 4.0
TRIAL_STEPS = 40


# ---------------------------------------------------------------- the machine


def machine(_: dict[str, Any]) -> dict[str, Any]:
    """cores, memory in bytes, devices [{id, title, memory}], the best first."""
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    devices = []
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(i)
        devices.append({"id": f"cuda:{i}", "title": f"GPU {i}, {properties.name}", "memory": properties.total_memory})
    if torch.backends.mps.is_available():
        devices.append({"id": "mps", "title": "Apple GPU", "memory": memory})
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    devices.append({"id": "cpu", "title": f"CPU, {cores} cores", "memory": memory})
    return {"cores": cores, "memory": memory, "devices": devices}


# ---------------------------------------------------------------- the pictures


def sheet(pictures: ImageSet) -> str:
    """An even spread of pictures in rows and columns, as PNG in base64."""
    from PIL import Image

    count = min(len(pictures), SHEET_COLUMNS * SHEET_ROWS)
    tiles = pictures.images(np.linspace(0, len(pictures) - 1, count).astype(int))  # (n, s, s, c)
    columns = min(count, SHEET_COLUMNS)
    rows = -(-count // columns)
    side, gap = TILE * 2, 4
    canvas = Image.new("RGBA", (columns * (side + gap) - gap, rows * (side + gap) - gap), (0, 0, 0, 0))
    for i, tile in enumerate(tiles):
        picture = Image.fromarray(tile[..., 0] if tile.shape[2] == 1 else tile).convert("RGB")
        method = Image.Resampling.NEAREST if side % picture.width == 0 else Image.Resampling.LANCZOS
        canvas.paste(
            picture.resize((side, side), method), ((i % columns) * (side + gap), (i // columns) * (side + gap))
        )
    out = io.BytesIO()
    canvas.save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def inspect(asked: dict[str, Any]) -> dict[str, Any]:
    """What a training would see. asked: data (settings), image_size, channels.

    Answers count, checked, validation, labels {name: count}, refused [[reason, count, example]] (also of files that are
    no pictures), skipped (their share of all files, 0..1), ask (whether that is so many that a training has to be told
    to accept it), notes (parts of sentences), duplicates (count), twins [[file, earlier file]], sheet (PNG, base64), bytes (decoded) and streamed (true where that exceeds memory_mb).
    """
    config, size, channels = DataConfig.from_dict(asked["data"]), int(asked["image_size"]), int(asked["channels"])
    listed = count_pictures(config)
    planned = min(listed, config.limit) if config.limit else listed
    part = config
    if planned > INSPECT_MOST:
        part = config.replace(limit=INSPECT_MOST)
    pictures = open_data(part.replace(memory_mb=2048), size, channels)
    sheet_png = sheet(pictures)  # a streamed set finds its bad files only now
    left_out = pictures.refused + pictures.others
    reasons = Counter(_reason(r.reason) for r in left_out)
    example = {_reason(r.reason): r.file for r in reversed(left_out)}
    count = planned if planned > INSPECT_MOST else len(pictures)
    labels = {}
    if pictures.labels is not None:
        labels = {name: int(n) for name, n in zip(pictures.label_names, pictures.labels.sum(0))}
    n_bytes = count * size * size * channels
    return {
        "count": count, "checked": len(pictures), "labels": labels, "bytes": n_bytes,
        "validation": min(max(1, round(config.validation * count)), config.validation_max, max(1, count - 1)),
        "refused": [[reason, n, Path(example[reason]).name[:60]] for reason, n in reasons.most_common(8)],
        "skipped": pictures.skipped, "ask": pictures.skipped >= MANY_SKIPPED,
        "notes": pictures.notes[:8], "refused_total": sum(reasons.values()),
        "duplicates": len(pictures.duplicates),
        "twins": [[Path(a).name[:60], Path(b).name[:60]] for a, b in pictures.duplicates[:6]],
        "streamed": n_bytes > config.memory_mb * 2**20, "sheet": sheet_png,
    }  # fmt: skip


def _reason(text: str) -> str:
    """A reason without its figures, so that equal ones can be counted."""
    for start, plain in (("holds ", "holds more than 50 megapixels"), ("is", "is larger than 20 MB")):
        if text.startswith(start) and ("megapixels, the limit" in text if start == "holds " else "MB large" in text):
            return plain
    return text if len(text) < 90 else text[:87] + "..."


# ---------------------------------------------------------------- the cost


def _peak_memory(device: Any) -> int:
    """Most bytes that this process has held: on the GPU, or else in main memory."""
    import resource

    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _time_steps(recipe: Recipe, pictures: ImageSet) -> tuple[Any, float]:
    """Median seconds of a training step, after two to warm up, and the trainer."""
    import statistics

    import torch

    from vae.training.trainer import Trainer

    trainer, times = Trainer(recipe, pictures, pictures), []
    began = time.perf_counter()
    for number, batch in enumerate(trainer.batches.run(0, 0)):
        start = time.perf_counter()
        trainer.step(batch)
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        now = time.perf_counter()
        if number >= 2:
            times.append(now - start)
        if number + 1 >= TRIAL_STEPS or (now - began > TRIAL_SECONDS and times):
            return trainer, statistics.median(times)
    raise AssertionError("batches do not end")


def trial(asked: dict[str, Any]) -> dict[str, Any]:
    """Time and memory of a recipe on this machine, from a few real training steps on a part of the data.

    asked: recipe, and count, the pictures that there are. Answers step_seconds and sharp_seconds (with the
    discriminator, or None), images_per_s, steps and seconds of the whole run, memory and memory_limit in bytes.
    """
    from vae.training.validation import sheets, validate

    recipe, count = Recipe.from_dict(asked["recipe"]), int(asked["count"])
    model, objective, training = recipe.model, recipe.objective, recipe.training
    pictures = open_data(
        recipe.data.replace(limit=min(recipe.data.limit or TRIAL_IMAGES, TRIAL_IMAGES)),
        model.image_size,
        model.channels,
    )
    plain = recipe.replace(
        objective={"adversarial_start": 0.999999}, training={"steps": 10**9, "minutes": 0.0, "images": 0}
    )
    trainer, step = _time_steps(plain, pictures)
    start = time.perf_counter()
    validate(trainer)
    if training.sheets:
        sheets(trainer)
    look = time.perf_counter() - start
    look *= max(1.0, min(training.validation_images, recipe.data.validation * count) / len(pictures))
    sharp = None
    if objective.adversarial:
        del trainer
        recipe_sharp = plain.replace(objective={"adversarial_start": 0.0, "adversarial_ramp": 0.0})
        trainer, sharp = _time_steps(recipe_sharp, pictures)
    held = count * model.image_size**2 * model.channels
    on_gpu = trainer.device.type == "cuda"
    memory = _peak_memory(trainer.device) + (0 if on_gpu or held > recipe.data.memory_mb * 2**20 else held)
    if on_gpu:
        import torch

        limit = torch.cuda.get_device_properties(trainer.device).total_memory
    else:
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    mean = step if sharp is None else step * objective.adversarial_start + sharp * (1 - objective.adversarial_start)
    per_mark = training.validate_every or (
        max(1.0, training.validate_seconds / mean) if training.validate_seconds else math.inf
    )
    marks = look / per_mark
    if not training.validate_every:  # marks by time cost a tenth of the run at most (vae.training.run)
        marks = min(marks, mean / 9)
    whole = mean + marks
    limits = [
        training.steps or math.inf,
        training.images / training.batch_size or math.inf,
        60 * training.minutes / whole or math.inf,
    ]
    steps = max(1, int(min(limits)))
    return {
        "step_seconds": step, "sharp_seconds": sharp, "images_per_s": training.batch_size / whole, "steps": steps,
        "seconds": steps * whole, "memory": memory, "memory_limit": limit, "device": str(trainer.device),
    }  # fmt: skip


QUESTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "machine": machine,
    "inspect": inspect,
    "trial": trial,
}
