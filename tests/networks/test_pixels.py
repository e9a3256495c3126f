from __future__ import annotations

import torch

from vae.networks.pixels import to_images, to_pixels


def test_pixels_and_back() -> None:
    images = torch.randint(0, 256, (2, 5, 5, 3), dtype=torch.uint8)
    pixels = to_pixels(images)
    assert pixels.shape == (2, 3, 5, 5) and pixels.min() >= -1 and pixels.max() <= 1
    assert (to_images(pixels) == images.numpy()).all()
