"""A browser and its pages, on the running app of tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.playing import write_worlds
from tests.browser.waiting import PATIENCE
from vae.evaluation.chromium import FLAGS, find
from vae.evaluation.running import running_app

expect.set_options(timeout=1000 * PATIENCE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for the session."""
    path = find()
    assert path, "no Chromium; run python -m vae.evaluation.chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh context: no cookies, no storage, 1440 x 900."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    yield page
    context.close()


@pytest.fixture(scope="session")
def worlds_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of one running app with a tiny world of each kind beside the models that ship."""
    home = tmp_path_factory.mktemp("home")
    write_worlds(home / "models")
    with running_app(home) as url:
        yield url
