"""What the map's routes read out of a request: selections, codes, places, the view.

Numbers travel as little-endian float32, sets of codes as bit masks (one bit a code, lowest bit first).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
from starlette.requests import Request

from vae.bundles.bundle import Bundle
from vae.space import views
from vae.web.core.http import Refusal


def to_mask(bundle: Bundle, text: Any) -> np.ndarray:
    """Base64 bit mask -> bool (M,)."""
    count = len(bundle.codes)
    try:
        bits = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except (binascii.Error, TypeError, ValueError):
        raise Refusal("the selection is not a bit mask in base64; select anew") from None
    if len(bits) != -(-count // 8):
        raise Refusal(f"the selection has {len(bits)} bytes where {count} codes need {-(-count // 8)}; reload the page")
    return np.unpackbits(bits, bitorder="little")[:count].astype(bool)


def to_codes(bundle: Bundle, body: bytes, most: int) -> np.ndarray:
    """float32 bytes -> codes (k, d), checked and clipped."""
    d = bundle.latent_size
    if not body or len(body) % (4 * d) or len(body) > 4 * d * most:
        raise Refusal(f"the body has {len(body):,} bytes; {bundle.name} wants 1 to {most} codes of {d} float32")
    return bundle.check_z(np.frombuffer(body, "<f4").reshape(-1, d))


def to_places(body: bytes, most: int) -> np.ndarray:
    """float32 bytes -> places (k, 2)."""
    if not body or len(body) % 8 or len(body) > 8 * most:
        raise Refusal(f"the body has {len(body):,} bytes; send 1 to {most} places of 2 float32")
    places = np.frombuffer(body, "<f4").reshape(-1, 2).astype(np.float64)
    if not np.isfinite(places).all():
        raise Refusal("the body holds a number that is not finite; send finite float32")
    return np.clip(places, -1e6, 1e6)


def the_view(request: Request, bundle: Bundle) -> views.Linear | views.Placed:
    """The view that the query names, where it is there already."""
    found = views.view(bundle, views.parse(request.query_params.get("view", "")))
    if found is None:
        raise Refusal("this view has not been computed yet; start it first", 409)
    return found
