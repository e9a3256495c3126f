"""Figures of the pages in a real browser: the Learn page's pictures under the hand, the Lab's answers, the drive.

The part of `python -m vae bench` that vae.evaluation.bench puts together with the others.
"""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 5.0  # of a drag, of a drive
ROUNDS = 3
OPENINGS = 5

# Moves a slider of the page to and fro, anew in every display frame -> frames a second, each with its new picture.
DRAG = """async (slider, seconds) => {
    const start = performance.now();
    let count = 0;
    for (;;) {
        const t = (await new Promise(requestAnimationFrame) - start) / 1000;
        if (t >= seconds) break;
        const low = Number(slider.min), high = Number(slider.max);
        slider.value = low + (high - low) * Math.abs(((t / 1.2) % 2) - 1);
        slider.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
        count += 1;
    }
    return count / ((performance.now() - start) / 1000);
}"""

UNTIL_PARTED = """async (silhouette) => {
    while (!(Number(silhouette.textContent) > 0.2)) await new Promise(requestAnimationFrame);
}"""

FIRST = """async (canvas) => {
    while (!(Number(canvas.dataset.frame) >= 1)) await new Promise(requestAnimationFrame);
}"""

DRIVE = """async (canvas, seconds) => {
    const start = performance.now(), before = Number(canvas.dataset.frame);
    await new Promise((done) => setTimeout(done, 1000 * seconds));
    return (Number(canvas.dataset.frame) - before) / ((performance.now() - start) / 1000);
}"""

Row = Callable[[str, list[float], str, int], None]


def window(browser: Any) -> Any:
    """A page of a new visitor."""
    return browser.new_context(viewport={"width": 1440, "height": 900}).new_page()


def learn(url: str, browser: Any, row: Row) -> None:
    """The first step alive, two steps under the hand, and how long step 6 takes to part the digits."""
    found = []
    for _ in range(OPENINGS):
        page = window(browser)
        start = time.perf_counter()
        page.goto(f"{url}/learn")
        page.locator('.learn[data-ready="squeeze"]').wait_for(timeout=60_000)
        found.append(time.perf_counter() - start)
        page.context.close()
    row("Learn, first step alive, new browser session", found, "s", 2)
    page = window(browser)
    for step, slider, words in (("holes", "walk", "two planes"), ("trick", "eps-0", "the trick")):
        page.goto(f"{url}/learn?step={step}")
        page.locator(f'.learn[data-ready="{step}"]').wait_for(timeout=60_000)
        if step == "holes":
            page.get_by_role("button", name="The plain one").click()
        handle = page.get_by_test_id(slider)
        handle.scroll_into_view_if_needed()
        time.sleep(4)  # the models of the other steps have loaded
        row(
            f"Learn, {words}, {SECONDS:.0f} s of drag",
            [handle.evaluate(DRAG, SECONDS) for _ in range(ROUNDS)],
            "frames/s",
            1,
        )
    found = []
    for seed in range(ROUNDS):
        page.goto(f"{url}/learn?step=train&seed={seed + 1}")
        page.locator('.learn[data-ready="train"]').wait_for(timeout=60_000)
        start = time.perf_counter()
        page.get_by_test_id("play").click()
        page.get_by_test_id("silhouette").evaluate(UNTIL_PARTED)
        found.append(time.perf_counter() - start)
    row("Learn, step 6, training until the silhouette is 0.2", found, "s", 1)
    page.context.close()


