"""Fit style offsets of a frozen decoder to photos: the decoder made quick, the loss, and its steps. Torch.

Starting from w = mapping(mu), and from the offsets that the encoder read where the model has such, Adam fits offsets
delta (L, S) for each photo to the L1 distance between photo and decoded image, at full size and at 1/2, 1/4 and 1/8 of
it, the face counting twice, plus a small penalty on the change, which keeps the codes' own directions at work on the
refined face. Where the bundle holds the curvature of its offsets (vae.photos.curvature), Adam steps in coordinates that
act alike on the picture. The decoder is frozen: its weights are scaled, and their norms for the demodulation summed,
once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.hardware import native_bf16
from vae.networks.autoencoder import StyleDecoder
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
        x = act(F.linear(w[:, 0], self.base, self.base_bias)).unflatten(1, (-1, 4, 4))  # (N, C, 4, 4)
        x = x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        x = self.first(x, w[:, 0])
        rgb = self.to_rgb[0](x, w[:, 0]).float()
        for level, (low, high) in enumerate(self.blocks, start=1):
            x = high(upsample(low(x, w[:, level])), w[:, level])
            rgb = upsample(rgb) + self.to_rgb[level](x, w[:, level]).float()
        return rgb


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


class Fitter:
    """A decoder ready to be fitted.

    eyes: a face model's eye template, two points in px. curvature: (L, S, S) of the offsets, as vae.photos.curvature
    measures it.
    """

    def __init__(
        self,
        config: Any,
        weights: dict[str, Tensor],
        eyes: Any = None,
        dtype: torch.dtype | None = None,
        curvature: Tensor | None = None,
    ):
        self.config = config
        self.axes = None if curvature is None else coordinates(curvature)
        self.likeness = Likeness(config.image_size, eyes)
        decoder = StyleDecoder(config)
        prefix = "decoder."
        decoder.load_state_dict({k[len(prefix) :]: v.float() for k, v in weights.items() if k.startswith(prefix)})
        self.decoder = decoder.requires_grad_(False).eval()
        self.fast = FrozenDecoder(self.decoder, dtype or fast_dtype())

    def pictures(self, w: Tensor, linear: Tensor | None = None) -> list[Tensor]:
        """The pyramid of the image of styles w (N, L, S), with what the linear path adds."""
        image = self.fast(w)
        return pyramid(image if linear is None else image + linear)

    def offsets(self, u: Tensor) -> Tensor:
        """What Adam steps over, (N, L, S), as offsets: u itself, or the coordinates that act alike."""
        return u if self.axes is None else torch.einsum("nlk,lks->nls", u, self.axes)

    def run(
        self, x: Tensor, z: Tensor, steps: int, start: Tensor | None = None
    ) -> Iterator[tuple[int, Tensor | None, Tensor | None]]:
        """Fit offsets to images x (N, c, s, s) from codes z (N, d); yields step, psnr (N,), delta (N, L, S).

        start: offsets (N, L, S) to begin at, which the encoder read from the images; 0 by default. The penalty is on
        what the steps add to them. Step 0 is the picture before refining. Between reports it yields nothing but gives
        the caller a turn: a step number with two Nones.
        """
        with torch.no_grad():
            w = self.decoder.styles(z, start)  # (N, L, S)
            start = torch.zeros_like(w) if start is None else start
            linear, targets = self.decoder.linear_image(z), pyramid(x)
            first = self.decoder(z, start)
            yield 0, psnr(x, first), start.clone()
        u = torch.zeros_like(w, requires_grad=True)
        m, v = torch.zeros_like(w), torch.zeros_like(w)
        rate, beta1 = PLAIN if self.axes is None else (ALIKE[0] / math.sqrt(u[0].numel()), ALIKE[1])
        for k in range(steps):
            change = self.offsets(u)
            sizes = self.pictures(w + change, linear)
            loss = self.likeness(sizes, targets).sum() + PENALTY * change.square().mean((1, 2)).sum()
            (gradient,) = torch.autograd.grad(loss, u)
            if k and k % REPORT_EVERY == 0:
                yield k, psnr(x, sizes[0].detach()), start + change.detach()
            else:
                yield k, None, None
            with torch.no_grad():
                m.lerp_(gradient, 1 - beta1)
                v.lerp_(gradient.square(), 1 - BETA2)
                step = m / (1 - beta1 ** (k + 1)) / ((v / (1 - BETA2 ** (k + 1))).sqrt() + 1e-8)
                u -= rate * min(1.0, (1 - k / steps) / FALL) * step
        with torch.no_grad():
            delta = start + self.offsets(u)
            last = self.decoder(z, delta)
            # A photo that the steps led away from stays as it was.
            worse = self.likeness(pyramid(last), targets) > self.likeness(pyramid(first), targets)
            delta[worse], last[worse] = start[worse], first[worse]
            yield steps, psnr(x, last), delta
