"""Pictures as files, for tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def photo_file(image: np.ndarray, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **{"quality": 95, **options} if kind == "JPEG" else options)
    return buffer.getvalue()
