"""Feature offsets of refined photos over HTTP and in what the pages export."""

from __future__ import annotations

import base64
import gc
import io
import json
import struct
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.web.asgi import ask
from vae import media
from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.registry import Registry
from vae.photos import blend
from vae.photos.feature import Feature, find
from vae.photos.refine_job import Job, Step
from vae.photos.sources import code_source
from vae.web.blend import live as blend_live
from vae.web.blend import panels
from vae.web.core import services, state
from vae.web.core.mount import describe
from vae.web.explore import export
from vae.web.live.decoding import MAX_FEATURES


@pytest.fixture(scope="module")
def bundle(tiny_style_bundle) -> Bundle:
    return open_bundle(tiny_style_bundle)


@pytest.fixture(autouse=True)
def models(bundle, tiny_offset_bundle, tiny_bundle, monkeypatch) -> None:
    """The routes know the tiny models only."""
    folders = [folder.parent for folder in (bundle.path, tiny_offset_bundle, tiny_bundle)]
    monkeypatch.setattr(services, "registry", Registry(folders))


def some(bundle: Bundle, seed: int = 0) -> Feature:
    """Near enough to the decoder's own maps that its gate lets a part through."""
    rng = np.random.default_rng(seed)
    anchor = bundle.feature_map(rng.standard_normal(8))[0]
    return Feature(rng.standard_normal(anchor.shape).astype(np.float16), anchor.astype(np.float16))


def decode(query: str, *records: np.ndarray) -> np.ndarray:
    answer = ask("POST", f"/api/decode?{query}", data=np.concatenate(records, axis=1).astype("<f4").tobytes())
    assert answer.status == 200, answer.content
    shape = [int(n) for n in answer.headers["x-image-shape"].split(",")]
    return np.frombuffer(answer.content, np.uint8).reshape(shape)


def refused(status: int, method: str, path: str, **body: object) -> str:
    """The one sentence of a refusal."""
    answer = ask(method, path, **body)
    assert answer.status == status and list(answer.json()) == ["error"], answer.content
    sentence = answer.json()["error"]
    assert len(sentence) > 15 and "\n" not in sentence
    return sentence


# -- routes


def test_a_held_feature_is_sent_as_half_numbers_and_a_gone_one_is_refused(bundle) -> None:
    feature = some(bundle)
    answer = ask("GET", f"/api/features/{feature.id}")
    assert answer.status == 200 and answer.headers["cache-control"] == "no-store"
    offset, anchor = np.frombuffer(answer.content, "<f2").reshape(2, *bundle.model.feature_shape)
    assert np.array_equal(offset, feature.offset) and np.array_equal(anchor, feature.anchor)
    name, body = feature.id, {"data": np.zeros(9, "<f4").tobytes()}
    assert ask("POST", f"/api/decode?model={bundle.name}&features={name}", **body).status == 200
    del feature
    gc.collect()
    assert find(name) is None
    for said in (
        refused(410, "GET", f"/api/features/{name}"),
        refused(410, "GET", "/api/features/guess"),
        refused(410, "POST", f"/api/decode?model={bundle.name}&features={name}", **body),
    ):
        assert "load the photo again" in said


def test_decode_adds_shares_of_features_after_each_code(bundle) -> None:
    rng = np.random.default_rng(1)
    features = [some(bundle, seed) for seed in range(4)]
    offsets = np.stack([feature.offset.astype(np.float64) for feature in features])
    z, shares = bundle.check_z(rng.standard_normal((5, 8))), rng.dirichlet([1] * 4, 5).astype(np.float32)
    shares[0] = [0, 1, 0, 0]
    shares[1] = 0
    names = ",".join(feature.id for feature in features)
    wanted = bundle.decode(z, feature=np.einsum("nk,kchw->nchw", shares, offsets))
    found = decode(f"model={bundle.name}&features={names}", z, shares)
    assert found.shape == (5, 32, 32, 3) and np.abs(found.astype(int) - wanted).max() <= 1
    assert np.array_equal(found[1], bundle.decode(z[1])[0])
    assert np.abs(found.astype(int) - bundle.decode(z)).mean() > 3
    # of several, none gives way
    assert np.array_equal(decode(f"model={bundle.name}&features={names}&held=1", z, shares), found)

    delta = 0.3 * rng.standard_normal((5, 4, 16)).astype(np.float32)
    levels = bundle.check_z(rng.standard_normal((5, 4, 8)))
    query = f"model={bundle.name}&layout=levels&offsets=1&features={features[2].id}"
    parts, share = (levels.reshape(5, -1), delta.reshape(5, -1)), shares[:, :1]
    alone = share[:, :, None, None] * offsets[2]
    for held, anchor in (("", None), ("&held=1", features[2].anchor)):
        wanted = bundle.decode(levels, delta, feature=alone, anchor=anchor)
        assert np.abs(decode(query + held, *parts, share).astype(int) - wanted).max() <= 1
    full, gated = (bundle.decode(levels, delta, feature=alone, anchor=a) for a in (None, features[2].anchor))
    assert np.abs(full.astype(int) - gated).max() > 3  # so that held=1 makes a difference here


