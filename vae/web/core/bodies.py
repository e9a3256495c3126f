"""Requests whose body does not arrive: dropped after a while, and few at a time from one address.

An upload that stops half-way would otherwise hold what has come of it, and a connection, for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

IDLE_SECONDS = 20.0  # without a byte
GRACE_SECONDS, LEAST_RATE = 60.0, 1024  # after so long, at least so many bytes a second on the whole
MOST_OPEN = 48  # bodies on their way from one address; behind a proxy that is the visitor's, as the proxy tells it

log = logging.getLogger(__name__)


class Bodies:
    """Watches over the bodies of all requests; see the module."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self.open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return await self.app(scope, receive, send)
        address = str((scope.get("client") or ("",))[0])
        if self.open[address] >= MOST_OPEN:
            sentence = f"{MOST_OPEN} uploads from this address are under way; wait for them to end"
            refusal = JSONResponse({"error": sentence}, 429, {"Connection": "close", "Retry-After": "20"})
            return await refusal(scope, receive, send)
        self.open[address] += 1
        arriving, answered, stalled, began, size = True, False, False, time.monotonic(), 0

        def arrived() -> None:
            nonlocal arriving
            if arriving:
                arriving = False
                self.open[address] -= 1
                if not self.open[address]:
                    del self.open[address]

        async def watched() -> Message:
            nonlocal size, stalled
            if stalled:
                return {"type": "http.disconnect"}
            if not arriving:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), IDLE_SECONDS)
            except asyncio.TimeoutError:
                message = {"type": "http.disconnect"}
                stalled = True
            size += len(message.get("body", b""))
            spent = time.monotonic() - began
            stalled = stalled or (spent > GRACE_SECONDS and size < LEAST_RATE * spent)
            if stalled:
                return {"type": "http.disconnect"}  # to the application it is as if the visitor had left
            if message["type"] != "http.request" or not message.get("more_body", False):
                arrived()
            return message

        async def noted(message: Message) -> None:
            nonlocal answered
            if not stalled:
                answered = True
                await send(message)

        try:
            await self.app(scope, watched, noted)
        except Exception:
            if not stalled:
                raise
        finally:
            arrived()
        if stalled:
            log.info("%s %s: no more came after %s bytes; dropped", scope["method"], scope["path"], size)
        if stalled and not answered:
            sentence = f"the request stopped after {size:,} bytes; send it again"
            await JSONResponse({"error": sentence}, 408, {"Connection": "close"})(scope, receive, send)
