"""How strongly style offsets act on a picture: the coordinates in which all act alike, and the file that holds it.

Offsets differ by orders of magnitude in what they do: a few directions move the whole face, most hardly a pixel.
Gradient steps on the offsets as they are stall between the two. Measured once for a bundle
(vae.photos.measure_curvature), the curvature of refining's loss gives coordinates in which all directions act alike,
and Adam steps in those.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae.bundles.contract import CURVATURE_FILE

# Added to each curvature, in units of the loss: coordinates of what hardly acts stay short, and where no offset acts
# much, as in a model that has only begun to learn, all do.
DAMPING = 1e-3


def coordinates(curvature: Tensor) -> Tensor:
    """Rows of offsets (L, S, S) that act alike where they act: delta = coordinates^T u for each level."""
    values, vectors = torch.linalg.eigh(curvature)
    return (vectors * (values.clamp_min(0) + DAMPING).rsqrt()[:, None]).transpose(1, 2).contiguous()


def save(folder: Path, curvature: Tensor) -> None:
    """Put the matrices into a bundle's folder: lower triangles in float16, each level in units of its largest number."""
    rows, columns = np.tril_indices(curvature.shape[1])
    triangles = curvature.numpy()[:, rows, columns]  # (L, S (S + 1) / 2)
    scale = np.maximum(np.abs(triangles).max(1), 1e-30).astype(np.float32)
    np.savez(folder / CURVATURE_FILE, triangles=(triangles / scale[:, None]).astype(np.float16), scale=scale)


def load(folder: Path, levels: int, style: int) -> Tensor | None:
    """The matrices (L, S, S) of a bundle's folder that has been opened before; None where it has none."""
    path = folder / CURVATURE_FILE
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as data:
        triangles = data["triangles"].astype(np.float32) * data["scale"][:, None]
    curvature = np.zeros((levels, style, style), np.float32)
    rows, columns = np.tril_indices(style)
    curvature[:, rows, columns] = curvature[:, columns, rows] = triangles
    return torch.from_numpy(curvature)
