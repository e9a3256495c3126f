"""HTTP routes of the map, one table. Nothing that a page sends is kept, except a direction that it asks to save."""

from __future__ import annotations

from starlette.routing import Route

from vae.web.atlas.codes import code, locate, near, neighbours, select
from vae.web.atlas.dropped import place
from vae.web.atlas.lessons import save, teach
from vae.web.atlas.paths import film, path
from vae.web.atlas.pictures import background, decoded, thumbs
from vae.web.atlas.views import colours, compute, options, points
from vae.web.core.http import answer


def routes() -> list[Route]:
    """Every route of the map."""
    table = {
        "options": (options, "GET"),
        "points": (points, "GET"),
        "colours": (colours, "GET"),
        "compute": (compute, "GET", "POST", "DELETE"),
        "thumbs": (thumbs, "POST"),
        "decoded": (decoded, "POST"),
        "background": (background, "POST"),
        "code": (code, "GET"),
        "near": (near, "POST"),
        "neighbours": (neighbours, "POST"),
        "locate": (locate, "POST"),
        "select": (select, "POST"),
        "teach": (teach, "POST"),
        "directions": (save, "POST"),
        "path": (path, "POST"),
        "film": (film, "POST"),
        "place": (place, "POST"),
    }
    return [
        Route(f"/api/atlas/{name}", answer(handler), methods=methods) for name, (handler, *methods) in table.items()
    ]
