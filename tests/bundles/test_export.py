"""Making bundles: what the folder holds, and that it appears whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import make_tiny_bundle
from vae.bundles.bundle import open_bundle
from vae.bundles.card import About
from vae.bundles.contract import ExportError
from vae.bundles.export import export_model
from vae.config import DataConfig, ModelConfig
from vae.data.sets import open_data
from vae.networks.autoencoder import Autoencoder


def test_a_bundle_holds_codes_and_no_pictures(tiny_style_bundle):
    names = {path.name for path in tiny_style_bundle.iterdir()}
    assert {"config.json", "decoder.onnx", "encoder.onnx", "codes.npz", "stats.npz", "card.md"} <= names
    bundle = open_bundle(tiny_style_bundle)
    pictures = open_data(DataConfig(("sklearn-digits",), limit=300), 32, 3)
    train, test = pictures.split(0.4)
    mu, logvar = bundle.encode(train.images(range(len(train))))
    assert np.abs(bundle.codes.mu - mu).max() < 1e-2 and np.abs(bundle.codes.logvar - logvar).max() < 1e-2
    assert (bundle.codes.labels == train.labels).all() and bundle.codes.label_names == train.label_names
    stats = bundle.stats
    assert np.allclose(stats.centre, mu.mean(0), atol=1e-4) and np.allclose(stats.std, mu.std(0), rtol=1e-3)
    assert np.allclose(stats.eigenvectors @ np.diag(stats.eigenvalues) @ stats.eigenvectors.T, stats.cov, atol=1e-5)
    assert bundle.metrics["images"] == len(test) == 120 and bundle.metrics["kl"] > 0


def test_export_is_the_same_each_time(tiny_bundle, tmp_path):
    again = make_tiny_bundle(tmp_path, name="again")
    a, b = open_bundle(tiny_bundle), open_bundle(again)
    assert (a.path / "decoder.onnx").read_bytes() == (b.path / "decoder.onnx").read_bytes()
    for key in ("mean", "cov", "prior_mean", "prior_chol", "eigenvectors"):
        assert np.allclose(getattr(a.stats, key), getattr(b.stats, key), atol=1e-6), key


def test_a_bundle_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = make_tiny_bundle(tmp_path, name="mine")
    before = open_bundle(folder).digest
    pictures = open_data(DataConfig(("sklearn-digits",), limit=60), 16, 1)
    model = Autoencoder(ModelConfig("conv", 16, 1, 2, width=0.125))
    arguments = (model.state_dict(), model.config, *pictures.split(0.3), folder, About("Mine"))
    with pytest.raises(ExportError, match="--force"):
        export_model(*arguments)
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr("vae.bundles.export.card", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
        export_model(*arguments, force=True)
    assert open_bundle(folder).digest == before and [p.name for p in tmp_path.iterdir()] == ["mine"]
    export_model(*arguments, force=True)
    assert open_bundle(folder).digest != before and [p.name for p in tmp_path.iterdir()] == ["mine"]
    with pytest.raises(ExportError, match="no name"):
        export_model(*arguments[:4], tmp_path / "a b", About("Mine"))


def test_a_model_of_styles_says_how_often_its_draws_settle(tmp_path):
    pictures = open_data(DataConfig(("sklearn-digits",), limit=60), 32, 1)
    model = Autoencoder(ModelConfig("style", 32, 1, 4, width=0.0625, style_size=8))
    arguments = (model.state_dict(), model.config, *pictures.split(0.3))
    plain, settling = (
        open_bundle(export_model(*arguments, tmp_path / f"settle-{n}", About("Mine"), settle=n)) for n in (0, 2)
    )
    assert (plain.settle, settling.settle) == (0, 2)
    assert "again 2 times before they are shown" in settling.card and "before they are shown" not in plain.card


def test_the_card_names_what_counts(tiny_style_bundle):
    bundle = open_bundle(tiny_style_bundle)
    for words in (
        "Tiny style",
        "32 px",
        "8 numbers",
        "MIT",
        "180 training pictures",
        "PSNR",
        f"{bundle.metrics['psnr']:.2f} dB",
    ):
        assert words in bundle.card
    config = json.loads((Path(tiny_style_bundle) / "config.json").read_text())
    assert config["format"] == 1 and "card.md" in config["files"]
