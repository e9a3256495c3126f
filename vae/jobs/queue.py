"""The queue of a device: jobs wait in their own processes, the oldest goes first."""

from __future__ import annotations

import contextlib
import fcntl
import re
import time
from collections.abc import Iterator
from typing import Any

from vae.jobs.folders import read_json, runs_home
from vae.jobs.job import Job
from vae.jobs.jobs import list_jobs


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
