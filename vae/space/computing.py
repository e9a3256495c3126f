"""What takes long, in processes of their own: UMAP, t-SNE and round-trip errors. The app's side; the other is
vae.space.worker."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from vae import children
from vae.paths import ROOT
from vae.space.errors import AtlasError
from vae.space.kept import cache_file
from vae.space.views import SETTINGS, TITLES

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

FEW_CODES = 2000


class Computation:
    """UMAP, t-SNE or round-trip errors of one model, in a process; the result lies in the cache when it ends well."""

    def __init__(self, bundle: Bundle, name: str):
        self.bundle_path, self.name = bundle.path, name
        self.target = cache_file(bundle, name)
        self.progress, self.stage, self.state, self.error = 0.0, "Starting", "running", ""
        self.started = time.monotonic()
        # For few codes one thread is the fastest.
        threads = {"OMP_NUM_THREADS": "1"} if len(bundle.codes) <= FEW_CODES else {}
        command = [sys.executable, "-m", "vae.space.worker", name, str(bundle.path), str(self.target)]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=children.environment(**threads),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._tail: list[str] = []
        # Drained beside stdout: a full pipe would stop the process.
        self._errors = threading.Thread(target=self._listen, daemon=True)
        self._errors.start()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for line in self._process.stderr:
            self._tail = [*self._tail, line.strip()][-20:]

    def _follow(self) -> None:
        for line in self._process.stdout:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                told = json.loads(line)
                self.progress, self.stage = max(self.progress, float(told["progress"])), str(told["stage"])
        code = self._process.wait()
        self._errors.join(5)
        if self.state == "cancelled":
            return
        if code == 0 and self.target.is_file():
            self.progress, self.state = 1.0, "done"
        else:
            self.state = "failed"
            last = next((line for line in reversed(self._tail) if line), f"it ended with status {code}")
            self.error = (
                f"The computation of {self.name} failed ({last[:160].rstrip('.')}); try again, or choose another view."
            )

    def cancel(self) -> None:
        """End it; the cache keeps nothing of it."""
        if self.state == "running":
            self.state = "cancelled"
            self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> str:
        """The state after the end, or after `timeout` seconds."""
        self._thread.join(timeout)
        return self.state

    def report(self) -> dict[str, Any]:
        """For the page: state, progress from 0 to 1, stage, seconds so far, error."""
        seconds = round(time.monotonic() - self.started, 1)
        return {
            "state": self.state,
            "progress": round(self.progress, 3),
            "stage": self.stage,
            "seconds": seconds,
            "error": self.error,
        }


_running: dict[str, Computation] = {}
_running_lock = threading.Lock()


def compute(bundle: Bundle, name: str) -> Computation:
    """Start a computation ("umap-15", "tsne-30", "error"), or join the one that runs. Raises AtlasError."""
    kind, _, setting = name.partition("-")
    if not (name == "error" or (kind in SETTINGS and setting in map(str, SETTINGS[kind]))):
        raise AtlasError(f"There is no computation {name[:60]!r}; choose a view that the map offers.")
    if kind in SETTINGS and len(bundle.codes) < 10:
        raise AtlasError(f"{bundle.name} holds {len(bundle.codes)} codes, too few for {TITLES[kind]}; use PCA.")
    key = str(cache_file(bundle, name))
    with _running_lock:
        found = _running.get(key)
        if found is None or found.state != "running":
            if sum(job.state == "running" for job in _running.values()) >= 2:
                raise AtlasError("Two computations run already; wait for one of them, or cancel it.")
            found = _running[key] = Computation(bundle, name)
        return found


def computation(bundle: Bundle, name: str) -> Computation | None:
    """The computation of this name that runs or has ended in this process, if any."""
    return _running.get(str(cache_file(bundle, name)))


def close() -> None:
    """End every computation that still runs."""
    for job in list(_running.values()):
        job.cancel()
