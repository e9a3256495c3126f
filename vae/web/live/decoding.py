"""Routes of the live picture: codes in, pixels out, and the decoder's files for the engine in the browser."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from vae import media
from vae.bundles.bundle import Bundle
from vae.space import latent
from vae.web.core import services
from vae.web.core.cache import keep
from vae.web.core.http import (
    BINARY,
    IMMUTABLE,
    Refusal,
    in_thread,
    integer,
    number,
    one_of,
    read_body,
    slots,
    the_bundle,
    to_rgb,
)

MAX_CODES = 64
MAX_SAMPLES = 64
# A decode uses up to four cores already; more of them at once would only lengthen each, and mix up their order.
DECODES_AT_ONCE = max(1, (os.cpu_count() or 1) // 4)


def parse_codes(bundle: Bundle, body: bytes, by_level: bool, offsets: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Body -> z (k, d) or (k, L, d), and style offsets (k, L, S) or None; checked, clipped."""
    if (by_level or offsets) and not bundle.levels:
        raise Refusal(f"model {bundle.name} has one flat code; leave out layout=levels and offsets=1")
    d, levels, style = bundle.latent_size, bundle.levels, bundle.style_size
    n_code = d * levels if by_level else d
    n_record = n_code + (levels * style if offsets else 0)
    if not body or len(body) % (4 * n_record):
        raise Refusal(
            f"the body has {len(body):,} bytes; {bundle.name} wants k records of {n_record} float32, {4 * n_record:,} bytes each"
        )
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
    by_level = one_of(query, "layout", ("flat", "levels")) == "levels"
    z, delta = parse_codes(bundle, body, by_level, query.get("offsets") == "1")
    size = None
    if "size" in query:
        sizes = (*bundle.preview_sizes, bundle.image_size)
        size = integer(query, "size", bundle.image_size, 1, 4096)
        if size not in sizes:
            raise Refusal(
                f"size={size} is not a level of {bundle.name}; use one of {', '.join(map(str, sorted(sizes)))}"
            )
    form = one_of(query, "format", ("raw", "png"))
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
    return Response(images.tobytes(), media_type=BINARY, headers=headers)


async def sample(request: Request) -> Response:
    """GET /api/sample: draws from the bundle's prior, float32 (count, d); a seed gives the same numbers everywhere."""
    bundle, query = the_bundle(request), request.query_params
    seed = integer(query, "seed", 0, 0, 2**32 - 1)
    count = integer(query, "count", 1, 1, MAX_SAMPLES)
    temperature = number(query, "temperature", 0.7, 0, 2)
    z = await in_thread(latent.sample, bundle, seed, temperature, count)
    return Response(np.ascontiguousarray(z, "<f4").tobytes(), media_type=BINARY)


def decoder_file(bundle: Bundle, part: str) -> Path:
    """The decoder as an ONNX file: "full", "light", or "head-64", "tail-64": its two halves at a preview size."""
    if part == "full" or (part == "light" and bundle.light):
        return bundle.path / ("decoder.onnx" if part == "full" else "light.onnx")
    half, _, size = part.partition("-")
    if half not in ("head", "tail") or size not in map(str, bundle.preview_sizes):
        raise Refusal(f"{bundle.name} has no decoder part {part[:40]!r}", 404)
    names = [f"decoder-{bundle.digest}-{each}-{size}.onnx" for each in ("head", "tail")]
    return keep(names, lambda: bundle.split(int(size)))[half == "tail"]


async def onnx_file(request: Request) -> Response:
    """GET /api/onnx/NAME/DIGEST/PART.onnx: the decoder, whole or cut at a level, for the browser engine."""
    name, digest, part = (request.path_params[key] for key in ("name", "digest", "part"))
    if name not in services.registry.names():
        raise Refusal(f"there is no model {name[:60]!r}; /api/models lists the names", 404)
    bundle = services.registry.get(name)
    if digest != bundle.digest:
        raise Refusal(f"model {name} has changed since this page was opened; reload the page", 410)
    path = await in_thread(decoder_file, bundle, part)
    headers = {"Cache-Control": IMMUTABLE, "Content-Encoding": "identity"}
    return FileResponse(path, media_type=BINARY, headers=headers)
