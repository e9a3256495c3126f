"""What Explore saves opens again to the same pixels, and nothing else does."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from skimage import data as pictures

from tests.pictures import photo_file
from vae.bundles.bundle import Bundle
from vae.photos.feature import Feature
from vae.photos.sources import sample_source
from vae.space import mixing
from vae.web.blend.saved import read_blend
from vae.web.core import state
from vae.web.core.saved import SavedError, is_saved, read_saved
from vae.web.explore.export import code_json, code_npz


def session(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> state.Current:
    here = state.Studio()
    monkeypatch.setattr(state, "studio", lambda: here)
    return state.current(bundle)


def npz(**arrays: object) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


@pytest.mark.parametrize("save", [code_json, code_npz])
@pytest.mark.parametrize("photo", [False, True])
def test_a_saved_code_opens_to_the_same_pixels(bundle: Bundle, monkeypatch, save, photo: bool) -> None:
    here = session(bundle, monkeypatch)
    if photo:
        rng = np.random.default_rng(0)
        shape = bundle.model.feature_shape
        delta = rng.normal(0, 0.1, (bundle.levels, bundle.style_size)).astype(np.float32)
        anchor = bundle.feature_map(here.z, delta[None])[0].astype(np.float16)
        state.carry(
            bundle, here, here.z, delta, Feature(rng.normal(size=shape).astype(np.float16), anchor), "me", detail=0.6
        )
    z = state.grid(bundle.check_z(here.z + 0.4), bundle)  # an edit since
    here.z = z
    picture, data = here.decode(bundle)[0], save(bundle, here)
    assert is_saved(data)
    there = session(bundle, monkeypatch)
    assert not np.array_equal(there.decode(bundle)[0], picture)
    state.open_saved(bundle, there, data, "code.npz")
    assert np.array_equal(there.z, z)
    worst = np.abs(there.decode(bundle)[0].astype(int) - picture).max()
    assert worst <= (1 if photo else 0)  # JSON has six decimals of the style offsets
    assert (there.photo is None) == (not photo)
    if photo:
        assert there.photo.detail == pytest.approx(0.6) and there.photo.name == "code.npz"


def test_a_saved_blend_opens_to_the_same_pixels(bundle: Bundle) -> None:
    from vae.web.blend import live as blend_live
    from vae.web.blend.panels import code

    rng = np.random.default_rng(2)
    shape = bundle.model.feature_shape
    here = blend_live.Desk(bundle.digest)
    for k in range(3):
        source = sample_source(bundle, k)
        if k != 1:  # two photos and a drawn face
            delta = rng.normal(0, 0.1, (bundle.levels, bundle.style_size)).astype(np.float32)
            feature = Feature(rng.normal(size=shape).astype(np.float16), np.zeros(shape, np.float16))
            source = replace(source, delta=delta, feature=feature)
        here.people.append(blend_live.Person(source))
    here.weights = mixing.check_weights(rng.uniform(size=(bundle.levels, 3)), bundle.levels, 3)
    here.path, here.shift = "lerp", rng.normal(0, 0.2, bundle.latent_size).astype(np.float32)
    picture, data = here.picture(bundle), code(bundle, here)
    there = blend_live.Desk(bundle.digest)
    event = {"name": "photo", "slot": 0, "file": "blend.npz", "data": base64.b64encode(data).decode()}
    blend_live.handle(bundle, there, event)
    assert there.notice is None and len(there.people) == 3 and there.path == "lerp"
    assert np.array_equal(there.picture(bundle), picture)
    event["data"] = base64.b64encode(code_npz_of_another(data)).decode()
    blend_live.handle(bundle, there, event)
    assert "another model" in there.notice and len(there.people) == 3  # as it was


def code_npz_of_another(data: bytes) -> bytes:
    with np.load(io.BytesIO(data)) as file:
        return npz(**{**dict(file), "about": np.array(json.dumps({"model": "other", "hash": "0" * 12}))})


def test_files_that_are_no_blend_are_refused_by_a_sentence(bundle: Bundle) -> None:
    z, about = np.zeros((2, bundle.latent_size), np.float32), np.array(json.dumps({"hash": bundle.digest}))
    for arrays, words in (
        ({"z": z}, "no blend"),
        ({"z": z, "weights": np.ones((1, 5)), "about": about}, "does not fit"),
        ({"z": z[:, :4], "weights": np.ones((6, 2)), "about": about}, "does not fit"),
        ({"z": np.zeros((9, z.shape[1])), "weights": np.ones((6, 9)), "about": about}, "9 codes"),
        ({"z": z, "weights": np.ones((6, 2)), "about": np.array("nonsense")}, "does not fit"),
        ({"z": z, "weights": np.ones((6, 2)), "about": np.array("[]")}, "does not fit"),
        ({"z": z, "weights": np.ones((6, 2)), "about": about, "delta": np.zeros((1, 1))}, "delta"),
        ({"z": z, "weights": np.ones((6, 2)), "about": about, "shift": z[0] * np.nan}, "shift"),
    ):
        with pytest.raises(SavedError, match=words):
            read_blend(bundle, npz(**arrays))


def test_photos_and_sets_are_no_saved_codes() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.png", b"x")
    for data in (photo_file(pictures.astronaut(), "PNG"), packed.getvalue(), b"", b"a,b\n1,2\n"):
        assert not is_saved(data)


def test_files_that_do_not_fit_are_refused_by_a_sentence(bundle: Bundle, monkeypatch) -> None:
    here = session(bundle, monkeypatch)
    good = json.loads(code_json(bundle, here))
    d, shape = bundle.latent_size, bundle.model.feature_shape
    z, about = np.zeros(d, np.float32), {"hash": np.array(bundle.digest), "model": np.array(bundle.name)}
    lying = io.BytesIO()
    with zipfile.ZipFile(lying, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("z.npy", bytes(70 * 2**20))
    cases = [
        (json.dumps({**good, "hash": "0" * 12, "model": "other"}).encode(), "another model, other"),
        (json.dumps({**good, "code": [1, 2]}).encode(), "does not fit"),
        (json.dumps({**good, "code": [float("nan")] * d}).encode(), "does not fit"),
        (json.dumps({**good, "code": "text"}).encode(), "does not fit"),
        (json.dumps({**good, "delta": [[1.0]]}).encode(), "style offsets"),
        (json.dumps({**good, "feature": "AAAA", "anchor": "AAAA"}).encode(), "does not fit"),
        (json.dumps({**good, "feature": "?"}).encode(), "does not fit"),
        (json.dumps({**good, "detail": "much"}).encode(), "does not fit"),
        (b"{}", "no code that the app has saved"),
        (b"{broken", "damaged"),
        (b"[1]", "no code"),
        (code_npz(bundle, here)[:200], "damaged"),
        (npz(z=np.array([{}], object), **about), "damaged"),  # a pickle is never opened
        (npz(z=z, weights=np.ones((6, 2))), "Blend page"),
        (npz(z=z, feature=np.full(shape, np.nan, np.float16), anchor=np.zeros(shape, np.float16), **about), "finite"),
        (lying.getvalue(), "unpacks to more than"),
    ]  # fmt: skip
    for data, words in cases:
        with pytest.raises(SavedError, match=words) as caught:
            read_saved(bundle, data)
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value), words
    assert read_saved(bundle, npz(z=z, **about)).delta is None


def test_the_upload_of_explore_takes_a_saved_code(bundle: Bundle, monkeypatch) -> None:
    from vae.web.core import photo as panel

    here = session(bundle, monkeypatch)
    z = state.grid(bundle.check_z(here.z * 0.5), bundle)
    here.z = z
    data, there = code_npz(bundle, here), session(bundle, monkeypatch)
    store = state.studio()
    monkeypatch.setattr(panel, "studio", lambda: store)
    file = SimpleNamespace(file_id="one", name="code.npz", getvalue=lambda: data)
    for name, value in (("file_uploader", file), ("segmented_control", "Upload"), ("warning", None)):
        monkeypatch.setattr(panel.st, name, lambda *_, value=value, **__: value)
    panel.panel(bundle, there, None)
    assert np.array_equal(there.z, z) and bundle.name not in store.refusals
    file.file_id, file.getvalue = "two", lambda: data[:100]
    panel.panel(bundle, there, None)
    assert "damaged" in store.refusals[bundle.name] and np.array_equal(there.z, z)
