"""POST /api/encode: a picture in, its place in the latent space out."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vae import media
from vae.bundles.bundle import Bundle
from vae.data.pictures import read_image
from vae.photos.aligning import align
from vae.photos.finding import find_face
from vae.web.core.http import MAX_IMAGE_BYTES, NO_STORE, in_thread, read_body, the_bundle


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

    return JSONResponse(await in_thread(work), headers=NO_STORE)
