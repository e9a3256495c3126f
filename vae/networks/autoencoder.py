"""Encoder, decoder and posterior.

Images are (N, c, s, s) in [-1, 1], decoder outputs are not clamped. A code z is (N, d), or
(N, L, d) where each of the L resolution levels of a "style" decoder takes a code of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.config import ModelConfig
from vae.networks.layers import DownBlock, EqualConv, EqualLinear, StyledConv, UpBlock, act, upsample

LOGVAR_MIN, LOGVAR_MAX = -8.0, 4.0
# An autoencoder has no variance: sigma is 3e-7, so z = mu to float32 precision.
LOGVAR_NONE = -30.0
DENSE_LAYERS = 3  # hidden layers of the "dense" architecture, on either side


class Posterior:
    """The diagonal Gaussian q(z | x) = N(mu, exp(logvar)).  mu, logvar: (N, d).

    delta (N, L, style): the style offsets that the encoder reads from the picture beside its code, where the model has
    them. They are exact, no part of the Gaussian.
    """

    def __init__(self, mu: Tensor, logvar: Tensor, delta: Tensor | None = None):
        self.mu, self.logvar, self.delta = mu, logvar, delta

    def sample(self, eps: Tensor | None = None) -> Tensor:
        """Draw z = mu + sigma * eps, (N, d): the reparameterisation trick (Kingma and Welling 2014, arXiv 1312.6114).

        eps: standard normal noise (N, d); fresh noise by default.
        """
        eps = torch.randn_like(self.mu) if eps is None else eps
        return self.mu + (0.5 * self.logvar).exp() * eps

    def kl(self) -> Tensor:
        """KL(q(z | x) || N(0, I)) in nats per dimension, (N, d); equation 10 of the same paper."""
        return 0.5 * (self.mu.square() + self.logvar.exp() - 1 - self.logvar)


class StyleEncoder(nn.Module):
    """Image (N, c, s, s) -> the 2 d (or d) numbers of the posterior, and style offsets (N, L, style) or None."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        sizes = [config.image_size >> i for i in range(config.levels)]  # s ... 4 px
        widths = [config.width_at(size) for size in sizes]
        self.from_rgb = EqualConv(config.channels, widths[0], 1)
        self.blocks = nn.ModuleList(DownBlock(a, b) for a, b in itertools.pairwise(widths))
        self.conv = EqualConv(widths[-1], widths[-1], 3)
        self.fc = EqualLinear(widths[-1] * 16, widths[-1])
        self.to_posterior = EqualLinear(widths[-1], config.latent_size * (2 if config.variational else 1))
        side = config.linear_size
        self.linear = EqualLinear(config.channels * side * side, config.latent_size) if side else None
        self.pooling = config.image_size // side if side else 1
        self.levels, style, self.offsets = config.levels, config.style_size, None
        if config.offsets:
            self.offsets = nn.ModuleList([EqualLinear(widths[-1] * 16, style), EqualLinear(style, self.levels * style)])
            nn.init.zeros_(self.offsets[1].weight)  # training begins without them

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        image, x = x, act(self.from_rgb(x))
        for block in self.blocks:
            x = block(x)
        x = act(self.conv(x)).flatten(1)
        numbers = self.to_posterior(act(self.fc(x)))
        if self.linear is not None:
            mu = self.linear(F.avg_pool2d(image, self.pooling).flatten(1))
            numbers = numbers + F.pad(mu, (0, numbers.shape[1] - mu.shape[1]))  # logvar has no linear part
        if self.offsets is None:
            return numbers, None
        first, second = self.offsets
        return numbers, second(act(first(x))).unflatten(1, (self.levels, -1))


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
        noisy = [size if config.noise else 0 for size in sizes]
        self.conv_first = StyledConv(widths[0], widths[0], 3, style, noise_side=noisy[0])
        self.blocks = nn.ModuleList(UpBlock(a, b, style, side) for a, b, side in zip(widths, widths[1:], noisy[1:]))
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
        for _, rgb in self.grow(self.styles(z, delta), z):  # noqa: B007
            pass
        return rgb


