"""What can be measured in the pixels of aligned faces: tone of the skin, hair and eyes, light, pose. NumPy and dlib.

Regions are given on a 128 px template whose eyes lie at (46, 66) and (80, 66), and scaled to other sizes.
Every measure is a plain number without a judgement in it; labels that people gave are another matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray

TEMPLATE = 128


class Measure(NamedTuple):
    """id, what a slider says, group of sliders, function uint8 (N, s, s, 3) -> (N,), and whether the surroundings
    (skin, hair, background, the whole picture) are to be taken out, so that the measure speaks of itself alone."""

    id: str
    label: str
    group: str
    function: Callable[[Array], Array]
    alone: bool = False


def to_lab(rgb: Array) -> Array:
    """uint8 sRGB (..., 3) -> CIE L*a*b* (..., 3), white point D65."""
    x = rgb.astype(np.float32) / 255
    x = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
    x = x @ matrix.T / np.array([0.9505, 1.0, 1.089], np.float32)
    f = np.where(x > 216 / 24389, np.cbrt(x), (24389 / 27 * x + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def region(images: Array, left: int, top: int, right: int, bottom: int) -> Array:
    """L*a*b* of the pixels of a box on the template, (N, p, 3)."""
    scale = images.shape[1] / TEMPLATE
    x0, y0, x1, y1 = (round(v * scale) for v in (left, top, right, bottom))
    cut = images[:, y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    return to_lab(cut).reshape(len(images), -1, 3)


def _median(images: Array, *boxes: tuple[int, int, int, int]) -> Array:
    """Median L*a*b* over some boxes, (N, 3)."""
    return np.median(np.concatenate([region(images, *box) for box in boxes], 1), 1)


LEFT_CHEEK, RIGHT_CHEEK = (40, 80, 52, 92), (74, 80, 86, 92)
CHEEKS = (LEFT_CHEEK, RIGHT_CHEEK)
HAIR = ((44, 6, 82, 18),)
BACKGROUND = ((0, 0, 22, 30), (106, 0, 128, 30))
EYE_BOXES = ((40, 62, 54, 70), (74, 62, 88, 70))
STEP = 4  # every fourth pixel is enough for figures of the whole picture


def _whole(images: Array) -> Array:
    return to_lab(images[:, ::STEP, ::STEP]).reshape(len(images), -1, 3)


def surroundings(images: Array) -> Array:
    """What the measures marked `alone` are freed of: skin, hair, background and whole picture, (N, 11)."""
    whole = _whole(images)
    parts = [_median(images, *CHEEKS), _median(images, *HAIR)[:, :1], _median(images, *BACKGROUND)]
    return np.concatenate([*parts, whole.mean(1), whole.std(1)[:, :1]], 1)


def _saturation(images: Array) -> Array:
    return np.linalg.norm(_whole(images)[..., 1:], axis=2).mean(1)


def _eye_lightness(images: Array) -> Array:
    return np.concatenate([region(images, *box) for box in EYE_BOXES], 1)[..., 0].mean(1)


def _nose(images: Array) -> Array:
    """Tip of the nose from the middle of the eyes, in pixels of the template (N, 2), by dlib's 5-point predictor."""
    import dlib
    import face_recognition_models

    predictor = dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())
    scale, out = images.shape[1] / TEMPLATE, []
    box = dlib.rectangle(*(round(v * scale) for v in (22, 40, 104, 122)))
    for image in images:
        points = np.array([(p.x, p.y) for p in predictor(np.ascontiguousarray(image), box).parts()], float)
        out.append((points[4] - points[:4].mean(0)) / scale)
    return np.array(out)


MEASURES = (
    Measure("Skin_tone", "Skin tone, dark to light", "Skin", lambda x: _median(x, *CHEEKS)[:, 0]),
    Measure("Skin_redness", "Skin, pale to red", "Skin", lambda x: _median(x, *CHEEKS)[:, 1]),
    Measure("Hair_lightness", "Hair, dark to light", "Hair", lambda x: _median(x, *HAIR)[:, 0]),
    Measure("Hair_warmth", "Hair, cool to golden", "Hair", lambda x: _median(x, *HAIR)[:, 2], True),
    Measure("Hair_redness", "Hair, ashen to red", "Hair", lambda x: _median(x, *HAIR)[:, 1], True),
    Measure("Eye_lightness", "Eyes, dark to light", "Eyes", _eye_lightness, True),
    Measure("Head_turn", "Head turned, left to right", "Pose", lambda x: _nose(x)[:, 0]),
    Measure("Head_tilt", "Head raised, lowered", "Pose", lambda x: _nose(x)[:, 1]),
    Measure(
        "Light_side", "Light from the left, the right", "Light",
        lambda x: _median(x, RIGHT_CHEEK)[:, 0] - _median(x, LEFT_CHEEK)[:, 0],
    ),
    Measure("Brightness", "Picture, dark to bright", "Light", lambda x: _whole(x)[..., 0].mean(1)),
    Measure("Contrast", "Picture, soft to contrasty", "Light", lambda x: _whole(x)[..., 0].std(1)),
    Measure("Warmth", "Picture, cool to warm", "Light", lambda x: _whole(x)[..., 2].mean(1)),
    Measure("Saturation", "Colours, faint to strong", "Light", _saturation),
    Measure("Background_lightness", "Background, dark to light", "Background", lambda x: _median(x, *BACKGROUND)[:, 0]),
    Measure("Background_blueness", "Background, warm to blue", "Background", lambda x: -_median(x, *BACKGROUND)[:, 2]),
)  # fmt: skip


def measure(images: Array) -> tuple[Array, Array]:
    """All MEASURES (N, K) and the surroundings (N, 11) of aligned faces uint8 (N, s, s, 3)."""
    parts = [images[i : i + 200] for i in range(0, len(images), 200)]
    values = np.array([np.concatenate([m.function(part) for part in parts]) for m in MEASURES]).T
    return values, np.concatenate([surroundings(part) for part in parts])
