from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.training.runs import SHARP, trainer_of
from vae.networks.pixels import to_pixels
from vae.training.losses import psnr
from vae.training.validation import prior_codes, validate


def test_validation_measures_with_and_without_offsets() -> None:
    trainer = trainer_of(SHARP.replace(model={"offsets": True}, training={"ema_images": 0}))
    blank = validate(trainer)
    assert blank["psnr"] == pytest.approx(blank["psnr_code"], abs=1e-4)  # they begin at 0
    torch.manual_seed(0)
    torch.nn.init.normal_(trainer.model.encoder.offsets[1].weight, std=10)
    found = validate(trainer)
    x = to_pixels(torch.from_numpy(trainer.validation_set.images(range(len(trainer.validation_set)))))
    with torch.no_grad():
        q = trainer.model.encode(x)
        wanted = [psnr(x, trainer.model.decode(q.mu, delta)).mean().item() for delta in (q.delta, None)]
    assert [found["psnr"], found["psnr_code"]] == pytest.approx(wanted, abs=1e-3)
    assert abs(wanted[0] - wanted[1]) > 0.01 and found["psnr_code"] == pytest.approx(blank["psnr_code"], abs=1e-4)
    assert "psnr_code" not in validate(trainer_of(SHARP))


def test_validation_looks_at_draws_of_the_fitted_prior() -> None:
    trainer = trainer_of(SHARP.replace(objective={"prior": "fitted"}))
    plain = trainer_of(SHARP)
    for part in (trainer, plain):
        assert torch.equal(
            prior_codes(part, np.random.default_rng(1), 5), prior_codes(part, np.random.default_rng(1), 5)
        )
    trainer.objective.prior.mean.fill_(30.0)
    fitted_mean, plain_mean = (prior_codes(part, np.random.default_rng(1), 50).mean() for part in (trainer, plain))
    assert fitted_mean > 25 and abs(plain_mean) < 1
