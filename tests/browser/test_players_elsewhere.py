"""The players on Blend, the Map and the Lab in a real Chromium: what is mixed or picked is heard, scans have a window."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.playing import drag_on, drawn, heard, scan_of, silent, through_the_window
from tests.browser.test_atlas import CURRENT, MAP
from tests.browser.test_blend import slide
from tests.browser.waiting import CANVAS, VIEW, eventually, settled, shows
from vae.bundles.registry import default_registry
from vae.data.worlds import rolls
from vae.data.worlds.rolls import Note
from vae.evaluation import reconstructing
from vae.photos import blend
from vae.photos.sources import reconstruct, sample_source
from vae.space import mixing, packing


def opened(page: Page, url: str, path: str) -> Page:
    """A page on the server engine, so that pixels are those of the core; its first picture is drawn."""
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(f"{url}/{path}")
    page.locator(".live[data-drawn]").wait_for()
    page.evaluate(VIEW)
    return page


def png(picture: np.ndarray, name: str) -> FilePayload:
    file = io.BytesIO()
    Image.fromarray(picture.squeeze()).save(file, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}


def first_chord(notes: list[Note]) -> list[float]:
    """The frequencies that a piece begins with, in hertz."""
    return [440 * 2 ** ((note.pitch - 69) / 12) for note in notes if note.start == 0]


def strange(old: list[float], new: list[float]) -> tuple[float, ...]:
    """What of the old chord cannot be heard in the new one, overtones and all."""
    near = lambda f, tone: min(abs(f - k * tone) for k in range(1, 7)) < 12  # noqa: E731
    return tuple(f for f in old if not any(near(f, tone) for tone in new))


def plays(page: Page, notes: list[Note]) -> None:
    """Wait until these notes are what is played."""
    found: list[Note] = []

    def same() -> bool:
        found[:] = [Note(**note) for note in page.evaluate("window.view.player.sound.notes")]
        return sorted(found) == sorted(notes)

    eventually(page, same, lambda: f"{len(found)} other notes, not {len(notes)}")


def press_play(page: Page) -> None:
    page.get_by_test_id("roll-play").press("Enter")


def test_pieces_are_blended_and_heard(page: Page, worlds_url: str) -> None:
    bundle = default_registry().get("chorales-64")
    opened(page, worlds_url, "blend?model=chorales-64")
    people = [sample_source(bundle, 0), sample_source(bundle, 1)]
    weights = mixing.pair_weights(bundle.levels, 0.5)
    for whole in (True, False):  # its parts are whole at first
        shows(page, blend.blend(bundle, people, weights, whole=whole), 24 if whole else 1)
        plays(page, rolls.to_notes(settled(page)))
        if whole:
            page.get_by_role("switch", name="Whole parts").press("Space")
    page.locator(".card[data-slot='1'] summary").click()
    page.locator(".card[data-slot='1'] [data-sample='2']").click()
    people[1] = sample_source(bundle, 2)
    pieces = [rolls.to_notes(reconstruct(bundle, [person])[0]) for person in people]
    expect(page.locator(".card[data-slot='1'] .name")).to_have_text(people[1].name)
    assert page.evaluate("window.view.player.sound.context") is None, "nothing may sound before a click"
    before: list[float] = []
    for end, notes in enumerate(pieces):
        slide(page, "mix:all", end)
        plays(page, notes)
        press_play(page)
        chord = first_chord(notes)
        other = strange(before, chord)
        assert other or not before
        heard(page, *chord, without=other)
        press_play(page)
        silent(page)
        before = chord
    page.get_by_role("radio", name="A", exact=True).check()  # a parent is heard while the blend is seen
    plays(page, pieces[0])


def test_what_is_picked_on_the_map_is_heard(page: Page, worlds_url: str) -> None:
    bundle = default_registry().get("chorales-64")
    opened(page, worlds_url, "atlas?model=chorales-64")
    page.locator(f"{MAP}[data-count='{len(bundle.codes)}']").wait_for()
    assert page.evaluate("window.view.player.sound.context") is None, "nothing may sound before a click"
    before: list[float] = []
    for way in ("min", "max"):  # the dots farthest to the left and to the right: they lie alone
        index, x, y = page.evaluate(
            """(way) => {
                const { xy, element } = window.view.map;
                const across = Array.from({ length: xy.length / 2 }, (_, i) => xy[2 * i]);
                const index = across.indexOf(Math[way](...across));
                const box = element.getBoundingClientRect(), [px, py] = window.view.map.toScreen(xy[2 * index], xy[2 * index + 1]);
                return [index, box.left + px, box.top + py];
            }""",
            way,
        )
        page.mouse.click(x, y)
        expect(page.locator(".pane h3")).to_have_text(f"Code {index:,} of the data")
        page.mouse.move(5, 5)  # or the picture at the cursor would be heard
        z = packing.unpack(page.locator(CANVAS).get_attribute("data-code"), bundle.stats)
        assert np.abs(z - bundle.codes.mu[index]).max() < 0.05
        picture = bundle.decode(z)[0]
        shows(page, picture, 1, canvas=CURRENT)
        notes = rolls.to_notes(settled(page, CURRENT))
        assert len(notes) > 10
        plays(page, notes)
        if before:  # it has played on
            press_play(page)
            silent(page)
        press_play(page)
        chord = first_chord(notes)
        other = strange(before, chord)
        assert other or not before
        heard(page, *chord, without=other)
        before = chord
    press_play(page)
    silent(page)


def test_a_roll_is_compared_with_what_comes_back(page: Page, worlds_url: str) -> None:
    bundle = default_registry().get("chorales-64")
    piece = reconstruct(bundle, [sample_source(bundle, 2)])[0]
    page.goto(f"{worlds_url}/lab?model=chorales-64&bench=reconstruct")
    page.locator(".thumb").first.wait_for()
    page.get_by_test_id("lab-file").set_input_files([png(piece, "piece.png")])
    back = reconstructing.reconstructed(bundle, piece, perceived=False)["entries"][0].picture
    for side, wanted in (("left", piece), ("right", back)):
        same = lambda: (drawn(page, f'[data-testid="compare-{side}"]') == wanted).all()  # noqa: E731
        eventually(page, same, lambda: f"{side} shows another picture")
    assert len(rolls.to_notes(drawn(page, '[data-testid="compare-right"]'))) > 10


def a_window(page: Page, canvases: list[str], grip: str) -> None:
    """The window of what these canvases show, by a drag on `grip`, by double clicks and by keys."""
    plain = [drawn(page, canvas) for canvas in canvases]
    window, level = (page.locator(f'[data-view="{name}"]') for name in ("window", "level"))

    def all_told() -> None:
        for canvas, before in zip(canvases, plain):
            holds = through_the_window(page, before.astype(float))
            eventually(page, lambda: holds(drawn(page, canvas)), lambda: f"{canvas} is not as told")

    def all_plain() -> None:
        for canvas, before in zip(canvases, plain):
            eventually(page, lambda: (drawn(page, canvas) == before).all(), lambda: f"{canvas} is not plain")

    drag_on(page, grip, -0.3, 0.1)
    assert [window.input_value(), level.input_value()] == ["52", "66"]  # 160 per cent a picture's width
    all_told()
    box = page.locator(grip).bounding_box()
    page.locator(grip).dblclick(position={"x": 0.8 * box["width"], "y": 0.6 * box["height"]})
    assert [window.input_value(), level.input_value()] == ["100", "50"]
    all_plain()
    window.focus()
    for key in ["PageDown"] * 3 + ["Tab"] + ["ArrowLeft"] * 5:
        page.keyboard.press(key)
    assert [window.input_value(), level.input_value()] == ["70", "45"]
    all_told()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    all_plain()


@pytest.mark.parametrize("path, canvases", [("blend", [CANVAS]), ("atlas", [CURRENT, CANVAS])], ids=["blend", "map"])
def test_a_scan_is_seen_through_a_window(page: Page, worlds_url: str, path: str, canvases: list[str]) -> None:
    opened(page, worlds_url, f"{path}?model=brain-96")
    for canvas in canvases:
        settled(page, canvas)
    a_window(page, canvases, canvases[0])


def test_two_scans_are_compared_through_one_window(page: Page, worlds_url: str) -> None:
    page.goto(f"{worlds_url}/lab?model=tiny-scan&bench=reconstruct")
    page.locator(".thumb").first.wait_for()
    picture = scan_of(20, 230)
    page.get_by_test_id("lab-file").set_input_files([png(picture, "scan.png")])
    sides = [f'[data-testid="compare-{side}"]' for side in ("left", "right")]
    eventually(page, lambda: (drawn(page, sides[0]) == picture).all())
    difference = '[data-testid="compare-difference"]'
    apart, divider = drawn(page, difference), page.get_by_test_id("divider")
    assert apart.max() > 40
    a_window(page, sides, ".sight")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    drag_on(page, ".sight", -0.2, start=(0.5, 0.3))  # the divider itself
    expect(divider).to_have_attribute("aria-valuenow", "30")
    assert page.locator('[data-view="window"]').input_value() == "100"
    drag_on(page, ".sight", 0.2, start=(0.5, 0.3))
    assert page.locator('[data-view="window"]').input_value() == "100"  # it cannot be wider
    drag_on(page, ".sight", -0.2, start=(0.9, 0.3))
    assert page.locator('[data-view="window"]').input_value() == "68"
    expect(divider).to_have_attribute("aria-valuenow", "30")
    assert (drawn(page, difference) == apart).all()
