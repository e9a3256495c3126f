"""Find the faces in a photo, and say what the user should know about them.

Points are (x, y) in pixels, (0, 0) in the middle of the top left pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.photos.aligning import SHIFT, SPREAD, Eyes, FaceError, align_matrix, checked, invert, move, pair, warp
from vae.photos.dlib_models import corners, detect

if TYPE_CHECKING:
    from PIL import Image as PILImage

MIN_EYE_DISTANCE = 8.0  # px; under it the 128 px crop would be a blur of 4x and more

# Upright frame in which the eye corners are read a second time: its size and eyes, and the middle and the side of
# the detector's box around a face with such eyes, in px.
_FRAME, _FRAME_EYES = 320, ((120.0, 140.0), (200.0, 140.0))
_FRAME_BOX = (159.5, 176.6, 193.2)


@dataclass(frozen=True)
class Face:
    """A face in a picture: box (left, top, right, bottom), eyes (picture-left one first), score (above 0)."""

    box: tuple[int, int, int, int]
    eyes: Eyes
    score: float

    @property
    def eye_distance(self) -> float:
        """Distance between the eyes in pixels."""
        return math.dist(*self.eyes)

    @property
    def roll(self) -> float:
        """Angle of the line through the eyes in degrees, clockwise positive."""
        (x0, y0), (x1, y1) = self.eyes
        return math.degrees(math.atan2(y1 - y0, x1 - x0))


def _shrink(grey: PILImage.Image, side: int, most: float) -> tuple[np.ndarray, float]:
    """Scale so that the longer side has `side` px (enlarged at most `most` times) -> picture, factor."""
    from PIL import Image

    factor = min(side / max(grey.size), most)
    size = (max(1, round(grey.width * factor)), max(1, round(grey.height * factor)))
    filter_ = Image.Resampling.BOX if factor < 0.4 else Image.Resampling.BICUBIC
    return np.asarray(grey.resize(size, filter_, reducing_gap=2.0 if factor < 0.4 else None)), factor


def _search(grey: PILImage.Image, side: int, angle: float, threshold: float) -> list[tuple[float, complex, complex]]:
    """Scores and rough eyes, in px of `grey`, of the faces in a copy turned clockwise by `angle` degrees."""
    from PIL import Image

    small, factor = _shrink(grey, side, most=4.0)
    # Room around the picture, so that a face that fills it is seen too.
    margin = max(small.shape) // 8
    room = np.pad(small, margin, mode="edge")
    height, width = room.shape
    centre = complex(width - 1, height - 1) / 2
    if angle:
        fill = int(room.mean())
        turned = Image.fromarray(room).rotate(-angle, Image.Resampling.BILINEAR, expand=True, fillcolor=fill)
        room = np.asarray(turned)
    turn = complex(math.cos(math.radians(angle)), math.sin(math.radians(angle)))
    new_centre = complex(room.shape[1] - 1, room.shape[0] - 1) / 2

    def back(point: complex) -> complex:
        point = (point - new_centre) / turn + centre - complex(margin, margin)
        return (point + 0.5 + 0.5j) / factor - 0.5 - 0.5j

    found = []
    for score, box in detect(room, threshold):
        left, right = corners(room, box)
        if abs(right - left) >= 0.15 * box.width():
            found.append((score, back(left), back(right)))
    return found


def _settle(grey: np.ndarray, left: complex, right: complex) -> tuple[float, complex, complex] | None:
    """Read the eye corners again in an upright frame of fixed size -> score there and eyes, or None without a face.

    So eyes hardly depend on a photo's size and turn. dlib gives whole pixels, and its answer depends on the box it
    starts from: both errors shrink in the median over several boxes.
    """
    import dlib

    for _repeat in range(3):
        matrix = align_matrix(pair(left, right), _FRAME_EYES)
        frame = warp(grey, matrix, _FRAME)
        x, y, side = _FRAME_BOX
        read = []
        for scale in (0.92, 1.0, 1.08):
            for dx, dy in ((0, 0), (-6, 0), (6, 0), (0, -6), (0, 6)):
                half = side * scale / 2
                edges = (x + dx - half, y + dy - half, x + dx + half, y + dy + half)
                read.append(corners(frame, dlib.rectangle(*(round(v) for v in edges))))
        first, second = (_median([eyes[i] for eyes in read]) for i in (0, 1))
        if not 0.5 <= abs(second - first) / 80 <= 1.6:
            return None
        inverse = invert(matrix)
        left, right = move(inverse, first), move(inverse, second)
    seen = detect(warp(grey, align_matrix(pair(left, right), _FRAME_EYES), _FRAME), -0.5)

    def fits(box: Any) -> bool:
        centre = box.center()
        return abs(centre.x - x) < 40 and abs(centre.y - y) < 45 and 0.6 < box.width() / side < 1.6

    scores = [score for score, box in seen if fits(box)]
    return (max(scores), left, right) if scores else None


def _median(points: list[complex]) -> complex:
    return complex(np.median([p.real for p in points]), np.median([p.imag for p in points]))


# Each pass: longer side in px, turns in degrees, threshold of the search, least score in the upright frame. The next
# pass is tried where one finds nothing: turned copies, then small faces, then photos that lie on their side.
_PASSES = (
    (640, (0,), 0.0, -0.3),
    (560, (30, -30), 0.05, 0.2),
    (1500, (0,), 0.1, 0.1),
    (480, (60, -60, 90, -90, 180), 0.2, 0.5),
)


def find_faces(image: np.ndarray) -> list[Face]:
    """Faces in a picture uint8 (h, w, 3) or (h, w), largest first; [] when there is none.

    dlib's frontal detector (HOG, Dalal and Triggs 2005; King 2009) on a reduced copy, turned ones where nothing is
    upright, and eyes from its 5-point predictor (Kazemi and Sullivan 2014).
    """
    from PIL import Image

    picture = Image.fromarray(checked(image)).convert("L")
    grey = np.asarray(picture)
    for side, turns, threshold, least in _PASSES:
        faces: list[Face] = []
        rough = [hit for turn in turns for hit in _search(picture, side, turn, threshold)]
        for score, left, right in sorted(rough, key=lambda hit: -hit[0]):
            settled = _settle(grey, left, right)
            if settled is None or settled[0] < least:
                continue
            face = _face(max(score, settled[0]), *settled[1:])
            # Beside a sure face a doubtful one is mostly a pattern on the clothes.
            if all(_apart(face, other) and face.score > min(0.5, other.score / 2) for other in faces):
                faces.append(face)
        if faces:
            return sorted(faces, key=lambda face: -face.eye_distance)
    return []


def _face(score: float, left: complex, right: complex) -> Face:
    line = right - left
    middle = (left + right) / 2 + SHIFT * line
    eyes = middle - SPREAD * line / 2, middle + SPREAD * line / 2
    distance = abs(line)
    centre = middle + 0.465j * line  # of the detector's box, in eye distances under the eyes
    half = 1.24 * distance
    box = (centre.real - half, centre.imag - half, centre.real + half, centre.imag + half)
    return Face(tuple(round(v) for v in box), pair(*eyes), float(score))


def _apart(a: Face, b: Face) -> bool:
    between = math.dist(np.mean(a.eyes, axis=0), np.mean(b.eyes, axis=0))
    return between > 0.7 * min(a.eye_distance, b.eye_distance)


def find_face(image: np.ndarray, index: int = 0) -> Face:
    """One face of a picture, the largest unless `index` says otherwise. Raises FaceError with a sentence."""
    faces = find_faces(image)
    height, width = np.shape(image)[:2]
    if not faces:
        raise FaceError(
            f"No face was found in this picture of {width} x {height} px; use a photo that shows a face from the "
            "front, or put the two eye marks on it by hand."
        )
    if not 0 <= index < len(faces):
        raise FaceError(f"There is no face number {index + 1} in this picture; choose one of the {len(faces)} found.")
    return check_face(faces[index])


def check_face(face: Face) -> Face:
    """The face, if it is large enough to work with; raises FaceError otherwise."""
    if face.eye_distance < MIN_EYE_DISTANCE:
        raise FaceError(
            f"This face is too small: its eyes are {face.eye_distance:.0f} px apart; "
            f"use a photo in which they are at least {MIN_EYE_DISTANCE:.0f} px apart, better 30."
        )
    return face


def remark(faces: Sequence[Face]) -> str | None:
    """A sentence where the user should know or choose something about the faces found, else None."""
    if not faces:
        return "No face was found; put the two eye marks on it by hand, or use a photo from the front."
    if len(faces) > 1:
        return f"{len(faces)} faces were found; the largest is used unless you choose another."
    if faces[0].eye_distance < 24:
        distance = f"{faces[0].eye_distance:.0f} px"
        return f"This face is small (its eyes are {distance} apart), so its crop is blurred; try a larger photo."
    return None
