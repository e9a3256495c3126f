"""The Map in a real Chromium: hover, click, lasso, teach and its slider, paths, views, own pictures, keyboard."""

from __future__ import annotations

import io
import math
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.waiting import CANVAS, PATIENCE, VIEW, eventually, settled, shows, sweep, until
from tests.tiny import SIZE, pattern, write_bundle
from vae.bundles.bundle import Bundle
from vae.photos.aligning import usual_eyes
from vae.space import packing, settling, views
from vae.space.neighbours import nearest
from vae.web.core.state import FIRST_SEED, FIRST_TEMPERATURE

MAP, LIVE, CURRENT = '[data-testid="atlas-map"]', CANVAS, '[data-testid="current-canvas"]'
NAMES = ("Tall", "Wide")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_app: Callable) -> Iterator[tuple[str, Bundle, Bundle]]:
    """A running app with a model of six numbers and one of two."""
    home = tmp_path_factory.mktemp("atlas-home")
    rng = np.random.default_rng(0)
    z = rng.standard_normal((3000, 6)) * [2, 1.6, 1, 1, 1, 1]
    labels = (np.stack([z[:, 2], z[:, 3]], 1) + 0.3 * rng.standard_normal((3000, 2)) > 0.3).astype(np.uint8)
    lab = write_bundle(home / "models" / "lab", z, labels, NAMES)
    kinds = rng.integers(0, 4, 400)
    flat = rng.standard_normal((400, 2)) * 0.5 + 1.5 * np.stack([np.cos(kinds * 1.6), np.sin(kinds * 1.6)], 1)
    plane = write_bundle(
        home / "models" / "plane", flat, np.eye(4, dtype=np.uint8)[kinds], ("one", "two", "three", "four")
    )
    with start_app(home) as url:
        yield url, lab, plane


@pytest.fixture
def atlas_page(site: tuple[str, Bundle, Bundle], page: Page) -> Callable[[str], Page]:
    """Opens the Map of a model; the dots and the first picture are there."""

    def go(model: str) -> Page:
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{site[0]}/atlas?model={model}")
        page.locator(f"{MAP}[data-count]").wait_for()
        page.locator(f'{LIVE}[data-settled="true"]').wait_for()
        page.errors = errors
        return page

    yield go
    assert not getattr(page, "errors", [])


def centre(page: Page) -> tuple[float, float, dict]:
    box = page.locator(MAP).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box


def lasso(page: Page, radius: float, dx: float = 0) -> None:
    """Draw round the middle of the map."""
    page.get_by_role("radio", name="Lasso").check(force=True)
    x, y, _ = centre(page)
    page.mouse.move(x + dx + radius, y)
    page.mouse.down()
    for k in range(1, 33):
        page.mouse.move(x + dx + radius * math.cos(k / 16 * math.pi), y + radius * math.sin(k / 16 * math.pi))
    page.mouse.up()


def at(page: Page) -> list[float]:
    return page.locator(LIVE).evaluate("c => [Number(c.dataset.x), Number(c.dataset.y)]")


def test_hovering_decodes_the_place_exactly(
    site: tuple[str, Bundle, Bundle], atlas_page: Callable[[str], Page]
) -> None:
    page, bundle = atlas_page("lab"), site[1]
    expect(page.get_by_test_id("exactness")).to_contain_text("Exact")
    x, y, _ = centre(page)
    page.mouse.move(x, y)
    settled(page)
    sweep(page, lambda k: (x + 150 * math.cos(k / 6), y + 120 * math.sin(k / 6)), lambda drawn: drawn > 5)
    page.mouse.move(x + 150, y)
    # The plane goes through the code that every session starts with: the prior's draw of the first seed.
    start = packing.unpack(
        packing.pack(settling.draw(bundle, FIRST_SEED, FIRST_TEMPERATURE)[0], bundle.stats), bundle.stats
    )
    view = views.view(bundle, views.parse("principal:0:1"))
    shows(page, bundle.decode(view.lift(at(page), start))[0], 2)
    assert page.locator(LIVE).get_attribute("data-engine") in ("browser", "server")


