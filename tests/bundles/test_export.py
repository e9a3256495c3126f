"""Making bundles: the ONNX graphs against torch, and what the arrays hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from tests.conftest import make_tiny_bundle
from vae.bundles.bundle import open_bundle
from vae.bundles.export import About, ExportError, directions, export_model, networks, prior, to_arrays
from vae.config import DataConfig, ModelConfig
from vae.data.sets import open_data
from vae.networks.autoencoder import Autoencoder
from vae.networks.weights import WeightsError, load_weights

STYLE = dict(image_size=32, channels=3, latent_size=8, width=0.0625, style_size=16)


def model_of(architecture: str, **settings: object) -> Autoencoder:
    torch.manual_seed(1)
    model = Autoencoder(ModelConfig(architecture, **settings))
    for parameter in model.parameters():  # what is stored in half precision, so that both run on the same numbers
        parameter.data = parameter.data.half().float()
        if parameter.ndim == 1:
            parameter.data += (0.1 * torch.randn_like(parameter)).half().float()
            parameter.data = parameter.data.half().float()
    for buffer in model.buffers():
        buffer.copy_(buffer.half())
    if model.config.offsets:  # which training begins at zero
        weight = model.encoder.offsets[1].weight
        weight.data = torch.randn_like(weight).half().float()
    return model.eval()


@pytest.mark.parametrize(
    "architecture, settings",
    [
        ("style", STYLE),
        ("style", {**STYLE, "channels": 1, "image_size": 64, "variational": False}),
        ("style", {**STYLE, "linear": True}),
        ("style", {**STYLE, "image_size": 64, "linear": True, "variational": False}),
        ("style", {**STYLE, "width": 0.25}),  # wide enough for Winograd's algorithm
        ("style", {**STYLE, "noise": True}),
        ("style", {**STYLE, "offsets": True, "linear": True}),
        ("style", {**STYLE, "width": 0.25, "noise": True, "offsets": True, "variational": False}),
        ("conv", dict(image_size=28, channels=1, latent_size=2, width=0.25)),
        ("conv", dict(image_size=16, channels=3, latent_size=5, width=0.25, variational=False)),
        ("conv", dict(image_size=27, channels=1, latent_size=3, width=0.25)),
    ],
)
def test_the_graphs_compute_what_the_model_does(architecture, settings):
    model = model_of(architecture, **settings)
    config = model.config
    decoder, encoder = (ort.InferenceSession(part) for part in networks(config, to_arrays(model.state_dict())))
    for count in (1, 3):  # any batch
        x = torch.rand(count, config.channels, config.image_size, config.image_size) * 2 - 1
        with torch.no_grad():
            q = model.encode(x)
        mu, logvar, *more = encoder.run(None, {"image": x.numpy()})
        assert [output.name for output in encoder.get_outputs()] == ["mu", "logvar", *["delta"] * config.offsets]
        if config.offsets:
            assert q.delta.std() > 0.1 and more[0].shape == q.delta.shape
            assert np.abs(more[0] - q.delta.numpy()).max() < 1e-4
        assert np.abs(mu - q.mu.numpy()).max() < 1e-4 and np.abs(logvar - q.logvar.numpy()).max() < 1e-4
        if config.levels:
            z = torch.randn(count, config.levels, config.latent_size)
            delta = 0.3 * torch.randn(count, config.levels, config.style_size)
            feed = {"z": z.numpy(), "delta": delta.numpy()}
        else:
            z, delta = torch.randn(count, config.latent_size), None
            feed = {"z": z.numpy()}
        with torch.no_grad():
            wanted = model.decode(z, delta).numpy()
        assert np.abs(decoder.run(["image"], feed)[0] - wanted).max() < 1e-4


@pytest.mark.parametrize("linear", [False, True])
def test_every_level_can_be_read_out(linear):
    model = model_of("style", **STYLE, linear=linear)
    data, _ = networks(model.config, to_arrays(model.state_dict()))
    graph = onnx.load_model_from_string(data)
    names = ["w", *(f"{kind}.{level}" for level in range(4) for kind in ("x", "rgb"))]
    for name in names:
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    z = torch.randn(2, 4, 8)
    found = ort.InferenceSession(graph.SerializeToString()).run(
        names, {"z": z.numpy(), "delta": np.zeros((2, 4, 16), np.float32)}
    )
    with torch.no_grad():
        w = model.decoder.styles(z)
        wanted = [w, *(value for level in model.decoder.grow(w, z) for value in level)]
    for name, a, b in zip(names, found, wanted):
        assert a.shape == b.shape and np.abs(a - b.numpy()).max() < 1e-4, name


@pytest.mark.parametrize(
    "architecture, settings",
    [
        ("style", STYLE),
        ("style", {**STYLE, "noise": True, "offsets": True}),
        ("conv", dict(image_size=16, latent_size=3, width=0.25)),
    ],
)
def test_weights_are_stored_once_and_come_back(tmp_path, architecture, settings):
    model = model_of(architecture, **settings)
    state = model.state_dict()
    files = networks(model.config, to_arrays(state))
    for name, data in zip(("decoder", "encoder"), files):
        (tmp_path / f"{name}.onnx").write_bytes(data)
    back = load_weights(tmp_path)
    assert set(back) == set(state)
    for key, value in state.items():
        assert back[key].dtype == torch.float32 and torch.equal(back[key], value), key
    size = 2 if architecture == "style" else 4
    stored = sum(value.numel() * size for value in state.values())
    assert sum(map(len, files)) < stored * 1.2 + 80_000
    Autoencoder(model.config).load_state_dict(back)


@pytest.mark.parametrize("noise", [False, True])
def test_no_work_on_weights_is_left_for_a_run(tmp_path, noise):
    model = model_of("style", **{**STYLE, "width": 0.25, "noise": noise})
    data, _ = networks(model.config, to_arrays(model.state_dict()))
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(data, options)
    graph = onnx.load_model(tmp_path / "optimised.onnx").graph
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        assert not set(filter(None, node.input)) <= constants, f"{node.op_type} works on constants alone"
    kinds = [node.op_type for node in graph.node]
    assert "Cast" not in kinds and "ReduceSum" not in kinds and "ConvTranspose" in kinds
    assert kinds.count("Add") == 2 + 7 * 2 + 1 + 3  # of the mapping, norms and shifts, offsets, skips: noise adds none


def test_load_weights_of_a_broken_bundle_is_refused(tmp_path):
    (tmp_path / "encoder.onnx").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="encoder.onnx"):
        load_weights(tmp_path)


def test_weights_of_another_model_are_refused():
    weights = to_arrays(model_of("conv", image_size=16, latent_size=3, width=0.25).state_dict())
    with pytest.raises(ExportError, match="encoder.9.weight"):
        networks(ModelConfig("conv", 16, 1, 4, width=0.25), weights)
    with pytest.raises(ExportError, match="settings"):
        networks(ModelConfig("style", 32, 3, 4), weights)


# ---------------------------------------------------------------- the folder


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


def test_directions_read_what_the_labels_say_and_no_more():
    rng = np.random.default_rng(0)
    mu, test_mu = rng.standard_normal((1200, 4)), rng.standard_normal((600, 4))
    mix = np.eye(4)
    mix[1, 0] = 0.8  # the second number follows the first
    mu, test_mu = mu @ mix.T, test_mu @ mix.T
    cov = np.cov(mu.T)

    def labels(z: np.ndarray) -> np.ndarray:
        return np.stack([z[:, 0] > 0, rng.random(len(z)) > 0.5, np.arange(len(z)) < 3], 1).astype(np.uint8)

    found = directions(mu, cov, labels(mu), ["first", "noise", "rare"], test_mu, labels(test_mu))
    assert found["names"].tolist() == ["first"] and found["score"][0] > 0.95
    w = found["w"].astype(float)
    assert np.allclose(w @ cov @ w.T, 1, atol=1e-3)  # in sigma
    step = cov @ w[0]
    assert step[0] > 0.9 and 0.4 < step[1] / step[0] < 1.2 and abs(step[2]) < 0.15
    assert directions(mu, cov, labels(mu)[:, 1:2], ["noise"], test_mu, labels(test_mu)[:, 1:2]) is None


def test_the_prior_takes_as_many_parts_as_the_codes_have():
    rng = np.random.default_rng(1)
    one = rng.standard_normal((400, 2))
    four = one + 8 * rng.integers(0, 2, (400, 2))
    assert len(prior(one)["prior_weight"]) == 1 and len(prior(four)["prior_weight"]) > 1
    assert prior(one)["prior_chol"].shape == (1, 2, 2)


def test_measures_see_what_they_name():
    from vae.measures import MEASURES, measure, to_lab

    rng = np.random.default_rng(0)
    face = rng.integers(90, 110, (128, 128, 3), dtype=np.uint8)
    lighter, right, dark_eyes = face.copy(), face.copy(), face.copy()
    lighter[76:96] += 60
    right[76:96, 64:] += 60
    for x in (46, 80):
        dark_eyes[62:70, x - 6 : x + 8] = 10
    values, around = measure(np.stack([face, lighter, right, dark_eyes]))
    value = {m.id: values[:, k] for k, m in enumerate(MEASURES)}
    assert values.shape == (4, len(MEASURES)) and around.shape == (4, 11) and np.isfinite(values).all()
    assert value["Skin_tone"][1] > value["Skin_tone"][0] + 10
    assert value["Light_side"][2] > value["Light_side"][0] + 10 and abs(value["Light_side"][1]) < 3
    assert value["Eye_lightness"][3] < value["Eye_lightness"][0] - 20
    assert np.allclose(to_lab(np.array([255, 255, 255], np.uint8)), [100, 0, 0], atol=0.1)
    assert np.allclose(to_lab(np.array([255, 0, 0], np.uint8)), [53.2, 80.1, 67.2], atol=0.3)


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
