"""Pictures and films, read back by other decoders than wrote them where there is one."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image
from skimage import data

from vae import media


@pytest.fixture(scope="module")
def film():
    """30 frames of 64 x 64 px, panning over a photo."""
    photo = data.astronaut()
    return [np.ascontiguousarray(photo[60 + i : 124 + i, 180:244]) for i in range(30)]


def frames_of(movie: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(movie)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_mp4_is_what_browsers_play(film):
    told = []
    movie = media.mp4(film, fps=30, size=128, progress=told.append)
    with av.open(io.BytesIO(movie)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (128, 128, 30)
        assert float(stream.duration * stream.time_base) == pytest.approx(1.0, abs=0.01)
    assert 0 < movie.find(b"moov") < movie.find(b"mdat")
    assert told == sorted(told) and told[-1] == 1
    decoded = frames_of(movie)
    assert len(decoded) == 30
    for i in (0, 29):
        error = decoded[i].astype(float) - media.upscale(film[i], 2)
        assert np.abs(error).mean() < 6 and np.abs(error.mean((0, 1))).max() < 3


def test_mp4_takes_odd_sizes_grey_frames_and_a_long_film():
    assert frames_of(media.mp4([np.full((33, 17), 90, np.uint8)] * 2, fps=12.5))[0].shape == (34, 18, 3)
    long = media.mp4([np.full((16, 16), i % 256, np.uint8) for i in range(media.MAX_FRAMES)], fps=60)
    assert len(frames_of(long)) == media.MAX_FRAMES
    assert 0 < long.find(b"moov") < long.find(b"mdat")


def test_gif_keeps_still_what_stands_still(film):
    still = [film[0].copy() for _ in range(6)]
    for i, frame in enumerate(still):
        frame[:8, :8] = 40 * i
    picture = Image.open(io.BytesIO(media.gif(still, fps=20)))
    assert picture.n_frames == 6 and picture.info["loop"] == 0 and picture.info["duration"] == 50
    frames = []
    for i in range(6):
        picture.seek(i)
        frames.append(np.asarray(picture.convert("RGB")).astype(int))
    for frame in frames[1:]:
        assert (frame[8:] == frames[0][8:]).all()
    assert np.abs(frames[3] - still[3]).mean() < 6
    assert abs(frames[3][:8, :8].mean() - 120) < 6


def test_webp_moves_in_true_colours_and_time(film):
    movie = media.webp(film, fps=30)
    picture = Image.open(io.BytesIO(movie))
    assert picture.format == "WEBP" and picture.n_frames == 30 and picture.info["loop"] == 0
    picture.seek(29)
    picture.load()
    assert picture.info["timestamp"] + picture.info["duration"] == 1000
    assert np.abs(np.asarray(picture.convert("RGB")).astype(float) - film[29]).mean() < 6


def test_png_is_exact_and_carries_nothing_else(film):
    picture = Image.open(io.BytesIO(media.png(film[0])))
    assert (np.asarray(picture) == film[0]).all() and not picture.info
    assert Image.open(io.BytesIO(media.png(film[0], scale=4))).size == (256, 256)
    grey = Image.open(io.BytesIO(media.png(film[0][..., :1])))
    assert np.asarray(grey).shape == (64, 64, 3)


def test_ping_pong_shows_each_end_once():
    assert media.ping_pong("abcd") == list("abcdcb")
    assert media.ping_pong("ab") == list("ab") and media.ping_pong("a") == ["a"] and media.ping_pong("") == []


def test_sheet_and_strip_place_tiles(film):
    page = media.sheet(film[:5], columns=3, gap=2, background=(1, 2, 3))
    assert page.shape == (130, 196, 3)
    assert (page[66:, 66:130] == film[4]).all() and (page[66:, 132:] == (1, 2, 3)).all()
    assert (media.strip(film[:3])[:, 64:128] == film[1]).all()
    sprite = Image.open(io.BytesIO(media.sprite(film[:4], columns=2)))
    assert sprite.format == "WEBP" and sprite.size == (128, 128)


def test_square_resize_and_grey(film):
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 30:70] = 200
    assert media.square(wide, 20).shape == (20, 20, 3) and (media.square(wide, 20) == 200).all()
    assert media.resize(film[0], 32).shape == (32, 32, 3)
    assert media.grey(film[0]).shape == (64, 64, 1)
    assert media.upscale(film[0], 1.5).shape == (96, 96, 3)


@pytest.mark.parametrize("write", [media.gif, media.webp, media.mp4])
@pytest.mark.parametrize(
    ("frames", "fps", "words"),
    [
        ([], 30, "no frames"),
        ([np.zeros((8, 8, 3), np.uint8)], 0, "is 0"),
        ([np.zeros((8, 8, 3), np.uint8)], float("nan"), "nan"),
        ([np.zeros((8, 8, 3), np.uint8)], 1000, "1000"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)], 30, "differ"),
        ([np.zeros((8, 8, 3))], 30, "float64"),
        ([np.zeros((8, 8, 2), np.uint8)], 30, r"\(8, 8, 2\)"),
        ([np.zeros((2, 2), np.uint8)] * (media.MAX_FRAMES + 1), 30, "1201 frames"),
        ([np.zeros((media.MAX_SIDE + 1, 2), np.uint8)], 30, "409[78]"),
    ],
)
def test_films_that_cannot_be_are_refused(write, frames, fps, words):
    with pytest.raises(media.MediaError, match=words):
        write(frames, fps)


def test_pictures_that_cannot_be_are_refused(film):
    for call, words in (
        (lambda: media.upscale(film[0], 0), "is 0"),
        (lambda: media.upscale(film[0], float("inf")), "inf"),
        (lambda: media.png(np.zeros((1000, 10), np.uint8), 5), "5000"),
        (lambda: media.mp4(film, size=10**6), "1000000"),
        (lambda: media.sheet([], 2), "no pictures"),
        (lambda: media.sheet(film, 0), "0 columns"),
        (lambda: media.sheet([film[0], film[0][:8]], 2), "differ"),
    ):
        with pytest.raises(media.MediaError, match=words):
            call()