def test_a_click_takes_the_place_and_it_is_what_the_decoder_gives(
    site: tuple[str, Bundle, Bundle], atlas_page: Callable[[str], Page]
) -> None:
    page = atlas_page("plane")
    expect(page.get_by_test_id("exactness")).to_contain_text("two numbers")
    page.locator(f'{MAP}[data-tiles]:not([data-tiles="0"])').wait_for()  # the plane of pictures behind the dots
    x, y, box = centre(page)
    page.mouse.click(x - box["width"] * 0.31, y - box["height"] * 0.43)  # no dot there
    z = np.array(at(page), "<f4")
    request = urllib.request.Request(f"{site[0]}/api/decode?model=plane", z.tobytes())
    wanted = np.frombuffer(urllib.request.urlopen(request).read(), np.uint8).reshape(SIZE, SIZE, 3)
    for canvas in (LIVE, CURRENT):
        shows(page, wanted, 2, canvas=canvas)


def test_a_dot_shows_its_code_and_neighbours(
    site: tuple[str, Bundle, Bundle], atlas_page: Callable[[str], Page]
) -> None:
    page, bundle = atlas_page("lab"), site[1]
    x, y, _ = centre(page)
    for dx in range(0, 200, 4):  # the first dot to the right of the middle
        page.mouse.move(x + dx, y)
        if "dot" in page.locator(".probe .where").inner_text():
            break
    page.mouse.click(x + dx, y)
    title = page.locator(".pane h3")
    expect(title).to_have_text(re.compile(r"Code [\d,]+ of the data"))
    index = int(re.sub(r"\D", "", title.inner_text()))
    shows(page, bundle.decode(bundle.codes.mu[index])[0], 2, canvas=CURRENT)
    expect(page.locator(".gallery .tile")).to_have_count(12)
    found = [int(tile.get_attribute("data-index")) for tile in page.locator(".gallery .tile").all()]
    ids, _ = nearest(bundle.codes.mu, bundle.codes.mu[index], 13)
    assert found == [int(i) for i in ids[0] if i != index][:12]
    page.locator(".gallery .tile").first.click()
    expect(title).to_have_text(f"Code {found[0]:,} of the data")


def test_a_lasso_is_compared_and_taught_and_becomes_a_slider(
    site: tuple[str, Bundle, Bundle], atlas_page: Callable[[str], Page]
) -> None:
    page = atlas_page("lab")
    lasso(page, 120)
    expect(page.get_by_test_id("selection-count")).to_have_text(re.compile(r"[\d,]+ codes"))
    chosen = int(page.locator(".atlas").get_attribute("data-selected"))
    assert 200 < chosen < 2800
    assert page.get_by_test_id("rates").locator("li").count() == 2
    assert page.locator(".gallery .tile").count() == 24
    page.get_by_role("button", name="Teach from it").click()
    page.get_by_test_id("teach-with").select_option(label="Tall: with")
    page.get_by_test_id("teach-without").select_option(label="Tall: without")
    page.get_by_test_id("teach").click()
    auc = page.get_by_test_id("teach-auc")
    expect(auc).to_have_text(re.compile(r"0\.9\d\d"))
    first = auc.inner_text()
    page.locator('[data-leak="Tall"]').check()  # all of it is taken out: nothing is left, and the page says so
    expect(page.locator(".notice")).to_contain_text("Nothing is left")
    page.get_by_test_id("teach-with").select_option(label="Wide: with")
    page.get_by_test_id("teach-with").select_option(label="Tall: with")
    page.get_by_test_id("teach").click()
    expect(auc).to_have_text(first)
    page.get_by_test_id("teach-name").fill("My tall")
    page.get_by_test_id("teach-save").click()
    expect(page.locator(".notice")).to_contain_text("is saved")
    expect(page.get_by_test_id("taught")).to_contain_text("My tall")
    page.get_by_role("link", name="Explore").click()
    page.locator(".live[data-drawn][data-ready]").wait_for()
    named = page.get_by_role("tab", name="Named")
    if named.count():
        named.first.click()
    slider = page.locator('input[type=range][data-axis="named:taught-my-tall"]')
    slider.wait_for()
    before = settled(page)
    slider.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    until(page, lambda after: np.abs(after.astype(int) - before).max() > 5)