def cut(x: Tensor, strips: int) -> Tensor:
    """Pictures (N, c, s, s) -> their upright strips, from the left, as pictures of their own (N strips, c, s, s / strips)."""
    n, c, s, _ = x.shape
    return x.reshape(n, c, s, strips, s // strips).permute(0, 3, 1, 2, 4).reshape(n * strips, c, s, s // strips)


def joined(x: Tensor, strips: int) -> Tensor:
    """The inverse of `cut`."""
    n, c, s, w = x.shape
    return x.reshape(n // strips, strips, c, s, w).permute(0, 2, 3, 1, 4).reshape(n // strips, c, s, s)


class ConvEncoder(nn.Sequential):
    """Small picture, or a strip of one, (N, c, s, w) -> the numbers of its posterior, mu and then logvar."""

    def __init__(self, config: ModelConfig):
        sizes = config.sides
        widths = [max(8, round(32 * config.width * min(2**i, 4))) for i in range(len(sizes))]
        layers: list[nn.Module] = [nn.Conv2d(config.channels, widths[0], 3, padding=1), nn.SiLU()]
        for a, b in itertools.pairwise(widths):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.SiLU()]
        hidden = max(32, round(256 * config.width))
        numbers = config.latent_size // config.strips * (2 if config.variational else 1)
        layers += [nn.Flatten(), nn.Linear(widths[-1] * sizes[-1] ** 2 // config.strips, hidden), nn.SiLU()]
        layers += [nn.Linear(hidden, numbers)]
        super().__init__(*layers)


class DenseEncoder(nn.Sequential):
    """Small picture, or a strip of one, (N, c, s, w) -> the numbers of its posterior, by full connections alone."""

    def __init__(self, config: ModelConfig):
        hidden, pixels = round(256 * config.width), config.channels * config.image_size**2 // config.strips
        widths = [pixels] + [hidden] * DENSE_LAYERS
        layers: list[nn.Module] = [nn.Flatten()]
        for a, b in itertools.pairwise(widths):
            layers += [nn.Linear(a, b), nn.SiLU()]
        super().__init__(*layers, nn.Linear(hidden, config.latent_size // config.strips * (1 + config.variational)))


class FlatDecoder(nn.Module):
    """Code (N, d) -> small picture (N, c, s, s), by layers that draw it, or a strip of it, from its numbers."""

    def __init__(self, config: ModelConfig, layers: list[nn.Module]):
        super().__init__()
        self.strips, self.layers = config.strips, nn.Sequential(*layers)

    def forward(self, z: Tensor, delta: Tensor | None = None) -> Tensor:
        if z.ndim != 2 or delta is not None:
            raise ValueError(
                f"a flat decoder takes one code (N, d) and no style offsets, not a code of shape {tuple(z.shape)}"
            )
        if self.strips == 1:
            return self.layers(z)
        return joined(self.layers(z.reshape(len(z) * self.strips, -1)), self.strips)


def conv_decoder(config: ModelConfig) -> FlatDecoder:
    """The mirror of `ConvEncoder`."""
    sizes = config.sides[::-1]
    widths = [max(8, round(32 * config.width * min(2**i, 4))) for i in range(len(sizes))][::-1]
    hidden, wide = max(32, round(256 * config.width)), sizes[0] // config.strips
    layers: list[nn.Module] = [nn.Linear(config.latent_size // config.strips, hidden), nn.SiLU()]
    layers += [
        nn.Linear(hidden, widths[0] * sizes[0] * wide),
        nn.SiLU(),
        nn.Unflatten(1, (widths[0], sizes[0], wide)),
    ]
    for a, b in itertools.pairwise(widths):
        layers += [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1), nn.SiLU()]
    return FlatDecoder(config, [*layers, nn.Conv2d(widths[-1], config.channels, 3, padding=1)])


def dense_decoder(config: ModelConfig) -> FlatDecoder:
    """The mirror of `DenseEncoder`."""
    hidden, wide = round(256 * config.width), config.image_size // config.strips
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise([config.latent_size // config.strips] + [hidden] * DENSE_LAYERS):
        layers += [nn.Linear(a, b), nn.SiLU()]
    layers += [nn.Linear(hidden, config.channels * config.image_size * wide)]
    return FlatDecoder(config, [*layers, nn.Unflatten(1, (config.channels, config.image_size, wide))])


class Autoencoder(nn.Module):
    """Encoder and decoder of any configuration, variational or plain."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        encoder, decoder = {
            "style": (StyleEncoder, StyleDecoder),
            "conv": (ConvEncoder, conv_decoder),
            "dense": (DenseEncoder, dense_decoder),
        }[config.architecture]
        self.encoder, self.decoder = encoder(config), decoder(config)

    def encode(self, x: Tensor) -> Posterior:
        """Image (N, c, s, s) in [-1, 1] -> posterior with mu, logvar (N, d) and, where the model has them, offsets."""
        strips = self.config.strips
        if strips > 1:
            parts = self.encoder(cut(x, strips)).unflatten(0, (-1, strips))  # (N, strips, 2 d / strips)
            parts = parts.chunk(2, dim=2) if self.config.variational else [parts]
            numbers, delta = torch.cat([part.flatten(1) for part in parts], 1), None
        else:
            numbers, delta = self.encoder(x) if self.config.architecture == "style" else (self.encoder(x), None)
        if not self.config.variational:
            return Posterior(numbers, torch.full_like(numbers, LOGVAR_NONE), delta)
        mu, logvar = numbers.chunk(2, dim=1)
        return Posterior(mu, logvar.clamp(LOGVAR_MIN, LOGVAR_MAX), delta)

    def decode(self, z: Tensor, delta: Tensor | None = None) -> Tensor:
        """Code (N, d) or (N, L, d), style offsets (N, L, style) -> image (N, c, s, s), not clamped."""
        return self.decoder(z, delta)

    def forward(self, x: Tensor) -> tuple[Tensor, Posterior]:
        """Reconstruct through a sample of the posterior (through mu, if not variational)."""
        q = self.encode(x)
        return self.decode(q.sample() if self.config.variational else q.mu, q.delta), q
