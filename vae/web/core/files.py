"""Files that browsers fetch: our own modules and style sheets, ONNX Runtime Web, and KaTeX."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from vae.paths import PACKAGES

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


class OwnFiles(StaticFiles):
    """The wings' modules and style sheets; what else lies beside them is not given out.

    Our modules import each other without a version in the name, so a browser asks each time whether one has changed.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return super().lookup_path(path) if path.endswith(KINDS) else ("", None)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response
