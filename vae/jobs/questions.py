"""Questions to a short-lived process (vae.jobs.answers): about the machine, the pictures, the cost. No torch here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from vae import children
from vae.jobs.job import JobError
from vae.jobs.processes import died
from vae.paths import ROOT


def ask(question: str, values: Mapping[str, Any], timeout: float = 120.0) -> dict[str, Any]:
    """Have a process of its own look at data or take trial steps; the UI process never imports torch.

    question: "machine", "inspect" or "trial" (see vae.jobs.answers). Raises JobError with the process's sentence.
    """
    command = [sys.executable, "-m", "vae.jobs.worker", question]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(values).encode(),
            capture_output=True,
            timeout=timeout,
            cwd=ROOT,
            env=children.environment(),
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


@lru_cache(maxsize=1)
def machine() -> dict[str, Any]:
    """cores, memory (bytes), devices: [{id, title, memory}], the best first. Asked once an app."""
    return ask("machine", {}, 120)
