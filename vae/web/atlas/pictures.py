"""Routes of the map's pictures: sprites of decoded tiles, WebP."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from vae import media
from vae.bundles.bundle import Bundle
from vae.web.atlas.reading import the_view, to_codes, to_places
from vae.web.core.http import NO_STORE, Refusal, in_thread, integer, read_body, the_bundle
from vae.web.live.decoding import parse_codes

TILE = 48
TILES = 64  # tiles of one sprite
COLUMNS = 8
KEPT_TILES = 6000  # 6.9 kB each


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
    z, delta = parse_codes(bundle, body, False, True)[:2] if offsets else (to_codes(bundle, body, TILES), None)
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
