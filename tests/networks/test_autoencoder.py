from __future__ import annotations

import math

import pytest
import torch

from vae.config import ModelConfig
from vae.networks import layers
from vae.networks.autoencoder import Autoencoder, Posterior
from vae.networks.layers import StyledConv, act
from vae.networks.principal import start_linear


def style(size: int = 32, **changes: object) -> ModelConfig:
    return ModelConfig("style", size, 3, 8, width=0.0625, style_size=16).replace(**changes)


@pytest.mark.parametrize("side", [1, 2, 5])
def test_doubling_by_slices_is_bilinear_interpolation(side: int) -> None:
    x = torch.randn(2, 3, side, side + 1, requires_grad=True)
    ours = layers._doubled(layers._doubled(x, 2), 3)
    theirs = torch.nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    assert torch.allclose(ours, theirs, atol=1e-6)
    weights = torch.randn_like(ours)
    slopes = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (ours, theirs)]
    assert torch.allclose(*slopes, atol=1e-5)


@pytest.mark.parametrize("size", [32, 64, 256])
def test_style_model_shapes(size: int) -> None:
    config = style(size)
    model = Autoencoder(config)
    x = torch.randn(2, 3, size, size)
    y, q = model(x)
    assert y.shape == x.shape and q.mu.shape == q.logvar.shape == (2, 8)
    assert config.levels == int(math.log2(size)) - 1
    levels = [rgb.shape[-1] for _, rgb in model.decoder.grow(model.decoder.styles(q.mu))]
    assert levels == [4 << i for i in range(config.levels)]


