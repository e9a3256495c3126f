"""The Explore page in a real Chromium: dragging on both engines, links, keyboard, undo, bases, locks, a photo."""

from __future__ import annotations

import base64
import io
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from skimage import data as pictures

from vae.bundles.bundle import Bundle
from vae.bundles.registry import Registry
from vae.space import latent
from vae.web.core import mount as live

ROOT = Path(__file__).resolve().parents[2]
CANVAS = '[data-testid="live-canvas"]'
READ = "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Registry([ROOT / "assets" / "models"]).get("faces-128")


def ready(page: Page, url: str) -> None:
    """Open the page on the server engine, as two engines may round a pixel differently; the first picture is drawn."""
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(url)
    page.locator(".live[data-drawn][data-ready]").wait_for(timeout=60_000)


def settled(page: Page) -> np.ndarray:
    """Pixels (s, s, 3) once the canvas shows what was last asked for, at full size, and nothing new comes."""
    canvas, before, still = page.locator(CANVAS), "", time.monotonic()
    while time.monotonic() - still < 0.4:
        now = canvas.evaluate("c => c.dataset.settled === 'true' ? c.dataset.frame : ''")
        if now != before or not now:
            before, still = now, time.monotonic()
        page.wait_for_timeout(40)
    size = canvas.evaluate("c => c.width")
    return np.array(canvas.evaluate(READ), np.uint8).reshape(size, size, 4)[..., :3]


def code(page: Page, bundle: Bundle) -> np.ndarray:
    """The code in the address bar."""
    return latent.unpack(re.search(r"[?&]z=([\w-]+)", page.url)[1], bundle.stats)


