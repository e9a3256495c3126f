"""POST /api/settle: codes in, the same with whole parts out."""

from __future__ import annotations

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from vae.space import settling
from vae.web.core.http import BINARY, NO_STORE, Refusal, in_thread, read_body, the_bundle
from vae.web.live.decoding import MAX_CODES, parse_codes


async def settle(request: Request) -> Response:
    """POST /api/settle: codes, k x d float32 -> float32 (k, d), decoded and encoded as often as the model's draws are."""
    bundle = the_bundle(request)
    if not bundle.settle:
        raise Refusal(f"model {bundle.name} has no parts that settle; its codes are shown as they are")
    body = await read_body(request, 4 * MAX_CODES * bundle.latent_size, "body")
    z, _, _ = parse_codes(bundle, body, by_level=False, offsets=False)
    found = await in_thread(settling.settled, bundle, z)
    return Response(np.ascontiguousarray(found, "<f4").tobytes(), media_type=BINARY, headers=NO_STORE)
