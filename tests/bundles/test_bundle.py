"""An open bundle: what it says of itself, decodes, encodes and cuts."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from tests.conftest import make_tiny_bundle
from vae.bundles.bundle import open_bundle
from vae.bundles.contract import BundleError, no_feature
from vae.networks.autoencoder import Autoencoder
from vae.networks.weights import load_weights

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def flat(tiny_bundle):
    return open_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def style(tiny_style_bundle):
    return open_bundle(tiny_style_bundle)


def test_an_open_bundle_knows_its_shape(style, flat):
    assert (style.image_size, style.channels, style.latent_size, style.levels, style.style_size) == (32, 3, 8, 4, 16)
    assert style.preview_sizes == (16, 8) and style.eyes == ((11, 16), (20, 16))
    assert (flat.levels, flat.style_size, flat.preview_sizes, flat.eyes) == (0, 0, (), None)
    assert len(style.digest) == 12 and style.digest != flat.digest
    assert style.codes.mu.shape == style.codes.logvar.shape == (180, 8) and style.codes.labels.shape == (180, 10)
    assert "Tiny style" in style.card


def test_decode_takes_every_shape_of_code(style, flat):
    z = np.random.default_rng(0).standard_normal((3, 8))
    images = style.decode(z)
    assert images.shape == (3, 32, 32, 3) and images.dtype == np.uint8 and images.std() > 0
    assert (style.decode(z[1])[0] == images[1]).all()
    assert (style.decode(np.repeat(z[:, None], 4, axis=1)) == images).all()
    assert flat.decode(np.zeros(2)).shape == (1, 16, 16, 1)


def test_decode_in_chunks_gives_the_same_pictures(style):
    z = np.random.default_rng(1).standard_normal((21, 8))
    assert np.abs(style.decode(z).astype(int) - np.concatenate([style.decode(one) for one in z]).astype(int)).max() <= 1


def test_each_level_takes_its_own_code_and_offsets(style):
    a, b = np.random.default_rng(2).standard_normal((2, 8))
    mixed = np.stack([a, a, b, b])[None]
    same_until_cut = [style.decode_float(mixed, size=size) for size in (8,)]
    assert np.allclose(same_until_cut[0], style.decode_float(a, size=8), atol=1e-5)
    assert np.abs(style.decode_float(mixed) - style.decode_float(a)).max() > 1e-3
    delta = np.zeros((4, 16), np.float32)
    assert (style.decode_float(a, delta) == style.decode_float(a)).all()
    delta[3] = 1
    assert np.abs(style.decode_float(a, delta) - style.decode_float(a)).max() > 1e-3
    assert np.allclose(style.decode_float(a, delta, size=16), style.decode_float(a, size=16), atol=1e-6)


def test_the_halves_make_the_whole(style):
    z = np.random.default_rng(3).standard_normal((2, 4, 8)).astype(np.float32)
    delta = np.random.default_rng(4).standard_normal((2, 4, 16)).astype(np.float32)
    feature, anchor = np.random.default_rng(5).standard_normal((2, 2, *style.model.feature_shape)).astype(np.float32)
    for level, size in ((2, 16), (1, 8)):
        head, tail = (ort.InferenceSession(part) for part in style.split(size))
        assert {i.name for i in head.get_inputs()} == {"z", "delta", "feature", "anchor"}
        assert [o.name for o in tail.get_outputs()] == ["image"]
        names = [f"rgb.{level}", f"x.{level}", "w"]
        assert {o.name for o in head.get_outputs()} == {i.name for i in tail.get_inputs()} == set(names)
        for given in ({}, {"feature": feature, "anchor": anchor}):
            feed = {"z": z, "delta": delta, **no_feature(style.model), **given}
            values = dict(zip(names, head.run(names, feed)))
            assert values["w"].shape == (2, 4, 16)
            assert np.allclose(values[names[0]], style.decode_float(z, delta, size, **given), atol=1e-5)
            assert np.allclose(tail.run(None, values)[0], style.decode_float(z, delta, **given), atol=1e-5)
    with pytest.raises(BundleError, match="8, 16, 32"):
        style.split(12)


def test_the_halves_make_the_whole_of_a_linear_path(tmp_path):
    bundle = open_bundle(make_tiny_bundle(tmp_path, "style", linear=True))
    z = np.random.default_rng(3).standard_normal((2, 4, 8)).astype(np.float32)
    whole = bundle.decode_float(z)
    for level, size in ((2, 16), (1, 8)):
        assert bundle.decode_float(z, size=size).shape == (2, 3, size, size)
        head, tail = (ort.InferenceSession(part) for part in bundle.split(size))
        names = [f"rgb.{level}", f"x.{level}", "w"]
        assert {i.name for i in tail.get_inputs()} == {*names, "z"}
        feed = {"z": z, "delta": np.zeros((2, 4, 16), np.float32), **no_feature(bundle.model)}
        values = dict(zip(names, head.run(names, feed)))
        assert np.allclose(tail.run(None, {**values, "z": z})[0], whole, atol=1e-5)
    model = Autoencoder(bundle.model)
    model.load_state_dict(load_weights(bundle.path))
    with torch.no_grad():
        assert np.allclose(model.decode(torch.from_numpy(z)).numpy(), whole, atol=1e-4)


def test_decode_stops_at_a_lower_level(style, flat):
    assert style.decode(np.zeros(8), size=16).shape == (1, 16, 16, 3)
    assert style.decode(np.zeros(8), size=32).shape == (1, 32, 32, 3)
    for bundle, size in ((style, 64), (style, 0), (flat, 8)):
        with pytest.raises(BundleError, match="cannot decode"):
            bundle.decode(np.zeros(bundle.latent_size), size=size)


def test_encode_takes_bytes_and_numbers(style):
    images = np.random.default_rng(5).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
    mu, logvar = style.encode(images)
    assert mu.shape == logvar.shape == (11, 8) and mu.dtype == np.float32
    assert (logvar >= -8).all() and (logvar <= 4).all()
    again, _ = style.encode(images.transpose(0, 3, 1, 2) / 127.5 - 1)
    assert np.allclose(mu, again, atol=1e-5)
    for wrong in (images[0], images[:, :16], images[..., :1], np.full((1, 3, 32, 32), np.nan), images.astype(int)):
        with pytest.raises(BundleError):
            style.encode(wrong)


def test_the_encoder_reads_offsets_where_the_model_has_them(style, tiny_offset_bundle):
    images = np.random.default_rng(5).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    mu, logvar, none = style.encode_with_offsets(images)
    assert none is None and all((a == b).all() for a, b in zip((mu, logvar), style.encode(images)))
    bundle = open_bundle(tiny_offset_bundle)
    mu, logvar, delta = bundle.encode_with_offsets(images)
    assert delta.shape == (3, 4, 16) and delta.dtype == np.float32 and delta.std() > 0.01
    assert all((a == b).all() for a, b in zip((mu, logvar), bundle.encode(images)))
    model = Autoencoder(bundle.model)
    model.load_state_dict(load_weights(bundle.path))
    with torch.no_grad():
        q = model.encode(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1)
        assert np.allclose(q.delta.numpy(), delta, atol=1e-4)
        assert np.allclose(model.decode(q.mu, q.delta).numpy(), bundle.decode_float(mu, delta), atol=1e-3)


def test_check_z_clips_and_refuses(style):
    stats = style.stats
    z = style.check_z(np.full(8, 1e6))
    assert z.dtype == np.float32 and np.allclose(z, stats.mean + 6 * stats.std, rtol=1e-5)
    inside = stats.mean.astype(np.float32)
    kept = style.check_z(inside)
    assert (kept == inside).all() and kept is not inside
    assert style.check_z(np.zeros((5, 4, 8))).shape == (5, 4, 8)
    for wrong in (np.zeros(7), np.zeros((2, 9)), np.zeros((2, 3, 8)), np.zeros((0, 8)), 3.0, np.full(8, np.nan),
                  [1e400] * 8, "z", None, [[1], [1, 2]], np.zeros(8, complex)):  # fmt: skip
        with pytest.raises(BundleError):
            style.check_z(wrong)


def test_style_offsets_that_do_not_fit_are_refused(style, flat):
    for delta in (np.zeros((3, 16)), np.zeros((2, 4, 16)), np.full((4, 16), np.inf)):
        with pytest.raises(BundleError, match="style offsets"):
            style.decode(np.zeros(8), delta)
    with pytest.raises(BundleError, match="no styles"):
        flat.decode(np.zeros(2), np.zeros((4, 16)))


def test_many_threads_get_their_own_pictures(tiny_style_bundle):
    bundle = open_bundle(tiny_style_bundle)  # not yet loaded: the threads meet in the loading, too
    z = np.random.default_rng(6).standard_normal((8, 8))
    found: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        for _ in range(5):
            found[i] = bundle.decode(z[i], size=(16, None)[i % 2])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(8):
        assert np.abs(found[i].astype(int) - bundle.decode(z[i], size=(16, None)[i % 2])).max() <= 1


def test_opening_and_decoding_needs_no_torch(tiny_style_bundle):
    code = (
        "import sys; from vae.bundles.bundle import open_bundle; from vae.space import axes, latent;"
        f"b = open_bundle({str(tiny_style_bundle)!r}); b.warm_up(); b.split(16); b.decode(latent.sample(b, 1, 0.7));"
        "axes.bases(b); print({'torch', 'torchvision', 'onnxscript', 'streamlit', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
