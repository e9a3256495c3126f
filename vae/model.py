"""Encoder, decoder and posterior.

Images are (N, c, s, s) in [-1, 1], decoder outputs are not clamped. A code z is (N, d), or
(N, L, d) where each of the L resolution levels of a "style" decoder takes a code of its own.
"""

from __future__ import annotations

import math
from typing import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.config import ModelConfig

LOGVAR_MIN, LOGVAR_MAX = -8.0, 4.0
# An autoencoder has no variance: sigma is 3e-7, so z = mu to float32 precision.
LOGVAR_NONE = -30.0


def act(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance of its input."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def upsample(x: Tensor) -> Tensor:
    """Double the resolution, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Posterior:
    """The diagonal Gaussian q(z | x) = N(mu, exp(logvar)).  mu, logvar: (N, d)."""

    def __init__(self, mu: Tensor, logvar: Tensor):
        self.mu, self.logvar = mu, logvar

    def sample(self, eps: Tensor | None = None) -> Tensor:
        """Draw z = mu + sigma * eps, (N, d): the reparameterisation trick (Kingma and Welling 2014, arXiv 1312.6114).

        eps: standard normal noise (N, d); fresh noise by default.
        """
        eps = torch.randn_like(self.mu) if eps is None else eps
        return self.mu + (0.5 * self.logvar).exp() * eps

    def kl(self) -> Tensor:
        """KL(q(z | x) || N(0, I)) in nats per dimension, (N, d); equation 10 of the same paper."""
        return 0.5 * (self.mu.square() + self.logvar.exp() - 1 - self.logvar)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate: W is stored as N(0, 1), used as W / sqrt(fan_in) (arXiv 1710.10196)."""

    def __init__(self, n_in: int, n_out: int, bias: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in))
        self.bias = nn.Parameter(torch.full((n_out,), bias))
        self.scale = 1 / math.sqrt(n_in)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


class EqualConv(nn.Module):
    """Same-size convolution with equalised learning rate."""

    def __init__(self, n_in: int, n_out: int, kernel: int, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None
        self.scale = 1 / math.sqrt(n_in * kernel * kernel)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)


