"""The latent-space explorer as an ASGI application: pages, HTTP routes and security headers.

`python app.py` serves it on 127.0.0.1:8501 (environment: PORT, HOST); `streamlit run app.py` and
`uvicorn app:app` work too. The first and the last open their own socket, so the live stream goes
out without Nagle's delay.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import streamlit as st

from vae.web.core.security import middleware
from vae.web.core.services import lifespan
from vae.web.routes import routes

ROOT = Path(__file__).resolve().parent

try:  # glibc gives each thread a heap of its own, and keeps what they freed: two heaps are 65 MB less after a blend
    ctypes.CDLL("libc.so.6").mallopt(-8, 2)  # M_ARENA_MAX
except (OSError, AttributeError):  # another C library
    pass

app = st.App(ROOT / "vae" / "web" / "core" / "shell.py", routes=routes(), middleware=middleware(), lifespan=lifespan)


def main() -> None:
    """Serve until interrupted."""
    import uvicorn

    os.chdir(ROOT)  # .streamlit/config.toml is found beside this file
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8501"))
    print(f"Latent-space explorer: http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}", flush=True)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
        ws_max_size=32 * 2**20,
    )


if __name__ == "__main__":
    main()
