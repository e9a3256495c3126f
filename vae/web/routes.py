"""Every HTTP route beside Streamlit's own."""

from __future__ import annotations

import os
import sys

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from vae import __version__
from vae.web.atlas import api as atlas
from vae.web.blend import api as blend
from vae.web.core import services
from vae.web.core.files import KATEX_FOLDER, ORT_FOLDER, WEB, OwnFiles, PinnedFiles
from vae.web.core.http import NO_STORE, Refusal, answer, in_thread
from vae.web.lab import api as lab
from vae.web.learn import api as learn
from vae.web.live import api as live


async def models(_: Request) -> Response:
    """GET /api/models: every bundle, the broken ones with the reason."""
    return JSONResponse(await in_thread(services.registry.entries), headers=NO_STORE)


async def health(_: Request) -> Response:
    """GET /api/health: what this process holds, for the tests and the benchmark."""
    with open("/proc/self/status") if sys.platform == "linux" else open(os.devnull) as status:
        rss = next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS")), None)
    return JSONResponse(
        {"version": __version__, "torch": "torch" in sys.modules, "rss": rss, "browser_engine": ORT_FOLDER.is_dir()}
    )


async def no_such_route(request: Request) -> Response:
    raise Refusal(f"there is no {request.method} {request.url.path[:80]}", 404)


def routes() -> list[BaseRoute]:
    """Every route beside Streamlit's own."""
    return [
        Route("/api/models", answer(models)),
        Route("/api/health", answer(health)),
        *live.routes(),
        *atlas.routes(),
        *blend.routes(),
        *lab.routes(),
        *learn.routes(),
        Route("/api/{rest:path}", answer(no_such_route), methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
        Mount("/ort", PinnedFiles(directory=ORT_FOLDER, check_dir=False)),
        Mount("/katex", PinnedFiles(directory=KATEX_FOLDER, check_dir=False)),
        Mount("/web", OwnFiles(directory=WEB)),
    ]
