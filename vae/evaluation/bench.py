"""The figures in the README: one command, one table.

Everything runs on this machine, the browser and the server on the same cores, so the figures are those of
a visitor on loopback. Medians are of repeated measurements in one run; a busy machine shows in their spread.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from vae import children
from vae.evaluation import bench_pages as pages
from vae.evaluation.running import running_app
from vae.paths import ASSETS, ROOT

DRAG_SECONDS = 5.0
REPEATS = 5


def row(label: str, value: str) -> None:
    """One line of the table."""
    print(f"{label:<58} {value}", flush=True)


def spread(values: list[float], unit: str, digits: int = 1) -> str:
    """Median with its range."""
    return f"{statistics.median(values):.{digits}f} {unit} ({min(values):.{digits}f} to {max(values):.{digits}f}, n={len(values)})"


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """Result and seconds of one call."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


@contextmanager
def fresh_app(prepare: Callable[[Path], None] | None = None) -> Iterator[str]:
    """The app with a user's folder of its own, which `prepare` fills first; yields its address."""
    with tempfile.TemporaryDirectory() as home:
        if prepare:
            prepare(Path(home))
        with running_app(Path(home)) as url:
            yield url


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless Chromium, as in the tests. Raises RuntimeError where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise RuntimeError("this part needs a browser: pip install playwright, and a Chromium") from None

    from vae.evaluation.chromium import FLAGS, find

    if not find():
        raise RuntimeError(
            "no Chromium was found; python -m vae.evaluation.chromium installs one, or name it in $CHROMIUM"
        )

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), headless=True, args=FLAGS)
        yield browser
        browser.close()


def frames(page: Any) -> int:
    """How many frames the live canvas has drawn."""
    return int(page.locator('[data-testid="live-canvas"]').get_attribute("data-frame") or 0)


DRAG = """async (slider, seconds) => {
    const root = slider.getRootNode();
    const canvas = root.querySelector('[data-testid="live-canvas"]') ?? document.querySelector('[data-testid="live-canvas"]');
    const start = performance.now(), before = Number(canvas.dataset.frame);
    for (;;) {
        const t = (await new Promise(requestAnimationFrame) - start) / 1000;
        if (t >= seconds) break;
        const phase = Math.abs(((t / 1.2) % 2) - 1);  // to and fro in 2.4 s
        slider.value = -3.4 + 6.8 * phase;
        slider.dispatchEvent(new Event('input', { bubbles: true, composed: true }));
    }
    const rate = (Number(canvas.dataset.frame) - before) / ((performance.now() - start) / 1000);
    slider.dispatchEvent(new Event('change', { bubbles: true, composed: true }));
    return rate;
}"""


def drag(page: Any, seconds: float = DRAG_SECONDS) -> float:
    """Move the first slider to and fro, anew in every display frame; pictures drawn per second.

    The moves are made inside the page: a mouse driven from outside waits for an answer to each of its moves, and
    would measure its own pace of about 30 a second.
    """
    slider = page.locator("input[type=range][data-axis]").first
    slider.scroll_into_view_if_needed()
    return slider.evaluate(DRAG, seconds)


def choose_engine(page: Any, engine: str) -> None:
    """Set the engine switch and wait until that engine has drawn."""
    page.get_by_role("radio", name=engine, exact=True).click(force=True)
    page.locator(f'[data-testid="live-canvas"][data-engine="{engine.lower()}"]').wait_for(timeout=60_000)


def refine_astronaut(page: Any) -> None:
    """Give Explore the astronaut, and wait until she is refined."""
    from vae.evaluation.bench_pages import astronaut_files

    (file,) = astronaut_files(1)
    page.get_by_role("button", name="Your photo").click()
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(file)
    page.locator(".photo:not([hidden])").wait_for(timeout=60_000)
    page.locator(".photo-progress").wait_for(state="hidden", timeout=120_000)
    page.keyboard.press("Escape")


