"""Headers of every answer: cross-origin isolation, and who may embed, script and read what."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vae.web.core.base import BelowBase
from vae.web.core.bodies import Bodies
from vae.web.core.compress import Compressed

# Nothing is fetched from or sent to another host; scripts are Streamlit's and ours.
CONTENT_SECURITY_POLICY = (
    "default-src 'self' blob: data:; script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self' blob: data:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
}


class SecurityHeaders:
    """Cross-origin isolation (WASM threads need it) and the usual headers, on every answer."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self.headers = [(key.encode(), value.encode()) for key, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [(k, v) for k, v in message["headers"] if k.decode().lower() not in HEADERS]
                message["headers"] = [*kept, *self.headers]
            await send(message)

        await self.app(scope, receive, with_headers)


def middleware() -> list[Middleware]:
    """Outermost first."""
    return [Middleware(SecurityHeaders), Middleware(BelowBase), Middleware(Bodies), Middleware(Compressed)]
