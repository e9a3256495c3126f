from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.faceres import STRIDES, write_faceres
from tests.training.test_objective import STYLE, answering, draws
from vae.config import ObjectiveConfig
from vae.networks.identity import LAYERS, LEFT, SEEN, SIDE, TOP, WIDTH, Identity, IdentityError, _tensors
from vae.training.errors import TrainingError
from vae.training.objective import Objective


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_faceres(tmp_path / "faceres")


def faces(n: int = 2, side: int = 128, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 16, 16, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def same_padding(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """TensorFlow's convolution of x (h, w, in) with weight (k, k, in, out), padding SAME, place by place."""
    k = weight.shape[0]
    out = [math.ceil(n / stride) for n in x.shape[:2]]
    total = [max((m - 1) * stride + k - n, 0) for m, n in zip(out, x.shape)]
    x = np.pad(x, [*((t // 2, t - t // 2) for t in total), (0, 0)])
    made = np.zeros((*out, weight.shape[3]))
    for i in range(out[0]):
        for j in range(out[1]):
            made[i, j] = np.einsum("hwc,hwco->o", x[i * stride : i * stride + k, j * stride : j * stride + k], weight)
    return np.clip(made + bias, 0, 6)


def test_distance_of_equal_pictures_is_nothing_and_of_others_something(folder: Path) -> None:
    network = Identity(folder)
    x, other = faces(), faces(seed=1)
    near = x + 0.05 * faces(seed=2)
    found = [network.distance(x, y) for y in (x, near, other)]
    assert all(d.shape == (2,) for d in found) and found[0].abs().max() < 1e-5
    assert (found[1] > 1e-6).all() and (found[2] > 2 * found[1]).all()


def test_gradients_reach_the_picture_and_no_weights(folder: Path) -> None:
    network, x = Identity(folder), faces()
    y = (x + 0.1 * faces(seed=1)).requires_grad_()
    before = network.distance(x, y)
    (slope,) = torch.autograd.grad(before.sum(), y)
    assert torch.isfinite(slope).all() and slope.any() and not list(network.parameters())
    assert (network.distance(x, y - 1e-3 * slope / slope.abs().max()) < before).all()


@pytest.mark.parametrize("side", [128, 64])
def test_only_the_face_counts(side: int, folder: Path) -> None:
    network, x, y = Identity(folder), faces(side=side), faces(side=side, seed=1)
    left, top, width = (round(share * side) for share in (LEFT, TOP, WIDTH))
    changed, kept = y.clone().requires_grad_(), network.distance(x, y)
    (slope,) = torch.autograd.grad(network.distance(x, changed).sum(), changed)
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[top : top + width, left : left + width] = True
    assert not slope[:, :, ~inside].any() and (slope[:, :, inside] != 0).float().mean() > 0.9
    y[:, :, 0, 0] = y[:, :, -1, -1] = 1.0
    assert torch.equal(network.distance(x, y), kept)


def test_maps_have_the_sizes_that_are_compared(folder: Path) -> None:
    maps = Identity(folder)(faces())
    assert [tuple(m.shape[1:]) for m in maps] == [(13, 20, 20), (19, 10, 10), (21, 5, 5)]
    assert all(m.min() >= 0 and m.max() <= 6 and m.std() > 0.01 for m in maps)


def test_first_convolution_is_tensorflows_on_blue_green_and_red(folder: Path) -> None:
    _, values = _tensors(folder)
    network, x = Identity(folder), faces(1)
    cut = x[:, :, 32 : 32 + 86, 20 : 20 + 86]
    cut = torch.nn.functional.interpolate(cut, (SIDE, SIDE), mode="bilinear", antialias=True)
    shown = (cut[0].permute(1, 2, 0).numpy()[..., ::-1] + 1) * 127.5 - np.array([103.939, 116.779, 123.68])
    weight, bias = values["first/weight"], values["first/Add/value"]
    seen: list[Tensor] = []
    original = torch.nn.functional.conv2d

    def conv2d(x: Tensor, *args: object, **settings: object) -> Tensor:
        seen.append(original(x, *args, **settings).clamp(0, 6))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "conv2d", conv2d)
        network(x)
    found = seen[0][0].permute(1, 2, 0).numpy()
    assert found.shape == (80, 80, 8) and np.allclose(found, same_padding(shown, weight, bias, 2), atol=1e-3)
    # Of the next layers: a depthwise one, whose normalisation is part of its weight, and one of 1 x 1.
    for layer, name, stride in ((1, "deep0", 1), (2, "flat0", 1), (3, "deep1", 2)):
        weight = values[f"{name}/weight"]
        if name.startswith("deep"):
            weight = weight * values[f"{name}/Mul/value"]
            weight = np.einsum("hwc,co->hwco", weight[..., 0], np.eye(weight.shape[2]))
        before, after = (seen[i][0].permute(1, 2, 0).numpy() for i in (layer - 1, layer))
        assert np.allclose(after, same_padding(before, weight, values[f"{name}/Add/value"], stride), atol=1e-3), name
    assert len(seen) == LAYERS and network.strides == [2, *(s for stride in STRIDES for s in (stride, 1))]
    assert [seen[i].shape[1:] for i in SEEN] == [m.shape[1:] for m in network(x)]


# ---------------------------------------------------------------- where it lies


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="nowhere holds no faceres.json and faceres.bin; run npm .*VAE_FACERES"):
        Identity(tmp_path / "nowhere")
    write_faceres(tmp_path / "half")
    (tmp_path / "half" / "faceres.bin").unlink()
    with pytest.raises(IdentityError, match="half holds no faceres.json and faceres.bin"):
        Identity(tmp_path / "half")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"weightsManifest": []}', '{"weightsManifest": [{"weights": [1]}]}']
)
def test_a_garbled_graph_is_told(text: str, folder: Path) -> None:
    (folder / "faceres.json").write_text(text)
    with pytest.raises(IdentityError, match="faceres.json cannot be used .*; install @vladmandic/human at version 3"):
        Identity(folder)


def test_other_networks_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="cannot be used .25 convolutions."):
        Identity(write_faceres(tmp_path / "short", blocks=12))
    raw = (folder / "faceres.bin").read_bytes()
    (folder / "faceres.bin").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(IdentityError, match="faceres.json cannot be used"):
        Identity(folder)


def test_the_environment_names_the_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_FACERES", str(folder))
    assert torch.equal(Identity().weight0, Identity(folder).weight0)
    other = write_faceres(tmp_path / "other", seed=1)
    assert not torch.equal(Identity(other).weight0, Identity().weight0)  # what is named in the call goes first
    monkeypatch.setenv("VAE_FACERES", str(tmp_path / "nowhere"))
    with pytest.raises(IdentityError, match="nowhere holds no"):
        Identity()


# ---------------------------------------------------------------- in the objective


def test_identity_joins_the_loss(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_FACERES", str(folder))
    x, y = faces(side=32), (faces(side=32) + 0.2 * faces(side=32, seed=1)).requires_grad_()
    plain, held = (Objective(ObjectiveConfig(identity=w), STYLE) for w in (0.0, 500.0))
    a, b = (objective(answering(y), x, draws(2, STYLE)) for objective in (plain, held))
    distance = Identity(folder).distance(x, y).mean()
    assert plain.identity is None and "identity" not in a.parts and b.parts["identity"].item() == distance.item() > 0
    assert (b.total - a.total).item() == pytest.approx(500 * distance.item(), rel=1e-3)
    (b.total - a.total).backward()
    assert torch.isfinite(y.grad).all() and y.grad.any()
    assert held.state_dict().keys() == plain.state_dict().keys() and not list(held.parameters())
    held.to("meta")
    assert all(buffer.is_meta for buffer in held.identity.buffers())


def test_a_run_without_the_network_is_told_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.training.runs import SHARP, lines, start

    monkeypatch.setenv("VAE_FACERES", str(tmp_path / "nowhere"))
    recipe = SHARP.replace(objective={"identity": 1.0, "adversarial": 0.0}, training={"steps": 4, "validate_every": 4})
    with pytest.raises(TrainingError, match="nowhere holds no faceres.json"):
        start(tmp_path / "refused", recipe)
    monkeypatch.setenv("VAE_FACERES", str(write_faceres(tmp_path / "faceres")))
    result = start(tmp_path / "run", recipe)
    assert lines(tmp_path / "run")[-1]["identity"] > 0 and result.metrics["identity"] > 0
