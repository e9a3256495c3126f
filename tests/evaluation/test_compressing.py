"""Compression at equal bytes: budgets are kept by all, and each method does its best within them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import SIZE, write_bundle
from vae.bundles.bundle import Bundle
from vae.evaluation import compressing, lsz, pca, rivals
from vae.evaluation.entries import Entry, averaged, measure
from vae.likeness import psnr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    mu = np.random.default_rng(0).standard_normal((300, 6))
    return write_bundle(tmp_path_factory.mktemp("models") / "blobs", mu, logvar=-6.0)


@pytest.fixture(scope="module")
def pictures(model: Bundle) -> np.ndarray:
    return model.decode(model.codes.mu[:100])


def gradient(side: int = 64) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    waves = 127 + 60 * np.sin(9 * x) + 60 * np.cos(7 * y)
    return np.stack([waves, waves[::-1], 255 * x], 2).astype(np.uint8)


@pytest.mark.parametrize("codec", rivals.available())
def test_rivals_keep_the_budget_and_gain_from_more(codec: str) -> None:
    tried = rivals.attempts(gradient(), codec, 1500)
    assert all(one.size <= 1500 and one.picture.shape == (64, 64, 3) for one in tried)
    found = [rivals.best(tried, most) for most in (700, 1500)]
    assert found[0].size <= 700 and found[1].psnr >= found[0].psnr
    assert found[1].psnr == max(one.psnr for one in tried)
    assert rivals.best(tried, 10) is None


def test_a_rivals_figure_is_of_the_picture_that_it_shows() -> None:
    image = gradient()
    one = rivals.best(rivals.attempts(image, "webp", 400), 400)
    assert one.psnr == pytest.approx(float(psnr(image[None], one.picture[None])[0]))


def test_pca_finds_the_axes_that_pictures_were_made_of(pictures: np.ndarray) -> None:
    found = pca.fit([pictures[:50], pictures[50:]], 6)
    flat = pictures.reshape(100, -1) - pictures.reshape(100, -1).mean(0)
    values, vectors = np.linalg.eigh(flat.T @ flat / 100)
    assert found.values == pytest.approx(values[::-1][:6], rel=1e-3)
    assert np.abs(found.vectors[0] @ vectors[:, -1]) == pytest.approx(1, abs=1e-3)
    assert found.vectors @ found.vectors.T == pytest.approx(np.eye(6), abs=1e-3)
    assert psnr(pictures, found.restore(found.project(pictures))).min() > 35
    assert 0 <= found.rest < 2  # rounding to grey levels is all that six axes leave


def test_pca_comes_back_from_its_file(pictures: np.ndarray, tmp_path: Path) -> None:
    found = pca.fit([pictures], 4, "100 blobs")
    found.save(tmp_path / "pca.npz")
    again = pca.Pca.load(tmp_path / "pca.npz")
    assert again.source == "100 blobs" and again.shape == (SIZE, SIZE, 1) and again.count == 100
    assert again.vectors == pytest.approx(found.vectors, abs=1e-3)
    assert pca.Pca.load(tmp_path / "none.npz") is None
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    assert pca.Pca.load(tmp_path / "bad.npz") is None
    with pytest.raises(ValueError, match="at least 3"):
        pca.fit([pictures[:2]])


def test_pca_shrinks_noise_and_fills_what_is_hidden(pictures: np.ndarray) -> None:
    found = pca.fit([pictures], 6)
    noisy = np.clip(pictures + 25 * np.random.default_rng(0).standard_normal(pictures.shape), 0, 255).astype(np.uint8)
    assert psnr(pictures, found.denoise(noisy, 25)).mean() > psnr(pictures, noisy).mean() + 8
    known = np.ones((SIZE, SIZE), bool)
    known[:, 5:9] = False
    hidden = np.where(known[..., None], pictures[3], 0).astype(np.uint8)
    assert psnr(pictures[3:4], found.fill(hidden, known)[None])[0] > 25


def test_all_methods_stay_within_equal_bytes(model: Bundle, pictures: np.ndarray) -> None:
    linear = pca.fit([pictures], 6)
    found = compressing.at_equal_bytes(model, linear, pictures[0], (14, 40, 200), perceived=False)
    for budget, entries in found.items():
        assert [one.id for one in entries] == ["vae", "pca", *rivals.available()]
        assert all(one.size is None or one.size <= budget for one in entries)
        assert all((one.picture is None) == ("psnr" not in one.figures) for one in entries)
    assert found[14][2].picture is None and "no file" in found[14][2].note
    vae = {budget: entries[0].figures["psnr"] for budget, entries in found.items()}
    assert vae[14] < vae[40]
    with pytest.raises(ValueError, match="12 to"):
        compressing.at_equal_bytes(model, None, pictures[0], (2,))


def test_the_models_row_is_what_its_file_decodes_to(model: Bundle, pictures: np.ndarray) -> None:
    entry = compressing.at_equal_bytes(model, None, pictures[0], (30,), perceived=False)[30][0]
    packed = lsz.encode_within(model, model.encode(pictures[:1])[0], 30)
    again = lsz.decode(model, packed.data)
    assert len(packed.data) == entry.size
    assert np.array_equal(model.decode(lsz.codes_of(model, again))[0], entry.picture)


def test_the_round_trip_says_what_it_found(model: Bundle) -> None:
    found = compressing.round_trip(model, model.codes.mu)
    assert found["exact"] and found["codes"] == 300 and 0 <= found["over_bound"] < 0.05


def test_means_are_over_the_pictures_that_a_method_could_do() -> None:
    picture = np.zeros((16, 16, 1), np.uint8)
    rows = []
    for made in (picture, picture + 10, None):
        entries = [Entry("a", "A", made, None if made is None else 20), Entry("b", "B", None)]
        measure(picture, entries, perceived=False)
        rows.append(entries)
    a, b = averaged(rows)
    assert a["share"] == pytest.approx(2 / 3) and a["bytes"] == 20 and b == {"id": "b", "title": "B", "share": 0}
    assert a["psnr"] == pytest.approx((100 + 20 * np.log10(25.5)) / 2)
