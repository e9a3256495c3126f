"""Training jobs: processes of their own that outlive the app. No torch here.

A job is a folder, user_home()/runs/ID:

    job.json      what was asked for
    state.json    how it stands; written by the one process that holds the lock
    process.json  the process that was started last
    orders.json   what a person wants of it: pause, stop, another beta
    lock          held (flock) by the job's process for as long as it lives, however it ends
    log.txt       everything that the process printed
    pictures/     pictures handed in for this job, removed with it
    run/          the run folder of vae.training.loop

A lock cannot outlive its process, so a job that says "running" while nobody holds its lock was killed; its last
checkpoint is in the run folder. Jobs for one device line up: each waits in its own process for the device's lock,
so that the queue moves on without the app.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from vae.bundles.contract import NAME
from vae.config import ConfigError, Recipe
from vae.paths import ASSETS, ROOT, user_home

# States in which a process is at work, and those in which none is.
LIVE = ("queued", "reading", "running", "paused", "exporting")
ENDED = ("finished", "stopped", "failed", "interrupted")
DRAFT_HOURS = 24.0
TRASH_DAYS = 7.0
STATE_BYTES = 4096  # state.json is padded, so that it can still be written in place on a full disk
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")

_children: list[subprocess.Popen] = []


class JobError(ValueError):
    """A job, or an order to one, that cannot be; one sentence that names the value and the remedy."""


def runs_home() -> Path:
    """The folder of all jobs."""
    return user_home() / "runs"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write so that a reader, or a crash, finds the old file or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(json.dumps(values, indent=1))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file; empty where there is none, or where it is damaged."""
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


# ---------------------------------------------------------------- one job


@dataclass(frozen=True)
class Job:
    """A job's folder and what can be asked of it. Everything is read from disk at the time of asking."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def run(self) -> Path:
        """Run folder of vae.training.loop."""
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
        return now.get("state") in ("reading", "running", "paused") and not self.locked and _is_running(now.get("pid"))

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
        path = user_home() / "models" / self.name
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
                    env=worker_environment(),
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


def _is_running(pid: Any) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a process that ended and that nobody has asked about yet
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True


def started_at(pid: int) -> str:
    """When a process began, in the system's own unit; "" where that is not known. Tells a pid from its reuse."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def note_process(folder: Path, pid: int) -> None:
    """Remember a job's process; done by who starts it, so that it can be ended before it has said a word."""
    write_json(folder / "process.json", {"pid": pid, "started": started_at(pid)})


def write_state(folder: Path, state: str, note: str = "", **more: Any) -> None:
    """Write state.json; only for who holds the job's lock. On a full disk the old file is written over in place."""
    path = folder / "state.json"
    values = {**read_json(path), "state": state, "note": note, "since": time.time(), **more}
    text = json.dumps(values).ljust(STATE_BYTES)
    temporary = folder / ".state.json.new"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        with open(path, "r+b") as old:
            old.write(text.encode())


def worker_environment() -> dict[str, str]:
    """Environment of a job's process: the app's, with our package on the path."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Threads that spin while they wait for each other cost a step half its speed while somebody uses the app.
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


# ---------------------------------------------------------------- all jobs


def list_jobs() -> list[Job]:
    """All jobs, the newest first."""
    try:
        names = sorted(entry.name for entry in os.scandir(runs_home()) if _ID.fullmatch(entry.name) and entry.is_dir())
    except OSError:
        return []
    return [Job(runs_home() / name) for name in reversed(names)]


def get_job(job_id: str) -> Job:
    """The job of this id. Raises JobError."""
    if not _ID.fullmatch(job_id) or not (runs_home() / job_id).is_dir():
        raise JobError(f"there is no job {job_id[:40]!r}; it may have been deleted")
    return Job(runs_home() / job_id)


def slug(title: str) -> str:
    """A title as a folder's name: letters, digits and dashes."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-")[:48].strip("-").lower()
    return word or "model"


def free_name(title: str) -> str:
    """A bundle name for the title that no bundle and no job has."""
    taken = {job.name for job in list_jobs()}
    for folder in (ASSETS / "models", user_home() / "models"):
        with contextlib.suppress(OSError):
            taken |= {entry.name for entry in os.scandir(folder)}
    base, number = slug(title), 1
    name = base
    while name in taken or not NAME.fullmatch(name):
        number += 1
        name = f"{base}-{number}"
    return name


def create(recipe: Recipe, title: str, device: str = "cpu", draft: Draft | None = None) -> Job:
    """A new job, not started yet. `draft`: pictures handed in, which move into the job's folder. Raises JobError."""
    title = " ".join(title.split())[:80]
    if not title:
        raise JobError("the model has no name; give it one")
    stamp = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    job_id = f"{stamp}-{secrets.token_hex(3)}"
    folder, building = runs_home() / job_id, runs_home() / f".new-{job_id}"
    name = free_name(title)
    recipe = dataclasses.replace(recipe.replace(training={"device": device}), title=title)
    try:
        (building / "run").mkdir(parents=True)
        if draft is not None:
            sources = [
                str(folder / "pictures" / Path(source).relative_to(draft.folder / "pictures"))
                for source in draft.sources
            ]
            os.rename(draft.folder / "pictures", building / "pictures")
            recipe = recipe.replace(data={"sources": sources})
            shutil.rmtree(draft.folder, ignore_errors=True)
        write_json(building / "run" / "config.json", recipe.to_dict())
        write_json(
            building / "job.json",
            {
                "title": title,
                "name": name,
                "device": device,
                "created": time.time(),
                "description": recipe.description,
            },
        )
        write_state(building, "interrupted", "It was prepared and not started.")
        (building / "lock").touch()
        os.rename(building, folder)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise JobError(disk_sentence(error, runs_home())) from None
    return Job(folder)


