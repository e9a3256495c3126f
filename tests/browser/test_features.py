"""A refined photo in a real Chromium: the person on both engines, under the hand, with less detail, and in a blend."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from skimage import data as pictures

from tests.browser.test_blend import choose, photo, slide
from tests.browser.test_explore import choose_engine, first_axis, ready, slider
from tests.browser.waiting import PATIENCE, VIEW, eventually, settled, shows, until
from vae.bundles.bundle import Bundle
from vae.bundles.registry import default_registry
from vae.likeness import psnr
from vae.photos import blend
from vae.photos.feature import Feature
from vae.photos.refine_sources import with_offsets
from vae.photos.sources import Source, photo_source, sample_source
from vae.space import mixing

# The component of the page, as component.js leaves it for tests.


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return default_registry().get("faces-128")


def ask_feature(url: str, bundle: Bundle, name: str) -> Feature:
    """What a session of the app holds under a name, by its route."""
    with urlopen(f"{url}/api/features/{name}", timeout=300) as answer:
        offset, anchor = np.frombuffer(answer.read(), "<f2").reshape(2, *bundle.model.feature_shape)
    return Feature(offset, anchor)


class Refined:
    """The astronaut on the Explore page, refined."""

    def __init__(self, page: Page, url: str, bundle: Bundle):
        self.page, self.bundle, self.url = page, bundle, url
        ready(page, url)
        page.get_by_role("button", name="Your photo").click()
        page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(photo())
        page.locator(".photo:not([hidden])").wait_for()
        expect(page.locator(".photo-progress")).to_be_hidden(timeout=2000 * PATIENCE)
        page.keyboard.press("Escape")
        page.evaluate(VIEW)
        told = self.told()
        self.delta = np.array(told["delta"], np.float32).reshape(1, bundle.levels, bundle.style_size)
        self.psnr = told["psnr"]
        self.feature = ask_feature(url, bundle, told["feature"])

    def told(self) -> dict[str, Any]:
        return self.page.evaluate("""() => {
            const { z, photo } = window.view;
            return { z: Array.from(z), delta: Array.from(photo.delta), feature: photo.feature, detail: photo.detail, psnr: photo.refinedPsnr };
        }""")

    def picture(self, detail: float = 1.0, z: np.ndarray | None = None) -> np.ndarray:
        """What Python draws of the code on the page."""
        z = np.array(self.told()["z"], np.float32) if z is None else z
        offset = detail * self.feature.offset.astype(np.float32)
        return self.bundle.decode(z, self.delta, feature=offset, anchor=self.feature.anchor)[0]

    def styles_only(self) -> np.ndarray:
        return self.bundle.decode(np.array(self.told()["z"], np.float32), self.delta)[0]


@pytest.fixture(scope="module")
def astronaut(browser: Browser, app_url: str, bundle: Bundle) -> Iterator[Refined]:
    """Refined once for the tests of this module, each of which leaves the page as it found it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    yield Refined(page, app_url, bundle)
    context.close()


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("engine", ["Server", "Browser"])
def test_the_refined_picture_is_the_library_s(astronaut: Refined, bundle: Bundle, engine: str) -> None:
    page = astronaut.page
    choose_engine(page, engine)
    shows(page, astronaut.picture(), within=2)
    assert apart(astronaut.picture(), astronaut.styles_only()) > 2
    crop = photo_source(bundle, pictures.astronaut()).crop
    assert psnr(crop[None], astronaut.picture()[None])[0] == pytest.approx(astronaut.psnr, abs=0.1)


