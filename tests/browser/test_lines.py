"""How the app looks from elsewhere: over plain http, behind a proxy that takes no large file, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Response, Route, expect

from tests.browser.test_explore import addressed
from tests.browser.waiting import PATIENCE, settled, sweep
from vae.bundles.registry import default_registry
from vae.evaluation.chromium import FLAGS, find

FILE = {"name": "me.png", "mimeType": "image/png", "buffer": b"\x89PNG" + bytes(2**19)}
NGINX = "<html><head><title>413 Request Entity Too Large</title></head></html>"


@pytest.fixture
def elsewhere(browser: Browser, app_url: str) -> Iterator[Page]:
    """The app by a name of the local network, over plain http, where browsers give a page neither clipboard nor camera."""
    names = "--host-resolver-rules=MAP studio.test 127.0.0.1"
    other = browser.browser_type.launch(executable_path=find(), headless=True, args=[*FLAGS, names])
    page = other.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(app_url.replace("127.0.0.1", "studio.test"))
    page.locator(".live[data-drawn][data-ready]").wait_for()
    yield page
    other.close()


def test_over_plain_http_copying_and_the_camera_say_what_is_missing(elsewhere: Page) -> None:
    page = elsewhere
    assert not page.evaluate("isSecureContext")
    page.get_by_role("button", name="Export").click()
    link = page.get_by_label("Link", exact=True)
    expect(link).to_have_value(re.compile(r"^http://studio\.test:\d+/\?.*z="))
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator(".copy [role=status]")).to_have_text(re.compile("Copied|selected: copy it with Ctrl"))
    assert link.evaluate("e => [e.selectionStart, e.selectionEnd - e.value.length]") == [0, 0]
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Your photo").click()
    page.get_by_text("Camera", exact=True).click()
    expect(page.get_by_text("over https only")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Blend").first.click()
    page.get_by_role("button", name="Camera").first.click()
    expect(page.locator(".blend > .notice")).to_contain_text("over https only")


def broken_off(route: Route) -> None:
    route.abort("connectionreset")


def too_large(route: Route) -> None:
    route.fulfill(status=413, content_type="text/html", body=NGINX)


@pytest.mark.parametrize(
    ("happens", "said"), [(too_large, "client_max_body_size"), (broken_off, "did not arrive whole")]
)
def test_a_file_that_does_not_get_through_is_told_as_such(page: Page, app_url: str, happens, said: str) -> None:
    page.route(re.compile(r"/_stcore/upload_file/|/api/atlas/place"), happens)
    page.goto(app_url)
    page.locator(".live[data-drawn][data-ready]").wait_for()
    page.get_by_role("button", name="Your photo").click()
    page.get_by_test_id("stFileUploader").locator("input").set_input_files(FILE)
    expect(page.locator(".upload-told")).to_contain_text(said)
    page.goto(f"{app_url}/atlas")
    page.locator(".atlas[data-drawn]").wait_for()
    page.get_by_test_id("drop-input").set_input_files(FILE)
    expect(page.get_by_role("status").filter(has_text=said)).to_be_visible()


def test_on_a_phone_the_pages_are_in_sight(page: Page, app_url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(app_url)
    row = page.locator(".st-key-pages")
    for name in ("Explore", "Map", "Blend", "Train"):
        box = row.get_by_role("link", name=name).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] < 80 and box["height"] >= 44
    expect(page.get_by_test_id("stExpandSidebarButton")).not_to_be_visible()
    row.get_by_role("link", name="Map").click()
    page.locator(".atlas[data-drawn]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(row).not_to_be_visible()
    expect(page.get_by_test_id("stTopNavLink").first).to_be_visible()


def test_on_a_slow_line_moving_pictures_come_compressed_and_the_last_one_exact(page: Page, app_url: str) -> None:
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(app_url)
    page.locator(".live[data-drawn][data-ready]").wait_for()
    settled(page)
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": 200_000, "uploadThroughput": 200_000}
    line.send("Network.emulateNetworkConditions", slow)
    frames: list[tuple[bool, int]] = []

    def note(response: Response) -> None:
        if "/api/decode" in response.url:
            frames.append(("format=webp" in response.url, int(response.headers["content-length"])))

    page.on("response", note)
    slider = page.locator("input[type=range][data-axis]").first
    box = slider.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    place = lambda step: (box["x"] + (0.5 + 0.4 * np.sin(step / 6)) * box["width"], middle)  # noqa: E731
    page.mouse.move(*place(0))
    page.mouse.down()
    sweep(page, place, lambda _: sum(packed for packed, _ in frames) >= 3)
    page.mouse.up()
    addressed(page, default_registry().get("faces-128"))  # to two levels, which a compressed picture is not
    assert max(size for packed, size in frames if packed) < 20_000
    # Not the last to arrive: two are on their way at once, and an older one that comes late is not drawn.
    assert 49_152 in [size for packed, size in frames if not packed]
