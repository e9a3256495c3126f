"""What several test modules share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vae.evaluation.running import running_app

ROOT = Path(__file__).resolve().parents[1]


def one_torch_thread() -> None:
    """Several threads wait for each other by spinning, and a test on cores that others use takes many times as long."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def torch_in_one_thread() -> None:
    """Before what the first module makes for its tests."""
    one_torch_thread()


@pytest.fixture(autouse=True)
def torch_as_it_was(torch_in_one_thread: None) -> Iterator[None]:
    """A test begins with one thread and one seed of torch, and leaves one thread to what the next module makes."""
    one_torch_thread()
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
    yield
    one_torch_thread()


@pytest.fixture(scope="session")
def app_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of one running app that the whole session shares."""
    with running_app(tmp_path_factory.mktemp("home")) as url:
        yield url


@pytest.fixture(scope="session")
def start_app() -> Callable[..., object]:
    """For tests that need an app of their own: `with start_app(home, NAME=value) as url`."""
    return running_app


def make_tiny_bundle(folder: Path, architecture: str = "conv", name: str = "", **settings: object) -> Path:
    """A bundle of an untrained tiny model, with the codes of some digits; `settings` go to its ModelConfig."""
    import torch

    from vae.bundles.card import About
    from vae.bundles.export import export_model
    from vae.config import DataConfig, ModelConfig
    from vae.data.sets import open_data
    from vae.networks.autoencoder import Autoencoder
    from vae.photos.measure_curvature import add as curvature

    style = architecture == "style"
    shape = dict(image_size=32, channels=3, latent_size=8, width=0.0625, style_size=16) if style else dict(
        image_size=16, channels=1, latent_size=2, width=0.125)  # fmt: skip
    model = ModelConfig(architecture, **{**shape, **settings})
    torch.manual_seed(0)
    weights = Autoencoder(model).state_dict()
    for key, value in weights.items():  # training begins these at zero; a test must see them at work
        if key.endswith(".strength") or key.startswith("encoder.offsets.1."):
            value.normal_(std=0.5)
    pictures = open_data(DataConfig(("sklearn-digits",), limit=300), model.image_size, model.channels)
    train, test = pictures.split(0.4)
    about = About(
        f"Tiny {architecture}", "An untrained model for tests.", "MIT", eyes=((11, 16), (20, 16)) if style else None
    )
    return export_model(
        weights, model, train, test, folder / (name or f"tiny-{architecture}"), about, additions=(curvature,)
    )


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a flat bundle: 16 px grey, 2 numbers."""
    return make_tiny_bundle(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tiny_style_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle with levels: 32 px colour, 8 numbers, 4 levels of 16 style numbers, an eye template."""
    return make_tiny_bundle(tmp_path_factory.mktemp("models"), "style")


@pytest.fixture(scope="session")
def tiny_offset_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with noise in the decoder, and with style offsets that the encoder reads from a picture."""
    folder = tmp_path_factory.mktemp("models")
    return make_tiny_bundle(folder, "style", name="tiny-offsets", noise=True, offsets=True)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of this test alone."""
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory):
    """A bundle of the lab's codes, whose structure is known."""
    from tests.space.lab import write_lab

    return write_lab(tmp_path_factory.mktemp("models") / "lab")


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit runs a page as the module __main__ and leaves it there: other processes would begin with that page."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(scope="module")
def bundle():
    """The model of faces that ships, where a module has no `bundle` of its own."""
    from vae.bundles.registry import default_registry

    return default_registry().get("faces-128")


@pytest.fixture(scope="module")
def drawn(bundle):
    """The faces that the Blend page offers as samples."""
    from vae.photos.sources import SAMPLE_SEEDS, drawn_source

    return [drawn_source(bundle, seed) for seed in SAMPLE_SEEDS]
