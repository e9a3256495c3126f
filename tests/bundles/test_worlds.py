"""Bundles of worlds: exact factors, players, motion and drives, and strips that share their weights."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bundles.test_contract import change_arrays, refused, seal
from vae.bundles import fixed_points, graph
from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.card import About
from vae.bundles.contract import PLAYERS, BundleError
from vae.bundles.encoding import networks, to_arrays
from vae.bundles.export import export_model
from vae.bundles.sessions import make_session
from vae.bundles.worlds import ACTIONS, against_principal, exact_of, notes_kept, unseen_drive, world_card
from vae.config import ConfigError, ModelConfig
from vae.data.imageset import Array, ImageSet
from vae.data.worlds.rolls import Note, to_picture
from vae.data.worlds.world import World
from vae.networks.autoencoder import Autoencoder, cut, joined
from vae.space import colouring
from vae.training.dynamics import Transition

WORLD = World("w", "Bars", None, (), 4, {"height": "height of the bar (pixels)"}, {}, "none", player="scan", order=("k",),
              limits=("It knows bars only.",), settle=2)  # fmt: skip


def bars(count: int, seed: int) -> ImageSet:
    """Pictures of 8 px with a bar whose height is a factor."""
    heights = np.random.default_rng(seed).integers(1, 8, count)
    pictures = (255 * (np.arange(8)[None, :, None] < heights[:, None, None])).astype(np.uint8)
    pictures = np.repeat(pictures, 8, 2)[..., None]
    factors = np.stack([heights, np.arange(count)], 1).astype(np.float32)
    names = [f"{k}.png" for k in range(count)]
    return ImageSet("bars", Array(pictures), np.arange(count), names, factors=factors, factor_names=("height", "k"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a briefly trained model of bars."""
    torch.manual_seed(0)
    model = Autoencoder(ModelConfig("conv", 8, 1, 3, width=0.25))
    train, test = bars(300, 0), bars(80, 1)
    x = torch.from_numpy(train.images(range(300)).transpose(0, 3, 1, 2) / 127.5 - 1).float()
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(120):
        y, q = model(x)
        loss = 20 * (y - x).square().flatten(1).sum(1).mean() + q.kl().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def moving(folder: Path, *_: object) -> None:
        net = Transition(3, hidden=8)
        (folder / "dynamics.onnx").write_bytes(graph.dynamics(to_arrays(net.state_dict())).SerializeToString())
        drive = {"frames": test.images(range(5)), "actions": np.zeros((5, 3), np.float32)}
        np.savez_compressed(folder / "drive.npz", **drive)

    return export_model(
        model.state_dict(), model.config, train, test, tmp_path_factory.mktemp("worlds") / "bars",
        About("Bars", notes=WORLD.limits), additions=(moving,), half=True, world=WORLD,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return open_bundle(folder)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_a_bundle_carries_exact_factors_and_a_slider_moves_its_own(bundle: Bundle) -> None:
    codes = bundle.codes
    assert codes.factor_names == ("Height of the bar",) and codes.factor_units == ("pixels",)  # no order
    assert codes.factors.dtype == np.float32 and set(codes.factors[:, 0]) == set(range(1, 8))
    assert bundle.player == "scan" and bundle.directions.labels == ("Height of the bar",)
    assert bundle.directions.kind == ("measured",) and bundle.directions.score[0] > 0.9
    step = bundle.directions.w[0] @ bundle.stats.cov
    low, high = (bundle.decode((bundle.stats.mean + s * step).astype(np.float32)).mean() for s in (-1, 1))
    assert high > low + 20  # a higher bar is more white


def test_the_card_measures_against_principal_components_and_names_limits(bundle: Bundle) -> None:
    assert bundle.metrics["psnr_principal"] == against_principal(bars(300, 0), bars(80, 1), bundle)["psnr_principal"]
    for words in (
        "principal components",
        "| Height of the bar | pixels | 1 | 7 |",
        "It knows bars only.",
        "by one sigma",
    ):
        assert words in bundle.card
    line = next(line for line in bundle.card.splitlines() if "pixels)" in line)
    assert float(line.split("|")[2].split()[0]) > 0.25  # in spreads of the factor


def test_a_world_of_parts_says_how_often_its_draws_are_settled(bundle: Bundle, tiny_bundle: Path) -> None:
    assert bundle.settle == 2
    pictures, counts = fixed_points.half_way(bundle), []
    for _ in range(3):
        changed, again = fixed_points.changing(bundle, pictures)
        far = np.abs(again.astype(int) - pictures) > 24
        assert ((far.reshape(len(far), -1).mean(1) > 0.01) == changed).all()
        pictures, _ = again, counts.append(changed.sum())
    assert f"half-way between two of the data {counts[0]} change visibly" in bundle.card
    assert f"and {counts[2]} would" in bundle.card and "encoded again 2 times" in bundle.card
    other = open_bundle(tiny_bundle)
    assert other.settle == 0 and "settle" not in other.config and "Whole parts" not in other.card


def test_a_factor_that_shows_in_parts_is_read_in_each(bundle: Bundle) -> None:
    parts = {"in the first": {"k": (0, 99)}, "in the others": {"k": (100, 1e9)}}
    world = dataclasses.replace(WORLD, seen={"height": parts})
    exact = exact_of(bars(300, 0), bars(120, 1), world)
    assert [reading.name for reading in exact.readings] == [
        "Height of the bar in the first",
        "Height of the bar in the others",
    ]
    assert [int(reading.seen.sum()) for reading in exact.readings] == [100, 200]
    assert [int(reading.test_seen.sum()) for reading in exact.readings] == [100, 20]
    assert exact.names == ("Height of the bar",) and exact.values.shape == (300, 1)  # kept once
    text = world_card(bundle, bundle.metrics, world, exact, None)
    assert "*Height of the bar* is read, scored and moved apart in the first, in the others" in text


def test_the_map_colours_by_a_factor_with_its_unit(bundle: Bundle) -> None:
    assert {"id": "factor:0", "title": "Height of the bar", "group": "Exact factors"} in colouring.colour_options(
        bundle
    )
    found = colouring.colours(bundle, "factor:0")
    assert found["unit"] == "pixels" and (found["values"] == bundle.codes.factors[:, 0]).all()


def test_a_step_says_where_a_code_goes(bundle: Bundle) -> None:
    z = bundle.codes.mu[:4]
    after, spread = bundle.step(z, z, np.zeros((4, 3)), np.ones((4, 3)))
    assert after.shape == spread.shape == z.shape and np.isfinite(after).all()
    with pytest.raises(BundleError, match="two actions"):
        bundle.step(z, z, np.zeros((4, 2)), np.zeros((4, 3)))
    assert len(bundle.drive) == 5 and bundle.drive.frames.shape == (5, 8, 8, 1)


def test_a_model_without_motion_says_so(tiny_bundle: Path) -> None:
    plain = open_bundle(tiny_bundle)
    assert plain.player == "picture" and plain.drive is None and plain.codes.factors.shape == (len(plain.codes), 0)
    with pytest.raises(BundleError, match="knows no motion"):
        plain.step(*[np.zeros((1, 2), np.float32)] * 2, *[np.zeros((1, 3))] * 2)


def test_what_a_world_adds_is_checked(copy: Path) -> None:
    seal(copy, player="film")
    refused(copy, "film", *PLAYERS)
    seal(copy, player="road")
    assert open_bundle(copy).player == "road"
    codes = np.load(copy / "codes.npz")
    change_arrays(copy, "codes.npz", factors=np.full_like(codes["factors"], np.nan))
    refused(copy, "codes.npz", "factors", "finite")
    change_arrays(copy, "codes.npz", factors=codes["factors"][:-1])
    refused(copy, "codes.npz", "factors", "shape")
    change_arrays(copy, "codes.npz", factors=codes["factors"], factor_units=np.array(["px", "mm"]))
    refused(copy, "codes.npz", "factor_units", "1 words")


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"frames": np.zeros((241, 8, 8, 1), np.uint8), "actions": np.zeros((241, 3))}, "2 to 240"),
        ({"frames": np.zeros((5, 4, 8, 1), np.uint8)}, "(T, 8, 8, 1)"),
        ({"actions": np.zeros((4, 3))}, "shape"),
        ({"actions": np.full((5, 3), 2.0)}, "beyond -1 to 1"),
    ],
)
def test_a_bad_drive_is_refused(copy: Path, changes: dict[str, np.ndarray], word: str) -> None:
    change_arrays(copy, "drive.npz", **changes)
    refused(copy, "drive.npz", word)