class StyledConv(nn.Module):
    """Convolution modulated by a style, on activations (Karras et al. 2020, arXiv 1912.04958).

    x: (N, n_in, h, w), w: (N, style) -> (N, n_out, h, w). Without `demodulate` it is linear (to_rgb).
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, style: int, demodulate: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.affine = EqualLinear(style, n_in, bias=1.0)
        self.scale = 1 / math.sqrt(n_in * kernel * kernel)
        self.demodulate = demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        s = self.affine(w)  # (N, n_in)
        weight = self.weight * self.scale
        y = F.conv2d(x * s[:, :, None, None], weight, padding=weight.shape[-1] // 2)
        bias = self.bias[None, :, None, None]
        if not self.demodulate:
            return y + bias
        norm = torch.rsqrt(s.square() @ weight.square().sum((2, 3)).T + 1e-6)  # (N, n_out)
        return act(y * norm[:, :, None, None] + bias)


class DownBlock(nn.Module):
    """Residual block that halves the resolution."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.conv1 = EqualConv(n_in, n_in, 3)
        self.conv2 = EqualConv(n_in, n_out, 3)
        self.skip = EqualConv(n_in, n_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = act(self.conv2(F.avg_pool2d(act(self.conv1(x)), 2)))
        return (y + self.skip(F.avg_pool2d(x, 2))) / math.sqrt(2)


class UpBlock(nn.Module):
    """Two styled convolutions around a doubling of the resolution: see StyleDecoder.maps."""

    def __init__(self, n_in: int, n_out: int, style: int):
        super().__init__()
        self.conv_low = StyledConv(n_in, n_out, 3, style)
        self.conv_high = StyledConv(n_out, n_out, 3, style)


class StyleEncoder(nn.Module):
    """Image (N, c, s, s) -> the 2 d (or d) numbers of the posterior."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        sizes = [config.image_size >> i for i in range(config.levels)]  # s ... 4 px
        widths = [config.width_at(size) for size in sizes]
        self.from_rgb = EqualConv(config.channels, widths[0], 1)
        self.blocks = nn.ModuleList(DownBlock(a, b) for a, b in zip(widths, widths[1:]))
        self.conv = EqualConv(widths[-1], widths[-1], 3)
        self.fc = EqualLinear(widths[-1] * 16, widths[-1])
        self.to_posterior = EqualLinear(widths[-1], config.latent_size * (2 if config.variational else 1))
        side = config.linear_size
        self.linear = EqualLinear(config.channels * side * side, config.latent_size) if side else None
        self.pooling = config.image_size // side if side else 1

    def forward(self, x: Tensor) -> Tensor:
        image, x = x, act(self.from_rgb(x))
        for block in self.blocks:
            x = block(x)
        x = act(self.conv(x)).flatten(1)
        numbers = self.to_posterior(act(self.fc(x)))
        if self.linear is not None:
            mu = self.linear(F.avg_pool2d(image, self.pooling).flatten(1))
            numbers = numbers + F.pad(mu, (0, numbers.shape[1] - mu.shape[1]))  # logvar has no linear part
        return numbers


class StyleDecoder(nn.Module):
    """Code -> image, with one style per resolution level and an image skip at each.

    The linear path, where there is one, adds to each skip a linear picture of that level's code.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        sizes = [4 << i for i in range(config.levels)]
        widths = [config.width_at(size) for size in sizes]
        style = config.style_size
        self.mapping = nn.ModuleList([EqualLinear(config.latent_size, style), EqualLinear(style, style)])
        self.base = EqualLinear(style, widths[0] * 16)
        self.conv_first = StyledConv(widths[0], widths[0], 3, style)
        self.blocks = nn.ModuleList(UpBlock(a, b, style) for a, b in zip(widths, widths[1:]))
        self.to_rgb = nn.ModuleList(StyledConv(a, config.channels, 1, style, demodulate=False) for a in widths)
        sides = [size for size in sizes if size <= config.linear_size]
        self.linear = nn.ModuleList(EqualLinear(config.latent_size, config.channels * side * side) for side in sides)

    def styles(self, z: Tensor, delta: Tensor | None = None) -> Tensor:
        """z (N, d) or (N, L, d), delta (N, L, style) -> w (N, L, style)."""
        w = z
        for layer in self.mapping:
            w = act(layer(w))
        if w.ndim == 2:
            w = w[:, None].expand(-1, len(self.to_rgb), -1)
        return w if delta is None else w + delta

    def linear_rgb(self, z: Tensor, level: int) -> Tensor | None:
        """What the linear path adds at a level, from z (N, d) or (N, L, d); None where it adds nothing."""
        if level >= len(self.linear):
            return None
        picture = self.linear[level](z if z.ndim == 2 else z[:, level])
        return picture.unflatten(1, (-1, 4 << level, 4 << level))

    def linear_image(self, z: Tensor) -> Tensor | None:
        """All that the linear path adds to the image, (N, c, s, s): it does not depend on the styles."""
        image = None
        for level in range(len(self.to_rgb) if len(self.linear) else 0):
            image, more = None if image is None else upsample(image), self.linear_rgb(z, level)
            image = more if image is None else image if more is None else image + more
        return image

    def maps(self, w: Tensor, z: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield every feature map in order, with the image so far where a level ends, from styles w (N, L, style).

        z, (N, d) or (N, L, d): the codes, which the linear path needs; without them it is left out.
        """

        def skip(x: Tensor, level: int) -> Tensor:
            rgb = self.to_rgb[level](x, w[:, level])
            more = None if z is None else self.linear_rgb(z, level)
            return rgb if more is None else rgb + more

        x = act(self.base(w[:, 0])).unflatten(1, (-1, 4, 4))  # (N, C, 4, 4)
        yield x, None
        x = self.conv_first(x, w[:, 0])
        rgb = skip(x, 0)
        yield x, rgb
        for level, block in enumerate(self.blocks, start=1):
            x = block.conv_low(x, w[:, level])
            yield x, None
            x = block.conv_high(upsample(x), w[:, level])
            rgb = upsample(rgb) + skip(x, level)
            yield x, rgb

    def grow(self, w: Tensor, z: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield features and image of each level, 4 px first; w and z as for `maps`."""
        return ((x, rgb) for x, rgb in self.maps(w, z) if rgb is not None)

    def forward(self, z: Tensor, delta: Tensor | None = None) -> Tensor:
        for _, rgb in self.grow(self.styles(z, delta), z):
            pass
        return rgb


def _ladder(size: int) -> list[int]:
    """Resolutions of the small model: halved while even and above 4 px (28 -> 28, 14, 7)."""
    sizes = [size]
    while sizes[-1] % 2 == 0 and sizes[-1] > 4:
        sizes.append(sizes[-1] // 2)
    return sizes


class ConvEncoder(nn.Sequential):
    """Small picture (N, c, s, s) -> the 2 d (or d) numbers of the posterior."""

    def __init__(self, config: ModelConfig):
        sizes = _ladder(config.image_size)
        widths = [max(8, round(32 * config.width * min(2**i, 4))) for i in range(len(sizes))]
        layers: list[nn.Module] = [nn.Conv2d(config.channels, widths[0], 3, padding=1), nn.SiLU()]
        for a, b in zip(widths, widths[1:]):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.SiLU()]
        hidden = max(32, round(256 * config.width))
        layers += [nn.Flatten(), nn.Linear(widths[-1] * sizes[-1] ** 2, hidden), nn.SiLU()]
        layers += [nn.Linear(hidden, config.latent_size * (2 if config.variational else 1))]
        super().__init__(*layers)


class ConvDecoder(nn.Module):
    """Code (N, d) -> small picture (N, c, s, s)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        sizes = _ladder(config.image_size)[::-1]
        widths = [max(8, round(32 * config.width * min(2**i, 4))) for i in range(len(sizes))][::-1]
        hidden = max(32, round(256 * config.width))
        layers: list[nn.Module] = [nn.Linear(config.latent_size, hidden), nn.SiLU()]
        layers += [nn.Linear(hidden, widths[0] * sizes[0] ** 2), nn.SiLU(), nn.Unflatten(1, (widths[0], sizes[0], sizes[0]))]
        for a, b in zip(widths, widths[1:]):
            layers += [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1), nn.SiLU()]
        layers += [nn.Conv2d(widths[-1], config.channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, delta: Tensor | None = None) -> Tensor:
        if z.ndim != 2 or delta is not None:
            raise ValueError(f"a flat decoder takes one code (N, d) and no style offsets, not a code of shape {tuple(z.shape)}")
        return self.layers(z)


class Autoencoder(nn.Module):
    """Encoder and decoder of any configuration, variational or plain."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        style = config.architecture == "style"
        self.encoder = StyleEncoder(config) if style else ConvEncoder(config)
        self.decoder = StyleDecoder(config) if style else ConvDecoder(config)

    def encode(self, x: Tensor) -> Posterior:
        """Image (N, c, s, s) in [-1, 1] -> posterior with mu, logvar (N, d)."""
        numbers = self.encoder(x)
        if not self.config.variational:
            return Posterior(numbers, torch.full_like(numbers, LOGVAR_NONE))
        mu, logvar = numbers.chunk(2, dim=1)
        return Posterior(mu, logvar.clamp(LOGVAR_MIN, LOGVAR_MAX))

    def decode(self, z: Tensor, delta: Tensor | None = None) -> Tensor:
        """Code (N, d) or (N, L, d), style offsets (N, L, style) -> image (N, c, s, s), not clamped."""
        return self.decoder(z, delta)

    def forward(self, x: Tensor) -> tuple[Tensor, Posterior]:
        """Reconstruct through a sample of the posterior (through mu, if not variational)."""
        q = self.encode(x)
        return self.decode(q.sample() if self.config.variational else q.mu), q
