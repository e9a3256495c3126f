"""Read a training run from outside: its curves, its pictures, and what a person should know about it. No torch."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from vae.config import COLLAPSED_NATS, Recipe

FEW_PICTURES = 500
KINDS = ("reconstructions", "samples", "traversal")

Row = dict[str, Any]


@dataclass(frozen=True)
class History:
    """Lines of metrics.jsonl by kind, oldest first."""

    train: tuple[Row, ...] = ()
    validation: tuple[Row, ...] = ()
    events: tuple[Row, ...] = ()


class _Tail:
    """A metrics.jsonl that is read on from where it was left."""

    def __init__(self) -> None:
        self.place, self.file = 0, 0
        self.rows: dict[str, list[Row]] = {"train": [], "validation": [], "event": []}
        self.lock = threading.Lock()

    def read(self, path: Path) -> History:
        with self.lock, open(path, "rb") as file:
            info = os.fstat(file.fileno())
            if info.st_ino != self.file or info.st_size < self.place:  # a resumed run writes a new file
                self.place, self.file = 0, info.st_ino
                self.rows = {kind: [] for kind in self.rows}
            file.seek(self.place)
            whole = file.read().rpartition(b"\n")[0]  # the last line may be in the making
            for line in whole.splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # a crash may leave half a line
                    row = json.loads(line)
                    self.rows[row["kind"]].append(row)
            self.place += len(whole) + bool(whole)
            return History(*(tuple(self.rows[kind]) for kind in ("train", "validation", "event")))


@lru_cache(maxsize=16)
def _tail(_path: str) -> _Tail:
    return _Tail()


def history(run: Path) -> History:
    """The run's metrics so far; empty before its first line. Only what was added since the last call is read."""
    path = run / "metrics.jsonl"
    try:
        return _tail(str(path)).read(path)
    except OSError:
        return History()


def thin(rows: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of the rows, evenly spread, the first and the last among them."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def marks(run: Path, most: int = 60) -> list[tuple[int, dict[str, Path]]]:
    """(step, {kind: picture}) of the marks in time at which the run drew its pictures, oldest first."""
    found: dict[int, dict[str, Path]] = {}
    try:
        entries = list(os.scandir(run / "sheets"))
    except OSError:
        return []
    for entry in entries:
        name = re.fullmatch(r"(\d{8,})-([a-z]+)\.png", entry.name)
        if name and name[2] in KINDS:
            found.setdefault(int(name[1]), {})[name[2]] = Path(entry.path)
    return thin(sorted((step, kinds) for step, kinds in found.items() if len(kinds) == len(KINDS)), most)


def duration(seconds: float | None) -> str:
    """Seconds in the words of a person: 40 s, 12 min, 3 h 20 min, 2 days 4 h."""
    if seconds is None or not math.isfinite(seconds):
        return "not known yet"
    seconds = max(0, round(seconds))
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def size(n_bytes: float) -> str:
    """Bytes as MB or GB."""
    return f"{n_bytes / 2**30:.1f} GB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MB"


# ---------------------------------------------------------------- advice


@dataclass(frozen=True)
class Advice:
    """What goes wrong, in words, and what to do about it."""

    kind: str
    what: str
    remedy: str


def advice(past: History, recipe: Recipe, progress: float) -> list[Advice]:
    """What a person who watches should know now. progress: share 0..1 of the run that is done."""
    checks = (
        _data(past),
        _collapse(past, recipe, progress),
        _divergence(past, recipe),
        _overfitting(past),
        _target(past, recipe, progress),
    )
    return [found for found in checks if found]


def _data(past: History) -> Advice | None:
    count = next((row.get("train") for row in past.events if row.get("event") == "started"), None)
    if count is None or count >= FEW_PICTURES:
        return None
    return Advice(
        "small",
        f"There are {count:,} pictures to learn from, which is few",
        "Expect it to remember them and to draw little that is new: add pictures, mirror them, or take fewer "
        "numbers in a code.",
    )


def _collapse(past: History, recipe: Recipe, progress: float) -> Advice | None:
    if not recipe.model.variational or not past.validation or progress < 0.15:
        return None
    last = past.validation[-1]
    kl = last.get("kl_per_dimension") or []
    active = sum(value > COLLAPSED_NATS for value in kl)
    if not kl or active > max(0, 0.25 * len(kl)):
        return None
    beta = last.get("beta", recipe.objective.beta)
    remedy = f"lower beta, which is {beta:.3g} now, to about {beta / 4:.2g}" if beta > 0 else "raise the KL target"
    what = "No dimension" if active == 0 else f"Only {active} of {len(kl)} dimensions"
    tail = "carries" if active < 2 else "carry"
    return Advice(
        "collapse",
        f"{what} of the code {tail} information: the posterior has collapsed",
        f"{remedy[0].upper()}{remedy[1:]}, make the warm-up longer, or take fewer numbers in a code.",
    )


def _divergence(past: History, recipe: Recipe) -> Advice | None:
    values = [row["reconstruction"] for row in past.train if isinstance(row.get("reconstruction"), (int, float))]
    if len(values) < 8:
        return None
    best, now = min(values), statistics.median(values[-3:])
    if now < 2.5 * best or now < 1.05 * values[0]:
        return None
    rate = recipe.training.learning_rate
    return Advice(
        "divergence",
        f"The reconstruction error is {now / best:.1f} times its best value and above where it began: training "
        f"diverges",
        f"Stop, and start again with a learning rate of {rate / 3:.1g} instead of {rate:.1g}.",
    )


def _overfitting(past: History) -> Advice | None:
    marks = [row for row in past.validation if "reconstruction" in row]
    if len(marks) < 5 or len(past.train) < 8:
        return None
    values = [row["reconstruction"] for row in marks]
    best = values.index(min(values))
    quarter = max(1, len(past.train) // 4)
    learnt = statistics.mean(r["reconstruction"] for r in past.train[-quarter:])
    before = statistics.mean(r["reconstruction"] for r in past.train[-2 * quarter : -quarter])
    if best > len(values) - 4 or min(values[-3:]) < 1.05 * values[best] or learnt >= before:
        return None
    return Advice(
        "overfitting",
        f"Pictures it has not seen come out worse since step {marks[best]['step']:,}, while those it learns from "
        f"get better",
        "Stop and keep, and next time use more pictures, mirror them, or train for a shorter time.",
    )


def _target(past: History, recipe: Recipe, progress: float) -> Advice | None:
    if recipe.objective.kl != "target" or not recipe.model.variational or progress < 0.4 or not past.train:
        return None
    steered = any(row.get("event") == "steered" for row in past.events)
    kl, target = past.train[-1].get("kl"), recipe.objective.kl_target
    if steered or kl is None or abs(kl - target) < 0.5 * target:
        return None
    return Advice(
        "target",
        f"The KL is {kl:.0f} nats and is meant to be held at {target:.0f}",
        f"Train for longer, or start with a beta {'below' if kl < target else 'above'} {recipe.objective.beta:.2g}.",
    )
