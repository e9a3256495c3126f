"""Measure how strongly a model's style offsets act on its pictures, and put it into the bundle: fewer refining steps.

With J the derivative of the pictures by a level's offsets and W the loss's weights of their pixels, the curvature of
a level is E[J^T W J] over codes, the Gauss-Newton matrix of a squared error. One backward pass of a random error n
with E[n n^T] = W gives J^T n, and the mean of its outer products is that matrix (Martens 2020, arXiv 1412.1193).
Levels are taken apart, as K-FAC takes layers (Martens and Grosse 2015, arXiv 1503.05671).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vae.bundles.contract import CURVATURE_FILE
from vae.photos.curvature import save
from vae.photos.fitting import Fitter

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.config import ModelConfig

Array = np.ndarray

SAMPLES = 5  # backward passes for each of the style's numbers
BATCH = 16
# The mean absolute error, of 2, that a face's reconstruction has at each size of the loss's pyramid: the curvature of
# an absolute error e behaves like that of a squared one divided by |e|.
ERRORS = (0.12, 0.11, 0.10, 0.08)
HEADING = "## Refining"


def measure(fitter: Fitter, codes: Array, seed: int = 0) -> Tensor:
    """The curvature (L, S, S) of a decoder's offsets, averaged over codes (M, d) drawn with their neighbours' blends."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.from_numpy(np.asarray(codes, np.float32))
    levels, style = fitter.config.levels, fitter.config.style_size
    total, count = torch.zeros(levels, style, style), 0
    while count < SAMPLES * style:
        rows = torch.randint(len(codes), (2, BATCH), generator=generator)
        share = torch.rand(BATCH, 1, generator=generator) * (torch.rand(BATCH, 1, generator=generator) < 0.5)
        z = torch.lerp(codes[rows[0]], codes[rows[1]], 0.5 * share)
        with torch.no_grad():
            w = fitter.decoder.styles(z)  # (N, L, S)
        delta = torch.zeros_like(w, requires_grad=True)
        parts = []
        for picture, weights, error in zip(fitter.pictures(w + delta), fitter.likeness.importance, ERRORS):
            noise = torch.randn(picture.shape, generator=generator)
            parts.append((picture * (weights / (picture[0].numel() * error)).sqrt() * noise).sum())
        (gradient,) = torch.autograd.grad(torch.stack(parts).sum(), delta)
        total += torch.einsum("nls,nlt->lst", gradient, gradient)
        count += len(w)
    return total / count


def add(
    folder: Path, model: ModelConfig, weights: Mapping[str, Any], codes: Array, eyes: Any, say: Callable[[str], None]
) -> None:
    """Measure the curvature of a model, its weights as arrays or tensors, and put it into a bundle's folder.

    What vae.bundles.export calls an addition; nothing where the model has no styles.
    """
    if not model.levels:
        return
    say("measuring how the style offsets act")
    fitter = Fitter(model, {key: torch.as_tensor(value) for key, value in weights.items()}, eyes)
    save(folder, measure(fitter, codes))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m vae curvature`."""
    parser.add_argument("--model", required=True, help="name of a bundle, or path of its folder; it gets the file")


def run(args: argparse.Namespace, bundle: Bundle, say: Callable[[str], None]) -> int:
    """Measure the curvature of a bundle that has none yet, and put it there."""
    from vae.bundles.folder import extend
    from vae.networks.weights import load_weights

    if not bundle.levels:
        raise ValueError(f"{bundle.name} has no styles, so nothing of it is refined; choose another model")

    def write(folder: Path) -> None:
        add(folder, bundle.model, load_weights(folder), bundle.codes.mu, bundle.eyes, say)

    def describe(found: dict[str, Any]) -> str:
        return "\n".join([
            f"`{CURVATURE_FILE}` holds how strongly each style offset acts on the picture, which lets refining "
            "end in fewer steps.", "", f"    python -m vae curvature --model {bundle.name}", "",
        ])  # fmt: skip

    extend(bundle, write, HEADING, describe)
    print(f"{bundle.name}: curvature of {bundle.levels} levels")
    return 0
