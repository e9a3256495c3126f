"""Routes of the live picture: codes in, pixels out, and the decoder's files for the engine in the browser."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from vae import media
from vae.bundles.bundle import Bundle
from vae.photos.feature import Feature, find, mixed
from vae.space import settling
from vae.web.core import services
from vae.web.core.cache import keep
from vae.web.core.http import (
    BINARY,
    IMMUTABLE,
    NO_STORE,
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
MAX_FEATURES = 4
# A decode uses up to four cores already; more of them at once would only lengthen each, and mix up their order.
DECODES_AT_ONCE = max(1, (os.cpu_count() or 1) // 4)


def parse_codes(
    bundle: Bundle, body: bytes, by_level: bool, offsets: bool, shares: int = 0
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Body -> z (k, d) or (k, L, d), style offsets (k, L, S) or None, and shares of features (k, shares).

    Checked, and clipped.
    """
    if (by_level or offsets) and not bundle.levels:
        raise Refusal(f"model {bundle.name} has one flat code; leave out layout=levels and offsets=1")
    d, levels, style = bundle.latent_size, bundle.levels, bundle.style_size
    n_code = d * levels if by_level else d
    n_styles = levels * style if offsets else 0
    n_record = n_code + n_styles + shares
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
    styles, rest = np.split(numbers[:, n_code:], [n_styles], axis=1)
    delta = np.clip(styles, -20, 20).reshape(-1, levels, style) if offsets else None
    return bundle.check_z(z), delta, np.clip(rest, -2, 2)


def parse_features(bundle: Bundle, query: Mapping[str, str]) -> list[Feature]:
    """What features=ID,ID names, as refinements gave them."""
    found = []
    for name in filter(None, query.get("features", "").split(",")[: MAX_FEATURES + 1]):
        feature = find(name)
        if feature is None:
            raise Refusal("the details of this photo are here no longer; load the photo again", 410)
        if not bundle.levels or feature.offset.shape != bundle.model.feature_shape:
            raise Refusal(f"the details of this photo belong to another model than {bundle.name}; load the photo again")
        found.append(feature)
    if len(found) > MAX_FEATURES:
        raise Refusal(f"features= names more than {MAX_FEATURES} photos; leave some out")
    return found


async def decode(request: Request) -> Response:
    """POST /api/decode: codes -> raw RGB bytes (k, h, w, 3), or one PNG or WebP. X-Server-Ms: what it took here.

    features=ID,ID: after each code (and its offsets) a share of each of these photos' feature offsets follows; held=1
    lets a single one give way where the code has left the photo's own.
    """
    bundle, query = the_bundle(request), request.query_params
    record = 4 * (max(1, bundle.levels) * (bundle.latent_size + bundle.style_size) + MAX_FEATURES)
    body = await read_body(request, MAX_CODES * record, "body")
    began = time.perf_counter()
    by_level = one_of(query, "layout", ("flat", "levels")) == "levels"
    features = parse_features(bundle, query)
    z, delta, shares = parse_codes(bundle, body, by_level, query.get("offsets") == "1", len(features))
    size = None
    if "size" in query:
        sizes = (*bundle.preview_sizes, bundle.image_size)
        size = integer(query, "size", bundle.image_size, 1, 4096)
        if size not in sizes:
            raise Refusal(
                f"size={size} is not a level of {bundle.name}; use one of {', '.join(map(str, sorted(sizes)))}"
            )
    form = one_of(query, "format", ("raw", "png", "webp"))
    if form != "raw" and len(z) != 1:
        raise Refusal(f"format={form} answers one image, and the body holds {len(z)} codes; send one")
    turn = slots("decode", DECODES_AT_ONCE)
    quick = query.get("quick") == "1"

    def work() -> np.ndarray:
        feature = mixed(features, shares)
        anchor = features[0].anchor if query.get("held") == "1" and len(features) == 1 else None
        return bundle.decode(z, delta, size, quick, feature, anchor)

    images = to_rgb(await anyio.to_thread.run_sync(work, limiter=turn))
    if form != "raw":
        make = media.png if form == "png" else media.webp_still
        return Response(await in_thread(make, images[0]), media_type=f"image/{form}", headers=NO_STORE)
    shape = ",".join(map(str, images.shape))
    # identity: gzip of pixels costs more time than it saves on the way.
    spent = f"{1e3 * (time.perf_counter() - began):.1f}"
    headers = {
        "X-Image-Shape": shape,
        "X-Server-Ms": spent,
        "Content-Encoding": "identity",
        "Cache-Control": "no-store",
    }
    return Response(images.tobytes(), media_type=BINARY, headers=headers)


async def sample(request: Request) -> Response:
    """GET /api/sample: draws from the bundle's prior, float32 (count, d), as people see them: settled where the bundle says so."""
    bundle, query = the_bundle(request), request.query_params
    seed = integer(query, "seed", 0, 0, 2**32 - 1)
    count = integer(query, "count", 1, 1, MAX_SAMPLES)
    temperature = number(query, "temperature", 0.7, 0, 2)
    z = await in_thread(settling.draw, bundle, seed, temperature, count)
    return Response(np.ascontiguousarray(z, "<f4").tobytes(), media_type=BINARY)


def decoder_file(bundle: Bundle, part: str) -> Path:
    """The decoder as an ONNX file: "full", "light", or one that takes a feature offset; or "dynamics", the transition.

    One that takes a feature offset is "whole", or "lower-64" and "upper-64": its two halves at a preview size.
    """
    if part == "dynamics" and bundle.dynamics:
        return bundle.path / "dynamics.onnx"
    if part == "full" or (part == "light" and bundle.light):
        return bundle.path / ("decoder.onnx" if part == "full" else "light.onnx")
    if part == "whole" and bundle.levels:
        return keep([f"decoder-{bundle.digest}-whole.onnx"], lambda: [bundle.whole()])[0]
    half, _, size = part.partition("-")
    if half not in ("lower", "upper") or size not in map(str, bundle.preview_sizes):
        raise Refusal(f"{bundle.name} has no decoder part {part[:40]!r}", 404)
    names = [f"decoder-{bundle.digest}-{each}-{size}.onnx" for each in ("lower", "upper")]
    return keep(names, lambda: bundle.split(int(size)))[half == "upper"]


async def feature_file(request: Request) -> Response:
    """GET /api/features/ID: a photo's feature offset and its anchor, float16 (2, C, h, h)."""
    feature = find(request.path_params["id"])
    if feature is None:
        raise Refusal("the details of this photo are here no longer; load the photo again", 410)
    headers = {**NO_STORE, "Content-Encoding": "identity"}
    return Response(feature.to_bytes(), media_type=BINARY, headers=headers)


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