def test_views_colours_filters_and_thumbnails(
    site: tuple[str, Bundle, Bundle], atlas_page: Callable[[str], Page]
) -> None:
    page, bundle = atlas_page("lab"), site[1]
    page.get_by_test_id("view").select_option("raw")
    page.locator(f'{MAP}[data-view^="raw:"]').wait_for()
    page.get_by_label("Horizontal axis").select_option("2")
    page.get_by_label("Vertical axis").select_option("3")
    page.locator(f'{MAP}[data-view="raw:2:3"]').wait_for()
    page.get_by_test_id("colour").select_option("label:0")
    page.locator('.legend [data-category="0"]').click()  # hide those without
    page.get_by_role("button", name="Zoom out").click()  # now all dots lie inside the frame
    page.get_by_role("radio", name="Box").check(force=True)
    box = page.locator(MAP).bounding_box()
    page.mouse.move(box["x"] + 12, box["y"] + box["height"] - 12)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.move(box["x"] + box["width"] - 12, box["y"] + 12)
    page.mouse.up()
    expect(page.get_by_test_id("selection-count")).to_have_text(f"{int(bundle.codes.labels[:, 0].sum()):,} codes")
    page.get_by_role("radio", name="Look").check(force=True)
    x, y, _ = centre(page)
    page.mouse.move(x, y)
    for _ in range(6):
        page.mouse.wheel(0, -200)
    page.locator(f'{MAP}:not([data-thumbs="0"])[data-thumbs]').wait_for()
    page.get_by_test_id("colour").select_option("kl")
    expect(page.locator(".legend")).to_contain_text("nats")


def test_a_computed_view_says_that_it_is_not_exact(atlas_page: Callable[[str], Page]) -> None:
    page = atlas_page("plane")
    note = "(bar) => { const look = new MutationObserver(() => { if (!bar.hidden) bar.dataset.seen = ''; }); "
    watch = "look.observe(bar, { attributeFilter: ['hidden'] }); }"
    page.locator(".progress").first.evaluate(note + watch)  # it is away again when the view is there
    page.get_by_test_id("view").select_option("tsne")
    page.locator(f'{MAP}[data-view="tsne:30"]').wait_for(timeout=2000 * PATIENCE)
    assert page.locator(".progress[data-seen]").count() == 1
    expect(page.get_by_test_id("exactness")).to_contain_text("not exact")
    x, y, _ = centre(page)
    sweep(page, lambda k: (x + 10 * (k % 12), y), lambda drawn: drawn > 0)
    settled(page)


def test_a_path_is_a_strip_and_a_film(atlas_page: Callable[[str], Page]) -> None:
    page = atlas_page("lab")
    page.get_by_role("radio", name="Path", exact=True).check(force=True)
    x, y, _ = centre(page)
    strip = '[data-testid="path-strip"]:not([data-old])'
    drawn = f"{strip}[data-ready]"
    for dx, dy, there in ((-150, 40, "text=One stop so far"), (0, -90, drawn), (160, 60, drawn)):
        page.locator(strip).evaluate_all("strips => strips.forEach((strip) => (strip.dataset.old = ''))")
        page.mouse.click(x + dx, y + dy)
        page.locator(there).wait_for()
    film = page.get_by_test_id("film-canvas")
    page.mouse.move(5, 5)
    before = int(film.get_attribute("data-frame") or 0)
    eventually(page, lambda: int(film.get_attribute("data-frame") or 0) > before + 3)
    page.get_by_role("radio", name="Dense").check(force=True)
    expect(page.locator(".pane")).to_contain_text("Past other codes")
    with page.expect_download(timeout=2000 * PATIENCE) as download:
        page.get_by_role("button", name="MP4").click()
    assert Path(download.value.path()).read_bytes()[4:8] == b"ftyp"


def over(page: Page, wanted: bool, places: list[tuple[float, float]]) -> tuple[float, float]:
    """The first of these places on the map where there is a dot, or none; the mouse stays there."""
    for x, y in places:
        page.mouse.move(x, y)
        if ("dot" in page.locator(".probe .where").inner_text()) == wanted:
            return x, y
    raise AssertionError("no such place")


def test_stops_stand_in_the_order_of_the_clicks(atlas_page: Callable[[str], Page]) -> None:
    page = atlas_page("lab")
    page.get_by_role("radio", name="Path", exact=True).check(force=True)
    x, y, box = centre(page)
    held: list[Route] = []
    page.route(
        "**/api/atlas/code*", lambda route: held.append(route)
    )  # a dot's code is asked for; that of an open place is known here
    dot = over(page, True, [(x + dx, y) for dx in range(0, 200, 4)])
    page.mouse.click(*dot)
    eventually(page, lambda: held)
    page.mouse.click(*over(page, False, [(box["x"] + box["width"] - 30, box["y"] + box["height"] - 30)]))
    held[0].continue_()
    page.locator('[data-testid="path-strip"][data-ready]').wait_for()
    page.evaluate(VIEW)
    stops = page.evaluate("view.map.marks.stops.map((place) => view.map.toScreen(...place))")
    assert len(stops) == 2 and abs(stops[0][0] + box["x"] - dot[0]) < 12 and stops[1][0] > stops[0][0] + 60


