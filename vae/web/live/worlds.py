"""Routes of a world that one drives through: one step of the transition, and the drive that was recorded."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from vae.bundles.bundle import Bundle
from vae.web.core.http import BINARY, Refusal, in_thread, packed, read_body, the_bundle, to_rgb


async def step(request: Request) -> Response:
    """POST /api/step: z, before (d), action, action_before (3), float32 -> the next z and its spread (2, d)."""
    bundle = the_bundle(request)
    if not bundle.dynamics:
        raise Refusal(f"model {bundle.name} has no transition; drive a model of a world with roads")
    d = bundle.latent_size
    want = 4 * (2 * d + 6)
    body = await read_body(request, want, "body")
    if len(body) != want:
        raise Refusal(f"the body has {len(body)} bytes; {bundle.name} wants two codes and two actions, {want} bytes")
    values = np.frombuffer(body, "<f4")
    if not np.isfinite(values).all():
        raise Refusal("the body holds a number that is not finite; send finite float32")
    z, before, action, action_before = np.split(values[None], [d, 2 * d, 2 * d + 3], axis=1)
    both = await in_thread(bundle.step, bundle.check_z(z), bundle.check_z(before), action, action_before)
    return Response(np.ascontiguousarray(np.concatenate(both), "<f4").tobytes(), media_type=BINARY)


@lru_cache(maxsize=2)
def _drive(bundle: Bundle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes (T, d), actions (T, 3), float32, and frames RGB uint8 (T, s, s, 3)."""
    mu, _ = bundle.encode(bundle.drive.frames)
    return mu.astype("<f4"), bundle.drive.actions.astype("<f4"), to_rgb(bundle.drive.frames)


async def drive(request: Request) -> Response:
    """GET /api/drive: head {count, size, mean, std}, then codes (T, d), actions (T, 3), float32, and frames RGB."""
    bundle = the_bundle(request)
    if bundle.drive is None:
        raise Refusal(f"model {bundle.name} has no recorded drive; open a model of a world with roads")
    arrays = await in_thread(_drive, bundle)
    spread = {"mean": bundle.stats.centre.tolist(), "std": bundle.stats.std.tolist()}
    return packed({"count": len(bundle.drive), "size": bundle.image_size, **spread}, *arrays)
