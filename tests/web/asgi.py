"""The app's routes asked in this process, so that a test can watch what the process does and holds."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
import requests


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> dict:
        return json.loads(self.content)


def ask(method: str, path: str, **body: object) -> Answer:
    """One request; body: as requests takes it."""
    from starlette.applications import Starlette

    from vae.web.routes import routes

    request = requests.Request(method, f"http://test{path}", **body).prepare()
    address = urlsplit(request.url)
    scope = {
        "type": "http", "method": method, "path": address.path, "raw_path": address.path.encode(), "query_string": address.query.encode(),
        "headers": [(key.lower().encode(), str(value).encode()) for key, value in request.headers.items()],
        "http_version": "1.1", "scheme": "http", "server": ("test", 80), "client": ("test", 1), "root_path": "",
    }  # fmt: skip
    body = request.body or b""
    parts = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]
    sent: list[dict] = []

    async def receive() -> dict:
        if not parts:
            await anyio.sleep_forever()  # the caller stays
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: dict) -> None:
        sent.append(message)

    async def call() -> None:
        await Starlette(routes=routes())(scope, receive, send)

    # In a thread of its own: where browser tests ran before, this one has Playwright's event loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(anyio.run, call).result()
    headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))
