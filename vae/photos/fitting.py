"""Fit style offsets, and a feature offset, of a frozen decoder to photos: the decoder made quick, the loss, its steps.

Starting from w = mapping(mu), and from the offsets that the encoder read where the model has such, Adam fits offsets
delta (L, S) for each photo to the L1 distance between photo and decoded image, at full size and at 1/2, 1/4 and 1/8 of
it, the face counting twice, plus a small penalty on the change, which keeps the codes' own directions at work on the
refined face. Where the bundle holds the curvature of its offsets (vae.photos.curvature), Adam steps in coordinates that
act alike on the picture. What styles cannot say (this hair, this earring) a feature offset takes up afterwards, with
the same loss: see vae.bundles.feature. Where the model has a network that guesses that offset (vae.networks.guess), its
picture stays until the steps are done, and for good where they end at a worse one. The decoder is frozen: its weights are
scaled, and their norms for the demodulation summed, once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.bundles.contract import level_at
from vae.hardware import native_bf16
from vae.networks.autoencoder import StyleDecoder
from vae.networks.guess import Guess
from vae.networks.layers import act, upsample
from vae.photos.curvature import coordinates
from vae.training.losses import psnr

# Adam: rate and first moment over delta itself; length of a step and first moment over coordinates that act alike; the
# second moment; and the share of the steps over which the rate falls to 0.
PLAIN, ALIKE = (0.1, 0.8), (0.4, 0.7)
BETA2, FALL = 0.99, 0.4
PENALTY = 0.02  # on the mean square of what the steps add to the offsets
FACE_WEIGHT = 2.0  # of a pixel of the face against one of the background
PYRAMID = 4  # sizes in the loss: 1, 1/2, 1/4, 1/8
REPORT_EVERY = 2  # steps
# The same for a feature offset, in units of its channels' deviations.
FEATURE_RATE, FEATURE_BETA1, FEATURE_PENALTY = 0.05, 0.8, 1e-3
FEATURE_REPORT_EVERY = 5
SQRT2 = math.sqrt(2)


def fast_dtype() -> torch.dtype:
    """bfloat16 where the processor multiplies in it, else float32."""
    return torch.bfloat16 if native_bf16() else torch.float32


class FrozenConv:
    """A vae.networks.layers.StyledConv with fixed weights, for gradients with respect to x and w only."""

    def __init__(self, layer: Any, dtype: torch.dtype):
        weight = layer.weight * layer.scale
        self.dtype, self.padding = dtype, weight.shape[-1] // 2
        self.weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.affine, self.affine_bias = layer.affine.weight * layer.affine.scale, layer.affine.bias
        self.squares = weight.square().sum((2, 3)).T.contiguous() if layer.demodulate else None  # (n_in, n_out)
        # leaky_relu(a) * sqrt(2) = leaky_relu(a * sqrt(2)): the factor goes into shift and norm.
        shift = (layer.shift() * (SQRT2 if layer.demodulate else 1)).to(dtype)  # (1, n_out, 1, 1) or (1, n_out, h, w)
        self.shift = shift.contiguous(memory_format=torch.channels_last)

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:
        s = F.linear(w, self.affine, self.affine_bias)  # (N, n_in)
        y = F.conv2d(x * s[:, :, None, None].to(self.dtype), self.weight, padding=self.padding)
        if self.squares is None:
            return y + self.shift
        norm = torch.rsqrt(s.square() @ self.squares + 1e-6) * SQRT2  # (N, n_out)
        return F.leaky_relu(torch.addcmul(self.shift, y, norm[:, :, None, None].to(self.dtype)), 0.2)


class FrozenDecoder:
    """A vae.networks.autoencoder.StyleDecoder, without its linear path, from styles w (N, L, S) to image (N, c, s, s) float32.

    It works in `dtype` inside.
    """

    def __init__(self, decoder: Any, dtype: torch.dtype):
        self.dtype = dtype
        self.base, self.base_bias = decoder.base.weight * decoder.base.scale, decoder.base.bias
        self.first = FrozenConv(decoder.conv_first, dtype)
        self.blocks = [(FrozenConv(b.conv_low, dtype), FrozenConv(b.conv_high, dtype)) for b in decoder.blocks]
        self.to_rgb = [FrozenConv(layer, dtype) for layer in decoder.to_rgb]

    def __call__(self, w: Tensor) -> Tensor:
        return self.above(*self.below(w, 0), w, 0)

    def below(self, w: Tensor, level: int) -> tuple[Tensor, Tensor | None]:
        """Features x (N, C, h, h) of a level, and the image (N, c, h/2, h/2) of the level under it, None for level 0."""
        x = act(F.linear(w[:, 0], self.base, self.base_bias)).unflatten(1, (-1, 4, 4))  # (N, C, 4, 4)
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        x, rgb = self.first(x, w[:, 0]), None
        for k, (low, high) in enumerate(self.blocks[:level], start=1):
            rgb = self._image(x, rgb, w, k - 1)
            x = high(upsample(low(x, w[:, k])), w[:, k])
        return x, rgb

    def above(self, x: Tensor, rgb: Tensor | None, w: Tensor, level: int) -> Tensor:
        """The image from what `below` gives for a level, perhaps with something added to the features."""
        rgb = self._image(x, rgb, w, level)
        for k, (low, high) in enumerate(self.blocks[level:], start=level + 1):
            x = high(upsample(low(x, w[:, k])), w[:, k])
            rgb = self._image(x, rgb, w, k)
        return rgb

    def _image(self, x: Tensor, rgb: Tensor | None, w: Tensor, level: int) -> Tensor:
        more = self.to_rgb[level](x, w[:, level]).float()
        return more if rgb is None else upsample(rgb) + more


def pyramid(x: Tensor) -> list[Tensor]:
    """x (N, c, s, s) at full size and halved three times."""
    sizes = [x]
    for _ in range(PYRAMID - 1):
        sizes.append(F.avg_pool2d(sizes[-1], 2))
    return sizes


def face_weights(size: int, eyes: Any) -> Tensor:
    """Weights (1, 1, s, s) of mean 1 for the loss, larger on the face below and around the eyes of the template.

    Likeness is in the face, while most pixels are hair and background. Without eyes all weigh the same.
    """
    if eyes is None:
        return torch.ones(1, 1, size, size)
    (x0, y0), (x1, y1) = eyes
    distance = math.dist(*eyes)
    line = torch.arange(size, dtype=torch.float32)
    y, x = torch.meshgrid(line, line, indexing="ij")
    across = (x - (x0 + x1) / 2) / (1.12 * distance)
    down = (y - (y0 + y1) / 2 - 0.3 * distance) / (1.41 * distance)
    radius = (across.square() + down.square()).sqrt()  # 1 on the outline of an average face
    weights = 1 + (FACE_WEIGHT - 1) * ((1.25 - radius) / 0.5).clamp(0, 1)
    return (weights / weights.mean())[None, None]


class Likeness:
    """How far pictures are from photos, both (N, c, s, s) given as their pyramids -> (N,): what refining makes small.

    importance: the weights of the pixels at each size, (1, 1, s, s).

    The L1 distance at full size plus the mean of those at 1/2, 1/4 and 1/8 of it, the face counting twice.
    eyes: a face model's eye template, two points in px; without it all pixels weigh the same.
    """

    def __init__(self, size: int, eyes: Any = None):
        first, *rest = pyramid(face_weights(size, eyes))
        self.importance = [first, *(weights / len(rest) for weights in rest)]

    def __call__(self, pictures: list[Tensor], photos: list[Tensor]) -> Tensor:
        sizes = zip(pictures, photos, self.importance)
        return sum(((a - b).abs() * weights).mean((1, 2, 3)) for a, b, weights in sizes)


@dataclass(frozen=True, eq=False)
class Report:
    """After `step` of `total` steps: psnr (N,) in dB of the images (N, c, s, s) drawn with style offsets delta (N, L, S).

    image: None on the way to what is better than a picture that was guessed already: until the end that one stays.
    At the end, where a feature offset was fitted, feature and the anchor that it was found at (vae.bundles.feature),
    both (N, C, h, h) float16.
    """

    step: int
    total: int
    psnr: Tensor
    delta: Tensor
    image: Tensor | None
    feature: Tensor | None = None
    anchor: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Guessed:
    """One pass: style offsets delta (N, L, S), feature offset and anchor (N, C, h, h), and the images (N, c, s, s)."""

    delta: Tensor
    offset: Tensor
    anchor: Tensor
    image: Tensor


class Adam:
    """Adam (Kingma and Ba 2015, arXiv 1412.6980) on one tensor, its rate falling to 0 over the last share FALL."""

    def __init__(self, u: Tensor, rate: float, beta1: float):
        self.u, self.rate, self.beta1, self.count = u, rate, beta1, 0
        self.m, self.v = torch.zeros_like(u), torch.zeros_like(u)

    @torch.no_grad()
    def step(self, gradient: Tensor, progress: float) -> None:
        """One step against the gradient; progress: share of the steps that are done, 0 to 1."""
        self.count += 1
        self.m.lerp_(gradient, 1 - self.beta1)
        self.v.lerp_(gradient.square(), 1 - BETA2)
        mean, square = self.m / (1 - self.beta1**self.count), self.v / (1 - BETA2**self.count)
        self.u -= self.rate * min(1.0, (1 - progress) / FALL) * mean / (square.sqrt() + 1e-8)


class Fitter:
    """A decoder ready to be fitted.

    eyes: a face model's eye template, two points in px. curvature: (L, S, S) of the offsets, as vae.photos.curvature
    measures it. guess: the model's network for a first feature offset, where it has one.
    """

    def __init__(
        self,
        config: Any,
        weights: dict[str, Tensor],
        eyes: Any = None,
        dtype: torch.dtype | None = None,
        curvature: Tensor | None = None,
        guess: Guess | None = None,
    ):
        self.config, self.guess = config, guess
        self.axes = None if curvature is None else coordinates(curvature)
        self.likeness = Likeness(config.image_size, eyes)
        decoder = StyleDecoder(config)
        prefix = "decoder."
        decoder.load_state_dict({k[len(prefix) :]: v.float() for k, v in weights.items() if k.startswith(prefix)})
        self.decoder = decoder.requires_grad_(False).eval()
        self.fast = FrozenDecoder(self.decoder, dtype or fast_dtype())
        self.exact = self.fast if self.fast.dtype == torch.float32 else FrozenDecoder(self.decoder, torch.float32)

    def pictures(self, w: Tensor, linear: Tensor | None = None) -> list[Tensor]:
        """The pyramid of the image of styles w (N, L, S), with what the linear path adds."""
        image = self.fast(w)
        return pyramid(image if linear is None else image + linear)

    def offsets(self, u: Tensor) -> Tensor:
        """What Adam steps over, (N, L, S), as offsets: u itself, or the coordinates that act alike."""
        return u if self.axes is None else torch.einsum("nlk,lks->nls", u, self.axes)

    def run(
        self, x: Tensor, z: Tensor, steps: int, start: Tensor | None = None, feature_steps: int = 0
    ) -> Iterator[Report | None]:
        """Fit offsets to images x (N, c, s, s) from codes z (N, d); reports every few steps, and at the end.

        start: style offsets (N, L, S) to begin at, which the encoder read from the images; 0 by default. The penalty is
        on what the steps add to them. Report 0 is the picture before refining. feature_steps: how many of the steps
        after the style's fit a feature offset, for what styles cannot say. Between reports it yields None, which gives
        the caller a turn.
        """
        total, targets = steps + feature_steps, pyramid(x)
        with torch.no_grad():
            w = self.decoder.styles(z, start)  # (N, L, S)
            start = torch.zeros_like(w) if start is None else start
            linear = self.decoder.linear_image(z)
            first = self.decoder(z, start)
        guessed = self._guessed(x, z, start, first) if self.guess is not None and feature_steps else None
        waiting = None if guessed is None else Report(0, total, psnr(x, guessed.image), start.clone(), None)
        yield waiting or Report(0, total, psnr(x, first), start.clone(), first)
        u = torch.zeros_like(w, requires_grad=True)
        rate, beta1 = PLAIN if self.axes is None else (ALIKE[0] / math.sqrt(u[0].numel()), ALIKE[1])
        adam = Adam(u, rate, beta1)
        for k in range(steps):
            change = self.offsets(u)
            sizes = self.pictures(w + change, linear)
            loss = self.likeness(sizes, targets).sum() + PENALTY * change.square().mean((1, 2)).sum()
            (gradient,) = torch.autograd.grad(loss, u)
            if k == 0 or k % REPORT_EVERY:
                yield None
            elif waiting:
                yield replace(waiting, step=k)
            else:
                image = sizes[0].detach()
                yield Report(k, total, psnr(x, image), start + change.detach(), image)
            adam.step(gradient, k / steps)
        with torch.no_grad():
            delta = start + self.offsets(u)
            last = self.decoder(z, delta)
            # A photo that the steps led away from stays as it was.
            worse = self.likeness(pyramid(last), targets) > self.likeness(pyramid(first), targets)
            delta[worse], last[worse] = start[worse], first[worse]
        if guessed is None:
            yield Report(steps, total, psnr(x, last), delta, last)
        if feature_steps:
            yield from self._feature(x, z, delta, last, guessed, waiting, steps, feature_steps)

    @torch.no_grad()
    def _guessed(self, x: Tensor, z: Tensor, delta: Tensor, picture: Tensor) -> Guessed:
        """What the model's network adds to pictures of codes z (N, d) with style offsets, in one pass."""
        level = level_at(self.config.feature_shape[1])
        w, linear = self.decoder.styles(z, delta), self.decoder.linear_image(z)
        anchor, below = self.exact.below(w, level)
        offset = self.guess(x, picture, anchor).half().float()  # what is kept and sent
        image = self.exact.above(anchor + offset, below, w, level)
        return Guessed(delta, offset, anchor, image if linear is None else image + linear)

    def _feature(
        self,
        x: Tensor,
        z: Tensor,
        delta: Tensor,
        first: Tensor,
        guessed: Guessed | None,
        waiting: Report | None,
        done: int,
        steps: int,
    ) -> Iterator[Report | None]:
        """Fit feature offsets (N, C, h, h) on top of style offsets that stay; first: the images with those alone.

        guessed: what one pass gave, to which a photo goes back that the steps led away from; waiting: what is reported
        meanwhile. Only what lies above the offset is run and differentiated. Adam steps in units of each channel's
        deviation.
        """
        level, targets, total = level_at(self.config.feature_shape[1]), pyramid(x), done + steps
        with torch.no_grad():
            w, linear = self.decoder.styles(z, delta), self.decoder.linear_image(z)
            features, rgb = self.fast.below(w, level)
            unit = features.float().std((0, 2, 3), keepdim=True)  # (1, C, 1, 1)
            anchor, below = self.exact.below(w, level)
        # From 0, not from the guess: from there the offset ends larger, and takes a tenth more of an edit's effect.
        u = torch.zeros_like(features, dtype=torch.float32, requires_grad=True)
        adam = Adam(u, FEATURE_RATE, FEATURE_BETA1)
        for k in range(steps):
            image = self.fast.above(features + (u * unit).to(self.fast.dtype), rgb, w, level)
            image = image if linear is None else image + linear
            loss = self.likeness(pyramid(image), targets).sum() + FEATURE_PENALTY * u.square().mean((1, 2, 3)).sum()
            (gradient,) = torch.autograd.grad(loss, u)
            if k == 0 or k % FEATURE_REPORT_EVERY:
                yield None
            elif waiting:
                yield replace(waiting, step=done + k)
            else:
                image = image.detach()
                yield Report(done + k, total, psnr(x, image), delta, image)
            adam.step(gradient, k / steps)
        with torch.no_grad():
            offset = (u * unit).half()  # what is kept and sent
            last = self.exact.above(anchor + offset.float(), below, w, level)
            last = last if linear is None else last + linear
            if guessed is None:
                guessed = Guessed(delta, torch.zeros_like(u), anchor, first)
            # one that has run out of numbers is no better either
            worse = ~(self.likeness(pyramid(last), targets) <= self.likeness(pyramid(guessed.image), targets))
            delta, anchor = delta.clone(), anchor.clone()
            delta[worse], anchor[worse] = guessed.delta[worse], guessed.anchor[worse]
            offset[worse], last[worse] = guessed.offset[worse].half(), guessed.image[worse]
        yield Report(total, total, psnr(x, last), delta, last, offset, anchor.half())
