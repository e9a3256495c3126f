"""The Learn page in a real Chromium: every step by keyboard; its numbers and pictures are the models' own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from tests.browser.waiting import PATIENCE, eventually
from tests.lessons import model_of, opened
from vae.bundles.bundle import Bundle
from vae.bundles.registry import default_registry
from vae.networks.autoencoder import Posterior
from vae.space import latent, mixing, settling
from vae.space.axes import bases, move
from vae.training.lessons import SmallModel, shelf
from vae.training.losses import reconstruction_loss
from vae.web.core.files import modules
from vae.web.learn.steps import STEPS

RECIPE, TENSORS = opened()
LESSONS = {lesson.name: lesson for lesson in shelf()}


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """One page for the module's steps; each test opens its own address in it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.add_init_script("localStorage.setItem('live-engine', 'server'); sessionStorage.clear()")
    yield page
    context.close()


def go(page: Page, url: str, step: str, **query: object) -> None:
    """Open a step by its address, and wait until it is alive."""
    page.goto(f"{url}/learn?" + "&".join(f"{key}={value}" for key, value in {"step": step, **query}.items()))
    page.locator(f'.learn[data-ready="{step}"]').wait_for()


def model(name: str) -> SmallModel:
    return model_of(LESSONS[name], RECIPE, TENSORS).requires_grad_(False)


def digit(i: int, kept: str = "test") -> torch.Tensor:
    """Picture i of the file, (1, p) in [-1, 1]."""
    return TENSORS[f"{kept}.pictures"][i].flatten()[None].float() / 127.5 - 1


def number(page: Page, name: str) -> float:
    return float(page.get_by_test_id(name).inner_text().replace("\u2212", "-"))


def numbers(page: Page, name: str) -> list[float]:
    return [float(part) for part in page.get_by_test_id(name).inner_text().replace("\u2212", "-").split(",")]


def levels(page: Page, name: str) -> np.ndarray:
    """Grey levels (p,) of a picture of the page."""
    read = "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    return np.array(page.get_by_test_id(name).evaluate(read)).reshape(-1, 4)[:, 0]


def same_picture(page: Page, name: str, y: torch.Tensor) -> None:
    """The page shows what the model draws, to two levels."""
    assert np.abs(levels(page, name) - (y[0].numpy() + 1) * 127.5).max() <= 2, name


