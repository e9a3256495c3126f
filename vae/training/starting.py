"""What a run may begin with: principal components, another model's weights, other discriminators."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from vae.config import Recipe
from vae.data.imageset import ImageSet
from vae.networks.autoencoder import Autoencoder
from vae.networks.pixels import to_pixels
from vae.networks.principal import start_linear
from vae.networks.weights import load_weights
from vae.training.checkpoint import CHECKPOINT, load_checkpoint
from vae.training.errors import TrainingError
from vae.training.objective import Objective
from vae.training.processes import Processes

PCA_IMAGES = 4096
# Weights that a run may begin without, where it starts from a model that had none of them.
ADDED = re.compile(r"decoder\..*\.(noise|strength)|encoder\.offsets\..*")


def start_at_components(model: Autoencoder, recipe: Recipe, pictures: ImageSet, processes: Processes) -> None:
    """Begin at the principal components of some of the pictures: the first process finds them for all."""
    if processes.rank == 0:
        rows = np.unique(np.linspace(0, len(pictures) - 1, min(PCA_IMAGES, len(pictures))).astype(int))
        images = to_pixels(torch.from_numpy(pictures.images(rows)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            start_linear(model, images, recipe.objective.kl_target)
    processes.share([p.data for p in model.parameters()])


def start_from(model: Autoencoder, path: Path) -> None:
    """Begin with the weights of a run's folder (their moving average) or a bundle's. Raises TrainingError."""
    if (path / CHECKPOINT).exists():
        weights = load_checkpoint(path).ema
    else:
        weights = load_weights(path)  # a bundle's folder
    # What a model may have beside an older one acts on nothing at first: noise in no strength, offsets of 0.
    new = {k: v for k, v in model.state_dict().items() if ADDED.fullmatch(k) and k not in weights}
    try:
        model.load_state_dict({**weights, **new})
    except RuntimeError:
        raise TrainingError(
            f"the weights of {path.name} do not fit this model; use its architecture, sizes and latent size"
        ) from None


def critic_from(objective: Objective, path: Path) -> None:
    """Begin with the discriminators of a safetensors file, `critic.` and `judges.`. Raises TrainingError."""
    try:
        found = {key: value.float() for key, value in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise TrainingError(f"{path} cannot be read ({type(error).__name__}: {error}); choose another file") from None
    wanted = {k: v for k, v in objective.state_dict().items() if k.startswith(("critic.", "judges."))}
    if not wanted or any(k not in found or found[k].shape != v.shape for k, v in wanted.items()):
        raise TrainingError(
            f"the weights of {path.name} do not fit this run's discriminators; use its architecture, sizes and terms"
        )
    objective.load_state_dict({k: found[k] for k in wanted}, strict=False)