def test_decode_at_a_lower_level_and_as_png_takes_features(bundle) -> None:
    feature, z = some(bundle), bundle.check_z(np.random.default_rng(2).standard_normal((1, 8)))
    record, given = np.full((1, 1), 0.7), {"feature": 0.7 * feature.offset.astype(np.float32), "anchor": feature.anchor}
    query = f"model={bundle.name}&held=1&features={feature.id}"
    for size in bundle.preview_sizes:
        small = decode(f"{query}&size={size}", z, record)
        assert np.abs(small.astype(int) - bundle.decode(z, size=size, **given)).max() <= 1
    body = np.concatenate([z, record], axis=1).astype("<f4").tobytes()
    png = Image.open(io.BytesIO(ask("POST", f"/api/decode?{query}&format=png", data=body).content))
    assert np.abs(np.asarray(png.convert("RGB")).astype(int) - bundle.decode(z, **given)[0]).max() <= 1


def test_what_decode_refuses_of_features(bundle, tiny_bundle) -> None:
    feature = some(bundle)
    wrong = Feature(np.zeros((5, 8, 8), np.float16), np.zeros((5, 8, 8), np.float16))
    flat, name = tiny_bundle.name, bundle.name
    data = {"data": np.zeros(9, "<f4").tobytes()}
    said = refused(400, "POST", f"/api/decode?model={name}&features={wrong.id}", **data)
    assert "another model" in said and name in said
    for count in (3, 8):  # with and without a share
        body = np.zeros(count, "<f4").tobytes()
        said = refused(400, "POST", f"/api/decode?model={flat}&features={feature.id}", data=body)
        assert "another model" in said and flat in said
    many = ",".join([feature.id] * (MAX_FEATURES + 1))
    said = refused(400, "POST", f"/api/decode?model={name}&features={many}", data=np.zeros(13, "<f4").tobytes())
    assert "more than 4" in said
    four = ",".join([feature.id] * MAX_FEATURES)
    assert ask("POST", f"/api/decode?model={name}&features={four}", data=np.zeros(12, "<f4").tobytes()).status == 200
    assert "records of 9 float32" in refused(
        400, "POST", f"/api/decode?model={name}&features={feature.id}", data=np.zeros(8, "<f4").tobytes()
    )
    nan = np.array([[0.0] * 8 + [np.nan]], "<f4").tobytes()
    assert "not finite" in refused(400, "POST", f"/api/decode?model={name}&features={feature.id}", data=nan)


def test_the_largest_batch_with_features_is_taken(bundle) -> None:
    held = [some(bundle, seed) for seed in range(MAX_FEATURES)]
    record = 4 * (8 + 16) + MAX_FEATURES
    query = f"model={bundle.name}&layout=levels&offsets=1&size=8&features={','.join(one.id for one in held)}"
    assert decode(query, np.zeros((64, record))).shape == (64, 8, 8, 3)
    body = np.zeros(65 * record, "<f4").tobytes()
    assert ask("POST", f"/api/decode?{query}", data=body).status in (400, 413)


