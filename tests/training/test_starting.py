from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.training.runs import FACES, LINEAR, SHARP, VAE, start, trainer_of
from vae.data.sets import open_split
from vae.networks.autoencoder import Autoencoder
from vae.training import starting
from vae.training.checkpoint import CHECKPOINT, FORMAT, load_checkpoint, save_checkpoint
from vae.training.errors import TrainingError
from vae.training.trainer import Trainer
from vae.training.validation import validate


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
    state = {"format": FORMAT, "recipe": checkpoint.recipe.to_dict(), **checkpoint.state}
    recipe = SHARP.replace(model={"noise": True, "offsets": True}, training={"start_from": str(tmp_path / "old")})
    for missing in ("decoder.conv_first.bias", "encoder.to_posterior.weight", "decoder.blocks.0.conv_low.affine.bias"):
        kept = {f"ema.{k}": v for k, v in checkpoint.ema.items() if k != missing}
        assert len(kept) == len(checkpoint.ema) - 1
        save_checkpoint(tmp_path / "old" / CHECKPOINT, kept, state)
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


def test_a_linear_path_starts_where_others_arrive() -> None:
    sets = open_split(LINEAR.data, 32, 3)
    blank, begun = (validate(Trainer(recipe, *sets)) for recipe in (SHARP, LINEAR))
    assert begun["psnr"] > blank["psnr"] + 5
    # The posterior spends the nats that it is to be held at, whatever the data; 36 pictures say no more.
    assert begun["kl"] == pytest.approx(LINEAR.objective.kl_target, rel=0.2)


def test_a_resumed_run_looks_for_no_first_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(tmp_path / "run", LINEAR, steps=2)
    monkeypatch.setattr(starting, "start_linear", lambda *_: pytest.fail("the checkpoint holds the weights"))
    assert start(tmp_path / "run", LINEAR, resume=True, steps=3).step == 3


def test_a_discriminator_of_another_run_can_be_begun_with(tmp_path: Path) -> None:
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
