"""Routes of the sliders: statistics and bases of a model, and the little pictures at the slider ends."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from vae import media
from vae.bundles.bundle import Bundle
from vae.space import taught
from vae.space.axes import bases, traversal_codes
from vae.web.core.cache import keep
from vae.web.core.http import IMMUTABLE, Refusal, b64, in_thread, the_bundle, to_rgb

TILE = 48


def describe_axes(bundle: Bundle, _: str) -> bytes:
    """Statistics and bases of a bundle for the live component, as JSON; kept until the taught directions change."""
    stats = bundle.stats
    every = [
        {
            "name": basis.name,
            "title": basis.title,
            "axes": [axis.to_dict() for axis in basis.axes],
            "W": b64(basis.W),
            "D": b64(basis.D),
            "ways": [
                {"low": way.low, "high": way.high, "points": b64(way.points), "metric": b64(way.metric)}
                for way in basis.ways
            ],
        }
        for basis in bases(bundle).values()
    ]
    numbers = {key: b64(getattr(stats, key)) for key in ("mean", "std", "cov", "kl")}
    # Codes of links are unpacked with these in the browser too: to the last bit, or pixels would differ after a reload.
    grid = {key: base64.b64encode(getattr(stats, key).astype("<f8").tobytes()).decode() for key in ("mean", "std")}
    return json.dumps({"model": bundle.name, "digest": bundle.digest, **numbers, "grid": grid, "bases": every}).encode()


_axes = lru_cache(maxsize=16)(describe_axes)


async def axes(request: Request) -> Response:
    """GET /api/axes: mean, std, covariance, KL and every basis."""
    bundle = the_bundle(request)
    return Response(
        await in_thread(_axes, bundle, taught.version(bundle)),
        media_type="application/json",
        headers={"Cache-Control": "no-cache"},
    )


def traversal_sprite(bundle: Bundle, basis_name: str) -> Path:
    """What each axis does, a row each: decoded at -3 and at +3 sigma around the mean, as WebP."""
    every = bases(bundle)
    if basis_name not in every:
        raise Refusal(f"{bundle.name} has no basis {basis_name[:40]!r}; it has {', '.join(every)}", 404)

    def draw() -> list[bytes]:
        codes = traversal_codes(bundle, every[basis_name])  # (k, 2, d)
        tiles = []
        for part in np.array_split(codes, max(1, len(codes) // 8)):
            images = to_rgb(bundle.decode_small(part.reshape(-1, bundle.latent_size), TILE))
            tiles += [media.resize(image, TILE) for image in images]
        return [media.webp_still(media.sheet(tiles, columns=2), quality=82)]

    # The axes are part of the key: taught directions change them while the bundle stays.
    basis = every[basis_name]
    key = hashlib.sha256(basis.D.tobytes() + b"".join(way.points.tobytes() for way in basis.ways)).hexdigest()[:12]
    return keep([f"traversal-{bundle.digest}-{basis_name}-{key}.webp"], draw)[0]


async def traversals(request: Request) -> Response:
    """GET /api/traversals: the sprite of little pictures at the slider ends."""
    bundle, query = the_bundle(request), request.query_params
    sprite = await in_thread(traversal_sprite, bundle, query.get("basis", "raw"))
    cache = IMMUTABLE if query.get("digest") == bundle.digest and query.get("basis") != "named" else "no-cache"
    return FileResponse(sprite, media_type="image/webp", headers={"Cache-Control": cache})
