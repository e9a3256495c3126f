"""The model picker of Explore in a real Chromium: by keyboard alone, each model with its picture, title and terms."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.browser.test_explore import addressed, ready
from tests.browser.waiting import eventually
from vae.bundles.registry import default_registry

TRIGGER = ".st-key-explore_model [data-testid=stPopoverButton]"
LIST = ".st-key-explore_models"
# Pictures of the list: what each shows, as the range of its values, or null while one is not loaded.
RANGES = """(list) => {
    const images = [...list.querySelectorAll("img")];
    if (!images.every(({ complete, naturalWidth }) => complete && naturalWidth)) return null;
    return images.map((image) => {
        const { naturalWidth: width, naturalHeight: height } = image;
        const on = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
        on.drawImage(image, 0, 0);
        const values = on.getImageData(0, 0, width, height).data.filter((_, i) => i % 4 < 3);
        return Math.max(...values) - Math.min(...values);
    });
}"""
FOCUSED = "(e) => e === document.activeElement"


def tab_to(page: Page, wanted: Locator, most: int) -> None:
    """Press Tab until this has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if wanted.evaluate(FOCUSED):
            return
    raise AssertionError(f"{most} times Tab do not lead to {wanted}")


def card(page: Page, title: str) -> Locator:
    return page.locator(f"{LIST} [data-testid=stColumn]").filter(has=page.get_by_role("button", name=title, exact=True))


def opened(page: Page) -> list[int]:
    """Open the list with the focus on its button -> what its pictures show, once they are there."""
    page.keyboard.press("Enter")
    expect(page.locator(f"{LIST} img")).to_have_count(len(default_registry().names()))
    return eventually(page, lambda: page.locator(LIST).evaluate(RANGES))


def choose(page: Page, name: str) -> None:
    """Choose a model in the open list, by keyboard, and wait until it is the model of the page."""
    bundle = default_registry().get(name)
    tab_to(page, card(page, bundle.title).get_by_role("button", name=bundle.title), len(default_registry().names()))
    page.keyboard.press("Enter")
    expect(page.locator(TRIGGER)).to_contain_text(bundle.title)
    expect(page.locator(LIST)).to_have_count(0)
    eventually(page, lambda: f"model={name}&" in page.url, lambda: page.url)
    addressed(page, bundle)  # the canvas shows what this model draws
    expect(page.locator(TRIGGER)).to_be_focused()


def test_a_model_is_chosen_by_keyboard_and_by_what_it_draws(page: Page, app_url: str) -> None:
    ready(page, app_url)
    tab_to(page, page.locator(TRIGGER), 12)
    assert min(opened(page)) > 60, "a picture of one flat colour"
    registry = default_registry()
    for name in registry.names():
        bundle = registry.get(name)
        one = card(page, bundle.title)
        expect(one.get_by_role("img", name=f"What {bundle.title} draws")).to_be_visible()
        terms = one.get_by_test_id("stCaptionContainer").inner_text()
        assert terms and bundle.licence.startswith(terms) and len(terms) < 40
    choose(page, "people-64")
    opened(page)
    choose(page, "faces-128")


def test_on_a_phone_the_list_fits(page: Page, app_url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    ready(page, app_url)
    page.locator(TRIGGER).focus()
    opened(page)
    body = page.get_by_test_id("stPopoverBody")
    box = body.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    wide = "e => e.scrollWidth - e.clientWidth"
    assert body.evaluate(wide) <= 1 and page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.get_by_test_id("stMain").evaluate(wide) <= 0