@pytest.mark.parametrize("engine", ["Server", "Browser"])
def test_the_hand_keeps_the_person(astronaut: Refined, engine: str) -> None:
    """While it rests in the middle of a drag, the picture is the full one; while it moves, one near to it."""
    page = astronaut.page
    choose_engine(page, engine)
    start = settled(page)
    axis = first_axis(page)
    element = slider(page, axis)
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    y = box["y"] + box["height"] / 2
    page.evaluate("""() => {
        const { surface } = window.view, { ondraw } = surface;
        window.drawn = [];
        surface.ondraw = (frame) => {
            ondraw?.(frame);
            const { data } = surface.canvas.getContext("2d").getImageData(0, 0, 128, 128);
            window.drawn.push({ preview: frame.preview, z: Array.from(frame.state.z), pixels: Array.from(data) });
            if (window.drawn.length > 12) window.drawn.shift();
        };
    }""")
    place = float(element.evaluate("s => (s.value - s.min) / (s.max - s.min)"))
    page.mouse.move(box["x"] + box["width"] * place, y)
    page.mouse.down()
    for step in range(9):
        page.mouse.move(box["x"] + box["width"] * (place + 0.02 * step), y)
        page.wait_for_timeout(30)
    rested = until(page, lambda pixels: np.abs(pixels.astype(int) - astronaut.picture()).max() <= 2)
    assert apart(rested, start) > 0.5 and apart(rested, astronaut.styles_only()) > 2
    moving = page.evaluate("() => window.drawn")
    page.mouse.up()
    assert moving
    for drawn in moving:
        pixels = np.array(drawn["pixels"], np.uint8).reshape(128, 128, 4)[..., :3]
        assert apart(pixels, astronaut.picture(z=np.array(drawn["z"], np.float32))) < 3, drawn["preview"]
    shows(page, astronaut.picture(), within=2)
    page.get_by_role("button", name="Undo").click()
    shows(page, start, within=2)


@pytest.mark.parametrize("engine", ["Server", "Browser"])
def test_the_slider_keeps_as_much_detail_as_it_says(astronaut: Refined, engine: str) -> None:
    page = astronaut.page
    choose_engine(page, engine)
    whole = settled(page)
    for detail in (0, 0.5):
        slide(page, "photo:detail", detail)
        assert astronaut.told()["detail"] == detail
        wanted = astronaut.picture(detail) if detail else astronaut.styles_only()
        shows(page, wanted, within=2)
        assert apart(wanted, whole) > 1
    slide(page, "photo:detail", 1)
    shows(page, whole, within=2)


def test_without_refinement_there_is_what_one_pass_gives(astronaut: Refined) -> None:
    page = astronaut.page
    choose_engine(page, "Server")
    whole, keep = settled(page), page.locator("input[data-axis='photo:detail']")
    once = page.evaluate("""() => {
        const { deltaOnce, featureOnce } = window.view.photo;
        return { delta: Array.from(deltaOnce), feature: featureOnce };
    }""")
    guessed = ask_feature(astronaut.url, astronaut.bundle, once["feature"])
    delta = np.array(once["delta"], np.float32).reshape(1, *astronaut.delta.shape[-2:])
    z = np.array(astronaut.told()["z"], np.float32)
    plain = astronaut.bundle.decode(z, delta, feature=guessed.offset.astype(np.float32), anchor=guessed.anchor)[0]
    assert apart(plain, whole) > 1
    page.get_by_role("switch", name="Refined").click(force=True)
    shows(page, plain, within=2)
    expect(keep).to_be_visible()  # a guess can be kept in part as well
    page.get_by_role("switch", name="Refined").click(force=True)
    shows(page, whole, within=2)


def test_the_exported_picture_is_the_one_on_the_page(astronaut: Refined) -> None:
    page = astronaut.page
    choose_engine(page, "Server")
    slide(page, "photo:detail", 0.6)
    shows(page, astronaut.picture(0.6), within=2)
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG", exact=True).click()
    image = np.asarray(Image.open(download.value.path()).convert("RGB"))
    assert np.abs(image.astype(int) - astronaut.picture(0.6)).max() <= 2
    page.keyboard.press("Escape")
    slide(page, "photo:detail", 1)
    shows(page, astronaut.picture(), within=2)


def frame(head: dict[str, Any], *bodies: np.ndarray) -> bytes:
    """One of the frames that a refinement streams."""
    payload = json.dumps(head).encode() + b"\n" + b"".join(body.tobytes() for body in bodies)
    return struct.pack("<I", len(payload)) + payload


