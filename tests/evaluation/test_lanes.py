"""The Lab's processes: answers, progress, cancelling in the middle, failures in a sentence, an end with the app."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import write_bundle
from vae.bundles.bundle import Bundle
from vae.evaluation import lab_benches
from vae.evaluation.lanes import LabError, Lane, Workshop


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    mu = np.random.default_rng(0).standard_normal((200, 4))
    return write_bundle(tmp_path_factory.mktemp("models") / "blobs", mu)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    patch = pytest.MonkeyPatch()
    patch.setenv("VAE_HOME", str(tmp_path_factory.mktemp("home")))
    made = Workshop()
    yield made
    made.close()
    patch.undo()


@pytest.fixture(scope="module")
def pictures(model: Bundle) -> np.ndarray:
    return model.decode(model.codes.mu[:12])


def test_an_answer_is_what_the_bench_itself_says(workshop: Workshop, model: Bundle, pictures: np.ndarray) -> None:
    job = workshop.start(model, "compress", {"budget": 60}, pictures=pictures[:1])
    assert job.wait(120) and job.state == "done"
    here = lab_benches.compress(model, lambda share, stage: None, pictures[:1], 60)
    there, own = dict(job.result["entries"][0]), dict(here["entries"][0])
    # A process of fewer threads sums in another order.
    assert there.pop("perceptual") == pytest.approx(own.pop("perceptual"), rel=1e-3, abs=1e-6)
    assert there == own and job.result["lsz"] == here["lsz"]
    assert workshop.get(job.id) is job and workshop.get("other") is None


def test_what_one_lane_kept_the_other_finds_in_the_home_of_the_job(
    workshop: Workshop, model: Bundle, pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "first"))
    job = workshop.start(model, "warm", {})
    assert job.wait(120) and job.result == {"pca": False}
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "second"))
    assert workshop.start(model, "fit", {}).wait(120)
    job = workshop.start(model, "compress", {"budget": 60}, pictures=pictures[:1])
    assert job.wait(120) and job.result["pca"]
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "first"))
    job = workshop.start(model, "warm", {})
    assert job.wait(120) and job.result == {"pca": False}


def test_long_work_tells_how_far_it_is(workshop: Workshop, model: Bundle, pictures: np.ndarray) -> None:
    names = [f"{i}.png" for i in range(12)]
    job = workshop.start(model, "table", {"names": names}, pictures=pictures)
    assert job.wait(120) and job.report()["share"] == 1 and job.stage == "Picture 12 of 12"
    rows = job.result["rows"]
    assert sorted(row["name"] for row in rows) == sorted(names) and rows[0]["psnr"] <= rows[-1]["psnr"]


def test_a_failure_is_a_sentence_and_the_next_job_works(
    workshop: Workshop, model: Bundle, pictures: np.ndarray
) -> None:
    job = workshop.start(model, "fill", {}, pictures=pictures[:1], mask=np.zeros((16, 16), np.uint8))
    assert job.wait(120) and job.state == "failed" and job.error.startswith("The mask") and job.error.endswith(".")
    job = workshop.start(model, "reconstruct", {}, pictures=pictures[:1])
    assert job.wait(120) and len(job.result["nats"]) == 4


def test_cancelling_stops_at_once_and_the_lane_goes_on(workshop: Workshop, model: Bundle, pictures: np.ndarray) -> None:
    many = np.repeat(pictures, 80, 0)
    long = workshop.start(model, "table", {"names": ["x"] * len(many)}, pictures=many)
    waiting = workshop.start(model, "table", {"names": ["y"] * len(many)}, pictures=many)
    waiting.cancel()
    long.cancel()
    assert long.state == waiting.state == "cancelled" and long.result is None
    again = workshop.start(model, "table", {"names": ["z"]}, pictures=pictures[:1])
    assert again.wait(120) and again.state == "done"


def test_maps_and_scores_of_a_model(workshop: Workshop, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mu = rng.standard_normal((300, 3))
    labels = (mu[:, :2] > 0).astype(np.uint8)
    model = write_bundle(tmp_path / "labelled", mu, labels, ("Right", "Up"))
    job = workshop.start(model, "sliders", {})
    assert job.wait(300) and job.state == "done", job.error
    assert [one["best"] for one in job.result["factors"]] == [0, 1] and job.result["mig"] > 0.2
    job = workshop.start(model, "dimensions", {})
    assert job.wait(300) and job.state == "done", job.error
    found = job.result
    assert [one["id"] for one in found["maps"]] == ["pca", "vae", "umap"] and found["count"] == 240
    assert all(0.5 < one["trustworthiness"] <= 1 and 0.5 < one["continuity"] <= 1 for one in found["maps"])
    assert found["classes"] is None  # two labels that go together are no classes
    errors = found["pca_error"]
    assert (np.diff(errors) < 0.1).all() and errors[-1] < 0.1 * errors[0] and len(errors) == len(found["sizes"])


def test_a_model_without_labels_is_told_so(workshop: Workshop, model: Bundle) -> None:
    job = workshop.start(model, "sliders", {})
    assert job.wait(120) and "no labels" in job.error


def test_a_process_that_dies_is_reported(model: Bundle, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane("test")
    job = lane.add({"op": "table", "bundle": str(model.path), "digest": model.digest, "args": {}, "arrays": "wrong"})
    assert job.wait(120) and job.state == "failed"
    lane.close()
    assert not lane.running


def test_too_many_jobs_are_refused(model: Bundle) -> None:
    lane = Lane("test")
    try:
        with pytest.raises(LabError, match="waiting"):
            for _ in range(40):
                lane.add({"op": "warm", "bundle": str(model.path), "digest": model.digest, "args": {}, "arrays": []})
    finally:
        lane.close()
