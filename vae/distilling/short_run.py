"""Settings and options of the runs that train one small network beside a finished model."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from vae.config import Config

MOST = 4096  # examples in a step


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


def add_run_options(parser: argparse.ArgumentParser, default: ShortRun, examples: str) -> None:
    """The options of a run; examples: what it learns from, in the plural."""
    parser.add_argument("--minutes", type=float, default=default.minutes, help="how long (default: %(default)g)")
    parser.add_argument("--steps", type=int, default=0, help="end after so many steps instead")
    help = f"{examples} in a step (default: %(default)d)"
    parser.add_argument("--batch", type=int, default=default.batch_size, help=help)
    parser.add_argument("--lr", type=float, default=default.learning_rate, help="learning rate (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")


def run_settings(args: argparse.Namespace) -> dict[str, float | int]:
    """What the options of add_run_options say, by the names of ShortRun."""
    return {
        "minutes": args.minutes,
        "steps": args.steps,
        "batch_size": args.batch,
        "learning_rate": args.lr,
        "seed": args.seed,
    }
