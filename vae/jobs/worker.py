"""The process behind a training job, and the short-lived ones that answer questions for the app.

    python -m vae.jobs.worker run FOLDER LOCK      a job of vae.jobs.job; LOCK is the inherited lock's descriptor
    python -m vae.jobs.worker machine|inspect|trial    a question of vae.jobs.questions: JSON in on stdin, a line out

torch is imported here and never in the app's process, and only where a question needs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from vae.bundles.bundle import open_bundle
from vae.failures import memory_ran_out
from vae.jobs.answers import QUESTIONS
from vae.jobs.folders import disk_sentence, models_home, read_json, write_json
from vae.jobs.job import Job, write_state
from vae.jobs.processes import note_process
from vae.jobs.queue import device_lock


def sentence(error: BaseException) -> str:
    """An error as one sentence for a person; the log has the rest."""
    if isinstance(error, OSError) and not isinstance(error, ValueError):
        return disk_sentence(error, Path.cwd())
    if memory_ran_out(error):
        return "memory ran out; choose a smaller batch, smaller pictures or a smaller model"
    if isinstance(error, (ValueError, RuntimeError)) and type(error).__module__.startswith("vae."):
        return str(error)
    first = str(error).strip().splitlines()[0][:160] if str(error).strip() else "no message"
    return f"it ended with {type(error).__name__} ({first}); the log has the details"


class Orders(threading.Thread):
    """Hands the orders of a person on to the training loop, also those given before the loop listened."""

    def __init__(self, job: Job):
        super().__init__(name="orders", daemon=True)
        self.job, self.over = job, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.2):
            orders = self.job.orders
            with contextlib.suppress(OSError):
                if orders and read_json(self.job.run / "control.json") != orders:
                    write_json(self.job.run / "control.json", orders)


def export(job: Job) -> None:
    """Make the bundle beside its place, open it to see that it is whole, and put it there in one step."""
    from vae.bundles.card import About
    from vae.bundles.export import export_checkpoint
    from vae.photos.measure_curvature import add as curvature

    about = About(job.title, str(job.info.get("description", "")), licence="that of the pictures it was trained on")
    home = models_home()
    home.mkdir(parents=True, exist_ok=True)
    building = home / f".new-{job.id}"
    shutil.rmtree(building, ignore_errors=True)
    try:
        export_checkpoint(job.run, building / job.name, about, additions=(curvature,))
        open_bundle(building / job.name)
        if (home / job.name).exists():
            os.rename(home / job.name, building / "old")
        os.rename(building / job.name, home / job.name)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def run(folder: Path, lock: int) -> int:
    """A job from its turn on the device to its bundle -> exit status."""
    os.set_inheritable(lock, False)
    job = Job(folder)
    note_process(folder, os.getpid())
    write_state(folder, "queued")
    try:
        with device_lock(job.device, job, lambda: job.orders.get("command") == "stop") as turn:
            if turn:
                work(job)
            else:
                write_state(folder, "stopped", "It was stopped before its turn came.")
        return 0
    except Exception as error:
        traceback.print_exc()
        write_state(folder, "failed", sentence(error))
        return 1


def work(job: Job) -> None:
    """Train and export."""
    write_state(job.folder, "running")
    with contextlib.suppress(OSError):
        os.nice(5)  # the app and its live pages go first
    recipe = job.recipe
    orders = Orders(job)
    orders.start()
    try:
        from vae.training.loop import train

        result = train(job.run, recipe.model, recipe.data, recipe.objective, recipe.training, resume=True)
    finally:
        orders.over.set()
    print(f"{result.reason} after {result.step:,} steps and {result.seconds:.0f} s", flush=True)
    if result.reason == "interrupted":
        write_state(job.folder, "interrupted", f"It was asked to end, and saved a checkpoint at step {result.step:,}.")
        return
    write_state(job.folder, "exporting")
    export(job)
    note = f"It was stopped at step {result.step:,}; what it had learnt is kept." if result.reason == "stopped" else ""
    write_state(job.folder, result.reason, note)


def main() -> int:
    """Do what the command line says."""
    if sys.argv[1] == "run":
        return run(Path(sys.argv[2]), int(sys.argv[3]))
    answer: dict[str, Any]
    try:
        answer = QUESTIONS[sys.argv[1]](json.load(sys.stdin))
    except Exception as error:  # whatever it was, the app shows one sentence
        answer = {"error": sentence(error)}
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
