"""The Train page without a browser: who may launch, choices to a recipe, jobs and models shown and steered."""

from __future__ import annotations

import io
import json
import shutil
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from vae.config import ConfigError, ModelConfig
from vae.jobs import folders, jobs, library, questions
from vae.jobs.job import Job, write_state
from vae.presets import PRESETS
from vae.web.train import recipe as train_recipe
from vae.web.train.view import may_train

PAGE = Path(__file__).resolve().parents[2] / "pages" / "train.py"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of its own, launching allowed, and a machine that is known without asking."""
    monkeypatch.setenv("VAE_HOME", str(tmp_path))
    monkeypatch.setenv("VAE_ALLOW_TRAINING", "1")
    known = {"cores": 2, "memory": 8 * 2**30, "devices": [{"id": "cpu", "title": "CPU, 2 cores", "memory": 8 * 2**30}]}
    monkeypatch.setattr(questions, "machine", lambda: known)
    return tmp_path


def page(view: str = "", **query: str) -> AppTest:
    """The page, opened at one of its parts."""
    app = AppTest.from_file(str(PAGE), default_timeout=300)
    for key, value in {**({"view": view} if view else {}), **query}.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def texts(app: AppTest) -> str:
    """All words of the page."""
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error, app.subheader)
    return "\n".join(element.value for kind in kinds for element in kind)


def places(app: AppTest) -> dict[str, tuple[int, ...]]:
    """Where the things of the page stand, by kind and words: the way of counts from the root.

    Buttons aside: each has a key that never changes, by which Streamlit knows it wherever it stands.
    """
    found = {}

    def walk(node: Any, way: tuple[int, ...]) -> None:
        words = getattr(node, "label", "") or (node.value if node.type in ("header", "subheader") else "")
        if (node.type != "button" and words) or node.type in ("progress", "image"):
            found.setdefault(f"{node.type} {words}".strip(), way)
        for count, child in getattr(node, "children", {}).items():
            walk(child, (*way, count))

    walk(app._tree, ())
    return found


def stand_still(before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]], *these: str) -> None:
    """What is on the page in both runs, `these` among it, stands where it stood: so no run shows anything twice."""
    both = before.keys() & after.keys()
    assert both.issuperset(these), sorted(before)
    assert not {key: (before[key], after[key]) for key in both if before[key] != after[key]}


def old_job(
    title: str = "Digits of mine", state: str = "finished", note: str = "", kl: tuple[float, ...] = (2.0, 1.0)
) -> Job:
    """A job as it lies on disk after training."""
    recipe = PRESETS["digits-2d"]
    job = jobs.create(recipe, title)
    rows = [{"kind": "event", "event": "started", "step": 0, "train": 9000}]
    rows += [
        {
            "kind": "train",
            "step": s,
            "images": s * 128,
            "images_per_s": 900.0,
            "reconstruction": 50 - s / 10,
            "kl": 3.0,
            "beta": 1.0,
            "loss": 53 - s / 10,
        }
        for s in range(10, 110, 10)
    ]
    rows += [
        {
            "kind": "validation",
            "step": s,
            "images": s * 128,
            "reconstruction": 51 - s / 10,
            "kl": 3.0,
            "loss": 54.0,
            "beta": 1.0,
            "psnr": 15.5,
            "active": 2,
            "kl_per_dimension": list(kl),
        }
        for s in (50, 100)
    ]
    (job.run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (job.run / "sheets").mkdir()
    for step in (50, 100):
        for kind in ("reconstructions", "samples", "traversal"):
            Image.fromarray(np.full((28, 56), step, np.uint8)).save(job.run / "sheets" / f"{step:08d}-{kind}.png")
    folders.write_json(
        job.run / "status.json",
        {"state": "finished", "step": 100, "images": 12800, "seconds": 14.0, "progress": 1.0, "time": 1.0},
    )
    write_state(job.folder, state, note)
    return job


@pytest.mark.parametrize(
    "address, headers, environment, allowed",
    [
        (None, {}, {}, True),
        ("127.0.0.1", {"Host": "localhost:8501"}, {}, True),
        ("::1", {"Host": "[::1]:8501"}, {}, True),
        ("192.168.1.20", {"Host": "192.168.1.5:8501"}, {}, False),
        (None, {"Host": "localhost:8501", "X-Forwarded-For": "127.0.0.1"}, {}, False),
        (None, {"Host": "models.example.org"}, {}, False),
        (None, {"Host": "localhost.evil.example"}, {}, False),
        ("not an address", {}, {}, False),
        ("192.168.1.20", {"X-Forwarded-For": "1.2.3.4"}, {"VAE_ALLOW_TRAINING": "1"}, True),
        ("192.168.1.20", {}, {"VAE_ALLOW_TRAINING": "0"}, False),
    ],
)
def test_launching_is_for_this_machine_or_with_leave(address, headers, environment, allowed):
    assert may_train(address, headers, environment) is allowed


def test_elsewhere_the_page_says_so_and_offers_nothing(home, monkeypatch):
    monkeypatch.delenv("VAE_ALLOW_TRAINING")
    app = page()  # the test harness has no address that is known to be this machine's
    assert "VAE_ALLOW_TRAINING=1" in texts(app)
    assert not app.button and not app.radio


def test_choices_become_a_recipe():
    recipe = train_recipe.build_recipe("sharp", {
        "model": {"image_size": 128, "channels": 3, "latent_size": 64},
        "objective": {"kl": "target", "kl_target": 120.0},
        "training": {"minutes": 3.0, "batch_size": 8}, "data": {"sources": ["/pictures"]},
    })  # fmt: skip
    assert (recipe.model.image_size, recipe.model.latent_size, recipe.objective.kl_target) == (128, 64, 120.0)
    assert (recipe.training.minutes, recipe.training.steps, recipe.objective.adversarial) == (3.0, 0, 0.5)
    kept = train_recipe.build_recipe("sharp", {"model": {"image_size": 64}}, ModelConfig("conv", 28, 1, 2))
    assert kept.model.image_size == 28 and kept.objective.adversarial == 0.0
    with pytest.raises(ConfigError, match="learning_rate"):
        train_recipe.build_recipe("vae", {"training": {"steps": 5, "learning_rate": 0.0}})


def test_launch_shows_the_pictures_and_prepares_a_job(home):
    app = page("new")
    app.segmented_control(key="train_source").set_value("known").run()
    assert not app.exception
    assert "**1,797** pictures" in texts(app) and "180 of them to check on" in texts(app)
    app.radio(key="train_preset").set_value("digits-2d").run()
    app.number_input(key="train_minutes_digits-2d").set_value(2.0).run()
    app.text_input(key="train_title_digits-2d_sklearn-digits").set_value("Two numbers").run()
    app.button(key="train_prepare").click().run()
    assert not app.exception
    (job,) = jobs.list_jobs()
    recipe = job.recipe
    assert (job.title, job.name, recipe.model.latent_size, recipe.training.minutes) == (
        "Two numbers",
        "two-numbers",
        2,
        2.0,
    )
    assert recipe.training.device == "cpu" and recipe.data.sources == ("sklearn-digits",)
    assert app.query_params["job"] in (job.id, [job.id])
    assert "It was prepared and not started." in texts(app)
    assert [b.label for b in app.button if b.key == "train_resume"] == ["Start"]
    assert any("torchrun" in block.value and str(job.run) in block.value for block in app.code)


def test_nothing_moves_when_something_else_comes_or_goes(home, tmp_path, monkeypatch):
    cost = {"seconds": 60, "steps": 9, "step_seconds": 1, "sharp_seconds": 0, "images_per_s": 9, "memory": 1,
            "memory_limit": 9, "device": "CPU"}  # fmt: skip
    ask = questions.ask
    monkeypatch.setattr(questions, "ask", lambda what, *rest: cost if what == "trial" else ask(what, *rest))
    app = page("new")
    app.segmented_control(key="train_source").set_value("known").run()
    before = places(app)
    app.segmented_control(key="train_source").set_value("mine").run()
    stand_still(before, places(app), "subheader Recipe", "radio Recipe", "number_input Minutes")
    app.segmented_control(key="train_source").set_value("known").run()
    app.radio(key="train_preset").set_value("digits-2d").run()
    app.selectbox(key="train_kl_digits-2d").set_value("warmup").run()
    app.button(key="train_measure").click().run()
    assert "images in all" in texts(app)
    stand_still(before, places(app), "slider Share to check on", "text_input Name of the model")
    folder = tmp_path / "few"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (28, 28), np.uint8)).save(folder / f"{i}.png")
        (folder / f"{i}.dcm").write_bytes(bytes(128) + b"DICM" + bytes(300))
    app.segmented_control(key="train_source").set_value("folder").run()
    app.text_input(key="train_folder").set_value(str(folder)).run()
    assert app.checkbox and app.warning
    stand_still(before, places(app), "text_input Name of the model", "image")
    app.session_state["train_said"] = ("Something was refused.", "error")
    app.run()
    assert "Something was refused." in texts(app)
    stand_still(before, places(app), "radio Recipe")


def test_a_job_stands_still_when_it_has_something_to_say(home):
    job = old_job()
    app = page("jobs")
    before = places(app)
    write_state(job.folder, "failed", "memory ran out")
    trouble = [{"kind": "validation", "step": 110, "images": 14080, "kl": 0.0, "psnr": 9.0, "active": 0,
                "kl_per_dimension": [0.0, 0.0], "reconstruction": 60.0, "loss": 60.0}]  # fmt: skip
    with (job.run / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in trouble)
    app = page("jobs", job=job.id)
    assert app.error and app.warning
    stand_still(before, places(app), "progress", "metric PSNR", "expander Log")
    old_job("Another")
    app = page("jobs", job=job.id)
    assert app.selectbox
    stand_still(before, places(app), "progress", "expander Log")
    before = places(page("models"))
    library.delete_job(job)
    app = page("models")
    assert [b for b in app.button if b.key == "train_undo_last"]
    stand_still(before, places(app), "expander Import a model")


def test_a_zip_dropped_in_is_kept_for_the_job_alone(home):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i in range(12):
            picture = io.BytesIO()
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (28, 28), np.uint8)).save(picture, "PNG")
            archive.writestr(f"{i}.png", picture.getvalue())
        archive.writestr("broken.png", b"\x89PNG\r\n\x1a\nnothing")
    app = page("new")
    app.segmented_control(key="train_source").set_value("mine").run()
    assert "kept in the job" in texts(app) and not list(home.rglob("*.zip"))
    app.file_uploader(key="train_files").upload("digits.zip", out.getvalue(), "application/zip").run()
    assert not app.exception
    assert "**12** pictures" in texts(app) and "Only 12 pictures:" in texts(app)
    assert any("1 file refused" in expander.label for expander in app.expander)
    app.button(key="train_prepare").click().run()
    (job,) = jobs.list_jobs()
    assert Path(job.recipe.data.sources[0]).is_relative_to(job.folder / "pictures")
    assert len(list(home.rglob("*.zip"))) == 1


def test_a_set_of_which_half_is_left_out_asks_before_it_trains(home, tmp_path):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for i in range(4):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (28, 28), np.uint8)).save(folder / f"{i}.png")
        (folder / f"{i}.dcm").write_bytes(bytes(128) + b"DICM" + bytes(300))
    app = page("new")
    app.segmented_control(key="train_source").set_value("folder").run()
    app.text_input(key="train_folder").set_value(str(folder)).run()
    assert not app.exception and "50% of the files cannot be used" in texts(app)
    assert app.button(key="train_start").disabled and app.button(key="train_prepare").disabled
    (ask,) = app.checkbox
    assert ask.label == "Train on the 4 that can be used, without the others" and not ask.value
    ask.check().run()
    assert not app.button(key="train_start").disabled
    app.button(key="train_prepare").click().run()
    (job,) = jobs.list_jobs()
    assert job.recipe.data.accept_skipped
    (folder / "4.png").write_bytes((folder / "0.png").read_bytes())  # a fifth picture, so less than half
    app = page("new")
    app.segmented_control(key="train_source").set_value("folder").run()
    app.text_input(key="train_folder").set_value(str(folder)).run()
    assert not app.checkbox and not app.button(key="train_start").disabled


def test_a_folder_that_is_not_there_is_a_sentence(home):
    app = page("new")
    app.segmented_control(key="train_source").set_value("folder").run()
    app.text_input(key="train_folder").set_value("pictures").run()
    assert "begin it with / or ~" in texts(app)
    app.text_input(key="train_folder").set_value("/no/such/place").run()
    assert not app.exception and "here is no data set, zip or folder '/no/such/place'" in texts(app)
    assert not [b for b in app.button if b.key == "train_start"]


def test_empty_states(home, monkeypatch):
    assert "No model has been trained here yet" in texts(page("jobs"))
    assert "Models that you train or import are kept here" in texts(page("models"))


def test_a_finished_job_shows_its_figures_and_can_be_dropped_and_brought_back(home):
    job = old_job()
    app = page("jobs")
    assert {m.label: m.value for m in app.metric}["PSNR"] == "15.5 dB"
    assert {m.label: m.value for m in app.metric}["In use"] == "2 of 2"
    assert not app.warning
    app.button(key="train_drop").click().run()
    assert jobs.list_jobs() == [] and "moved to the trash" in texts(app)
    app = page("models")
    app.button(key="train_undo_last").click().run()
    assert [j.id for j in jobs.list_jobs()] == [job.id]


def test_trouble_is_told_in_words(home):
    old_job(
        "Collapsed",
        "failed",
        "memory ran out at batch_size 128; the last checkpoint is kept, go on with 64",
        kl=(0.001, 0.0),
    )
    app = page("jobs")
    assert "Memory ran out at batch_size 128" in app.error[0].value
    assert "posterior has collapsed" in app.warning[0].value and "beta" in app.warning[0].value
    assert [b.label for b in app.button if b.key == "train_resume"] == ["Start"]


def test_a_job_that_was_killed_offers_to_resume(home):
    job = old_job("Killed", "running")
    (job.run / "checkpoint.safetensors").write_bytes(b"")
    app = page("jobs")
    assert "Resume goes on from the last checkpoint." in app.warning[0].value
    assert [b.label for b in app.button if b.key == "train_resume"] == ["Resume"]


def test_orders_reach_a_running_job(home, monkeypatch):
    job = old_job("At work", "running")
    folders.write_json(
        job.run / "status.json",
        {"state": "running", "step": 100, "progress": 0.4, "time": time.time() + 5, "seconds_left": 600},
    )
    monkeypatch.setattr(Job, "locked", True)
    app = page("jobs", job=job.id)
    app.button(key="train_pause").click().run()
    assert job.orders == {"command": "pause"}
    app.number_input(key=f"train_beta_{job.id}").set_value(0.25).run()
    app.button(key="train_beta_set").click().run()
    app.button(key="train_stop").click().run()
    assert job.orders == {"command": "stop", "beta": 0.25}
    assert not app.exception


def test_a_model_that_cannot_be_opened_does_not_spoil_the_others(home, tiny_bundle, monkeypatch):
    from vae.bundles.registry import Registry
    from vae.web.train import models as train_models

    monkeypatch.setattr(train_models.services, "registry", Registry([home / "models"]))
    (home / "models" / "broken").mkdir(parents=True)
    shutil.copytree(tiny_bundle, home / "models" / "works")
    app = page("models")
    assert "has no config.json" in texts(app) and "**Tiny conv**" in texts(app)
    (pictures,) = app.get("image")
    assert "Draws of Tiny conv" in str(pictures.proto)
    library.delete_model("works")
    app = page("models")
    app.button(key="train_delete_broken").click().run()
    assert library.own_models() == [] and library.trashed()[0].name == "broken"
