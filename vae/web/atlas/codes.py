"""Routes between places and codes: what lies where, one dot, its neighbours, a selection."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vae.bundles.bundle import Bundle
from vae.space import selections, views
from vae.space.labels import plain
from vae.space.latent import kl
from vae.space.neighbours import nearest
from vae.web.atlas.reading import the_view, to_codes, to_mask, to_places
from vae.web.core.http import BINARY, NO_STORE, b64, in_thread, integer, json_body, read_body, the_bundle

MAX_PLACES = 64
SHEET = 24


async def near(request: Request) -> Response:
    """POST /api/atlas/near?view=: places -> codes, each a blend of the nearest; for views without an inverse."""
    bundle = the_bundle(request)
    places = to_places(await read_body(request, 8 * MAX_PLACES, "list of places"), MAX_PLACES)
    found = the_view(request, bundle)
    if isinstance(found, views.Linear):
        places_z = found.lift(places, bundle.stats.mean)
    else:
        places_z = found.lift(places)
    return Response(bundle.check_z(places_z).astype("<f4").tobytes(), media_type=BINARY, headers=NO_STORE)


def describe_code(bundle: Bundle, found: views.Linear | views.Placed, index: int) -> dict[str, Any]:
    """One code of the data: numbers, labels, sigma ellipse, nearest neighbours."""
    codes = bundle.codes
    mu, logvar = codes.mu[index], codes.logvar[index]
    ids, distance = nearest(codes.mu, mu, 13)
    others = [(int(i), float(far)) for i, far in zip(ids[0], distance[0]) if i != index][:12]
    covariance, exact = views.ellipse(found, mu, logvar)
    labels = [plain(name) for name, value in zip(codes.label_names, codes.labels[index]) if value]
    return {
        "index": index,
        "mu": b64(mu),
        "logvar": b64(logvar),
        "labels": labels,
        "kl": float(kl(mu[None], logvar[None])[0]),
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
