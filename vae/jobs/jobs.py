"""All jobs: list, find and make them. No torch here."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import shutil
import time
from datetime import datetime, timezone
from pathlib import Path

from vae.bundles.contract import NAME
from vae.config import Recipe
from vae.jobs.drafts import Draft
from vae.jobs.folders import disk_sentence, models_home, runs_home, slug, untaken, write_json
from vae.jobs.job import Job, JobError, write_state
from vae.paths import ASSETS

ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")  # of a job: day, time and six digits by chance


def list_jobs() -> list[Job]:
    """All jobs, the newest first."""
    try:
        names = sorted(entry.name for entry in os.scandir(runs_home()) if ID.fullmatch(entry.name) and entry.is_dir())
    except OSError:
        return []
    return [Job(runs_home() / name) for name in reversed(names)]


def get_job(job_id: str) -> Job:
    """The job of this id. Raises JobError."""
    if not ID.fullmatch(job_id) or not (runs_home() / job_id).is_dir():
        raise JobError(f"there is no job {job_id[:40]!r}; it may have been deleted")
    return Job(runs_home() / job_id)


def free_name(title: str) -> str:
    """A bundle name for the title that no bundle and no job has."""
    taken = {job.name for job in list_jobs()}
    for folder in (ASSETS / "models", models_home()):
        with contextlib.suppress(OSError):
            taken |= {entry.name for entry in os.scandir(folder)}
    return untaken(slug(title), lambda name: name in taken or not NAME.fullmatch(name))


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
