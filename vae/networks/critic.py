"""Discriminators: networks that judge whether a picture looks real."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.config import ModelConfig
from vae.networks.layers import DownBlock, EqualConv, EqualLinear, act

# The discriminator's channels by resolution in pixels: wider than the encoder's.
CRITIC_CHANNELS = {4: 512, 8: 512, 16: 288, 32: 160, 64: 96, 128: 48, 256: 24}
JUDGE_CHANNELS = 64


class Critic(nn.Module):
    """The discriminator: image (N, c, s, s) -> score (N,), and its blocks' features."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        sizes = [config.image_size >> i for i in range(config.levels)]  # s ... 4 px
        widths = [max(8, round(CRITIC_CHANNELS[size] * config.width)) for size in sizes]
        self.from_rgb = EqualConv(config.channels, widths[0], 1)
        self.blocks = nn.ModuleList(DownBlock(a, b) for a, b in itertools.pairwise(widths))
        self.conv = EqualConv(widths[-1] + 1, widths[-1], 3)
        self.fc = EqualLinear(widths[-1] * 16, widths[-1])
        self.score = EqualLinear(widths[-1], 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = []
        x = act(self.from_rgb(x))
        for block in self.blocks:
            x = block(x)
            features.append(x)
        x = torch.cat([x, _deviation(x)], 1)
        x = act(self.conv(x)).flatten(1)
        return self.score(act(self.fc(x)))[:, 0].float(), features


def _deviation(x: Tensor, group: int = 4) -> Tensor:
    """Minibatch standard deviation (arXiv 1710.10196), one number per group of images: (N, 1, h, w).

    Groups are neighbours, so that real and made images, one after the other in a batch, never mix.
    """
    group = math.gcd(len(x), group)
    y = x.float().unflatten(0, (-1, group))  # (N / group, group, C, h, w)
    y = (y.var(1, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))  # (N / group,)
    return y.repeat_interleave(group)[:, None, None, None].expand(-1, 1, *x.shape[2:]).to(x.dtype)


class Judges(nn.Module):
    """Small discriminators on the feature maps of a network that was trained on photos.

    What such a network knows of photos need not be learnt from scores, so that few images go a long way (Sauer et al.
    2021, arXiv 2111.01007; Kumari et al. 2022, arXiv 2112.09130). channels: of the feature maps, one judge a map.
    """

    def __init__(self, channels: list[int]):
        super().__init__()
        self.judges = nn.ModuleList(
            nn.ModuleList([EqualConv(c, JUDGE_CHANNELS, 1), EqualConv(JUDGE_CHANNELS, JUDGE_CHANNELS, 3),
                           EqualLinear(JUDGE_CHANNELS, 1)])
            for c in channels
        )  # fmt: skip

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Feature maps (N, C, h, w) of unit size, see `unit` -> scores (N, judges)."""
        scores = []
        for (first, second, last), x in zip(self.judges, maps):
            scores.append(last(act(second(act(first(x)))).mean((2, 3)))[:, 0])
        return torch.stack(scores, 1).float()


def unit(maps: list[Tensor]) -> list[Tensor]:
    """Feature maps float32, the numbers at each place scaled to a mean square of 1, as the judges take them."""
    return [F.normalize(x.float(), dim=1, eps=1e-3) * math.sqrt(x.shape[1]) for x in maps]
