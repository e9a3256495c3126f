"""HTTP routes beside the pages: models, decode, encode, samples, axes, and the files of the live engine.

Refusals are JSON {"error": one sentence} with a 4xx status. Numbers travel as little-endian float32.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vae import atlas, latent, media, taught
from vae.bundle import Bundle, BundleError, default_registry, return_memory, user_home
from vae.faces import FaceError, ImageError, align, find_face, read_image
from vae.refine import Job, Refiner
from vae.web import atlas_api

ROOT = Path(__file__).resolve().parents[2]
ORT_FOLDER = ROOT / "node_modules" / "onnxruntime-web" / "dist"
MAX_CODES = 64
MAX_IMAGE_BYTES = 20 * 2**20
MAX_SAMPLES = 64
TILE = 48
IMMUTABLE = "public, max-age=31536000, immutable"

registry = default_registry()
refiner = Refiner()
# A decode uses up to four cores already; more of them at once would only lengthen each, and mix up their order.
DECODES_AT_ONCE = max(1, (os.cpu_count() or 1) // 4)
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
        except (BundleError, FaceError, ImageError, latent.LatentError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return wrapped


def slots(kind: str, count: int) -> anyio.CapacityLimiter:
    """A limiter of the running event loop, by kind of work."""
    return _limiters.setdefault(kind, anyio.CapacityLimiter(count))


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run numpy and ONNX work off the event loop, a few at a time."""
    return await anyio.to_thread.run_sync(lambda: function(*args), limiter=slots("work", max(2, os.cpu_count() or 2)))


async def read_body(request: Request, limit: int, what: str) -> bytes:
    """The body, refused as soon as it is longer than `limit` bytes."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Refusal(f"the {what} is larger than {limit:,} bytes; send less", 413)
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


def the_bundle(request: Request) -> Bundle:
    """The bundle that the query names."""
    name = request.query_params.get("model", "")
    if name not in registry.names():
        raise Refusal(f"there is no model {name[:60]!r}; /api/models lists the names", 404)
    return registry.get(name)


def to_rgb(images: np.ndarray) -> np.ndarray:
    """uint8 (N, h, w, c) -> (N, h, w, 3); grey is repeated."""
    return np.ascontiguousarray(np.broadcast_to(images, (*images.shape[:3], 3)))


def b64(array: np.ndarray) -> str:
    """Little-endian float32, row-major, in base64."""
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()


async def models(_: Request) -> Response:
    """GET /api/models: every bundle, the broken ones with the reason."""
    return JSONResponse(await in_thread(registry.entries), headers={"Cache-Control": "no-store"})


def parse_codes(bundle: Bundle, body: bytes, by_level: bool, offsets: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Body -> z (k, d) or (k, L, d), and style offsets (k, L, S) or None; checked, clipped."""
    if (by_level or offsets) and not bundle.levels:
        raise Refusal(f"model {bundle.name} has one flat code; leave out layout=levels and offsets=1")
    d, levels, style = bundle.latent_size, bundle.levels, bundle.style_size
    n_code = d * levels if by_level else d
    n_record = n_code + (levels * style if offsets else 0)
    if not body or len(body) % (4 * n_record):
        raise Refusal(f"the body has {len(body):,} bytes; {bundle.name} wants k records of {n_record} float32, {4 * n_record:,} bytes each")
    numbers = np.frombuffer(body, "<f4").reshape(-1, n_record)
    if len(numbers) > MAX_CODES:
        raise Refusal(f"{len(numbers)} codes are more than {MAX_CODES} in one request; send them in parts")
    if not np.isfinite(numbers).all():
        raise Refusal("the body holds a number that is not finite; send finite float32")
    z = numbers[:, :n_code].reshape(-1, levels, d) if by_level else numbers[:, :n_code]
    delta = np.clip(numbers[:, n_code:], -20, 20).reshape(-1, levels, style) if offsets else None
    return bundle.check_z(z), delta


