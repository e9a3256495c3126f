"""Every page by axe-core, light and dark, wide and on a phone: no serious or critical finding."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page

from tests.browser.waiting import eventually
from tests.conftest import ROOT
from vae.paths import PACKAGES, PAGES

AXE = (PACKAGES / "axe-core" / "axe.min.js").read_text("utf-8")
NAMES = sorted(path.stem for path in PAGES.glob("*.py"))
VIEWS = ["" if name == "explore" else name for name in NAMES]
VIEWS += ["train?view=jobs", "train?view=models", "?plain=1", "atlas?plain=1", "blend?plain=1"]
STILL = """() => {
  const all = (root) => [...root.querySelectorAll('*')].flatMap((e) => e.shadowRoot ? [e, ...all(e.shadowRoot)] : [e]);
  const state = document.querySelector('[data-testid="stApp"]')?.dataset.testScriptState;
  const words = document.querySelector('[data-testid="stMainBlockContainer"]')?.innerText.length ?? 0;
  const live = all(document).some((e) => e.matches?.('.live:not(.skeleton)'));
  return state === 'notRunning' && (words > 40 || live) && !all(document).some((e) => e.matches?.('.skeleton') && e.getClientRects().length);
}"""
FINDINGS = """async () => (await axe.run(document, { resultTypes: ['violations'] })).violations
  .filter(({ impact }) => impact === 'serious' || impact === 'critical')
  .map(({ id, nodes }) => [id, ...nodes.slice(0, 4).map((n) => `${n.html.slice(0, 120)} ${n.failureSummary}`)])"""
GROUND = "() => getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')).backgroundColor"


@pytest.mark.parametrize("view", VIEWS)
def test_nobody_is_kept_out(page: Page, app_url: str, view: str) -> None:
    page.goto(f"{app_url}/{view}")
    grounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(STILL)
            page.evaluate(AXE)
            found: list[list[str]] = []

            def clean() -> bool:
                found[:] = page.evaluate(FINDINGS)  # what fades in is pale for a moment
                return not found

            eventually(page, clean, lambda: f"{scheme}, {width} px: {json.dumps(found, indent=1)}")
        grounds.add(page.evaluate(GROUND))
    assert len(grounds) == 2  # both themes were seen


@pytest.mark.parametrize("name", ["Your photo", "Export", "About"])
def test_nor_out_of_what_opens(page: Page, app_url: str, name: str) -> None:
    page.goto(app_url)
    page.locator(".live[data-drawn][data-ready]").wait_for()
    page.get_by_role("button", name=name).click()
    page.get_by_test_id("stPopoverBody").wait_for()
    page.evaluate(AXE)
    found: list[list[str]] = []

    def clean() -> bool:
        found[:] = page.evaluate(FINDINGS)
        return not found

    eventually(page, clean, lambda: json.dumps(found, indent=1))


def test_the_pages_are_all_here() -> None:
    assert PAGES.is_relative_to(ROOT) and {"explore", "atlas", "blend", "train"} <= set(NAMES)
