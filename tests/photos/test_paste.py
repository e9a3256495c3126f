"""The way back into the photo."""

from __future__ import annotations

import numpy as np
import pytest

from vae.photos import blend
from vae.photos.into_photo import fine_factor, keep_detail, paste, tint
from vae.space import mixing
from vae.space.mixing import BlendError


def test_all_detail_at_the_end_of_the_mix_is_the_photo(bundle, astronaut, drawn) -> None:
    weights = mixing.pair_weights(bundle.levels, 0.0)
    picture = blend.blend(bundle, [astronaut, drawn[0]], weights)
    full = keep_detail(bundle, [astronaut, drawn[0]], weights, picture, 1.0)
    assert np.abs(full.astype(int) - astronaut.crop).max() <= 1
    none = keep_detail(bundle, [astronaut, drawn[0]], weights, picture, 0.0)
    assert np.array_equal(none, picture)


def test_paste_changes_the_face_and_nothing_else(bundle, astronaut, drawn) -> None:
    weights = mixing.pair_weights(bundle.levels, 0.5)
    factor = fine_factor(bundle, astronaut)
    picture = keep_detail(
        bundle, [astronaut, drawn[0]], weights, blend.blend(bundle, [astronaut, drawn[0]], weights), 0.3, factor
    )
    assert picture.shape[0] == factor * bundle.image_size
    result, share = paste(bundle, astronaut, picture)
    assert result.shape == astronaut.photo.shape and share.shape == result.shape[:2]
    assert np.array_equal(result[share == 0], astronaut.photo[share == 0])
    (x0, y0), (x1, y1) = astronaut.eyes
    assert share[int((y0 + y1) / 2), int((x0 + x1) / 2)] > 0.99 and share[400:].max() == 0
    tinted = tint(result, share)
    assert np.ptp(tinted[450:].astype(int), axis=2).max() <= 1  # grey where the photo is
    with pytest.raises(BlendError, match="not a photo"):
        paste(bundle, drawn[0], picture)
