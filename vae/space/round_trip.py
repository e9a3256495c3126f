"""How far each code's picture is from the picture of that picture's own code.

The one file of this wing that has pictures made: the bundle decodes and encodes them, without torch, and none is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vae.space.layouts import Tell

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray


def round_trip(bundle: Bundle, tell: Tell = lambda progress, stage: None) -> Array:
    """RMS difference (M,), of 255, between each code's picture and the picture of that picture's own code.

    The bundle holds no photos, so this stands in for the reconstruction error where it stores none.
    """
    mu, errors = bundle.codes.mu, []
    for i in range(0, len(mu), 32):
        picture = bundle.decode(mu[i : i + 32])
        z, _, delta = bundle.encode_with_offsets(picture)
        again = bundle.decode(z, delta)
        difference = picture.astype(np.float32) - again
        errors.append(np.sqrt((difference**2).mean((1, 2, 3))))
        tell(min(1.0, (i + 32) / len(mu)), "Decoding, encoding and decoding again")
    return np.concatenate(errors)
