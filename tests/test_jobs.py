"""Jobs: processes that survive, queue, obey, fail with a sentence, and leave whole models behind."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import random
import shlex
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae import jobs, library, train_worker, watch
from vae.bundle import open_bundle
from vae.config import DataConfig, ModelConfig, ObjectiveConfig, Recipe, TrainingConfig
from vae.jobs import Job, JobError

ROOT = Path(__file__).resolve().parents[1]


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


def recipe(steps: int = 40, **training) -> Recipe:
    """A model that trains in a second."""
    settings = {
        "batch_size": 8,
        "steps": steps,
        "log_every": 5,
        "validate_every": 20,
        "validation_images": 16,
        "threads": 1,
        "checkpoint_seconds": 0.2,
        "device": "cpu",
        **training,
    }
    return Recipe(
        ModelConfig("conv", 8, 1, 3, width=0.0625), DataConfig(("sklearn-digits",), limit=120),
        ObjectiveConfig(kl="warmup", beta=0.5), TrainingConfig(**settings), "Tiny",
    )  # fmt: skip


def wait(ready: Callable[[], object], seconds: float = 300.0) -> None:
    """Until it is so; fails loudly when it never is."""
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def in_process(job: Job, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a job's process in this one, where torch is warm already."""
    monkeypatch.setattr(os, "nice", lambda _: 0)
    fd = os.open(job.folder / "lock", os.O_RDWR)
    try:
        return train_worker.run(job.folder, fd)
    finally:
        os.close(fd)


def losses(job: Job) -> dict[int, float]:
    """Training loss by step."""
    return {row["step"]: row["loss"] for row in watch.history(job.run).train}


