"""What is done to a picture before it is to be repaired: noise, blur, a lower resolution. NumPy and SciPy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Damage(NamedTuple):
    """id, words, what the strength is, its smallest, usual and largest value."""

    id: str
    title: str
    unit: str
    least: float
    usual: float
    most: float


DAMAGES = (
    Damage("gaussian", "Gaussian noise", "sigma in grey levels of 255", 0, 25, 100),
    Damage("salt", "Salt and pepper", "% of the pixels", 0, 10, 60),
    Damage("poisson", "Poisson noise", "photons in a white pixel", 2, 30, 200),
    Damage("blur", "Blur", "sigma in % of the side", 0, 2, 8),
    Damage("low", "Lower resolution", "times fewer pixels a side", 1, 4, 16),
)


def damage(picture: Array, kind: str, strength: float, seed: int = 0) -> Array:
    """A picture uint8 (s, s, c), damaged -> uint8 (s, s, c). The same seed gives the same damage. Raises ValueError."""
    found = next((one for one in DAMAGES if one.id == kind), None)
    if found is None:
        raise ValueError(f"there is no damage {kind!r}; use {', '.join(one.id for one in DAMAGES)}")
    if not found.least <= strength <= found.most:
        raise ValueError(
            f"the strength is {strength:g}; {found.title.lower()} goes from {found.least:g} to {found.most:g}"
        )
    rng = np.random.default_rng((seed, DAMAGES.index(found)))
    x = picture.astype(np.float64)
    if kind == "gaussian":
        x = x + strength * rng.standard_normal(x.shape)
    elif kind == "salt":
        places = rng.random(x.shape[:2])
        x = np.where(
            (places < strength / 200)[..., None], 0, np.where((places > 1 - strength / 200)[..., None], 255, x)
        )
    elif kind == "poisson":
        x = rng.poisson(x / 255 * strength) * (255 / strength)
    elif kind == "blur":
        from scipy.ndimage import gaussian_filter

        x = gaussian_filter(x, (*(2 * [strength / 100 * len(x)]), 0), mode="nearest")
    else:
        x = _lower(picture, strength)
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def _lower(picture: Array, times: float) -> Array:
    """Fewer pixels, and each drawn large again."""
    from PIL import Image

    side = picture.shape[0]
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    small = image.resize((max(1, round(side / times)),) * 2, Image.Resampling.BOX)
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC)).reshape(picture.shape)


def sigma_of(kind: str, strength: float, picture: Array) -> float:
    """About how far a damaged pixel is off, in grey levels: what the denoisers are told."""
    if kind == "gaussian":
        return max(strength, 1.0)
    if kind == "poisson":
        return max(float(np.sqrt(picture.mean() * 255 / strength)), 1.0)
    if kind == "salt":
        return max(float(127 * np.sqrt(strength / 100)), 1.0)
    return 10.0
