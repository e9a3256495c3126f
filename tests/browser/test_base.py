"""The app below a path: behind a proxy that strips it, and with Streamlit's own server.baseUrlPath."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import ROOT

BASE = "/some/where"


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@contextmanager
def proxy(port: int) -> Iterator[str]:
    """A reverse proxy that takes BASE off each path, and answers 404 beside it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return writer.close()
        method, path, rest = head.split(b" ", 2)
        if not path.startswith(BASE.encode() + b"/"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return writer.close()
        if b"upgrade: websocket" not in rest.lower():  # one request a connection, as only its first head is read
            rest = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", rest).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        upstream, to_app = await asyncio.open_connection("127.0.0.1", port)
        to_app.write(b" ".join([method, path[len(BASE) :], rest]))
        await asyncio.gather(pipe(reader, to_app), pipe(upstream, writer))

    async def end() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(serve, "127.0.0.1", 0), loop).result(10)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def based(home: Path) -> Iterator[str]:
    """The app by `streamlit run` with server.baseUrlPath."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--server.baseUrlPath={BASE.strip('/')}", f"--server.port={port}", "--server.address=127.0.0.1"]
    env = {**os.environ, "VAE_HOME": str(home)}
    with (home / "based.log").open("wb") as out:
        command = [sys.executable, "-m", "streamlit", "run", "app.py", *options]
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{url}{BASE}/api/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, (home / "based.log").read_text()
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(params=["proxy", "baseUrlPath"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "proxy":
        app_url = request.getfixturevalue("app_url")
        with proxy(urlsplit(app_url).port) as url:
            yield url
    else:
        with based(tmp_path) as url:
            yield url


def test_the_live_pages_work_below_a_path(page: Page, site: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site}{BASE}/")
    canvas = page.get_by_test_id("live-canvas")
    page.locator(".live[data-ready][data-drawn]").wait_for(timeout=180_000)
    page.get_by_role("radio", name="Browser", exact=True).click(force=True)
    expect(canvas).to_have_attribute("data-engine", "browser", timeout=180_000)
    page.get_by_role("link", name="Map").click()
    page.locator(".atlas[data-drawn]").wait_for(timeout=180_000)
    assert page.url.split("?")[0] == f"{site}{BASE}/atlas"
    page.goto(f"{site}{BASE}/blend")
    page.locator(".blend[data-ready]").wait_for(timeout=180_000)
    page.goto(f"{site}{BASE}/learn?step=holes")
    page.locator(".learn[data-ready=holes] .katex").first.wait_for(timeout=180_000)
    outside = [url for url in asked if url.startswith("http") and not urlsplit(url).path.startswith(f"{BASE}/")]
    assert not outside
    assert any(f"{BASE}/ort/" in url for url in asked) and any(f"{BASE}/api/atlas/points" in url for url in asked)