def lab(url: str, browser: Any, row: Row) -> None:
    """A picture dropped on each bench that asks about it, of faces-128: seconds until its figures stand there."""
    from PIL import Image
    from skimage.data import astronaut

    with tempfile.TemporaryDirectory() as folder:
        for bench in ("reconstruct", "compress", "repair", "two"):
            found = []
            page = window(browser)
            page.goto(f"{url}/lab?model=faces-128&bench={bench}")
            desk = page.locator("[data-testid=lab]")
            page.locator("[data-testid=lab][data-ms]:not([data-busy])").wait_for(timeout=120_000)
            for k in range(OPENINGS):
                path = Path(folder) / f"{bench}-{k}.png"
                Image.fromarray(astronaut()[:200, 120 + k : 320 + k]).save(path)
                desk.evaluate("(desk) => delete desk.dataset.ms")
                start = time.perf_counter()
                page.get_by_test_id("lab-file").set_input_files(str(path))
                page.locator("[data-testid=lab][data-ms]:not([data-busy])").wait_for(timeout=120_000)
                found.append(time.perf_counter() - start)
            row(f"Lab, {bench}, a picture dropped", found, "s", 2)
            page.context.close()


def drive(url: str, browser: Any, row: Row) -> None:
    """Frames a second of the road in the browser, while a key is held."""
    page = window(browser)
    page.goto(f"{url}/?model=roads-64")
    page.locator(".live[data-drawn][data-ready]").wait_for(timeout=60_000)
    page.get_by_role("region", name="Drive").scroll_into_view_if_needed()
    page.locator(".drive[data-ready]").wait_for(timeout=60_000)
    time.sleep(6)  # both engines have loaded and measured themselves
    page.get_by_role("application").focus()
    page.keyboard.down("ArrowLeft")
    time.sleep(1)
    canvas = page.get_by_test_id("dream-canvas")
    row("Drive, roads-64, a key held", [canvas.evaluate(DRIVE, SECONDS) for _ in range(ROUNDS)], "frames/s", 1)
    page.keyboard.up("ArrowLeft")
    page.context.close()


def slow_line(url: str, browser: Any, row: Row) -> None:
    """The first face of a new visitor behind a line of 500 kB/s with 40 ms to the server and back."""
    found = []
    for _ in range(OPENINGS):
        page = window(browser)
        line = page.context.new_cdp_session(page)
        line.send("Network.enable")
        line.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 40, "downloadThroughput": 500_000, "uploadThroughput": 500_000},
        )
        start = time.perf_counter()
        page.goto(url, wait_until="commit")
        page.locator('[data-testid="live-canvas"][data-frame]').wait_for(timeout=120_000)
        page.get_by_test_id("live-canvas").evaluate(FIRST)
        found.append(time.perf_counter() - start)
        page.context.close()
    row("first face behind a line of 500 kB/s, new browser session", found, "s", 2)


def astronaut_files(count: int) -> list[dict[str, Any]]:
    """scikit-image's astronaut as so many different files, as Playwright takes them."""
    import io

    from PIL import Image
    from skimage.data import astronaut

    files = []
    for k in range(count):
        out = io.BytesIO()
        Image.fromarray(astronaut()[:, : 512 - 4 * k]).save(out, "PNG")
        files.append({"name": f"astronaut-{k}.png", "mimeType": "image/png", "buffer": out.getvalue()})
    return files


def memory(url: str, browser: Any, row: Row) -> None:
    """What a session with four refined photos on Blend adds to the app, once a first one has loaded all it needs."""

    def resident() -> float:
        with urllib.request.urlopen(f"{url}/api/health") as answer:
            return json.load(answer)["rss"] / 2**20

    before, pages = 0.0, []
    for session in range(4):
        page = window(browser)
        pages.append(page)  # they stay open
        page.goto(f"{url}/blend")
        for slot, file in enumerate(astronaut_files(4)):
            choose = page.get_by_test_id(f"choose-{slot}")
            choose.wait_for(state="attached", timeout=60_000)
            with page.expect_file_chooser() as chooser:
                choose.evaluate("button => button.click()")
            chooser.value.set_files(file)
            page.locator(f'.card.with-photo[data-slot="{slot}"]').wait_for(timeout=60_000)
        page.get_by_test_id("refine").click()
        page.locator(".refining:not([hidden])").wait_for(timeout=60_000)
        page.locator(".refining").wait_for(state="hidden", timeout=180_000)
        if session == 0:
            before = resident()
    row("app, for each further session with four refined photos", [(resident() - before) / 3], "MB", 0)
