"""The Explore page without a browser: plain mode, links, broken models, uploads, what the component commits, exports."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data as pictures
from streamlit.testing.v1 import AppTest

from vae.bundles.bundle import Bundle
from vae.bundles.registry import Registry
from vae.photos.feature import Feature
from vae.photos.refine_job import Step
from vae.space import latent, packing, settling
from vae.space.axes import bases
from vae.space.errors import LatentError
from vae.web.core import files, services, state
from vae.web.explore import export

ROOT = Path(__file__).resolve().parents[2]
PAGE = str(ROOT / "pages" / "explore.py")
MODEL = "faces-128"


class FakeRefiner:
    """Takes jobs and never runs them: no torch in these tests."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []

    def prewarm(self) -> None:
        pass

    def start(self, bundle: Bundle, images: np.ndarray, z: np.ndarray, steps: Any = None, delta: Any = None) -> Any:
        assert delta.shape == (len(images), bundle.levels, bundle.style_size)  # what the encoder read
        job = SimpleNamespace(id=f"job{len(self.jobs)}", state="running", latest=None, cancelled=False)
        job.cancel = lambda: setattr(job, "state", "cancelled")
        self.jobs.append(job)
        return job


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Registry([ROOT / "assets" / "models"]).get(MODEL)


@pytest.fixture
def refiner(monkeypatch: pytest.MonkeyPatch) -> FakeRefiner:
    fake = FakeRefiner()
    monkeypatch.setattr(services, "refiner", fake)
    return fake


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refiner: FakeRefiner) -> AppTest:
    """The page, with a model beside the shipped ones that cannot be opened."""
    bad = tmp_path / "models" / "half-copied"
    bad.mkdir(parents=True)
    (bad / "config.json").write_text('{"format": 1')
    monkeypatch.setattr(services, "registry", Registry([ROOT / "assets" / "models", tmp_path / "models"]))
    return AppTest.from_file(PAGE, default_timeout=300)


def plain(page: AppTest, **query: str) -> AppTest:
    page.query_params["plain"] = "1"
    page.query_params["model"] = MODEL
    for key, value in query.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def here(page: AppTest) -> state.Current:
    return page.session_state[state.KEY].currents[MODEL]


def sliders(page: AppTest) -> list[Any]:
    return [s for s in page.slider if s.key.startswith("plain:")]


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def upload(page: AppTest, name: str, data: bytes) -> AppTest:
    page.file_uploader(key=f"upload-{MODEL}").upload(name, data, "image/png").run()
    assert not page.exception
    return page


def test_a_plain_slider_moves_the_code_and_undo_brings_it_back(page: AppTest, bundle: Bundle) -> None:
    plain(page)
    before = here(page).z
    first = sliders(page)[0]
    _, _, basis, axis = first.key.split(":")
    first.set_value(1.5).run()
    after = here(page).z
    chosen = bases(bundle)[basis]
    assert chosen.values(after, bundle.stats.mean)[chosen.index(axis)] == pytest.approx(1.5, abs=0.01)
    assert sliders(page)[0].value == pytest.approx(1.5, abs=0.02)
    assert page.query_params["z"] == packing.pack(after, bundle.stats)
    page.button(key="plain-undo").click().run()
    assert np.array_equal(here(page).z, before)
    page.button(key="plain-redo").click().run()
    assert np.array_equal(here(page).z, after)


def test_a_locked_axis_keeps_its_value(page: AppTest, bundle: Bundle) -> None:
    plain(page)
    moved, held = (s.key.split(":", 2)[2] for s in sliders(page)[:2])
    page.multiselect(key=f"locks-{MODEL}").set_value([held]).run()
    basis = bases(bundle)[held.split(":")[0]]
    row = basis.index(held.split(":")[1])
    before = basis.values(here(page).z, bundle.stats.mean)[row]
    assert next(s for s in sliders(page) if s.key.endswith(held)).disabled
    next(s for s in sliders(page) if s.key.endswith(moved)).set_value(-2.0).run()
    assert basis.values(here(page).z, bundle.stats.mean)[row] == pytest.approx(before, abs=0.005)
    page.button(key="plain-random").click().run()
    assert basis.values(here(page).z, bundle.stats.mean)[row] == pytest.approx(before, abs=0.005)


def test_a_basis_switch_leaves_the_code_alone(page: AppTest) -> None:
    plain(page)
    before = here(page).z
    for name in ("raw", "principal"):
        page.radio(key=f"basis-{MODEL}").set_value(name).run()
        assert np.array_equal(here(page).z, before)


