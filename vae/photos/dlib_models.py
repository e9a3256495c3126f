"""dlib's models, loaded on first use and called by one thread at a time."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import numpy as np

_lock = threading.Lock()  # dlib's detector and network keep state between calls


@lru_cache(maxsize=1)
def _detector() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


@lru_cache(maxsize=1)
def _predictor() -> Any:
    import dlib
    import face_recognition_models

    return dlib.shape_predictor(face_recognition_models.pose_predictor_five_point_model_location())


@lru_cache(maxsize=1)
def _descriptor() -> Any:
    import dlib
    import face_recognition_models

    return dlib.face_recognition_model_v1(face_recognition_models.face_recognition_model_location())


def detect(grey: np.ndarray, threshold: float) -> list[tuple[float, Any]]:
    """Boxes with scores in a grey picture uint8 (h, w), best first."""
    with _lock:
        boxes, scores, _ = _detector().run(np.ascontiguousarray(grey), 0, threshold)
    return list(zip(scores, boxes))


def corners(grey: np.ndarray, box: Any) -> tuple[complex, complex]:
    """Middles of the eye corners, picture-left eye first, of a roughly upright face."""
    with _lock:
        points = [complex(p.x, p.y) for p in _predictor()(grey, box).parts()]
    first, second = (points[0] + points[1]) / 2, (points[2] + points[3]) / 2
    return (first, second) if first.real < second.real else (second, first)


def descriptor_of(chip: np.ndarray) -> np.ndarray:
    """dlib's face descriptor (128,) of an aligned chip uint8 (150, 150, 3)."""
    with _lock:
        return np.array(_descriptor().compute_face_descriptor(chip))
