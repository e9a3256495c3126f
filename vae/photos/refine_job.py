"""Photos being refined: a job's state and steps, which may be waited for. No torch here."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vae.photos.feature import Feature

FINISHED = ("done", "cancelled", "failed")


@dataclass(frozen=True, eq=False)
class Step:
    """State after `step` of `total` steps: psnr (n,) in dB of the pictures (n, s, s, c) uint8.

    pictures: None where what one pass gave is still the best. delta: style offsets (n, L, S) float32. features: at the end, what each photo has beyond them.
    """

    step: int
    total: int
    psnr: np.ndarray
    delta: np.ndarray
    pictures: np.ndarray | None = None
    features: tuple[Feature, ...] = ()


class Job:
    """Some photos being refined together; the Refiner tells it what happens. Thread-safe.

    on_cancel: called once when the job is cancelled before its end.
    """

    def __init__(self, count: int, total: int, on_cancel: Callable[[Job], None]):
        self.id = secrets.token_urlsafe(16)
        self.count, self.total = count, total
        self.started = time.monotonic()
        self._on_cancel = on_cancel
        self._changed = threading.Condition()
        self._state, self._error = "waiting", None
        self._steps: list[Step] = []

    @property
    def state(self) -> str:
        """'waiting', 'running', 'done', 'cancelled' or 'failed'."""
        return self._state

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self._state in FINISHED

    @property
    def error(self) -> str | None:
        """A sentence, when the job failed."""
        return self._error

    @property
    def steps(self) -> list[Step]:
        """All steps so far; the first, number 0, is the picture before refining."""
        with self._changed:
            return list(self._steps)

    @property
    def latest(self) -> Step | None:
        """The last step so far."""
        with self._changed:
            return self._steps[-1] if self._steps else None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end -> whether it has come."""
        with self._changed:
            return self._changed.wait_for(lambda: self.finished, timeout)

    def wait_step(self, after_step: int = -1, timeout: float | None = None) -> Step | None:
        """Wait for a step beyond `after_step` -> the latest; None at the timeout or when the job ended without one."""

        def newer() -> bool:
            return bool(self._steps) and self._steps[-1].step > after_step

        with self._changed:
            self._changed.wait_for(lambda: newer() or self.finished, timeout)
            return self._steps[-1] if newer() else None

    def subscribe(self) -> Iterator[Step]:
        """Every step from the first on, as they come, until the job ends (look at `state` then)."""
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._steps) > seen or self.finished)
                fresh = self._steps[seen:]
                if not fresh:
                    return
            seen += len(fresh)
            yield from fresh

    def cancel(self) -> None:
        """Stop within a step; the steps so far stay. Does nothing after the end."""
        if self.end("cancelled"):
            self._on_cancel(self)

    def end(self, state: str, error: str | None = None) -> bool:
        """Enter one of FINISHED -> whether it had not ended before; error: a sentence, where it failed."""
        with self._changed:
            if self.finished:
                return False
            self._state, self._error = state, error
            self._changed.notify_all()
            return True

    def run(self) -> None:
        """The worker has begun."""
        with self._changed:
            if not self.finished:
                self._state = "running"
                self._changed.notify_all()

    def add(self, step: Step) -> None:
        """The worker has come to a step; dropped after the end."""
        with self._changed:
            if not self.finished:
                self._state = "running"
                self._steps.append(step)
                self._changed.notify_all()
