"""The route of pictures dropped on the map: read in memory, encoded, kept nowhere.

A photo in which no face is found comes back small, for the visitor to mark its eyes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vae import media
from vae.bundles.bundle import Bundle
from vae.data.kinds import HEAD, kind_of
from vae.data.pictures import read_image
from vae.photos.faces import FaceError, ImageError, align, usual_eyes
from vae.web.core.http import MAX_IMAGE_BYTES, NO_STORE, Refusal, b64, in_thread, read_body, the_bundle
from vae.web.live.dropping import MAX_DROP, Unseen, crops

SHOWN_SIDE = 640  # px of the photo that the eyes are marked on


def _marked(bundle: Bundle, data: bytes, marks: str) -> np.ndarray:
    """A photo's face by the eyes that a hand has marked -> the model's input (s, s, c) uint8."""
    try:
        eyes = np.array([float(value) for value in marks.split(",")]).reshape(2, 2)
    except ValueError:
        eyes = np.full((2, 2), np.nan)
    if not np.isfinite(eyes).all() or bundle.eyes is None:
        raise Refusal("eyes takes four numbers: x and y in pixels of the picture's left eye, then of its right one")
    if len(data) > MAX_IMAGE_BYTES:
        raise Refusal(f"the picture has more than {MAX_IMAGE_BYTES:,} bytes; use a smaller one", 413)
    left, right = sorted((float(x), float(y)) for x, y in eyes)
    try:
        crop = align(read_image(data), (left, right), bundle.eyes, bundle.image_size)
    except (FaceError, ImageError) as error:
        raise Refusal(str(error)) from None
    return media.grey(crop) if bundle.channels == 1 else crop


def _to_mark(bundle: Bundle, image: np.ndarray) -> dict[str, Any]:
    """What the page needs to have a photo's eyes marked."""
    small = media.upscale(image, min(1.0, SHOWN_SIDE / max(image.shape)))
    return {
        "photo": media.data_uri(small, "webp"),
        "size": [image.shape[1], image.shape[0]],
        "eyes": usual_eyes(image, bundle.eyes, bundle.image_size),
    }


async def place(request: Request) -> Response:
    """POST /api/atlas/place[?eyes=x,y,x,y]: one picture or a zip of them -> code and style offsets of each; kept nowhere.

    eyes: of one photo, by hand, in its pixels. Photos in which no face is found are `unseen`: name, the photo as a data
    URI, its width and height, and where eyes usually are.
    """
    bundle = the_bundle(request)
    data = await read_body(request, MAX_DROP, "file")
    name = request.query_params.get("name", "picture")[:80]
    marks = request.query_params.get("eyes", "")
    single = kind_of(data[:HEAD]).reader != "zip"

    def work() -> dict[str, Any]:
        placed: list[dict[str, str]] = []
        refused: list[str] = []
        unseen: list[dict[str, Any]] = []
        for short, crop in [(name, _marked(bundle, data, marks))] if marks else crops(bundle, data, name):
            if isinstance(crop, Unseen) and single:
                unseen.append({"name": short, **_to_mark(bundle, crop.image)})
            if isinstance(crop, str):
                refused.append(f"{short}: {crop.rstrip('.')}")
                continue
            mu, logvar, delta = bundle.encode_with_offsets(crop[None])
            found = {"name": short, "mu": b64(bundle.check_z(mu[0])), "logvar": b64(logvar[0])}
            placed.append(found if delta is None else {**found, "delta": b64(delta[0])})
        return {"placed": placed, "refused": refused, "unseen": unseen}

    return JSONResponse(await in_thread(work), headers=NO_STORE)
