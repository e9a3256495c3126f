"""Drive on Explore in a real Chromium: left and right are different roads, the dream is measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_features import VIEW
from tests.browser.waiting import PATIENCE, eventually, frames, settled
from vae.bundles.bundle import Bundle
from vae.bundles.registry import default_registry
from vae.likeness import psnr

DREAM = '[data-testid="dream-canvas"]'
REALITY = '[data-testid="reality-canvas"]'
STRIDE = 5  # frames at each press, where moving pictures are not wanted


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return default_registry().get("roads-64")


@pytest.fixture
def calm(browser: Browser) -> Iterator[Page]:
    """A visitor who wants no moving pictures: the road goes on in strides, so that a test knows where it stands."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    yield page
    context.close()


def opened(page: Page, url: str) -> None:
    """Explore with the roads, on the server engine; the dream stands at the recorded drive's frame 1."""
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(f"{url}/?model=roads-64")
    page.locator(".live[data-drawn][data-ready]").wait_for()
    drive = page.get_by_role("region", name="Drive")
    drive.scroll_into_view_if_needed()
    page.locator(".drive[data-ready]").wait_for()
    page.evaluate(VIEW)


def seat(page: Page) -> None:
    page.get_by_role("application").focus()


def ahead(page: Page, count: int) -> None:
    """Wait until the dream is so many frames ahead of reality."""
    eventually(page, lambda: page.evaluate("window.view.drive.ahead") == count)


def pressed(page: Page, key: str, times: int) -> np.ndarray:
    """The dream after so many strides from here with a key."""
    seat(page)
    before = page.evaluate("window.view.drive.ahead")
    for n in range(times):
        page.keyboard.press(key)
        ahead(page, before + STRIDE * (n + 1))
    return settled(page, DREAM)


def test_left_and_right_are_different_roads_by_keyboard_alone(calm: Page, app_url: str, bundle: Bundle) -> None:
    roads = {}
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight"):
        opened(calm, app_url)
        roads[key] = pressed(calm, key, 5).astype(int)
        wheel = calm.evaluate("window.view.drive.action[0]")
        assert np.sign(wheel) == {"ArrowLeft": -1, "ArrowUp": 0, "ArrowRight": 1}[key]
    for one, other in (("ArrowLeft", "ArrowRight"), ("ArrowLeft", "ArrowUp"), ("ArrowUp", "ArrowRight")):
        assert np.abs(roads[one] - roads[other]).mean() > 4, (one, other)
    calm.keyboard.press("r")  # back to what happened, 25 frames later
    ahead(calm, 0)
    assert calm.locator(REALITY).get_attribute("data-frame") == "26"
    mu, _ = bundle.encode(bundle.drive.frames[26:27])
    assert np.abs(settled(calm, DREAM).astype(int) - bundle.decode(mu)[0]).max() <= 2


def test_the_dream_is_measured_against_what_happened(calm: Page, app_url: str, bundle: Bundle) -> None:
    opened(calm, app_url)
    calm.get_by_role("radio", name="The recording").check(force=True)
    ahead(calm, 0)
    expect(calm.get_by_test_id("drive-notice")).to_contain_text("through the model")
    for n in range(4):
        calm.get_by_test_id("drive-play").press("Enter")
        ahead(calm, STRIDE * (n + 1))
        settled(calm, DREAM)
    drive = bundle.drive
    mu, _ = bundle.encode(drive.frames[:2])
    before, z = mu[:1], mu[1:]
    frozen, dreamt = bundle.decode(z)[0], {}
    for step in range(1, 21):
        before, z = z, bundle.step(z, before, drive.actions[step : step + 1], drive.actions[step - 1 : step])[0]
        dreamt[step] = bundle.decode(z)[0]
    lines = calm.evaluate("({...window.view.drive.lines})")
    for step in (5, 10, 20):
        true = drive.frames[1 + step][None]
        assert lines["dream"][step] == pytest.approx(psnr(dreamt[step][None], true)[0], abs=0.1)
        assert lines["frozen"][step] == pytest.approx(psnr(frozen[None], true)[0], abs=0.1)
    row = calm.get_by_test_id("drive-figures").get_by_role("row", name="the dream")
    assert [float(cell) for cell in row.get_by_role("cell").all_inner_texts()] == pytest.approx(
        [lines["dream"][step] for step in (5, 10, 20)], abs=0.06
    )

    assert "at 20, the dream" in calm.locator(".curve svg").get_attribute("aria-label")


def test_the_road_moves_while_it_is_driven_and_keys_fall_back(page: Page, app_url: str) -> None:
    opened(page, app_url)
    seat(page)
    start = frames(page, DREAM)
    page.keyboard.down("ArrowRight")
    eventually(page, lambda: frames(page, DREAM) > start + 12 and page.evaluate("window.view.drive.action[0]") == 1)
    page.keyboard.up("ArrowRight")
    eventually(page, lambda: abs(page.evaluate("window.view.drive.action[0]")) < 0.2)
    page.keyboard.press("Space")
    settled(page, DREAM)
    stands = page.evaluate("window.view.drive.ahead")
    expect(page.get_by_test_id("drive-play")).to_have_text("Drive")
    # thumbs: a held button steers as a key does
    thumb = page.get_by_role("button", name="Steer left")
    thumb.hover()
    page.mouse.down()
    eventually(page, lambda: page.evaluate("window.view.drive.action[0]") < -0.5)
    page.mouse.up()
    eventually(page, lambda: page.evaluate("window.view.drive.action[0]") > -0.2)
    page.get_by_test_id("drive-play").press("Enter")
    assert page.evaluate("window.view.drive.ahead") > stands
    # the road is a picture of the latent space: it can be taken to the sliders
    page.get_by_role("button", name="To the sliders").click()

    def apart() -> float:
        return float(np.abs(settled(page).astype(int) - settled(page, DREAM)).mean())

    eventually(page, lambda: apart() < 2)  # the dream may be drawing its last frame
