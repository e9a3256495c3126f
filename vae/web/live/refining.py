"""Routes of a refinement: its steps as a stream, and its end."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator

import anyio.to_thread
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from vae.photos.refine_job import Job
from vae.web.core import services
from vae.web.core.http import BINARY, Refusal, to_rgb


def the_job(request: Request) -> Job:
    job = services.refiner.get(request.path_params["job"])
    if job is None:
        raise Refusal("this refinement has ended and was forgotten; start it again from the photo", 404)
    return job


async def refine_stream(request: Request) -> Response:
    """GET /api/refine/ID: one frame a step: uint32 length, a JSON line, float32 offsets (n, L, S), pictures.

    The pictures are RGB bytes (n, h, w, 3). At the end "features" names what was found of each photo beyond its styles.
    """
    job = the_job(request)

    async def frames() -> AsyncIterator[bytes]:
        seen, ended = -1, False
        while not ended:
            step = await anyio.to_thread.run_sync(job.wait_step, seen, 15.0)
            if step is None:  # the end, or nothing new for a while: say so, which keeps proxies from hanging up
                ended = job.finished
                head, body = {"step": seen, "total": job.total, "state": job.state, "error": job.error}, b""
            else:
                seen = step.step
                head = {
                    "step": seen,
                    "total": step.total,
                    "state": "running",
                    "psnr": [round(float(p), 3) for p in step.psnr],
                    "offsets": int(step.delta.size),
                    "features": [feature.id for feature in step.features],
                }
                body = np.ascontiguousarray(step.delta, "<f4").tobytes()
                body += b"" if step.pictures is None else to_rgb(step.pictures).tobytes()
            payload = json.dumps(head).encode() + b"\n" + body
            yield struct.pack("<I", len(payload)) + payload

    headers = {"Cache-Control": "no-store", "Content-Encoding": "identity"}
    return StreamingResponse(frames(), media_type=BINARY, headers=headers)


async def refine_cancel(request: Request) -> Response:
    """POST /api/refine/ID/cancel."""
    the_job(request).cancel()
    return JSONResponse({"state": "cancelled"})
