"""Throughput of our training loop against a plain PyTorch loop: same model, same data, same process, turn by turn.

python -m vae.evaluation.bench_training [DEVICE]      prints one line of JSON
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from vae.config import PRESETS, Recipe
from vae.data.imageset import ImageSet
from vae.data.sets import open_split
from vae.networks.autoencoder import Autoencoder
from vae.networks.pixels import to_pixels
from vae.training.loop import train
from vae.training.losses import reconstruction_loss

ROUNDS, STEPS, EVERY = 6, 60, 10


def plain(
    recipe: Recipe, pictures: ImageSet, device: torch.device, model: Autoencoder, optimiser: torch.optim.Adam
) -> list[float]:
    """A training loop as one writes it by hand -> images/s of every EVERY steps. No average, log, checkpoint or ear."""
    batch, rates = recipe.training.batch_size, []
    images = torch.from_numpy(pictures.images(range(len(pictures)))).to(device)
    for _ in range(STEPS // EVERY):
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


def main(device: str = "cpu") -> None:
    """Take turns, so that both meet the same machine; the first turn of each warms up."""
    recipe = PRESETS["vae"].replace(
        training={
            "device": device,
            "steps": STEPS,
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
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS + 1):
            pair = {
                "plain": plain(recipe, pictures, where, model, optimiser),
                "ours": ours(recipe, Path(folder) / str(turn)),
            }
            if turn:
                ratios.append(statistics.median(pair["plain"]) / statistics.median(pair["ours"]))
                for key, values in pair.items():
                    rates[key] += values
    print(json.dumps({**rates, "extra": [100 * (ratio - 1) for ratio in ratios]}))


if __name__ == "__main__":
    main(*sys.argv[1:2])
