"""Refine faces: the app's side of the worker process that fits style offsets to photos. No torch here.

A Refiner keeps one worker (`python -m vae.photos.refine_worker`) and talks to it over its standard input and output, in
frames (vae.photos.frames). Pictures never touch the disk.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vae import children
from vae.photos.feature import Feature
from vae.photos.frames import read_frame, write_frame
from vae.photos.refine_job import FINISHED, Job, Step

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

STEPS, STEPS_CURVED = 74, 64  # without and with the curvature of the offsets: the same likeness
MAX_STEPS = 500
MAX_IMAGES = 8
MAX_WAITING = 16
KEPT_JOBS = 16
IDLE_SECONDS = 300.0


class RefineError(ValueError):
    """A request that cannot be refined; the message is a sentence for the user."""


def usual_steps(bundle: Bundle) -> int:
    """Steps after which a photo is refined."""
    return STEPS_CURVED if bundle.curved else STEPS


def _checked(bundle: Bundle, delta: np.ndarray, count: int) -> np.ndarray:
    """Style offsets to begin at, as little-endian float32 (n, L, S). Raises RefineError."""
    shape = (count, bundle.levels, bundle.style_size)
    if delta.shape != shape or delta.dtype.kind not in "fiu" or not np.isfinite(delta).all():
        found = f"{delta.dtype} {delta.shape}"
        raise RefineError(f"The offsets must be finite numbers {shape}, not {found}; encode the crops first.")
    return np.ascontiguousarray(delta, "<f4")


class _Worker:
    """One process and the thread that reads what it says."""

    def __init__(self, refiner: Refiner):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vae.photos.refine_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=children.environment(),
        )
        self.jobs: dict[str, Job] = {}
        self._refiner = refiner
        self._writing = threading.Lock()
        threading.Thread(target=self._read, name="refine-reader", daemon=True).start()

    def send(self, header: Mapping[str, Any], payload: bytes = b"") -> bool:
        """Whether the worker's pipe took the frame."""
        try:
            with self._writing:
                write_frame(self.process.stdin, header, payload)
            return True
        except (OSError, ValueError):  # it has ended; the reading thread sees to its jobs
            return False

    def stop(self) -> None:
        """End the process: it leaves when its input closes, and is killed when it does not."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read(self) -> None:
        try:
            while (frame := read_frame(self.process.stdout)) is not None:
                self._refiner._heard(self, *frame)
        except (OSError, ValueError, KeyError):
            self.process.kill()
        code = self.process.wait()
        self.process.stdout.close()
        self._refiner._ended(self, code)


class Refiner:
    """Keeps one warm worker process, started by prewarm() or the first job and ended when idle. Thread-safe."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS):
        self.idle_seconds = idle_seconds
        self._lock = threading.RLock()
        self._worker: _Worker | None = None
        self._timer: threading.Timer | None = None
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    @property
    def running(self) -> bool:
        """Whether a worker process is alive."""
        with self._lock:
            return self._worker is not None and self._worker.process.poll() is None

    def prewarm(self, bundle: Bundle | None = None) -> None:
        """Start the worker, and let it load a bundle's weights and make a trial step. Returns at once."""
        with self._lock:
            worker = self._alive()
            self._rest()
        if bundle is not None and bundle.levels:
            worker.send({"op": "load", "bundle": str(bundle.path), "digest": bundle.digest})

    def start(
        self,
        bundle: Bundle,
        images: np.ndarray,
        z: np.ndarray,
        steps: int | None = None,
        delta: np.ndarray | None = None,
    ) -> Job:
        """Refine n crops uint8 (n, s, s, c) from their codes z (n, d), as one batch. Raises RefineError.

        steps: usual_steps(bundle) where none are given. delta: style offsets (n, L, S) to begin at, those that the
        encoder read (vae.bundles.bundle.Bundle.encode_with_offsets); None begins at 0.
        """
        if steps is None:
            steps = usual_steps(bundle)
        if not bundle.levels:
            raise RefineError(f"{bundle.name} has no style levels to refine; choose one that has, such as faces-128.")
        images = np.asarray(images)
        z = np.asarray(z)
        shape = (bundle.image_size, bundle.image_size, bundle.channels)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape:
            found = f"{images.dtype} {images.shape}"
            raise RefineError(f"The crops must be uint8 (n, {', '.join(map(str, shape))}), not {found}; align first.")
        if not 1 <= len(images) <= MAX_IMAGES:
            raise RefineError(f"{len(images)} photos cannot be refined at once; give 1 to {MAX_IMAGES}.")
        if z.shape != (len(images), bundle.latent_size) or z.dtype.kind not in "fiu" or not np.isfinite(z).all():
            wanted = f"finite numbers ({len(images)}, {bundle.latent_size})"
            raise RefineError(f"The codes must be {wanted}, not {z.dtype} {z.shape}; encode the crops first.")
        start = b"" if delta is None else _checked(bundle, np.asarray(delta), len(images)).tobytes()
        if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or not 1 <= steps <= MAX_STEPS:
            raise RefineError(f"The number of steps is {steps}; use 1 to {MAX_STEPS}.")
        job = Job(len(images), int(steps), self._cancelled)
        header = {
            "op": "refine", "job": job.id, "bundle": str(bundle.path), "digest": bundle.digest,
            "shape": list(images.shape), "latent": bundle.latent_size, "steps": int(steps),
        }  # fmt: skip
        payload = np.ascontiguousarray(images).tobytes() + np.ascontiguousarray(z, "<f4").tobytes() + start
        with self._lock:
            worker = self._alive()
            if sum(not other.finished for other in worker.jobs.values()) >= MAX_WAITING:
                raise RefineError(f"{MAX_WAITING} other photos are waiting to be refined; try again in a minute.")
            worker.jobs[job.id] = job
            self._jobs[job.id] = job
            self._forget()
            self._rest()
        worker.send(header, payload)
        return job

    def get(self, job_id: str) -> Job | None:
        """A job of this Refiner by its id; the last 16 are remembered."""
        with self._lock:
            return self._jobs.get(job_id)

    def close(self) -> None:
        """End the worker and fail what it was doing. A later job starts a new one."""
        with self._lock:
            worker, self._worker = self._worker, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if worker is not None:
            worker.stop()
            for job in list(worker.jobs.values()):
                job.end("failed", "Refining was ended with the app; start it again.")

    def __enter__(self) -> Refiner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _alive(self) -> _Worker:
        if self._worker is None or self._worker.process.poll() is not None:
            try:
                self._worker = _Worker(self)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise RefineError(f"The refining process cannot be started ({reason}); free memory first.") from None
        return self._worker

    def _forget(self) -> None:
        """Drop the oldest ended jobs beyond those kept."""
        for job_id in [job_id for job_id, job in self._jobs.items() if job.finished]:
            if len(self._jobs) <= KEPT_JOBS:
                return
            del self._jobs[job_id]

    def _rest(self) -> None:
        """Count the idle time from now."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(self.idle_seconds, self._idle)
        self._timer.daemon = True
        self._timer.start()

    def _idle(self) -> None:
        with self._lock:
            worker = self._worker
            if worker is None or any(not job.finished for job in worker.jobs.values()):
                return
            self._worker = None
        worker.stop()

    def _cancelled(self, job: Job) -> None:
        with self._lock:
            worker = self._worker
        if worker is not None and job.id in worker.jobs:
            worker.send({"op": "cancel", "job": job.id})

    def _heard(self, worker: _Worker, header: dict[str, Any], payload: bytes) -> None:
        """A frame from the worker, in its reading thread."""
        job = worker.jobs.get(header.get("job"))
        if job is None:
            return
        op = header["op"]
        if op == "started":
            job.run()
        elif op == "step":
            job.add(_step(header, payload))
        elif op in FINISHED:
            job.end(op, header.get("error"))
            with self._lock:
                del worker.jobs[job.id]
                self._rest()

    def _ended(self, worker: _Worker, code: int) -> None:
        """The worker's output closed: what it had not finished has failed."""
        with self._lock:
            if self._worker is worker:
                self._worker = None
        for job in list(worker.jobs.values()):
            job.end("failed", f"The refining process ended unexpectedly (exit code {code}); start the refining again.")
        worker.jobs.clear()


def _step(header: Mapping[str, Any], payload: bytes) -> Step:
    """A worker's frame as a Step: style offsets, pictures and, at the end, offsets and anchors of features."""
    arrays, at = {}, 0
    for name, dtype in (("delta", "<f4"), ("pictures", np.uint8), ("offset", "<f2"), ("anchor", "<f2")):
        shape = header[name]
        count = math.prod(shape)
        arrays[name] = np.frombuffer(payload, dtype, count, at).reshape(shape)
        at += count * np.dtype(dtype).itemsize
    features = tuple(Feature(offset, anchor) for offset, anchor in zip(arrays["offset"], arrays["anchor"]))
    quality = np.array(header["psnr"], np.float32)
    pictures = arrays["pictures"] if arrays["pictures"].size else None
    return Step(header["step"], header["total"], quality, arrays["delta"], pictures, features)
