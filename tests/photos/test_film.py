"""The walk through faces as a film, and how usual its codes are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vae.photos.film import FILM_KINDS, film_times, make_film, morph
from vae.photos.ribbon import make_ribbon
from vae.photos.sources import code_source
from vae.space.mixing import BlendError


def test_morph_visits_every_face(bundle, drawn) -> None:
    frames = list(morph(bundle, drawn[:3], np.array([0, 0.5, 1])))
    for frame, source in zip(frames, drawn):
        assert np.array_equal(frame, source.crop)


def test_film_times() -> None:
    there = film_times(4, 30)
    assert len(there) == 120 and there[0] == 0 and there[-1] == 1 and (np.diff(there) >= 0).all()
    loop = film_times(4, 30, ping_pong=True, ease=False)
    assert len(loop) == 120 and loop[0] == 0 and loop[60] == 1
    assert np.isclose(loop[-1], loop[1])  # the first frame follows the last without a stop
    for seconds, fps in ((0.1, 30), (30, 30), (4, 0), (4, 100), (20, 60), (float("nan"), 30)):
        with pytest.raises(BlendError):
            film_times(seconds, fps)


@pytest.mark.parametrize("kind", FILM_KINDS)
def test_film_has_its_frames_and_reports_them(bundle, drawn, kind: str) -> None:
    import av

    seen: list[tuple[int, int]] = []
    data = make_film(bundle, drawn[:2], kind, 0.5, 20, scale=2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)
    if kind == "webp":
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.n_frames == 10 and picture.size == (256, 256)
    else:
        with av.open(io.BytesIO(data)) as container:
            frames = list(container.decode(video=0))
            assert len(frames) == 10 and frames[0].width == 256
            first, last = (frames[i].to_ndarray(format="rgb24")[::2, ::2].astype(float) for i in (0, -1))
        assert np.abs(first - drawn[0].crop).mean() < 12 and np.abs(last - drawn[1].crop).mean() < 12


def test_ribbon_falls_where_a_path_leaves_the_data(bundle, drawn) -> None:
    inside = make_ribbon(bundle, drawn[:2])
    assert inside.t.shape == inside.density.shape == inside.prior.shape == inside.data.shape
    assert ((inside.data >= 0) & (inside.data <= 1) & (inside.prior >= 0) & (inside.prior <= 1)).all()
    codes = bundle.codes.mu[:2].astype(np.float32)
    far = [code_source(bundle, z, "far") for z in (codes[0], 6 * bundle.stats.std * np.sign(codes[1]))]
    outside = make_ribbon(bundle, far)
    assert outside.data[0] > 0.02 and outside.data[-1] == 0 and outside.prior[-1] == 0
    assert outside.density[-1] < outside.density[0] - 100
    assert make_ribbon(bundle, drawn[:1]) is None
