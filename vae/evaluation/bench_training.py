"""Throughput of our training loop against a plain PyTorch loop, and beside another program; within two minutes.

python -m vae.evaluation.bench_training [DEVICE]      prints one line of JSON
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from vae.config import Recipe
from vae.data.imageset import ImageSet
from vae.data.sets import open_split
from vae.networks.autoencoder import Autoencoder
from vae.networks.pixels import to_pixels
from vae.presets import PRESETS
from vae.training.loop import train
from vae.training.losses import reconstruction_loss

ROUNDS, EVERY = 6, 5
TURN_SECONDS = 4.0  # of one loop in a round
BUDGET_SECONDS = 35.0  # after which no round begins
BESIDE_SECONDS = 8.0  # of a run beside another program, of which the first third lets the threads settle


def plain(
    recipe: Recipe, pictures: ImageSet, device: torch.device, model: Autoencoder, optimiser: torch.optim.Adam
) -> list[float]:
    """A training loop as one writes it by hand -> images/s of every EVERY steps. No average, log, checkpoint or ear."""
    batch, rates = recipe.training.batch_size, []
    images = torch.from_numpy(pictures.images(range(len(pictures)))).to(device)
    for _ in range(recipe.training.steps // EVERY):
        start = time.perf_counter()
        for _ in range(EVERY):
            x = to_pixels(images[torch.randint(len(images), (batch,), device=device)])
            y, q = model(x)
            loss = (
                reconstruction_loss(x, y, recipe.objective.reconstruction) + recipe.objective.beta * q.kl().sum(1)
            ).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        rates.append(EVERY * batch / (time.perf_counter() - start))
    return rates


def ours(recipe: Recipe, folder: Path) -> list[float]:
    """The same by vae.training.loop, with everything it does -> images/s of every EVERY steps."""
    train(folder, recipe.model, recipe.data, recipe.objective, recipe.training)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["images_per_s"] for row in rows if row["kind"] == "train"]


@contextlib.contextmanager
def another_program() -> Iterator[None]:
    """A process that keeps one processor busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def beside(recipe: Recipe, folder: Path, rate: float) -> dict[str, list[float]]:
    """images/s beside another program, with a thread a processor and with as many as are free."""
    most, found = torch.get_num_threads(), {}
    steps = max(3, round(BESIDE_SECONDS * rate / 2 / recipe.training.batch_size / EVERY)) * EVERY
    for name, threads in (("fixed", most), ("free", 0)):
        torch.set_num_threads(most)
        rates = ours(recipe.replace(training={"threads": threads, "steps": steps}), folder / name)
        found[name] = rates[len(rates) // 3 :]
    torch.set_num_threads(most)
    return found


def main(device: str = "cpu") -> None:
    """Take turns, so that both meet the same machine; the first turn of each warms up and says how long a turn is."""
    recipe = PRESETS["vae"].replace(
        training={
            "device": device,
            "steps": 2 * EVERY,
            "threads": torch.get_num_threads() if device == "cpu" else 0,
            "log_every": EVERY,
            "validate_every": 0,
            "validation_images": 64,
            "sheets": False,
        }
    )
    pictures, _ = open_split(recipe.data, recipe.model.image_size, recipe.model.channels)
    where = torch.device(device)
    model = Autoencoder(recipe.model).to(where)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.training.learning_rate, fused=True)
    rates: dict[str, list[float]] = {"plain": [], "ours": []}
    ratios: list[float] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rate = statistics.median(plain(recipe, pictures, where, model, optimiser))
        ours(recipe, folder / "warm")
        steps = min(12, max(2, round(TURN_SECONDS * rate / recipe.training.batch_size / EVERY))) * EVERY
        recipe = recipe.replace(training={"steps": steps})
        while not ratios or (len(ratios) < ROUNDS and time.monotonic() - began < BUDGET_SECONDS):
            pair = {
                "plain": plain(recipe, pictures, where, model, optimiser),
                "ours": ours(recipe, folder / str(len(ratios))),
            }
            ratios.append(statistics.median(pair["plain"]) / statistics.median(pair["ours"]))
            for key, values in pair.items():
                rates[key] += values
        found: dict[str, object] = {**rates, "extra": [100 * (ratio - 1) for ratio in ratios]}
        if device == "cpu" and torch.get_num_threads() > 1 and (os.cpu_count() or 1) > 1:
            with another_program():
                found["beside"] = beside(recipe, folder, rate)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:2])
