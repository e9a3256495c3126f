"""Style offsets that the encoder reads, in a real Chromium: Explore, Blend and Map draw a picture with its own."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.test_explore import code, ready
from tests.browser.waiting import PATIENCE, settled, until
from vae.bundles.bundle import Bundle, open_bundle

NAME = "tiny-offsets"
CROP = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def site(
    tiny_offset_bundle: Path, tmp_path_factory: pytest.TempPathFactory, start_app: Callable[..., Any]
) -> Iterator[tuple[str, Bundle]]:
    """A running app with the model, which takes any picture's middle square."""
    home = tmp_path_factory.mktemp("home")
    folder = shutil.copytree(tiny_offset_bundle, home / "models" / NAME)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "eyes": None}))
    with start_app(home) as url:
        yield url, open_bundle(folder)


@pytest.fixture(scope="module")
def file() -> dict[str, Any]:
    out = io.BytesIO()
    Image.fromarray(CROP).save(out, "PNG")
    return {"name": "noise.png", "mimeType": "image/png", "buffer": out.getvalue()}


def same(drawn: np.ndarray, bundle: Bundle, z: np.ndarray, with_offsets: bool = True) -> bool:
    delta = bundle.encode_with_offsets(CROP[None])[2] if with_offsets else None
    return bool(np.abs(drawn.astype(int) - bundle.decode(z, delta)[0]).max() <= 2)


def test_explore_draws_a_photo_with_its_offsets_unrefined_too(page: Page, site: tuple[str, Bundle], file: Any) -> None:
    url, bundle = site
    ready(page, f"{url}/?model={NAME}")
    page.get_by_role("button", name="Your picture").click()
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').set_input_files(file)
    page.locator(".photo:not([hidden])").wait_for()
    expect(page.locator(".photo-progress")).to_be_hidden(timeout=2000 * PATIENCE)
    page.keyboard.press("Escape")
    refined = settled(page)
    page.get_by_role("switch", name="Refined").click(force=True)
    once = until(page, lambda drawn: same(drawn, bundle, code(page, bundle)))
    z = code(page, bundle)
    assert not same(refined, bundle, z) and not same(once, bundle, z, with_offsets=False)
    page.get_by_role("button", name="Mean").first.click()  # another picture: none of its own
    until(page, lambda drawn: same(drawn, bundle, code(page, bundle), with_offsets=False))
    assert np.abs(code(page, bundle) - z).max() > 0.1


def test_blend_draws_a_person_with_their_offsets(page: Page, site: tuple[str, Bundle], file: Any) -> None:
    url, bundle = site
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(f"{url}/blend?model={NAME}")
    page.locator('.blend[data-people="2"]').wait_for()
    page.get_by_role("button", name="Take B away").click()
    page.locator('.blend[data-people="1"]').wait_for()
    with page.expect_file_chooser() as chooser:
        page.get_by_test_id("choose-0").click()
    chooser.value.set_files(file)
    page.locator(".card[data-slot='0'] .name", has_text="noise.png").wait_for()
    z = bundle.encode(CROP[None])[0]
    drawn = until(page, lambda drawn: same(drawn, bundle, z))
    assert not same(drawn, bundle, z, with_offsets=False)
    page.get_by_test_id("refine").click()
    page.locator(".card-figures").wait_for()
    until(page, lambda drawn: not same(drawn, bundle, z))


def test_the_map_draws_a_dropped_picture_with_its_offsets(page: Page, site: tuple[str, Bundle], file: Any) -> None:
    url, bundle = site
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(f"{url}/atlas?model={NAME}")
    page.locator('[data-testid="atlas-map"][data-draw-ms][data-count]').wait_for()
    sprites: list[str] = []
    page.on("request", lambda request: sprites.append(request.url) if "/atlas/decoded" in request.url else None)
    page.get_by_test_id("drop-input").set_input_files(file)
    page.locator('[data-testid="atlas-map"][data-placed="1"]').wait_for()
    z = bundle.encode(CROP[None])[0]
    drawn = until(page, lambda drawn: same(drawn, bundle, z), '[data-testid="current-canvas"]')
    assert not same(drawn, bundle, z, with_offsets=False)
    assert sum("offsets=1" in url for url in sprites) == 1
