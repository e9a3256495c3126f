"""The factor of the KL, and the controller that holds the KL at a target."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vae.config import ObjectiveConfig

LOG_BETA_MIN, LOG_BETA_MAX = -20.0, 10.0


class Beta(nn.Module):
    """The factor of the KL: fixed, warmed up, or steered to hold the KL at a target.

    Its state is on the device, so that steering never waits for it, and it is part of a checkpoint.
    """

    def __init__(self, config: ObjectiveConfig):
        super().__init__()
        self.config = config
        self.register_buffer("log_beta", torch.tensor(math.log(max(config.beta, 1e-12))))
        self.register_buffer("target", torch.tensor(float(config.kl_target)))
        # What a person set while the run went on; nan while nobody did.
        self.register_buffer("override", torch.tensor(math.nan))

    def value(self, progress: float) -> Tensor:
        """beta at a share 0..1 of the run, 0-dim."""
        if self.config.kl == "target":
            planned = self.log_beta.exp()
        else:
            ramp = min(1.0, progress / self.config.warmup) if self.config.kl == "warmup" else 1.0
            planned = torch.full_like(self.log_beta, self.config.beta * ramp)
        return torch.where(self.override.isnan(), planned, self.override)

    def update(self, kl: Tensor) -> None:
        """One controller step after a batch whose mean KL was kl (0-dim, nats per image)."""
        if self.config.kl == "target":
            drift = ((kl - self.target) / self.target).clamp(-1, 1)
            self.log_beta.add_(self.config.kl_gain * drift).clamp_(LOG_BETA_MIN, LOG_BETA_MAX)

    def steer(self, beta: float | None = None, target: float | None = None) -> None:
        """Hold beta at a value from now on, or set another KL target (which lets the controller go on)."""
        if beta is not None:
            self.override.fill_(beta)
        if target is not None:
            self.target.fill_(target)
            self.override.fill_(math.nan)
