"""Routes of the Learn page: the small models, the source of the code that is shown, and codes to pick from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vae.bundles.bundle import Bundle
from vae.paths import ASSETS
from vae.space.neighbours import nearest
from vae.web.core.http import BINARY, Refusal, answer, in_thread, integer, packed, read_body, the_bundle
from vae.web.learn.source import SHOWN, whole

LESSONS = ASSETS / "lessons" / "lessons.safetensors"
MOST = 64
ASKED = 400  # codes whose own neighbours say what is usual


@lru_cache(maxsize=1)
def _file(changed: int) -> bytes:
    """The models' file, kept, so that it leaves in one piece. changed: its time of change."""
    return LESSONS.read_bytes()


async def lessons(_: Request) -> Response:
    """GET /api/learn/lessons: the small models and their digits, safetensors."""
    if not LESSONS.is_file():
        raise Refusal(
            "the models of the lesson are not here; run `make lessons`, some minutes, and reload the page", 404
        )
    headers = {"Cache-Control": "no-cache", "Content-Encoding": "identity"}
    body = await in_thread(_file, LESSONS.stat().st_mtime_ns)
    return Response(body, media_type=BINARY, headers=headers)


async def source(request: Request) -> Response:
    """GET /api/learn/source?of=NAME: the file of the project that a shown piece of code stands in."""
    name = request.query_params.get("of", "")
    if name not in SHOWN:
        raise Refusal(f"there is no code named {name[:40]!r} here; choose {', '.join(SHOWN)}", 404)
    return PlainTextResponse(whole(name))


def some_codes(bundle: Bundle, label: str, count: int, seed: int) -> tuple[dict, np.ndarray]:
    """Codes of the data, half of them with a label, mixed: {has: [0 or 1], ids}, float32 (count, d)."""
    names = list(bundle.codes.label_names)
    if label not in names:
        raise Refusal(f"{bundle.name} has no label {label[:40]!r}; it has {', '.join(names[:60])}")
    has = bundle.codes.labels[:, names.index(label)] != 0
    rng = np.random.default_rng(seed)
    sides = [np.flatnonzero(has == side) for side in (True, False)]
    chosen = np.concatenate([rng.permutation(side)[: count // 2] for side in sides])
    chosen = rng.permutation(chosen)
    return {"ids": chosen.tolist(), "has": has[chosen].astype(int).tolist()}, bundle.codes.mu[chosen].astype("<f4")


async def codes(request: Request) -> Response:
    """GET /api/learn/codes?model=&label=&count=&seed=: codes of the data to pick from, a head and float32 (count, d)."""
    bundle, query = the_bundle(request), request.query_params
    count = integer(query, "count", 32, 2, MOST)
    head, mu = await in_thread(some_codes, bundle, query.get("label", ""), count, integer(query, "seed", 1, 0, 2**31))
    return packed(head, mu)


@lru_cache(maxsize=8)
def usual_distance(bundle: Bundle) -> float:
    """Median distance of a code of the data from its nearest other one, over some of them."""
    some = np.random.default_rng(0).permutation(len(bundle.codes))[:ASKED]
    return float(np.median(nearest(bundle.codes.mu, bundle.codes.mu[some].astype(np.float32), 2)[1][:, 1]))


async def near(request: Request) -> Response:
    """POST /api/learn/nearest?model=: a code -> float32 (2 + d): how far the nearest code of the data is, how far such
    neighbours usually are, and that code."""
    bundle = the_bundle(request)
    if len(bundle.codes) < 2:
        raise Refusal(f"{bundle.name} has {len(bundle.codes)} codes; nearest ones take two or more")
    body = await read_body(request, 4 * bundle.latent_size, "code")
    if len(body) != 4 * bundle.latent_size:
        raise Refusal(f"the body has {len(body)} bytes; send one code of {bundle.latent_size} float32")
    z = bundle.check_z(np.frombuffer(body, "<f4"))

    def work() -> bytes:
        ids, far = nearest(bundle.codes.mu, z[None], 1)
        code = bundle.codes.mu[ids[0, 0]].astype("<f4")
        return np.concatenate([[far[0, 0], usual_distance(bundle)], code]).astype("<f4").tobytes()

    return Response(await in_thread(work), media_type=BINARY)


def routes() -> list[Route]:
    """Every route of the page."""
    table = {"lessons": lessons, "source": source, "codes": codes, "nearest": near}
    methods = {"nearest": ["POST"]}
    return [
        Route(f"/api/learn/{name}", answer(handler), methods=methods.get(name, ["GET"]))
        for name, handler in table.items()
    ]
