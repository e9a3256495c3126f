"""Style offsets that the encoder reads from a picture, on their way through the app: its own from the first."""

from __future__ import annotations

import base64
import io
import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from tests.conftest import ROOT
from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.registry import Registry
from vae.photos import blend, recognition
from vae.photos.feature import Feature
from vae.photos.refine_job import Step
from vae.photos.refine_sources import with_offsets
from vae.photos.sources import drawn_source, photo_source, reconstruct
from vae.space import mixing
from vae.space.round_trip import round_trip
from vae.web.blend import live as blend_live
from vae.web.core import services, state
from vae.web.explore import live as explore_live
from vae.web.train import models as train_models

NAME = "tiny-offsets"


@pytest.fixture(scope="module")
def home(tiny_offset_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the model, which takes any picture's middle square."""
    folder = tmp_path_factory.mktemp("home")
    copy = shutil.copytree(tiny_offset_bundle, folder / "models" / NAME)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "eyes": None}))
    return folder


@pytest.fixture(scope="module")
def bundle(home: Path) -> Bundle:
    return open_bundle(home / "models" / NAME)


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def file(crop: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(crop).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def once(bundle: Bundle, crop: np.ndarray) -> np.ndarray:
    """The reconstruction in one pass; without the offsets it is another picture."""
    mu, _, delta = bundle.encode_with_offsets(crop[None])
    picture = bundle.decode(bundle.check_z(mu), delta)[0]
    assert np.abs(picture.astype(int) - bundle.decode(bundle.check_z(mu))[0]).mean() > 10
    return picture


@pytest.fixture(scope="module")
def site(home: Path, start_app: Callable[..., Any]) -> Iterator[str]:
    with start_app(home) as url:
        yield url


def post(site: str, path: str, body: bytes) -> bytes:
    request = urllib.request.Request(f"{site}/api/{path}", body, method="POST")
    with urllib.request.urlopen(request, timeout=300) as answer:
        return answer.read()


def some_feature(bundle: Bundle, seed: int = 0) -> Feature:
    """What a refinement may find of a photo."""
    offset, anchor = np.random.default_rng(seed).standard_normal((2, *bundle.model.feature_shape)).astype(np.float16)
    return Feature(offset, anchor)


class FakeRefiner:
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []

    def prewarm(self, *_: object) -> None:
        pass

    def start(self, bundle: Bundle, images: Any, z: Any, steps: int | None = None, delta: Any = None) -> Any:
        self.jobs.append(SimpleNamespace(id="a", state="running", latest=None, error=None, z=z, delta=delta))
        return self.jobs[-1]


# -- routes


def test_encode_tells_the_offsets_and_decode_takes_them(site: str, file: bytes, once: np.ndarray) -> None:
    found = json.loads(post(site, f"encode?model={NAME}", file))
    assert np.shape(found["delta"]) == (4, 16) and len(found["mu"]) == len(found["logvar"]) == 8
    record = np.concatenate([found["mu"], np.ravel(found["delta"])]).astype("<f4")
    body = post(site, f"decode?model={NAME}&offsets=1", record.tobytes())
    assert np.abs(np.frombuffer(body, np.uint8).reshape(32, 32, 3).astype(int) - once).max() <= 1


def test_a_model_without_offsets_answers_as_before(site: str, file: bytes) -> None:
    assert set(json.loads(post(site, "encode?model=digits-2d", file))) == {"model", "mu", "logvar", "eyes"}
    (placed,) = json.loads(post(site, "atlas/place?model=digits-2d&name=a.png", file))["placed"]
    assert set(placed) == {"name", "mu", "logvar"}


def test_a_picture_dropped_on_the_map_is_drawn_with_its_offsets(site: str, file: bytes, once: np.ndarray) -> None:
    (found,) = json.loads(post(site, f"atlas/place?model={NAME}&name=a.png", file))["placed"]
    record = base64.b64decode(found["mu"]) + base64.b64decode(found["delta"])
    sprite = Image.open(io.BytesIO(post(site, f"atlas/decoded?model={NAME}&tile=32&offsets=1", 2 * record)))
    tiles = np.asarray(sprite.convert("RGB")).astype(int)[:32, :64]
    assert np.abs(tiles - np.tile(once, (1, 2, 1))).mean() < 12  # WebP is lossy
    alone = Image.open(io.BytesIO(post(site, f"atlas/decoded?model={NAME}&tile=32", base64.b64decode(found["mu"]))))
    assert np.abs(np.asarray(alone.convert("RGB")).astype(int)[:32, :32] - once).mean() > 20


# -- Explore


def test_a_photo_has_its_offsets_from_the_first_picture_on(
    home: Path, bundle: Bundle, file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    refiner = FakeRefiner()
    monkeypatch.setattr(services, "refiner", refiner)
    monkeypatch.setattr(services, "registry", Registry([home / "models"]))
    page = AppTest.from_file(str(ROOT / "pages" / "explore.py"), default_timeout=300)
    page.query_params["plain"] = "1"
    page.run()
    page.file_uploader(key=f"upload-{NAME}").upload("a.png", file, "image/png").run()
    assert not page.exception

    def here() -> state.Current:
        return page.session_state[state.KEY].currents[NAME]

    photo = here().photo
    expected = bundle.encode_with_offsets(photo.crop[None])[2]
    assert np.array_equal(photo.delta_once, expected[0]) and np.array_equal(here().delta, expected[0])
    assert np.array_equal(photo.once, bundle.decode(here().z, expected)[0])
    assert photo.psnr == pytest.approx(state.psnr(photo.crop, photo.once))
    assert np.array_equal(refiner.jobs[0].delta, expected) and np.array_equal(refiner.jobs[0].z[0], here().z)
    told = explore_live.describe_photo(photo)
    assert told["delta"] is None
    assert np.array_equal(np.frombuffer(base64.b64decode(told["delta_once"]), "<f4"), expected.ravel())
    refiner.jobs[0].latest = Step(10, 30, np.array([27.0], np.float32), expected + 0.5)  # before anything beyond styles
    page.run()
    assert np.array_equal(here().delta, expected[0] + 0.5) and here().feature is None
    feature = some_feature(bundle)
    refiner.jobs[0].latest = Step(30, 30, np.array([30.0], np.float32), expected + 1, features=(feature,))
    refiner.jobs[0].state = "done"
    page.run()
    assert np.array_equal(here().delta, expected[0] + 1) and here().feature is feature
    assert explore_live.describe_photo(photo)["feature"] == feature.id
    page.toggle(key=f"refined-{photo.id}").set_value(False).run()
    assert np.array_equal(here().delta, expected[0]) and here().feature is None
    page.button(key="plain-mean").click().run()
    assert here().photo is None and here().delta is None and here().feature is None


# -- Blend


def test_people_of_a_blend_have_their_offsets_and_refining_begins_there(
    bundle: Bundle, file: bytes, once: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    refiner = FakeRefiner()
    monkeypatch.setattr(services, "refiner", refiner)
    source = photo_source(bundle, file, "a.png")
    expected = bundle.encode_with_offsets(source.crop[None])[2][0]
    assert np.array_equal(source.delta, expected) and not source.refined
    assert np.array_equal(reconstruct(bundle, [source])[0], once)
    drawn = drawn_source(bundle, 1)
    end = blend.blend(bundle, [source, drawn], mixing.pair_weights(bundle.levels, 0.0))
    assert np.array_equal(end, once) and drawn.delta is None
    found = some_feature(bundle, 1)
    (refined,) = with_offsets([source], [0], expected[None] + 1, (found,))
    assert refined.refined and np.array_equal(refined.delta, expected + 1) and refined.feature is found
    here = blend_live.Desk(bundle.digest, [blend_live.Person(refined), blend_live.Person(drawn)])
    blend_live.handle(bundle, here, {"name": "refine"})  # anew: from what the encoder said, not from where it ended
    assert np.array_equal(refiner.jobs[0].delta, expected[None])
    assert here.people[0].before.psnr == pytest.approx(recognition.likeness(bundle, source).psnr)
    feature = some_feature(bundle, 2)
    refiner.jobs[0].latest = Step(8, 8, np.array([30.0], np.float32), expected[None] + 2, features=(feature,))
    blend_live.handle(bundle, here, {"name": "refined"})
    after = here.people[0].source
    assert np.array_equal(after.delta, expected + 2) and after.refined and after.feature is feature
    picture = bundle.decode(source.z, expected[None] + 2, feature=feature.offset)[0]
    assert np.array_equal(blend.blend(bundle, [after, drawn], mixing.pair_weights(bundle.levels, 0.0)), picture)
    assert here.people[0].after.psnr == pytest.approx(state.psnr(source.crop, picture))
    assert blend_live.shown(bundle, here.people[0])["feature"] == feature.id
    assert blend_live.shown(bundle, here.people[1])["feature"] is None


def test_only_photos_that_are_not_refined_yet_offer_refining(
    bundle: Bundle, file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(blend_live, "component", lambda *_: lambda **given: told.append(given["data"]))
    source = photo_source(bundle, file, "a.png")
    for one in (source, with_offsets([source], [0], source.delta[None] + 1)[0]):
        blend_live.mount(bundle, blend_live.Desk(bundle.digest, [blend_live.Person(one)]))
    assert [data["refinable"] for data in told] == [True, False]
    assert np.array_equal(np.frombuffer(base64.b64decode(told[0]["sources"][0]["delta"]), "<f4"), source.delta.ravel())


# -- elsewhere


def test_the_map_s_error_of_reconstruction_is_that_of_one_pass(bundle: Bundle) -> None:
    pictures = bundle.decode(bundle.codes.mu)
    mu, _, delta = bundle.encode_with_offsets(pictures)
    difference = bundle.decode(mu, delta).astype(np.float64) - pictures
    assert np.allclose(round_trip(bundle), np.sqrt((difference**2).mean((1, 2, 3))), rtol=1e-3)


def test_models_are_compared_by_their_reconstructions_in_one_pass(bundle: Bundle, crop: np.ndarray) -> None:
    shown: list[np.ndarray] = []
    fakes = {"file_uploader": lambda *_, **__: [], "caption": lambda *_: None}
    fakes["image"] = lambda row, **_: shown.append(row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_models, "common_pictures", lambda *_: crop[None])
        patch.setattr(train_models, "strip", lambda images: images)
        patch.setattr(train_models, "st", SimpleNamespace(**fakes))
        train_models.same_pictures([bundle])
    mu, _, delta = bundle.encode_with_offsets(crop[None])
    assert np.array_equal(shown[0], crop[None]) and np.array_equal(shown[1], bundle.decode(mu, delta))
