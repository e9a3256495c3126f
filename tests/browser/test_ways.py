"""A curved slider in a real Chromium: it goes where the Python side says, drags and all, and its ends are its ends."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import Page

from tests.browser.test_explore import code, slider
from tests.browser.waiting import eventually, settled
from vae.bundles.bundle import Bundle
from vae.bundles.registry import default_registry
from vae.space.axes import bases, move

AXIS = "named:way-Turn_of_the_patient"


@pytest.fixture(scope="module")
def chest() -> Bundle:
    return default_registry().get("chest-128")


def test_the_patient_turns_by_a_slider_that_no_label_made(page: Page, app_url: str, chest: Bundle) -> None:
    basis, mean = bases(chest)["named"], chest.stats.mean
    row = basis.index(AXIS.partition(":")[2])
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(f"{app_url}/?model=chest-128")
    page.locator(".live[data-drawn][data-ready]").wait_for()
    eventually(page, lambda: "z=" in page.url)
    before = code(page, chest)
    turn = slider(page, AXIS)
    assert turn.get_attribute("max") == str(basis.axes[row].reach)
    # As a hand does it: many small steps, and a release.
    turn.evaluate("""(slider) => {
        for (let k = 0; k <= 60; k++) {
            slider.value = String(-1.5 + k * 0.05);
            slider.dispatchEvent(new Event("input", { bubbles: true }));
        }
        slider.dispatchEvent(new Event("change", { bubbles: true }));
    }""")
    eventually(page, lambda: not np.array_equal(code(page, chest), before))
    drawn, after = settled(page), code(page, chest)
    asked = move(before, mean, basis, row, 1.5)
    step = chest.stats.std * 8 / 32767  # of the grid of links
    assert np.all(np.abs(after - asked) <= step)  # sixty steps went no other way than one
    assert np.abs(drawn.astype(int) - chest.decode(after[None])[0]).max() <= 2
    # The patient was turned: what the model sees in the picture is the place that was asked for.
    seen = basis.values(chest.encode(chest.decode(after[None]))[0], mean)[0, row]
    assert abs(seen - 1.5) < 0.15
    # By keyboard alone, to both ends and no further.
    turn.focus()
    for key, end in (("Home", -1), ("End", 1)):
        page.keyboard.press(key)
        eventually(page, lambda end=end: end * basis.values(code(page, chest), mean)[..., row] > 1.6)
