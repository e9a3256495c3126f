"""The route of pictures dropped on the map: read in memory, encoded, kept nowhere."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vae.web.core.http import NO_STORE, b64, in_thread, read_body, the_bundle
from vae.web.live.dropping import MAX_DROP, crops


async def place(request: Request) -> Response:
    """POST /api/atlas/place: one picture or a zip of them -> code and style offsets of each; kept nowhere."""
    bundle = the_bundle(request)
    data = await read_body(request, MAX_DROP, "file")
    name = request.query_params.get("name", "picture")[:80]

    def work() -> dict[str, Any]:
        placed: list[dict[str, str]] = []
        refused: list[str] = []
        for short, crop in crops(bundle, data, name):
            if isinstance(crop, str):
                where = " (on Explore, under Your photo)" * ("by hand" in crop)  # the marks are there
                refused.append(f"{short}: {crop.rstrip('.')}{where}")
                continue
            mu, logvar, delta = bundle.encode_with_offsets(crop[None])
            found = {"name": short, "mu": b64(bundle.check_z(mu[0])), "logvar": b64(logvar[0])}
            placed.append(found if delta is None else {**found, "delta": b64(delta[0])})
        return {"placed": placed, "refused": refused}

    return JSONResponse(await in_thread(work), headers=NO_STORE)
