"""Guesses of feature offsets: what the network learns, and how bundle, refining and command line use them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import make_tiny_bundle
from vae.__main__ import main
from vae.bundles.bundle import open_bundle
from vae.bundles.contract import BundleError
from vae.bundles.guess_graph import PREFIX, guess_graph
from vae.config import ModelConfig
from vae.distilling import guessing
from vae.likeness import psnr
from vae.networks.guess import Guess
from vae.networks.weights import load_guess, load_weights
from vae.photos.fitting import Fitter

STEPS = 50


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("models"), "style")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, folder: Path) -> Path:
    """A folder of soft shapes that an untrained model knows nothing of."""
    out, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    side = open_bundle(folder).image_size
    for i in range(48):
        small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8))
        small.resize((side, side), Image.Resampling.BICUBIC).save(out / f"{i}.png")
    return out


@pytest.fixture(scope="module")
def guessing_bundle(folder: Path, pictures: Path):
    torch.set_num_threads(1)
    before = open_bundle(folder)
    command = [
        "guess",
        "--model",
        str(folder),
        "--data",
        str(pictures),
        "--steps",
        str(STEPS),
        "--batch",
        "8",
        "--lr",
        "0.01",
    ]
    assert main(command) == 0
    return before, open_bundle(folder)


def read(pictures: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(pictures.iterdir())])


def test_a_guess_brings_one_pass_nearer_to_the_picture(guessing_bundle, pictures: Path) -> None:
    before, bundle = guessing_bundle
    photos = read(pictures)[:8]
    gain = psnr(photos, bundle.reconstruct(photos)).mean() - psnr(photos, before.reconstruct(photos)).mean()
    assert gain > 1
    assert bundle.metrics["guess_psnr"] > bundle.metrics["once_psnr"] + 1
    assert bundle.metrics["guess_images"] == 5  # a tenth, held out
    assert "## First guess" in bundle.card and "python -m vae guess --model" in bundle.card


def test_the_model_stays_and_links_to_it_hold(guessing_bundle) -> None:
    before, bundle = guessing_bundle
    assert not before.guesses and bundle.guesses
    assert before.digest in bundle.formerly and before.digest != bundle.digest
    z = bundle.stats.mean[None]
    assert np.array_equal(before.decode(z), bundle.decode(z))


def test_the_graph_is_the_network(guessing_bundle) -> None:
    _, bundle = guessing_bundle
    guess = Guess(bundle.model)
    guess.load_state_dict(load_guess(bundle.path))
    rng = np.random.default_rng(1)
    size = bundle.image_size
    images = rng.integers(0, 256, (2, size, size, 3), np.uint8)
    mu, _, delta = bundle.encode_with_offsets(images)
    feature, anchor = bundle.guess(images, mu, delta)
    assert np.array_equal(anchor, bundle.feature_map(mu, delta))
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)
    with torch.no_grad():
        expected = guess(pixels, torch.from_numpy(bundle.decode_float(mu, delta)), torch.from_numpy(anchor)).numpy()
    assert np.abs(expected).max() > 0.01
    assert np.abs(feature - expected).max() < 1e-3 * np.abs(expected).max()


def test_a_bundle_without_a_guess_reconstructs_from_code_and_styles(guessing_bundle, pictures: Path) -> None:
    before, _ = guessing_bundle
    photos = read(pictures)[:2]
    mu, _, delta = before.encode_with_offsets(photos)
    assert before.guess(photos, mu, delta) is None
    assert np.array_equal(before.reconstruct(photos), before.decode(mu, delta))


def test_a_code_for_each_picture_is_asked_for(guessing_bundle, pictures: Path) -> None:
    _, bundle = guessing_bundle
    with pytest.raises(BundleError, match="2 pictures and 1 codes"):
        bundle.guess(read(pictures)[:2], bundle.stats.mean)


def test_a_foreign_graph_is_refused_when_the_bundle_is_opened(tmp_path: Path) -> None:
    from vae.bundles.contract import read_config
    from vae.bundles.folder import seal

    folder = make_tiny_bundle(tmp_path, "style")
    other = ModelConfig("style", 64, 3, 8, style_size=16, width=0.25)
    weights = {PREFIX + key: value.numpy() for key, value in Guess(other).state_dict().items()}
    (folder / "guess.onnx").write_bytes(guess_graph(other, weights).SerializeToString())
    seal(folder, read_config(folder))
    with pytest.raises(BundleError, match=r"guess\.onnx has .* of shape"):
        open_bundle(folder)


def test_a_flat_model_is_refused(tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture) -> None:
    flat = make_tiny_bundle(tmp_path)
    assert main(["guess", "--model", str(flat), "--data", str(pictures), "--steps", "1"]) == 2
    assert "has no styles" in capsys.readouterr().err


def test_a_guess_may_begin_at_that_of_another_model(
    guessing_bundle, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    _, bundle = guessing_bundle
    fresh = make_tiny_bundle(tmp_path, "style", name="fresh")
    words = ["guess", "--model", str(fresh), "--data", str(pictures), "--steps", "1", "--lr", "1e-6", "--start-from"]
    assert main([*words, str(bundle.path)]) == 0
    ours, theirs = load_guess(fresh), load_guess(bundle.path)
    assert (
        torch.allclose(ours["out.weight"], theirs["out.weight"], atol=1e-3) and theirs["out.weight"].abs().max() > 0.01
    )
    assert f"--start-from {bundle.path.name}" in open_bundle(fresh).card
    assert main([*words, str(tmp_path)]) == 2 and "cannot be read" in capsys.readouterr().err


def test_training_is_repeatable_and_averages(folder: Path, pictures: Path) -> None:
    from vae.data.options import DataConfig
    from vae.data.sets import open_data

    bundle = open_bundle(folder)
    data = open_data(DataConfig.from_dict({"sources": [str(pictures)]}), bundle.image_size, 3)

    def trained(seed: int) -> Guess:
        config = guessing.GuessConfig(steps=3, batch_size=4, seed=seed)
        weights = load_weights(bundle.path)
        return guessing.train(bundle.model, weights, bundle.codes.mu, None, data, config, lambda text: None)[0]

    first, again, other = trained(0), trained(0), trained(1)
    assert torch.equal(first.out.weight, again.out.weight)
    assert not torch.equal(first.out.weight, other.out.weight)
    assert not any(p.requires_grad for p in first.parameters())


def test_the_guess_stays_until_refining_is_done_with_something_better(guessing_bundle, pictures: Path) -> None:
    _, bundle = guessing_bundle
    photos = read(pictures)[:2]
    mu, _, delta = bundle.encode_with_offsets(photos)
    guess = Guess(bundle.model).requires_grad_(False)
    guess.load_state_dict(load_guess(bundle.path))
    fitter = Fitter(bundle.model, load_weights(bundle.path), dtype=torch.float32, guess=guess)
    x = torch.from_numpy(photos.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)
    start = None if delta is None else torch.from_numpy(delta)
    first, *between, last = [r for r in fitter.run(x, torch.from_numpy(mu), 24, start, 80) if r is not None]
    once = psnr(photos, bundle.reconstruct(photos))
    assert np.abs(first.psnr.numpy() - once).max() < 0.05
    # until the end the picture of one pass stays: what lies between would be a step back
    assert between and all(r.image is None and torch.equal(r.delta, first.delta) for r in between)
    assert [r.step for r in between] == sorted(r.step for r in between)
    assert (last.psnr > first.psnr + 0.3).all()
    again = bundle.decode(mu, last.delta.numpy(), feature=last.feature.numpy(), anchor=last.anchor.numpy())
    assert np.abs(psnr(photos, again) - last.psnr.numpy()).max() < 0.1


def test_a_photo_that_the_steps_led_away_from_keeps_its_guess(guessing_bundle, pictures: Path, monkeypatch) -> None:
    from vae.photos import fitting

    _, bundle = guessing_bundle
    photos = read(pictures)[:1]
    mu, _, _ = bundle.encode_with_offsets(photos)
    guess = Guess(bundle.model).requires_grad_(False)
    guess.load_state_dict(load_guess(bundle.path))
    fitter = Fitter(bundle.model, load_weights(bundle.path), dtype=torch.float32, guess=guess)
    monkeypatch.setattr(fitting, "FEATURE_RATE", 50.0)
    x = torch.from_numpy(photos.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1)
    first, *_, last = [r for r in fitter.run(x, torch.from_numpy(mu), 2, None, 2) if r is not None]
    assert torch.allclose(first.psnr, last.psnr, atol=0.05)
    assert torch.equal(first.delta, last.delta)