def test_any_axis_can_be_looked_for(page: AppTest) -> None:
    plain(page)
    page.radio(key=f"basis-{MODEL}").set_value("raw").run()
    count = len(sliders(page))
    page.multiselect(key=f"more-{MODEL}-raw").set_value([100]).run()
    assert len(sliders(page)) == count + 1


def test_the_seed_gives_the_same_face_everywhere(page: AppTest, bundle: Bundle) -> None:
    plain(page)
    page.number_input(key=f"seed-{MODEL}").set_value(7).run()
    drawn = settling.draw(bundle, 7, here(page).temperature)[0]
    assert np.abs(here(page).z - drawn).max() < 1e-3 * bundle.stats.std.max()


def test_a_link_gives_its_code(page: AppTest, bundle: Bundle) -> None:
    z = state.grid(latent.sample(bundle, 5, 0.7)[0], bundle)
    plain(page, **state.link(bundle, z))
    assert np.array_equal(here(page).z, z)
    assert not page.warning


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"hash": "000000000000", "z": "AAAA"}, "version"),
        ({"z": "!!!"}, "characters"),
        ({"z": "AAAA"}, "holds 3 bytes"),
        ({"model": "no-such-model", "hash": "000000000000"}, "not here"),
        ({"model": "half-copied", "hash": "000000000000", "z": "AAAA"}, "config.json"),
    ],
)
def test_a_bad_link_is_one_sentence_and_the_app_goes_on(
    page: AppTest, bundle: Bundle, query: dict[str, str], word: str
) -> None:
    plain(page, **{"hash": bundle.digest, **query})
    assert len(page.warning) == 1 and word in page.warning[0].value
    sliders(page)[0].set_value(1.0).run()
    assert not page.exception


def test_a_broken_model_is_named_with_its_reason(page: AppTest) -> None:
    plain(page)
    assert any("half-copied" in text.value and "config.json" in text.value for text in page.markdown)
    assert not any(button.key == "explore-pick-half-copied" for button in page.button)


def test_without_any_model_the_page_says_what_to_do(
    page: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "registry", Registry([tmp_path / "empty"]))
    page.run()
    assert not page.exception and "models folder" in page.info[0].value


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("text.png", b"not a picture", "PNG, JPEG or WebP"),
        ("cut.png", png(pictures.astronaut())[:5000], "damaged"),
        ("tiny.png", png(np.zeros((4, 4, 3), np.uint8)), "4 x 4"),
    ],
    ids=["text", "cut", "tiny"],
)
def test_a_wrong_upload_is_one_sentence(page: AppTest, name: str, data: bytes, word: str) -> None:
    plain(page)
    before = here(page).z
    upload(page, name, data)
    assert len(page.warning) == 1 and word in page.warning[0].value
    assert np.array_equal(here(page).z, before)
    assert page.session_state[state.KEY].photos == {}


def test_a_photo_sets_every_slider_and_starts_refining(page: AppTest, bundle: Bundle, refiner: FakeRefiner) -> None:
    plain(page)
    upload(page, "astronaut.png", png(pictures.astronaut()))
    photo = here(page).photo
    assert photo is not None and len(refiner.jobs) == 1
    assert np.abs(here(page).z - bundle.check_z(photo.mu)).max() < 1e-3 * bundle.stats.std.max()
    assert photo.psnr == pytest.approx(state.psnr(photo.crop, photo.once)) and photo.psnr > 12
    (x0, y0), (x1, y1) = photo.eyes
    assert 150 < x0 < x1 < 300 and abs(y0 - y1) < 20
    page.number_input(key=f"eye-{photo.id}-0").set_value(x0 - 5)
    page.button(key=f"eyes-{photo.id}").click().run()
    moved = here(page).photo
    assert moved.id != photo.id and moved.eyes[0][0] == pytest.approx(x0 - 5, abs=0.1)
    assert refiner.jobs[0].state == "cancelled" and len(refiner.jobs) == 2


def test_a_picture_without_a_face_waits_for_the_eyes(page: AppTest, refiner: FakeRefiner) -> None:
    plain(page)
    before = here(page).z
    upload(page, "cat.png", png(pictures.coffee()))
    assert here(page).photo is None and not refiner.jobs and np.array_equal(here(page).z, before)
    draft = page.session_state[state.KEY].drafts[MODEL]
    page.button(key=f"eyes-{draft.id}").click().run()
    assert here(page).photo is not None and len(refiner.jobs) == 1