def tab_to(page: Page, found: Any) -> None:
    """Reach a control by the Tab key alone."""
    for _ in range(150):
        if found.evaluate("node => node === node.getRootNode().activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("the Tab key does not get there")


def press(page: Page, name: str, *keys: str) -> None:
    """Keys on a control that the Tab key has reached."""
    tab_to(page, page.get_by_test_id(name))
    for key in keys:
        page.keyboard.press(key)


def done(page: Page) -> bool:
    return page.locator(".task").get_attribute("data-done") is not None


def test_the_frame_steps_words_addresses_and_what_a_teacher_hides(tab: Page, app_url: str) -> None:
    tab.goto(f"{app_url}/learn")
    tab.locator('.learn[data-ready="squeeze"]').wait_for()
    steps = tab.locator(".steps button")
    assert steps.count() == len(STEPS)
    expect(tab.locator(".stated .katex")).to_have_count(3)  # each formula, set by KaTeX
    tab_to(tab, tab.get_by_role("button", name="bottleneck"))
    tab.keyboard.press("Enter")
    expect(tab.locator(".meaning")).to_contain_text("fewer numbers than the picture has pixels")
    tab.keyboard.press("Enter")
    expect(tab.locator(".meaning")).to_be_hidden()
    tab.locator(".legend [data-symbol=z]").focus()
    expect(tab.locator(".learn")).to_have_attribute("data-lit", "z")
    tab.get_by_role("button", name=re.compile("^Next: Holes")).press("Enter")
    tab.locator('.learn[data-ready="holes"]').wait_for()
    eventually(tab, lambda: "step=holes" in tab.url, lambda: tab.url)
    steps.nth(1).focus()
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    tab.locator('.learn[data-ready="cloud"]').wait_for()
    go(tab, app_url, "wishes", hide="formulas,code,unknown")
    expect(tab.locator(".stated")).to_be_hidden()
    expect(tab.locator(".source")).to_be_hidden()
    expect(tab.locator(".task")).to_be_visible()
    eventually(tab, lambda: "hide=formulas" in tab.url and "step=wishes" in tab.url, lambda: tab.url)


def test_on_paper_all_steps_are_a_hand_out(tab: Page, app_url: str) -> None:
    go(tab, app_url, "holes")
    tab.emulate_media(media="print")
    try:
        expect(tab.locator(".handout article")).to_have_count(len(STEPS))
        expect(tab.locator(".handout article").last).to_be_visible()
        expect(tab.locator(".figure")).to_be_hidden()
    finally:
        tab.emulate_media(media="screen")


FETCHED = """() => performance.getEntriesByType("resource").map((entry) => new URL(entry.name).pathname)
    .filter((path) => path.includes("/web/") || path.endsWith("/lessons"))"""


def test_modules_and_models_are_asked_for_at_once_and_only_once(tab: Page, app_url: str) -> None:
    go(tab, app_url, "squeeze")
    found = tab.evaluate(FETCHED)
    links = tab.locator("head link[rel=modulepreload]").evaluate_all("links => links.map((link) => link.href)")
    assert len([path for path in found if path.endswith("/lessons")]) == 1
    assert {path.partition("/web/")[2].partition("/")[2] for path in links} >= set(modules("learn/learn"))
    for path in modules("learn/learn"):
        assert sum(one.endswith("/" + path) for one in found) == 1, path


SUMS = """async ({ mu, sigma, eps, x, y }) => {
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const { draw, divergence, integrated, pixelLoss, slerp } = await import(loaded.find((name) => name.includes("/sums.js")));
    return { z: Array.from(draw(mu, sigma, eps)), kl: divergence(mu, sigma), integral: mu.map((m, i) => integrated(m, sigma[i])),
      loss: pixelLoss(x, y), arc: Array.from(slerp(mu, eps, 0.3)) };
}"""


def test_the_sums_of_the_page_are_the_project_s(tab: Page, app_url: str) -> None:
    go(tab, app_url, "trick")
    rng = np.random.default_rng(8)
    mu, eps = rng.normal(size=(2, 6))
    sigma, (x, y) = rng.uniform(0.01, 2, 6), rng.uniform(-1, 1, (2, 256))
    found = tab.evaluate(
        SUMS, {"mu": mu.tolist(), "sigma": sigma.tolist(), "eps": eps.tolist(), "x": x.tolist(), "y": y.tolist()}
    )
    q = Posterior(*(torch.from_numpy(v)[None] for v in (mu, 2 * np.log(sigma))))
    assert np.allclose(found["z"], q.sample(torch.from_numpy(eps)[None])[0], atol=1e-6)
    assert np.allclose(found["kl"], q.kl()[0], atol=1e-12)
    assert np.allclose(found["integral"], found["kl"], atol=1e-9)
    images = (torch.from_numpy(v).reshape(1, 1, 16, 16) for v in (x, y))
    assert found["loss"] == pytest.approx(float(reconstruction_loss(*images, "mse")), rel=1e-12)
    assert np.allclose(found["arc"], latent.slerp(mu, eps, 0.3), atol=1e-6)


def test_squeeze(tab: Page, app_url: str) -> None:
    go(tab, app_url, "squeeze", numbers=4)
    x = digit(3)
    for d in (4, 8):
        y = model(f"plain-{d}").decode(model(f"plain-{d}").encode(x).mu)
        same_picture(tab, "redrawn", y)
        assert number(tab, "loss") == pytest.approx(float(reconstruction_loss(x, y, "mse")), abs=0.006)
        if d == 4:
            press(tab, "squeeze", "ArrowRight")
    assert not done(tab)
    press(tab, "pad", " ", *["ArrowDown"] * 8, *["ArrowRight"] * 3)
    drawn = torch.from_numpy(levels(tab, "pad").astype(np.float32) / 127.5 - 1)[None]
    assert (drawn > 0).sum() > 10 and (drawn - x).abs().max() > 1  # the example made way
    small = model("plain-8")
    assert np.abs(levels(tab, "redrawn") - (small.decode(small.encode(drawn).mu)[0].numpy() + 1) * 127.5).max() <= 3
    assert done(tab)
    eventually(tab, lambda: "numbers=8" in tab.url, lambda: tab.url)


def test_a_face_through_few_numbers(tab: Page, app_url: str, bundle: Bundle) -> None:
    go(tab, app_url, "squeeze")
    z, basis, mean = settling.draw(bundle, 11, 0.7)[0], bases(bundle)["principal"], bundle.stats.mean
    values = basis.values(z, mean)

    def shown(kept: int) -> Callable[[], bool]:
        wanted = bundle.decode((mean + values[:kept] @ basis.D[:kept])[None].astype(np.float32))[0]
        read = "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"

        def look() -> bool:
            pixels = np.array(tab.get_by_test_id("face-squeeze").evaluate(read)).reshape(128, 128, 4)[..., :3]
            return bool(np.abs(pixels - wanted.astype(int)).max() <= 2)

        return look

    eventually(tab, shown(8), lambda: "the face of 8 numbers does not come")
    press(tab, "face-numbers", "ArrowRight")
    eventually(tab, shown(16), lambda: "the face of 16 numbers does not come")


def test_holes(tab: Page, app_url: str) -> None:
    go(tab, app_url, "holes")
    expect(tab.get_by_test_id("out-plain")).to_be_hidden()  # the guess comes first
    tab_to(tab, tab.get_by_role("button", name="The plain one"))
    tab.keyboard.press("Enter")
    expect(tab.get_by_test_id("out-plain")).to_be_visible()
    expect(tab.get_by_test_id("paint")).to_have_attribute("aria-pressed", "true")  # what every place would draw
    hole, filled = number(tab, "far-plain"), number(tab, "far-cloud")
    assert hole > 3 * filled  # what the step says is so
    expect(tab.locator(".answer")).to_contain_text(f"{filled:.1f} from the nearest one, against {hole:.1f}")
    press(tab, "walk", "End")
    i = int((TENSORS["test.labels"] == 8).nonzero()[0])
    every = torch.cat([digit(k) for k in range(500)])
    for side, name in (("plain", "plain-2"), ("cloud", "plane")):
        y = model(name).decode(model(name).encode(digit(i)).mu)
        same_picture(tab, f"out-{side}", y)
        near = float(reconstruction_loss(every, y.expand_as(every), "mse").min())
        assert number(tab, f"far-{side}") == pytest.approx(near, abs=0.06)
    assert done(tab)
    before = levels(tab, "out-cloud")
    press(tab, "plane-cloud", *["ArrowLeft"] * 5)
    assert np.abs(levels(tab, "out-cloud") - before).max() > 20
    eventually(tab, lambda: re.search(r"x=-?0\.\d+&y=", tab.url), lambda: tab.url)
    shown = levels(tab, "out-cloud")
    go(tab, app_url, "holes", **dict(re.findall(r"[?&]([xy])=([^&]+)", tab.url)))
    assert np.abs(levels(tab, "out-cloud") - shown).max() <= 6  # the address has three decimals


def test_cloud(tab: Page, app_url: str) -> None:
    go(tab, app_url, "cloud", picture=1)
    x, plane = digit(21), model("plane")
    q = plane.encode(x)
    assert numbers(tab, "mu") == pytest.approx(q.mu[0].tolist(), abs=6e-4)
    assert numbers(tab, "sigma") == pytest.approx((0.5 * q.logvar[0]).exp().tolist(), abs=6e-4)
    assert number(tab, "loss") == pytest.approx(float(reconstruction_loss(x, plane.decode(q.mu), "mse")), abs=6e-3)
    before = levels(tab, "draw-0")
    press(tab, "again", "Enter")
    assert (levels(tab, "draw-0") != before).any() and not done(tab)
    picture = tab.get_by_role("radio", name=re.compile("^A ")).nth(1)
    tab_to(tab, picture)
    tab.keyboard.press("ArrowRight")
    same_picture(tab, "input", digit(22))
    for _ in range(6):
        tab.keyboard.press("ArrowRight")
    expect(tab.locator(".sentence")).to_contain_text("A cross, no digit")
    assert done(tab)


def test_trick(tab: Page, app_url: str) -> None:
    go(tab, app_url, "trick")
    press(tab, "eps-0", *["ArrowRight"] * 10)
    x, plane = digit(24), model("plane")
    q = plane.encode(x)
    mu, sigma = (v.clone().requires_grad_() for v in (q.mu, (0.5 * q.logvar).exp()))
    y = plane.decode(mu + sigma * torch.tensor([[0.5, 0.0]]))
    reconstruction_loss(x, y, "mse").sum().backward()
    same_picture(tab, "drawn", y.detach())
    press(tab, "backward", "Enter")
    assert numbers(tab, "trick-dmu") == pytest.approx(mu.grad[0].tolist(), abs=0.012)
    assert numbers(tab, "trick-dsigma") == pytest.approx(sigma.grad[0].tolist(), abs=0.012)
    checked = [
        float(v.replace("\u2212", "-"))
        for v in re.findall(r"[+\u2212][\d.]+\d", tab.get_by_test_id("trick-check").inner_text())
    ]
    assert checked == pytest.approx(mu.grad[0].tolist(), abs=0.05)  # finite differences say the same
    assert not done(tab)
    press(tab, "die", "Enter")
    tab.keyboard.down("Shift")
    tab.keyboard.press("Tab")
    tab.keyboard.up("Shift")
    tab.keyboard.press("Enter")
    assert tab.get_by_test_id("trick-dmu").inner_text() == "none"
    assert done(tab)


def test_wishes(tab: Page, app_url: str) -> None:
    go(tab, app_url, "wishes", beta=0.5)
    x = digit(42)
    for k, name in ((2, "beta-0.5"), (3, "beta-1"), (5, "beta-10")):
        if k > 2:
            press(tab, "beta", *["ArrowRight"] * (k - 2 if k == 3 else 2))
        small = model(name)
        q = small.encode(x)
        y = small.decode(q.mu)
        pixels, kl = float(reconstruction_loss(x, y, "mse")), float(q.kl().sum())
        same_picture(tab, f"wish-out-{k}", y)
        assert number(tab, "wish-formula") == pytest.approx(kl, abs=2e-5)
        assert number(tab, "wish-integral") == number(tab, "wish-formula")  # to the same digits
        assert number(tab, "wish-pixels") == pytest.approx(pixels, abs=2e-3)
        assert number(tab, "wish-total") == pytest.approx(pixels + LESSONS[name].beta * kl, abs=2e-3)
    expect(tab.locator(".sentence")).to_contain_text("all eight numbers have collapsed")
    expect(tab.locator(".bar.faint")).to_have_count(8)
    assert not done(tab)
    press(tab, "beta", "Home")
    assert done(tab)


TRAINER = """async () => {
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const { Trainer } = await import(loaded.find((name) => name.includes("/trainer.js")));
    const pictures = Float32Array.from({ length: 3 * 9 }, (_, i) => Math.sin(i));
    const trainer = new Trainer(pictures, 9, { hidden: 5, beta: 0.7, seed: 2 });
    const before = Object.values(trainer.net).map(({ W, b }) => [Array.from(W), Array.from(b)]);
    trainer.random = () => 0.4; // always the second picture, always the same eps
    const told = trainer.step(1);
    return { told, before, x: Array.from(pictures.slice(9, 18)), slopes: trainer.sums.map(({ W, b }) => [Array.from(W), Array.from(b)]) };
}"""


def test_backpropagation_of_the_browser_is_autograd_s(tab: Page, app_url: str) -> None:
    go(tab, app_url, "train")
    found = tab.evaluate(TRAINER)
    layers = []
    for (W, b), (n_out, n_in) in zip(found["before"], ((5, 9), (4, 5), (5, 2), (9, 5))):
        weights = torch.tensor(W, dtype=torch.float32).reshape(n_out, n_in), torch.tensor(b, dtype=torch.float32)
        layers.append([weight.requires_grad_() for weight in weights])
    x = torch.tensor(found["x"])
    eps = np.sqrt(-2 * np.log(0.6)) * np.cos(2 * np.pi * 0.4)
    hidden = torch.tanh(layers[0][0] @ x + layers[0][1])
    mu, logvar = (layers[1][0] @ hidden + layers[1][1]).chunk(2)
    q = Posterior(mu[None], logvar[None])
    z = q.sample(torch.full((1, 2), float(eps)))[0]
    y = torch.tanh(layers[3][0] @ torch.tanh(layers[2][0] @ z + layers[2][1]) + layers[3][1])
    pixels, kl = reconstruction_loss(x[None], y[None], "mse").sum(), q.kl().sum()
    (pixels + 0.7 * kl).backward()
    assert found["told"]["pixels"] == pytest.approx(pixels.item(), rel=1e-5)
    assert found["told"]["kl"] == pytest.approx(kl.item(), rel=1e-5)
    for layer, slopes in zip(layers, found["slopes"]):
        for weight, slope in zip(layer, slopes):
            assert np.allclose(weight.grad.flatten(), slope, atol=2e-6)


def test_train_one(tab: Page, app_url: str) -> None:
    go(tab, app_url, "train")
    assert number(tab, "train-steps") == 0 and number(tab, "silhouette") < 0.1
    press(tab, "step", "Enter", "Enter")
    assert number(tab, "train-steps") == 2
    press(tab, "play", "Enter")
    eventually(
        tab,
        lambda: number(tab, "train-steps") >= 400 and number(tab, "silhouette") > 0.2,
        lambda: f"silhouette {number(tab, 'silhouette')} after {number(tab, 'train-steps')} steps",
    )
    assert not done(tab)
    tab_to(tab, tab.get_by_role("radio", name="Both wishes"))
    tab.keyboard.press("ArrowRight")
    expect(tab.get_by_role("radio", name="Reconstruction only")).to_be_checked()
    eventually(tab, lambda: done(tab), lambda: "training with one wish is not noticed")
    press(tab, "play", "Enter")
    steps = number(tab, "train-steps")
    press(tab, "step", "Enter")
    assert number(tab, "train-steps") == steps + 1  # it had stopped


def test_new_ones(tab: Page, app_url: str, bundle: Bundle) -> None:
    go(tab, app_url, "new", seed=4, temperature=0)
    small = model("beta-1")
    same_picture(tab, "new-0", small.decode(torch.zeros(1, 8)))  # at temperature 0: the middle of the prior
    every = torch.cat([digit(k, "train") for k in range(1500)])
    y = small.decode(torch.zeros(1, 8))
    distance = reconstruction_loss(every, y.expand_as(every), "mse")
    assert number(tab, "near-loss") == pytest.approx(float(distance.min()), abs=0.06)
    same_picture(tab, "walk-near", digit(int(distance.argmin()), "train"))
    press(tab, "temperature", *["ArrowRight"] * 12)
    press(tab, "redraw", "Enter")
    assert np.abs(levels(tab, "new-0") - levels(tab, "new-1")).max() > 20
    press(tab, "new-walk", "Home")
    assert (levels(tab, "walk-between") == levels(tab, "walk-first")).all()
    tab.keyboard.press("End")
    assert (levels(tab, "walk-between") == levels(tab, "walk-second")).all()
    assert done(tab)
    faces = settling.draw(bundle, 5, 0.6, 5)
    wanted = bundle.decode(faces[:1])[0].astype(int)
    read = "c => Array.from(c.getContext('2d').getImageData(0, 0, 128, 128).data)"

    def drawn() -> bool:
        canvas = tab.locator("canvas[data-face='0']")
        return (
            canvas.count() == 1
            and np.abs(np.array(canvas.evaluate(read)).reshape(128, 128, 4)[..., :3] - wanted).max() <= 2
        )

    eventually(tab, drawn, lambda: "the faces of this seed and temperature do not come")
    expect(tab.locator(".facerow figure canvas")).to_be_visible()


ALONG = """async ({ z, w }) => {
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    const { along } = await import(loaded.find((name) => name.includes("/directions.js")));
    return Array.from(along(Float32Array.from(z), Float32Array.from(w), 0.3));
}"""


def test_directions(tab: Page, app_url: str, bundle: Bundle) -> None:
    go(tab, app_url, "directions")
    faces = tab.locator(".facemap button")
    expect(faces).to_have_count(32)
    along = tab.get_by_test_id("along")
    expect(along).to_be_disabled()
    tab_to(tab, faces.nth(0))
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.keyboard.press("Enter")
    expect(faces.nth(0)).to_have_attribute("data-state", "with")
    expect(faces.nth(1)).to_have_attribute("data-state", "without")
    expect(along).to_be_enabled()
    press(tab, "by-label", "Enter")
    expect(tab.locator("[data-state=with]")).to_have_count(10)
    expect(tab.locator(".dragged li")).to_have_count(6)
    assert "Smiling" in tab.locator(".dragged").inner_text()
    read = "c => Array.from(c.getContext('2d').getImageData(0, 0, 128, 128).data)"

    def pixels(name: str) -> np.ndarray:
        return np.array(tab.get_by_test_id(name).evaluate(read)).reshape(128, 128, 4)[..., :3]

    a, b = (settling.draw(bundle, seed, 0.7)[0] for seed in (28, 12))
    still = bundle.decode(a[None])[0].astype(int)
    eventually(tab, lambda: np.abs(pixels("face-move") - still).max() <= 2, lambda: "face A does not come")
    press(tab, "along", *["ArrowRight"] * 20)
    eventually(tab, lambda: np.abs(pixels("face-move") - still).mean() > 2, lambda: "the face does not move")
    assert done(tab)
    w = np.random.default_rng(0).normal(size=128)
    z = a + 0.3 * w
    wanted = z * np.linalg.norm(a) / np.linalg.norm(z)
    assert np.allclose(tab.evaluate(ALONG, {"z": a.tolist(), "w": w.tolist()}), wanted, atol=1e-4)
    press(tab, "take-middle", " ")  # fine alone is left to B
    groups = np.array(mixing.level_groups(bundle.levels))
    mixed = bundle.decode(np.where((groups == 2)[:, None], b, a)[None].astype(np.float32))[0].astype(int)
    eventually(
        tab, lambda: np.abs(pixels("face-mix") - mixed).max() <= 2, lambda: "A with the fine levels of B does not come"
    )
    press(tab, "others", "Enter")
    eventually(tab, lambda: np.abs(pixels("face-mix") - mixed).mean() > 2, lambda: "no other faces come")


def test_uses(tab: Page, app_url: str, bundle: Bundle) -> None:
    go(tab, app_url, "uses")
    world = tab.locator("[data-world=actors]")
    canvas = world.locator("canvas")
    eventually(tab, lambda: int(canvas.get_attribute("data-frame")) >= 1, lambda: "the world is not alive")
    press(tab, "world-actors", *["ArrowRight"] * 10)
    basis = bases(bundle)["principal"]
    wanted = bundle.decode((bundle.stats.mean + basis.D[0])[None].astype(np.float32))[0].astype(int)
    read = "c => Array.from(c.getContext('2d').getImageData(0, 0, 128, 128).data)"
    eventually(
        tab,
        lambda: np.abs(np.array(canvas.evaluate(read)).reshape(128, 128, 4)[..., :3] - wanted).max() <= 2,
        lambda: "the face does not follow",
    )
    eventually(tab, lambda: done(tab), lambda: "not done")
    assert "Its limit:" in world.inner_text()
    assert tab.locator(".world").count() == 7
    # A model with a way goes along it, from end to end.
    brain = default_registry().get("brain-96")
    along = bases(brain)["named"]
    press(tab, "world-scans", "End")
    canvas = tab.locator("[data-world=scans] canvas")
    end = brain.decode(along.ways[0].at(9).astype(np.float32)[None])[0].astype(int)
    read = "c => Array.from(c.getContext('2d').getImageData(0, 0, 96, 96).data)"
    eventually(
        tab,
        lambda: np.abs(np.array(canvas.evaluate(read)).reshape(96, 96, 4)[..., :1] - end).max() <= 2,
        lambda: "the scan does not follow",
    )
    # The mean of all roads is none: there the way begins at one of the data.
    roads = default_registry().get("roads-64")
    begin = move(roads.check_z(roads.codes.mu[0]), roads.stats.mean, bases(roads)["principal"], 0, 0.0).astype(
        np.float32
    )
    road = roads.decode(begin[None])[0].astype(int)
    canvas = tab.locator("[data-world=driving] canvas")
    read = "c => Array.from(c.getContext('2d').getImageData(0, 0, 64, 64).data)"
    eventually(
        tab,
        lambda: np.abs(np.array(canvas.evaluate(read)).reshape(64, 64, 4)[..., :3] - road).max() <= 2,
        lambda: "the drive does not begin on a road",
    )
    world.get_by_role("link").click()
    tab.wait_for_url(re.compile(r"/explore\?model=faces-128|/\?model=faces-128"))


def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, app_url: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    for step in STEPS:
        go(page, app_url, step.id)
        assert page.locator(".learn").get_attribute("data-dark") is not None
        assert page.locator(".learn").evaluate("node => node.scrollWidth <= node.clientWidth + 1"), step.id
    context.close()
