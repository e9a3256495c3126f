"""Routes of a path over the map: the codes on the way, and a film of them."""

from __future__ import annotations

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from vae import media
from vae.space import paths
from vae.web.atlas.reading import to_codes
from vae.web.core.http import NO_STORE, Refusal, in_thread, integer, packed, read_body, the_bundle


async def path(request: Request) -> Response:
    """POST /api/atlas/path?kind=slerp&frames=60: stops -> codes on the way (frames, d), their distances in sigma."""
    bundle, query = the_bundle(request), request.query_params
    frames = integer(query, "frames", 60, 2, 480)
    stops = to_codes(bundle, await read_body(request, 4 * bundle.latent_size * 24, "list of stops"), 24)
    z, far = await in_thread(paths.path, bundle, stops, query.get("kind", "straight"), frames)
    return packed(
        {"frames": frames, "d": bundle.latent_size, "usual": float(np.sqrt(bundle.latent_size))},
        z.astype("<f4"),
        far.astype("<f4"),
    )


async def film(request: Request) -> Response:
    """POST /api/atlas/film?format=mp4: codes -> a film of them there and back at 30 frames/s."""
    bundle, form = the_bundle(request), request.query_params.get("format", "mp4")
    if form not in ("mp4", "gif"):
        raise Refusal(f"format={form[:40]} is unknown; use mp4 or gif")
    z = to_codes(bundle, await read_body(request, 4 * bundle.latent_size * 480, "list of codes"), 480)

    def work() -> bytes:
        factor = max(1, 256 // bundle.image_size)
        frames = [media.upscale(image, factor) for image in bundle.decode(z)]
        if form == "gif":
            return media.gif(media.ping_pong(frames[::2]), 15)
        return media.mp4(media.ping_pong(frames), 30)

    return Response(await in_thread(work), media_type="video/mp4" if form == "mp4" else "image/gif", headers=NO_STORE)
