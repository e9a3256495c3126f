"""The Blend page in a real browser: photos in, the mix under the hand, refining, the table, the pad."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect
from skimage import data as pictures

from tests.browser.waiting import CANVAS, PATIENCE, eventually, settled, shows, sweep, until
from vae.bundles.registry import default_registry
from vae.likeness import psnr
from vae.photos import blend
from vae.photos.sources import photo_source, reconstruct, sample_source
from vae.space import mixing


def photo(image: np.ndarray | None = None, name: str = "astronaut.jpg") -> FilePayload:
    buffer = io.BytesIO()
    Image.fromarray(pictures.astronaut() if image is None else image).save(buffer, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}


def choose(page: Page, slot: int, file: FilePayload) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_test_id(f"choose-{slot}").click()
    chooser.value.set_files(file)


@pytest.fixture
def desk(page: Page, app_url: str) -> Page:
    """The page with the server engine, so that pixels are those of the core."""
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(f"{app_url}/blend")
    expect(page.locator(".card .pair")).to_have_count(2)
    return page


@pytest.fixture
def two(desk: Page) -> Page:
    """The astronaut and a drawn face."""
    choose(desk, 0, photo())
    expect(desk.locator(".card[data-slot='0'] .name")).to_have_text("astronaut.jpg")
    expect(desk.locator("input[data-axis='mix:all']")).to_be_visible()
    return desk


def slide(page: Page, axis: str, value: float) -> None:
    slider = page.locator(f"input[type=range][data-axis='{axis}']")
    slider.evaluate(
        "(s, v) => { s.value = v; s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); }", value
    )


def test_opens_with_two_faces_mixed_that_make_way_for_one_s_own(desk: Page) -> None:
    bundle = default_registry().get("faces-128")
    people = [sample_source(bundle, 0), sample_source(bundle, 1)]
    shows(desk, blend.blend(bundle, people, mixing.pair_weights(bundle.levels, 0.5)), 1)
    choose(desk, 1, photo())  # one click opens the chooser
    expect(desk.locator(".card[data-slot='1'] .name")).to_have_text("astronaut.jpg")
    for _ in range(2):
        count = int(desk.locator(".blend").get_attribute("data-people") or 0)
        desk.get_by_role("button", name="Take A away").click()
        desk.locator(f".blend[data-people='{count - 1}']").wait_for()
    expect(desk.locator(".card.vacant header")).to_have_count(2)
    desk.locator(".card[data-slot='0'] [data-sample='2']").click()
    desk.locator(".blend[data-people='1']").wait_for()


def test_mix_follows_the_hand_and_ends_at_the_people(two: Page) -> None:
    bundle = default_registry().get("faces-128")
    people = [photo_source(bundle, photo()["buffer"]), sample_source(bundle, 1)]
    settled(two)
    for value, person in ((0, people[0]), (1, people[1])):
        slide(two, "mix:all", value)
        shows(two, reconstruct(bundle, [person])[0], 1)
    slide(two, "mix:fine", 0)
    weights = mixing.pair_weights(bundle.levels, 1.0, fine=0.0)
    shows(two, blend.blend(bundle, people, weights), 1)
    slide(two, "mix:all", 0.37)
    for path, label in (("lerp", "Straight"), ("slerp", "Along the sphere")):
        two.get_by_role("radio", name=label).check()
        shows(two, blend.blend(bundle, people, mixing.pair_weights(bundle.levels, 0.37), path), 1)


def test_dragging_draws_many_frames(two: Page) -> None:
    start = settled(two)
    slider, fps = two.locator("input[data-axis='mix:all']"), two.get_by_test_id("live-fps")
    box = slider.bounding_box()
    two.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    two.mouse.down()
    middle = box["y"] + box["height"] / 2
    place = lambda step: (box["x"] + (0.5 + 0.4 * np.sin(step / 6)) * box["width"], middle)  # noqa: E731
    sweep(two, place, lambda drawn: drawn >= 12 and re.fullmatch("[1-9][0-9]*", fps.inner_text()))
    two.mouse.move(box["x"] + 0.9 * box["width"], middle)
    two.mouse.up()
    until(two, lambda pixels: np.abs(pixels.astype(int) - start).mean() > 1)


def test_eye_marks_move_by_keyboard_and_by_hand(two: Page) -> None:
    card = two.locator(".card[data-slot='0']")
    crop = card.locator(".pair img").first
    before = crop.get_attribute("src")
    card.locator(".eye").first.focus()
    two.keyboard.press("Shift+ArrowLeft")  # once: the mark tells of itself after a rest, and its card is then made anew
    expect(crop).not_to_have_attribute("src", before)
    middle = crop.get_attribute("src")
    mark = two.locator(".card[data-slot='0'] .eye").first
    box = mark.bounding_box()
    two.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    two.mouse.down()
    two.mouse.move(box["x"] + box["width"] / 2 + 9, box["y"] + box["height"] / 2 + 2, steps=4)
    two.mouse.up()
    expect(crop).not_to_have_attribute("src", middle)


def test_refining_brings_the_photo_nearer_and_says_by_how_much(two: Page) -> None:
    slide(two, "mix:all", 0)
    before = settled(two)
    two.get_by_test_id("refine").click()
    expect(two.locator(".card[data-slot='0'] .card-figures")).to_contain_text("dB", timeout=2000 * PATIENCE)
    text = two.locator(".card[data-slot='0'] .card-figures").inner_text()
    first, last = (float(part.split(" dB")[0].split()[-1]) for part in text.split("\u2192"))
    assert last > first + 2  # one pass is near already
    bundle = default_registry().get("faces-128")
    crop = photo_source(bundle, photo()["buffer"]).crop
    after = until(two, lambda pixels: abs(psnr(pixels[None], crop[None])[0] - last) < 0.2)
    assert psnr(after[None], crop[None])[0] > psnr(before[None], crop[None])[0] + 2


def test_table_click_makes_the_cell_the_face(two: Page) -> None:
    expect(two.locator(".table .tile").first).to_be_visible()
    two.get_by_role("button", name="A with B", exact=True).click()
    bundle = default_registry().get("faces-128")
    people = [photo_source(bundle, photo()["buffer"]), sample_source(bundle, 1)]
    weights = mixing.grid_weights(bundle.levels, 1, 1, 2)[0]
    shows(two, blend.blend(bundle, people, weights), 1)


def test_three_people_on_the_pad(two: Page) -> None:
    two.locator("details.extra summary").click()
    two.locator("details.extra [data-sample='2']").click()
    pad = two.get_by_test_id("pad")
    expect(pad).to_be_visible()
    settled(two)
    two.get_by_role("button", name="All C", exact=True).click()
    bundle = default_registry().get("faces-128")
    shows(two, reconstruct(bundle, [sample_source(bundle, 2)])[0], 1)
    pad.focus()
    before = pad.get_attribute("aria-valuetext")
    two.keyboard.press("Shift+ArrowUp")
    assert pad.get_attribute("aria-valuetext") != before


def test_browser_and_core_mix_alike(two: Page) -> None:
    bundle = default_registry().get("faces-128")
    z = np.stack([sample_source(bundle, i).z for i in range(4)])
    rng = np.random.default_rng(0)
    rows = rng.dirichlet([1, 1, 1, 1], 6)
    rows[0] = [0, 1, 0, 0]
    rows[1] = [0.25, 0, 0.75, 0]
    for path in mixing.PATHS:
        found = two.evaluate(
            """async ([codes, rows, path]) => {
                const { mixCodes } = await import("/web/blend/mix.js");
                return Array.from(mixCodes(codes.map((c) => Float32Array.from(c)), rows, path));
            }""",
            [z.tolist(), rows.tolist(), path],
        )
        assert np.allclose(np.reshape(found, (6, -1)), mixing.mix_codes(z, rows, path), atol=2e-5)
    for count in (2, 3, 4):
        for x, y in rng.uniform(-0.1, 1.1, (20, 2)):
            found = two.evaluate("async (a) => (await import('/web/blend/mix.js')).cornerWeights(...a)", [x, y, count])
            assert np.allclose(found, mixing.corner_weights(x, y, count))


def test_dropped_and_pasted_files_and_files_that_are_no_photo(desk: Page) -> None:
    give = """(node, [how, text, name]) => {
        const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], name, { type: 'image/png' }));
        const event = how === 'drop'
            ? new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: transfer })
            : new ClipboardEvent('paste', { bubbles: true, cancelable: true, clipboardData: transfer });
        (how === 'drop' ? node : document).dispatchEvent(event);
    }"""
    whole = base64.b64encode(photo()["buffer"]).decode()
    desk.locator(".card[data-slot='0']").evaluate(give, ["drop", whole, "dropped.png"])
    expect(desk.locator(".card[data-slot='0'] .name")).to_have_text("dropped.png")
    desk.locator(".card[data-slot='1']").evaluate(give, ["paste", whole, "pasted.png"])
    expect(desk.locator(".card[data-slot='1'] .name")).to_have_text("pasted.png")
    desk.locator(".card[data-slot='1']").evaluate(give, ["drop", base64.b64encode(b"no picture").decode(), "text.png"])
    expect(desk.locator(".blend > .notice")).to_contain_text("This file is a text file")
    expect(desk.locator(".card[data-slot='1'] .name")).to_have_text("pasted.png")
    cat = base64.b64encode(photo(pictures.cat())["buffer"]).decode()
    desk.locator(".card[data-slot='1']").evaluate(give, ["drop", cat, "cat.png"])
    expect(desk.locator(".card[data-slot='1'] .remark")).to_contain_text("No face was found")


@pytest.mark.parametrize("button", ["Send to Explore", "Show on the map"])
def test_sent_to_another_page_it_is_the_same_face(two: Page, button: str) -> None:
    slide(two, "mix:fine", 0.9)
    blended = settled(two)
    two.get_by_role("tab", name="Take it away").click()
    two.get_by_role("button", name=button).click()
    expect(two.locator("input[data-axis^='mix:']")).to_have_count(0)
    expect(two.locator(CANVAS)).to_be_visible()
    shows(two, blended, 40, mean=0.6)  # the link's fixed point moves a few pixels


def test_phone_has_no_sideways_scroll(two: Page) -> None:
    two.set_viewport_size({"width": 390, "height": 844})
    eventually(two, lambda: two.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"))
    # What lies in a closed fold keeps the layout that it had when it was last laid out: only what is shown has a place.
    outside = """() => {
        const root = [...document.querySelectorAll('*')].map((n) => n.shadowRoot).find((r) => r?.querySelector('.live.blend'));
        return [...(root ?? document).querySelectorAll('.live.blend *')]
            .filter((n) => !n.closest('.table') && n.checkVisibility() && n.getBoundingClientRect().right > innerWidth + 1)
            .map((n) => n.className.baseVal ?? n.className);
    }"""
    eventually(two, lambda: not two.evaluate(outside), lambda: two.evaluate(outside))
    two.locator(".edits summary").click()
    expect(two.locator(".edits .row").first).to_be_visible()
    eventually(two, lambda: not two.evaluate(outside), lambda: two.evaluate(outside))
