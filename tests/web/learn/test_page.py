"""The page itself: it runs, and mounts the lesson."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

from vae.web.learn import live

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_runs() -> None:
    page = AppTest.from_file(str(ROOT / "pages" / "learn.py"), default_timeout=120).run()
    assert not page.exception


def test_the_page_runs_without_the_faces(monkeypatch) -> None:
    sent = {}
    monkeypatch.setattr(live, "DEFAULT_MODEL", "not-here")
    monkeypatch.setattr(live, "component", lambda *_: lambda **given: sent.update(given["data"]))
    live.mount()
    assert sent["faces"] is None and len(sent["steps"]) == 9
