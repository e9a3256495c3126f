"""The classical rivals of the Lab's repairs, each told how strong the noise is. scikit-image; for the worker process."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from vae.evaluation.pca import quantised

Array = np.ndarray

TITLES = {
    "median": "Median",
    "wavelet": "Wavelets",
    "means": "Non-local means",
    "variation": "Total variation",
    "biharmonic": "Biharmonic",
}


def median(picture: Array, sigma: float) -> Array:
    """Median of 3 x 3 pixels, 5 x 5 or 7 x 7 where the noise is strong."""
    from scipy.ndimage import median_filter

    side = 3 if sigma < 35 else 5 if sigma < 75 else 7
    return median_filter(picture, (side, side, 1), mode="nearest")


def wavelet(picture: Array, sigma: float) -> Array:
    """BayesShrink (Chang, Yu and Vetterli 2000, doi 10.1109/83.862633) in YCbCr."""
    from skimage.restoration import denoise_wavelet

    colour = picture.shape[2] == 3
    x = picture.astype(np.float64) / 255
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small pictures have few levels
        y = denoise_wavelet(
            x if colour else x[..., 0], sigma / 255, channel_axis=2 if colour else None, convert2ycbcr=colour,
            method="BayesShrink", mode="soft", rescale_sigma=True,
        )  # fmt: skip
    return quantised(255 * y).reshape(picture.shape)


def means(picture: Array, sigma: float) -> Array:
    """Non-local means (Buades, Coll and Morel 2005, doi 10.1109/CVPR.2005.38)."""
    from skimage.restoration import denoise_nl_means

    colour = picture.shape[2] == 3
    x = picture.astype(np.float64) / 255
    x, s = x if colour else x[..., 0], sigma / 255
    settings = dict(patch_size=5, patch_distance=7, h=0.5 * s, sigma=s, channel_axis=2 if colour else None)
    y = denoise_nl_means(x, fast_mode=True, **settings)
    return quantised(255 * y).reshape(picture.shape)


def variation(picture: Array, sigma: float) -> Array:
    """Total variation (Rudin, Osher and Fatemi 1992; Chambolle 2004, doi 10.1023/B:JMIV.0000011325.36760.1e)."""
    from skimage.restoration import denoise_tv_chambolle

    y = denoise_tv_chambolle(picture.astype(np.float64) / 255, weight=1.1 * sigma / 255, channel_axis=2)
    return quantised(255 * y).reshape(picture.shape)


def biharmonic(picture: Array, known: Array) -> Array:
    """Fill what is not known (s, s) by the smoothest surface (Damelin and Hoang 2018, doi 10.1155/2018/3950312)."""
    from skimage.restoration import inpaint_biharmonic

    filled = inpaint_biharmonic(picture.astype(np.float64) / 255, ~known.astype(bool), channel_axis=2)
    return quantised(255 * filled).reshape(picture.shape)


DENOISERS: dict[str, Callable[[Array, float], Array]] = {
    "median": median,
    "wavelet": wavelet,
    "means": means,
    "variation": variation,
}
