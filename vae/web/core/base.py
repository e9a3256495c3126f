"""Our routes below `server.baseUrlPath`: Streamlit puts its own there, and the pages look for ours beside them."""

from __future__ import annotations

import streamlit as st
from starlette.types import ASGIApp, Receive, Scope, Send

OURS = ("/api/", "/web/", "/ort/", "/katex/")


class BelowBase:
    """Answer BASE/api/... as /api/..., and so on; asked at each request, as the setting is read after the app is made."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        base = (st.get_option("server.baseUrlPath") or "").strip("/")
        if base and scope["type"] == "http" and scope["path"].startswith(tuple(f"/{base}{ours}" for ours in OURS)):
            scope = {**scope, "path": scope["path"][1 + len(base) :]}
        await self.app(scope, receive, send)