@pytest.mark.parametrize("moved", [False, True])
def test_steps_are_drawn_by_the_worker_unless_the_hand_was_quicker(
    page: Page, app_url: str, bundle: Bundle, moved: bool
) -> None:
    held: list[Route] = []
    page.route(re.compile(r"/api/refine/[^/]+$"), lambda route: held.append(route))
    ready(page, app_url)
    page.get_by_role("button", name="Your photo").click()
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(photo())
    page.locator(".photo:not([hidden])").wait_for()
    eventually(page, lambda: held)
    # or Python might hear of its end first, and tell the page
    assert page.request.post(f"{held[0].request.url}/cancel").ok
    page.keyboard.press("Escape")
    before = settled(page)
    page.evaluate(VIEW)
    page.evaluate("""() => {
        const { surface } = window.view, paint = surface.paint.bind(surface);
        window.painted = 0;
        surface.paint = (...given) => ((window.painted += 1), paint(...given));
    }""")
    if moved:  # before the first step was heard of
        element = slider(page, first_axis(page))
        element.evaluate("s => { s.value = s.max; s.dispatchEvent(new Event('input', { bubbles: true })); }")
        until(page, lambda pixels: apart(pixels, before) > 1)
    grey = np.full((bundle.image_size, bundle.image_size, 3), 99, np.uint8)
    zero = np.zeros((bundle.levels, bundle.style_size), "<f4")
    head = {"step": 0, "total": 8, "state": "running", "psnr": [20.0], "offsets": zero.size, "features": []}
    end = {"step": 0, "total": 8, "state": "cancelled", "error": None}
    held[0].fulfill(body=frame(head, zero, grey) + frame(end), content_type="application/octet-stream")
    expect(page.locator(".photo-progress")).to_be_hidden()
    assert page.evaluate("() => window.painted") == (0 if moved else 1)


@pytest.mark.parametrize("engine", ["Server", "Browser"])
def test_details_that_are_gone_are_said_and_the_engine_goes_on(page: Page, app_url: str, engine: str) -> None:
    ready(page, app_url)
    choose_engine(page, engine)
    before = settled(page)
    page.evaluate(VIEW)
    page.evaluate("""() => {
        const { surface, z } = window.view;
        surface.show({ z, delta: null, features: [{ id: "gone", share: 1 }], held: true });
    }""")
    expect(page.get_by_role("status").filter(has_text="load the photo again")).to_be_visible()
    assert page.evaluate("() => window.view.engine.info.browser") != "failed"
    page.get_by_role("button", name="Mean").first.click()
    until(page, lambda pixels: apart(pixels, before) > 1)
    assert page.locator('[data-testid="live-canvas"]').get_attribute("data-engine") == engine.lower()


# -- Blend


