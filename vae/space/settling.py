"""Codes whose parts are whole: decoded and encoded again, a few times. NumPy only, by the bundle's own networks.

In pictures made of parts, such as a hat or a note, a code between two of them draws ghosts: a hat half there. The encoder
has seen whole parts only, so decoding and encoding again goes to a code near by that the autoencoder leaves where it is,
an attractor (Radhakrishnan, Belkin and Uhler 2020, PNAS 117(44), doi 10.1073/pnas.2005013117).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vae.space import latent, stringing

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray


def settled(bundle: Bundle, z: Array, passes: int | None = None) -> Array:
    """Codes (d,) or (N, d) after z <- mu(encode(decode(z))), `passes` times, as float32 of the same shape.

    passes: by default the bundle's own number; 0 gives z itself back. Each code goes its own way, whatever lies beside it.
    Style offsets take no part. Raises BundleError.
    """
    for _ in range(bundle.settle if passes is None else passes):
        z = bundle.check_z(bundle.encode(bundle.decode(z))[0]).reshape(np.shape(z))
    return z


def draw(bundle: Bundle, seed: int, temperature: float = 0.7, count: int = 1) -> Array:
    """Draws (count, d) float32 as people see them: of a model of strips strung together, of others those of latent.sample,
    and settled where the bundle asks for it.

    What measures the prior itself takes latent.sample. Draw i does not depend on count; of a bundle that settles, two
    machines may differ by the rounding of its networks. Raises LatentError.
    """
    make = stringing.strung if bundle.model.strips > 1 and len(bundle.codes) else latent.sample
    return settled(bundle, make(bundle, seed, temperature, count))
