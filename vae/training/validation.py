"""How good a run's averaged weights are: numbers and pictures of what they can do."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vae.config import COLLAPSED_NATS
from vae.likeness import frechet
from vae.networks.perceptual import perceptual
from vae.networks.pixels import to_images, to_pixels
from vae.training.losses import psnr, reconstruction_loss
from vae.training.objective import Objective
from vae.training.trainer import Trainer


@torch.no_grad()
def validate(trainer: Trainer) -> dict[str, Any]:
    """Measure the averaged weights on the validation set (at most validation_images of it).

    reconstruction, kl (nats per image), kl_per_dimension, loss at the present beta; psnr in dB and
    active (dimensions above 0.05 nats) of reconstructions from mu. Where the model has style offsets, psnr is with
    them and psnr_code without. Where there is a perceptual network and a discriminator, frechet and frechet_draws:
    Frechet distances of reconstructions and of draws to the pictures, as vae.likeness measures them; where people
    are told apart, identity: that distance.
    """
    config, variational, model, device = trainer.config, trainer.recipe.model.variational, trainer.ema, trainer.device
    kind, identity = trainer.recipe.objective.reconstruction, trainer.objective.identity
    subset = trainer.validation_set.subset(np.arange(min(len(trainer.validation_set), config.validation_images)))
    rng = np.random.default_rng((config.seed, 3))
    sums, kl_sum = torch.zeros(4, device=device), torch.zeros(trainer.recipe.model.latent_size, device=device)
    realism = Realism(trainer.objective, device)
    for images in subset.batches(min(config.batch_size, 128)):
        x = to_pixels(torch.from_numpy(images).to(device))
        q = model.encode(x)
        y = model.decode(q.mu, q.delta)
        eps = torch.from_numpy(rng.standard_normal(q.mu.shape, np.float32)).to(device)
        noisy = model.decode(q.sample(eps), q.delta) if variational else y
        plain = y if q.delta is None else model.decode(q.mu)
        apart = torch.zeros(()) if identity is None else identity.distance(x, y).sum()
        losses = reconstruction_loss(x, noisy, kind).sum(), psnr(x, y).sum(), psnr(x, plain).sum()
        sums += torch.stack([*losses, apart.to(device)])
        kl_sum += q.kl().sum(0)
        realism.add(x, y, model.decode(prior_codes(trainer, rng, len(x))) if realism.network else None)
    reconstruction, decibels, plain, apart = (sums / len(subset)).tolist()
    weighted = trainer.recipe.objective.weight * reconstruction
    metrics = {"reconstruction": reconstruction, "psnr": decibels, "loss": weighted}
    metrics |= {"psnr_code": plain} if trainer.recipe.model.offsets else {}
    metrics |= {"identity": apart} if identity is not None else {}
    metrics |= realism.figures()
    if variational:
        kl = (kl_sum / len(subset)).tolist()
        beta = float(trainer.objective.beta.value(trainer.progress))
        metrics |= {
            "kl": math.fsum(kl),
            "beta": beta,
            "active": sum(v > COLLAPSED_NATS for v in kl),
            "kl_per_dimension": kl,
        }
        metrics["loss"] += beta * metrics["kl"]
    return metrics


def prior_codes(trainer: Trainer, rng: np.random.Generator, n: int) -> Tensor:
    """Codes (n, d) of the prior that the run draws from."""
    z = torch.from_numpy(rng.standard_normal((n, trainer.recipe.model.latent_size), np.float32)).to(trainer.device)
    if trainer.objective.prior is None:
        return z
    return trainer.objective.prior.draw(z, torch.from_numpy(rng.random((n, 1), np.float32)).to(trainer.device))


@torch.no_grad()
def sheets(trainer: Trainer) -> dict[str, Image.Image]:
    """Pictures of what the averaged weights can do now: the same codes and images every time."""
    d, model = trainer.recipe.model.latent_size, trainer.ema
    images = trainer.validation_set.images(range(min(len(trainer.validation_set), 32)))
    x = to_pixels(torch.from_numpy(images).to(trainer.device))
    q = model.encode(x)
    pairs = torch.stack([x, model.decode(q.mu, q.delta)], 1).flatten(0, 1)
    z = prior_codes(trainer, np.random.default_rng((trainer.config.seed, 4)), 64)
    spread = torch.ones(d, device=trainer.device)
    middle = torch.zeros_like(spread)
    if not trainer.recipe.model.variational:  # its codes are where they are: draw from their spread
        middle, spread = q.mu.mean(0), q.mu.std(0, unbiased=False)
    if d == 2:
        ticks = torch.special.ndtri(torch.linspace(0.02, 0.98, 16, device=trainer.device))
        grid = torch.stack(torch.meshgrid(ticks, ticks.flip(0), indexing="xy"), -1).reshape(-1, 2)
        walk, columns = middle + grid * spread, 16
    else:
        ticks, columns = torch.linspace(-3, 3, 9, device=trainer.device), 9
        kl = q.kl().mean(0) if trainer.recipe.model.variational else q.mu.var(0, unbiased=False)
        walk = q.mu[:1].repeat(min(d, 8) * 9, 1)
        for row, axis in enumerate(kl.argsort(descending=True)[:8].tolist()):
            walk[row * 9 : (row + 1) * 9, axis] = middle[axis] + ticks * spread[axis]
    pictures = {"reconstructions": (pairs, 16), "samples": (model.decode(middle + z * spread), 8)}
    pictures["traversal"] = (torch.cat([model.decode(part) for part in walk.split(64)]), columns)
    return {name: sheet(to_images(pixels), columns) for name, (pixels, columns) in pictures.items()}


class Realism:
    """Frechet distances of reconstructions and draws to the pictures of a validation, where a run works on realism."""

    def __init__(self, objective: Objective, device: torch.device):
        self.network = None
        if objective.critic is not None and objective.perceptual is not None:
            self.network = copy.deepcopy(perceptual()).to(device)
        self.found: list[list[np.ndarray]] = [[], [], []]

    def add(self, *pictures: Tensor | None) -> None:
        """Take in a batch: pictures, reconstructions and draws, each (N, c, s, s); draws are None where not wanted."""
        if self.network is not None:
            for found, images in zip(self.found, pictures):
                found.append(self.network.pooled(images.clamp(-1, 1)).double().cpu().numpy())

    def figures(self) -> dict[str, float]:
        """frechet and frechet_draws; nothing where they are not wanted, or of fewer than two pictures."""
        if self.network is None or sum(map(len, self.found[0])) < 2:
            return {}
        real, rebuilt, drawn = (np.concatenate(found) for found in self.found)
        return {"frechet": frechet(real, rebuilt), "frechet_draws": frechet(real, drawn)}


def sheet(images: np.ndarray, columns: int) -> Image.Image:
    """uint8 (N, s, s, c) -> one picture, row by row."""
    n, s, _, c = images.shape
    rows = -(-n // columns)
    images = np.concatenate([images, np.zeros((rows * columns - n, s, s, c), np.uint8)])
    grid = images.reshape(rows, columns, s, s, c).swapaxes(1, 2).reshape(rows * s, columns * s, c)
    return Image.fromarray(grid[..., 0] if c == 1 else grid)