@pytest.mark.parametrize("size", [8, 28, 32, 33, 64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("architecture", ["conv", "dense"])
def test_small_model_shapes(architecture: str, size: int, channels: int, variational: bool) -> None:
    model = Autoencoder(ModelConfig(architecture, size, channels, 3, variational, width=0.25))
    x = torch.randn(2, channels, size, size)
    y, q = model(x)
    assert y.shape == x.shape and q.mu.shape == (2, 3)


def test_full_size_model_is_the_published_one() -> None:
    with torch.device("meta"):
        model = Autoencoder(ModelConfig("style", 128, 3, 128))
    assert sum(p.numel() for p in model.parameters()) == 18_820_370
    assert model.decoder.mapping[1].weight.shape == (384, 384)


def test_levels_take_codes_of_their_own() -> None:
    torch.manual_seed(0)
    config = style()
    model = Autoencoder(config)
    a, b = torch.randn(2, 1, 8)
    same = a[:, None].repeat(1, config.levels, 1)
    assert torch.allclose(model.decode(a), model.decode(same), atol=1e-5)
    mixed = same.clone()
    mixed[:, 2:] = b
    (_, first), (_, second), (_, third), *_ = model.decoder.grow(model.decoder.styles(mixed))
    expected = [rgb for _, rgb in model.decoder.grow(model.decoder.styles(a))]
    assert torch.allclose(first, expected[0], atol=1e-5) and torch.allclose(second, expected[1], atol=1e-5)
    assert not torch.allclose(third, expected[2], atol=1e-2)


def test_style_offsets_move_the_image() -> None:
    torch.manual_seed(0)
    config = style()
    model, z = Autoencoder(config), torch.randn(2, 8)
    delta = torch.zeros(2, config.levels, 16)
    assert torch.equal(model.decode(z, delta), model.decode(z))
    delta[1, -1] = 1.0
    moved = model.decode(z, delta)
    assert torch.allclose(moved[0], model.decode(z)[0], atol=1e-6) and not torch.allclose(moved[1], model.decode(z)[1])


def test_flat_decoder_refuses_level_codes() -> None:
    model = Autoencoder(ModelConfig("conv", 8, 1, 2, width=0.25))
    with pytest.raises(ValueError, match="one code"):
        model.decode(torch.zeros(1, 3, 2))


def test_posterior_kl_matches_torch() -> None:
    q = Posterior(torch.randn(5, 4), torch.randn(5, 4))
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(
        normal(q.mu, (0.5 * q.logvar).exp()), normal(torch.zeros(4), torch.ones(4))
    )
    assert torch.allclose(q.kl(), expected, atol=1e-5)


def test_posterior_sample_is_reparameterised() -> None:
    mu, logvar = torch.zeros(20_000, 2, requires_grad=True), torch.tensor([0.0, -2.0]).expand(20_000, 2)
    z = Posterior(mu, logvar).sample()
    assert z.std(0).tolist() == pytest.approx([1.0, math.exp(-1)], rel=0.05)
    eps = torch.randn(20_000, 2)
    assert torch.equal(Posterior(mu, logvar).sample(eps), mu + (0.5 * logvar).exp() * eps)
    z.sum().backward()
    assert torch.equal(mu.grad, torch.ones_like(mu))


def test_autoencoder_has_no_noise() -> None:
    torch.manual_seed(0)
    model = Autoencoder(ModelConfig("conv", 8, 1, 2, variational=False, width=0.25))
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(model(x)[0], model(x)[0])
    q = model.encode(x)
    assert torch.allclose(q.sample(), q.mu, atol=1e-5)


def test_styled_conv_equals_modulated_weights() -> None:
    """Scaling activations is the same as scaling the weights of each sample, as in equation 3 of arXiv 1912.04958."""
    torch.manual_seed(0)
    layer = StyledConv(3, 5, 3, style=4)
    layer.bias.data.normal_()
    x, w = torch.randn(2, 3, 6, 6), torch.randn(2, 4)
    for i in range(2):
        weight = layer.weight * layer.scale * layer.affine(w[i : i + 1])[0][None, :, None, None]
        weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-6)
        expected = act(torch.nn.functional.conv2d(x[i : i + 1], weight, layer.bias, padding=1))
        assert torch.allclose(layer(x[i : i + 1], w[i : i + 1]), expected, atol=1e-5)


def digits() -> torch.Tensor:
    from sklearn.datasets import load_digits

    images = torch.tensor(load_digits().images[:600, None], dtype=torch.float32) / 8 - 1
    return torch.nn.functional.interpolate(images, size=32, mode="bilinear")


@pytest.mark.parametrize("variational", [True, False])
def test_a_linear_path_begins_as_pca(variational: bool) -> None:
    torch.manual_seed(0)
    x = digits()
    model = Autoencoder(style(channels=1, linear=True, variational=variational))
    start_linear(model, x, kl=1e4)  # so many nats that no noise is left
    from sklearn.decomposition import PCA

    both = torch.cat([x, x.flip(3)]).flatten(1).numpy()
    pca = PCA(8, svd_solver="full").fit(both)
    wanted = torch.from_numpy(pca.inverse_transform(pca.transform(x.flatten(1).numpy()))).view_as(x)
    with torch.no_grad():
        q = model.encode(x)
        y = model.decode(q.mu)
    assert (y - x).square().mean() <= 1.01 * (wanted - x).square().mean()
    assert q.mu.var(0).mean() == pytest.approx(1, abs=0.25)


def test_a_linear_path_spends_its_nats() -> None:
    torch.manual_seed(0)
    x = digits()
    model = Autoencoder(style(channels=1, linear=True))
    found = []
    for kl in (4.0, 16.0):
        start_linear(model, x, kl)
        with torch.no_grad():
            q = model.encode(torch.cat([x, x.flip(3)]))
            assert q.kl().sum(1).mean() == pytest.approx(kl, rel=0.1)
            found.append((model.decode(q.sample())[:600] - x).square().mean())
    assert found[1] < 0.8 * found[0]


def test_each_level_draws_its_part_of_the_linear_picture() -> None:
    torch.manual_seed(0)
    model = Autoencoder(style(64, linear=True))  # linear up to 32 px
    start_linear(model, torch.rand(40, 3, 64, 64) * 2 - 1, 10.0)
    z = torch.randn(2, model.config.levels, 8)
    with torch.no_grad():
        whole, alone = model.decode(z), list(model.decoder.grow(model.decoder.styles(z)))[-1][1]
        assert torch.allclose(alone + model.decoder.linear_image(z), whole, atol=1e-5)
        moved = z.clone()
        moved[:, -1] += 1
        assert torch.allclose(model.decoder.linear_image(moved), model.decoder.linear_image(z))
        moved[:, 0] += 1
        assert not torch.allclose(model.decoder.linear_image(moved), model.decoder.linear_image(z), atol=1e-3)
