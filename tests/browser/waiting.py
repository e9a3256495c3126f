"""Waiting in a browser: for the state that a test asserts, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from playwright.sync_api import Page

PATIENCE = 180  # seconds after which a wait is hopeless, however busy the machine is
CANVAS = '[data-testid="live-canvas"]'
READ = "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
# The pixels in the same moment as what the canvas says of them; null while it draws something older than was asked for.
SETTLED = f"c => c.dataset.settled === 'true' ? [c.dataset.frame, c.width, ({READ})(c)] : null"
# Makes window.view what a live page is driven by.
VIEW = """() => {
    const within = (root) => [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? within(e.shadowRoot) : [])]);
    const nodes = within(document);
    window.view = [...nodes, ...nodes.map((e) => e.shadowRoot)].find((node) => node?.live).live.view;
}"""

T = TypeVar("T")


def eventually(page: Page, look: Callable[[], T], told: Callable[[], object] = lambda: "waited in vain") -> T:
    """Look until there is something to see, and give it; `told` says what there was instead."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, told()
        page.wait_for_timeout(50)
    return found


def evidence(page: Page, canvas: str = CANVAS) -> dict[str, object]:
    """What a failed wait for a picture is judged by."""
    said = page.locator(canvas).evaluate_all("all => all.map((c) => ({...c.dataset}))")
    moved = page.locator("input[type=range][data-axis]").evaluate_all(
        "all => all.map((s) => [s.dataset.axis, s.value])"
    )
    notices = page.locator("[role=status]").all_inner_texts()
    return {"canvas": said, "sliders": moved[:12], "notices": notices, "address": page.url}


def settled(page: Page, canvas: str = CANVAS) -> np.ndarray:
    """Pixels (s, s, 3) once the canvas shows what was last asked for, at full size, twice in a row."""
    element, before = page.locator(canvas), ""

    def look() -> list | None:
        nonlocal before
        now = element.evaluate(SETTLED)
        last, before = before, now[0] if now else ""
        return now if now and now[0] == last else None

    _, size, pixels = eventually(page, look, lambda: f"the canvas does not settle: {evidence(page, canvas)}")
    return np.array(pixels, np.uint8).reshape(size, size, 4)[..., :3]


def until(page: Page, holds: Callable[[np.ndarray], bool], canvas: str = CANVAS) -> np.ndarray:
    """Wait until the canvas has settled on pixels (s, s, 3) of which this holds, and give them."""
    seen = []

    def look() -> list[np.ndarray]:
        seen[:] = [settled(page, canvas)]
        return seen if holds(seen[0]) else []

    return eventually(page, look, lambda: f"the canvas shows another picture: {evidence(page, canvas)}")[0]


def shows(page: Page, wanted: np.ndarray, within: float = 0, mean: float = 255, canvas: str = CANVAS) -> None:
    """Wait until the canvas shows these pixels, to so many levels at most and on average."""

    def close(pixels: np.ndarray) -> bool:
        difference = np.abs(pixels.astype(int) - wanted)
        return bool(difference.max() <= within and difference.mean() <= mean)

    until(page, close, canvas)


def frames(page: Page, canvas: str = CANVAS) -> int:
    """Pictures that the canvas has drawn."""
    return int(page.locator(canvas).get_attribute("data-frame") or 0)


def sweep(page: Page, place: Callable[[int], tuple[float, float]], enough: Callable[[int], bool]) -> None:
    """Move the mouse along place(0), place(1), ... until enough pictures were drawn meanwhile."""
    before, step = frames(page), 0

    def moved() -> bool:
        nonlocal step
        for _ in range(5):
            page.mouse.move(*place(step))
            step += 1
        return enough(frames(page) - before)

    eventually(page, moved, lambda: f"{frames(page) - before} pictures in {step} moves: {evidence(page)}")
