"""Routes of teaching: a direction learned from two sides, and kept as a slider."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vae.bundles.bundle import Bundle
from vae.space import lessons, taught
from vae.web.atlas.reading import to_mask
from vae.web.core.http import NO_STORE, Refusal, b64, in_thread, json_body, the_bundle


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
