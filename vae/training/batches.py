"""What a step trains on: pictures in an order and with random numbers that (seed, step) alone decide."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vae.config import ModelConfig, TrainingConfig
from vae.data.imageset import ImageSet
from vae.networks.pixels import to_pixels
from vae.training.objective import Draws


@dataclass
class Batch:
    """This process's share of a step: images uint8 (n, s, s, c), flip bool (n,) or None, and its random numbers.

    augment: what `augmented` takes, or None.
    """

    images: Tensor
    flip: Tensor | None
    draws: Draws
    augment: Tensor | None = None

    def to(self, device: torch.device) -> tuple[Tensor, Draws]:
        """Images as float32 (n, c, s, s) in [-1, 1], and the draws, on a device."""
        x = to_pixels(self.images.to(device, non_blocking=True))
        if self.flip is not None:
            x = torch.where(self.flip.to(device, non_blocking=True)[:, None, None, None], x.flip(3), x)
        if self.augment is not None:
            x = augmented(x, self.augment.to(device, non_blocking=True))
        draws = {k: v if v is None else v.to(device, non_blocking=True) for k, v in vars(self.draws).items()}
        return x, Draws(**draws)


# Numbers that `augmented` takes of an image, beside one a channel: 2 shifts, the scale, whether framed, and 4 edges.
AUGMENT_PLACES = 8
STILL = 0.5  # each of them so leaves the image as it is


def augmented(x: Tensor, u: Tensor) -> Tensor:
    """Images (n, c, s, s) in [-1, 1], shifted by up to 1/16 of the side, scaled by 0.9 to 1.1, a tenth of them framed.

    u (n, 8 + c): uniform in [0, 1). What comes in from outside is the image's own reflection. A frame is of one colour
    and covers 0 to 1/5 of the side on each of the four edges.
    """
    shift, scale, framed, edges, colour = u.split([2, 1, 1, 4, x.shape[1]], 1)
    scale, shift = 0.9 + 0.2 * scale, (2 * shift - 1) / 8  # grids are 2 wide
    # Places of the input by those of the output: p / scale - shift / scale.
    theta = torch.cat([(torch.eye(2, device=x.device) / scale[:, :, None]), -(shift / scale)[:, :, None]], 2)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    # Linear interpolation would blur what the model is to draw sharply, but is all that every MPS has.
    mode = "bilinear" if x.device.type == "mps" else "bicubic"
    x = F.grid_sample(x, grid, mode, padding_mode="reflection", align_corners=False).clamp(-1, 1)
    places = (torch.arange(x.shape[-1], device=x.device) + 0.5) / x.shape[-1]
    left, top, right, bottom = (edges / 5)[:, :, None].unbind(1)  # (n, 1)
    columns, rows = (places < left) | (places >= 1 - right), (places < top) | (places >= 1 - bottom)  # (n, s)
    covered = (framed < 0.1)[:, :, None, None] & (columns[:, None, None] | rows[:, None, :, None])
    return torch.where(covered, (2 * colour - 1)[:, :, None, None], x)


class Batches:
    """Endless shuffled batches; the one of a step is a function of (seed, step).

    Epochs follow each other without a gap, so every batch is full, and a set smaller than a batch repeats.
    """

    def __init__(
        self,
        data: ImageSet,
        model: ModelConfig,
        training: TrainingConfig,
        rank: int = 0,
        world: int = 1,
        sharp: bool = False,
        pin: bool = False,
        colour: bool = False,
        fitted: bool = False,
    ):
        self.data, self.model, self.seed, self.flip, self.sharp, self.pin = (
            data,
            model,
            training.seed,
            training.flip,
            sharp,
            pin,
        )
        self.augment, self.augment_share = training.augment, training.augment_share
        self.colour, self.fitted = colour, fitted
        self.size = training.batch_size
        self.share = slice(rank * self.size // world, (rank + 1) * self.size // world)
        self._order: dict[int, np.ndarray] = {}

    def indices(self, step: int) -> np.ndarray:
        """Places in the set of the whole batch of a step, (batch_size,)."""
        places = np.arange(step * self.size, (step + 1) * self.size)
        epochs, within = np.divmod(places, len(self.data))
        for epoch in range(epochs[0], epochs[-1] + 1):
            if epoch not in self._order:
                self._order = {e: o for e, o in self._order.items() if e >= epochs[0]}
                self._order[epoch] = np.random.default_rng((self.seed, 1, epoch)).permutation(len(self.data))
        return np.array([self._order[e][w] for e, w in zip(epochs.tolist(), within.tolist())])

    def at(self, step: int) -> Batch:
        """This process's share of the batch of a step."""
        n, d, levels = self.size, self.model.latent_size, self.model.levels
        rng, mine = np.random.default_rng((self.seed, 2, step)), self.share

        def normal() -> Tensor:
            return self._ready(rng.standard_normal((n, d), np.float32)[mine])

        def uniform(count: int = 1) -> Tensor:
            return self._ready(rng.random((n, count), np.float32)[mine])

        # Drawn for the whole batch and then cut: how many processes there are makes no difference.
        draws = Draws(normal())
        if self.sharp:
            cut = self._ready(rng.integers(1, levels, (n, 1))[mine])
            draws = Draws(draws.eps, normal(), normal(), uniform(), uniform(), cut)
        flip = self._ready(rng.random(n)[mine] < 0.5) if self.flip else None
        # Later terms draw after earlier ones: without them a run keeps its random numbers.
        augment = uniform(AUGMENT_PLACES + self.model.channels) if self.augment else None
        draws.colour = uniform(3) if self.colour else None
        draws.part = uniform(2) if self.fitted else None
        draws.keep = uniform() if self.model.offsets else None
        if augment is not None and self.augment_share < 1:
            augment = torch.where(uniform() < self.augment_share, augment, STILL)
        return Batch(self._ready(self.data.images(self.indices(step)[mine])), flip, draws, augment)

    def _ready(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.pin_memory() if self.pin else tensor

    def run(self, step: int, ahead: int) -> Iterator[Batch]:
        """The batches from a step on; a thread prepares so many ahead (0: none, right for pictures in memory)."""
        if not ahead:
            while True:
                yield self.at(step)
                step += 1
        ready: queue.Queue[Batch | BaseException] = queue.Queue(ahead)
        over = threading.Event()

        def put(item: Batch | BaseException) -> bool:
            while not over.is_set():
                with contextlib.suppress(queue.Full):
                    ready.put(item, timeout=0.2)
                    return True
            return False

        def prepare() -> None:
            try:
                current = step
                while put(self.at(current)):
                    current += 1
            except BaseException as error:
                put(error)

        threading.Thread(target=prepare, name="batches", daemon=True).start()
        try:
            while True:
                item = ready.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            over.set()
