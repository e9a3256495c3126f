"""POST /api/blend: two to four photos in, their blend out, as a picture or a film."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vae import media
from vae.bundles.bundle import Bundle
from vae.data.kinds import MAX_BYTES
from vae.photos import blend
from vae.photos.film import FILM_KINDS, make_film
from vae.photos.into_photo import keep_detail
from vae.photos.refine_sources import refine_sources
from vae.photos.sources import photo_source
from vae.space import mixing
from vae.space.mixing import MAX_SOURCES
from vae.web.core import services
from vae.web.core.http import NO_STORE, Refusal, answer, in_thread, integer, number, one_of, read_body, the_bundle

MAX_BODY = MAX_SOURCES * MAX_BYTES + 2**16
# Starlette spools parts above 1 MB into files; photos must stay in memory, also those of Streamlit's own uploads,
# which this parser reads too. Their size is limited before.
MultiPartParser.spool_max_size = MAX_BODY
SLOTS = "abcd"
MIME = {"png": "image/png", "mp4": "video/mp4", "gif": "image/gif", "webp": "image/webp"}


async def read_photos(request: Request) -> list[bytes]:
    """The files of the fields a, b, c, d, in that order; nothing is written to the disk."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refusal("the body is not a form; send multipart/form-data with the photos as the files a and b", 415)
    body = await read_body(request, MAX_BODY, "form")

    async def once() -> AsyncIterator[bytes]:
        yield body

    try:
        form = await MultiPartParser(request.headers, once(), max_files=MAX_SOURCES, max_fields=0).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        reason = str(getattr(error, "message", error)).rstrip(".")[:100]
        raise Refusal(
            f"the form cannot be read ({reason}); send the photos as the files a, b and, if you like, c, d"
        ) from None
    unknown = [name for name in form if name not in SLOTS or not isinstance(form[name], UploadFile)]
    if unknown or len(form.multi_items()) != len(form) or not {"a", "b"} <= set(form):
        raise Refusal("the form must hold the photos as the files a and b, and c and d if you like, each once")
    photos = []
    for name in (slot for slot in SLOTS if slot in form):
        data = await form[name].read()
        if len(data) > MAX_BYTES:
            raise Refusal(f"photo {name} is larger than {MAX_BYTES >> 20} MB; send a smaller one", 413)
        photos.append(data)
    return photos


def read_weights(query: Mapping[str, str], levels: int, count: int) -> blend.Array:
    """weights=0.2,0.3,0.5, or mix and coarse, middle, fine for two photos."""
    if "weights" in query or count > 2:
        try:
            shares = [float(text) for text in query.get("weights", ",".join("1" * count)).split(",")]
        except ValueError:
            raise Refusal(
                f"weights={query['weights'][:40]} are not numbers; send {count} of them with commas between"
            ) from None
        return mixing.check_weights(shares, levels, count)
    own = {group: number(query, group, None, 0, 1) for group in mixing.GROUPS}
    return mixing.pair_weights(levels, number(query, "mix", 0.5, 0, 1), **own)


def make(bundle: Bundle, photos: list[bytes], query: Mapping[str, str]) -> tuple[bytes, str]:
    """The blend as a file, and its media type."""
    kind = one_of(query, "format", ("png", *FILM_KINDS))
    path = one_of(query, "path", mixing.PATHS)
    refine = integer(query, "refine", 0, 0, 200)
    detail = number(query, "detail", 0.0, 0, 1)
    scale = integer(query, "scale", 1, 1, 4)
    weights = read_weights(query, bundle.levels, len(photos))
    if kind != "png":
        seconds, fps = number(query, "seconds", 4.0, 0.5, 20), integer(query, "fps", 30, 1, 60)
    sources = [photo_source(bundle, photo, f"photo {SLOTS[i]}") for i, photo in enumerate(photos)]
    if refine:
        sources = refine_sources(bundle, sources, services.refiner, refine)
    if kind != "png":
        there_and_back = integer(query, "ping_pong", 0, 0, 1) == 1
        return make_film(bundle, sources, kind, seconds, fps, there_and_back, path, scale=scale), MIME[kind]
    picture = blend.blend(bundle, sources, weights, path)
    if detail and bundle.eyes is not None:
        picture = keep_detail(bundle, sources, weights, picture, detail)
    return media.png(picture, scale), MIME[kind]


async def blend_photos(request: Request) -> Response:
    """POST /api/blend?model=NAME[&mix=0.5][&coarse=][&middle=][&fine=][&weights=][&path=][&refine=STEPS][&detail=][&format=]."""
    bundle = the_bundle(request)
    photos = await read_photos(request)
    data, mime = await in_thread(make, bundle, photos, dict(request.query_params))
    return Response(data, media_type=mime, headers=NO_STORE)


def routes() -> list[Route]:
    """What this module adds to the application."""
    return [Route("/api/blend", answer(blend_photos), methods=["POST"])]
