"""Files that browsers fetch: our own modules and style sheets, ONNX Runtime Web, and KaTeX."""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from vae.paths import PACKAGES
from vae.web.core.http import IMMUTABLE

WEB = Path(__file__).resolve().parents[1]
ORT_FOLDER = PACKAGES / "onnxruntime-web" / "dist"
KATEX_FOLDER = PACKAGES / "katex" / "dist"
KINDS = (".js", ".css")


class PinnedFiles(StaticFiles):
    """The pinned files of ONNX Runtime Web and KaTeX; they change only with a new install, so a browser may keep them."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response


@lru_cache(maxsize=1)
def version() -> str:
    """Changes whenever a static file does, so that no browser mixes old and new modules."""
    digest = hashlib.sha256()
    for path in sorted(path for path in WEB.rglob("*") if path.suffix in KINDS):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


IMPORTED = re.compile(r"""^(?:import|export)\b[^;"'(]*["'](\.{1,2}/[\w./-]+\.js)["']""", re.M)


@lru_cache(maxsize=32)
def modules(name: str) -> tuple[str, ...]:
    """All that a module, such as "lab/lab", imports at once, below WEB and with suffixes: itself first."""
    found = [f"{name}.js"]
    for at in found:  # grows while it is read
        for path in IMPORTED.findall((WEB / at).read_text("utf-8")):
            below = (WEB / at).parent.joinpath(path).resolve().relative_to(WEB).as_posix()
            if below not in found:
                found.append(below)
    return tuple(found)


class OwnFiles(StaticFiles):
    """The wings' modules and style sheets; what else lies beside them is not given out.

    Below @VERSION/ they may be kept for ever: modules import each other by relative paths, and so stay below it. By
    their plain names a browser asks each time whether one has changed.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        version_, _, rest = path.partition(os.sep)
        response = await super().get_response(rest if version_.startswith("@") else path, scope)
        if version_ == f"@{version()}":
            response.headers["Cache-Control"] = IMMUTABLE
        return response

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return super().lookup_path(path) if path.endswith(KINDS) else ("", None)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response
