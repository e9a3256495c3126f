from __future__ import annotations

import math

import pytest
import torch

from vae.config import ObjectiveConfig
from vae.training.beta import Beta


def test_warmup_grows_linearly() -> None:
    beta = Beta(ObjectiveConfig(kl="warmup", beta=4.0, warmup=0.5))
    assert [beta.value(p).item() for p in (0.0, 0.125, 0.5, 1.0)] == pytest.approx([0, 1, 4, 4])


def test_controller_step_and_limits() -> None:
    beta = Beta(ObjectiveConfig(kl="target", beta=1e-3, kl_target=200.0))
    start = math.log(1e-3)
    beta.update(torch.tensor(300.0))
    assert beta.log_beta.item() == pytest.approx(start + 0.01 * 0.5, abs=1e-5)
    beta.update(torch.tensor(1e9))
    assert beta.log_beta.item() == pytest.approx(start + 0.015, abs=1e-5)
    beta.update(torch.tensor(0.0))
    assert beta.log_beta.item() == pytest.approx(start + 0.005, abs=1e-5)


def test_controller_reaches_its_target() -> None:
    beta = Beta(ObjectiveConfig(kl="target", beta=1e-3, kl_target=50.0, kl_gain=0.05))
    for _ in range(2000):
        kl = 10 / beta.value(0.5).sqrt()  # KL falls with beta, as a model's does
        beta.update(kl)
    assert kl.item() == pytest.approx(50, rel=0.01)


def test_steering_holds_beta_and_survives_a_checkpoint() -> None:
    beta = Beta(ObjectiveConfig(kl="warmup", beta=4.0))
    beta.steer(beta=0.25)
    again = Beta(ObjectiveConfig(kl="warmup", beta=4.0))
    again.load_state_dict(beta.state_dict())
    assert again.value(1.0).item() == again.value(0.0).item() == 0.25
    controlled = Beta(ObjectiveConfig(kl="target", kl_target=10.0, beta=1.0))
    controlled.steer(beta=0.0)
    controlled.steer(target=20.0)
    controlled.update(torch.tensor(15.0))
    assert controlled.value(0.0).item() == pytest.approx(math.exp(-0.01 * 0.25), rel=1e-5)
