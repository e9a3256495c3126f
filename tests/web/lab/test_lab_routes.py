"""The Lab's routes and its page without a browser."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT
from tests.pictures import photo_file
from tests.web.asgi import Answer, ask
from vae import media
from vae.evaluation import pairing
from vae.web.core import services

QUERY = "model=digits-2d"


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setenv("VAE_HOME", str(tmp_path_factory.mktemp("home")))
    yield
    services.workshop.close()
    patch.undo()


@pytest.fixture(scope="module")
def samples() -> list[dict]:
    return ask("GET", f"/api/lab/samples?{QUERY}").json()["pictures"]


def question(bench: str, **body: object) -> Answer:
    """The answer of a bench, waited for to its end."""
    answer = ask("POST", f"/api/lab/ask/{bench}?{QUERY}", json=body)
    while answer.status == 200 and answer.json()["state"] in ("waiting", "running"):
        answer = ask("GET", f"/api/lab/job/{answer.json()['job']}")
    return answer


def pixels(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("L"))


def test_samples_are_held_out_pictures_of_the_set(samples: list[dict]) -> None:
    assert len(samples) == 12 and {one["kind"] for one in samples} == {"held out"}
    assert pixels(samples[0]["src"]).shape == (28, 28)


def test_a_face_model_offers_a_photo_and_what_it_drew() -> None:
    found = ask("GET", "/api/lab/samples?model=faces-128").json()["pictures"]
    assert [one["kind"] for one in found[:2]] == ["photo", "drawn"]


def test_dropped_pictures_come_back_as_crops_and_what_is_none_with_a_reason() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10:30, 20:40] = 255
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("one.png", photo_file(picture, "PNG"))
        file.writestr("two.png", b"no picture")
    found = ask("POST", f"/api/lab/pictures?{QUERY}&name=my.zip", data=packed.getvalue()).json()
    assert [one["name"] for one in found["pictures"]] == ["one.png"] and found["pictures"][0]["kind"] == "yours"
    assert len(found["refused"]) == 1 and "two.png" in found["refused"][0]
    assert np.array_equal(pixels(found["pictures"][0]["src"]), media.grey(media.square(picture, 28))[..., 0])


def test_benches_answer_with_figures_and_pictures(samples: list[dict]) -> None:
    one = {"pictures": [samples[0]["src"]]}
    answer = question("reconstruct", **one).json()
    found = answer["result"]
    assert ask("GET", f"/api/lab/job/{answer['job']}").status == 404  # with the answer its pictures are forgotten
    assert len(found["nats"]) == 2 and found["total"] == pytest.approx(sum(found["nats"]))
    bundle = services.registry.get("digits-2d")
    again = bundle.decode(bundle.encode(pixels(samples[0]["src"])[None, ..., None])[0])[0, ..., 0]
    assert np.array_equal(pixels(found["entries"][0]["src"]), again)
    denoised = question("denoise", **one, kind="gaussian", strength=50).json()["result"]["entries"]
    assert {"damaged", "vae", "median", "wavelet", "means", "variation"} <= {entry["id"] for entry in denoised}


def test_a_file_goes_out_and_comes_back(samples: list[dict]) -> None:
    found = question("compress", pictures=[samples[0]["src"]], budget=30).json()["result"]
    assert found["entries"][0]["bytes"] <= 30 and found["file"]["decoder_bytes"] > 0
    data = base64.b64decode(found["lsz"])
    back = ask("POST", f"/api/lab/unpack?{QUERY}", data=data).json()["result"]
    assert back["count"] == 1 and np.array_equal(pixels(back["pictures"][0]), pixels(found["entries"][0]["src"]))
    assert ask("POST", f"/api/lab/unpack?{QUERY}", data=b"hello").status == 422
    foreign = ask("POST", "/api/lab/unpack?model=faces-128", data=data)
    assert foreign.status == 422 and "another model" in foreign.json()["error"]


def test_pca_joins_once_it_is_fitted(samples: list[dict]) -> None:
    assert "training pictures" in question("fit").json()["result"]["fitted"]
    found = question("compress", pictures=[samples[0]["src"]], budget=60).json()["result"]
    assert found["pca"] and "pca" in [entry["id"] for entry in found["entries"]]


def test_a_report_has_the_figures_of_the_benches(samples: list[dict]) -> None:
    one = {"pictures": [samples[0]["src"]], "names": ["<mine>"]}
    found = question("study", **one, budget=60).json()["result"]
    row = question("compress", **one, budget=60).json()["result"]["entries"][0]
    mine = found["figures"]["compress"]["budgets"]["60"][0]
    assert mine["psnr"] == pytest.approx(row["psnr"]) and mine["bytes"] == row["bytes"]
    assert "&lt;mine&gt;" in found["html"] and "<mine>" not in found["html"]


def test_a_job_can_be_cancelled(samples: list[dict]) -> None:
    many = {"pictures": [one["src"] for one in samples], "names": [one["name"] for one in samples]}
    job = ask("POST", f"/api/lab/ask/curves?{QUERY}", json=many).json()
    assert ask("DELETE", f"/api/lab/job/{job['job']}").json()["state"] == "cancelled"
    assert ask("GET", "/api/lab/job/nothing").status == 404


@pytest.mark.parametrize("bench, body, word", [
    ("nothing", {}, "no bench"), ("reconstruct", {}, "no pictures"), ("reconstruct", {"pictures": ["data:image/png;base64,AAAA"]}, "28 x 28"),
    ("reconstruct", {"pictures": [5]}, "28 x 28"), ("compress", {"budget": 3}, "12 to"), ("compress", {"budget": True}, "12 to"),
    ("denoise", {"kind": "fog", "strength": 1}, "no damage"), ("denoise", {"kind": "gaussian", "strength": 1e9}, "0 to 100"),
    ("fill", {"mask": "x"}, "mask"), ("invent", {}, "send both"),
])  # fmt: skip
def test_wrong_questions_are_refused_in_a_sentence(samples: list[dict], bench: str, body: dict, word: str) -> None:
    if bench not in ("nothing", "reconstruct"):
        body = {"pictures": [samples[0]["src"]], **body}
    answer = question(bench, **body)
    assert 400 <= answer.status < 500 and word in answer.json()["error"]


def test_a_picture_of_another_size_is_refused() -> None:
    wrong = "data:image/png;base64," + base64.b64encode(media.png(np.zeros((40, 40, 3), np.uint8))).decode()
    assert "28 x 28" in question("reconstruct", pictures=[wrong]).json()["error"]


def test_the_plain_page_shows_tables() -> None:
    page = AppTest.from_file(str(ROOT / "pages" / "lab.py"), default_timeout=300)
    page.query_params["model"], page.query_params["plain"] = "digits-2d", "1"
    page.run()
    assert not page.exception and page.subheader[0].value == "In one pass"
    assert len(page.table) == 3 and "VAE" in page.table[1].value["Method"].tolist()
    page.selectbox(key="lab_plain_budget").select(400).run()
    assert page.subheader[1].value == "In at most 400 bytes"


def test_draws_and_their_nearest_training_pictures() -> None:
    asked = {"prior": "fitted", "temperature": 1.0, "seed": 3}
    found = question("generate", **asked).json()["result"]
    assert len(found["draws"]) == 24 and sum(found["usual"]) == pytest.approx(1, abs=0.02)
    assert [one["name"] for one in found["balance"]]
    near = question("near", **asked, index=2).json()["result"]
    assert [one["id"] for one in near["entries"]] == ["code", "pixels"]
    assert near["distance"] == pytest.approx(found["draws"][2]["distance"])
    for wrong in ({"prior": "x"}, {"temperature": 9}, {"seed": -1}, {"index": 400}):
        assert question("near", **{**asked, "index": 0, **wrong}).status == 400


def test_two_models_see_one_picture_each_in_its_own_size(samples: list[dict]) -> None:
    one = {"pictures": [samples[0]["src"]]}
    found = question("two", **one, other="faces-128").json()["result"]["sides"]
    assert [(side["name"], side["size"], side["channels"]) for side in found] == [
        ("digits-2d", 28, 1),
        ("faces-128", 128, 3),
    ]
    entry = question("reconstruct", **one).json()["result"]["entries"][0]
    assert found[0]["psnr"] == pytest.approx(entry["psnr"]) and found[0]["numbers"] == 2 and found[0]["delta"] is None
    model = services.registry.get("faces-128")
    seen = pairing.as_seen(pixels(samples[0]["src"])[..., None], model)
    z = np.frombuffer(base64.b64decode(found[1]["z"]), "<f4")
    assert np.allclose(z, model.encode(seen[None])[0][0], atol=1e-4)
    delta = np.frombuffer(base64.b64decode(found[1]["delta"]), "<f4")
    assert found[1]["numbers"] == len(z) + len(delta) == 128 + model.levels * model.style_size


@pytest.mark.parametrize("other", ["digits-2d", "../faces-128", "", None, 5, ["faces-128"]])
def test_another_model_is_one_of_the_others_by_its_name(samples: list[dict], other: object) -> None:
    for bench in ("two", "pair"):
        answer = question(bench, pictures=[samples[0]["src"]], other=other)
        assert answer.status == 400 and "no other model" in answer.json()["error"]
        assert "faces-128" in answer.json()["error"] and "/" not in answer.json()["error"].replace("../", "")
