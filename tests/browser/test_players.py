"""The players of the worlds in a real Chromium: a chord is heard, a scan's window moves, a sprite is cut out, is whole."""

from __future__ import annotations

import base64
import io
import wave
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.playing import BLUE, FIRST, RED, drag_on, heard, silent, through_the_window
from tests.browser.test_explore import first_axis, slider
from tests.browser.waiting import CANVAS, VIEW, eventually, settled, shows, until
from tests.tiny_worlds import write_world
from vae.bundles.bundle import Bundle
from vae.data.worlds import rolls
from vae.data.worlds.rolls import Note
from vae.space import packing


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The world tiny-parts of the app, here."""
    return write_world(tmp_path_factory.mktemp("models") / "tiny-parts", RED, BLUE, "sprite", settle=2)


def opened(page: Page, url: str, name: str) -> np.ndarray:
    """Explore with a tiny world at its mean, on the server engine -> the pixels."""
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(f"{url}/?model={name}")
    page.locator(".live[data-drawn][data-ready]").wait_for()
    page.get_by_role("button", name="Mean").click()
    page.evaluate(VIEW)
    eventually(page, lambda: "z=" in page.url)
    return settled(page)


def test_a_chord_is_heard_and_follows_the_slider(page: Page, worlds_url: str) -> None:
    opened(page, worlds_url, "tiny-roll")
    words = page.get_by_test_id("roll-words")
    expect(words).to_have_text("3 notes, 0 beginnings in doubt")
    assert page.evaluate("window.view.player.sound.context") is None, "nothing may sound before a click"
    play = page.get_by_test_id("roll-play")
    play.focus()
    page.keyboard.press("Enter")
    heard(page, 440, 659.26)
    slider(page, first_axis(page)).press("End")  # the other picture, and beyond: a C, while it plays on
    expect(words).to_have_text("1 note, 0 beginnings in doubt")
    heard(page, 261.63, without=(440, 659.26))
    mute = page.get_by_role("button", name="Mute")
    mute.press("Enter")
    silent(page)
    mute.press("Enter")
    heard(page, 261.63)
    page.get_by_test_id("roll-play").press("Enter")
    silent(page)


def events(data: bytes) -> tuple[int, list[Note]]:
    """A MIDI file of one track -> microseconds a quarter, and its notes in sixteenths."""
    assert data[:4] == b"MThd" and data[8:12] == bytes((0, 0, 0, 1)) and data[14:18] == b"MTrk"
    quarter, at, now, tempo = int.from_bytes(data[12:14], "big"), 22, 0, 0
    assert int.from_bytes(data[18:22], "big") == len(data) - 22
    begun: dict[int, int] = {}
    notes = []
    while at < len(data):
        step = 0
        while True:
            byte = data[at]
            at += 1
            step = step << 7 | byte & 127
            if byte < 128:
                break
        now += step
        kind, first, second = data[at : at + 3]
        at += 3
        if kind == 0xFF:
            tempo = int.from_bytes(data[at : at + 3], "big") if first == 0x51 else tempo
            at += second
        elif kind == 0x90:
            begun[first] = now
        else:
            assert kind == 0x80
            notes.append(Note(4 * begun.pop(first) // quarter, 4 * now // quarter, first))
    assert not begun
    return tempo, sorted(notes)


def test_a_roll_is_read_as_the_data_are_and_its_files_hold_the_same_notes(page: Page, worlds_url: str) -> None:
    rng = np.random.default_rng(3)
    starts, lengths, pitches = (rng.integers(low, high, 90).tolist() for low, high in ((0, 60), (1, 9), (33, 97)))
    drawn = [Note(start, start + length, pitch) for start, length, pitch in zip(starts, lengths, pitches)]
    noise = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    page.goto(f"{worlds_url}/api/health")
    answer = page.evaluate(
        """async ({ url, notes, noise }) => {
            const { notesOf, rollOf, doubtful } = await import(url + "/web/live/players/notes.js");
            const { midi, wav } = await import(url + "/web/live/players/files.js");
            const { rendered } = await import(url + "/web/live/players/sound.js");
            const { toBase64 } = await import(url + "/web/live/floats.js");
            const roll = rollOf(notes);
            const read = notesOf(roll);
            const rgba = noise.flatMap(([r, g, b]) => [r, g, b, 255]);
            const { samples, rate } = await rendered(notes.slice(0, 1), 120);
            return { roll: [...roll], read, noisy: notesOf(rgba), doubts: doubtful(rgba), midi: [...midi(read, 90)],
                wav: toBase64(wav(samples, rate)), peak: samples.reduce((a, b) => Math.max(a, b)) };
        }""",
        {
            "url": worlds_url,
            "notes": [n._asdict() for n in [Note(0, 64, 69), *drawn]],
            "noise": noise.reshape(-1, 3).tolist(),
        },
    )
    notes = [Note(**n) for n in answer["read"]]
    picture = rolls.to_picture([Note(0, 64, 69), *drawn])
    assert (np.array(answer["roll"]).reshape(64, 64, 4)[..., :3] == picture).all()
    assert notes == rolls.to_notes(picture) and (rolls.to_picture(notes) == picture).all()
    assert [Note(**n) for n in answer["noisy"]] == rolls.to_notes(noise)
    assert answer["doubts"] == rolls.doubtful(noise)
    tempo, played = events(bytes(answer["midi"]))
    assert (round(6e7 / tempo), played) == (90, sorted(notes))
    with wave.open(io.BytesIO(base64.b64decode(answer["wav"]))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        rate, sound = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(sound) / rate == pytest.approx(64 * 15 / 120 + 0.5, abs=0.01)
    assert sound.max() == pytest.approx(32767 * answer["peak"], abs=1) and sound.max() < 32767
    spectrum = np.abs(np.fft.rfft(sound[: 4 * rate] * np.hanning(4 * rate)))
    assert spectrum.argmax() / 4 == pytest.approx(440, abs=1)


def test_music_is_taken_away_with_the_picture_in_view(page: Page, worlds_url: str) -> None:
    opened(page, worlds_url, "tiny-roll")
    with page.expect_download() as midi:
        page.get_by_role("button", name="MIDI").click()
    assert events(Path(midi.value.path()).read_bytes())[1] == sorted(FIRST)
    with page.expect_download() as sound:
        page.get_by_role("button", name="WAV").click()
    with wave.open(str(sound.value.path())) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(64 * 15 / 84 + 0.5, abs=0.01)


def test_the_window_of_a_scan_is_changed_by_hand_and_by_keyboard(page: Page, worlds_url: str) -> None:
    before = opened(page, worlds_url, "tiny-scan").astype(float)
    level, window = (page.locator(f'[data-view="{name}"]') for name in ("level", "window"))
    as_told = through_the_window(page, before)
    level.focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    assert level.input_value() == "38"
    until(page, as_told)
    expect(page.locator(".player.scan .figures")).to_contain_text("Greys from 0 to 88")
    drag_on(page, CANVAS, -0.3)
    assert window.input_value() == "52" and level.input_value() == "38"
    until(page, as_told)
    page.get_by_role("button", name="Whole range").press("Enter")
    until(page, lambda pixels: bool((pixels == before).all()))


def test_a_sprite_is_cut_out_of_its_ground(page: Page, worlds_url: str) -> None:
    shown = opened(page, worlds_url, "tiny-sprite")
    with page.expect_download() as saved:
        page.get_by_role("button", name="64 px").click()
    sprite = np.asarray(Image.open(saved.value.path()))
    assert sprite.shape == (64, 64, 4)
    figure = np.zeros((64, 64), bool)
    figure[16:48, 20:44] = True
    assert ((sprite[..., 3] == 255) == figure).all() and set(np.unique(sprite[..., 3])) == {0, 255}
    assert (sprite[figure][:, :3] == shown[figure]).all()
    with page.expect_download() as large:
        page.get_by_role("button", name="256 px").click()
    assert (np.asarray(Image.open(large.value.path()))[::4, ::4] == sprite).all()


def at(bundle: Bundle, *shares: float) -> dict[str, str]:
    """Of pictures that are so much the second one: the codes of an address."""
    return {
        f"z{k if len(shares) > 1 else ''}": packing.pack(np.array([share, 0]), bundle.stats)
        for k, share in enumerate(shares)
    }


def by_link(page: Page, url: str, name: str, bundle: Bundle, **query: str) -> None:
    """A page on the server engine, with what its address says."""
    page.add_init_script("localStorage.setItem('live-engine', 'server')")
    page.goto(f"{url}/{name}?{urlencode({'model': bundle.name, 'hash': bundle.digest, **query})}")
    page.locator(".live[data-drawn][data-ready]").wait_for()


def test_a_part_that_is_half_there_is_made_whole_and_undone(page: Page, worlds_url: str, parts: Bundle) -> None:
    by_link(page, worlds_url, "", parts, **at(parts, 0.6))
    ghost = (0.4 * RED + 0.6 * BLUE).round()
    shows(page, ghost, 2)
    page.get_by_role("button", name="Whole parts").press("Enter")
    shows(page, BLUE, 16)  # 0.6, 0.7, 0.9 of the way
    expect(page.locator(".notice")).to_contain_text("Whole parts")
    page.get_by_role("button", name="Undo").click()
    shows(page, ghost, 2)
    page.get_by_role("button", name="Redo").click()
    shows(page, BLUE, 16)


def test_only_a_model_of_parts_offers_to_make_them_whole(page: Page, worlds_url: str) -> None:
    opened(page, worlds_url, "tiny-sprite")
    expect(page.get_by_role("button", name="Jitter")).to_be_visible()
    expect(page.get_by_role("button", name="Whole parts")).to_have_count(0)


def test_a_child_has_whole_parts_once_the_hand_rests(page: Page, worlds_url: str, parts: Bundle) -> None:
    by_link(page, worlds_url, "blend", parts, **at(parts, 0, 1), path="lerp", weights="0.75,0.25")
    ghost = (0.75 * RED + 0.25 * BLUE).round()
    shows(page, ghost, 2)
    switch = page.get_by_role("switch", name="Whole parts")
    switch.press("Space")
    shows(page, RED, 2)  # all the way in one pass
    mix = page.locator("input[data-axis='mix:all']")
    mix.evaluate("(s) => { s.value = 0.6; s.dispatchEvent(new Event('input')); }")
    until(page, lambda pixels: bool(np.abs(pixels - (0.4 * RED + 0.6 * BLUE)).max() < 3))  # under the hand as it is
    mix.evaluate("(s) => s.dispatchEvent(new Event('change'))")
    shows(page, BLUE, 16)
    switch.press("Space")
    shows(page, (0.4 * RED + 0.6 * BLUE).round(), 2)


def test_the_small_pictures_of_a_blend_have_whole_parts_too(page: Page, worlds_url: str, parts: Bundle) -> None:
    by_link(page, worlds_url, "blend", parts, **at(parts, 0, 0.8), path="lerp", weights="0.75,0.25")
    strip = page.locator(".morph .strip canvas")
    expect(strip).to_have_count(8)
    # how blue the figure is at each step
    blue = "all => all.map((c) => c.getContext('2d').getImageData(c.width / 2, c.height / 3, 1, 1).data[2])"
    eventually(page, lambda: len(set(strip.evaluate_all(blue))) == 8)
    cell = page.get_by_role("button", name="A with B", exact=True).locator("canvas")
    expect(cell).to_have_count(1)  # the table comes after the strip
    eventually(page, lambda: cell.evaluate_all(blue)[0] > 90)  # between 40 and 180, and nearer to 40
    page.get_by_role("switch", name="Whole parts").press("Space")
    eventually(page, lambda: cell.evaluate_all(blue)[0] < 60)
    eventually(page, lambda: (seen := strip.evaluate_all(blue)) and set(seen[:3]) == {40} and min(seen[5:]) > 140)
