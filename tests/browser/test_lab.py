"""The Lab in a real Chromium: the divider, every bench with the figures of its command, own pictures, cancelling."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.waiting import PATIENCE, eventually, shows
from tests.tiny import SIZE, write_bundle
from vae.bundles.bundle import Bundle
from vae.evaluation import compressing, generating, lsz, pairing, reconstructing, repairing
from vae.space import settling
from vae.space.axes import bases

READ = "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
NAMES = ("Right", "Up")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_app: Callable) -> Iterator[tuple[str, Bundle]]:
    """A running app with a linear model of six numbers and two labels."""
    home = tmp_path_factory.mktemp("lab-home")
    mu = np.random.default_rng(0).standard_normal((400, 6))
    model = write_bundle(home / "models" / "blobs", mu, (mu[:, :2] > 0).astype(np.uint8), NAMES)
    with start_app(home) as url:
        yield url, model


@pytest.fixture(scope="module")
def others(site: tuple[str, Bundle]) -> dict[str, Bundle]:
    """More models for the running app: two with a direction of one name, in different places and sizes of code."""
    folder, rng = site[1].path.parent, np.random.default_rng(1)
    mu = rng.standard_normal((300, 6))
    return {
        "wide": write_bundle(folder / "wide", mu, directions=("Up", "Left", "Round")),
        "narrow": write_bundle(folder / "narrow", mu[:, :3], directions=("Left", "Far")),
    }


@pytest.fixture(scope="module")
def mine(site: tuple[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A picture of the visitor's: one of the model's kind, and something that the model cannot say."""
    picture = site[1].decode(site[1].codes.mu[5:6])[0].copy()
    picture[1:4, 11:14] = 250
    path = tmp_path_factory.mktemp("mine") / "mine.png"
    Image.fromarray(picture[..., 0]).save(path)
    return path, picture


