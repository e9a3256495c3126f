"""The future in the latent space: a small network that says where a code goes when somebody acts.

    z' = z + T(z, z before, a, a before) / 2          codes in units of their own spread

It learns from drives (codes of frames that follow each other, with the actions between them) by dreaming on from each
frame for some steps and being pulled to the true codes, with a little noise on where it begins: so it finds its way back
from its own mistakes (after World Models, Ha and Schmidhuber 2018, arXiv 1803.10122, with rollouts in place of a
mixture of Gaussians).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vae.data.imageset import ImageSet
from vae.networks.autoencoder import Autoencoder
from vae.networks.pixels import to_pixels
from vae.training.errors import TrainingError
from vae.training.losses import psnr

ACTIONS = ("steering", "gas", "brake")
ORDER = ("drive", "frame")
HIDDEN = 256
FIRST, LONG = 4, 12  # frames that are dreamt ahead in training, at first and later
NOISE = 0.05  # on the first two codes, in units of their spread
AHEAD = (1, 3, 5, 10, 20, 30, 45, 60)  # frames ahead that are measured


@dataclass
class Drives:
    """Codes z (M, d) in units of their spread, frames uint8 (M, s, s, c), actions (M, 3), and which drive each is of."""

    z: Tensor
    frames: np.ndarray
    actions: Tensor
    drive: np.ndarray
    frame: np.ndarray

    def starts(self, ahead: int) -> np.ndarray:
        """Places that have a frame before them and `ahead` frames after them, none missing between."""
        places = np.arange(1, len(self.drive) - ahead)
        same = self.drive[places - 1] == self.drive[places + ahead]
        return places[same & (self.frame[places + ahead] - self.frame[places - 1] == ahead + 1)]


class Transition(nn.Module):
    """Where a code goes: z, before (N, d), a, a_before (N, A) -> the next z (N, d).

    mean, std (d): of the codes, of which z is in units. residual (d): spread of what one step leaves unexplained, which
    a dream's temperature scales.
    """

    def __init__(self, latent_size: int, actions: int = len(ACTIONS), hidden: int = HIDDEN):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * (latent_size + actions), hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, latent_size),
        )
        for name, value in (("mean", 0.0), ("std", 1.0), ("residual", 0.0)):
            self.register_buffer(name, torch.full((latent_size,), value))

    def forward(self, z: Tensor, before: Tensor, a: Tensor, a_before: Tensor) -> Tensor:
        return z + 0.5 * self.layers(torch.cat([z, before, a, a_before], 1))


@torch.no_grad()
def drives_of(model: Autoencoder, data: ImageSet, device: torch.device) -> Drives:
    """The codes and actions of a set of drives, frame after frame; codes as they are. Raises TrainingError."""
    missing = [name for name in (*ORDER, *ACTIONS) if name not in data.factor_names]
    if missing:
        raise TrainingError(
            f"{data.name} has no column {missing[0]!r}, so its frames do not say what comes next; "
            "draw drives with: python -m vae world roads"
        )
    factor = {name: data.factors[:, data.factor_names.index(name)] for name in (*ORDER, *ACTIONS)}
    data = data.subset(np.lexsort((factor["frame"], factor["drive"])))
    factor = {name: data.factors[:, data.factor_names.index(name)] for name in (*ORDER, *ACTIONS)}
    frames = np.concatenate(list(data.batches(256)))
    parts = [
        model.encode(to_pixels(torch.from_numpy(frames[i : i + 256]).to(device))).mu for i in range(0, len(frames), 256)
    ]
    actions = torch.from_numpy(np.stack([factor[name] for name in ACTIONS], 1).astype(np.float32)).to(device)
    return Drives(torch.cat(parts), frames, actions, factor["drive"], factor["frame"])


def dream(net: Transition, drives: Drives, places: np.ndarray, ahead: int, noise: float = 0.0) -> list[Tensor]:
    """The codes that the network expects 1 ... ahead frames after `places`, each (len(places), d), by the true actions."""
    at = torch.from_numpy(places).to(drives.z.device)
    z, before = drives.z[at], drives.z[at - 1]
    if noise:
        z, before = z + noise * torch.randn_like(z), before + noise * torch.randn_like(z)
    found = []
    for step in range(ahead):
        z, before = net(z, before, drives.actions[at + step], drives.actions[at + step - 1]), z
        found.append(z)
    return found


def learn(
    net: Transition,
    drives: Drives,
    minutes: float,
    seed: int,
    batch: int = 256,
    steps: int = 0,
    say: Callable[[str], None] | None = None,
) -> int:
    """Train the network on drives whose codes are in its units, for minutes or steps -> steps taken."""
    short, long = drives.starts(FIRST), drives.starts(LONG)
    if not len(long):
        raise TrainingError(
            f"no drive has {LONG + 2} frames in a row; draw longer ones with: python -m vae world roads"
        )
    optimiser = torch.optim.Adam(net.parameters(), 2e-3, weight_decay=1e-5)
    rng, began, step = np.random.default_rng((seed, 7)), time.monotonic(), 0
    torch.manual_seed(seed)
    while True:
        progress = step / steps if steps else (time.monotonic() - began) / (60 * minutes)
        if progress >= 1:
            return step
        ahead, starts = (FIRST, short) if progress < 0.2 else (LONG, long)
        optimiser.param_groups[0]["lr"] = 2e-3 * min(1.0, 2 * (1 - progress))
        places = starts[rng.integers(len(starts), size=batch)]
        at = torch.from_numpy(places).to(drives.z.device)
        dreamt = dream(net, drives, places, ahead, NOISE)
        loss = torch.stack([(z - drives.z[at + k]).square().mean() for k, z in enumerate(dreamt, 1)]).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        if say and step % 500 == 0:
            say(f"step {step:,}, {100 * progress:.0f} %: squared error {loss.item():.4f} over {ahead} frames")


@torch.no_grad()
def measure(
    net: Transition, model: Autoencoder, drives: Drives, ahead: Sequence[int] = AHEAD, most: int = 400
) -> list[dict]:
    """dB by frames ahead: of the dream, of the last frame frozen, of the true frame through the model."""
    starts = drives.starts(max(ahead))
    if not len(starts):
        raise TrainingError(f"no unseen drive has {max(ahead) + 2} frames in a row; draw longer ones")
    places = starts[np.unique(np.linspace(0, len(starts) - 1, most).astype(int))]
    dreamt = dream(net, drives, places, max(ahead))

    def decibels(z: Tensor, at: np.ndarray) -> float:
        total = 0.0
        for i in range(0, len(at), 128):
            x = to_pixels(torch.from_numpy(drives.frames[at[i : i + 128]]).to(z.device))
            total += psnr(x, model.decode(z[i : i + 128] * net.std + net.mean)).sum().item()
        return round(total / len(at), 2)

    rows = []
    for k in ahead:
        at = torch.from_numpy(places)
        rows.append(
            {
                "ahead": k,
                "dream": decibels(dreamt[k - 1], places + k),
                "frozen": decibels(drives.z[at], places + k),
                "ceiling": decibels(drives.z[at + k], places + k),
            }
        )
    return rows
