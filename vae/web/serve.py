"""What the ASGI application is made of, and the command that serves it.

`latent-space-explorer` and `python app.py` serve it on 127.0.0.1:8501 (environment: PORT, HOST); `streamlit run
app.py` and `uvicorn app:app` work too. All but `streamlit run` open their own socket, so the live stream goes out
without Nagle's delay.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Mapping
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


def address(environment: Mapping[str, str]) -> tuple[str, int]:
    """HOST and PORT of the environment. Ends the program with a sentence where they make no sense."""
    host, text = environment.get("HOST", "").strip() or "127.0.0.1", environment.get("PORT", "").strip() or "8501"
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        sys.exit(f"PORT is {text[:40]!r}; use a whole number from 1 to 65535, such as PORT=8501.")
    try:
        socket.getaddrinfo(host, int(text), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        sys.exit(f"HOST is {host[:80]!r}, which this machine does not know; use 127.0.0.1, 0.0.0.0 or ::.")
    return host, int(text)


def shown(host: str, port: int) -> str:
    """An address that a browser on this machine takes."""
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{here}:{port}"


def main(app: Any = None) -> None:
    """Serve until interrupted."""
    import streamlit as st
    import uvicorn

    if INSTALLED and not PACKAGES.is_dir():
        fetch(PACKAGES.parent)
    os.chdir(SITE)  # .streamlit/config.toml is found there
    host, port = address(os.environ)
    print(f"Latent-space explorer: {shown(host, port)}", flush=True)
    uvicorn.run(
        app or st.App(SHELL, **parts()),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
        ws_max_size=32 * 2**20,
    )
