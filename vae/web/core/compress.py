"""Modules, style sheets and WebAssembly go out compressed, each packed once and kept in memory."""

from __future__ import annotations

import gzip
from collections import OrderedDict

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENDINGS = (".js", ".mjs", ".css", ".wasm", ".svg", ".html", ".json")
LEAST, MOST = 1024, 32 * 2**20  # bytes
KEPT = 24 * 2**20  # of packed files


class Compressed:
    """Answers to GET of a file, packed by gzip where the browser takes it.

    What is packed already, streamed or partial goes out as it is.
    """

    def __init__(self, app: ASGIApp):
        self.app = app
        self.packed: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].endswith((*ENDINGS, "/")):
            return await self.app(scope, receive, send)
        if "gzip" not in Headers(scope=scope).get("accept-encoding", ""):
            return await self.app(scope, receive, send)
        start: Message | None = None
        parts: list[bytes] = []

        async def hold(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                length = headers.get("content-length", "")
                fits = length.isdigit() and LEAST <= int(length) <= MOST
                if message["status"] != 200 or not fits or "content-encoding" in headers:
                    return await send(message)
                start = message
            elif start is None or message["type"] != "http.response.body":
                await send(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    body = await self._pack(scope, start, b"".join(parts))
                    await send(start)
                    await send({"type": "http.response.body", "body": body})

        # The path of a file tempts servers to send it past us.
        extensions = {k: v for k, v in scope.get("extensions", {}).items() if k != "http.response.pathsend"}
        await self.app({**scope, "extensions": extensions}, receive, hold)

    async def _pack(self, scope: Scope, start: Message, body: bytes) -> bytes:
        """The packed body; the head is changed to tell of it."""
        headers = MutableHeaders(raw=start["headers"])
        key = scope["path"], headers.get("etag", "") or headers.get("last-modified", "")
        packed = self.packed.get(key) if key[1] else None
        if packed is None:
            packed = await anyio.to_thread.run_sync(lambda: gzip.compress(body, 6, mtime=0))
            if key[1]:
                self.packed[key] = packed
                while sum(map(len, self.packed.values())) > KEPT:
                    self.packed.popitem(last=False)
        headers["content-encoding"] = "gzip"
        headers["content-length"] = str(len(packed))
        headers.add_vary_header("Accept-Encoding")
        start["headers"] = headers.raw
        return packed
