"""Lay an aligned crop back into its photo, and give it back the detail that a model leaves out."""

from __future__ import annotations

import math

import numpy as np

from vae.photos.aligning import FaceError, checked, invert, move, warp


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    if image.shape[0] == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS))


def _blur(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of float (s, s, k) over the two first axes, zero outside."""
    radius = max(1, math.ceil(2.5 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    n = values.shape[0]
    band = np.zeros((n, n))
    for shift, weight in zip(range(-radius, radius + 1), kernel / kernel.sum()):
        band += np.diag(np.full(max(0, n - abs(shift)), weight), shift) if abs(shift) < n else 0
    return np.einsum("ij,jkc,lk->ilc", band, values, band, optimize=True)


def detail(
    photo: np.ndarray, reconstruction: np.ndarray, amount: float = 1.0, image: np.ndarray | None = None
) -> np.ndarray:
    """Add back what the model cannot say: image + amount * (photo - reconstruction) -> uint8, as large as photo.

    photo: aligned crop (s, s, 3); reconstruction and image (by default the reconstruction): crops of that or another
    size, scaled to it. amount 0..1: at 1, without `image`, the result is the photo.
    """
    photo, reconstruction = _square(photo, "photo"), _square(reconstruction, "reconstruction")
    if not 0 <= amount <= 1:
        raise FaceError(f"The amount of detail is {amount}; use 0 to 1.")
    size = photo.shape[0]
    base = _resize(reconstruction if image is None else _square(image, "image"), size).astype(np.float32)
    residue = photo.astype(np.float32) - _resize(reconstruction, size)
    return (base + amount * residue).round().clip(0, 255).astype(np.uint8)


def _square(image: np.ndarray, name: str) -> np.ndarray:
    image = checked(image)
    if image.ndim != 3 or image.shape[0] != image.shape[1]:
        raise FaceError(f"The {name} must be a square colour crop, not {image.shape}; align it first.")
    return image


def feather_mask(size: int, feather: float = 0.16) -> np.ndarray:
    """Weights (size, size): 1 inside, falling smoothly to 0 at a rounded square's edge over `feather` of the side."""
    if not 0 < feather <= 0.5:
        raise FaceError(f"The feather is {feather}; use a fraction of the crop's side above 0 and up to 0.5.")
    line = np.abs((np.arange(size) + 0.5) / size * 2 - 1)
    radius = (line[:, None] ** 4 + line[None] ** 4) ** 0.25  # 1 at the middle of each side, above it in the corners
    t = ((1 - radius) / (2 * feather)).clip(0, 1)
    return t * t * (3 - 2 * t)


def paste_back(
    photo: np.ndarray,
    crop: np.ndarray,
    matrix: np.ndarray,
    feather: float = 0.16,
    match: float = 1.0,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Lay an aligned crop back into the photo it came from -> uint8 of the photo's shape.

    crop: uint8 (s, s, 3); matrix: align_matrix (2, 3) of the size the template is for, photo to crop; a crop of 4
    times the size needs 4 times the template. feather: width of the soft edge, a fraction of the crop. match 0..1: how
    far the crop's colours are bent to the photo's along that edge, so that no seam shows. mask: weights (s, s) of one's
    own instead of the rounded square. Raises FaceError.
    """
    from PIL import Image

    photo, crop = checked(photo), _square(crop, "crop")
    if photo.ndim == 2:
        photo = np.repeat(photo[..., None], 3, axis=2)
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (2, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:, :2])) < 1e-9:
        raise FaceError("The alignment cannot be turned round; align the photo again.")
    if not 0 <= match <= 1:
        raise FaceError(f"The colour match is {match}; use 0 to 1.")
    size = crop.shape[0]
    mask = feather_mask(size, feather) if mask is None else np.asarray(mask, dtype=float)
    if mask.shape != (size, size) or not ((mask >= 0) & (mask <= 1)).all():
        wanted = f"({size}, {size}) numbers from 0 to 1"
        raise FaceError(f"The mask must be {wanted}, not {mask.shape}; make it as large as the crop.")
    face = crop.astype(float)
    if match:
        face += match * _seam(warp(photo, matrix, size), crop, mask)
    layer = np.dstack([face.clip(0, 255), 255 * mask]).round().astype(np.uint8)

    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    picture = Image.fromarray(layer, "RGBA")
    if scale > 1.2:  # the photo is coarser than the crop: filter before sampling
        smaller = max(1, round(size / scale))
        picture = picture.resize((smaller, smaller), Image.Resampling.LANCZOS)
        matrix = (smaller / size) * np.column_stack([matrix[:, :2], matrix[:, 2] + 0.5]) - np.array([[0, 0, 0.5]] * 2)
    corners = [move(invert(matrix), complex(x, y)) for x in (-1, picture.width) for y in (-1, picture.height)]
    x0, y0 = max(0, math.floor(min(p.real for p in corners))), max(0, math.floor(min(p.imag for p in corners)))
    x1 = min(photo.shape[1], math.ceil(max(p.real for p in corners)) + 1)
    y1 = min(photo.shape[0], math.ceil(max(p.imag for p in corners)) + 1)
    if x0 >= x1 or y0 >= y1:
        raise FaceError("The face lies outside the photo; align the photo again.")
    linear = matrix[:, :2]
    offset = matrix[:, 2] + linear @ (x0, y0) + 0.5 - linear @ (0.5, 0.5)
    data = (*linear[0], offset[0], *linear[1], offset[1])
    laid = picture.transform((x1 - x0, y1 - y0), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    laid = np.asarray(laid, dtype=np.float32)
    weight = laid[..., 3:] / 255
    result = photo.copy()
    under = photo[y0:y1, x0:x1].astype(np.float32)
    result[y0:y1, x0:x1] = (under + weight * (laid[..., :3] - under)).round().clip(0, 255).astype(np.uint8)
    return result


def _seam(photo: np.ndarray, crop: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Colour offsets (s, s, 3) for the crop: the photo's along the soft edge, carried smoothly inwards and faded out.

    Normalised convolution (Knutsson and Westin 1993) of the difference, weighted by where the mask is in between.
    """
    size = crop.shape[0]
    step = max(1, size // 64)
    ring = 4 * mask * (1 - mask)
    ring[mask == 0] = 0
    weights = ring[::step, ::step, None]
    offset = (photo.astype(float) - crop)[::step, ::step]
    sigma = weights.shape[0] / 10
    near = _blur(weights, sigma)
    smooth = _blur(weights * offset, sigma) / (near + 0.02)
    full = np.repeat(np.repeat(smooth, step, axis=0), step, axis=1)[:size, :size]
    return full if step == 1 else _blur(full, step) / _blur(np.ones((size, size, 1)), step)
