from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.runs import FACES, SHARP, VAE
from vae.config import Recipe
from vae.data.files import DataError
from vae.data.sets import open_split
from vae.networks.pixels import to_pixels
from vae.training import batches
from vae.training.batches import AUGMENT_PLACES, Batches


def test_every_epoch_shows_every_picture_once() -> None:
    train_set, _ = open_split(VAE.data, 8, 1)  # 180 pictures
    batches = Batches(train_set, VAE.model, VAE.training)
    order = np.concatenate([batches.indices(step) for step in range(45)])  # 720 = 4 epochs
    for epoch in order.reshape(4, 180):
        assert sorted(epoch) == list(range(180))
    assert (order[:180] != order[180:360]).any()
    assert (Batches(train_set, VAE.model, VAE.training).indices(40) == batches.indices(40)).all()


def batches_of(recipe: Recipe, rank: int = 0, world: int = 1) -> Batches:
    train_set, _ = open_split(recipe.data, recipe.model.image_size, recipe.model.channels)
    sharp = recipe.objective.adversarial > 0
    return Batches(
        train_set, recipe.model, recipe.training, rank, world, sharp, colour=sharp and recipe.objective.colour > 0
    )


@pytest.mark.parametrize("recipe", [VAE, SHARP, FACES], ids=["vae", "sharp", "faces"])
def test_processes_share_one_batch(recipe: Recipe) -> None:
    whole, halves = batches_of(recipe).at(3), [batches_of(recipe, rank, 2).at(3) for rank in (0, 1)]
    assert torch.equal(whole.images, torch.cat([h.images for h in halves]))
    for key, value in vars(whole.draws).items():
        if value is not None:
            assert torch.equal(value, torch.cat([getattr(h.draws, key) for h in halves])), key
    cpu = torch.device("cpu")
    assert torch.equal(whole.to(cpu)[0], torch.cat([h.to(cpu)[0] for h in halves]))
    assert (whole.augment is not None) == (whole.draws.colour is not None) == (recipe is FACES)


def test_random_numbers_are_those_of_runs_before_augmentation() -> None:
    n, d, levels = 4, 4, SHARP.model.levels
    rng = np.random.default_rng((0, 2, 5))
    expected = {"eps": rng.standard_normal((n, d), np.float32), "cut": rng.integers(1, levels, (n, 1))}
    expected |= {key: rng.standard_normal((n, d), np.float32) for key in ("a", "b")}
    expected |= {key: rng.random((n, 1), np.float32) for key in ("t", "kind")}
    flip = rng.random(n) < 0.5
    off = SHARP.replace(training={"flip": True})
    on = off.replace(training={"augment": True}, objective={"colour": 0.1})
    a, b = batches_of(off).at(5), batches_of(on).at(5)
    for batch in (a, b):
        assert all((getattr(batch.draws, key).numpy() == value).all() for key, value in expected.items())
        assert (batch.flip.numpy() == flip).all() and torch.equal(batch.images, a.images)
    assert a.augment is None and a.draws.colour is None
    pixels = to_pixels(a.images)
    assert torch.equal(a.to(torch.device("cpu"))[0], torch.where(a.flip[:, None, None, None], pixels.flip(3), pixels))
    assert not torch.allclose(b.to(torch.device("cpu"))[0], a.to(torch.device("cpu"))[0], atol=0.1)


def test_augmentation_is_a_function_of_seed_and_step() -> None:
    cpu = torch.device("cpu")
    images = [batches_of(FACES).at(step).to(cpu)[0] for step in (3, 3, 4)]
    other = batches_of(FACES.replace(training={"seed": 1})).at(3)
    same = batches_of(FACES).at(3)
    assert torch.equal(images[0], images[1]) and not torch.equal(same.augment, batches_of(FACES).at(4).augment)
    assert not torch.equal(same.augment, other.augment) and not torch.equal(same.draws.colour, other.draws.colour)


# Places in the numbers of an augmentation: shift right and down, scale, framed, edges, colour. These change nothing.
STILL = [0.5, 0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.75, 0.5, 0.0]


