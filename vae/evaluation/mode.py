"""The posterior's mode: the code that explains what is known of a picture and is usual, by optimising z. Needs torch.

Minimised is |known (x - g(z))|^2 / (2 s^2) + the squared Mahalanobis length of z / 2, the negative logarithm of
p(x | z) p(z) for Gaussian noise of variance s^2 (Bora et al. 2017, arXiv 1703.03208, with the prior kept). s holds
the noise and the model's own error, which keeps the decoder from running after the noise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

STEPS = 40
RATE = 0.08  # of Adam, in standard deviations of the code
OWN_ERROR = 24.0  # grey levels, where the bundle does not say how well it reconstructs
DEPENDENT = 8.0  # so many neighbouring pixels err together: their errors are no independent evidence


class ModeError(ValueError):
    """A mode that cannot be found; one sentence."""


def _decoder(bundle: Bundle) -> Callable:
    """The bundle's decoder as a function of torch, z (N, d) -> (N, c, s, s)."""
    from vae.config import ModelConfig
    from vae.networks.autoencoder import Autoencoder
    from vae.networks.weights import WeightsError, load_weights

    settings = json.loads((Path(bundle.path) / "config.json").read_text(encoding="utf-8"))["model"]
    network = Autoencoder(ModelConfig.from_dict(settings))
    try:
        state = {k: v for k, v in load_weights(bundle.path).items() if k.startswith("decoder.")}
        missing, _ = network.load_state_dict(state, strict=False)
    except (WeightsError, RuntimeError) as error:
        raise ModeError(f"the weights of {bundle.name} do not fit ({str(error)[:100]}); use one pass instead") from None
    if any(key.startswith("decoder.") for key in missing):
        raise ModeError(f"the decoder of {bundle.name} has weights without their names; use one pass instead")
    return network.decoder.requires_grad_(False).eval()


def find(
    bundle: Bundle, damaged: Array, known: Array, sigma: float, start: Array | None = None, steps: int = STEPS,
    tell: Callable[[float], None] = lambda share: None,
) -> tuple[Array, Array]:  # fmt: skip
    """The mode for a picture uint8 (s, s, c) of which `known` (s, s) is seen with noise sigma (grey levels).

    start: a code to begin at; the encoder's, else. -> code (d,) float32, and its picture uint8 (s, s, c).
    Raises ModeError.
    """
    import torch

    from vae.networks.pixels import to_images, to_pixels

    decode, stats = _decoder(bundle), bundle.stats
    own = 255 * 10 ** (-float(bundle.metrics["psnr"]) / 20) if "psnr" in bundle.metrics else OWN_ERROR
    noise = (sigma**2 + DEPENDENT * own**2) * (2 / 255) ** 2  # in the network's own range of 2
    begin = bundle.encode(damaged[None])[0][0] if start is None else start
    # coordinates in which the codes of the data are a standard normal cloud
    scale = np.sqrt(np.maximum(stats.eigenvalues, 1e-9))
    basis = torch.from_numpy((stats.eigenvectors * scale).astype(np.float32))
    centre = torch.from_numpy(stats.centre.astype(np.float32))
    u = torch.from_numpy(((begin - stats.centre) @ stats.eigenvectors / scale).astype(np.float32))
    u.clamp_(-4, 4).requires_grad_(True)
    x = to_pixels(torch.from_numpy(damaged[None].copy()))
    seen = torch.from_numpy(known.astype(np.float32))[None, None]
    adam = torch.optim.Adam([u], RATE, (0.8, 0.99))
    best, least = u.detach().clone(), math.inf
    for step in range(steps):
        for group in adam.param_groups:
            group["lr"] = RATE * min(1.0, 2 * (1 - step / steps))
        adam.zero_grad()
        image = decode((centre + basis @ u)[None])
        loss = (seen * (x - image)).square().sum() / (2 * noise) + 0.5 * u.square().sum()
        if not torch.isfinite(loss):
            raise ModeError("the search ran out of numbers on this picture; use one pass instead")
        if loss.item() < least:
            best, least = u.detach().clone(), loss.item()
        loss.backward()
        adam.step()
        tell((step + 1) / steps)
    with torch.no_grad():
        z = centre + basis @ best
        return z.numpy(), to_images(decode(z[None]))[0]
