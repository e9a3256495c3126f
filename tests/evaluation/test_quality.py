"""The quality report: each measure on sets whose answer is known, and the whole on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from vae.__main__ import main
from vae.bundles.bundle import open_bundle
from vae.bundles.figures import evaluate
from vae.config import DataConfig
from vae.data.sets import open_data
from vae.evaluation import edits, quality
from vae.likeness import psnr
from vae.networks.perceptual import Perceptual
from vae.photos.feature import Feature
from vae.space import latent
from vae.space.settling import settled

FACES = Path(__file__).resolve().parents[2] / "assets" / "models" / "faces-128"


def gaussian(n: int, mean: list[float], std: list[float], seed: int = 0) -> np.ndarray:
    """Numbers whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).standard_normal((n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x * std + mean


def test_frechet_of_gaussians() -> None:
    a = gaussian(50, [0, 0, 0], [1, 2, 3])
    assert quality.frechet(a, gaussian(80, [0, 0, 0], [1, 2, 3], 1)) == pytest.approx(0, abs=1e-8)
    # |m|^2 + sum (s_a - s_b)^2 where the covariances share their axes
    b = gaussian(50, [1, 0, -2], [2, 2, 1], 2)
    assert quality.frechet(a, b) == pytest.approx(5 + 1 + 0 + 4) == quality.frechet(b, a)
    turned = a @ np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    assert quality.frechet(a, turned) > 0.1


def test_precision_and_recall() -> None:
    rng = np.random.default_rng(0)
    real = rng.standard_normal((200, 4))
    assert quality.coverage(real, real + 1e-9) == (1.0, 1.0)
    assert quality.coverage(real, real + 100) == (0.0, 0.0)
    precision, recall = quality.coverage(real, real[:5].repeat(40, 0) + 1e-3 * rng.standard_normal((200, 4)))
    assert precision == 1.0 and recall < 0.1  # it says few things, all of them true
    precision, recall = quality.coverage(real, 10 * rng.standard_normal((200, 4)))
    assert precision < 0.2 and recall > 0.8  # it says everything, and much more


def test_posterior_against_the_unit_gaussian() -> None:
    mu, logvar = gaussian(60, [0, 0], [0.6, 0.8]), np.log(np.tile([0.64, 0.36], (60, 1)))
    found = quality.posterior(mu, logvar)
    assert found["largest_std"] == pytest.approx(1) and found["smallest_std"] == pytest.approx(1)
    assert found["offset"] == pytest.approx(0, abs=1e-9)
    assert found["gap"] == pytest.approx(0, abs=1e-9) and found["kl"] > 0.3
    moved = quality.posterior(mu * 2 + [3, 0], logvar)
    assert moved["offset"] == pytest.approx(3) and moved["largest_std"] > moved["smallest_std"] > 1
    values = np.array([4 * 0.36 + 0.64, 4 * 0.64 + 0.36])
    assert moved["gap"] == pytest.approx(0.5 * (values.sum() + 9 - 2 - np.log(values).sum()))


def test_perceptual_distance_follows_the_eye() -> None:
    network = Perceptual(96)
    x = torch.from_numpy(astronaut()[:192, 128:320].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    blurred = torch.nn.functional.avg_pool2d(x, 5, 1, 2, count_include_pad=False)
    lighter = x + (blurred - x).abs().mean()  # the same error in the pixels
    same, brighter, soft, other = network.distance(x.repeat(4, 1, 1, 1), torch.cat([x, lighter, blurred, x.flip(2)]))
    assert same < 1e-5 and brighter < soft < other
    assert network.pooled(x).shape == (1, 320) and len(network.levels(x)) == 5
    assert network.distance(x[:, :1], x[:, :1]) < 1e-5
    y = blurred.clone().requires_grad_()
    network.train().distance(x, y).sum().backward()
    assert y.grad.abs().sum() > 0 and all(p.grad is None for p in network.parameters()) and not network.training


def test_identity_of_the_same_and_of_other_faces() -> None:
    bundle = open_bundle(FACES)
    images = bundle.decode(latent.sample(bundle, 3, 0.7, 6))
    assert quality.identity(bundle, images, images) == {"same": 1.0, "distance": 0.0, "first": 1.0}
    others = quality.identity(bundle, images, np.roll(images, 1, axis=0))
    assert others["first"] == 0 and others["distance"] > 0.5 and others["same"] < 0.5


def test_style_mixes_take_coarse_from_one_and_fine_from_the_other(tiny_style_bundle: Path) -> None:
    bundle = open_bundle(tiny_style_bundle)
    a, b = np.zeros((40, 8)), np.ones((40, 8))
    z = quality.style_mixes(bundle, a, b, np.random.default_rng(0))
    assert z.shape == (40, 4, 8) and (z[:, 0] == 0).all() and (z[:, -1] == 1).all()
    assert (np.diff(z, axis=1) >= 0).all() and set(z[:, 1, 0]) == {0.0, 1.0}


def test_the_report_of_a_tiny_model(tiny_style_bundle: Path, tmp_path: Path, capsys) -> None:
    words = ["evaluate", "--model", str(tiny_style_bundle), "--data", "sklearn-digits", "--limit", "60"]
    out = tmp_path / "report.json"
    assert main([*words, "--quality", "--count", "50", "--sheets", str(tmp_path / "sheets"), "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found == json.loads(capsys.readouterr().out) and found["images"] == 50
    kinds = ("reconstructions", "draws", "draws_0.7", "normal_draws", "blends", "style_mixes")
    for kind in kinds:
        assert found[kind]["frechet"] > found["photos"]["frechet_of_halves"] / 4
        assert 0 <= found[kind]["precision"] <= 1 and 0 <= found[kind]["recall"] <= 1
    bundle = open_bundle(tiny_style_bundle)
    data = open_data(DataConfig(("sklearn-digits",), limit=60), 32, 3)
    data = data.subset(np.unique(np.linspace(0, 59, 50).astype(int)))
    plain = evaluate(bundle, data)
    assert found["reconstructions"]["psnr"] == pytest.approx(plain["psnr"], abs=2e-3)
    assert found["posterior"]["kl"] == pytest.approx(plain["kl"], abs=0.01)
    sheets = {path.stem: Image.open(path).size for path in (tmp_path / "sheets").iterdir()}
    assert sheets == {"best": (256, 128), "worst": (256, 128), **dict.fromkeys(kinds[1:], (256, 128))}


def test_draws_are_measured_as_people_see_them_and_as_the_prior_gives_them(tiny_style_bundle: Path) -> None:
    bundle = open_bundle(tiny_style_bundle)
    mu = np.zeros((4, bundle.latent_size))
    plain = dict(quality.made_pictures(bundle, mu, 3))
    bundle.settle = 1
    found = dict(quality.made_pictures(bundle, mu, 3))
    assert found.keys() - plain.keys() == {"draws_unsettled", "draws_0.7_unsettled"}
    for kind in ("draws", "draws_0.7"):
        assert np.array_equal(found[f"{kind}_unsettled"], plain[kind])
        assert np.allclose(found[kind], settled(bundle, plain[kind]), atol=1e-5)
        assert not np.allclose(found[kind], plain[kind], atol=1e-2)


def test_one_pass_is_measured_with_the_offsets_that_the_encoder_reads(tiny_offset_bundle: Path, monkeypatch) -> None:
    bundle, data = open_bundle(tiny_offset_bundle), open_data(DataConfig(("sklearn-digits",), limit=50), 32, 3)
    images = data.images(np.arange(50))
    mu, _, delta = bundle.encode_with_offsets(images)
    alone, both = (psnr(images, bundle.decode(mu, d)).mean() for d in (None, delta))
    assert abs(alone - both) > 0.1  # here the offsets matter, for better or worse
    assert evaluate(bundle, data)["psnr"] == pytest.approx(both, abs=1e-2)
    seen: dict[str, np.ndarray] = {}

    def identity(_: object, photos: np.ndarray, again: np.ndarray) -> dict[str, float]:
        seen["again"] = again
        return {}

    def refined(*given: np.ndarray) -> tuple[dict, dict]:
        seen["start"] = given[3]
        return {}, {}

    monkeypatch.setattr(quality, "identity", identity)
    monkeypatch.setattr(quality, "refined", refined)
    figures, _ = quality.report(bundle, data, 50, refine=2)
    assert figures["reconstructions"]["psnr"] == pytest.approx(both, abs=1e-2)
    assert np.array_equal(seen["again"], bundle.decode(mu, delta)) and np.array_equal(seen["start"], delta[[0, 49]])


def test_refined_faces_begin_at_what_the_encoder_read_and_have_their_features(
    tiny_offset_bundle: Path, monkeypatch
) -> None:
    bundle = open_bundle(tiny_offset_bundle)
    photos = bundle.decode(latent.sample(bundle, 3, 0.7, 5))
    mu, _, delta = bundle.encode_with_offsets(photos)

    class Refiner:
        def prewarm(self, _: object) -> None:
            pass

        def start(self, _: object, images: np.ndarray, z: np.ndarray, delta: np.ndarray) -> SimpleNamespace:
            found = [made[next(iter(np.flatnonzero((mu == code).all(1))))] for code in z]
            return SimpleNamespace(wait=lambda seconds: True, latest=SimpleNamespace(delta=delta, features=found))

        def close(self) -> None:
            pass

    offsets = np.random.default_rng(1).standard_normal((5, *bundle.model.feature_shape)).astype(np.float16)
    made = [Feature(offset, offset) for offset in offsets]
    monkeypatch.setattr("vae.photos.refine.Refiner", Refiner)
    monkeypatch.setattr(quality, "identity", lambda *_: {})
    monkeypatch.setattr("vae.photos.faces.describe", lambda image, _: image.mean((0, 1)).astype(float))
    monkeypatch.setattr("vae.photos.faces.find_faces", lambda image: [image])
    expected = psnr(photos, bundle.decode(mu, delta, feature=offsets)).mean()
    assert expected != pytest.approx(psnr(photos, bundle.decode(mu, delta)).mean())
    figures, sheets = quality.refined(bundle, photos, mu, delta)
    assert figures["psnr"] == pytest.approx(expected) and figures["seconds"] >= 0
    assert figures["mixes"]["pairs"] == 4 and figures["mixes"]["one_face"] == 1
    assert sheets["mixes"].shape == (4 * 32, edits.STEPS * 32, 3) and sheets["edits"].shape[0] == 5 * 32


def test_reports_that_cannot_be_made(tiny_style_bundle: Path, capsys) -> None:
    words = ["evaluate", "--model", str(tiny_style_bundle), "--data", "sklearn-digits", "--quality"]
    for more, sentence in (
        (["--count", "5"], "--count is 5"),
        (["--limit", "20"], "there are 20"),
        (["--refine", "2000"], "--refine is 2000"),
    ):
        assert main([*words, *more]) == 2
        assert sentence in capsys.readouterr().err
