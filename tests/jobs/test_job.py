"""Jobs: processes that survive, obey, fail with a sentence, and leave whole models behind."""

from __future__ import annotations

import errno
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.jobs.making import in_process, losses, recipe, wait
from vae import children
from vae.bundles.bundle import open_bundle
from vae.config import Recipe
from vae.jobs import folders, jobs, processes, questions, worker
from vae.jobs.job import Job, JobError, torchrun_command

ROOT = Path(__file__).resolve().parents[2]


def test_the_app_side_never_imports_torch():
    code = "import sys, vae.jobs.library, vae.jobs.questions, vae.jobs.watch, vae.jobs.worker\n"
    code += "sys.exit(bool({'torch', 'streamlit'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def kill_and_resume(make: Recipe, kills: int, seed: int) -> Job:
    """Start a job, kill it at random moments, resume it each time, and let it end."""
    job, moments, killed = jobs.create(make, "Killed"), random.Random(seed), 0
    job.start()
    for _ in range(kills):
        if moments.random() < 0.8:  # mostly while it trains; else while it starts
            goal = len(losses(job)) + moments.randrange(40)
            wait(lambda: len(losses(job)) > goal or not job.alive)
        time.sleep(moments.uniform(0.0, 0.1))
        if job.locked:
            os.kill(folders.read_json(job.folder / "process.json")["pid"], signal.SIGKILL)
        wait(lambda: not job.locked)
        if job.state == "finished":  # it was faster than the kill
            break
        killed += 1
        if job.bundle:  # what is there is whole, whenever the kill came
            open_bundle(job.bundle)
        assert job.state == "interrupted" and ("last checkpoint" in job.status["note"] or not job.can_resume)
        (job.run / "status.json").unlink(missing_ok=True)
        job.resume()
    wait(lambda: not job.alive)
    assert killed and job.state == "finished", (job.status, job.log())
    return job


def test_killed_at_random_moments_it_ends_as_if_nothing_had_happened(home, monkeypatch):
    kills = int(os.environ.get("KILLS", "3"))  # each costs seconds: KILLS=20 for a thorough look
    steps = 150 * kills  # enough not to end before the last, as a rule
    make = recipe(steps, log_every=1, validate_every=0, sheets=False)
    plain = jobs.create(make, "Plain")
    assert in_process(plain, monkeypatch) == 0 and plain.state == "finished"
    job = kill_and_resume(make, kills, 5)
    assert losses(job) == losses(plain) and len(losses(job)) == steps
    same = np.load(job.bundle / "codes.npz")["mu"] == np.load(plain.bundle / "codes.npz")["mu"]
    assert same.all()
    assert not list((home / "models").glob(".new-*")), "nothing half-made is left"


def test_two_processes_by_the_shown_command_equal_one(home, monkeypatch):
    one, two = jobs.create(recipe(30), "Alone"), jobs.create(recipe(30), "Shared")
    assert in_process(one, monkeypatch) == 0
    command = shlex.split(torchrun_command(two, 2))
    assert command[0] == "torchrun"
    command = [sys.executable, "-m", "torch.distributed.run", *command[1:]]
    done = subprocess.run(command, cwd=ROOT, env=children.environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert two.state == "finished" and open_bundle(two.bundle)
    a, b = losses(one), losses(two)
    assert a.keys() == b.keys()
    assert max(abs(a[k] - b[k]) / abs(a[k]) for k in a) < 1e-3


def test_a_run_in_a_terminal_is_seen_and_left_alone(home):
    job = jobs.create(recipe(), "Elsewhere")
    folders.write_json(
        job.run / "status.json",
        {"state": "running", "pid": os.getpid(), "time": time.time() + 1, "step": 3, "progress": 0.1},
    )
    assert job.state == "running" and "terminal" in job.status["note"]
    for order in (job.start, job.end):
        with pytest.raises(JobError, match="from a terminal"):
            order()
    job.pause()
    assert folders.read_json(job.run / "control.json") == {"command": "pause"}


@pytest.mark.parametrize(
    "change, sentence",
    [
        (dict(learning_rate=1.0), "not a number at step"),
        (dict(start_from="/nowhere/at/all"), "cannot be read"),
    ],
)
def test_a_failed_training_says_one_sentence(home, monkeypatch, change, sentence):
    asked = recipe(400, **change)
    if "learning_rate" in change:
        asked = asked.replace(objective={"weight": 1e30})
    job = jobs.create(asked, "Broken")
    assert in_process(job, monkeypatch) == 1
    assert job.state == "failed" and sentence in job.status["note"], job.status
    assert "\n" not in job.status["note"] and not job.bundle


def test_full_disk_is_a_sentence_and_the_state_is_still_written(home, monkeypatch):
    from vae.training import run as training

    job = jobs.create(recipe(400), "Full")
    real, full = os.replace, []

    def replace(source, target):
        if full and Path(target).name in ("state.json", "metrics.jsonl"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target)

    def save(*_):
        full.append(True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training, "save_checkpoint", save)
    monkeypatch.setattr(os, "replace", replace)
    assert in_process(job, monkeypatch) == 1
    assert job.state == "failed" and "the disk is full" in job.status["note"]


def test_memory_and_death_become_sentences(home):
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert worker.sentence(caught.value).startswith("memory ran out")
    assert "memory" in processes.died(-signal.SIGKILL)
    with pytest.raises(JobError, match="there is no data set"):
        questions.ask("inspect", {"data": {"sources": ["/no/such/folder"]}, "image_size": 8, "channels": 1})
