"""Routes of the map's views and colours: what there is, where the dots lie, how they are coloured, what is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vae.bundles.bundle import Bundle
from vae.space import colouring, computing, labels, taught, views
from vae.space.axes import bases
from vae.web.core.http import NO_STORE, Refusal, b64, in_thread, packed, the_bundle

LEVELS = 65535


def quantised(values: np.ndarray) -> tuple[np.ndarray, list[list[float]]]:
    """(M, k) -> uint16 (M, k), and [low, high] of each column."""
    low, high = values.min(0), values.max(0)
    span = np.maximum(high - low, 1e-9)
    return np.rint((values - low) / span * LEVELS).astype("<u2"), [[float(a), float(a + s)] for a, s in zip(low, span)]


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
        "classes": labels.one_of(bundle),
        "labels": [{"index": k, "name": labels.plain(name), "count": int(counts[k])} for k, name in enumerate(names)],
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