def bench_live(url: str) -> None:
    """First face, and frames per second under the hand on both engines."""
    with chromium() as browser:
        first = []
        for _ in range(REPEATS):
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            page = context.new_page()
            start = time.perf_counter()
            page.goto(url)
            page.wait_for_function("document.querySelector('body')")
            page.locator('[data-testid="live-canvas"]').wait_for(timeout=60_000)
            while frames(page) < 1:
                time.sleep(0.01)
            first.append(time.perf_counter() - start)
            context.close()
        row("first face on screen, new browser session", spread(first, "s", 2))
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.goto(url)
        page.locator('[data-testid="live-canvas"]').wait_for(timeout=60_000)
        time.sleep(6)  # both engines have loaded and measured themselves
        for words in ("", ", on a refined photo"):
            if words:
                refine_astronaut(page)
            for engine in ("Server", "Browser"):
                choose_engine(page, engine)
                time.sleep(2)
                row(
                    f"{engine.lower()} engine, {DRAG_SECONDS:.0f} s of continuous drag{words}",
                    spread([drag(page) for _ in range(3)], "frames/s"),
                )


def bench_server(url: str) -> None:
    """Memory and purity of the UI process, after the drags."""
    health = json.load(urllib.request.urlopen(f"{url}/api/health"))
    row(
        "UI process, resident memory after the drags",
        f"{health['rss'] / 2**20:.0f} MB" if health["rss"] else "not known here",
    )
    row("torch in the UI process", "yes" if health["torch"] else "no")


def bench_decode() -> None:
    """Plain decodes of faces-128 on the server's runtime."""
    import numpy as np

    from vae.bundles.bundle import open_bundle

    bundle = open_bundle(ASSETS / "models" / "faces-128")
    z = np.random.default_rng(0).standard_normal((1, 128)).astype("f4")
    for words, how in (("", {}), (" by the light decoder", {"quick": True})):
        bundle.decode(z, **how)
        times = [timed(lambda: bundle.decode(z, **how))[1] * 1e3 for _ in range(40)]
        row(f"decode of one face{words}, ONNX Runtime", spread(times, "ms"))


def bench_photo() -> None:
    """The astronaut: sliders set, refined, and still the same person."""
    import io

    import numpy as np
    from PIL import Image
    from skimage.data import astronaut

    from vae.bundles.bundle import open_bundle
    from vae.likeness import psnr
    from vae.photos import faces
    from vae.photos.refine import Refiner

    bundle = open_bundle(ASSETS / "models" / "faces-128")
    out = io.BytesIO()
    Image.fromarray(astronaut()).save(out, "PNG")

    def to_sliders() -> tuple[Any, Any, Any, Any]:
        photo = faces.read_image(out.getvalue())
        face = faces.find_faces(photo)[0]
        crop = faces.align(photo, face.eyes, bundle.eyes, bundle.image_size)
        mu, _, delta = bundle.encode_with_offsets(crop[None])
        return crop, mu, delta, bundle.reconstruct(crop[None])

    to_sliders()
    times = []
    for _ in range(REPEATS):
        (crop, mu, delta, once), seconds = timed(to_sliders)
        times.append(seconds)
    row("astronaut, upload to sliders and reconstruction", spread(times, "s", 2))
    refiner = Refiner()
    refiner.prewarm(bundle)
    times = []
    for _ in range(3):

        def refine() -> Any:
            job = refiner.start(bundle, crop[None], mu, delta=delta)
            job.wait(60)
            return job

        job, seconds = timed(refine)
        times.append(seconds)
    row("astronaut, refined (the first run may wait for the worker)", spread(times, "s", 2))
    (feature,) = job.latest.features
    refined = bundle.decode(mu, job.latest.delta, feature=feature.offset, anchor=feature.anchor)
    before, after = (psnr(crop[None], image)[0] for image in (once, refined))
    row("PSNR of one pass, of the refined face", f"{before:.1f} dB, {after:.1f} dB")

    def distance(image: Any) -> float:
        return float(np.linalg.norm(faces.describe(crop, bundle.eyes) - faces.describe(image, bundle.eyes)))

    row(
        "descriptor distance to the photo, one pass, refined",
        f"{distance(once[0]):.2f}, {distance(refined[0]):.2f} (under 0.6: same person)",
    )
    two = np.repeat(crop[None], 2, 0)
    both = np.repeat(mu, 2, 0), None, None if delta is None else np.repeat(delta, 2, 0)  # None: as many steps as usual
    _, seconds = timed(lambda: refiner.start(bundle, two, *both).wait(60))
    row("two photos refined together", f"{seconds:.2f} s")
    refiner.close()


