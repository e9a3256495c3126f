"""Weights out of a model's ONNX files: its initialisers carry the names of the state_dict."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch


class WeightsError(ValueError):
    """Weights that cannot be read; one sentence that names the file and the remedy."""


def load_weights(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The state_dict, float32, read back from the initialisers of a folder's encoder.onnx and decoder.onnx. Raises WeightsError."""
    return {f"{part}.{key}": value for part in ("encoder", "decoder") for key, value in _read(path, part, part).items()}


def load_guess(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The same of a folder's guess.onnx, for vae.networks.guess.Guess. Raises WeightsError."""
    return _read(path, "guess", "guess")


def load_light(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """The same of a folder's light.onnx, for vae.networks.autoencoder.StyleDecoder. Raises WeightsError."""
    return _read(path, "light", "decoder")


def _read(path: str | os.PathLike[str], name: str, part: str) -> dict[str, torch.Tensor]:
    """The state_dict of one part of a model out of the file of this name."""
    import onnx

    file = Path(path) / f"{name}.onnx"
    try:
        model = onnx.load_model(file, load_external_data=False)
        return {
            tensor.name.removeprefix(f"{part}."): torch.from_numpy(
                onnx.numpy_helper.to_array(tensor).astype(np.float32)
            )
            for tensor in model.graph.initializer
            if tensor.name.startswith(f"{part}.")
        }
    except Exception as error:  # protobuf and onnx raise errors of many kinds
        raise WeightsError(
            f"{file.parent.name}/{file.name} cannot be read ({type(error).__name__}); copy the bundle again."
        ) from None
