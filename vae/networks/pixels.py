"""Pictures as files hold them, and as networks take them."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def to_pixels(images: Tensor) -> Tensor:
    """uint8 (N, s, s, c) -> float32 (N, c, s, s) in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_images(pixels: Tensor) -> np.ndarray:
    """float (N, c, s, s) in [-1, 1], clamped -> uint8 (N, s, s, c)."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
