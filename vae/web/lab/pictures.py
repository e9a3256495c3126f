"""The pictures of the Lab page: samples, what a visitor drops, and how they come back with each question.

The page holds them; the server forgets them with its answer. Each is a crop as the model sees it, as a PNG data address.
"""

from __future__ import annotations

import base64
import binascii
import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vae import media
from vae.bundles.bundle import Bundle
from vae.evaluation.picked import known_split
from vae.photos.sources import SAMPLE_SEEDS, SAMPLE_TEMPERATURE, astronaut, photo_source
from vae.space import settling
from vae.web.core.http import MAX_IMAGE_BYTES, NO_STORE, Refusal, in_thread, read_body, the_bundle
from vae.web.live.dropping import MAX_DROP, crops

Array = np.ndarray

PREFIX = "data:image/png;base64,"
SAMPLES = 12
MOST = 100  # pictures of one question


@lru_cache(maxsize=8)
def _samples(bundle: Bundle) -> list[dict[str, str]]:
    if (split := known_split(bundle)) is not None:
        held = split[1]
        some = held.images(np.arange(min(SAMPLES, len(held))))
        return [
            {"name": f"Held out {i + 1}", "kind": "held out", "src": media.data_uri(one)} for i, one in enumerate(some)
        ]
    found = []
    portrait = astronaut() if bundle.eyes is not None and bundle.channels == 3 else None
    if portrait is not None:
        crop = photo_source(bundle, portrait, "Astronaut").crop
        found.append({"name": "Astronaut", "kind": "photo", "src": media.data_uri(crop)})
    for seed in SAMPLE_SEEDS:
        drawn = bundle.decode(bundle.check_z(settling.draw(bundle, seed, SAMPLE_TEMPERATURE)))[0]
        found.append({"name": f"Drawn, seed {seed}", "kind": "drawn", "src": media.data_uri(drawn)})
    return found


async def samples(request: Request) -> Response:
    """GET /api/lab/samples?model=NAME: pictures to begin with; kind: photo, held out, or drawn by the model itself."""
    bundle = the_bundle(request)
    return JSONResponse({"pictures": await in_thread(_samples, bundle)}, headers=NO_STORE)


async def dropped(request: Request) -> Response:
    """POST /api/lab/pictures?model=NAME[&name=FILE][&align=0]: a picture or a zip -> crops as the model sees them."""
    bundle = the_bundle(request)
    data = await read_body(request, MAX_DROP, "file")
    name, face = request.query_params.get("name", "picture")[:80], request.query_params.get("align") != "0"

    def work() -> dict[str, Any]:
        taken: list[dict[str, str]] = []
        refused: list[str] = []
        for short, crop in crops(bundle, data, name, face):
            if isinstance(crop, str):
                refused.append(f"{short}: {crop}")
            else:
                taken.append({"name": short, "kind": "yours", "src": media.data_uri(crop)})
        return {"pictures": taken, "refused": refused}

    return JSONResponse(await in_thread(work), headers=NO_STORE)


def read_png(bundle: Bundle, text: Any, what: str = "picture", channels: int = 0) -> Array:
    """A data address from the page -> uint8 (s, s, c). Raises Refusal."""
    size, channels = bundle.image_size, channels or bundle.channels
    wrong = Refusal(f"a {what} is not a PNG of {size} x {size} pixels; reload the page and choose it again")
    if not isinstance(text, str) or not text.startswith(PREFIX) or len(text) > 4 * MAX_IMAGE_BYTES // 20:
        raise wrong
    try:
        with Image.open(io.BytesIO(base64.b64decode(text[len(PREFIX) :], validate=True)), formats=("PNG",)) as image:
            if image.size != (size, size):
                raise wrong
            return np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(size, size, channels)
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise wrong from None


def read_pictures(bundle: Bundle, body: dict[str, Any], most: int = MOST) -> tuple[Array, list[str]]:
    """The pictures of a question uint8 (N, s, s, c), and their names. Raises Refusal."""
    given, names = body.get("pictures"), body.get("names")
    if not isinstance(given, list) or not 1 <= len(given) <= most:
        raise Refusal(f"the question holds no pictures, or more than {most}; choose 1 to {most}")
    names = names if isinstance(names, list) and len(names) == len(given) else range(1, len(given) + 1)
    return np.stack([read_png(bundle, one) for one in given]), [str(name)[:80] for name in names]