def bench_film() -> None:
    """A 4-second film at 30 frames/s, 512 px."""
    import numpy as np

    from vae import media
    from vae.bundles.bundle import open_bundle
    from vae.space import latent

    bundle = open_bundle(ASSETS / "models" / "faces-128")
    a, b = latent.sample(bundle, 1, 0.7, 2)

    def film() -> bytes:
        z = np.stack([latent.slerp(a, b, t) for t in np.linspace(0, 1, 120)])
        images = np.concatenate([bundle.decode(part) for part in np.array_split(z, 15)])
        return media.mp4([media.upscale(image, 4) for image in images], fps=30)

    row("4 s film, 30 frames/s, 512 px MP4", spread([timed(film)[1] for _ in range(3)], "s", 2))


def crowd(home: Path) -> None:
    """A model like faces-128 with 100,000 codes: its own ones, each ten times, a little moved."""
    import hashlib
    import shutil

    import numpy as np

    source, target = ASSETS / "models" / "faces-128", home / "models" / "crowd"
    shutil.copytree(source, target)
    with np.load(source / "codes.npz", allow_pickle=False) as data:
        arrays = {key: data[key] for key in data.files}
    rng = np.random.default_rng(0)
    every = np.repeat(np.arange(len(arrays["mu"])), -(-100_000 // len(arrays["mu"])))[:100_000]
    for key in ("mu", "logvar", "labels"):
        arrays[key] = arrays[key][every]
    arrays["mu"] = (arrays["mu"] + 0.4 * rng.standard_normal(arrays["mu"].shape)).astype(np.float16)
    np.savez(target / "codes.npz", **arrays)
    config = json.loads((target / "config.json").read_text("utf-8"))
    config["files"]["codes.npz"] = hashlib.sha256((target / "codes.npz").read_bytes()).hexdigest()
    (target / "config.json").write_text(json.dumps(config), "utf-8")


def circle(page: Any, radius: float) -> tuple[int, int, int]:
    """A lasso round the middle of the map: dots in it, milliseconds to the figures, and to the contact sheet."""
    import math

    page.get_by_role("radio", name="Lasso").check(force=True)
    box = page.locator('[data-testid="atlas-map"]').bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.locator(".atlas").evaluate("e => ['selected', 'selectMs', 'sheetMs'].forEach((key) => delete e.dataset[key])")
    page.mouse.move(x + radius, y)
    page.mouse.down()
    for k in range(1, 41):
        page.mouse.move(x + radius * math.cos(k / 20 * math.pi), y + radius * math.sin(k / 20 * math.pi))
    page.mouse.up()
    page.locator(".atlas[data-selected][data-sheet-ms]").wait_for(timeout=60_000)
    return tuple(
        int(page.locator(".atlas").get_attribute(f"data-{key}")) for key in ("selected", "select-ms", "sheet-ms")
    )


def hover(page: Any, seconds: float = DRAG_SECONDS) -> float:
    """Pictures drawn per second while the mouse circles over the map."""
    import math

    page.get_by_role("radio", name="Look").check(force=True)
    box = page.locator('[data-testid="atlas-map"]').bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before, start = frames(page), time.perf_counter()
    while (t := time.perf_counter() - start) < seconds:
        page.mouse.move(x + 0.3 * box["width"] * math.cos(2.5 * t), y + 0.3 * box["height"] * math.sin(2.5 * t))
        time.sleep(1 / 120)
    return (frames(page) - before) / (time.perf_counter() - start)


def bench_atlas() -> None:
    """The map: first view, hover, lasso, with 10,000 and with 100,000 codes."""
    with fresh_app(crowd) as url, chromium() as browser:
        for model, count in (("faces-128", "10,000"), ("crowd", "100,000")):
            first = []
            for _ in range(REPEATS):
                page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
                start = time.perf_counter()
                page.goto(f"{url}/atlas?model={model}")
                page.locator('[data-testid="atlas-map"][data-draw-ms][data-count]').wait_for(timeout=60_000)
                while frames(page) < 1:
                    time.sleep(0.01)
                first.append(time.perf_counter() - start)
                if len(first) < REPEATS:
                    page.context.close()
            row(f"map of {count} codes, first view, new browser session", spread(first, "s", 2))
            time.sleep(6)  # both engines have loaded and measured themselves
            row(
                f"map of {count} codes, hovering for {DRAG_SECONDS:.0f} s",
                spread([hover(page) for _ in range(3)], "frames/s"),
            )
            row(
                f"map of {count} codes, drawing all dots",
                f"{page.locator('[data-testid=atlas-map]').get_attribute('data-draw-ms')} ms",
            )
            radius, runs = 60.0, []
            for k in range(REPEATS + 2):
                selected, figures, sheet = circle(page, radius)
                if k >= 2:  # the first two find the radius that holds about 1,000
                    runs.append((selected, figures, sheet))
                else:
                    radius *= (1000 / max(selected, 1)) ** 0.5
            row(f"map of {count} codes, lasso of {runs[0][0]:,}: figures", spread([r[1] for r in runs], "ms", 0))
            row(f"map of {count} codes, lasso of {runs[0][0]:,}: contact sheet", spread([r[2] for r in runs], "ms", 0))
            page.context.close()


def bench_pages(measure: Callable[..., None]) -> None:
    """What one page does, in an app and a browser of its own."""

    def told(label: str, values: list[float], unit: str, digits: int) -> None:
        row(label, spread(values, unit, digits))

    with fresh_app() as url, chromium() as browser:
        measure(url, browser, told)


def bench_training() -> None:
    """Our training loop against a plain PyTorch loop, in a process of its own: torch stays out of this one."""
    from vae.jobs import questions

    for device in questions.machine()["devices"]:
        command = [sys.executable, "-m", "vae.evaluation.bench_training", device["id"]]
        found = json.loads(
            subprocess.run(
                command, cwd=ROOT, env=children.environment(), check=True, capture_output=True
            ).stdout.splitlines()[-1]
        )
        row(f"digits VAE, plain PyTorch loop, {device['title']}", spread(found["plain"], "images/s", 0))
        row(f"digits VAE, our training loop, {device['title']}", spread(found["ours"], "images/s", 0))
        row("what our loop costs more than the plain one", spread(found["extra"], "%"))
        if "beside" in found:
            row("beside a busy program, a thread a core", spread(found["beside"]["fixed"], "images/s", 0))
            row("beside a busy program, as many threads as are free", spread(found["beside"]["free"], "images/s", 0))


SECTIONS: dict[str, Callable[..., None]] = {
    "decode": bench_decode,
    "photo": bench_photo,
    "film": bench_film,
    "atlas": bench_atlas,
    "live": bench_live,
    "learn": partial(bench_pages, pages.learn),
    "lab": partial(bench_pages, pages.lab),
    "drive": partial(bench_pages, pages.drive),
    "line": partial(bench_pages, pages.slow_line),
    "memory": partial(bench_pages, pages.memory),
    "training": bench_training,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m vae bench`."""
    parser.add_argument(
        "sections", nargs="*", metavar="PART", help=f"{', '.join(SECTIONS)}; all of them when none is named"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    chosen = args.sections or list(SECTIONS)
    if unknown := [name for name in chosen if name not in SECTIONS]:
        raise ValueError(f"There is no part {unknown[0]!r} to measure; choose from {', '.join(SECTIONS)}.")
    row("cores", str(os.cpu_count()))
    for name in chosen:
        if name == "live":
            with fresh_app() as url:
                bench_live(url)
                bench_server(url)
        else:
            SECTIONS[name]()
    return 0
