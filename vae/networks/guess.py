"""A network that sees a photo beside its reconstruction, and guesses what the code and the styles leave out of it.

What it gives is a feature offset (vae.bundles.feature), which else is fitted step by step: in one pass the picture is the
photo's. Others guess theirs alike (HFGI, Wang et al. 2022, arXiv 2109.06590; StyleRes, Pehlivan et al. 2023,
arXiv 2212.14359). Needs torch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.config import ModelConfig
from vae.networks.layers import EqualConv, act, upsample

PATCH = 4  # pixels of the picture on a place of the feature map, each way
WIDTH = 96
WIDE = 128  # channels at half the feature map's side, where the network sees further
BLOCKS = (2, 2, 2)  # before the halving, between, and after


class PatchConv(nn.Module):
    """Cuts pictures into patches that do not overlap, with equalised learning rate: (N, c, s, s) -> (N, C, s/4, s/4)."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, PATCH, PATCH))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.scale = 1 / (n_in * PATCH * PATCH) ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, stride=PATCH)


class Block(nn.Module):
    """x + what two 3 x 3 convolutions make of it; the second begins at 0."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1, self.conv2 = EqualConv(width, width, 3), EqualConv(width, width, 3)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(act(self.conv1(x)))


class Guess(nn.Module):
    """image, picture (N, c, s, s) in [-1, 1], anchor (N, C, s/4, s/4) -> feature offset (N, C, s/4, s/4).

    picture: the reconstruction of the image, from its code and its styles. anchor: the decoder's map that it was drawn
    from. unit (1, C, 1, 1): how much each channel of such maps varies, in which the network counts.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        channels = config.feature_shape[0]
        self.register_buffer("unit", torch.ones(1, channels, 1, 1))
        self.patches = PatchConv(2 * config.channels, WIDTH)
        self.anchor = EqualConv(channels, WIDTH, 1)
        before, between, after = BLOCKS
        self.before = nn.ModuleList(Block(WIDTH) for _ in range(before))
        self.down = EqualConv(WIDTH, WIDE, 1)
        self.between = nn.ModuleList(Block(WIDE) for _ in range(between))
        self.up = EqualConv(WIDE, WIDTH, 1)
        self.after = nn.ModuleList(Block(WIDTH) for _ in range(after))
        self.out = EqualConv(WIDTH, channels, 3)
        nn.init.zeros_(self.out.weight)  # training begins at the model without it

    def forward(self, image: Tensor, picture: Tensor, anchor: Tensor) -> Tensor:
        x = self.patches(torch.cat([image - picture, image], 1)) + self.anchor(anchor / self.unit)
        for block in self.before:
            x = block(x)
        y = self.down(F.avg_pool2d(x, 2))
        for block in self.between:
            y = block(y)
        x = x + self.up(upsample(y))
        for block in self.after:
            x = block(x)
        return self.out(act(x)) * self.unit
