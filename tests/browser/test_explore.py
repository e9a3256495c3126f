"""The Explore page in a real Chromium: dragging on both engines, links, keyboard, undo, bases, locks, a photo."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from skimage import data as pictures

from tests.browser.waiting import CANVAS, PATIENCE, eventually, settled, shows, sweep, until
from vae.bundles.bundle import Bundle
from vae.bundles.registry import Registry
from vae.space import packing, settling
from vae.space.axes import bases, move
from vae.web.core import mount as live

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Registry([ROOT / "assets" / "models"]).get("faces-128")


def ready(page: Page, url: str) -> None:
    """Open the page on the server engine, as two engines may round a pixel differently; the first picture is drawn."""
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(url)
    page.locator(".live[data-drawn][data-ready]").wait_for()


def code(page: Page, bundle: Bundle) -> np.ndarray:
    """The code in the address bar."""
    return packing.unpack(re.search(r"[?&]z=([\w-]+)", page.url)[1], bundle.stats)


def addressed(page: Page, bundle: Bundle) -> np.ndarray:
    """Pixels (s, s, 3) once the address carries the code on the canvas: it follows a release by way of Python."""

    def carried(pixels: np.ndarray) -> bool:
        return "z=" in page.url and np.abs(pixels.astype(int) - bundle.decode(code(page, bundle))[0]).max() <= 2

    return until(page, carried)


def slider(page: Page, axis: str) -> Any:
    return page.locator(f'input[type=range][data-axis="{axis}"]')


def first_axis(page: Page) -> str:
    """The first slider of the code; a refined photo has one of its own above."""
    sliders = page.locator("input[type=range][data-axis]:not([data-axis^='photo:'])")
    return sliders.first.get_attribute("data-axis")


def readout(row: Any) -> float:
    """The number beside a slider; it has a true minus sign."""
    return float(row.locator("output").inner_text().replace("\u2212", "-").rstrip("\u03c3\u2009 "))


def drag(page: Page, axis: str, enough: Callable[[int], bool] = lambda drawn: drawn >= 1) -> None:
    """Drag a slider to and fro with the mouse until enough pictures were drawn, and leave it near +2.4 sigma."""
    element = slider(page, axis)
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    sweep(page, lambda step: (box["x"] + box["width"] * (0.1 + 0.8 * abs((step / 50 % 2) - 1)), y), enough)
    page.mouse.move(box["x"] + box["width"] * 0.8, y)
    page.mouse.up()


def choose_engine(page: Page, name: str) -> None:
    page.get_by_role("radio", name=name, exact=True).click(force=True)
    page.locator(f'{CANVAS}[data-engine="{name.lower()}"]').wait_for()


@pytest.mark.parametrize("engine", ["Server", "Browser"])
def test_the_picture_follows_the_hand(page: Page, app_url: str, bundle: Bundle, engine: str) -> None:
    ready(page, app_url)
    choose_engine(page, engine)
    before, axis = settled(page), first_axis(page)
    fps = page.get_by_test_id("live-fps")
    drag(page, axis, lambda drawn: drawn >= 3 and fps.inner_text().isdigit())
    after = addressed(page, bundle)
    assert page.locator(CANVAS).get_attribute("data-engine") == engine.lower()
    assert float(page.locator(CANVAS).get_attribute("data-ms")) > 0
    assert np.abs(after.astype(int) - before).mean() > 1
    name, _, row = axis.partition(":")
    basis = bases(bundle)[name]
    assert basis.values(code(page, bundle), bundle.stats.mean)[basis.index(row)] == pytest.approx(2.4, abs=0.15)
    assert int(fps.inner_text()) > 0


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
    z = settling.draw(bundle, 7, 0.7)[0]
    found = page.evaluate(QUICK, {"model": live.describe(bundle), "z": z.tolist()})
    assert found["drawn"] == "browser" and found["preview"]
    pixels = np.array(found["pixels"]).reshape(128, 128, 4)[:, :, :3]
    assert np.abs(pixels - bundle.decode(z, quick=True)[0]).max() <= 2
    assert np.abs(pixels - bundle.decode(z)[0]).max() > 8


# A surface on a decoder that answers at the test's word: answer(i, error) ends the i-th question, which is in `asked`.
HELD = """async (model) => {
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const { acquire } = await import(loaded.find((name) => name.includes("/engine.js")));
    const engine = acquire({ ...model, digest: "held" }); // not the page's own
    const canvas = document.createElement("canvas");
    const surface = engine.surface(canvas);
    const [first, last] = [1, 2].map((value) => ({ z: new Float32Array(model.latent_size).fill(value) }));
    const asked = [], ends = [];
    engine.decode = (state, { preview }) => new Promise((resolve, reject) => {
        asked.push([state.z[0], preview]);
        const pixels = new Uint8ClampedArray(4 * model.image_size ** 2).fill(state.z[0]);
        const image = { pixels, size: model.image_size, ms: 1, engine: "server", preview };
        ends.push((error) => (error ? reject(new Error(error)) : resolve(image)));
    });
    const until = async (holds) => {
        for (let i = 0; i < 6000 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
        if (!holds()) throw new Error(`hopeless: ${holds}, asked for ${JSON.stringify(asked)}`);
    };
    window.held = { surface, canvas, first, last, asked, until, answer: (i, error) => ends[i](error) };
}"""


def test_an_older_preview_does_not_take_back_a_release_on_its_way(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    page.evaluate(HELD, live.describe(bundle))
    script = """async () => {
        const { surface, canvas, first, last, asked, until, answer } = window.held;
        surface.show(first, { preview: true }); // the hand moves
        surface.show(last); // and lets go
        await until(() => asked.length === 2);
        answer(0);
        await until(() => surface.frames === 1);
        const early = canvas.dataset.settled;
        await new Promise((resolve) => setTimeout(resolve, 500)); // the answer to the release takes longer than a rest
        answer(asked.length - 1);
        await until(() => canvas.dataset.settled === "true");
        return { asked, early, shown: canvas.getContext("2d").getImageData(0, 0, 1, 1).data[0] };
    }"""
    found = page.evaluate(script)
    assert found == {"asked": [[1, True], [2, False]], "early": "false", "shown": 2}


def test_after_a_failure_the_last_state_is_asked_for_again(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    page.evaluate(HELD, live.describe(bundle))
    script = """async () => {
        const { surface, canvas, first, last, asked, until, answer } = window.held;
        surface.show(first, { preview: true });
        surface.show(last);
        await until(() => asked.length === 2);
        answer(0, "gone");
        answer(1, "gone");
        await until(() => asked.length === 3);
        answer(2);
        await until(() => canvas.dataset.settled === "true");
        return { asked, shown: canvas.getContext("2d").getImageData(0, 0, 1, 1).data[0] };
    }"""
    assert page.evaluate(script) == {"asked": [[1, True], [2, False], [2, False]], "shown": 2}


def test_a_shared_link_gives_the_same_pixels(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    drag(page, first_axis(page))
    before, link = addressed(page, bundle), page.url
    other = page.context.browser.new_context().new_page()
    other.set_default_timeout(1000 * PATIENCE)
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


# What Python tells the component from now on, and whether that is the code on the page: a rerun has then taken it over.
LISTEN = """() => {
    const within = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? within(e.shadowRoot) : [])]);
    const nodes = within(document);
    const { view } = [...nodes, ...nodes.map((e) => e.shadowRoot)].find((node) => node?.live).live;
    const update = view.update.bind(view);
    view.update = (args) => update(window.told = args);
    window.explore = view;
}"""
ANSWERED = """() => {
    if (!window.told) return false;
    const z = new Float32Array(Uint8Array.from(atob(window.told.data.code), (c) => c.charCodeAt(0)).buffer);
    return z.every((value, i) => Math.abs(value - window.explore.z[i]) < 1e-4);
}"""


def test_undo_survives_a_rerun_and_a_lock_survives_a_draw(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    page.get_by_role("tab", name="Raw").click()
    start, axis = settled(page), first_axis(page)
    drag(page, axis)
    row = page.locator(".row", has=slider(page, axis))
    row.get_by_role("button", name="Lock").click()
    assert slider(page, axis).is_disabled()
    held = readout(row)
    page.evaluate(LISTEN)
    page.get_by_role("button", name="Random").click()
    expect(page.get_by_role("status").filter(has_text="locked values are kept")).to_be_visible()
    assert readout(row) == pytest.approx(held, abs=0.02)
    page.wait_for_function(ANSWERED)
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    shows(page, start)


def test_reset_mean_and_compare(page: Page, app_url: str, bundle: Bundle) -> None:
    ready(page, app_url)
    start, axis = settled(page), first_axis(page)
    drag(page, axis)
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
        const { geometry } = await import("/web/live/codes.js");
        const { encodeFloats } = await import("/web/live/floats.js");
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
    every, stats = bases(bundle), bundle.stats
    locks = np.stack([every["raw"].W[2], every["principal"].W[1]])
    assert np.allclose(free, move(z, stats.mean, every["principal"], 0, 1.7), atol=1e-4)
    assert np.allclose(tied, move(z, stats.mean, every["principal"], 0, 1.7, locks, stats.cov), atol=1e-3)
    difference = packing.unpack(answer["packed"], stats) - packing.unpack(packing.pack(z, stats), stats)
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
    page.locator(".photo:not([hidden])").wait_for()
    expect(page.locator(".photo-progress")).to_be_hidden(timeout=240_000)
    figures = [float(v) for v in re.findall(r"(\d+\.\d) dB", page.locator(".photo-figures").inner_text())]
    assert len(figures) == 2 and figures[1] > figures[0] + 2
    page.keyboard.press("Escape")
    after = until(page, lambda pixels: np.abs(pixels.astype(int) - before).mean() > 5)
    page.get_by_role("switch", name="Refined").click(force=True)
    until(page, lambda pixels: not np.array_equal(pixels, after))
    page.get_by_role("switch", name="Refined").click(force=True)
    shows(page, after)
    drag(page, first_axis(page))
    until(page, lambda pixels: not np.array_equal(pixels, after))


def test_without_the_browser_engine_the_server_draws_and_says_so(page: Page, app_url: str) -> None:
    page.route("**/ort/**", lambda route: route.fulfill(status=404, body=""))
    ready(page, app_url)
    page.get_by_role("radio", name="Browser", exact=True).click(force=True)
    expect(page.get_by_role("status").filter(has_text="so the server draws")).to_be_visible()
    drag(page, first_axis(page))
    assert page.locator(CANVAS).get_attribute("data-engine") == "server"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_face_and_sliders_together(page: Page, app_url: str, scheme: str) -> None:
    phone = page.context.browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme=scheme
    )
    small = phone.new_page()
    small.set_default_timeout(1000 * PATIENCE)
    ready(small, app_url)
    last = small.locator("input[type=range][data-axis]").nth(9)
    last.scroll_into_view_if_needed()
    boxes: list[dict[str, float]] = []

    def in_view() -> bool:
        canvas, element = boxes[:] = small.locator(CANVAS).bounding_box(), last.bounding_box()
        whole = canvas["y"] >= -1 and canvas["y"] + canvas["height"] <= 844
        return whole and element["y"] + element["height"] <= 844 and element["height"] >= 40

    eventually(small, in_view, lambda: boxes)  # once the page has scrolled
    assert small.evaluate("document.documentElement.scrollWidth") <= 390
    phone.close()


def test_the_layout_stands_still_while_dragging(page: Page, app_url: str) -> None:
    ready(page, app_url)
    settled(page)
    places = [CANVAS, ".panel", ".actions", ".meter"]
    before = [page.locator(place).bounding_box() for place in places]
    drag(page, first_axis(page))
    settled(page)
    assert [page.locator(place).bounding_box() for place in places] == before
