"""The ONNX graphs against torch, and the weights in them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from vae.bundles.contract import ExportError
from vae.bundles.encoding import networks, to_arrays
from vae.config import ModelConfig
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
        ("dense", dict(image_size=16, channels=3, latent_size=8, width=0.25, strips=8)),
        ("dense", dict(image_size=15, channels=1, latent_size=3, width=0.25, variational=False)),
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
