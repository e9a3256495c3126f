"""The files by which a run is watched and steered.

A run folder holds config.json (the Recipe), metrics.jsonl (a JSON object a line, `kind` says what),
checkpoint.safetensors (see vae.training.checkpoint), status.json (what goes on now), sheets/ (pictures at
each validation), `done` once the run has ended, and control.json while somebody steers:
{"command": "run" | "pause" | "stop", "beta": number, "kl_target": number}, all optional.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from pathlib import Path
from typing import Any

from vae.files import replacing, write_json

POLL_SECONDS = 0.25  # how often a run looks for orders


class RunFolder:
    """The files that a run writes. Only the first process writes; for the others every call does nothing."""

    def __init__(self, path: Path, writes: bool):
        self.path, self.writes, self._status_at = path, writes, -math.inf
        if writes:
            path.mkdir(parents=True, exist_ok=True)

    def metric(self, **values: Any) -> None:
        """Add a line to metrics.jsonl. Raises ValueError for a number that is not finite."""
        if self.writes:
            with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(values, allow_nan=False) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop metrics that a resumed run will write again."""
        path = self.path / "metrics.jsonl"
        if not self.writes or not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a crash may leave half a line
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
        with replacing(path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")

    def status(self, state: str, force: bool = True, **values: Any) -> None:
        """Say in status.json what goes on now; unless it is forced, once a second at most."""
        now = time.monotonic()
        if self.writes and (force or now - self._status_at > 1):
            self._status_at = now
            write_json(self.path / "status.json", {"state": state, "pid": os.getpid(), "time": time.time(), **values})


class Control:
    """What control.json asks for, read again only when the file has changed.

    command: "run", "pause" or "stop". beta, target (nats per image): what was set, below 0 while nothing was.
    """

    def __init__(self, path: Path):
        self.path, self.command, self.beta, self.target = path, "run", -1.0, -1.0
        self._seen: tuple[int, int] | None = None
        self._next = 0.0

    def poll(self) -> str | None:
        """Look at the file, seldom. Answers a sentence where its content cannot be used."""
        now = time.monotonic()
        if now < self._next:
            return None
        self._next = now + POLL_SECONDS
        try:
            info = os.stat(self.path)
            if (info.st_mtime_ns, info.st_size) == self._seen:
                return None
            self._seen = (info.st_mtime_ns, info.st_size)
            values = json.loads(self.path.read_text(encoding="utf-8"))
            command = values.get("command", "run")
            numbers = {key: values.get(key) for key in ("beta", "kl_target")}
            if command not in ("run", "pause", "stop"):
                return f"control.json asks for {command!r}; it can ask for run, pause or stop"
            for key, number in numbers.items():
                if number is not None and (
                    isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < 1e6
                ):
                    return f"control.json sets {key} to {number!r}; use a number from 0 to a million"
            if numbers["kl_target"] == 0:
                return "control.json sets kl_target to 0; use a number of nats above 0"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError):
            return "control.json is not a JSON object; write one as a whole"
        self.command = command
        self.beta = self.beta if numbers["beta"] is None else float(numbers["beta"])
        self.target = self.target if numbers["kl_target"] is None else float(numbers["kl_target"])
        return None
