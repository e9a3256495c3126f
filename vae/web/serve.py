"""What the ASGI application is made of, and the command that serves it.

`latent-space-explorer` and `python app.py` serve it on 127.0.0.1:8501 (environment: PORT, HOST); `streamlit run
app.py` and `uvicorn app:app` work too. All but `streamlit run` open their own socket, so the live stream goes out
without Nagle's delay.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from vae.paths import INSTALLED, PACKAGES, SITE
from vae.web.core.runtime import fetch
from vae.web.core.security import middleware
from vae.web.core.services import lifespan
from vae.web.routes import routes

try:  # glibc gives each thread a heap of its own, and keeps what they freed: two heaps are 65 MB less after a blend
    ctypes.CDLL("libc.so.6").mallopt(-8, 2)  # M_ARENA_MAX
except (OSError, AttributeError):  # another C library
    pass

SHELL = Path(__file__).parent / "core" / "shell.py"


def parts() -> dict[str, Any]:
    """What st.App takes beside the script: HTTP routes, middleware, and what begins and ends with the app."""
    return {"routes": routes(), "middleware": middleware(), "lifespan": lifespan}


def main(app: Any = None) -> None:
    """Serve until interrupted."""
    import streamlit as st
    import uvicorn

    if INSTALLED and not PACKAGES.is_dir():
        fetch(PACKAGES.parent)
    os.chdir(SITE)  # .streamlit/config.toml is found there
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8501"))
    print(f"Latent-space explorer: http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}", flush=True)
    uvicorn.run(
        app or st.App(SHELL, **parts()),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
        ws_max_size=32 * 2**20,
    )
