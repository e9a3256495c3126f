"""A training job: a process of its own that outlives the app. No torch here.

A job is a folder, user_home()/runs/ID:

    job.json      what was asked for
    state.json    how it stands; written by the one process that holds the lock
    process.json  the process that was started last
    orders.json   what a person wants of it: pause, stop, another beta
    lock          held (flock) by the job's process for as long as it lives, however it ends
    log.txt       everything that the process printed
    pictures/     pictures handed in for this job, removed with it
    run/          the run folder of vae.training.run_folder

A lock cannot outlive its process, so a job that says "running" while nobody holds its lock was killed; its last
checkpoint is in the run folder. Jobs for one device line up: each waits in its own process for the device's lock
(vae.jobs.queue), so that the queue moves on without the app.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae import children
from vae.bundles.contract import NAME
from vae.config import ConfigError, Recipe
from vae.failures import disk_is_full
from vae.files import replacing
from vae.jobs.folders import models_home, read_json, write_json
from vae.jobs.processes import is_running, note_process, started_at
from vae.paths import ROOT

# States in which a process is at work, and those in which none is.
LIVE = ("queued", "reading", "running", "paused", "exporting")
ENDED = ("finished", "stopped", "failed", "interrupted")
STATE_BYTES = 4096  # state.json is padded, so that it can still be written in place on a full disk

_children: list[subprocess.Popen] = []


class JobError(ValueError):
    """A job, or an order to one, that cannot be; one sentence that names the value and the remedy."""


@dataclass(frozen=True)
class Job:
    """A job's folder and what can be asked of it. Everything is read from disk at the time of asking."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def run(self) -> Path:
        """Run folder of vae.training.run_folder."""
        return self.folder / "run"

    @property
    def info(self) -> dict[str, Any]:
        """What was asked for: title, name of the bundle to be, device, created (seconds since 1970)."""
        return read_json(self.folder / "job.json")

    @property
    def title(self) -> str:
        return str(self.info.get("title") or self.id)

    @property
    def name(self) -> str:
        """Name of the bundle that the job makes."""
        return str(self.info.get("name", ""))

    @property
    def device(self) -> str:
        return str(self.info.get("device", "cpu"))

    @property
    def recipe(self) -> Recipe:
        """The recipe. Raises JobError where config.json is damaged."""
        try:
            values = json.loads((self.run / "config.json").read_text("utf-8"))
            return Recipe.from_dict({k: v for k, v in values.items() if k != "format"})
        except (OSError, ValueError, AttributeError, ConfigError) as error:
            raise JobError(f"the settings of {self.title} cannot be read ({error}); delete the job") from None

    @property
    def locked(self) -> bool:
        """Whether a process holds the job's lock."""
        with contextlib.suppress(OSError), open(self.folder / "lock", "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @property
    def progress(self) -> dict[str, Any]:
        """status.json of the run: state, step, images, seconds, progress 0..1, seconds_left, images_per_s."""
        return read_json(self.run / "status.json")

    @property
    def in_terminal(self) -> bool:
        """Whether somebody trains this run from a terminal of this machine, such as with torchrun."""
        now = self.progress
        return now.get("state") in ("reading", "running", "paused") and not self.locked and is_running(now.get("pid"))

    @property
    def state(self) -> str:
        """One of LIVE or ENDED. A job that ended without a word is "interrupted"."""
        return self.status["state"]

    @property
    def alive(self) -> bool:
        """Whether a process is at work on it."""
        return self.state in LIVE

    @property
    def status(self) -> dict[str, Any]:
        """state, note (a sentence or ""), since, queued_at."""
        locked = self.locked  # asked first: a process writes its last state before it lets go
        found = {"state": "interrupted", "note": "", "since": 0.0, **read_json(self.folder / "state.json")}
        now = self.progress
        if locked:
            return (
                found | {"state": now.get("state", "reading")}
                if found["state"] == "running"
                and (now.get("state") in ("reading", "running", "paused") and now.get("time", 0) >= found["since"])
                else found | {"state": "reading" if found["state"] == "running" else found["state"]}
            )
        if now.get("time", 0) > found["since"] and found["state"] not in LIVE:  # it was trained from a terminal
            if now.get("state") in ("finished", "stopped", "failed", "interrupted"):
                return found | {"state": now["state"], "note": str(now.get("message", "")), "since": now["time"]}
            if self.in_terminal:
                return found | {
                    "state": now["state"],
                    "note": "It is being trained from a terminal.",
                    "since": now["time"],
                }
        if found["state"] in LIVE:
            at = "while it waited for its turn" if found["state"] == "queued" else "without a word"
            remedy = "Resume goes on from the last checkpoint." if self.can_resume else "Resume starts it anew."
            note = f"The process ended {at}: it was killed, the machine went down or the memory ran out. {remedy}"
            return found | {"state": "interrupted", "note": note}
        return found

    @property
    def can_resume(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return (self.run / "checkpoint.safetensors").is_file()

    @property
    def bundle(self) -> Path | None:
        """Folder of the bundle it made, if there is one."""
        path = models_home() / self.name
        return path if NAME.fullmatch(self.name) and (path / "config.json").is_file() else None

    def log(self, most: int = 4000) -> str:
        """The end of what the process printed."""
        with contextlib.suppress(OSError), open(self.folder / "log.txt", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - most))
            return file.read().decode("utf-8", "replace")
        return ""

    # -------------------------------------------------------- orders

    def start(self) -> None:
        """Start the process, or start it again from the last checkpoint. Raises JobError if it is at work already."""
        if self.in_terminal:
            raise JobError(f"{self.title} is being trained from a terminal; end it there first")
        with open(self.folder / "lock", "ab") as lock:
            for _ in range(10):  # somebody who only looks holds the lock for a moment
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(0.03)
            else:
                raise JobError(f"{self.title} is at work already; wait for it or stop it first")
            for orders in (self.folder / "orders.json", self.run / "control.json"):
                orders.unlink(missing_ok=True)
            write_state(self.folder, "queued", queued_at=time.time())
            with open(self.folder / "log.txt", "ab") as log:
                command = [sys.executable, "-u", "-m", "vae.jobs.worker", "run", str(self.folder), str(lock.fileno())]
                # The child inherits the lock, which is so never free between this process and that one.
                child = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),
                    env=children.environment(),
                )
            note_process(self.folder, child.pid)
        _children[:] = [c for c in _children if c.poll() is None] + [child]

    def _order(self, **orders: Any) -> None:
        """Leave orders for the training loop; those of earlier stay. The job's process hands them on."""
        values = {**read_json(self.folder / "orders.json"), **orders}
        write_json(self.folder / "orders.json", values)
        if self.in_terminal:
            write_json(self.run / "control.json", values)

    @property
    def orders(self) -> dict[str, Any]:
        """What was asked of it last: command "run", "pause" or "stop", and beta."""
        return read_json(self.folder / "orders.json")

    def pause(self) -> None:
        """Hold after the current step; the process keeps its memory and its place on the device."""
        self._order(command="pause")

    def resume(self) -> None:
        """Go on after a pause, or from the last checkpoint after any end."""
        if self.locked or self.in_terminal:
            self._order(command="run")
        else:
            self.start()

    def stop(self) -> None:
        """End after the current step and keep what there is: a checkpoint and a bundle."""
        self._order(command="stop")

    def set_beta(self, beta: float) -> None:
        """Change the weight of the KL from the next step on."""
        if not 0 <= beta <= 1000:
            raise JobError(f"beta = {beta} is out of range; use 0 to 1000")
        self._order(beta=float(beta))

    def end(self, patience: float = 10.0) -> None:
        """End the process without a bundle: ask it, and kill it when it does not answer within `patience` seconds."""
        if self.in_terminal:
            raise JobError(f"{self.title} is being trained from a terminal; end it there first")
        for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            self._signal(number)
            deadline = time.monotonic() + wait
            while time.monotonic() < deadline:
                if not self.locked:
                    return
                time.sleep(0.05)
        if self.locked:
            raise JobError(f"the process of {self.title} does not end; end it by hand and try again")

    def _signal(self, number: int) -> None:
        """Signal the process group; only while the lock is held and the process is the one that was noted."""
        found = read_json(self.folder / "process.json")
        pid = found.get("pid")
        if self.locked and isinstance(pid, int) and started_at(pid) == found.get("started"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)


def write_state(folder: Path, state: str, note: str = "", **more: Any) -> None:
    """Write state.json; only for who holds the job's lock. On a full disk the old file is written over in place."""
    path = folder / "state.json"
    values = {**read_json(path), "state": state, "note": note, "since": time.time(), **more}
    text = json.dumps(values).ljust(STATE_BYTES)
    try:
        with replacing(path, durable=True) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        if not disk_is_full(error):
            raise
        with open(path, "r+b") as old:
            old.write(text.encode())


def torchrun_command(job: Job, processes: int = 2, nodes: int = 1) -> str:
    """The shell command that trains the same run on several GPUs or nodes, and goes on from its checkpoint."""
    where = (
        ["--standalone"] if nodes == 1 else [f"--nnodes={nodes}", "--rdzv-backend=c10d", "--rdzv-endpoint=HOST:29500"]
    )
    command = ["torchrun", *where, f"--nproc-per-node={processes}", "-m", "vae", "train", "--out", str(job.run)]
    return shlex.join([*command, "--resume", "--export", job.name])
