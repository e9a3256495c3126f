"""Bodies that do not arrive, and files that go out packed, over real sockets on an app of the tests' own."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vae.web.core import bodies
from vae.web.core.http import answer, read_body
from vae.web.core.security import middleware

PATIENCE = 60  # seconds after which a wait is hopeless
TEXT = b"a line of a module\n" * 200
LIMIT = 1000


async def upload(request: Request) -> Response:
    """A route of ours."""
    return JSONResponse(len(await read_body(request, LIMIT, "file")))


async def theirs(request: Request) -> Response:
    """A route that knows nothing of refusals, as Streamlit's."""
    return JSONResponse(len(await request.body()))


async def module(_: Request) -> Response:
    return Response(TEXT, media_type="text/javascript", headers={"ETag": '"1"'})


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 1.0)
    monkeypatch.setattr(bodies, "MOST_OPEN", 3)
    routes = [
        Route("/upload", answer(upload), methods=["POST"]),
        Route("/theirs", theirs, methods=["POST"]),
        Route("/a.js", module),
    ]
    config = uvicorn.Config(Starlette(routes=routes, middleware=middleware()), port=0, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def begun(site: str, path: str = "/upload", length: int = 500) -> socket.socket:
    """A request of which the head and two bytes have been sent."""
    address = urlsplit(site)
    line = socket.create_connection((address.hostname, address.port), PATIENCE)
    line.sendall(f"POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\nab".encode())
    return line


def everything(line: socket.socket) -> tuple[int, dict[str, object]]:
    """Status and JSON of the answer, read until the server closes."""
    data = b""
    while part := line.recv(65536):
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize("path", ["/upload", "/theirs"])
def test_a_body_that_stops_coming_is_dropped_with_a_sentence(site: str, path: str) -> None:
    with closing(begun(site, path)) as line:
        status, told = everything(line)
    assert status == 408 and told == {"error": "the request stopped after 2 bytes; send it again"}


def test_one_address_has_a_few_bodies_on_their_way_and_gets_more_when_they_end(
    site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "IDLE_SECONDS", PATIENCE)
    lines = [begun(site) for _ in range(3)]
    deadline = time.monotonic() + PATIENCE
    while (refused := requests.post(f"{site}/upload", b"x", timeout=PATIENCE)).status_code != 429:
        assert time.monotonic() < deadline  # the three have not all been seen yet
    assert refused.json() == {"error": "3 uploads from this address are under way; wait for them to end"}
    assert requests.get(f"{site}/a.js", timeout=PATIENCE).status_code == 200  # pages go on
    for line in lines:
        line.close()
    while requests.post(f"{site}/upload", b"x", timeout=PATIENCE).status_code != 200:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("size", [LIMIT + 1, 2**23])
def test_a_body_that_is_too_long_hears_so(site: str, size: int) -> None:
    """Also one that is still being sent when the refusal is clear."""
    for body in (bytes(size), iter([bytes(size)])):  # with its length, and in chunks
        found = requests.post(f"{site}/upload", data=body, timeout=PATIENCE)
        assert found.status_code == 413 and found.json()["error"].startswith("the file is larger than 1,000 bytes")


def test_modules_go_out_packed_to_whoever_takes_it(site: str) -> None:
    for _ in range(2):
        raw = requests.get(f"{site}/a.js", headers={"Accept-Encoding": "gzip"}, stream=True, timeout=PATIENCE)
        data = raw.raw.read(decode_content=False)
        assert raw.headers["Content-Encoding"] == "gzip" and len(data) < len(TEXT) / 5 and gzip.decompress(data) == TEXT
        assert raw.headers["Vary"] == "Accept-Encoding" and int(raw.headers["Content-Length"]) == len(data)
    plain = requests.get(f"{site}/a.js", headers={"Accept-Encoding": "identity"}, timeout=PATIENCE)
    assert plain.content == TEXT and "Content-Encoding" not in plain.headers
