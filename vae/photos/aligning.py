"""Bring a face onto a model's eye template: the similarity transform, and an antialiased warp.

Points are (x, y) in pixels, (0, 0) in the middle of the top left pixel. Pictures are uint8 (h, w, 3) RGB.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vae.data.kinds import MAX_PIXELS, PictureError

Point = tuple[float, float]
Eyes = tuple[Point, Point]
TEMPLATE: Eyes = ((46.0, 66.0), (80.0, 66.0))

# dlib marks eye corners. In 284 aligned CelebA pictures the middles of the two pairs lie at (46.86, 66.41) and
# (79.99, 66.45) px where the template says (46, 66) and (80, 66): this shift and stretch, in eye distances along
# and across the line through the eyes, takes one to the other.
SPREAD = 34 / 33.13
SHIFT = complex(-0.43, -0.43) / 33.13


class FaceError(ValueError):
    """A face that cannot be found, aligned or pasted; the message is a sentence for the user."""


def pair(left: complex, right: complex) -> Eyes:
    """Two points x + iy as eyes."""
    return (left.real, left.imag), (right.real, right.imag)


def checked(image: np.ndarray) -> np.ndarray:
    """The picture, if it is uint8 (h, w) or (h, w, 3). Raises PictureError."""
    image = np.asarray(image)
    shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not shaped or 0 in image.shape:
        found = f"{image.dtype} {image.shape}"
        raise PictureError(f"A picture must be uint8 (h, w, 3), not {found}; read it with read_image.")
    return image


def _pair_of(eyes: Any, name: str) -> tuple[complex, complex]:
    try:
        points = np.asarray(eyes, dtype=float)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.shape != (2, 2) or not np.isfinite(points).all() or np.abs(points).max() > 1e6:
        raise FaceError(f"The {name} must be two points of finite x and y, not {eyes!r}; mark both eyes.")
    return complex(*points[0]), complex(*points[1])


def align_matrix(eyes: Eyes, template: Eyes = TEMPLATE) -> np.ndarray:
    """Similarity transform (2, 3) that takes the eyes, in px of the picture, onto the template, in px of the crop.

    Raises FaceError when the eyes are not two distinct points.
    """
    a, b = _pair_of(eyes, "eyes")
    c, d = _pair_of(template, "eye template")
    if abs(b - a) < 1:
        raise FaceError(f"The eye marks are only {abs(b - a):.1f} px apart; put one on each eye.")
    m = (d - c) / (b - a)
    t = c - m * a
    return np.array([[m.real, -m.imag, t.real], [m.imag, m.real, t.imag]])


def move(matrix: np.ndarray, point: complex) -> complex:
    """A point x + iy through an affine matrix (2, 3)."""
    x, y = matrix[:, :2] @ (point.real, point.imag) + matrix[:, 2]
    return complex(x, y)


def invert(matrix: np.ndarray) -> np.ndarray:
    """The affine matrix (2, 3) that leads back."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def _after(matrix: np.ndarray, scale: float, dx: float, dy: float) -> np.ndarray:
    """Matrix for a picture q whose pixel centres map to the old ones by p = (q + 0.5) * scale - 0.5 + (dx, dy)."""
    old = np.array([[scale, 0, 0.5 * scale - 0.5 + dx], [0, scale, 0.5 * scale - 0.5 + dy], [0, 0, 1]])
    return matrix @ old


def _reflect(indices: np.ndarray, n: int) -> np.ndarray:
    """Indices mirrored back into 0..n-1 at the edges, as often as it takes."""
    period = max(1, 2 * n)
    folded = indices % period
    return np.where(folded < n, folded, period - 1 - folded)


def warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Resample uint8 (h, w[, 3]) to (size, size[, 3]); matrix takes picture to crop. Antialiased, edges reflected."""
    from PIL import Image

    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))  # crop px per picture px
    corners = [move(invert(matrix), complex(x, y)) for x in (-1, size) for y in (-1, size)]
    margin = 3 + math.ceil(2 / min(scale, 1))
    x0 = math.floor(min(p.real for p in corners)) - margin
    x1 = math.ceil(max(p.real for p in corners)) + margin
    y0 = math.floor(min(p.imag for p in corners)) - margin
    y1 = math.ceil(max(p.imag for p in corners)) + margin
    height, width = image.shape[:2]
    step = max(1, int(0.5 / scale))
    if step > 1:
        # Averaging blocks of step x step px first keeps the cost of a large photo low; the block grid starts at x0, y0
        # inside the picture, mirrored blocks outside.
        reduced = np.asarray(Image.fromarray(image).reduce(step))
        return warp(reduced, _after(matrix, step, 0, 0), size)
    if (x1 - x0) * (y1 - y0) > 4 * MAX_PIXELS:
        raise FaceError("The eye marks are too close to each other for this picture; put one on each eye.")
    inside = x0 >= 0 and y0 >= 0 and x1 <= width and y1 <= height
    if inside:
        region = image[y0:y1, x0:x1]
    else:
        region = image[_reflect(np.arange(y0, y1), height)][:, _reflect(np.arange(x0, x1), width)]
    matrix = _after(matrix, 1, x0, y0)
    picture = Image.fromarray(np.ascontiguousarray(region))
    fine = 2 * scale  # the warp itself is bicubic without a filter: do it at twice the crop's resolution
    if fine < 1:
        sides = max(1, round(picture.width * fine)), max(1, round(picture.height * fine))
        resized = picture.resize(sides, Image.Resampling.LANCZOS)
        stretch = np.diag([picture.width / resized.width, picture.height / resized.height, 1.0])
        stretch[:2, 2] = 0.5 * stretch[[0, 1], [0, 1]] - 0.5
        matrix, picture = matrix @ stretch, resized
    # Pillow maps crop (x + 0.5, y + 0.5) to picture coordinates that count from a pixel's corner.
    inverse = invert(matrix)
    if scale < 1:  # two samples per crop pixel each way
        inverse = _after(inverse, 0.5, 0, 0)
        side = 2 * size
    else:
        side = size
    linear, offset = inverse[:, :2], inverse[:, 2]
    offset = offset + 0.5 - linear @ (0.5, 0.5)
    data = (*linear[0], offset[0], *linear[1], offset[1])
    crop = picture.transform((side, side), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    if side != size:
        crop = crop.resize((size, size), Image.Resampling.LANCZOS)
    return np.array(crop)


def usual_eyes(image: np.ndarray, template: Eyes = TEMPLATE, size: int = 128) -> Eyes:
    """Where the eyes of a picture (h, w, ...) are if a face fills its middle square as those of the template do."""
    height, width = image.shape[:2]
    side = min(height, width)
    left, top, scale = (width - side) / 2, (height - side) / 2, side / size
    (x0, y0), (x1, y1) = template
    return (left + x0 * scale, top + y0 * scale), (left + x1 * scale, top + y1 * scale)


def align(image: np.ndarray, eyes: Eyes, template: Eyes = TEMPLATE, size: int = 128) -> np.ndarray:
    """Turn, scale and shift a picture so that its eyes land on the template -> uint8 (size, size, 3).

    Antialiased; where the crop leaves the picture, the picture is mirrored at its edge. Raises FaceError.
    """
    image = checked(image)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    matrix = align_matrix(eyes, template)
    seen = [move(invert(matrix), complex(x, y)) for x in (0, size - 1) for y in (0, size - 1)]
    height, width = image.shape[:2]
    if (
        all(p.real < 0 for p in seen)
        or all(p.real > width for p in seen)
        or all(p.imag < 0 for p in seen)
        or all(p.imag > height for p in seen)
    ):
        raise FaceError(f"The eye marks lie outside the picture of {width} x {height} px; put them on the eyes.")
    return warp(image, matrix, size)
