"""What the players make of a picture: the worlds that the tests play, what is heard of them, what a window shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import Page

from tests.browser.waiting import READ, eventually
from tests.tiny_worlds import write_world
from vae.data.worlds import rolls
from vae.data.worlds.rolls import Note

FIRST = [Note(0, 64, 69), Note(0, 32, 76), Note(32, 64, 73)]  # an A of 440 Hz, and above it an E, then a C sharp
SECOND = [Note(0, 64, 60)]
GROUND = (235, 240, 245)
NEAR = 4  # hertz


def scan_of(low: int, high: int) -> np.ndarray:
    """A slope of greys, uint8 (64, 64, 1)."""
    return np.linspace(low, high, 64).round().astype(np.uint8)[None, :, None].repeat(64, 0)


def sprite_of(colour: tuple[int, int, int]) -> np.ndarray:
    """A figure on the ground, with a hole of the ground's colour that cannot be reached from outside."""
    picture = np.full((64, 64, 3), GROUND, np.uint8)
    picture[16:48, 20:44] = colour
    picture[30:34, 30:34] = GROUND
    return picture


RED, BLUE = sprite_of((180, 40, 40)), sprite_of((40, 40, 180))


def write_worlds(models: Path) -> None:
    """A tiny world of each kind; each draws its first picture at its mean."""
    write_world(models / "tiny-roll", rolls.to_picture(FIRST), rolls.to_picture(SECOND), "roll")
    write_world(models / "tiny-scan", scan_of(40, 200), scan_of(60, 220), "scan")
    write_world(models / "tiny-sprite", RED, BLUE, "sprite")
    write_world(models / "tiny-parts", RED, BLUE, "sprite", settle=2)


# The loudest frequencies, in hertz, of what is heard: each a peak above a hundredth of the loudest, strongest first.
PEAKS = """() => {
    const { analyser, context } = window.view.player.sound;
    const heard = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(heard);
    const hertz = context.sampleRate / analyser.fftSize, loudest = Math.max(...heard);
    if (loudest < -60) return [];
    const peaks = [];
    heard.forEach((db, i) => {
        if (db > loudest - 20 && db >= heard[i - 1] && db > heard[i + 1]) peaks.push([db, i * hertz]);
    });
    return peaks.sort((a, b) => b[0] - a[0]).map(([, f]) => f);
}"""


def silent(page: Page) -> None:
    """Wait until nothing is heard."""
    eventually(page, lambda: page.evaluate(PEAKS) == [], lambda: f"heard {page.evaluate(PEAKS)[:12]}")


def heard(page: Page, *wanted: float, without: tuple[float, ...] = ()) -> None:
    """Wait until there is sound at these frequencies, and none at those."""

    def right() -> bool:
        peaks = page.evaluate(PEAKS)
        near = lambda f: any(abs(f - peak) < NEAR for peak in peaks)  # noqa: E731
        return all(map(near, wanted)) and not any(map(near, without))

    eventually(page, right, lambda: f"heard {page.evaluate(PEAKS)[:12]}, not {wanted}")


def dial(page: Page, name: str) -> float:
    """What a scan's window or level stands at, in levels."""
    return 2.55 * float(page.locator(f'[data-view="{name}"]').input_value())


def through_the_window(page: Page, plain: np.ndarray) -> Callable[[np.ndarray], bool]:
    """Whether pixels are these as the two dials tell: the greys of the window spread from black to white."""

    def holds(pixels: np.ndarray) -> bool:
        middle, width = dial(page, "level"), dial(page, "window")
        wanted = np.clip(255 * (plain - (middle - width / 2)) / width, 0, 255)
        return bool(np.abs(pixels - wanted).max() <= 2 and np.abs(pixels.astype(float) - plain).max() > 10)

    return holds


def drag_on(page: Page, picture: str, dx: float, dy: float = 0, start: tuple[float, float] = (0.7, 0.5)) -> None:
    """Drag on a picture by shares of its width, from a place in it."""
    element = page.locator(picture)
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    x, y = box["x"] + start[0] * box["width"], box["y"] + start[1] * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx * box["width"], y + dy * box["width"], steps=5)
    page.mouse.up()


def drawn(page: Page, canvas: str) -> np.ndarray:
    """What a canvas shows at this moment, (s, s, 3)."""
    size, pixels = page.locator(canvas).evaluate(f"c => [c.width, ({READ})(c)]")
    return np.array(pixels, np.uint8).reshape(size, size, 4)[..., :3]
