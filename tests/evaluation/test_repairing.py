"""Damage, and what repairs it: the noise is what it says, and a model that knows its pictures beats the eye."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tiny import SIZE, write_bundle
from vae.bundles.bundle import Bundle, open_bundle
from vae.evaluation import denoisers, mode, noises, pca, repairing
from vae.likeness import psnr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    mu = np.random.default_rng(0).standard_normal((200, 4))
    return write_bundle(tmp_path_factory.mktemp("models") / "blobs", mu)


@pytest.fixture(scope="module")
def picture(model: Bundle) -> np.ndarray:
    return model.decode(model.codes.mu[:1])[0]


GREY = np.full((64, 64, 3), 128, np.uint8)


@pytest.mark.parametrize("sigma", [5, 25])
def test_gaussian_noise_has_its_sigma(sigma: int) -> None:
    noisy = noises.damage(GREY, "gaussian", sigma)
    assert (noisy.astype(float) - GREY).std() == pytest.approx(sigma, rel=0.05)
    assert np.array_equal(noisy, noises.damage(GREY, "gaussian", sigma))
    assert not np.array_equal(noisy, noises.damage(GREY, "gaussian", sigma, seed=1))


def test_salt_and_pepper_takes_its_share_of_the_pixels_whole() -> None:
    noisy = noises.damage(GREY, "salt", 20)
    hit = (noisy != 128).any(2)
    assert hit.mean() == pytest.approx(0.2, abs=0.03)
    assert set(np.unique(noisy[hit])) == {0, 255} and (noisy[hit][:, 0] == noisy[hit][:, 1]).all()


def test_poisson_noise_is_as_strong_as_so_few_photons_make_it() -> None:
    noisy = noises.damage(GREY, "poisson", 50).astype(float)
    assert noisy.std() == pytest.approx(255 / 50 * np.sqrt(50 * 128 / 255), rel=0.07)
    assert noises.sigma_of("poisson", 50, GREY) == pytest.approx(noisy.std(), rel=0.1)


def test_blur_and_lower_resolution_take_detail_and_keep_the_mean() -> None:
    dots = np.zeros((64, 64, 1), np.uint8)
    dots[::4, ::4] = 255
    for kind, strength in (("blur", 3), ("low", 4)):
        made = noises.damage(dots, kind, strength)
        assert made.std() < 0.3 * dots.std() and made.mean() == pytest.approx(dots.mean(), rel=0.1)
    assert np.array_equal(noises.damage(dots, "low", 1), dots)


@pytest.mark.parametrize(
    "kind, strength, word", [("fog", 1, "no damage"), ("gaussian", 101, "0 to 100"), ("low", float("nan"), "1 to 16")]
)
def test_damage_that_is_none_is_refused(kind: str, strength: float, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        noises.damage(GREY, kind, strength)


@pytest.mark.parametrize("id", denoisers.DENOISERS)
def test_classical_denoisers_help_a_smooth_picture(id: str) -> None:
    y, x = np.mgrid[:64, :64] / 64
    for channels in (1, 3):
        smooth = np.repeat((127 + 90 * np.sin(4 * x + 3 * y))[..., None], channels, 2).astype(np.uint8)
        noisy = noises.damage(smooth, "gaussian", 25)
        made = denoisers.DENOISERS[id](noisy, 25)
        assert made.dtype == np.uint8 and made.shape == smooth.shape
        assert psnr(smooth[None], made[None])[0] > psnr(smooth[None], noisy[None])[0] + 4


def test_every_method_gets_a_row(model: Bundle, picture: np.ndarray) -> None:
    linear = pca.fit([model.decode(model.codes.mu)], 4)
    found = {one.id: one for one in repairing.denoised(model, linear, picture, "gaussian", 50, perceived=False)}
    assert set(found) == {"damaged", "vae", "pca", *denoisers.DENOISERS}
    # this model is linear and its pictures are its own: it must do what PCA does
    assert found["vae"].figures["psnr"] > found["damaged"].figures["psnr"] + 3
    assert found["pca"].figures["psnr"] > found["damaged"].figures["psnr"] + 3


def test_what_is_known_stays_and_the_hole_is_filled(model: Bundle, picture: np.ndarray) -> None:
    linear = pca.fit([model.decode(model.codes.mu)], 4)
    known = np.ones((SIZE, SIZE), bool)
    known[4:9, 4:9] = False
    found = repairing.filled(model, linear, picture, known, perceived=False)
    assert [one.id for one in found] == ["damaged", "vae", "pca", "biharmonic"]
    assert all(np.array_equal(one.picture[known], picture[known]) for one in found)
    assert found[2].figures["psnr"] > found[0].figures["psnr"]
    for wrong in (np.ones_like(known), np.zeros_like(known)):
        with pytest.raises(ValueError, match="mask"):
            repairing.filled(model, linear, picture, wrong)


def test_what_the_model_cannot_say_is_explained_away(model: Bundle, picture: np.ndarray) -> None:
    """A single bright pixel is no blob of this model; a change along one of its axes is."""
    spot, where = picture.copy(), np.zeros((SIZE, SIZE), bool)
    where[0, 0] = True
    spot[0, 0] = 255
    assert repairing.invented(model, picture, spot, where)["kept"] < 0.1
    along = model.decode(model.codes.mu[:1] + np.array([[1.0, 0, 0, 0]]))[0]
    found = repairing.invented(model, picture, along, np.ones((SIZE, SIZE), bool))
    assert found["kept"] == pytest.approx(1, abs=0.1) and [one.id for one in found["entries"]] == [
        "painted",
        "after",
        "before",
    ]
    with pytest.raises(ValueError, match="nothing was painted"):
        repairing.invented(model, picture, picture, where)


def test_the_mode_explains_what_is_known_better_than_one_pass(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    z = np.array([1.2, -0.7], np.float32) * bundle.stats.std + bundle.stats.centre
    truth = bundle.decode(z.astype(np.float32))[0]
    known = np.ones(truth.shape[:2], bool)
    known[:, :6] = False
    seen = np.where(known[..., None], truth, 0).astype(np.uint8)
    shares: list[float] = []
    code, made = mode.find(bundle, seen, known, 1.0, steps=25, tell=shares.append)

    def off(image: np.ndarray) -> float:
        return float(((image.astype(float) - truth)[known] ** 2).mean())

    start = repairing.one_pass(bundle, seen)
    assert off(made) <= off(start) and code.shape == (2,) and shares[-1] == 1
    assert np.linalg.norm((code - bundle.stats.centre) / bundle.stats.std) < 6  # the prior holds it


def test_a_model_without_names_for_its_weights_is_refused_in_a_sentence(model: Bundle, picture: np.ndarray) -> None:
    with pytest.raises(mode.ModeError, match="use one pass"):
        mode.find(model, picture, np.ones((SIZE, SIZE), bool), 10)
