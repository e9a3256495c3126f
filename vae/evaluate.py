"""Figures of a model on pictures: reconstruction, information, use of the code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vae.bundle import Bundle
    from vae.data import ImageSet

ACTIVE_VARIANCE = 0.01


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB of pairs of pictures uint8 (N, h, w, c) -> (N,); identical ones give 100."""
    error = ((a.astype(np.float64) - b) ** 2).mean((1, 2, 3))
    return np.minimum(10 * np.log10(255**2 / np.maximum(error, 1e-12)), 100.0)


def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity of pairs of pictures uint8 (N, h, w, c) -> (N,), Wang et al. 2004, Gaussian window."""
    from skimage.metrics import structural_similarity

    settings = dict(channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    # The window of sigma 1.5 spans 11 pixels; smaller pictures take the largest odd window that fits.
    if min(a.shape[1:3]) < 11:
        settings = dict(channel_axis=2, data_range=255, win_size=min(a.shape[1:3]) - 1 | 1)
    return np.array([structural_similarity(x, y, **settings) for x, y in zip(a, b)])


def evaluate(bundle: "Bundle", data: "ImageSet") -> dict[str, Any]:
    """Reconstruct every picture in one pass, from its mu and the style offsets that the encoder reads, and sum up.

    psnr in dB, ssim: means over pictures; kl: nats per picture; active_units: dimensions whose mu varies by more
    than 0.01 over the data (Burda et al. 2016, arXiv 1509.00519); images: how many pictures.
    """
    noise, alike, mus, nats = [], [], [], []
    for images in data.batches(64):
        mu, logvar, delta = bundle.encode_with_offsets(images)
        again = bundle.decode(mu, delta)
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
