"""Codes of mean 0 and variance 1, by weights that compute the same.

A model is free to shift and stretch its codes: what the encoder's last layer does to them, the decoder's first undoes.
Training holds the KL from N(0, I) in sum only, so that some of it is spent on where the codes lie. Moved back, the
same posteriors are nearer to N(0, I), and a slider of the code reads in standard deviations. numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from vae.config import ModelConfig

Array = np.ndarray

LEAST = 1e-3  # weights divided by less would leave half precision


def moments(mu: Array, logvar: Array) -> tuple[Array, Array]:
    """Mean and standard deviation, both (d,), of the mixture of all posteriors mu, logvar (M, d).

    A dimension that says nothing is not stretched: its deviation is given as LEAST of the largest at least.
    """
    mu, logvar = mu.astype(np.float64), logvar.astype(np.float64)
    std = np.sqrt(mu.var(0) + np.exp(logvar).mean(0))
    return mu.mean(0), np.maximum(std, LEAST * std.max())


def standardise(model: ModelConfig, weights: Mapping[str, Array], mean: Array, std: Array) -> dict[str, Array]:
    """Weights, float32 by state_dict name, whose codes are (mu - mean) / std, with sigma / std, and pictures the same.

    mean, std: (d,). Raises ValueError for a model without styles.
    """
    if model.architecture != "style":
        raise ValueError(f"only a 'style' model's codes can be standardised, and this one is {model.architecture!r}")
    d, made = model.latent_size, dict(weights)
    scale = 1 / math.sqrt(d)  # of the equalised learning rate, in layers that read a code
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)

    def put(key: str, value: Array) -> None:
        made[key] = value.astype(np.float32)

    weight, bias = (np.array(weights[f"encoder.to_posterior.{key}"], np.float64) for key in ("weight", "bias"))
    weight[:d] /= std[:, None]
    bias[:d] = (bias[:d] - mean) / std
    if model.variational:
        bias[d:] -= 2 * np.log(std)
    put("encoder.to_posterior.weight", weight)
    put("encoder.to_posterior.bias", bias)
    if model.linear:
        put("encoder.linear.weight", np.asarray(weights["encoder.linear.weight"]) / std[:, None])
        put("encoder.linear.bias", np.asarray(weights["encoder.linear.bias"]) / std)
    readers = [
        key[: -len(".weight")] for key in weights if key.startswith("decoder.linear.") and key.endswith(".weight")
    ]
    for key in ("decoder.mapping.0", *readers):
        weight = np.asarray(weights[f"{key}.weight"], np.float64)
        put(f"{key}.bias", np.asarray(weights[f"{key}.bias"]) + scale * weight @ mean)
        put(f"{key}.weight", weight * std)
    return made