def test_the_stream_of_a_refinement_carries_pictures_and_names_features(bundle, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    job = Job(2, 8, lambda job: None)
    deltas, pictures = rng.standard_normal((2, 2, 4, 16)).astype(np.float32), rng.integers(0, 256, (2, 2, 32, 32, 3))
    pictures, features = pictures.astype(np.uint8), (some(bundle, 1), some(bundle, 2))
    job.run()
    job.add(Step(8, 8, np.array([20, 21.5], np.float32), deltas[1], pictures[1], features))
    job.end("done", None)
    monkeypatch.setattr(services, "refiner", SimpleNamespace(get=lambda name: job if name == job.id else None))
    body = ask("GET", f"/api/refine/{job.id}").content
    frames = []
    while body:
        (length,) = struct.unpack("<I", body[:4])
        line, rest = body[4 : 4 + length].split(b"\n", 1)
        frames.append((json.loads(line), rest))
        body = body[4 + length :]
    (head, rest), (end, nothing) = frames
    assert head == {
        "step": 8, "total": 8, "state": "running", "psnr": [20.0, 21.5], "offsets": 2 * 4 * 16,
        "features": [feature.id for feature in features],
    }  # fmt: skip
    assert np.array_equal(np.frombuffer(rest[: 4 * 128], "<f4").reshape(2, 4, 16), deltas[1])
    assert np.array_equal(np.frombuffer(rest[4 * 128 :], np.uint8).reshape(2, 32, 32, 3), pictures[1])
    assert end["state"] == "done" and not end.get("offsets") and nothing == b""


# -- what the pages keep and export


@pytest.fixture
def here(bundle) -> state.Current:
    """A refined photo on Explore, moved away from its own code, with a part of its detail."""
    rng = np.random.default_rng(3)
    z = state.grid(bundle.check_z(rng.standard_normal(8)), bundle)
    delta = 0.3 * rng.standard_normal((4, 16)).astype(np.float32)
    anchor = bundle.feature_map(z, delta)[0].astype(np.float16)
    feature = Feature(rng.standard_normal(anchor.shape).astype(np.float16), anchor)
    empty = np.zeros((32, 32, 3), np.uint8)
    photo = state.Photo("a", "a.png", empty, [], None, empty, z, z, empty, 20.0, delta=delta, feature=feature)
    photo.detail = 0.8
    moved = state.grid(bundle.check_z(z + 0.2 * rng.standard_normal(8)), bundle)
    return state.Current(bundle.name, bundle.digest, moved, z, photo=photo, axis="raw:1")


def test_a_photo_is_drawn_with_its_share_of_detail(bundle, here) -> None:
    photo = here.photo
    for detail in (0.0, 0.3, 1.0):
        photo.detail = detail
        offset = detail * photo.feature.offset.astype(np.float32)
        wanted = bundle.decode(here.z, photo.delta[None], feature=offset, anchor=photo.feature.anchor)
        assert np.array_equal(here.decode(bundle), wanted)
        assert detail or np.array_equal(wanted, bundle.decode(here.z, photo.delta[None]))
    codes = np.stack([here.z, here.origin])
    both = here.decode(bundle, codes)
    for i in range(2):
        assert np.array_equal(both[i], here.decode(bundle, codes[i])[0])
    photo.refined = False
    assert here.feature is None and np.array_equal(here.decode(bundle), bundle.decode(here.z))


def test_an_exported_code_decodes_to_the_picture_on_the_page(bundle, here) -> None:
    picture = export.picture(bundle, here)
    assert np.abs(picture.astype(int) - bundle.decode(here.z, here.delta[None])[0]).mean() > 3
    with np.load(io.BytesIO(export.code_npz(bundle, here)), allow_pickle=False) as file:
        share = file["detail"] * file["feature"].astype(np.float32)
        again = bundle.decode(file["z"], file["delta"], feature=share, anchor=file["anchor"])[0]
    assert np.array_equal(again, picture)
    told = json.loads(export.code_json(bundle, here))
    offset, anchor = (
        np.frombuffer(base64.b64decode(told[key]), "<f2").reshape(told["shape"]) for key in ("feature", "anchor")
    )
    share = told["detail"] * offset.astype(np.float32)
    again = bundle.decode(told["code"], told["delta"], feature=share, anchor=anchor)[0].astype(int)
    assert np.abs(again - picture).max() <= 1 and (again != picture).mean() < 0.01  # its numbers have six decimals
    png = Image.open(io.BytesIO(media.png(picture)))
    assert np.array_equal(np.asarray(png.convert("RGB")), picture)


def test_without_a_feature_nothing_of_one_is_exported(bundle, here) -> None:
    here.photo.feature = None
    told = json.loads(export.code_json(bundle, here))
    with np.load(io.BytesIO(export.code_npz(bundle, here)), allow_pickle=False) as file:
        assert not {"feature", "anchor", "detail"} & {*told, *file} and {"z", "delta"} <= set(file)


def test_a_film_of_an_axis_is_of_the_person(bundle, here) -> None:
    frames, feature = export.traversal(bundle, here), here.photo.feature
    here.photo.feature = None
    without = export.traversal(bundle, here)
    assert np.abs(np.array(frames).astype(int) - np.array(without)).mean() > 2
    basis, row = export.axis_of(bundle, here)
    z = export.move(here.z, bundle.stats.mean, basis, row, -3)
    share = 0.8 * feature.offset.astype(np.float32)
    assert np.array_equal(
        frames[0], bundle.decode(z.astype(np.float32), here.delta[None], feature=share, anchor=feature.anchor)[0]
    )


@pytest.mark.parametrize(
    ("sent", "kept"), [(0.25, 0.25), (0, 0.0), (1, 1.0), (1.5, 0.8), (-1, 0.8), ("a", 0.8), (None, 0.8)]
)
def test_the_component_s_share_of_detail_is_taken_over(bundle, here, monkeypatch, sent, kept) -> None:
    studio = state.Studio(photos={here.photo.id: here.photo})
    monkeypatch.setattr(state, "studio", lambda: studio)
    code = state.link(bundle, here.z)["z"]
    here.absorb(bundle, {"z": code, "revision": here.revision, "photo": "a", "refined": True, "detail": sent})
    assert here.photo.detail == kept


def test_the_page_is_told_where_features_stand(bundle, tiny_bundle) -> None:
    assert describe(bundle)["feature"] == list(bundle.model.feature_shape)
    assert describe(open_bundle(tiny_bundle))["feature"] is None


@pytest.fixture
def desk(bundle) -> blend_live.Desk:
    """Two refined people and a drawn one."""
    rng, people = np.random.default_rng(4), []
    for i in range(3):
        source = code_source(bundle, rng.standard_normal(8), f"face {i}")
        if i < 2:
            delta = 0.3 * rng.standard_normal((4, 16)).astype(np.float32)
            source = replace(source, delta=delta, feature=some(bundle, i), refined=True)
        people.append(blend_live.Person(source))
    weights = rng.dirichlet([1, 1, 1], 4)
    return blend_live.Desk(bundle.digest, people, weights)


def test_a_blend_carries_features_into_its_picture_and_code(bundle, desk) -> None:
    z, delta = blend.blend_codes(bundle, desk.sources, desk.weights[None])
    share = sum(desk.weights[1, i] * desk.sources[i].feature.offset.astype(np.float32) for i in range(2))
    wanted = bundle.decode(z, delta, feature=share)[0]
    assert np.abs(desk.picture(bundle).astype(int) - wanted).max() <= 1
    with np.load(io.BytesIO(panels.code(bundle, desk)), allow_pickle=False) as file:
        assert file["feature"].shape == (3, *bundle.model.feature_shape) and not file["feature"][2].any()
        again = np.einsum("k,kchw->chw", desk.weights[1], file["feature"].astype(np.float64))
        assert np.abs(bundle.decode(z, delta, feature=again)[0].astype(int) - wanted).max() <= 1


def test_a_blend_sent_to_explore_is_the_same_picture_there(bundle, desk, monkeypatch) -> None:
    studio = state.Studio()
    monkeypatch.setattr(state, "studio", lambda: studio)
    monkeypatch.setattr(blend_live.state, "grid", lambda z, _: np.asarray(z, np.float32))
    blend_live.adopt(bundle, desk)
    (current,) = studio.currents.values()
    assert current.feature is not None and current.photo.detail == 1.0
    assert np.abs(current.decode(bundle)[0].astype(int) - desk.picture(bundle)).max() <= 2
    assert current.photo.refined_psnr > 45
