"""HTTP routes of the map: places and colours as bytes, sprites of decoded tiles, selections, lessons, paths.

Numbers travel as little-endian float32, sets of codes as bit masks (one bit a code, lowest bit first), pictures as
WebP sprites. Nothing that a page sends is kept, except a direction that it asks to save.
"""

from __future__ import annotations

import base64
import binascii
import io
import threading
import zipfile
from collections import OrderedDict
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vae import media
from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.photos.faces import FaceError, ImageError, read_image
from vae.space import colouring, computing, lessons, paths, selections, taught, views
from vae.space.axes import bases
from vae.space.labels import one_of, plain
from vae.space.neighbours import nearest
from vae.web.core.http import (
    BINARY,
    MAX_IMAGE_BYTES,
    NO_STORE,
    Refusal,
    answer,
    b64,
    in_thread,
    integer,
    json_body,
    packed,
    read_body,
    the_bundle,
)
from vae.web.live.decoding import parse_codes
from vae.web.live.encoding import fit

TILE = 48
TILES = 64  # tiles of one sprite
COLUMNS = 8
KEPT_TILES = 6000  # 6.9 kB each
SHEET = 24
MAX_DROP = 64 * 2**20
MAX_UNPACKED = 256 * 2**20
MAX_DROPPED = 100
LEVELS = 65535


def quantised(values: np.ndarray) -> tuple[np.ndarray, list[list[float]]]:
    """(M, k) -> uint16 (M, k), and [low, high] of each column."""
    low, high = values.min(0), values.max(0)
    span = np.maximum(high - low, 1e-9)
    return np.rint((values - low) / span * LEVELS).astype("<u2"), [[float(a), float(a + s)] for a, s in zip(low, span)]