def test_refined_offsets_are_drawn_and_can_be_switched_off(page: AppTest, bundle: Bundle, refiner: FakeRefiner) -> None:
    plain(page)
    upload(page, "astronaut.png", png(pictures.astronaut()))
    delta = np.full((1, bundle.levels, bundle.style_size), 0.05, np.float32)
    offset = np.random.default_rng(0).standard_normal(bundle.model.feature_shape).astype(np.float16)
    anchor = bundle.feature_map(here(page).z, delta)[0].astype(np.float16)
    feature = Feature(offset, anchor)
    refiner.jobs[0].latest = Step(64, 64, np.array([24.0], np.float32), delta, features=(feature,))
    refiner.jobs[0].state = "done"
    page.run()
    assert np.array_equal(here(page).delta, delta[0]) and here(page).feature is feature
    drawn, plain_picture = here(page).decode(bundle)[0], bundle.decode(here(page).z, delta)[0]
    assert np.array_equal(drawn, bundle.decode(here(page).z, delta, feature=offset, anchor=anchor)[0])
    assert np.abs(drawn.astype(int) - plain_picture).mean() > 2
    page.toggle(key=f"refined-{here(page).photo.id}").set_value(False).run()
    photo = here(page).photo
    once, guessed = photo.delta_once, photo.feature_once
    assert np.array_equal(here(page).delta, once) and here(page).feature is guessed  # what one pass gives
    more = {"feature": guessed.offset, "anchor": guessed.anchor}
    again = bundle.decode(here(page).z, once[None], **more)[0]
    assert np.array_equal(here(page).decode(bundle)[0], again) and np.array_equal(photo.once, again)
    assert photo.psnr > state.psnr(photo.crop, bundle.decode(here(page).z, once[None])[0]) + 5


def test_what_the_component_commits_is_taken_over_once(bundle: Bundle) -> None:
    z = state.grid(latent.sample(bundle, 1, 0.7)[0], bundle)
    current = state.Current(MODEL, bundle.digest, z, z, revision=9)
    other = state.grid(latent.sample(bundle, 2, 0.7)[0], bundle)
    sent = {
        "z": packing.pack(other, bundle.stats),
        "revision": 9,
        "axis": "raw:3",
        "seed": 2,
        "temperature": 0.5,
        "photo": None,
    }
    current.absorb(bundle, sent)
    assert np.array_equal(current.z, other) and current.axis == "raw:3" and current.temperature == 0.5
    current.put(z)
    current.absorb(bundle, sent)  # left over from before Python set another code
    assert np.array_equal(current.z, z)
    with pytest.raises(LatentError):
        current.absorb(bundle, {**sent, "revision": current.revision, "z": "AAAA"})


def test_the_live_page_mounts_and_follows_a_commit(page: AppTest, bundle: Bundle) -> None:
    page.query_params["model"] = MODEL
    page.run()
    assert not page.exception and not sliders(page)
    key = f"explore-{MODEL}-{bundle.digest}"
    z = latent.sample(bundle, 3, 0.7)[0]
    page.session_state[key] = {
        "code": {"z": packing.pack(z, bundle.stats), "revision": here(page).revision, "photo": None}
    }
    page.run()
    assert not page.exception
    assert np.array_equal(here(page).z, state.grid(z, bundle))


def test_exports(bundle: Bundle) -> None:
    z = state.grid(latent.sample(bundle, 4, 0.7)[0], bundle)
    current = state.Current(MODEL, bundle.digest, z, z, axis="raw:5")
    told = json.loads(export.code_json(bundle, current))
    assert np.array_equal(packing.unpack(told["z"], bundle.stats), z) and told["hash"] == bundle.digest
    assert np.allclose(told["code"], z) and len(told["sigma"]["raw"]) == bundle.latent_size
    with np.load(io.BytesIO(export.code_npz(bundle, current)), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["z"], z)
    assert np.array_equal(export.picture(bundle, current), bundle.decode(z)[0])
    frames = export.traversal(bundle, current)
    assert len(frames) == 2 * export.FRAMES - 2 and frames[0].shape == (128, 128, 3)
    assert np.abs(frames[0].astype(int) - frames[export.FRAMES - 1]).mean() > 1


def test_modules_have_one_version_that_follows_their_text() -> None:
    assert len(files.version()) == 12
    assert all(path.read_text("utf-8").startswith("/*") for path in files.WEB.rglob("*") if path.suffix in files.KINDS)