def disk_sentence(error: OSError, folder: Path) -> str:
    """An error of the file system as a sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = 0
        with contextlib.suppress(OSError):
            free = shutil.disk_usage(folder).free
        return f"the disk is full ({free / 2**20:,.0f} MB free); make room and try again"
    name = Path(str(error.filename or folder)).name
    return f"{name} could not be written or read ({error.strerror or error}); check the disk"


# ---------------------------------------------------------------- pictures handed in


@dataclass(frozen=True)
class Draft:
    """Pictures handed in for a job that is not launched yet."""

    folder: Path

    @property
    def sources(self) -> list[str]:
        """What DataConfig.sources names: each zip, and the folder of single pictures."""
        pictures = self.folder / "pictures"
        zips = [str(path) for path in sorted(pictures.glob("*.zip"))]
        return zips + ([str(pictures / "single")] if (pictures / "single").is_dir() else [])

    def remove(self) -> None:
        """Remove the pictures from the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def new_draft(files: Sequence[tuple[str, IO[bytes]]]) -> Draft:
    """Store files handed in, zips and single pictures, until the job is launched. Raises JobError."""
    purge_drafts()
    folder = runs_home() / ".drafts" / secrets.token_hex(12)
    draft = Draft(folder)
    try:
        (folder / "pictures").mkdir(parents=True)
        for number, (name, file) in enumerate(files):
            # Of the stranger's name only the ending and harmless letters are kept, so it can lead nowhere.
            stem, suffix = slug(Path(name).stem), Path(name).suffix.lower()
            if suffix == ".zip":
                target = folder / "pictures" / f"{number:05d}-{stem}.zip"
            else:
                target = (
                    folder
                    / "pictures"
                    / "single"
                    / f"{number:05d}-{stem}{suffix if re.fullmatch(r'[.][a-z0-9]{1,5}', suffix) else ''}"
                )
                target.parent.mkdir(exist_ok=True)
            with open(target, "wb") as out:
                shutil.copyfileobj(file, out, 1 << 20)
    except OSError as error:
        draft.remove()
        raise JobError(disk_sentence(error, runs_home())) from None
    return draft


def purge_drafts(hours: float = DRAFT_HOURS) -> None:
    """Remove pictures that were handed in and never used."""
    _purge(runs_home() / ".drafts", hours * 3600)


def _purge(folder: Path, seconds: float) -> None:
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime > seconds:
                    shutil.rmtree(entry.path, ignore_errors=True)


# ---------------------------------------------------------------- the queue of a device


@contextlib.contextmanager
def device_lock(device: str, job: Job, give_up: Any) -> Iterator[bool]:
    """Wait for a turn on the device, oldest first; yields False when `give_up()` became true before that."""
    folder = runs_home() / ".devices"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / re.sub(r"\W", "-", device), "ab") as lock:
        while not give_up():
            if not _older(job, device):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield True
                    return
            time.sleep(0.2)
        yield False


def _older(job: Job, device: str) -> bool:
    """Whether a living job waits for the device longer than this one."""
    mine = (read_json(job.folder / "state.json").get("queued_at", 0), job.id)
    for other in list_jobs():
        if other.id == job.id or other.device != device:
            continue
        status = other.status
        if status["state"] == "queued" and (status.get("queued_at", 0), other.id) < mine:
            return True
    return False


# ---------------------------------------------------------------- questions to a short-lived process


def ask(question: str, values: Mapping[str, Any], timeout: float = 120.0) -> dict[str, Any]:
    """Have a process of its own look at data or take trial steps; the UI process never imports torch.

    question: "machine", "inspect" or "trial" (see vae.jobs.worker). Raises JobError with the process's sentence.
    """
    command = [sys.executable, "-m", "vae.jobs.worker", question]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(values).encode(),
            capture_output=True,
            timeout=timeout,
            cwd=ROOT,
            env=worker_environment(),
        )
    except subprocess.TimeoutExpired:
        raise JobError(f"looking at it took more than {timeout:.0f} s; try fewer pictures or a smaller model") from None
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        answer = {"error": died(done.returncode)}
    if "error" in answer:
        raise JobError(str(answer["error"]))
    return answer


def died(code: int) -> str:
    """A process that ended without an answer, as a sentence."""
    if code == -signal.SIGKILL:
        return (
            "the process was killed, most likely because the memory ran out; choose a smaller batch or smaller pictures"
        )
    return f"the process ended unexpectedly (code {code}); the log has the details"


@lru_cache(maxsize=1)
def machine() -> dict[str, Any]:
    """cores, memory (bytes), devices: [{id, title, memory}], the best first. Asked once an app."""
    return ask("machine", {}, 120)


def torchrun_command(job: Job, processes: int = 2, nodes: int = 1) -> str:
    """The shell command that trains the same run on several GPUs or nodes, and goes on from its checkpoint."""
    where = (
        ["--standalone"] if nodes == 1 else [f"--nnodes={nodes}", "--rdzv-backend=c10d", "--rdzv-endpoint=HOST:29500"]
    )
    command = ["torchrun", *where, f"--nproc-per-node={processes}", "-m", "vae", "train", "--out", str(job.run)]
    return shlex.join([*command, "--resume", "--export", job.name])
