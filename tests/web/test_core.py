"""What every route rests on: the cache, and errors that nobody expected."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.requests import Request

from vae.web.core import cache
from vae.web.core.http import answer, read_body


def run(function: Any, *arguments: Any) -> Any:
    """A coroutine's answer, from a thread of its own: a browser test may have left a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, function, *arguments).result()


def test_files_are_made_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAE_HOME", str(tmp_path))
    made = []
    for _ in range(2):
        paths = cache.keep(["kept-a", "kept-b"], lambda: made.append(1) or [b"a", b"b"])
    assert [path.read_bytes() for path in paths] == [b"a", b"b"] and made == [1]
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"kept-a", "kept-b"}


def test_a_home_that_cannot_be_written_costs_the_cache_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").write_text("a file where a folder belongs")
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "home"))
    made = []
    for _ in range(2):
        (path,) = cache.keep(["kept-elsewhere"], lambda: made.append(1) or [b"a"])
        assert path.read_bytes() == b"a" and not path.is_relative_to(tmp_path)
    assert made == [1]


def test_an_unexpected_error_is_json_with_a_name_that_the_log_has(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(_: Request) -> None:
        raise ZeroDivisionError("inside")

    request = Request({"type": "http", "method": "GET", "path": "/api/x", "headers": [], "query_string": b""})
    with caplog.at_level(logging.ERROR):
        response = run(answer(fails), request)
    told = json.loads(response.body)
    assert response.status_code == 500 and told["id"] in told["error"] and "inside" not in told["error"]
    assert told["id"] in caplog.text and "ZeroDivisionError" in caplog.text


def test_an_upload_that_is_cut_off_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def cut_off() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def reads(request: Request) -> None:
        await read_body(request, 100, "body")

    scope = {"type": "http", "method": "POST", "path": "/api/x", "headers": [], "query_string": b""}
    with caplog.at_level(logging.INFO):
        response = run(answer(reads), Request(scope, cut_off))
    assert response.status_code == 400 and len(caplog.records) == 1 and caplog.records[0].exc_info is None