def png(value: int, side: int = 12, mode: str = "L") -> bytes:
    """A small picture that differs by its value."""
    pixels = np.random.default_rng(value).integers(0, 256, (side, side, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "PNG")
    return out.getvalue()


# ---------------------------------------------------------------- processes


def test_the_app_side_never_imports_torch():
    code = "import sys, vae.jobs, vae.library, vae.watch, vae.train_worker\n"
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
            os.kill(jobs.read_json(job.folder / "process.json")["pid"], signal.SIGKILL)
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


def test_queue_pause_beta_stop_and_drop(home):
    first, second, third = (
        jobs.create(recipe(10**6, checkpoint_seconds=5.0), title) for title in ("One", "Two", "Three")
    )
    first.start()
    first.set_beta(0.125)  # asked for before the loop can hear it
    second.start()
    third.start()
    with pytest.raises(JobError, match="One is at work already"):
        first.start()
    wait(lambda: first.state == "running" and first.progress.get("step", 0) > 0)
    assert (second.state, third.state) == ("queued", "queued")
    wait(lambda: watch.history(first.run).train and abs(watch.history(first.run).train[-1]["beta"] - 0.125) < 1e-6)
    first.pause()
    wait(lambda: first.state == "paused")
    step = first.progress["step"]
    time.sleep(0.5)
    assert first.progress["step"] == step and second.state == "queued"
    first.resume()
    wait(lambda: first.progress["step"] > step)
    item = library.delete_job(third)  # stop and drop: of a waiting one here
    assert {job.title for job in jobs.list_jobs()} == {"One", "Two"}
    library.restore(item)
    assert jobs.get_job(item.name).state == "interrupted"
    first.stop()
    wait(lambda: not first.alive)
    assert first.state == "stopped" and open_bundle(first.bundle).title == "One"
    wait(lambda: second.state in ("reading", "running"))  # the queue moves on by itself
    second.end(300.0)
    assert second.state == "interrupted" and not second.bundle
    with pytest.raises(JobError, match="use 0 to 1000"):
        first.set_beta(-1)


def test_two_processes_by_the_shown_command_equal_one(home, monkeypatch):
    one, two = jobs.create(recipe(30), "Alone"), jobs.create(recipe(30), "Shared")
    assert in_process(one, monkeypatch) == 0
    command = shlex.split(jobs.torchrun_command(two, 2))
    assert command[0] == "torchrun"
    command = [sys.executable, "-m", "torch.distributed.run", *command[1:]]
    done = subprocess.run(
        command, cwd=ROOT, env=jobs.worker_environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert two.state == "finished" and open_bundle(two.bundle)
    a, b = losses(one), losses(two)
    assert a.keys() == b.keys()
    assert max(abs(a[k] - b[k]) / abs(a[k]) for k in a) < 1e-3


def test_a_run_in_a_terminal_is_seen_and_left_alone(home):
    job = jobs.create(recipe(), "Elsewhere")
    jobs.write_json(
        job.run / "status.json",
        {"state": "running", "pid": os.getpid(), "time": time.time() + 1, "step": 3, "progress": 0.1},
    )
    assert job.state == "running" and "terminal" in job.status["note"]
    for order in (job.start, job.end):
        with pytest.raises(JobError, match="from a terminal"):
            order()
    job.pause()
    assert jobs.read_json(job.run / "control.json") == {"command": "pause"}


# ---------------------------------------------------------------- failures


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
    from vae import training

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
    monkeypatch.setattr(jobs.os, "replace", replace)
    assert in_process(job, monkeypatch) == 1
    assert job.state == "failed" and "the disk is full" in job.status["note"]


def test_memory_and_death_become_sentences(home):
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert train_worker.sentence(caught.value).startswith("memory ran out")
    assert "memory" in jobs.died(-signal.SIGKILL)
    with pytest.raises(JobError, match="there is no data set"):
        jobs.ask("inspect", {"data": {"sources": ["/no/such/folder"]}, "image_size": 8, "channels": 1})


def test_trial_measures_time_and_memory(home):
    cost = train_worker.trial({"recipe": recipe(50).to_dict(), "count": 120})
    assert cost["steps"] == 50 and cost["seconds"] > 0 and cost["images_per_s"] > 0
    assert 50e6 < cost["memory"] < cost["memory_limit"]
    by_time = train_worker.trial({"recipe": recipe(0, minutes=0.5).to_dict(), "count": 120})
    assert by_time["seconds"] == pytest.approx(30, rel=0.2)


# ---------------------------------------------------------------- pictures


def inspect(path: Path, size: int = 8, channels: int = 3) -> dict:
    """What the page is told of a zip or folder."""
    return train_worker.inspect({"data": DataConfig((str(path),)).to_dict(), "image_size": size, "channels": channels})


def test_hostile_and_broken_archives_are_counted_and_used_as_far_as_they_go(tmp_path):
    path = tmp_path / "mixed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(20):  # mixed sizes and modes
            archive.writestr(f"{i % 2}/good-{i}.png", png(i, 9 + i, ["L", "RGB", "P", "LA", "RGBA"][i % 5]))
        archive.writestr("0/again.png", png(0, 9))
        archive.writestr("../../outside.png", png(99))
        link = zipfile.ZipInfo("0/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        for i in range(1000):
            archive.writestr(f"1/bad-{i}.png", b"\x89PNG\r\n\x1a\n" + bytes([i % 251]) * 40)
    found = inspect(path)
    assert (found["count"], found["duplicates"], found["refused_total"]) == (20, 1, 1002)
    reasons = {reason: count for reason, count, _ in found["refused"]}
    assert reasons["has a path outside the archive"] == 1 and reasons["is a link or a special file"] == 1
    assert sum(count for reason, count in reasons.items() if "cannot be decoded" in reason) == 1000
    assert found["labels"] == {"0": 10, "1": 10}
    assert sorted(tmp_path.iterdir()) == [path], "nothing is unpacked"
    assert found["sheet"].startswith("iVBOR")


def test_a_bomb_is_refused_and_one_picture_is_a_data_set(home, tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(30 * 2**20))
    with pytest.raises(ValueError, match="no usable"):
        inspect(bomb)
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "one.png").write_bytes(png(1))
    assert inspect(alone)["count"] == 1
    job = jobs.create(recipe(6).replace(data={"sources": [str(alone)]}), "One picture")
    assert in_process(job, monkeypatch) == 0 and job.state == "finished", job.status


def test_pictures_handed_in_live_in_the_job_and_go_with_it(home):
    draft = jobs.new_draft(
        [
            ("../../evil name.zip", io.BytesIO(b"PK")),
            ("/etc/a b.PNG", io.BytesIO(png(1))),
            ("c.png", io.BytesIO(png(2))),
        ]
    )
    inside = [path for path in draft.folder.rglob("*") if path.is_file()]
    assert len(inside) == 3 and all(path.suffix in (".zip", ".png") for path in inside)
    assert not any(".." in path.name or " " in path.name for path in inside)
    job = jobs.create(recipe().replace(data={"sources": draft.sources}), "Mine", "cpu", draft)
    assert not draft.folder.exists()
    assert all(Path(source).exists() and Path(source).is_relative_to(job.folder) for source in job.recipe.data.sources)
    library.delete_job(job)
    library.empty_trash()
    assert not [path for path in home.rglob("*") if path.is_file() and path.suffix in (".zip", ".png")]
    old = jobs.new_draft([("a.png", io.BytesIO(png(3)))])
    os.utime(old.folder, (1, 1))
    jobs.purge_drafts()
    assert not old.folder.exists()


# ---------------------------------------------------------------- library


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that a job made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_HOME", str(tmp_path_factory.mktemp("made")))
        job = jobs.create(recipe(20), "My first model")
        assert in_process(job, patch) == 0, job.status
        return job.bundle


def test_export_import_rename_delete_undo(home, made):
    data = library.export_zip(made)
    names = [library.import_zip(io.BytesIO(data), "model.zip") for _ in range(2)]
    assert names == ["my-first-model", "my-first-model-2"]
    assert open_bundle(library.models_home() / names[1]).digest == open_bundle(made).digest
    library.rename(names[0], "  Better   name ")
    assert open_bundle(library.models_home() / names[0]).title == "Better name"
    item = library.delete_model(names[0])
    assert library.own_models() == [names[1]] and library.trashed()[0].title == "Better name"
    library.restore(item)
    assert library.own_models() == names and not library.trashed()
    for call in (
        lambda: library.rename(names[0], " "),
        lambda: library.rename("faces-128", "Mine"),
        lambda: library.delete_model("../runs"),
    ):
        with pytest.raises(JobError):
            call()


def _tampered(made: Path, kind: str) -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(library.export_zip(made))) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for info in source.infolist():
            data = source.read(info)
            if kind == "damaged" and info.filename.endswith("decoder.onnx"):
                data = data[:-7] + b"changed"
            archive.writestr(info.filename, data)
        if kind == "outside":
            archive.writestr("../../../evil.json", "{}")
        if kind == "foreign":
            archive.writestr("model/run_me.py", "print('hello')")
        if kind == "link":
            link = zipfile.ZipInfo("my-first-model/card.md")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        if kind == "two":
            archive.writestr("other/config.json", "{}")
    return out.getvalue()


@pytest.mark.parametrize(
    "kind, sentence",
    [
        ("outside", "a path outside of it"),
        ("foreign", "run_me.py"),
        ("link", "a link or special file"),
        ("two", "twice"),
        ("damaged", "SHA-256 differs"),
        ("text", "not a readable zip"),
        ("bomb", "more than"),
    ],
)
def test_bad_zips_are_refused_whole(home, made, monkeypatch, kind, sentence):
    if kind == "bomb":
        monkeypatch.setattr(library, "MAX_UNPACKED_BYTES", 1000)
    data = b"not a zip at all" if kind == "text" else _tampered(made, kind)
    with pytest.raises(JobError, match=sentence):
        library.import_zip(io.BytesIO(data), "model.zip")
    assert library.own_models() == []
    assert [path for path in home.rglob("*") if path.is_file()] == []


# ---------------------------------------------------------------- watching


def _past(
    reconstruction: list[float], validation: list[float], kl: list[float] | None = None, train: int = 5000
) -> watch.History:
    kl = kl or [1.0, 1.0]
    return watch.History(
        tuple({"kind": "train", "step": i, "reconstruction": r, "kl": sum(kl)} for i, r in enumerate(reconstruction)),
        tuple(
            {"kind": "validation", "step": i, "reconstruction": r, "kl_per_dimension": kl, "beta": 1.0}
            for i, r in enumerate(validation)
        ),
        ({"event": "started", "train": train},),
    )


@pytest.mark.parametrize(
    "past, kinds",
    [
        (_past([10 - 0.1 * i for i in range(20)], [10, 9, 8, 7, 6, 5]), []),
        (_past([10 - 0.1 * i for i in range(20)], [10, 9, 8, 7, 6, 5], [0.01, 0.0]), ["collapse"]),
        (_past([10, 8, 6, 4, 2, 9, 20, 30, 40], [10, 9]), ["divergence"]),
        (_past([10 - 0.1 * i for i in range(20)], [10, 5, 6, 7, 8, 9]), ["overfitting"]),
        (_past([10, 9], [10], train=80), ["small"]),
    ],
)
def test_warnings_in_words_with_a_remedy(past, kinds):
    found = watch.advice(past, recipe(), 0.5)
    assert [item.kind for item in found] == kinds
    assert all(item.what and item.remedy.endswith(".") for item in found)


def test_history_reads_on_and_survives_half_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    row = lambda step: json.dumps({"kind": "train", "step": step}) + "\n"  # noqa: E731
    path.write_text(row(1) + '{"kind": "tra')
    assert [r["step"] for r in watch.history(tmp_path).train] == [1]
    path.write_text(row(1) + row(2) + "broken\n" + row(3))
    assert [r["step"] for r in watch.history(tmp_path).train] == [1, 2, 3]
    other = tmp_path / "new"
    other.write_text(row(1))
    os.replace(other, path)  # what a resumed run does
    assert [r["step"] for r in watch.history(tmp_path).train] == [1]
    thinned = watch.thin(list(range(1000)), 5)
    assert len(thinned) == 5 and (thinned[0], thinned[-1]) == (0, 999)
    assert [watch.duration(s) for s in (40, 720, 12000, None)] == ["40 s", "12 min", "3 h 20 min", "not known yet"]
