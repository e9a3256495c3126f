"""What every HTTP route is made of: refusals, bodies with a limit, numbers out of queries, work off the event loop.

Refusals are JSON {"error": one sentence} with a 4xx status. Numbers travel as little-endian float32.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.evaluation.lanes import LabError
from vae.media import MediaError
from vae.photos.aligning import FaceError
from vae.photos.faces import ImageError
from vae.photos.refine import RefineError
from vae.space.errors import AtlasError, LatentError
from vae.space.mixing import BlendError
from vae.space.taught import TaughtError
from vae.web.core import services

MAX_IMAGE_BYTES = 20 * 2**20
DRAINED = 32 * 2**20  # bytes of a body that is too long
NO_STORE = {"Cache-Control": "no-store"}
IMMUTABLE = "public, max-age=31536000, immutable"
BINARY = "application/octet-stream"
# Errors of the wings below whose message is a sentence for the caller.
SENTENCES = (
    AtlasError,
    BlendError,
    BundleError,
    FaceError,
    ImageError,
    LabError,
    LatentError,
    MediaError,
    RefineError,
    TaughtError,
)

log = logging.getLogger(__name__)
_limiters: dict[str, anyio.CapacityLimiter] = {}


class Refusal(ValueError):
    """A request that cannot be answered: one sentence for the caller, and a status."""

    def __init__(self, sentence: str, status: int = 400):
        super().__init__(sentence)
        self.status = status


def answer(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Turn refusals of a handler into JSON answers, and keep other sites' pages out."""

    async def wrapped(request: Request) -> Response:
        try:
            if request.headers.get("sec-fetch-site") == "cross-site":
                raise Refusal("this address answers its own pages and programs only, not pages of other sites", 403)
            return await handler(request)
        except Refusal as refusal:
            return JSONResponse({"error": str(refusal)}, refusal.status)
        except SENTENCES as error:
            return JSONResponse({"error": str(error)}, 400)
        except ClientDisconnect:
            log.info("%s %s: the visitor left before the request was whole", request.method, request.url.path)
            return JSONResponse({"error": "the request ended before it was whole; send it again"}, 400)
        except HTTPException:
            raise
        except Exception:
            name = secrets.token_hex(4)
            log.exception("%s %s failed: %s", request.method, request.url.path, name)
            sentence = f"something went wrong here; whoever runs the app finds it in its log under {name}"
            return JSONResponse({"error": sentence, "id": name}, 500)

    return wrapped


def slots(kind: str, count: int) -> anyio.CapacityLimiter:
    """A limiter of the running event loop, by kind of work."""
    return _limiters.setdefault(kind, anyio.CapacityLimiter(count))


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run numpy and ONNX work off the event loop, a few at a time."""
    return await anyio.to_thread.run_sync(lambda: function(*args), limiter=slots("work", max(2, os.cpu_count() or 2)))


async def read_body(request: Request, limit: int, what: str) -> bytes:
    """The body, refused where it is longer than `limit` bytes.

    Some of the rest is taken in and thrown away: clients read an answer only once they have sent what they hold.
    """
    refusal = Refusal(f"the {what} is larger than {limit:,} bytes; send less", 413)
    told = request.headers.get("content-length", "")
    if told.isdigit() and int(told) > limit and (int(told) > limit + DRAINED or "expect" in request.headers):
        raise refusal
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            body += chunk
        elif size > limit + DRAINED:
            break
        else:
            body.clear()
    if size > limit:
        raise refusal
    return bytes(body)


def integer(query: Mapping[str, str], key: str, default: int, low: int, high: int) -> int:
    """A whole number from the query, within bounds."""
    text = query.get(key, str(default))
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise Refusal(f"{key}={text[:40]} is not a whole number from {low} to {high}")
    return value


def number(query: Mapping[str, str], key: str, default: float | None, low: float, high: float) -> float | None:
    """A number from the query, within bounds."""
    if key not in query:
        return default
    try:
        value = float(query[key])
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise Refusal(f"{key}={query[key][:40]} is not a number from {low:g} to {high:g}")
    return value


def one_of(query: Mapping[str, str], key: str, choices: tuple[str, ...]) -> str:
    """A word from the query, by default the first choice."""
    word = query.get(key, choices[0])
    if word not in choices:
        raise Refusal(f"{key}={word[:40]} is unknown; use {' or '.join(choices)}")
    return word


async def json_body(request: Request, limit: int = 2_000_000) -> dict[str, Any]:
    """The body as a JSON object."""
    data = await read_body(request, limit, "request")
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise Refusal("the body is not a JSON object; send one")
    return values


def the_bundle(request: Request) -> Bundle:
    """The bundle that the query names."""
    name = request.query_params.get("model", "")
    if name not in services.registry.names():
        raise Refusal(f"there is no model {name[:60]!r}; /api/models lists the names", 404)
    return services.registry.get(name)


def to_rgb(images: np.ndarray) -> np.ndarray:
    """uint8 (N, h, w, c) -> (N, h, w, 3); grey is repeated."""
    return np.ascontiguousarray(np.broadcast_to(images, (*images.shape[:3], 3)))


def b64(array: np.ndarray) -> str:
    """Little-endian float32, row-major, in base64."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


def packed(head: dict[str, Any], *arrays: np.ndarray) -> Response:
    """uint32 length of a JSON head, the head padded to a multiple of 4 bytes, then the arrays one after another."""
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)
    body = b"".join([len(text).to_bytes(4, "little"), text, *(np.ascontiguousarray(a).tobytes() for a in arrays)])
    return Response(body, media_type=BINARY, headers=NO_STORE)
