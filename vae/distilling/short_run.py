"""Runs that train one small network beside a finished model: their settings, options and steps."""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vae.config import Config

MOST = 4096  # examples in a step
WARM_UP = 100  # steps
SAY_EVERY = 20.0  # seconds


@dataclass(frozen=True)
class ShortRun(Config):
    """How long a run is and how it steps.

    It ends after `steps`, or after `minutes` where steps is 0; the learning rate falls linearly to 0 over the last share
    `decay`. precision, device: as vae.config.TrainingConfig's.
    """

    minutes: float = 60.0
    steps: int = 0
    batch_size: int = 16
    learning_rate: float = 2e-3
    decay: float = 0.5
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.minutes > 0, "minutes", "use a number above 0")
        self._require(self.steps >= 0, "steps", "use 0 to end by time, or a count")
        self._require(1 <= self.batch_size <= MOST, "batch_size", f"use 1 to {MOST}")
        self._require(0 < self.learning_rate <= 1, "learning_rate", "use a number above 0 and up to 1, such as 0.002")
        self._require(0 < self.decay <= 1, "decay", "use a share of the run above 0")
        self._require(self.seed >= 0, "seed", "use 0 or more")

    @property
    def words(self) -> str:
        """The options of a command that repeats this run."""
        length = f"--steps {self.steps}" if self.steps else f"--minutes {self.minutes:g}"
        return f"{length} --batch {self.batch_size} --lr {self.learning_rate:g} --seed {self.seed}"


class Descent:
    """Adam on what of a network is to learn, by a run's settings, and the moving average of its weights.

    average: the network with those. half_life: of the average, in examples. seen: how many examples there were.
    """

    def __init__(self, network: nn.Module, config: ShortRun, half_life: int):
        self.config, self.half_life = config, half_life
        self.average = copy.deepcopy(network)
        pairs = [(p, a) for p, a in zip(network.parameters(), self.average.parameters()) if p.requires_grad]
        self.parameters, self.averaged = map(list, zip(*pairs))
        self.average.requires_grad_(False)
        self.optimiser = torch.optim.Adam(self.parameters, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
        self.start, self.seen, self.steps, self.said = time.monotonic(), 0, 0, 0.0

    def progress(self) -> float:
        """Share of the run that is done; from 1 on it is over."""
        config = self.config
        return self.steps / config.steps if config.steps else (time.monotonic() - self.start) / (60 * config.minutes)

    def step(self, loss: Tensor, count: int, progress: float) -> None:
        """One step down a loss of `count` examples."""
        self.optimiser.zero_grad()
        loss.backward()
        slope = min(1.0, (1 - progress) / self.config.decay, (self.steps + 1) / WARM_UP)
        self.optimiser.param_groups[0]["lr"] = self.config.learning_rate * slope
        self.optimiser.step()
        self.seen, self.steps = self.seen + count, self.steps + 1
        half_life = min(self.half_life, self.seen / 8)
        torch._foreach_lerp_(self.averaged, [p.data for p in self.parameters], 1 - 0.5 ** (count / half_life))

    def report(self, progress: float, examples: str) -> str | None:
        """How far the run is, where it is time to say so."""
        if time.monotonic() - self.said <= SAY_EVERY:
            return None
        self.said = time.monotonic()
        return f"{100 * progress:.0f} %, {self.seen:,} {examples}, {self.seen / (self.said - self.start):.0f}/s"


def add_run_options(parser: argparse.ArgumentParser, default: ShortRun, examples: str, file: str) -> None:
    """The options of a run; examples: what it learns from, in the plural; file: that of a bundle that holds its network."""
    parser.add_argument("--start-from", metavar="FOLDER", help=f"bundle whose {file} to go on from")
    parser.add_argument("--minutes", type=float, default=default.minutes, help="how long (default: %(default)g)")
    parser.add_argument("--steps", type=int, default=0, help="end after so many steps instead")
    help = f"{examples} in a step (default: %(default)d)"
    parser.add_argument("--batch", type=int, default=default.batch_size, help=help)
    parser.add_argument("--lr", type=float, default=default.learning_rate, help="learning rate (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")


def start_words(args: argparse.Namespace) -> str:
    """What a command that repeats a run says of --start-from."""
    return f" --start-from {Path(args.start_from).name}" if args.start_from else ""


def run_settings(args: argparse.Namespace) -> dict[str, float | int]:
    """What the options of add_run_options say, by the names of ShortRun."""
    return {
        "minutes": args.minutes,
        "steps": args.steps,
        "batch_size": args.batch,
        "learning_rate": args.lr,
        "seed": args.seed,
    }
