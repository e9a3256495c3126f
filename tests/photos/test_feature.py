"""What refining finds of a photo beyond its styles: kept under a name, mixed, and drawn by grid, film and blend."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.contract import level_at
from vae.photos import blend
from vae.photos.feature import Feature, find, mixed
from vae.photos.film import morph
from vae.photos.sources import Source, code_source, reconstruct
from vae.space import mixing


def some(shape: tuple[int, ...], seed: int) -> Feature:
    offset, anchor = np.random.default_rng(seed).standard_normal((2, *shape)).astype(np.float16)
    return Feature(offset, anchor)


@pytest.fixture(scope="module")
def tiny(tiny_offset_bundle) -> Bundle:
    return open_bundle(tiny_offset_bundle)


@pytest.fixture(scope="module")
def people(tiny) -> list[Source]:
    """Two who were refined, and one who was drawn."""
    rng = np.random.default_rng(0)
    made = [code_source(tiny, rng.standard_normal(8), f"face {i}") for i in range(3)]
    for i in range(2):
        delta = rng.standard_normal((tiny.levels, tiny.style_size)).astype(np.float32)
        made[i] = replace(made[i], delta=delta, refined=True, feature=some(tiny.model.feature_shape, i))
    return made


def own(bundle: Bundle, source: Source) -> np.ndarray:
    """Their own picture, by the decoder alone."""
    delta = None if source.delta is None else source.delta[None]
    feature = None if source.feature is None else source.feature.offset
    return bundle.decode(source.z, delta, feature=feature)[0]


def test_a_feature_is_found_by_name_as_long_as_somebody_holds_it() -> None:
    feature, other = some((2, 4, 4), 0), some((2, 4, 4), 0)
    name, gone = feature.id, weakref.ref(feature)
    assert find(name) is feature and find(other.id) is other and name != other.id
    assert find("") is None and find("guess") is None
    del feature
    gc.collect()
    assert gone() is None and find(name) is None and find(other.id) is other


def test_on_the_wire_it_is_float16_offset_first() -> None:
    feature = some((2, 4, 4), 1)
    both = np.frombuffer(feature.to_bytes(), "<f2").reshape(2, 2, 4, 4)
    assert np.array_equal(both[0], feature.offset) and np.array_equal(both[1], feature.anchor)
    assert feature.id not in repr(feature.to_bytes()) and "offset" not in repr(feature)


def test_mixing_is_linear_and_leaves_out_who_has_none() -> None:
    shape, rng = (3, 4, 4), np.random.default_rng(0)
    features = [some(shape, 0), None, some(shape, 1)]
    a, b = rng.standard_normal((2, 5, 3))
    maps = [np.zeros(shape) if one is None else one.offset.astype(np.float64) for one in features]
    for weights in (a, b, 2 * a - 0.5 * b):
        found = mixed(features, weights)
        assert found.dtype == np.float32 and found.shape == (5, *shape)
        assert np.allclose(found, np.einsum("nk,kchw->nchw", weights, maps), atol=1e-5)
    assert np.allclose(mixed(features, 2 * a - 0.5 * b), 2 * mixed(features, a) - 0.5 * mixed(features, b), atol=1e-5)
    unit = mixed(features, np.eye(3))
    assert np.array_equal(unit, np.stack(maps).astype(np.float32))
    assert mixed(features, np.array([[0.0, 1.0, 0.0]])) is None and mixed([None] * 3, a) is None
    assert mixed([], np.zeros((1, 0))) is None


@pytest.mark.parametrize("path", mixing.PATHS)
def test_a_mix_begins_and_ends_at_the_people_themselves(tiny, people, path) -> None:
    pair = people[:2]
    for mix, person in ((0.0, pair[0]), (1.0, pair[1])):
        weights = mixing.pair_weights(tiny.levels, mix)
        picture = blend.blend(tiny, pair, weights, path)
        assert np.array_equal(picture, own(tiny, person))
        assert np.array_equal(picture, reconstruct(tiny, [person])[0])
        without = blend.blend(tiny, [replace(one, feature=None) for one in pair], weights, path)
        assert np.abs(picture.astype(int) - without).mean() > 5
    half = mixing.pair_weights(tiny.levels, 0.5)
    z, delta = blend.blend_codes(tiny, pair, half[None], path)
    offset = 0.5 * (pair[0].feature.offset.astype(np.float32) + pair[1].feature.offset.astype(np.float32))
    assert np.array_equal(blend.blend(tiny, pair, half, path), tiny.decode(z, delta, feature=offset)[0])


def test_an_offset_goes_with_the_weights_of_its_level(tiny, people) -> None:
    level = level_at(tiny.model.feature_shape[1])
    assert level == 1
    rng = np.random.default_rng(1)
    weights = rng.dirichlet([1, 1, 1], (4, tiny.levels))  # (n, L, k)
    found = blend.blend_feature(tiny, people, weights)
    for n in range(4):
        wanted = sum(weights[n, level, k] * people[k].feature.offset.astype(np.float64) for k in range(2))
        assert np.allclose(found[n], wanted, atol=1e-5)
    alone = np.tile([0.0, 0.0, 1.0], (1, tiny.levels, 1))
    assert blend.blend_feature(tiny, people, alone) is None


def test_table_and_film_draw_people_with_what_they_have(tiny, people) -> None:
    size = tiny.image_size
    page = blend.grid(tiny, people[:1], people[1:], 2)
    for place, person in (((1, 0), people[0]), ((0, 1), people[1]), ((0, 2), people[2])):
        row, column = (side * size for side in place)
        assert np.array_equal(page[row : row + size, column : column + size], own(tiny, person))
    # rows give the coarse levels, up to that of the offset
    weights = mixing.grid_weights(tiny.levels, 1, 2, 2)
    z, delta = blend.blend_codes(tiny, people, weights)
    cells = tiny.decode(z, delta, feature=people[0].feature.offset)
    for k in range(2):
        assert np.array_equal(page[size:, (k + 1) * size : (k + 2) * size], cells[k])
    frames = list(morph(tiny, people, np.array([0, 0.25, 0.5, 1])))
    for frame, person in zip((frames[0], frames[2], frames[3]), people):
        assert np.array_equal(frame, own(tiny, person))
    assert np.array_equal(frames[1], blend.blend(tiny, people[:2], mixing.pair_weights(tiny.levels, 0.5)))