def until(page: Page, holds: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Wait until the canvas has settled on pixels (s, s, 3) of which this holds, and give them."""
    end = time.monotonic() + 60
    while not holds(pixels := settled(page)):
        assert time.monotonic() < end, "the canvas shows another picture"
    return pixels


def shows(page: Page, wanted: np.ndarray, within: int = 0) -> None:
    """Wait until the canvas shows these pixels, to so many levels."""
    until(page, lambda pixels: np.abs(pixels.astype(int) - wanted).max() <= within)


def addressed(page: Page, bundle: Bundle) -> np.ndarray:
    """Pixels (s, s, 3) once the address carries the code on the canvas: it follows a release by way of Python."""

    def carried(pixels: np.ndarray) -> bool:
        return "z=" in page.url and np.abs(pixels.astype(int) - bundle.decode(code(page, bundle))[0]).max() <= 2

    return until(page, carried)


def slider(page: Page, axis: str) -> Any:
    return page.locator(f'input[type=range][data-axis="{axis}"]')


def first_axis(page: Page) -> str:
    return page.locator("input[type=range][data-axis]").first.get_attribute("data-axis")


def readout(row: Any) -> float:
    """The number beside a slider; it has a true minus sign."""
    return float(row.locator("output").inner_text().replace("\u2212", "-").rstrip("\u03c3\u2009 "))


def drag(page: Page, axis: str, seconds: float = 1.5) -> int:
    """Drag a slider to and fro with the mouse, and leave it near +2.4 sigma; frames drawn meanwhile."""
    element = slider(page, axis)
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    before, start = int(page.locator(CANVAS).get_attribute("data-frame")), time.monotonic()
    while (t := time.monotonic() - start) < seconds:
        page.mouse.move(box["x"] + box["width"] * (0.1 + 0.8 * abs((t % 2) - 1)), y)
        page.wait_for_timeout(10)
    page.mouse.move(box["x"] + box["width"] * 0.8, y)
    page.mouse.up()
    return int(page.locator(CANVAS).get_attribute("data-frame")) - before


def choose_engine(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).click(force=True)
    page.locator(f'{CANVAS}[data-engine="{name.lower()}"]').wait_for(timeout=120_000)


@pytest.mark.parametrize("engine", ["Server", "Browser"])
def test_the_picture_follows_the_hand(page: Page, app_url: str, bundle: Bundle, engine: str) -> None:
    ready(page, app_url)
    choose_engine(page, engine)
    before, axis = settled(page), first_axis(page)
    assert drag(page, axis) >= 3
    after = addressed(page, bundle)
    assert page.locator(CANVAS).get_attribute("data-engine") == engine.lower()
    assert float(page.locator(CANVAS).get_attribute("data-ms")) > 0
    assert np.abs(after.astype(int) - before).mean() > 1
    name, _, row = axis.partition(":")
    basis = latent.bases(bundle)[name]
    assert basis.values(code(page, bundle), bundle.stats.mean)[basis.index(row)] == pytest.approx(2.4, abs=0.15)
    assert int(page.get_by_test_id("live-fps").inner_text()) > 0


QUICK = """async ({ model, z }) => {
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const { acquire } = await import(loaded.find((name) => name.includes("/engine.js")));
    const engine = acquire(model); // the page's own: there is one for a model
    for (const state of [{ preview: false }, { preview: true }]) await engine.decode({ z: Float32Array.from(z) }, state);
    const { pixels, preview, engine: drawn } = await engine.decode({ z: Float32Array.from(z) }, { preview: true });
    return { pixels: Array.from(pixels), preview, drawn };
}"""


def test_the_light_decoder_draws_in_the_browser(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    choose_engine(page, "Browser")
    settled(page)
    z = latent.sample(bundle, 7, 0.7)[0]
    found = page.evaluate(QUICK, {"model": live.describe(bundle), "z": z.tolist()})
    assert found["drawn"] == "browser" and found["preview"]
    pixels = np.array(found["pixels"]).reshape(128, 128, 4)[:, :, :3]
    assert np.abs(pixels - bundle.decode(z, quick=True)[0]).max() <= 2
    assert np.abs(pixels - bundle.decode(z)[0]).max() > 8


def test_a_shared_link_gives_the_same_pixels(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    drag(page, first_axis(page), 0.3)
    before, link = addressed(page, bundle), page.url
    other = page.context.browser.new_context().new_page()
    ready(other, link)
    shows(other, before)
    other.reload()
    other.locator(".live[data-drawn][data-ready]").wait_for()
    shows(other, before)
    other.context.close()


def test_a_basis_switch_leaves_the_pixels_alone(page: Page, app_url: str) -> None:
    ready(page, app_url)
    before = settled(page)
    for tab in ("Raw", "Principal"):
        page.get_by_role("tab", name=tab).click()
        first = page.locator("input[type=range][data-axis]").first
        expect(first).to_have_attribute("data-axis", re.compile(tab.lower()))
        assert np.array_equal(settled(page), before)


def test_every_axis_is_a_click_or_a_search_away(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    page.get_by_role("tab", name="Raw").click()
    assert page.locator("input[data-axis^='raw:']").count() < bundle.latent_size
    page.get_by_role("button", name="Show all").click()
    assert page.locator("input[data-axis^='raw:']").count() == bundle.latent_size
    page.get_by_label("Find an axis").fill("z 77")
    assert page.locator("input[data-axis^='raw:']").count() == 1
    assert slider(page, "raw:77").is_visible()


def test_keyboard_undo_and_speech(page: Page, app_url: str) -> None:
    ready(page, app_url)
    page.get_by_role("tab", name="Raw").click()
    axis = first_axis(page)
    start = settled(page)
    slider(page, axis).focus()
    page.keyboard.press("End")
    label = slider(page, axis).get_attribute("aria-label")
    expect(slider(page, axis)).to_have_attribute("aria-valuetext", f"{label}, plus 4.0 sigma")
    moved = until(page, lambda pixels: not np.array_equal(pixels, start))
    page.keyboard.press("Control+z")
    shows(page, start)
    page.keyboard.press("Control+Shift+z")
    shows(page, moved)
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    shows(page, moved)
    slider(page, axis).focus()
    page.keyboard.press("ArrowLeft")
    expect(slider(page, axis)).to_have_attribute("aria-valuetext", f"{label}, plus 3.9 sigma")


def test_undo_survives_a_rerun_and_a_lock_survives_a_draw(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    page.get_by_role("tab", name="Raw").click()
    start, axis = settled(page), first_axis(page)
    drag(page, axis, 0.3)
    row = page.locator(".row", has=slider(page, axis))
    row.get_by_role("button", name="Lock").click()
    assert slider(page, axis).is_disabled()
    held = readout(row)
    page.get_by_role("button", name="Random").click()
    expect(page.get_by_role("status").filter(has_text="locked values are kept")).to_be_visible()
    assert readout(row) == pytest.approx(held, abs=0.02)
    page.wait_for_timeout(500)  # the rerun that the draw caused
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    shows(page, start)


def test_reset_mean_and_compare(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    start, axis = settled(page), first_axis(page)
    drag(page, axis, 0.2)
    moved = addressed(page, bundle)
    box = page.get_by_role("button", name="Compare").bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    shows(page, start)
    page.mouse.up()
    shows(page, moved)
    slider(page, axis).dblclick()
    until(page, lambda back: np.abs(back.astype(int) - start).mean() < 0.2)
    page.get_by_role("button", name="Mean").click()
    shows(page, bundle.decode(bundle.stats.mean.astype(np.float32))[0], within=2)


def test_the_browser_moves_codes_as_the_library_does(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    script = """async () => {
        const { geometry, encodeFloats } = await import("/web/live/codes.js");
        const [model] = (await (await fetch("/api/models")).json()).filter((m) => m.name === "faces-128");
        const space = await geometry(model);
        const raw = space.bases.get("raw"), principal = space.bases.get("principal");
        const z = Float32Array.from(space.mean, (m, i) => m + Math.sin(i) * space.std[i]);
        const locks = [{ basis: raw, row: 2 }, { basis: principal, row: 1 }];
        const free = space.move(z, principal, 0, 1.7), tied = space.move(z, principal, 0, 1.7, locks);
        const spanned = space.move(z, principal, 0, 1.7, [{ basis: principal, row: 0 }]);
        return { z: encodeFloats(z), free: encodeFloats(free), tied: encodeFloats(tied), packed: space.pack(z), spanned };
    }"""
    answer = page.evaluate(script)
    z, free, tied = (np.frombuffer(base64.b64decode(answer[key]), "<f4") for key in ("z", "free", "tied"))
    every, stats = latent.bases(bundle), bundle.stats
    locks = np.stack([every["raw"].W[2], every["principal"].W[1]])
    assert np.allclose(free, latent.move(z, stats.mean, every["principal"], 0, 1.7), atol=1e-4)
    assert np.allclose(tied, latent.move(z, stats.mean, every["principal"], 0, 1.7, locks, stats.cov), atol=1e-3)
    difference = latent.unpack(answer["packed"], stats) - latent.unpack(latent.pack(z, stats), stats)
    assert np.abs(difference).max() < 1e-3 * stats.std.max()
    assert answer["spanned"] is None


def test_a_photo_becomes_a_face_and_is_refined(page: Page, app_url: str) -> None:
    ready(page, app_url)
    before = settled(page)
    buffer = io.BytesIO()
    Image.fromarray(pictures.astronaut()).save(buffer, "PNG")
    page.get_by_role("button", name="Your photo").click()
    file = {"name": "astronaut.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(file)
    page.locator(".photo:not([hidden])").wait_for(timeout=60_000)
    expect(page.locator(".photo-progress")).to_be_hidden(timeout=240_000)
    figures = [float(v) for v in re.findall(r"(\d+\.\d) dB", page.locator(".photo-figures").inner_text())]
    assert len(figures) == 2 and figures[1] > figures[0] + 2
    page.keyboard.press("Escape")
    after = settled(page)
    assert np.abs(after.astype(int) - before).mean() > 5
    page.get_by_role("switch", name="Refined").click(force=True)
    assert not np.array_equal(settled(page), after)
    page.get_by_role("switch", name="Refined").click(force=True)
    assert np.array_equal(settled(page), after)
    assert drag(page, first_axis(page), 0.3) >= 1
    assert not np.array_equal(settled(page), after)


def test_without_the_browser_engine_the_server_draws_and_says_so(page: Page, app_url: str) -> None:
    page.route("**/ort/**", lambda route: route.fulfill(status=404, body=""))
    ready(page, app_url)
    page.get_by_role("radio", name="Browser", exact=True).click(force=True)
    expect(page.get_by_role("status").filter(has_text="so the server draws")).to_be_visible(timeout=30_000)
    assert drag(page, first_axis(page), 0.5) >= 1
    assert page.locator(CANVAS).get_attribute("data-engine") == "server"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_face_and_sliders_together(page: Page, app_url: str, scheme: str) -> None:
    phone = page.context.browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme=scheme
    )
    small = phone.new_page()
    ready(small, app_url)
    last = small.locator("input[type=range][data-axis]").nth(9)
    last.scroll_into_view_if_needed()
    small.wait_for_timeout(300)
    canvas, element = small.locator(CANVAS).bounding_box(), last.bounding_box()
    assert canvas["y"] >= -1 and canvas["y"] + canvas["height"] <= 844
    assert element["y"] + element["height"] <= 844
    assert element["height"] >= 40
    assert small.evaluate("document.documentElement.scrollWidth") <= 390
    phone.close()


def test_the_layout_stands_still_while_dragging(page: Page, app_url: str) -> None:
    ready(page, app_url)
    settled(page)
    places = [CANVAS, ".panel", ".actions", ".meter"]
    before = [page.locator(place).bounding_box() for place in places]
    drag(page, first_axis(page), 0.5)
    settled(page)
    assert [page.locator(place).bounding_box() for place in places] == before
