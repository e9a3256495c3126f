"""Who is it: dlib's face descriptor, and the distance of two."""

from __future__ import annotations

import numpy as np

from vae.photos.aligning import SHIFT, SPREAD, TEMPLATE, Eyes, align, pair
from vae.photos.dlib_models import descriptor_of
from vae.photos.finding import Face

SAME_PERSON = 0.6  # distance of two descriptors under which dlib's authors call two faces one person
# Middles of the eye corners in dlib's 150 px chip, from its mean shape with a padding of 0.25.
_CHIP_LEFT, _CHIP_RIGHT = complex(47.73, 47.14), complex(100.28, 47.12)


def describe(image: np.ndarray, face: Face | Eyes = TEMPLATE) -> np.ndarray:
    """dlib's face descriptor (128,), of a face or of a pair of eyes in the picture (for an aligned crop: the template).

    Distances of two descriptors: see same_person.
    """
    eyes = face.eyes if isinstance(face, Face) else face
    # The chip's template is for middles of the corners: put it through the same correction as the eyes.
    line = _CHIP_RIGHT - _CHIP_LEFT
    middle = (_CHIP_LEFT + _CHIP_RIGHT) / 2 + SHIFT * line
    chip = align(image, eyes, pair(middle - SPREAD * line / 2, middle + SPREAD * line / 2), 150)
    return descriptor_of(chip)


def same_person(a: np.ndarray, b: np.ndarray) -> float:
    """Distance of two descriptors (128,): under SAME_PERSON = 0.6 the faces belong to one person (King, dlib.net)."""
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)))