async def decode(request: Request) -> Response:
    """POST /api/decode: codes -> raw RGB bytes (k, h, w, 3), or one PNG."""
    bundle, query = the_bundle(request), request.query_params
    record = 4 * max(1, bundle.levels) * (bundle.latent_size + bundle.style_size)
    body = await read_body(request, MAX_CODES * record, "body")
    if query.get("layout", "flat") not in ("flat", "levels"):
        raise Refusal(f"layout={query['layout'][:40]} is unknown; use flat or levels")
    z, delta = parse_codes(bundle, body, query.get("layout") == "levels", query.get("offsets") == "1")
    size = None
    if "size" in query:
        sizes = (*bundle.preview_sizes, bundle.image_size)
        size = integer(query, "size", bundle.image_size, 1, 4096)
        if size not in sizes:
            raise Refusal(f"size={size} is not a level of {bundle.name}; use one of {', '.join(map(str, sorted(sizes)))}")
    form = query.get("format", "raw")
    if form not in ("raw", "png"):
        raise Refusal(f"format={form[:40]} is unknown; use raw or png")
    if form == "png" and len(z) != 1:
        raise Refusal(f"format=png answers one image, and the body holds {len(z)} codes; send one")
    turn = slots("decode", DECODES_AT_ONCE)
    quick = query.get("quick") == "1"
    images = to_rgb(await anyio.to_thread.run_sync(bundle.decode, z, delta, size, quick, limiter=turn))
    if form == "png":
        return Response(await in_thread(media.png, images[0]), media_type="image/png")
    shape = ",".join(map(str, images.shape))
    # identity: gzip of pixels costs more time than it saves on the way.
    headers = {"X-Image-Shape": shape, "Content-Encoding": "identity", "Cache-Control": "no-store"}
    return Response(images.tobytes(), media_type="application/octet-stream", headers=headers)