@pytest.fixture
def lab(site: tuple[str, Bundle], mine: tuple[Path, np.ndarray], page: Page) -> Iterator[Callable[..., Page]]:
    """Opens a bench with the visitor's picture chosen."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def go(bench: str, model: str = "blobs") -> Page:
        page.goto(f"{site[0]}/lab?model={model}&bench={bench}")
        expect(page.get_by_role("tab", selected=True)).to_have_attribute("data-bench", bench)
        page.locator(".thumb").first.wait_for()
        page.locator('[data-testid="lab-file"]').set_input_files(str(mine[0]))
        expect(page.locator('.thumbs .thumb[aria-pressed="true"]')).to_have_attribute("title", "mine.png, yours")
        return page

    yield go
    assert not errors


def figure(page: Page, bench: str, method: str, key: str) -> Locator:
    return page.locator(f'[data-testid="figures-{bench}"] tr[data-method="{method}"] [data-figure="{key}"]')


def shown(page: Page, side: str) -> np.ndarray:
    pixels = page.locator(f'[data-testid="compare-{side}"]').evaluate(READ)
    return np.array(pixels, np.uint8).reshape(SIZE, SIZE, 4)[..., :1]


def until_shown(page: Page, side: str, wanted: np.ndarray) -> None:
    eventually(page, lambda: np.array_equal(shown(page, side), wanted), lambda: f"{side} shows another picture")


def test_reconstruct_shows_what_the_model_makes_and_says_how_near(lab: Callable, site: tuple, mine: tuple) -> None:
    page, picture = lab("reconstruct"), mine[1]
    truth = reconstructing.reconstructed(site[1], picture, perceived=False)
    expect(figure(page, "reconstruct", "vae", "psnr")).to_have_text(f"{truth['entries'][0].figures['psnr']:.2f}")
    expect(page.locator(".reading")).to_contain_text(f"{truth['total']:.1f} nats")
    until_shown(page, "left", picture)
    until_shown(page, "right", truth["entries"][0].picture)
    page.get_by_test_id("difference").click()
    gap = np.abs(truth["entries"][0].picture.astype(int) - picture)
    until_shown(page, "difference", np.clip(4 * gap, 0, 255).astype(np.uint8))


def test_the_divider_is_a_slider_for_keys_and_hand(lab: Callable) -> None:
    page = lab("reconstruct")
    divider, left = page.get_by_test_id("divider"), page.get_by_test_id("compare-left")
    expect(divider).to_have_attribute("role", "slider")
    divider.focus()
    for key, now in (
        ("1", "0"),
        ("3", "100"),
        ("2", "50"),
        ("ArrowRight", "52"),
        ("ArrowLeft", "50"),
        ("End", "100"),
        ("Home", "0"),
    ):
        page.keyboard.press(key)
        expect(divider).to_have_attribute("aria-valuenow", now)
    box = page.locator(".sight").bounding_box()
    page.mouse.move(box["x"] + 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 40, steps=4)
    page.mouse.up()
    expect(divider).to_have_attribute("aria-valuenow", "75")
    assert left.evaluate("c => getComputedStyle(c).clipPath").startswith("inset(0px 25%")
    page.keyboard.down(" ")
    expect(page.locator(".sight[data-flipped]")).to_be_visible()
    page.keyboard.up(" ")
    expect(page.locator(".sight[data-flipped]")).to_have_count(0)
    page.locator(".sight").dblclick(position={"x": box["width"] * 0.2, "y": 60})
    expect(divider).to_have_attribute("aria-valuenow", "50")


def test_zoomed_in_a_pixel_is_whole_pixels_of_the_screen(lab: Callable) -> None:
    page = lab("reconstruct")
    for words, times in (("100\u202f%", 1), ("8\u00d7", 8)):
        page.get_by_role("radio", name=words).check()
        for side in ("left", "right"):
            box = page.get_by_test_id(f"compare-{side}").bounding_box()
            frame = page.locator(".sight").bounding_box()
            assert box["width"] == times * SIZE and float(box["x"] - frame["x"]).is_integer()


def test_compress_says_what_the_codec_says_and_saves_the_file(
    lab: Callable, site: tuple, mine: tuple, tmp_path: Path
) -> None:
    page, model, picture = lab("compress"), site[1], mine[1]
    entry = compressing.at_equal_bytes(model, None, picture, (100,), perceived=False)[100][0]
    expect(figure(page, "compress", "vae", "psnr")).to_have_text(f"{entry.figures['psnr']:.2f}")
    expect(figure(page, "compress", "vae", "bytes")).to_have_text(str(entry.size))
    budget = page.get_by_test_id("budget")
    budget.focus()
    page.keyboard.press("Home")
    entry = compressing.at_equal_bytes(model, None, picture, (12,), perceived=False)[12][0]
    expect(figure(page, "compress", "vae", "bytes")).to_have_text(str(entry.size))
    expect(figure(page, "compress", "jpeg", "bytes")).to_have_text("\u2013")
    with page.expect_download() as download:
        page.get_by_test_id("save-lsz").click()
    data = Path(download.value.path()).read_bytes()
    decoded = model.decode(lsz.codes_of(model, lsz.decode(model, data)))[0]
    assert np.array_equal(decoded, entry.picture)
    file = tmp_path / "back.lsz"
    file.write_bytes(data)
    page.get_by_test_id("lab-file").set_input_files(str(file))
    until_shown(page, "left", decoded)
    page.get_by_test_id("fit-pca").click()
    expect(figure(page, "compress", "pca", "psnr")).to_be_visible()


def test_curves_are_worked_at_with_a_bar_and_the_budget_can_be_dragged(lab: Callable) -> None:
    page = lab("compress")
    page.get_by_test_id("curves").click()
    chart = page.locator("svg.chart.moves")
    chart.wait_for()
    assert chart.locator('[data-series="vae"] path').get_attribute("d").count("L") >= 8
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + 60)
    eventually(page, lambda: int(page.locator(".slide output").inner_text().replace(",", "")) > 500)


def test_damage_is_repaired_with_the_figures_of_the_command(lab: Callable, site: tuple, mine: tuple) -> None:
    page = lab("repair")
    for entry in repairing.denoised(site[1], None, mine[1], "gaussian", 25, perceived=False):
        expect(figure(page, "repair", entry.id, "psnr")).to_have_text(f"{entry.figures['psnr']:.2f}")
    page.get_by_label("Kind of damage").select_option("salt")
    median = repairing.denoised(site[1], None, mine[1], "salt", 10, perceived=False)[2]
    expect(figure(page, "repair", median.id, "psnr")).to_have_text(f"{median.figures['psnr']:.2f}")
    page.locator('button[data-method="median"]').click()
    until_shown(page, "right", median.picture)
    page.get_by_test_id("mode").click()  # this model's weights have no names: a sentence says so
    expect(page.get_by_test_id("lab-status")).to_contain_text("use one pass")


def test_a_hole_is_filled_and_a_foreign_spot_vanishes_by_keyboard(lab: Callable) -> None:
    page = lab("repair")
    board = page.get_by_test_id("board")
    for way in ("Hide a part", "Paint something in"):
        page.get_by_role("radio", name=way).check()
        board.focus()
        for _ in range(6):
            page.keyboard.press("ArrowUp")
        page.keyboard.press(" ")
        if way == "Hide a part":
            expect(figure(page, "repair", "biharmonic", "psnr")).to_be_visible()
    expect(figure(page, "repair", "after", "psnr")).to_be_visible()
    expect(page.get_by_test_id("reading")).to_contain_text("Of what you painted the model kept")


def test_a_lasso_marks_the_same_pictures_on_all_maps(lab: Callable) -> None:
    page = lab("reduce")
    page.get_by_test_id("reduce").click()
    maps = page.locator("canvas.map")
    maps.first.wait_for()
    assert maps.count() == 3
    expect(page.locator('[data-map="umap"] [data-figure="trustworthiness"]')).to_have_text(
        re.compile(r"^(0\.\d{3}|1\.000)$")
    )
    maps.first.scroll_into_view_if_needed()
    box = maps.first.bounding_box()
    at = lambda x, y: (box["x"] + box["width"] * x, box["y"] + box["height"] * y)  # noqa: E731
    page.mouse.move(*at(0.02, 0.02))
    page.mouse.down()
    for x, y in ((0.98, 0.02), (0.98, 0.98), (0.02, 0.98)):
        page.mouse.move(*at(x, y), steps=3)
    page.mouse.up()
    expect(page.locator(".chosen p")).to_have_text("240 chosen")
    assert page.locator(".chosen canvas").count() == 40


def test_each_label_finds_its_slider(lab: Callable) -> None:
    page = lab("sliders")
    page.get_by_test_id("measure-sliders").click()
    expect(page.locator('[data-testid="scores"] [data-figure="mig"]')).to_be_visible()
    assert page.locator(".heat tbody tr").count() == 2
    dark = page.locator(".heat tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.querySelectorAll('td[style]')].map(c => Number(c.style.getPropertyValue('--share'))))"
    )
    assert [int(np.argmax(row)) for row in dark] == [0, 1]


def test_draws_are_held_against_the_data_and_chosen_by_hand(lab: Callable, site: tuple) -> None:
    page, model = lab("generate"), site[1]
    z = generating.draw(model, "fitted", 1.0, 1, 24)
    found = generating.held_against(model, z)
    page.locator('[data-draw="7"]').click()
    until_shown(page, "left", model.decode(z[7])[0])
    until_shown(page, "right", model.decode(model.codes.mu[found["rows"][7]])[0])
    expect(page.get_by_test_id("generate-words")).to_contain_text(f"{found['distances'][7]:.2f}")
    with page.expect_request("**/ask/generate*"):
        page.get_by_role("radio", name="N(0, I)").check()
    normal = generating.draw(model, "normal", 1.0, 1, 1)
    until_shown(page, "left", model.decode(normal)[0])


def side_by_side(page: Page, models: list[Bundle], codes: list[np.ndarray]) -> None:
    """Wait until the two pictures are what the models make of these codes."""
    for which, model, z in zip("ab", models, codes):
        wanted = np.broadcast_to(model.decode(z)[0], (SIZE, SIZE, 3))
        shows(page, wanted, within=1, canvas=f'[data-testid="two-{which}"]')


def test_one_hand_moves_two_models_by_keyboard(
    lab: Callable, site: tuple, others: dict[str, Bundle], mine: tuple, home: Path
) -> None:
    models, picture = [others["wide"], others["narrow"]], mine[1]
    page = lab("two", "wide")
    page.get_by_test_id("two-other").focus()
    page.keyboard.type("Narrow")
    expect(page.get_by_test_id("two-other")).to_have_value("narrow")
    codes = [model.encode(picture[None])[0][0] for model in models]
    side_by_side(page, models, codes)
    for which, model in zip("ab", models):
        figures = pairing.side(model, picture, perceived=False).figures
        cell = lambda key, side=which: page.locator(f'[data-figure="{key}"][data-side="{side}"]')  # noqa: E731
        expect(cell("psnr")).to_have_text(f"{figures['psnr']:.2f}")
        expect(cell("nats")).to_have_text(f"{figures['nats']:.1f}")
        expect(cell("numbers")).to_have_text(str(model.latent_size))
        expect(cell("weights")).to_have_text(f"{figures['weights'] / 1e6:.1f}")
    slider = page.get_by_role("slider", name="Left")
    assert page.locator("[data-slider]").count() == 1  # the only name that both have
    slider.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "plus 1.2 sigma")
    named = [bases(model)["named"] for model in models]
    steps = [1.2 * basis.D[basis.index("Left")] for basis in named]
    side_by_side(page, models, [z + step for z, step in zip(codes, steps)])
    expect(page.get_by_test_id("two-b")).to_have_attribute("aria-label", re.compile("Narrow: mine.png, Left plus 1.2"))

    page.get_by_role("radio", name="The picture").focus()
    page.keyboard.press("ArrowRight")
    straight = pairing.between(*models)
    expect(page.get_by_test_id("two-words")).to_contain_text(f"R\u00b2 {straight.r2:.2f}")
    z = settling.draw(models[0], 0, 1.0)[0]
    side_by_side(page, models, [z, straight(z)])
    page.get_by_test_id("two-again").press("Enter")
    z = settling.draw(models[0], 1, 1.0)[0]
    side_by_side(page, models, [z, straight(z)])

    downloads = []
    page.on("download", lambda one: downloads.append(one))
    page.get_by_test_id("report").press("Enter")
    eventually(page, lambda: len(downloads) == 2)
    path = next(one.path() for one in downloads if one.suggested_filename.endswith(".json"))
    kept = json.loads(Path(path).read_text())["page"]["two"]
    assert [side["digest"] for side in kept["sides"]] == [model.digest for model in models]
    assert kept["map"]["r2"] == pytest.approx(straight.r2, abs=1e-4) and "z" not in kept["sides"][0]


def test_without_a_shared_name_the_widest_axes_move(
    lab: Callable, site: tuple, others: dict[str, Bundle], mine: tuple, home: Path
) -> None:
    page, models = lab("two"), [site[1], others["narrow"]]
    expect(page.get_by_test_id("two-other")).to_have_value("narrow")  # the first of the same size and colours
    codes = [model.encode(mine[1][None])[0][0] for model in models]
    side_by_side(page, models, codes)
    assert page.locator("[data-slider]").count() == 3
    page.get_by_role("slider", name="PC 2").press("Home")
    side_by_side(page, models, [z - 3 * bases(model)["principal"].D[1] for z, model in zip(codes, models)])
    page.get_by_test_id("two-reset").press("Enter")
    side_by_side(page, models, codes)
    # Once a map tells how the axes lie to each other, the second model's point the same way.
    straight, (a, b) = pairing.between(*models), (bases(model)["principal"] for model in models)
    ways = np.sign([b.W[k] @ straight.matrix @ a.D[k] for k in range(3)])
    axis = int(ways.argmin())
    assert ways[axis] == -1
    page.get_by_role("radio", name="A draw").check()
    z = settling.draw(models[0], 0, 1.0)[0]
    side_by_side(page, models, [z, straight(z)])
    page.get_by_role("slider", name=f"PC {axis + 1}").press("End")
    side_by_side(page, models, [z + 3 * a.D[axis], straight(z) - 3 * b.D[axis]])


def test_a_table_of_all_pictures_sorts_and_the_report_has_its_figures(
    lab: Callable, site: tuple, tmp_path: Path
) -> None:
    page = lab("reconstruct")
    other = tmp_path / "other.png"
    Image.fromarray(site[1].decode(site[1].codes.mu[9])[0, ..., 0]).save(other)
    page.get_by_test_id("lab-file").set_input_files(str(other))
    expect(page.locator('.thumb[title$="yours"]')).to_have_count(2)
    page.get_by_test_id("measure-all").click()
    table = page.get_by_test_id("table")
    table.wait_for()
    figures = [float(text) for text in table.locator("tbody tr td:nth-child(2)").all_inner_texts()]
    assert figures == sorted(figures) and len(figures) == 2  # the samples were drawn by the model
    table.get_by_role("button", name="PSNR").click()
    expect(table.locator("th[aria-sort=descending]")).to_have_count(1)
    downloads = []
    page.on("download", lambda one: downloads.append(one))
    page.get_by_test_id("report").click()
    expect(page.get_by_test_id("lab-status")).to_contain_text("saved")
    eventually(page, lambda: len(downloads) == 2)
    found = {Path(one.suggested_filename).suffix: Path(one.path()).read_text() for one in downloads}
    report = json.loads(found[".json"])
    assert report["model"]["digest"] == site[1].digest and site[1].digest in found[".html"]
    assert [round(row["psnr"], 2) for row in report["reconstruct"]["rows"]] == figures
    assert "src" not in json.dumps(report["page"])


def test_what_cannot_be_read_is_said_and_nothing_breaks(lab: Callable, tmp_path: Path) -> None:
    page = lab("reconstruct")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    page.get_by_test_id("lab-file").set_input_files(str(bad))
    expect(page.get_by_test_id("lab-status")).to_contain_text("bad.png")
    foreign = tmp_path / "foreign.lsz"
    foreign.write_bytes(b"LS\x01\xde\xad\xbe\xef" + bytes(20))
    page.get_by_test_id("lab-file").set_input_files(str(foreign))
    expect(page.get_by_test_id("lab-status")).to_contain_text("another model")


def test_long_work_can_be_cancelled(browser: Browser, app_url: str) -> None:
    """Faces take long enough for the bar to be seen."""
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(1000 * PATIENCE)
    try:
        page.goto(f"{app_url}/lab?model=faces-128&bench=reduce")
        page.locator(".thumb").first.wait_for()
        page.get_by_test_id("reduce").click()
        page.get_by_test_id("lab-progress").get_by_role("button", name="Cancel").click()
        expect(page.get_by_test_id("lab-status")).to_contain_text("Cancelled")
        expect(page.get_by_test_id("lab-progress")).to_be_hidden()
        main = page.locator('[data-testid="stMain"]')
        assert main.evaluate("e => e.scrollWidth <= e.clientWidth")
    finally:
        page.close()
