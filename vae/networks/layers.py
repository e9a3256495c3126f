"""Layers of the styled networks: equalised learning rate, styles, halving and doubling of the resolution."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def act(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance of its input."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def upsample(x: Tensor) -> Tensor:
    """Double the resolution, bilinear."""
    if not x.is_cuda:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    # The same by slices: on CUDA the gradient of F.interpolate adds up in no fixed order, never twice alike.
    return _doubled(_doubled(x, 2), 3)


def _doubled(x: Tensor, dim: int) -> Tensor:
    """x with twice the places along a dimension; each is 3/4 of the place that it lies in and 1/4 of the next one."""
    size = x.shape[dim]
    before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, size - 1)], dim)
    after = torch.cat([x.narrow(dim, 1, size - 1), x.narrow(dim, size - 1, 1)], dim)
    near = 0.75 * x
    return torch.stack([near + 0.25 * before, near + 0.25 * after], dim + 1).flatten(dim, dim + 1)


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
    noise_side: where it is not 0, a map of noise of that side in pixels is added to each output channel in a strength
    of its own, which begins at 0: texture, such as hair, has something to grow from (section 3.2 of Karras et al. 2019,
    arXiv 1812.04948). The map is a weight and never changes, so that a code always gives the same picture.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, style: int, demodulate: bool = True, noise_side: int = 0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.affine = EqualLinear(style, n_in, bias=1.0)
        self.scale = 1 / math.sqrt(n_in * kernel * kernel)
        self.demodulate = demodulate
        if noise_side:
            self.register_buffer("noise", torch.randn(1, 1, noise_side, noise_side))
            self.strength = nn.Parameter(torch.zeros(n_out))

    def shift(self) -> Tensor:
        """What is added to every picture's output: the bias (1, n_out, 1, 1), with noise (1, n_out, h, w)."""
        bias = self.bias[None, :, None, None]
        return bias + self.strength[None, :, None, None] * self.noise if hasattr(self, "noise") else bias

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        s = self.affine(w)  # (N, n_in)
        weight = self.weight * self.scale
        y = F.conv2d(x * s[:, :, None, None], weight, padding=weight.shape[-1] // 2)
        if not self.demodulate:
            return y + self.shift()
        norm = torch.rsqrt(s.square() @ weight.square().sum((2, 3)).T + 1e-6)  # (N, n_out)
        return act(y * norm[:, :, None, None] + self.shift())


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
    """Two styled convolutions around a doubling of the resolution: see StyleDecoder.maps.

    noise_side: side in pixels after the doubling of the maps of noise; 0 for none.
    """

    def __init__(self, n_in: int, n_out: int, style: int, noise_side: int = 0):
        super().__init__()
        self.conv_low = StyledConv(n_in, n_out, 3, style, noise_side=noise_side // 2)
        self.conv_high = StyledConv(n_out, n_out, 3, style, noise_side=noise_side)
