"""The loop itself: a trainer in its folder, step after step, measured, saved, steered and ended."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

from vae.hardware import Pace
from vae.training.checkpoint import CHECKPOINT, FORMAT, save_checkpoint
from vae.training.run_folder import POLL_SECONDS, Control, RunFolder
from vae.training.trainer import Trainer
from vae.training.validation import sheets, validate


class Run:
    """A trainer in its folder: marks in time, steering, stopping."""

    def __init__(self, folder: RunFolder, trainer: Trainer):
        self.folder, self.trainer, self.config = folder, trainer, trainer.config
        self.control = Control(folder.path / "control.json")
        self.metrics: dict[str, Any] = {}
        self.signal: int | None = None
        self._validated, self._marked_at, self._mark_seconds = -1, trainer.seconds, 0.0
        self._saved_at, self._save_seconds = time.monotonic(), 0.0
        self._log_seconds, self._log_step = 0.0, trainer.step_count
        self._steered = (-1.0, -1.0)

    def loop(self) -> str:
        """Train until something ends it -> why: finished, stopped, or interrupted."""
        trainer, reason = self.trainer, None
        ahead = 0 if self.trainer.train_set.in_memory and self.trainer.device.type == "cpu" else 4
        before = time.monotonic()
        # Threads that were asked for stay; of several processes each would take the others for strangers.
        pace = Pace(1 if self.config.threads or trainer.processes.size > 1 or trainer.device.type != "cpu" else 0)
        with contextlib.closing(trainer.batches.run(trainer.step_count, ahead)) as batches:
            while reason is None and trainer.progress < 1:
                trainer.step(next(batches))
                pace.follow()
                now = time.monotonic()
                self._log_seconds += now - before
                trainer.seconds += now - before
                before = now
                if trainer.step_count % self.config.log_every == 0:
                    self._log()
                if self._mark_due():
                    self._validate()
                reason, paused = self._listen()
                if not reason and self._due():
                    self.save()
                now = time.monotonic()
                trainer.seconds += now - before - paused
                before = now
        reason = reason or "finished"
        if reason != "interrupted" and self._validated != trainer.step_count:
            self._validate()
        self.save()
        return reason

    def _log(self) -> None:
        trainer = self.trainer
        trainer.check_health()
        means = trainer.meter.means(trainer.processes)
        speed = (trainer.step_count - self._log_step) * self.config.batch_size / max(self._log_seconds, 1e-9)
        self._log_step, self._log_seconds = trainer.step_count, 0.0
        place = {"step": trainer.step_count, "images": trainer.images, "seconds": round(trainer.seconds, 3)}
        epoch = trainer.images / len(trainer.train_set)
        rate = trainer.optimiser.param_groups[0]["lr"]
        self.folder.metric(
            kind="train", **place, epoch=round(epoch, 4), images_per_s=round(speed, 1), learning_rate=rate, **means
        )
        self.status("running", force=False, images_per_s=round(speed, 1))

    def status(self, state: str, force: bool = True, **values: Any) -> None:
        """Say what goes on, how far the run is, and how long the rest will take."""
        trainer, progress = self.trainer, self.trainer.progress
        left = trainer.seconds * (1 - progress) / progress if progress else None
        self.folder.status(
            state,
            force,
            step=trainer.step_count,
            images=trainer.images,
            seconds=round(trainer.seconds, 3),
            progress=round(progress, 6),
            seconds_left=left,
            **values,
        )

    def _validate(self) -> None:
        """Only the first process measures; the others wait at the next exchange."""
        trainer = self.trainer
        trainer.check_health()
        self._validated, self._marked_at = trainer.step_count, trainer.seconds
        if not self.folder.writes:
            return
        start = time.monotonic()
        self.metrics = validate(trainer)
        self.folder.metric(
            kind="validation",
            step=trainer.step_count,
            images=trainer.images,
            seconds=round(trainer.seconds, 3),
            **self.metrics,
        )
        if self.config.sheets:
            (self.folder.path / "sheets").mkdir(exist_ok=True)
            for name, picture in sheets(trainer).items():
                picture.save(self.folder.path / "sheets" / f"{trainer.step_count:08d}-{name}.png")
        self._mark_seconds = time.monotonic() - start

    def _mark_due(self) -> bool:
        """Marks in time lie evenly, closer together while a run is young and changes fast, and cost a tenth at most."""
        every, seconds = self.config.validate_every, self.config.validate_seconds
        if every and self.trainer.step_count % every == 0:
            return True
        now = self.trainer.seconds
        return bool(seconds) and now - self._marked_at >= max(min(seconds, max(3.0, 0.2 * now)), 9 * self._mark_seconds)

    def _due(self) -> bool:
        """A checkpoint is due now and then, but writing is to cost 2 % of the time at most."""
        return time.monotonic() - self._saved_at >= max(self.config.checkpoint_seconds, 50 * self._save_seconds)

    def save(self) -> None:
        """Write a checkpoint of this moment; only the first process does."""
        trainer = self.trainer
        trainer.check_health()
        if not self.folder.writes:
            return
        start = time.monotonic()
        data = {
            "name": trainer.train_set.name,
            "train": len(trainer.train_set),
            "validation": len(trainer.validation_set),
            "refused": len(trainer.train_set.refused),
            "duplicates": len(trainer.train_set.duplicates),
        }
        state = {
            "format": FORMAT,
            "recipe": trainer.recipe.to_dict(),
            "step": trainer.step_count,
            "images": trainer.images,
            "seconds": trainer.seconds,
            "metrics": self.metrics,
            "data": data,
        }
        save_checkpoint(self.folder.path / CHECKPOINT, trainer.tensors(), state)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start

    def _listen(self) -> tuple[str | None, float]:
        """Hear what the control file and signals ask for -> why to end, or None, and seconds spent paused."""
        trainer, began, waiting = self.trainer, time.monotonic(), False
        while True:
            control = self.control
            if self.folder.writes and (complaint := control.poll()):
                self.folder.metric(kind="event", step=trainer.step_count, event="refused", detail=complaint)
            interrupted, stop, pause, beta, target, seconds = trainer.processes.agree(
                [
                    float(self.signal is not None),
                    float(control.command == "stop"),
                    float(control.command == "pause"),
                    control.beta,
                    control.target,
                    trainer.seconds,
                ]
            )
            trainer.seconds = seconds
            if (beta, target) != self._steered:
                self._steered = (beta, target)
                trainer.objective.beta.steer(None if beta < 0 else beta, None if target < 0 else target)
                wishes = {"beta": beta, "kl_target": target}
                self.folder.metric(
                    kind="event",
                    step=trainer.step_count,
                    event="steered",
                    **{k: v for k, v in wishes.items() if v >= 0},
                )
            reason = "interrupted" if interrupted else "stopped" if stop else None
            if reason or not pause:
                if waiting:
                    self.folder.metric(kind="event", step=trainer.step_count, event="resumed")
                    self.status("running")
                return reason, time.monotonic() - began if waiting else 0.0
            if not waiting:
                waiting = True
                self.save()
                self.folder.metric(kind="event", step=trainer.step_count, event="paused")
                self.status("paused")
            time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def signals(run: Run) -> Iterator[None]:
    """The first SIGTERM or SIGINT ends the run in good order, a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: Any) -> None:
        run.signal = number
        signal.signal(number, old[number])

    old = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
