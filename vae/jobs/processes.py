"""Processes of jobs, as the system sees them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from vae.jobs.folders import write_json


def _stat(pid: int) -> list[str]:
    """What the system says of a process after its name, which may hold blanks and brackets. Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def is_running(pid: Any) -> bool:
    """Whether a process of this number is at work."""
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a process that ended and that nobody has asked about yet
        return _stat(pid)[0] != "Z"
    except (OSError, IndexError):
        return True


def started_at(pid: int) -> str:
    """When a process began, in the system's own unit; "" where that is not known. Tells a pid from its reuse."""
    try:
        return _stat(pid)[19]
    except (OSError, IndexError):
        return ""


def note_process(folder: Path, pid: int) -> None:
    """Remember a job's process; done by who starts it, so that it can be ended before it has said a word."""
    write_json(folder / "process.json", {"pid": pid, "started": started_at(pid)})


def died(code: int) -> str:
    """A process that ended without an answer, as a sentence."""
    if code == -signal.SIGKILL:
        return (
            "the process was killed, most likely because the memory ran out; choose a smaller batch or smaller pictures"
        )
    return f"the process ended unexpectedly (code {code}); the log has the details"
