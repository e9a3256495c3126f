"""Refining the photos of a blend."""

from __future__ import annotations

import numpy as np
import pytest

from vae.likeness import psnr
from vae.photos import blend, recognition
from vae.photos.refine import Refiner
from vae.photos.refine_sources import refine_sources
from vae.photos.sources import photo_source, reconstruct
from vae.space import mixing


def test_refining_brings_both_photos_nearer_in_one_batch(bundle, astronaut, drawn) -> None:
    second = photo_source(bundle, np.pad(drawn[1].crop, ((60, 60), (60, 60), (0, 0)), mode="edge"))
    steps = []
    with Refiner() as refiner:
        sources = refine_sources(bundle, [astronaut, drawn[0], second], refiner, 48, steps.append)
    assert steps[-1].delta.shape == (2, bundle.levels, bundle.style_size)
    assert sources[1].delta is None  # drawn: nothing to refine
    for before, after in ((astronaut, sources[0]), (second, sources[2])):
        assert recognition.likeness(bundle, after).psnr > recognition.likeness(bundle, before).psnr + 1
    last = steps[-1]
    assert last.features == (sources[0].feature, sources[2].feature) and sources[1].feature is None
    for mix, source, told in ((0, sources[0], last.psnr[0]), (1, sources[2], last.psnr[1])):
        picture = blend.blend(bundle, [sources[0], sources[2]], mixing.pair_weights(bundle.levels, mix))
        assert np.array_equal(picture, reconstruct(bundle, [source])[0])
        feature, styles = source.feature, bundle.decode(source.z, source.delta[None])
        assert np.array_equal(picture, bundle.decode(source.z, source.delta[None], feature=feature.offset)[0])
        held = bundle.decode(source.z, source.delta[None], feature=feature.offset, anchor=feature.anchor)
        assert np.abs(held[0].astype(int) - picture).max() <= 1  # at its own anchor an offset acts in full
        assert psnr(source.crop[None], held)[0] == pytest.approx(told, abs=0.1)
        assert told > psnr(source.crop[None], styles)[0] + 0.5
