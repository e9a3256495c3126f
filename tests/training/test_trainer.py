from __future__ import annotations

import math

import pytest
import torch

from tests.training.runs import FACES, SHARP, VAE, trainer_of
from vae.config import Recipe
from vae.data.sets import open_split
from vae.networks.pixels import to_pixels
from vae.training.errors import TrainingError
from vae.training.losses import recolour
from vae.training.processes import Processes
from vae.training.trainer import Trainer


def test_a_step_shows_the_discriminator_the_same_real_images_twice() -> None:
    trainer = Trainer(FACES, *open_split(FACES.data, 32, 3))
    trainer.step_count = 6  # it has joined in
    seen: list[torch.Tensor] = []
    trainer.objective.critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    batch = trainer.batches.at(6)
    trainer.step(batch)
    x, draws = batch.to(torch.device("cpu"))
    judging, learning = seen[0], seen[2].chunk(3)[0]  # seen[1] are the fakes alone
    assert torch.equal(judging, learning) and torch.equal(judging, recolour(x, draws.colour, 0.1))
    assert not torch.equal(x, to_pixels(batch.images)) and not torch.equal(judging, x)


def test_a_frozen_decoder_waits_while_the_others_learn() -> None:
    objective = {"adversarial_start": 0.0, "adversarial_ramp": 0.0}
    recipe = SHARP.replace(objective=objective, training={"frozen_images": 12, "steps": 100})
    trainer = trainer_of(recipe)
    parts = {"encoder": trainer.model.encoder, "decoder": trainer.model.decoder, "critic": trainer.objective.critic}

    def learnt() -> list[str]:
        before = {name: [p.clone() for p in part.parameters()] for name, part in parts.items()}
        trainer.step(trainer.batches.at(trainer.step_count))
        same = {name: map(torch.equal, before[name], part.parameters()) for name, part in parts.items()}
        return [name for name in parts if not all(same[name])]

    assert [learnt() for _ in range(3)] == [["encoder", "critic"]] * 3  # 12 images
    assert learnt() == learnt() == ["encoder", "decoder", "critic"]
    # Once it learns, it learns with its own moments from the beginning.
    assert {int(trainer.optimiser.state[p]["step"]) for p in parts["decoder"].parameters()} == {2}
    assert {int(trainer.optimiser.state[p]["step"]) for p in parts["encoder"].parameters()} == {5}


def test_a_decoder_that_is_frozen_leaves_encoders_as_they_would_be() -> None:
    frozen, free = trainer_of(SHARP.replace(training={"frozen_images": 4})), trainer_of(SHARP)
    for trainer in (frozen, free):
        trainer.step(trainer.batches.at(0))
    for a, b in zip(frozen.model.encoder.parameters(), free.model.encoder.parameters()):
        assert torch.equal(a, b)


def test_clipping_limits_the_step() -> None:
    recipe = VAE.replace(training={"clip": 1e-3})
    trainer = Trainer(recipe, *open_split(recipe.data, 8, 1))
    trainer.step(trainer.batches.at(0))
    gradients = [p.grad for p in trainer.parameters.values()]
    assert torch.nn.utils.get_total_norm(gradients).item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("recipe", [VAE, SHARP], ids=["vae", "sharp"])
def test_the_fast_optimiser_is_adam(recipe: Recipe) -> None:
    recipe = recipe.replace(training={"adam_beta2": 0.9})
    sets = open_split(recipe.data, recipe.model.image_size, recipe.model.channels)
    fast, plain = Trainer(recipe, *sets), Trainer(recipe, *sets)
    betas = (recipe.training.adam_beta1, 0.9)
    plain.optimiser = torch.optim.Adam(plain.parameters.values(), betas=betas, fused=False, foreach=False)
    for step in range(3):
        for trainer in (fast, plain):
            trainer.step(trainer.batches.at(step))
    for a, b in zip(fast.parameters.values(), plain.parameters.values()):
        assert torch.allclose(a, b, atol=1e-5)


def test_moving_average_has_its_half_life() -> None:
    recipe = VAE.replace(training={"ema_images": 16, "learning_rate": 1e-9})
    trainer = Trainer(recipe, *open_split(recipe.data, 8, 1))
    trainer.step_count = 1000
    with torch.no_grad():
        for parameter in trainer.ema.parameters():
            parameter.fill_(1.0)
        for parameter in trainer.model.parameters():
            parameter.fill_(0.0)
    trainer._average_weights()
    assert next(trainer.ema.parameters()).flatten()[0].item() == pytest.approx(0.5)


def test_a_gradient_that_is_no_number_is_caught_before_the_step() -> None:
    trainer = Trainer(VAE, *open_split(VAE.data, 8, 1))
    before = [p.clone() for p in trainer.model.parameters()]
    next(iter(trainer.parameters.values())).register_hook(lambda g: g * math.nan)
    with pytest.raises(TrainingError, match="not a number"):
        trainer.step(trainer.batches.at(0))
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters()))


def test_batches_that_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Processes("cpu")
    world.size = 3
    with pytest.raises(TrainingError, match="batch_size is 16, which 3 processes cannot share; use a multiple of 3"):
        Trainer(VAE, *open_split(VAE.data, 8, 1), world)
