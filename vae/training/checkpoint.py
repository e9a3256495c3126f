"""A run's state on disk: one safetensors file, tensors by name, and in its header the rest as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vae.config import Recipe
from vae.files import replacing
from vae.training.errors import TrainingError

FORMAT = 1
CHECKPOINT = "checkpoint.safetensors"


class Checkpoint(NamedTuple):
    """A run's state on disk. model and ema (the moving average: what to use) are state dicts of an Autoencoder.

    state: step, images, seconds, metrics (of the last validation), data (name, counts).
    """

    recipe: Recipe
    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    objective: dict[str, Tensor]
    optimisers: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and JSON as one safetensors file, durably and at once: never half a file under the name."""
    with replacing(path, durable=True) as temporary:
        ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(ready, temporary, metadata={"state": json.dumps(state, allow_nan=False)})


def load_checkpoint(run_dir: str | Path) -> Checkpoint:
    """Read a run folder's checkpoint to the CPU. Runs no code of the file. Raises TrainingError."""
    path = Path(run_dir) / CHECKPOINT
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if state["format"] != FORMAT:
            raise TrainingError(
                f"{path} has format {state['format']}, this version reads {FORMAT}; open it with the version that wrote it"
            )
        recipe = Recipe.from_dict(state.pop("recipe"))
    except FileNotFoundError:
        raise TrainingError(f"{run_dir} holds no {CHECKPOINT}; choose the folder of a run that has begun") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read ({type(error).__name__}: {error}); choose another run") from None
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "objective": {}, "optimisers": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    parts["ema"] = parts["ema"] or parts["model"]
    return Checkpoint(recipe, *(parts[key] for key in ("model", "ema", "objective", "optimisers")), state)


def check_same(old: Recipe, new: Recipe) -> None:
    """A run goes on with the model, data and objective it began with, and the settings that fix its numbers.

    Raises TrainingError, which names the first setting that differs.
    """
    fixed = ("batch_size", "seed", "flip", "augment", "augment_share", "part", "ema_images")
    for part in ("model", "data", "objective", "training"):
        was, now = getattr(old, part).to_dict(), getattr(new, part).to_dict()
        for key in was:
            free = part == "data" and key in ("memory_mb", "accept_skipped")
            if was[key] != now[key] and (part != "training" or key in fixed) and not free:
                raise TrainingError(
                    f"{part} {key} is {now[key]!r}, but the run began with {was[key]!r}; "
                    f"resume with that, or start a new run"
                )
