"""A code as text for a link. NumPy only."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import numpy as np

from vae.space.errors import LatentError

if TYPE_CHECKING:
    from vae.bundles.contents import Stats

Array = np.ndarray

PACK_RANGE = 8.0  # standard deviations covered by the fixed-point numbers of a packed code


def pack(z: Array, stats: Stats) -> str:
    """A code (d,) as text for a link: int16 steps of (z - mean) / std over +-8, base64url without padding."""
    scaled = (np.asarray(z, np.float64) - stats.mean) / np.maximum(stats.std, 1e-6)
    steps = np.rint(np.clip(scaled / PACK_RANGE, -1, 1) * 32767).astype("<i2")
    return base64.urlsafe_b64encode(steps.tobytes()).rstrip(b"=").decode("ascii")


def unpack(text: str, stats: Stats) -> Array:
    """The code (d,) float32 of a packed text. Raises LatentError."""
    d = len(stats.mean)
    try:
        if {"+", "/", "="} & set(text):  # of plain base64; a link has - and _ in their place
            raise binascii.Error
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise LatentError(
            "The code in this link has characters that a code never has; copy the whole link again."
        ) from None
    if len(data) != 2 * d:
        raise LatentError(
            f"The code in this link holds {len(data)} bytes where this model needs {2 * d}; copy it whole."
        )
    scaled = np.frombuffer(data, "<i2").astype(np.float64) / 32767 * PACK_RANGE
    return (stats.mean + scaled * np.maximum(stats.std, 1e-6)).astype(np.float32)
