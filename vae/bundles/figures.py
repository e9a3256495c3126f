"""Figures of a model on pictures: reconstruction, information, use of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vae.likeness import psnr, ssim

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.data.imageset import ImageSet

ACTIVE_VARIANCE = 0.01


def evaluate(bundle: Bundle, data: ImageSet) -> dict[str, Any]:
    """Reconstruct every picture in one pass, from its mu and what else the model reads of it, and sum up.

    psnr in dB, ssim: means over pictures; kl: nats per picture; active_units: dimensions whose mu varies by more
    than 0.01 over the data (Burda et al. 2016, arXiv 1509.00519); images: how many pictures.
    """
    noise, alike, mus, nats = [], [], [], []
    for images in data.batches(64):
        encoded = bundle.encode_with_offsets(images)
        again, (mu, logvar, _) = bundle.reconstruct(images, encoded), encoded
        noise.append(psnr(images, again))
        alike.append(ssim(images, again))
        mus.append(mu)
        nats.append(0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1))
    mu = np.concatenate(mus)
    return {
        "images": len(mu),
        "psnr": round(float(np.concatenate(noise).mean()), 3),
        "ssim": round(float(np.concatenate(alike).mean()), 4),
        "kl": round(float(np.concatenate(nats).mean()), 2),
        "active_units": int((mu.var(0) > ACTIVE_VARIANCE).sum()),
    }