def augmented(x: torch.Tensor, **places: float) -> torch.Tensor:
    names = ("right", "down", "scale", "framed", "left_edge", "top_edge", "right_edge", "bottom_edge")
    u = torch.tensor([STILL]).repeat(len(x), 1)
    for name, value in places.items():
        u[:, names.index(name)] = value
    return batches.augmented(x, u)


def test_augmentation_moves_and_scales_as_far_as_it_says() -> None:
    torch.manual_seed(0)
    x = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8) - 0.5, (32, 32), mode="bicubic")
    assert torch.allclose(augmented(x), x, atol=1e-5)
    assert torch.allclose(augmented(x, right=1.0)[..., 2:], x[..., :-2], atol=1e-5)
    assert torch.allclose(augmented(x, right=1.0)[..., :2], x[..., :2].flip(3), atol=1e-5)  # reflected at the edge
    assert torch.allclose(augmented(x, down=0.0)[:, :, :-2], x[:, :, 2:], atol=1e-5)
    disc = (torch.linspace(-1, 1, 32)[:, None].square() + torch.linspace(-1, 1, 32).square() < 0.25).float()
    area = [augmented(disc.expand(1, 3, -1, -1), scale=u).mean().item() for u in (0.0, 1.0)]
    assert area == pytest.approx([0.81 * disc.mean().item(), 1.21 * disc.mean().item()], rel=0.05)


def test_a_share_of_the_images_is_augmented() -> None:
    every, some, none = (
        batches_of(FACES.replace(training={"augment_share": share})).at(4) for share in (1.0, 0.5, 1e-9)
    )
    assert (none.augment == batches.STILL).all()
    changed = (some.augment != batches.STILL).any(1)
    assert 0 < changed.sum() < len(changed) and torch.equal(some.augment[changed], every.augment[changed])
    assert torch.equal(some.draws.keep, every.draws.keep) and torch.equal(some.images, every.images)
    moved, still = (batch.to(torch.device("cpu"))[0][~changed] for batch in (some, replace(some, augment=None)))
    assert torch.allclose(moved, still, atol=1e-5)


def test_augmentation_frames_a_tenth() -> None:
    x = torch.full((1, 3, 40, 40), -0.25)
    framed = augmented(x, framed=0.09, left_edge=1.0, top_edge=0.5, right_edge=0.25)
    colour = torch.tensor([0.5, 0.0, -1.0])[None, :, None, None]
    inside = torch.zeros(40, 40, dtype=torch.bool)
    inside[4:, 8:38] = True  # 1/5, 1/10 and 1/20 of the side, and nothing below
    assert torch.allclose(framed, torch.where(inside, x, colour))
    assert torch.allclose(augmented(x, framed=0.11, left_edge=1.0), x)


def test_augmentation_keeps_colours_in_range_and_detail() -> None:
    torch.manual_seed(0)
    x = torch.rand(64, 3, 16, 16).round() * 2 - 1
    y = batches.augmented(x, torch.rand(64, AUGMENT_PLACES + 3))
    assert y.shape == x.shape and y.min() >= -1 and y.max() <= 1
    moved = augmented(x / 2, right=0.75)  # by half a pixel: linear interpolation would leave 1/4 here
    rough, kept = ((image[..., 1:] - image[..., :-1]).square().mean() for image in (x / 2, moved))
    assert kept > 0.4 * rough


def test_a_thread_prepares_the_same_batches() -> None:
    train_set, _ = open_split(VAE.data, 8, 1)
    batches = Batches(train_set, VAE.model, VAE.training)
    ahead = batches.run(5, 3)
    for step in range(5, 9):
        assert torch.equal(next(ahead).draws.eps, batches.at(step).draws.eps)
    ahead.close()


def test_an_error_while_reading_reaches_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    train_set, _ = open_split(VAE.data, 8, 1)
    batches = Batches(train_set, VAE.model, VAE.training)
    monkeypatch.setattr(train_set, "images", lambda rows: (_ for _ in ()).throw(DataError("gone")))
    with pytest.raises(DataError, match="gone"):
        next(batches.run(0, 2))