def test_a_transition_of_other_codes_is_refused(copy: Path) -> None:
    net = to_arrays(Transition(4, hidden=8).state_dict())
    (copy / "dynamics.onnx").write_bytes(graph.dynamics(net).SerializeToString())
    seal(copy)
    refused(copy, "dynamics.onnx", "(None, 4)", "(None, 3)")


def test_the_longest_drive_without_a_gap_is_kept_in_order() -> None:
    table = np.zeros((9, 5), np.float32)
    table[:, 0] = [1, 1, 0, 0, 0, 0, 0, 1, 1]
    table[:, 1] = [1, 0, 4, 2, 0, 1, 6, 2, 3]
    table[:, 2] = np.arange(9) / 10
    pictures = np.arange(9, dtype=np.uint8)[:, None, None, None]
    names = [str(k) for k in range(9)]
    data = ImageSet("d", Array(pictures), np.arange(9), names, factors=table, factor_names=("drive", "frame", *ACTIONS))
    frames, actions = unseen_drive(data)
    assert frames.ravel().tolist() == [4, 5, 3] and np.allclose(actions[:, 0], [0.4, 0.5, 0.3])  # 3 is missing


def test_notes_kept_are_those_with_the_same_begin_end_and_pitch() -> None:
    old = to_picture([Note(0, 4, 60), Note(4, 8, 60), Note(0, 8, 48)])
    new = to_picture([Note(0, 4, 60), Note(4, 7, 60), Note(0, 8, 48), Note(9, 10, 50)])
    assert notes_kept(old[None], new[None]) == (2, 3, 4)


