"""The Lab's work in processes of their own, one job after another in each. The app's side, no torch.

Two lanes: what a person waits for, and what takes longer. A lane's process (`python -m vae.evaluation.lab_worker`) gets
frames (vae.photos.frames) on its standard input and answers on its standard output; it is started by the first job and
ended when idle. Cancelling ends the process in the middle of what it does: nothing else is sure to stop it at once.
Pictures never touch the disk.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vae import children
from vae.paths import user_home
from vae.photos.frames import read_frame, write_frame

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

FINISHED = ("done", "cancelled", "failed")
MAX_WAITING = 16
KEPT = 32
KEPT_SECONDS = 600.0
IDLE_SECONDS = 300.0


class LabError(ValueError):
    """Work that cannot be done; the message is a sentence for the user."""


class LabJob:
    """One piece of work. state: waiting, running, done, cancelled or failed; result: plain values, when done."""

    def __init__(self, header: Mapping[str, Any], payload: bytes, lane: Lane):
        self.id = secrets.token_urlsafe(16)
        self.header, self.payload, self.lane = {**header, "job": self.id}, payload, lane
        self.state, self.share, self.stage, self.error = "waiting", 0.0, "Waiting", ""
        self.result: dict[str, Any] | None = None
        self.started = time.monotonic()
        self._changed = threading.Condition()

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return self.state in FINISHED

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end -> whether it has come."""
        with self._changed:
            return self._changed.wait_for(lambda: self.finished, timeout)

    def cancel(self) -> None:
        """Stop it, wherever it is; does nothing after the end."""
        if self.end("cancelled"):
            self.lane.drop(self)

    def tell(self, share: float, stage: str) -> None:
        """The worker has come so far."""
        with self._changed:
            if not self.finished:
                self.state, self.share, self.stage = "running", max(self.share, min(1.0, share)), stage
                self._changed.notify_all()

    def end(self, state: str, error: str = "", result: dict[str, Any] | None = None) -> bool:
        """Enter one of FINISHED -> whether it had not ended before."""
        with self._changed:
            if self.finished:
                return False
            self.state, self.error, self.result, self.payload = state, error, result, b""
            self._changed.notify_all()
            return True

    def report(self) -> dict[str, Any]:
        """For the page."""
        seconds = round(time.monotonic() - self.started, 1)
        return {
            "job": self.id, "state": self.state, "share": round(self.share, 3), "stage": self.stage,
            "seconds": seconds, "error": self.error, "result": self.result,
        }  # fmt: skip


class Lane:
    """A process and the jobs that wait for it. Thread-safe."""

    def __init__(self, name: str, idle_seconds: float = IDLE_SECONDS):
        self.name, self.idle_seconds = name, idle_seconds
        self._lock = threading.Condition()
        self._waiting: deque[LabJob] = deque()
        self._current: LabJob | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def running(self) -> bool:
        """Whether its process is alive."""
        process = self._process
        return process is not None and process.poll() is None

    def add(self, header: Mapping[str, Any], payload: bytes = b"") -> LabJob:
        """Queue a job. Raises LabError where too many wait."""
        job = LabJob(header, payload, self)
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                raise LabError(f"{MAX_WAITING} other measurements are waiting; try again in a minute.")
            self._closed = False
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"lab-{self.name}", daemon=True)
                self._thread.start()
            self._lock.notify_all()
        return job

    def drop(self, job: LabJob) -> None:
        """A job was cancelled: end the process if it was at it."""
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
            process = self._process if self._current is job else None
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the process and what waits."""
        with self._lock:
            self._closed = True
            jobs = [*self._waiting, *([self._current] if self._current else [])]
            self._waiting.clear()
            process = self._process
            self._lock.notify_all()
        for job in jobs:
            job.end("failed", "The app is ending; start the measurement again.")
        if process is not None:
            process.kill()
            process.wait()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._lock.wait_for(lambda: self._waiting or self._closed, self.idle_seconds) or self._closed:
                    self._thread = None
                    self._stop()
                    return
                job = self._current = self._waiting.popleft()
            try:
                self._do(job)
            except Exception as error:  # whatever it is, the page must hear of it
                job.end("failed", f"The measuring process cannot be used ({type(error).__name__}); try again.")
            with self._lock:
                self._current = None

    def _stop(self) -> None:
        """The process leaves when its input closes."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if not self.running:
            self._stop()
            command = [sys.executable, "-m", "vae.evaluation.lab_worker"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=children.environment()
            )
        return self._process

    def _do(self, job: LabJob) -> None:
        process = self._started()
        if job.finished:
            return
        job.tell(0.0, "Starting")
        with contextlib.suppress(OSError):
            write_frame(process.stdin, job.header, job.payload)
        while (frame := read_frame(process.stdout)) is not None:
            told = frame[0]
            if told["op"] == "progress":
                job.tell(told["share"], told["stage"])
                continue
            if told["op"] == "done":
                job.end("done", result=told["result"])
            else:
                job.end("failed", told["error"])
            return
        code = process.wait()
        job.end("failed", f"The measuring process ended unexpectedly (exit code {code}); start the measurement again.")


class Workshop:
    """Both lanes, and the jobs that pages may still ask for."""

    LONG = ("fit", "curves", "table", "mode", "fill_mode", "dimensions", "sliders", "study", "pair")

    def __init__(self) -> None:
        self.quick, self.slow = Lane("quick"), Lane("slow")
        self._jobs: OrderedDict[str, LabJob] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, bundle: Bundle, op: str, args: Mapping[str, Any], **arrays: np.ndarray) -> LabJob:
        """Begin a piece of work of vae.evaluation.lab_worker. Raises LabError."""
        shapes = [[name, list(array.shape), str(array.dtype)] for name, array in arrays.items()]
        header = {
            "op": op, "bundle": str(bundle.path), "digest": bundle.digest, "args": dict(args), "arrays": shapes,
            "home": str(user_home()),
        }  # fmt: skip
        lane = self.slow if op in self.LONG else self.quick
        job = lane.add(header, b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values()))
        with self._lock:
            self._jobs[job.id] = job
            ended = [one for one, found in self._jobs.items() if found.finished]
            stale = [one for one in ended if time.monotonic() - self._jobs[one].started > KEPT_SECONDS]
            for old in {*stale, *ended[: max(0, len(self._jobs) - KEPT)]}:
                del self._jobs[old]
        return job

    def forget(self, job: LabJob) -> None:
        """Drop a job whose result was handed over: it holds a visitor's pictures."""
        with self._lock:
            self._jobs.pop(job.id, None)

    def prewarm(self, bundle: Bundle) -> None:
        """Let the quick lane load the model and what it measures with."""
        with contextlib.suppress(LabError):
            self.start(bundle, "warm", {})

    def get(self, job_id: str) -> LabJob | None:
        """A job by its id, as long as its result was not handed over."""
        with self._lock:
            return self._jobs.get(job_id)

    def close(self) -> None:
        """End both processes."""
        self.quick.close()
        self.slow.close()