def fit(bundle: Bundle, image: np.ndarray, want_face: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """A photo -> the model's input (s, s, c) uint8, by its face where the model has an eye template."""
    found: dict[str, Any] = {"eyes": None}
    if bundle.eyes is not None and want_face:
        eyes = find_face(image).eyes
        found["eyes"] = [[round(float(x), 2), round(float(y), 2)] for x, y in eyes]
        crop = align(image, eyes, bundle.eyes, bundle.image_size)
    else:
        crop = media.square(image, bundle.image_size)
    if bundle.channels == 1:
        crop = media.grey(crop)
    return crop, found


async def encode(request: Request) -> Response:
    """POST /api/encode: an image file -> JSON mu, logvar (d numbers each), and the eyes that were found.

    Where the model reads style offsets from a picture, also delta: L rows of S numbers.
    """
    bundle = the_bundle(request)
    data = await read_body(request, MAX_IMAGE_BYTES, "image")

    def work() -> dict[str, Any]:
        crop, found = fit(bundle, read_image(data), request.query_params.get("align") != "0")
        mu, logvar, delta = bundle.encode_with_offsets(crop[None])
        offsets = {} if delta is None else {"delta": delta[0].tolist()}
        return {"model": bundle.name, "mu": mu[0].tolist(), "logvar": logvar[0].tolist(), **offsets, **found}

    return JSONResponse(await in_thread(work), headers={"Cache-Control": "no-store"})


async def sample(request: Request) -> Response:
    """GET /api/sample: draws from the bundle's prior, float32 (count, d); a seed gives the same numbers everywhere."""
    bundle, query = the_bundle(request), request.query_params
    seed = integer(query, "seed", 0, 0, 2**32 - 1)
    count = integer(query, "count", 1, 1, MAX_SAMPLES)
    try:
        temperature = float(query.get("temperature", "0.7"))
    except ValueError:
        temperature = -1.0
    if not 0 <= temperature <= 2:
        raise Refusal(f"temperature={query['temperature'][:40]} is not a number from 0 to 2")
    z = await in_thread(latent.sample, bundle, seed, temperature, count)
    return Response(np.ascontiguousarray(z, "<f4").tobytes(), media_type="application/octet-stream")


def describe_axes(bundle: Bundle, _: str) -> bytes:
    """Statistics and bases of a bundle for the live component, as JSON; kept until the taught directions change."""
    stats = bundle.stats
    bases = [
        {
            "name": basis.name,
            "title": basis.title,
            "axes": [axis.to_dict() for axis in basis.axes],
            "W": b64(basis.W),
            "D": b64(basis.D),
        }
        for basis in latent.bases(bundle).values()
    ]
    numbers = {key: b64(getattr(stats, key)) for key in ("mean", "std", "cov", "kl")}
    # Codes of links are unpacked with these in the browser too: to the last bit, or pixels would differ after a reload.
    grid = {key: base64.b64encode(getattr(stats, key).astype("<f8").tobytes()).decode() for key in ("mean", "std")}
    return json.dumps({"model": bundle.name, "digest": bundle.digest, **numbers, "grid": grid, "bases": bases}).encode()


_axes = lru_cache(maxsize=16)(describe_axes)


async def axes(request: Request) -> Response:
    """GET /api/axes: mean, std, covariance, KL and every basis."""
    bundle = the_bundle(request)
    return Response(await in_thread(_axes, bundle, taught.version(bundle)), media_type="application/json", headers={"Cache-Control": "no-cache"})


_making: dict[str, threading.Lock] = {}


def keep(names: Sequence[str], make: Callable[[], Sequence[bytes]]) -> list[Path]:
    """Files of the cache folder, made once, together, and complete from the moment they have their names."""
    paths = [user_home() / "cache" / name for name in names]
    with _making.setdefault(names[0], threading.Lock()):
        if not all(path.is_file() for path in paths):
            paths[0].parent.mkdir(parents=True, exist_ok=True)
            for path, data in zip(paths, make()):
                part = path.with_name(f"{path.name}.{os.getpid()}.part")
                part.write_bytes(data)
                part.replace(path)
            return_memory()
    return paths


def traversal_sprite(bundle: Bundle, basis_name: str) -> Path:
    """What each axis does, a row each: decoded at -3 and at +3 sigma around the mean, as WebP."""
    every = latent.bases(bundle)
    if basis_name not in every:
        raise Refusal(f"{bundle.name} has no basis {basis_name[:40]!r}; it has {', '.join(every)}", 404)

    def draw() -> list[bytes]:
        codes = latent.traversal_codes(bundle, every[basis_name])  # (k, 2, d)
        tiles = []
        for part in np.array_split(codes, max(1, len(codes) // 8)):
            images = to_rgb(bundle.decode_small(part.reshape(-1, bundle.latent_size), TILE))
            tiles += [media.resize(image, TILE) for image in images]
        return [media.webp_still(media.sheet(tiles, columns=2), quality=82)]

    # The axes are part of the key: taught directions change them while the bundle stays.
    key = hashlib.sha256(every[basis_name].D.tobytes()).hexdigest()[:12]
    return keep([f"traversal-{bundle.digest}-{basis_name}-{key}.webp"], draw)[0]


def decoder_file(bundle: Bundle, part: str) -> Path:
    """The decoder as an ONNX file: "full", "light", or "head-64", "tail-64": its two halves at a preview size."""
    if part == "full" or (part == "light" and bundle.light):
        return bundle.path / ("decoder.onnx" if part == "full" else "light.onnx")
    half, _, size = part.partition("-")
    if half not in ("head", "tail") or size not in map(str, bundle.preview_sizes):
        raise Refusal(f"{bundle.name} has no decoder part {part[:40]!r}", 404)
    names = [f"decoder-{bundle.digest}-{each}-{size}.onnx" for each in ("head", "tail")]
    return keep(names, lambda: bundle.split(int(size)))[half == "tail"]


async def traversals(request: Request) -> Response:
    """GET /api/traversals: the sprite of little pictures at the slider ends."""
    bundle, query = the_bundle(request), request.query_params
    sprite = await in_thread(traversal_sprite, bundle, query.get("basis", "raw"))
    cache = IMMUTABLE if query.get("digest") == bundle.digest and query.get("basis") != "named" else "no-cache"
    return FileResponse(sprite, media_type="image/webp", headers={"Cache-Control": cache})


async def onnx_file(request: Request) -> Response:
    """GET /api/onnx/NAME/DIGEST/PART.onnx: the decoder, whole or cut at a level, for the browser engine."""
    name, digest, part = (request.path_params[key] for key in ("name", "digest", "part"))
    if name not in registry.names():
        raise Refusal(f"there is no model {name[:60]!r}; /api/models lists the names", 404)
    bundle = registry.get(name)
    if digest != bundle.digest:
        raise Refusal(f"model {name} has changed since this page was opened; reload the page", 410)
    path = await in_thread(decoder_file, bundle, part)
    headers = {"Cache-Control": IMMUTABLE, "Content-Encoding": "identity"}
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


def the_job(request: Request) -> Job:
    job = refiner.get(request.path_params["job"])
    if job is None:
        raise Refusal("this refinement has ended and was forgotten; start it again from the photo", 404)
    return job


async def refine_stream(request: Request) -> Response:
    """GET /api/refine/ID: one frame a step, uint32 length + a JSON line + float32 offsets (n, L, S)."""
    job = the_job(request)

    async def frames() -> AsyncIterator[bytes]:
        seen, ended = -1, False
        while not ended:
            step = await anyio.to_thread.run_sync(job.wait_step, seen, 15.0)
            if step is None:  # the end, or nothing new for a while: say so, which keeps proxies from hanging up
                ended = job.finished
                head, offsets = {"step": seen, "total": job.total, "state": job.state, "error": job.error}, b""
            else:
                seen = step.step
                head = {"step": seen, "total": step.total, "state": "running", "psnr": [round(float(p), 3) for p in step.psnr]}
                offsets = np.ascontiguousarray(step.delta, "<f4").tobytes()
            payload = json.dumps(head).encode() + b"\n" + offsets
            yield struct.pack("<I", len(payload)) + payload

    headers = {"Cache-Control": "no-store", "Content-Encoding": "identity"}
    return StreamingResponse(frames(), media_type="application/octet-stream", headers=headers)


async def refine_cancel(request: Request) -> Response:
    """POST /api/refine/ID/cancel."""
    the_job(request).cancel()
    return JSONResponse({"state": "cancelled"})


async def health(_: Request) -> Response:
    """GET /api/health: what this process holds, for the tests and the benchmark."""
    from vae import __version__

    with open("/proc/self/status") if sys.platform == "linux" else open(os.devnull) as status:
        rss = next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS")), None)
    return JSONResponse({"version": __version__, "torch": "torch" in sys.modules, "rss": rss, "browser_engine": ORT_FOLDER.is_dir()})


async def no_such_route(request: Request) -> Response:
    raise Refusal(f"there is no {request.method} {request.url.path[:80]}", 404)


class OrtFiles(StaticFiles):
    """The pinned ONNX Runtime Web files; they change only with a new install, so a browser may keep them."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response


class OwnFiles(StaticFiles):
    """Our modules import each other without a version in the name, so a browser asks each time whether one has changed."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def routes() -> list[BaseRoute]:
    """Every route beside Streamlit's own."""
    from vae.web import blend_api

    return [
        *blend_api.routes(),
        Route("/api/models", answer(models)),
        Route("/api/decode", answer(decode), methods=["POST"]),
        Route("/api/encode", answer(encode), methods=["POST"]),
        Route("/api/sample", answer(sample)),
        Route("/api/axes", answer(axes)),
        Route("/api/traversals", answer(traversals)),
        Route("/api/onnx/{name}/{digest}/{part}.onnx", answer(onnx_file)),
        Route("/api/refine/{job}", answer(refine_stream)),
        Route("/api/refine/{job}/cancel", answer(refine_cancel), methods=["POST"]),
        Route("/api/health", answer(health)),
        *atlas_api.routes(),
        Route("/api/{rest:path}", answer(no_such_route), methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
        Mount("/ort", OrtFiles(directory=ORT_FOLDER, check_dir=False)),
        Mount("/web", OwnFiles(directory=Path(__file__).parent / "static")),
    ]


# Nothing is fetched from or sent to another host; scripts are Streamlit's and ours.
CONTENT_SECURITY_POLICY = (
    "default-src 'self' blob: data:; script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self' blob: data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
}


class SecurityHeaders:
    """Cross-origin isolation (WASM threads need it) and the usual headers, on every answer."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self.headers = [(key.encode(), value.encode()) for key, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(k, v) for k, v in message["headers"] if k.decode().lower() not in HEADERS]
                message["headers"] = [*kept, *self.headers]
            await send(message)

        await self.app(scope, receive, with_headers)


def middleware() -> list[Middleware]:
    """Outermost first."""
    return [Middleware(SecurityHeaders)]


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    """End the refining worker with the app."""
    try:
        yield
    finally:
        refiner.close()
        atlas.close()
