"""Decoders that take a feature offset: what is added to the map at a quarter of the side, and where it gives way."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from vae.bundles import feature
from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.contract import FREE, BundleError, level_at, no_feature
from vae.bundles.sessions import make_session


def some(bundle: Bundle, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*shape, *bundle.model.feature_shape)).astype(np.float32)


@pytest.fixture(scope="module")
def style(tiny_style_bundle) -> Bundle:
    return open_bundle(tiny_style_bundle)


@pytest.fixture(scope="module", params=["tiny_style_bundle", "tiny_offset_bundle", "faces-128"])
def any_bundle(request) -> Bundle:
    if request.param == "faces-128":
        from vae.bundles.registry import default_registry

        return default_registry().get(request.param)
    return open_bundle(request.getfixturevalue(request.param))


def inputs(bundle: Bundle, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    z = rng.standard_normal((count, bundle.levels, bundle.latent_size)).astype(np.float32)
    return {"z": z, "delta": 0.2 * rng.standard_normal((count, bundle.levels, bundle.style_size)).astype(np.float32)}


def test_without_an_offset_the_pictures_are_those_of_the_file(any_bundle) -> None:
    feed = inputs(any_bundle, 2)
    file = make_session((any_bundle.path / "decoder.onnx").read_bytes(), "decoder.onnx")
    # one at a time, as the app runs them: a batch may be summed in another order
    wanted = [file.run(["image"], {key: value[i : i + 1] for key, value in feed.items()})[0] for i in range(2)]
    whole = make_session(any_bundle.whole(), "decoder.onnx")
    maps = some(any_bundle, 1)
    for none in (
        no_feature(any_bundle.model),
        {"feature": np.zeros_like(maps), "anchor": no_feature(any_bundle.model)["anchor"]},
        {"feature": np.zeros_like(maps), "anchor": maps},
    ):
        for i in range(2):
            found = whole.run(["image"], {**{key: value[i : i + 1] for key, value in feed.items()}, **none})[0]
            assert np.array_equal(found, wanted[i])
    pictures = np.floor(np.clip(np.concatenate(wanted) * np.float32(127.5) + np.float32(128), 0, 255)).astype(np.uint8)
    pictures = pictures.transpose(0, 2, 3, 1)
    zero = np.zeros(any_bundle.model.feature_shape)
    for given in ({}, {"feature": zero}, {"feature": zero, "anchor": maps[0]}):
        assert np.array_equal(any_bundle.decode(feed["z"], feed["delta"], **given), pictures)


def gate(x: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """(N, 1, h, h): how much of an offset is left, written out."""
    x, anchor = x.astype(np.float64), anchor.astype(np.float64)
    far = np.sqrt(((x - anchor) ** 2).mean(1)) / np.sqrt((anchor**2).mean((1, 2, 3)))[:, None, None]
    size = far.shape[-1]
    near = np.empty_like(far)
    for i in range(size):
        for j in range(size):
            near[:, i, j] = far[:, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].mean((1, 2))
    return np.exp(-((near / feature.TAU) ** 2))[:, None]


@pytest.fixture(scope="module")
def opened(style):
    """The graph, with the map before and after the offset as outputs."""
    model = feature.with_feature((style.path / "decoder.onnx").read_bytes(), style.model)
    onnx.checker.check_model(model)
    names = [FREE, f"x.{level_at(style.model.feature_shape[1])}"]
    for name in names:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = ort.InferenceSession(model.SerializeToString())
    return lambda feed: session.run(names, feed)


@pytest.mark.parametrize("count", [1, 2])
def test_the_gate_is_its_formula(style, opened, count) -> None:
    feed, offset = inputs(style, 2), some(style, count, seed=2)
    free = style.feature_map(feed["z"], feed["delta"])
    # near to the map at some places, far from it at others
    anchor = free[:count] + np.linspace(0, 3, free.shape[-1])[None, None, None].astype(np.float32) * some(style, count)
    before, after = opened({**feed, "feature": offset, "anchor": anchor})
    assert np.allclose(before, free, atol=1e-5)
    kept = gate(free, np.broadcast_to(anchor, free.shape))
    assert kept.min() < 0.1 and kept.max() > 0.8
    assert np.allclose(after, free + offset * kept, atol=1e-4)


def test_without_an_anchor_the_offset_acts_in_full(style, opened) -> None:
    feed, offset = inputs(style, 2), some(style, 2, seed=3)
    none = no_feature(style.model)["anchor"]
    for anchor in (none, np.zeros_like(offset)):
        before, after = opened({**feed, "feature": offset, "anchor": anchor})
        assert np.array_equal(after, before + offset)
    far = opened({**feed, "feature": offset, "anchor": 1e3 * offset})[1]
    assert not np.allclose(far, before + offset, atol=0.1)


def test_decode_takes_an_offset_for_each_code_or_one_for_all(style) -> None:
    feed, offsets = inputs(style, 3), some(style, 3, seed=4)
    anchors = style.feature_map(feed["z"], feed["delta"]) + 0.3 * some(style, 3, seed=5)
    z, delta = feed["z"], feed["delta"]
    whole = ort.InferenceSession(style.whole())
    for given in ({"feature": offsets}, {"feature": offsets, "anchor": anchors}):
        wanted = whole.run(["image"], {**feed, **no_feature(style.model), **given})[0]
        assert np.allclose(style.decode_float(z, delta, **given), wanted, atol=1e-5)
        for size in style.preview_sizes:  # the levels from that of the offset on have it
            plain = style.decode_float(z, delta, size)
            assert np.abs(style.decode_float(z, delta, size, **given) - plain).mean() > 1e-3
    one = style.decode_float(z, delta, feature=offsets[0], anchor=anchors[0])
    every = style.decode_float(
        z, delta, feature=np.repeat(offsets[:1], 3, axis=0), anchor=np.repeat(anchors[:1], 3, axis=0)
    )
    assert np.array_equal(one, every)
    alone = style.decode_float(z[1:2], delta[1], feature=offsets[1].astype(np.float16), anchor=anchors[1])
    half = style.decode_float(z, delta, feature=offsets.astype(np.float16), anchor=anchors)
    assert np.allclose(alone[0], half[1], atol=1e-5)
    held = np.abs(style.decode_float(z, delta, feature=offsets, anchor=anchors) - style.decode_float(z, delta)).mean()
    full = np.abs(style.decode_float(z, delta, feature=offsets) - style.decode_float(z, delta)).mean()
    assert held < full  # held back where the map differs from the anchor


def test_the_map_of_an_anchor_is_the_one_before_the_offset(style, opened) -> None:
    feed = inputs(style, 2)
    found = style.feature_map(feed["z"], feed["delta"])
    assert found.shape == (2, *style.model.feature_shape) and found.dtype == np.float32
    before = opened({**feed, "feature": some(style, 2), "anchor": no_feature(style.model)["anchor"]})[0]
    assert np.allclose(found, before, atol=1e-5)
    # at its own anchor the offset acts in full
    offset = some(style, 2, seed=6)
    there = style.decode_float(feed["z"], feed["delta"], feature=offset, anchor=found)
    assert np.allclose(there, style.decode_float(feed["z"], feed["delta"], feature=offset), atol=1e-4)


@pytest.mark.parametrize("name", ["feature", "anchor"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda maps: maps[:, :, :-1],
        lambda maps: maps[:, :-1],
        lambda maps: maps[0, 0],
        lambda maps: np.zeros((1, maps.shape[1], 1, 1)),
        lambda maps: np.concatenate([maps, maps[:1]]),  # three for two codes
        lambda maps: maps[:0],
        lambda maps: 3.0,
        lambda maps: np.where(maps > 2, np.nan, maps),
        lambda maps: np.where(maps > 2, np.inf, maps),
    ],
)
def test_what_is_no_offset_is_refused_in_one_sentence(style, name, spoil) -> None:
    feed, good = inputs(style, 2), some(style, 2)
    given = {"feature": good, "anchor": good, name: spoil(good)}
    with pytest.raises(BundleError, match=f"feature offset's {name} ") as refused:
        style.decode(feed["z"], feed["delta"], **given)
    assert "\n" not in str(refused.value) and str(style.model.feature_shape) in str(refused.value)


def test_a_flat_bundle_takes_none(tiny_bundle) -> None:
    flat = open_bundle(tiny_bundle)
    with pytest.raises(BundleError, match="no styles; decode it without a feature offset"):
        flat.decode(np.zeros(2), feature=np.zeros((8, 4, 4)))


@pytest.mark.parametrize(
    "given", [{"feature": "text"}, {"feature": 1.0, "anchor": "text"}, {"delta": "text"}, {"delta": [[1], [1, 2]]}]
)
def test_what_is_no_array_of_numbers_is_refused_by_a_sentence(style: Bundle, given: dict) -> None:
    if "anchor" in given:
        given = {**given, "feature": np.zeros(style.model.feature_shape, np.float32)}
    with pytest.raises(BundleError, match="no array of numbers"):
        style.decode(np.zeros(style.latent_size, np.float32), **given)
