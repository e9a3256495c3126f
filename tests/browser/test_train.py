"""From a zip of digits to sliders, in a real browser: launch, watch, reload, stop, open in Explore."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from sklearn.datasets import load_digits

SECONDS = 300_000


def digits_zip(count: int = 400) -> bytes:
    """scikit-learn's digits as PNG files in a folder a class."""
    digits, out = load_digits(), io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i in range(count):
            file = io.BytesIO()
            Image.fromarray((digits.images[i] * 255 / 16).astype(np.uint8)).resize(
                (28, 28), Image.Resampling.BICUBIC
            ).save(file, "PNG")
            archive.writestr(f"{digits.target[i]}/{i}.png", file.getvalue())
    return out.getvalue()


def settings(home: Path) -> dict:
    """status.json of the one job there is."""
    (status,) = home.glob("runs/2*/run/status.json")
    return json.loads(status.read_text())


def step(page: Page) -> int:
    """The step that the page shows."""
    words = page.get_by_test_id("stProgress").inner_text()
    return int(re.search(r"Step ([\d,]+)", words)[1].replace(",", ""))


def test_a_zip_becomes_a_model_under_the_hand(page: Page, start_app, tmp_path: Path):
    page.set_default_timeout(SECONDS)
    with start_app(tmp_path, OMP_NUM_THREADS="1") as url:
        page.goto(f"{url}/train")
        page.get_by_text("My pictures", exact=True).click()
        page.locator("input[type=file]").set_input_files(
            {"name": "digits.zip", "mimeType": "application/zip", "buffer": digits_zip()}
        )
        expect(page.get_by_text("400 pictures").first).to_be_visible(timeout=SECONDS)
        expect(page.get_by_text("10 labels")).to_be_visible(timeout=SECONDS)
        page.get_by_text("Two numbers, one map").click()
        expect(page.get_by_label("Name of the model")).to_have_value("My pictures 2D", timeout=SECONDS)
        minutes = page.get_by_label("Minutes", exact=True)
        minutes.fill("10")
        minutes.press("Enter")
        page.get_by_role("button", name="Start training").click()

        expect(page.get_by_test_id("stProgress")).to_contain_text(re.compile(r"Step [\d,]+ .* left"), timeout=SECONDS)
        picture = page.get_by_test_id("film-picture")
        expect(picture).to_be_visible(timeout=SECONDS)
        first = step(page)
        page.reload()
        expect(page.get_by_role("button", name="Pause")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_test_id("stProgress")).to_contain_text(re.compile(r"Step [\d,]+"), timeout=SECONDS)
        deadline = time.monotonic() + SECONDS / 1000
        while step(page) <= first:  # it went on, and the page follows by itself
            assert time.monotonic() < deadline
            time.sleep(0.2)
        expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=SECONDS)
        page.wait_for_function(
            "() => { const find = (r) => [...r.querySelectorAll('*')]"
            ".map((e) => e.dataset?.testid === 'film-picture' ? e"
            " : e.shadowRoot ? find(e.shadowRoot) : null).find(Boolean); return find(document)?.naturalWidth > 100; }"
        )

        page.get_by_role("button", name="Stop and keep").click()
        expect(page.get_by_text("Stopped and kept")).to_be_visible(timeout=SECONDS)
        assert settings(tmp_path)["step"] < 10**6
        page.get_by_role("button", name="Open in Explore").click()
        page.wait_for_url(re.compile(r"[?&]model=my-pictures-2d"))
        canvas = page.get_by_test_id("live-canvas")
        expect(canvas).to_be_visible(timeout=SECONDS)
        page.locator(".live[data-drawn][data-ready]").wait_for()
        sliders = page.locator("input[type=range][data-axis]")
        expect(sliders.first).to_be_visible(timeout=SECONDS)
        frame = int(canvas.get_attribute("data-frame"))
        box = sliders.first.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        for place in np.linspace(0.5, 0.9, 8):
            page.mouse.move(box["x"] + box["width"] * place, box["y"] + box["height"] / 2)
            time.sleep(0.03)
        page.mouse.up()
        page.wait_for_function("([c, f]) => Number(c.dataset.frame) > f", arg=[canvas.element_handle(), frame])


def test_a_job_outlives_the_app_and_comes_back_from_a_kill(page: Page, start_app, tmp_path: Path):
    page.set_default_timeout(SECONDS)
    shown = re.compile(r"Step [\d,]+ .* left")
    with start_app(tmp_path, OMP_NUM_THREADS="1") as url:
        page.goto(f"{url}/train")
        minutes = page.get_by_label("Minutes", exact=True)
        minutes.fill("10")
        minutes.press("Enter")
        page.get_by_role("button", name="Start training").click()
        expect(page.get_by_test_id("stProgress")).to_contain_text(shown, timeout=SECONDS)
    page.goto("about:blank")
    left = settings(tmp_path)
    deadline = time.monotonic() + SECONDS / 1000
    while settings(tmp_path)["step"] <= left["step"]:  # with no app and no browser
        assert time.monotonic() < deadline
        time.sleep(0.2)
    with start_app(tmp_path, OMP_NUM_THREADS="1") as url:
        page.goto(f"{url}/train")
        expect(page.get_by_role("button", name="Pause")).to_be_visible(timeout=SECONDS)
        expect(page.get_by_test_id("stProgress")).to_contain_text(shown, timeout=SECONDS)
        (run,) = tmp_path.glob("runs/2*/run")
        deadline = time.monotonic() + SECONDS / 1000
        while not (run / "checkpoint.safetensors").exists():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        os.kill(settings(tmp_path)["pid"], signal.SIGKILL)
        resume = page.get_by_role("button", name="Resume")
        expect(resume).to_be_visible(timeout=SECONDS)
        resume.click()
        expect(page.get_by_role("button", name="Pause")).to_be_visible(timeout=SECONDS)
        page.get_by_role("button", name="Stop and drop").click()
        expect(page.get_by_role("button", name="Pause")).to_have_count(0, timeout=SECONDS)
        expect(page.get_by_text("was moved to the trash")).to_be_visible(timeout=SECONDS)


def test_a_visitor_behind_a_proxy_is_told_and_cannot_launch(browser: Browser, app_url: str):
    context = browser.new_context(extra_http_headers={"X-Forwarded-For": "203.0.113.7"})
    page = context.new_page()
    page.set_default_timeout(SECONDS)
    page.goto(f"{app_url}/train")
    expect(page.get_by_text("VAE_ALLOW_TRAINING=1")).to_be_visible(timeout=SECONDS)
    assert page.get_by_role("button", name="Start training").count() == 0
    context.close()
