"""What the tests of jobs share."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.jobs.making import wait
from vae.jobs import jobs
from vae.jobs.job import JobError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A user's folder of its own; whatever still runs in it is ended."""
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield tmp_path / "home"
    for job in jobs.list_jobs():
        if job.locked:
            with contextlib.suppress(JobError):  # a process may take longer to go than end() has patience
                job.end(0.0)
            wait(lambda: not job.locked)
