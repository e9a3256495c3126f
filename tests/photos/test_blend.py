"""Blends of faces and tables of style mixes."""

from __future__ import annotations

import numpy as np
import pytest

from vae.photos import blend
from vae.photos.sources import reconstruct
from vae.space import errors, mixing
from vae.space.axes import bases
from vae.space.mixing import BlendError


@pytest.mark.parametrize("mix, index", [(0.0, 0), (1.0, 1)])
@pytest.mark.parametrize("path", mixing.PATHS)
def test_ends_of_the_mix_are_the_reconstructions(bundle, offset_pair, mix: float, index: int, path: str) -> None:
    expected = reconstruct(bundle, [offset_pair[index]])[0]
    picture = blend.blend(bundle, offset_pair, mixing.pair_weights(bundle.levels, mix), path)
    assert np.array_equal(picture, expected)


def test_groups_move_on_their_own(bundle, drawn) -> None:
    pair = drawn[:2]
    weights = mixing.pair_weights(bundle.levels, 0.0, fine=1.0)
    assert weights[:, 1].tolist() == [0, 0, 0, 0, 1, 1]
    mixed = bundle.decode(np.stack([pair[0].z] * 4 + [pair[1].z] * 2)[None])[0]
    assert np.array_equal(blend.blend(bundle, pair, weights), mixed)
    assert not np.array_equal(mixed, pair[0].crop)


def test_grid_cuts_between_row_and_column(bundle, drawn) -> None:
    weights = mixing.grid_weights(bundle.levels, 1, 2, 2)
    assert weights.shape == (2, 6, 3)
    assert weights[1, :, 0].tolist() == [1, 1, 0, 0, 0, 0] and weights[1, :, 2].tolist() == [0, 0, 1, 1, 1, 1]
    page = blend.grid(bundle, drawn[:1], drawn[1:3], 2)
    size = bundle.image_size
    assert page.shape == (2 * size, 3 * size, 3)
    cell = blend.blend(bundle, [drawn[0], drawn[2]], np.array([[1, 0]] * 2 + [[0, 1]] * 4))
    assert np.array_equal(page[size:, 2 * size :], cell)


def test_one_code_and_offsets_stand_for_a_code_at_each_level(bundle, offset_pair) -> None:
    weights = mixing.pair_weights(bundle.levels, 0.2, fine=0.9)
    z, delta = blend.blend_codes(bundle, offset_pair, weights[None])
    flat, offsets = blend.flatten(bundle, z[0], delta[0])
    assert flat.shape == (bundle.latent_size,)
    difference = bundle.decode(flat, offsets[None]).astype(int) - bundle.decode(z, delta)
    assert np.abs(difference).max() <= 1


def test_edits_move_the_read_out_and_leave_the_mix(bundle, drawn) -> None:
    basis = bases(bundle)["named"]
    name = basis.axes[0].id
    shift = mixing.edit_shift(bundle, {name: 1.5})
    before, _ = blend.blend_codes(bundle, drawn[:2], mixing.pair_weights(6, 0.5)[None])
    after, _ = blend.blend_codes(bundle, drawn[:2], mixing.pair_weights(6, 0.5)[None], shift=shift)
    mean = bundle.stats.mean
    assert np.isclose(basis.values(after[0, 0], mean)[0] - basis.values(before[0, 0], mean)[0], 1.5, atol=1e-3)
    with pytest.raises(BlendError, match="-6 to 6"):
        mixing.edit_shift(bundle, {name: 60})
    with pytest.raises(errors.LatentError):
        mixing.edit_shift(bundle, {"Nonsense": 1})
