"""Weights out of a model's ONNX files: its initialisers carry the names of the state_dict."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch


class WeightsError(ValueError):
    """Weights that cannot be read; one sentence that names the file and the remedy."""


def load_weights(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The state_dict, float32, read back from the initialisers of a folder's encoder.onnx and decoder.onnx. Raises WeightsError."""
    return _read(path, ("encoder", "decoder"))


def load_guess(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The same of a folder's guess.onnx, for vae.networks.guess.Guess. Raises WeightsError."""
    return {key.partition(".")[2]: value for key, value in _read(path, ("guess",)).items()}


def load_light(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The same of a folder's light.onnx, for vae.networks.autoencoder.StyleDecoder. Raises WeightsError."""
    return {key.partition(".")[2]: value for key, value in _read(path, ("light",), "decoder").items()}


def _read(path: str | os.PathLike[str], names: Sequence[str], part: str | None = None) -> dict[str, torch.Tensor]:
    """Weights of the files of these names, by those that they have in the whole model; part: theirs, if not the file's."""
    import onnx

    state: dict[str, torch.Tensor] = {}
    for name in names:
        file = Path(path) / f"{name}.onnx"
        try:
            model = onnx.load_model(file, load_external_data=False)
            for tensor in model.graph.initializer:
                if tensor.name.startswith(f"{part or name}."):
                    state[tensor.name] = torch.from_numpy(onnx.numpy_helper.to_array(tensor).astype(np.float32))
        except Exception as error:  # protobuf and onnx raise errors of many kinds
            raise WeightsError(
                f"{file.parent.name}/{file.name} cannot be read ({type(error).__name__}); copy the bundle again."
            ) from None
    return state