@pytest.mark.parametrize("engine", ["server", "browser"])
def test_a_blend_of_a_refined_photo_is_the_library_s(page: Page, app_url: str, bundle: Bundle, engine: str) -> None:
    page.add_init_script(f"localStorage.setItem('live-engine', '{engine}')")
    page.goto(f"{app_url}/blend")
    expect(page.locator(".card .pair")).to_have_count(2)
    choose(page, 0, photo())
    expect(page.locator(".card[data-slot='0'] .name")).to_have_text("astronaut.jpg")
    page.get_by_test_id("refine").click()
    expect(page.locator(".card[data-slot='0'] .card-figures")).to_contain_text("dB", timeout=2000 * PATIENCE)
    page.evaluate(VIEW)
    told = page.evaluate(
        "() => window.view.people.map(({ delta, feature }) => ({ delta: delta && Array.from(delta), feature }))"
    )
    assert told[0]["feature"] and told[1] == {"delta": None, "feature": None}
    delta = np.array(told[0]["delta"], np.float32).reshape(1, bundle.levels, bundle.style_size)
    feature = ask_feature(app_url, bundle, told[0]["feature"])
    people: list[Source] = [photo_source(bundle, photo()["buffer"]), sample_source(bundle, 1)]
    people = with_offsets(people, [0], delta, (feature,))
    page.locator(f'[data-testid="live-canvas"][data-engine="{engine}"]').wait_for()
    for t in (0.0, 0.4, 1.0):
        slide(page, "mix:all", t)
        weights = mixing.pair_weights(bundle.levels, t)
        wanted = blend.blend_pictures(bundle, people, weights[None])[0]
        shows(page, wanted, within=2)
        without = blend.blend(bundle, with_offsets(people, [0], delta), weights)
        assert (apart(wanted, without) > 1) == (t < 1)
    slide(page, "mix:fine", 0)
    shows(
        page, blend.blend_pictures(bundle, people, mixing.pair_weights(bundle.levels, 1.0, fine=0.0)[None])[0], within=2
    )
    if engine == "server":
        slide(page, "mix:coarse", 0)
        wanted = blend.blend_pictures(
            bundle, people, mixing.pair_weights(bundle.levels, 1.0, coarse=0.0, fine=0.0)[None]
        )
        shows(page, wanted[0], within=2)


# -- the same numbers as Python


@pytest.fixture
def modules(page: Page, app_url: str) -> Page:
    """A page of the app's address without the app, which its modules do not need."""
    page.goto(f"{app_url}/api/health")
    return page


def test_half_numbers_are_read_as_numpy_does(modules: Page) -> None:
    every = np.arange(2**16, dtype=np.uint16)
    every = every[np.isfinite(every.view(np.float16))]  # negative, subnormal and both zeros among them
    found = modules.evaluate(
        """async (bits) => {
            const { halves } = await import("/web/live/floats.js");
            const numbers = halves(Uint16Array.from(bits).buffer);
            return [numbers.constructor.name, Array.from(new Uint32Array(numbers.buffer))];
        }""",
        every.tolist(),
    )
    assert found[0] == "Float32Array"
    wanted = every.view(np.float16).astype(np.float32)
    assert (np.abs(wanted[wanted != 0]) < 2**-14).any() and np.signbit(wanted[wanted == 0]).any()
    assert np.array_equal(np.array(found[1], np.uint32), wanted.view(np.uint32))  # to the bit, the sign of zero too


@pytest.mark.parametrize("name", ["faces-128", "tiny"])
def test_details_are_mixed_by_the_weights_that_python_takes(
    modules: Page, bundle, tiny_style_bundle, name: str
) -> None:
    from vae.bundles.bundle import open_bundle

    model = bundle if name == "faces-128" else open_bundle(tiny_style_bundle)
    shape, rng = model.model.feature_shape, np.random.default_rng(0)
    marks = np.zeros((3, *shape), np.float16)
    for k in range(3):
        marks[k, k] = 1  # a channel for each, so that a mix shows its shares
    features = [Feature(marks[0], marks[0]), None, Feature(marks[2], marks[2])]
    people = [SimpleNamespace(feature=feature) for feature in features]
    weights = rng.dirichlet([1, 1, 1], (3, model.levels))
    weights[1, :, 2], weights[2] = 0, [0, 1, 0]
    for rows in weights:
        offset = blend.blend_feature(model, people, rows[None])
        wanted = [0.0] * 3 if offset is None else offset[0, :3, 0, 0].tolist()
        found = modules.evaluate(
            "async (given) => (await import('/web/blend/mix.js')).mixDetails(...given)",
            [["a", None, "c"], rows.tolist(), list(shape)],
        )
        shares = {one["id"]: one["share"] for one in found}
        assert [shares.get(key, 0.0) for key in "abc"] == pytest.approx(wanted, abs=1e-6)
        assert all(shares.values()) and "b" not in shares
    flat = "async () => (await import('/web/blend/mix.js')).mixDetails(['a'], [[1]], null)"
    assert modules.evaluate(flat) == []