# ---------------------------------------------------------------- strips


@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("architecture", ["conv", "dense"])
def test_strips_have_numbers_of_their_own_and_the_same_graph(architecture: str, variational: bool) -> None:
    torch.manual_seed(0)
    model = Autoencoder(ModelConfig(architecture, 16, 3, 8, variational, width=0.25, strips=4)).eval()
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    assert torch.equal(joined(cut(x, 4), 4), x) and torch.equal(cut(x, 4)[1], x[0, :, :, 4:8])
    with torch.no_grad():
        q = model.encode(x)
        other = x.clone()
        other[:, :, :, 4:8] = 0
        moved = (model.encode(other).mu - q.mu).abs() > 1e-6
        assert moved[:, 2:4].any() and not moved[:, :2].any() and not moved[:, 4:].any()  # the second strip's alone
        image = model.decode(q.mu)
        again = model.decode(q.mu + torch.tensor([0.0] * 6 + [1.0] * 2))
        assert torch.equal(image[..., :12], again[..., :12]) and not torch.equal(image[..., 12:], again[..., 12:])
    decoder, encoder = (make_session(part, "n") for part in networks(model.config, to_arrays(model.state_dict())))
    mu, logvar = encoder.run(["mu", "logvar"], {"image": x.numpy()})
    assert np.allclose(mu, q.mu, atol=1e-5) and np.allclose(logvar, q.logvar, atol=1e-5)
    assert np.allclose(decoder.run(["image"], {"z": mu})[0], image, atol=1e-5)


def test_strips_that_do_not_fit_are_refused() -> None:
    for changes in ({"strips": 3}, {"strips": 4, "latent_size": 6}, {"strips": 0}, {"strips": 32}):
        with pytest.raises(ConfigError, match="strips"):
            ModelConfig(**{"architecture": "conv", "image_size": 16, "latent_size": 8, **changes})
    with pytest.raises(ConfigError, match="strips"):
        ModelConfig("style", 32, 3, 8, strips=2)
    assert ModelConfig("dense", 16, 1, 8, strips=8).strips == 8  # a convolution's smallest map bounds "conv" alone
