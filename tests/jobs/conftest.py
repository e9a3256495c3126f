"""What the tests of jobs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from vae.jobs import jobs


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A user's folder of its own; whatever still runs in it is ended."""
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield tmp_path / "home"
    for job in jobs.list_jobs():
        if job.locked:
            job.end(0.0)