def to_mask(bundle: Bundle, text: Any) -> np.ndarray:
    """Base64 bit mask -> bool (M,)."""
    count = len(bundle.codes)
    try:
        bits = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except (binascii.Error, TypeError, ValueError):
        raise Refusal("the selection is not a bit mask in base64; select anew") from None
    if len(bits) != -(-count // 8):
        raise Refusal(f"the selection has {len(bits)} bytes where {count} codes need {-(-count // 8)}; reload the page")
    return np.unpackbits(bits, bitorder="little")[:count].astype(bool)


def to_codes(bundle: Bundle, body: bytes, most: int) -> np.ndarray:
    """float32 bytes -> codes (k, d), checked and clipped."""
    d = bundle.latent_size
    if not body or len(body) % (4 * d) or len(body) > 4 * d * most:
        raise Refusal(f"the body has {len(body):,} bytes; {bundle.name} wants 1 to {most} codes of {d} float32")
    return bundle.check_z(np.frombuffer(body, "<f4").reshape(-1, d))


def to_places(body: bytes, most: int) -> np.ndarray:
    """float32 bytes -> places (k, 2)."""
    if not body or len(body) % 8 or len(body) > 8 * most:
        raise Refusal(f"the body has {len(body):,} bytes; send 1 to {most} places of 2 float32")
    places = np.frombuffer(body, "<f4").reshape(-1, 2).astype(np.float64)
    if not np.isfinite(places).all():
        raise Refusal("the body holds a number that is not finite; send finite float32")
    return np.clip(places, -1e6, 1e6)


def the_view(request: Request, bundle: Bundle) -> views.Linear | views.Placed:
    """The view that the query names, where it is there already."""
    found = views.view(bundle, views.parse(request.query_params.get("view", "")))
    if found is None:
        raise Refusal("this view has not been computed yet; start it first", 409)
    return found


# -- what the map shows --------------------------------------------------------------------------------------------


def describe(bundle: Bundle) -> dict[str, Any]:
    """Views, axes and colours that the map offers, and the taught directions."""
    axes = {
        name: {
            "title": views.TITLES[name],
            "axes": [{"id": a.id, "label": a.label, "detail": a.detail, "collapsed": a.collapsed} for a in basis.axes],
        }
        for name, basis in bases(bundle).items()
        if len(basis) >= 2
    }
    settings = {
        kind: {"title": views.TITLES[kind], "settings": values, "default": views.DEFAULTS[kind]}
        for kind, values in views.SETTINGS.items()
    }
    names = bundle.codes.label_names
    counts = (bundle.codes.labels != 0).sum(0)
    return {
        "count": len(bundle.codes),
        "plane": bundle.latent_size == 2,
        "linear": axes,
        "computed": settings,
        "colours": colouring.colour_options(bundle),
        "classes": one_of(bundle),
        "labels": [{"index": k, "name": plain(name), "count": int(counts[k])} for k, name in enumerate(names)],
        "taught": [{"id": t.id, "label": t.label, "auc": t.auc, "detail": t.detail} for t in taught.load(bundle)],
    }


async def options(request: Request) -> Response:
    """GET /api/atlas/options."""
    bundle = the_bundle(request)
    return JSONResponse(await in_thread(describe, bundle), headers=NO_STORE)


def points_of(bundle: Bundle, text: str) -> Response:
    """Places of all codes, 4 bytes each, and the formulas of a linear view; state "missing" where none is there yet."""
    spec = views.parse(text)
    found = views.view(bundle, spec)
    if found is None:
        return packed({"state": "missing", "view": text})
    head: dict[str, Any] = {
        "state": "ready",
        "view": text,
        "count": len(bundle.codes),
        "labels": found.labels,
        "unit": found.unit,
    }
    if isinstance(found, views.Linear):
        head |= {"linear": True, "W": b64(found.W), "D": b64(found.D.T), "origin": b64(found.origin)}
        xy = found.project(bundle.codes.mu)
    else:
        head["linear"] = False
        xy = found.xy
    places, head["range"] = quantised(xy)
    return packed(head, places)


async def points(request: Request) -> Response:
    """GET /api/atlas/points?view=principal:0:1."""
    return await in_thread(points_of, the_bundle(request), request.query_params.get("view", ""))


def colours_of(bundle: Bundle, by: str) -> Response:
    found = colouring.colours(bundle, by)
    if found is None:
        return packed({"state": "missing", "by": by})
    values = found.pop("values")
    head = {"state": "ready", "by": by, **found}
    if found["kind"] == "category":
        head["counts"] = np.bincount(values, minlength=len(found["categories"])).tolist()
        return packed(head, values)
    # The colours span the middle 98 %: a few odd codes would make all others look alike.
    low, high = (float(q) for q in np.quantile(values, [0.01, 0.99]))
    span = max(high - low, 1e-9)
    edges = np.linspace(low, low + span, 13)
    head |= {
        "low": low,
        "high": low + span,
        "counts": np.histogram(np.clip(values, low, low + span), edges)[0].tolist(),
    }
    return packed(head, np.rint(np.clip((values - low) / span, 0, 1) * 255).astype(np.uint8))


async def colours(request: Request) -> Response:
    """GET /api/atlas/colours?by=label:3: one byte a code."""
    return await in_thread(colours_of, the_bundle(request), request.query_params.get("by", "none"))


async def compute(request: Request) -> Response:
    """POST /api/atlas/compute?name=umap-15 starts, GET tells how it stands, DELETE cancels."""
    bundle, name = the_bundle(request), request.query_params.get("name", "")
    if request.method == "POST":
        job = await in_thread(computing.compute, bundle, name)
    else:
        job = computing.computation(bundle, name)
        if job is None:
            raise Refusal(f"no computation {name[:40]!r} runs; start it first", 404)
        if request.method == "DELETE":
            job.cancel()
    return JSONResponse(job.report(), headers=NO_STORE)


# -- pictures ------------------------------------------------------------------------------------------------------

_tiles: OrderedDict[tuple, np.ndarray] = OrderedDict()
_tiles_lock = threading.Lock()


def decode_tiles(bundle: Bundle, z: np.ndarray, size: int = TILE, delta: np.ndarray | None = None) -> list[np.ndarray]:
    """Codes (k, d), style offsets (k, L, S) -> tiles (size, size, 3), decoded no finer than they are shown."""
    return [media.resize(image, size) for image in bundle.decode_small(bundle.check_z(z), size, delta)]


def code_tiles(bundle: Bundle, ids: np.ndarray) -> list[np.ndarray]:
    """Tiles of the bundle's codes; the last few thousand are kept."""
    keys = [(bundle.name, bundle.digest, int(i)) for i in ids]
    with _tiles_lock:
        found = {key: _tiles[key] for key in keys if key in _tiles}
        for key in found:
            _tiles.move_to_end(key)
    missing = list(dict.fromkeys(key for key in keys if key not in found))
    if missing:
        made = decode_tiles(bundle, bundle.codes.mu[[key[2] for key in missing]])
        found |= zip(missing, made)
        with _tiles_lock:
            _tiles.update(zip(missing, made))
            while len(_tiles) > KEPT_TILES:
                _tiles.popitem(last=False)
    return [found[key] for key in keys]


def sprite(tiles: list[np.ndarray]) -> Response:
    """Tiles in rows of 8, WebP."""
    return Response(media.sprite(tiles, COLUMNS, quality=80), media_type="image/webp", headers=NO_STORE)


async def thumbs(request: Request) -> Response:
    """POST /api/atlas/thumbs: uint32 indices of codes -> sprite of their decoded pictures."""
    bundle = the_bundle(request)
    body = await read_body(request, 4 * TILES, "list of codes")
    if not body or len(body) % 4:
        raise Refusal(f"the body has {len(body)} bytes; send 1 to {TILES} uint32")
    ids = np.frombuffer(body, "<u4")
    if ids.max() >= len(bundle.codes):
        raise Refusal(f"there is no code {ids.max()}; {bundle.name} has {len(bundle.codes)}")
    return await in_thread(lambda: sprite(code_tiles(bundle, ids)))


async def decoded(request: Request) -> Response:
    """POST /api/atlas/decoded[?tile=96][&offsets=1]: codes -> sprite, for strips, neighbours, means, placed pictures.

    offsets=1: the style offsets (L, S) of each picture follow its code.
    """
    bundle = the_bundle(request)
    tile = integer(request.query_params, "tile", TILE, 16, 256)
    offsets = request.query_params.get("offsets") == "1"
    record = 4 * (bundle.latent_size + offsets * bundle.levels * bundle.style_size)
    body = await read_body(request, record * TILES, "list of codes")
    z, delta = parse_codes(bundle, body, False, True) if offsets else (to_codes(bundle, body, TILES), None)
    return await in_thread(lambda: sprite(decode_tiles(bundle, z, tile, delta)))


async def background(request: Request) -> Response:
    """POST /api/atlas/background?view=: the code in hand, then places -> sprite of what is decoded there."""
    bundle = the_bundle(request)
    d = bundle.latent_size
    body = await read_body(request, 4 * d + 8 * TILES, "list of places")
    z, places = to_codes(bundle, body[: 4 * d], 1)[0], to_places(body[4 * d :], TILES)

    def work() -> Response:
        return sprite(decode_tiles(bundle, the_view(request, bundle).lift(places, z)))

    return await in_thread(work)


async def near(request: Request) -> Response:
    """POST /api/atlas/near?view=: places -> codes, each a blend of the nearest; for views without an inverse."""
    bundle = the_bundle(request)
    places = to_places(await read_body(request, 8 * TILES, "list of places"), TILES)
    found = the_view(request, bundle)
    if isinstance(found, views.Linear):
        places_z = found.lift(places, bundle.stats.mean)
    else:
        places_z = found.lift(places)
    return Response(bundle.check_z(places_z).astype("<f4").tobytes(), media_type=BINARY, headers=NO_STORE)


# -- codes ---------------------------------------------------------------------------------------------------------


def describe_code(bundle: Bundle, found: views.Linear | views.Placed, index: int) -> dict[str, Any]:
    """One code of the data: numbers, labels, sigma ellipse, nearest neighbours."""
    codes = bundle.codes
    mu, logvar = codes.mu[index], codes.logvar[index]
    ids, distance = nearest(codes.mu, mu, 13)
    others = [(int(i), float(far)) for i, far in zip(ids[0], distance[0]) if i != index][:12]
    covariance, exact = views.ellipse(found, mu, logvar)
    labels = [plain(name) for name, value in zip(codes.label_names, codes.labels[index]) if value]
    sigma = np.exp(0.5 * logvar.astype(np.float64))
    kl = 0.5 * float((mu.astype(np.float64) ** 2 + sigma**2 - 1 - logvar).sum())
    return {
        "index": index,
        "mu": b64(mu),
        "logvar": b64(logvar),
        "labels": labels,
        "kl": kl,
        "ellipse": covariance.tolist(),
        "exact": exact,
        "neighbours": [{"index": i, "distance": far} for i, far in others],
    }


async def code(request: Request) -> Response:
    """GET /api/atlas/code?view=&index=: what the map says of one dot."""
    bundle = the_bundle(request)
    index = integer(request.query_params, "index", 0, 0, len(bundle.codes) - 1)
    return JSONResponse(
        await in_thread(lambda: describe_code(bundle, the_view(request, bundle), index)), headers=NO_STORE
    )


async def neighbours(request: Request) -> Response:
    """POST /api/atlas/neighbours: one code -> indices and distances of the nearest codes of the data."""
    bundle = the_bundle(request)
    z = to_codes(bundle, await read_body(request, 4 * bundle.latent_size, "code"), 1)
    ids, distance = await in_thread(nearest, bundle.codes.mu, z, 12)
    found = [{"index": int(i), "distance": float(far)} for i, far in zip(ids[0], distance[0])]
    return JSONResponse({"neighbours": found}, headers=NO_STORE)


async def locate(request: Request) -> Response:
    """POST /api/atlas/locate?view=: codes -> places, float32 (k, 2)."""
    bundle = the_bundle(request)
    most = 512
    z = to_codes(bundle, await read_body(request, 4 * bundle.latent_size * most, "list of codes"), most)
    places = await in_thread(lambda: the_view(request, bundle).project(z))
    return Response(np.ascontiguousarray(places, "<f4").tobytes(), media_type=BINARY, headers=NO_STORE)


async def select(request: Request) -> Response:
    """POST /api/atlas/select: {mask} -> mean, spread, contact sheet and label rates of a selection."""
    bundle, values = the_bundle(request), await json_body(request)
    mask = to_mask(bundle, values.get("mask"))

    def work() -> dict[str, Any]:
        found = selections.summarise(bundle, mask, SHEET)
        mean = bundle.check_z(found.mean)
        return {
            "count": found.count,
            "mean": b64(mean),
            "spread": found.spread,
            "sheet": found.sheet.tolist(),
            "rates": found.rates,
        }

    return JSONResponse(await in_thread(work), headers=NO_STORE)


# -- teaching ------------------------------------------------------------------------------------------------------


def side(bundle: Bundle, values: Any, other: np.ndarray | None = None) -> np.ndarray:
    """One side of a lesson: {"mask": ...}, {"label": k, "value": 0 or 1}, or "rest" of the other side."""
    if isinstance(values, dict) and "mask" in values:
        return to_mask(bundle, values["mask"])
    if values == "rest" and other is not None:
        return ~other
    if isinstance(values, dict):
        k, value = values.get("label"), values.get("value", 1)
        if (
            isinstance(k, int)
            and not isinstance(k, bool)
            and 0 <= k < len(bundle.codes.label_names)
            and value in (0, 1)
        ):
            return (bundle.codes.labels[:, k] != 0) == bool(value)
    raise Refusal("this side of the lesson is neither a selection nor a label; choose one of them")


def lesson_of(bundle: Bundle, values: dict[str, Any]) -> tuple[lessons.Lesson, Response]:
    """Fit, and say what came out of it."""
    remove = values.get("remove", [])
    if not isinstance(remove, list) or len(remove) > 64 or not all(isinstance(r, str) for r in remove):
        raise Refusal("the leaks to take out are not a list of names; choose them from the list")
    one = side(bundle, values.get("with"))
    found = lessons.teach(bundle, one, side(bundle, values.get("without"), one), remove)
    direction = found.direction(bundle)
    answer = {
        "auc": found.auc,
        "auc_before": found.auc_before,
        "counts": found.counts,
        "trained": found.trained,
        "held": found.held,
        "removed": found.removed,
        "leaks": [{"id": i, "label": text, "sigma": sigma} for i, text, sigma in found.leaks[:40]],
        "direction": b64(direction),
    }
    return found, JSONResponse(answer, headers=NO_STORE)


async def teach(request: Request) -> Response:
    """POST /api/atlas/teach: {with, without, remove} -> AUC, leaks and the direction."""
    bundle, values = the_bundle(request), await json_body(request)
    return (await in_thread(lesson_of, bundle, values))[1]


async def save(request: Request) -> Response:
    """POST /api/atlas/directions: a lesson with a name -> saved as a slider."""
    bundle, values = the_bundle(request), await json_body(request)
    label = taught.check_label(values.get("label"))

    def work() -> dict[str, Any]:
        direction = lesson_of(bundle, values)[0].taught(label)
        taught.save(bundle, direction)
        return {"id": direction.id, "label": direction.label, "axis": f"named:{direction.id}"}

    return JSONResponse(await in_thread(work), 201, headers=NO_STORE)


# -- paths ---------------------------------------------------------------------------------------------------------


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


# -- pictures dropped on the map -----------------------------------------------------------------------------------


def members(data: bytes, name: str) -> list[tuple[str, bytes | str]]:
    """The pictures of a file, or of a zip, in memory: name and bytes, or name and the sentence why not."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return [(name, data)]
    found, total = [], 0
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [
                info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")
            ]
            for info in files[:MAX_DROPPED]:
                short = info.filename.rsplit("/", 1)[-1][:80]
                total += info.file_size
                if info.file_size > MAX_IMAGE_BYTES or total > MAX_UNPACKED:
                    found.append((short, f"it unpacks to {info.file_size:,} bytes, too many; use pictures up to 20 MB"))
                    continue
                with archive.open(info) as file:
                    found.append((short, file.read(MAX_IMAGE_BYTES + 1)))
            if len(files) > MAX_DROPPED:
                found.append((name, f"of its {len(files)} files the first {MAX_DROPPED} were read"))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise Refusal(
            f"the archive {name[:60]!r} cannot be read ({str(error)[:80]}); pack it again without a password"
        ) from None
    return found


async def place(request: Request) -> Response:
    """POST /api/atlas/place: one picture or a zip of them -> code and style offsets of each; kept nowhere."""
    bundle = the_bundle(request)
    data = await read_body(request, MAX_DROP, "file")
    name = request.query_params.get("name", "picture")[:80]

    def work() -> dict[str, Any]:
        placed: list[dict[str, str]] = []
        refused: list[str] = []
        for short, content in members(data, name):
            if isinstance(content, str):
                refused.append(f"{short}: {content}")
                continue
            try:
                if len(content) > MAX_IMAGE_BYTES:
                    raise ImageError(f"the picture has more than {MAX_IMAGE_BYTES:,} bytes; use a smaller one")
                crop, _ = fit(bundle, read_image(content), True)
                mu, logvar, delta = bundle.encode_with_offsets(crop[None])
            except (BundleError, FaceError, ImageError) as error:
                refused.append(f"{short}: {error}")
                continue
            found = {"name": short, "mu": b64(bundle.check_z(mu[0])), "logvar": b64(logvar[0])}
            placed.append(found if delta is None else {**found, "delta": b64(delta[0])})
        return {"placed": placed, "refused": refused}

    return JSONResponse(await in_thread(work), headers=NO_STORE)


def routes() -> list[Route]:
    """Every route of the map."""
    base = "/api/atlas"
    gets = {"options": options, "points": points, "colours": colours, "code": code}
    posts = {
        "thumbs": thumbs,
        "decoded": decoded,
        "background": background,
        "near": near,
        "neighbours": neighbours,
        "locate": locate,
        "select": select,
        "teach": teach,
        "directions": save,
        "path": path,
        "film": film,
        "place": place,
    }
    made = [Route(f"{base}/{name}", answer(function)) for name, function in gets.items()]
    made += [Route(f"{base}/{name}", answer(function), methods=["POST"]) for name, function in posts.items()]
    return [*made, Route(f"{base}/compute", answer(compute), methods=["GET", "POST", "DELETE"])]