def test_with_two_selections_all_others_can_be_the_second_side(atlas_page: Callable[[str], Page]) -> None:
    page = atlas_page("lab")
    lasso(page, 60, -70)
    expect(page.get_by_test_id("selection-count")).to_be_visible()
    page.get_by_role("radio", name=re.compile("^Selection B")).check(force=True)
    lasso(page, 60, 70)
    expect(page.get_by_test_id("selection-count")).to_be_visible()
    page.get_by_role("button", name="Teach from it").click()
    second = page.get_by_test_id("teach-without")
    expect(second).to_have_value("set:B")  # what was drawn as B is offered
    second.select_option(label="All other codes")
    expect(second).to_have_value("rest")
    page.get_by_test_id("teach").click()
    expect(page.get_by_test_id("teach-auc")).to_be_visible()
    expect(second).to_have_value("rest")


def test_pictures_are_placed_on_the_map_and_the_keyboard_reads_it(
    site: tuple[str, Bundle, Bundle], atlas_page: Callable[[str], Page]
) -> None:
    page, bundle = atlas_page("lab"), site[1]
    z = np.array([0.5, -0.5, 1.5, 0, 0, 0], np.float32)
    file = io.BytesIO()
    Image.fromarray(np.clip((z @ pattern(6) + 1) * 127.5, 0, 255).reshape(SIZE, SIZE).astype(np.uint8)).save(
        file, "PNG"
    )
    page.get_by_test_id("drop-input").set_input_files(
        [
            {"name": "own.png", "mimeType": "image/png", "buffer": file.getvalue()},
            {"name": "no.png", "mimeType": "image/png", "buffer": b"text"},
        ]
    )
    page.locator(f'{MAP}[data-placed="1"]').wait_for()
    expect(page.locator(".notice")).to_contain_text("no.png")
    shows(page, bundle.decode(z)[0], 8, canvas=CURRENT)
    page.locator(MAP).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    one = at(page)
    page.keyboard.press("ArrowLeft")
    two = at(page)
    assert two[0] < one[0] and two[1] == pytest.approx(one[1], abs=1e-9)
    page.keyboard.press("+")
    page.keyboard.press("Enter")
    expect(page.locator(".pane h3")).to_be_visible()


def test_eyes_that_are_not_found_are_marked_by_keyboard(site: tuple[str, Bundle, Bundle], page: Page) -> None:
    page.goto(f"{site[0]}/atlas?model=faces-128")
    page.locator(f"{MAP}[data-count]").wait_for()
    wall = np.array(
        Image.fromarray(np.random.default_rng(3).integers(90, 160, (9, 9, 3), np.uint8)).resize((800, 800), 0)
    )
    file = io.BytesIO()
    Image.fromarray(wall).save(file, "PNG")
    photo = {"name": "wall.png", "mimeType": "image/png", "buffer": file.getvalue()}
    page.get_by_test_id("drop-input").set_input_files([photo])
    dialog = page.get_by_role("dialog", name="Where are the eyes in wall.png?")
    dialog.get_by_role("button", name="Leave it out").click()
    expect(page.locator(".notice")).to_contain_text("wall.png: no face was found in it")
    page.get_by_test_id("drop-input").set_input_files([photo])
    eye = dialog.get_by_role("button", name="Left eye in the picture of wall.png")
    eye.focus()
    before = eye.get_attribute("transform")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowDown")
    assert eye.get_attribute("transform") != before
    with page.expect_request(lambda request: "/api/atlas/place" in request.url) as asked:
        dialog.get_by_test_id("use-eyes").press("Enter")
    page.locator(f'{MAP}[data-placed="1"]').wait_for()
    expect(dialog).to_have_count(0)
    x0, y0, x1, y1 = (float(v) for v in parse_qs(urlsplit(asked.value.url).query)["eyes"][0].split(","))
    (a0, b0), (a1, b1) = usual_eyes(wall)
    assert (x0, x1, y1) == pytest.approx((a0, a1, b1), abs=0.02) and y0 == pytest.approx(b0 + 4 * 10, abs=0.02)


def test_on_a_phone_the_map_and_its_pane_fit(site: tuple[str, Bundle, Bundle], browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(f"{site[0]}/atlas?model=lab")
    page.locator(f"{MAP}[data-count]").wait_for()
    page.locator(f'{LIVE}[data-settled="true"]').wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(MAP).bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".pane h3")).to_be_visible()
    context.close()
