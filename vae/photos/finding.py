"""Find the faces in a photo, from the smallest that a model can use to the largest.

Points are (x, y) in pixels, (0, 0) in the middle of the top left pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.photos.aligning import SHIFT, SPREAD, Eyes, FaceError, align_matrix, checked, invert, move, pair, warp
from vae.photos.dlib_models import corners, detect

if TYPE_CHECKING:
    from PIL import Image as PILImage

MIN_EYE_DISTANCE = 8.0  # px; under it the 128 px crop would be a blur of 4x and more
USABLE_EYE_DISTANCE = 32.0  # px; the template's 34, less what finding may err by

# Upright frame in which the eye corners are read a second time: its size and eyes, and the middle and the side of
# the detector's box around a face with such eyes, in px.
_FRAME, _FRAME_EYES = 320, ((120.0, 140.0), (200.0, 140.0))
_FRAME_BOX = (159.5, 176.6, 193.2)

Hit = tuple[float, complex, complex]  # a detector's score, and the eyes in px of the picture


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


class Faces(list[Face]):
    """The faces of a picture that are of use, largest first.

    small: those that are too small beside them. refused: how many things looked like a face and turned out not to be
    one seen from the front. A picture whose faces are all small offers the largest of them all the same.
    """

    def __init__(self, usable: Iterable[Face] = (), small: Iterable[Face] = (), refused: int = 0):
        super().__init__(usable)
        self.small, self.refused = list(small), refused


def _scaled(grey: PILImage.Image, side: int, most: float) -> tuple[np.ndarray, float]:
    """Scale so that the longer side has `side` px (enlarged at most `most` times) -> picture, factor."""
    from PIL import Image

    factor = min(side / max(grey.size), most)
    if factor == 1:
        return np.asarray(grey), 1.0
    size = (max(1, round(grey.width * factor)), max(1, round(grey.height * factor)))
    filter_ = Image.Resampling.BOX if factor < 0.4 else Image.Resampling.BICUBIC
    return np.asarray(grey.resize(size, filter_, reducing_gap=2.0 if factor < 0.4 else None)), factor


def _search(grey: PILImage.Image, side: int, angle: float, threshold: float) -> list[Hit]:
    """Scores and rough eyes, in px of `grey`, of the faces in a copy turned clockwise by `angle` degrees."""
    from PIL import Image

    small, factor = _scaled(grey, side, most=4.0)
    # Room around the picture, so that a face that fills it is seen too: on small copies, where such a face is found.
    margin = min(max(small.shape) // 8, 96)
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

    found: list[Hit] = []
    for score, box in _detect(room, threshold):
        left, right = corners(room, box)
        if abs(right - left) >= 0.15 * box.width():
            found.append((score, back(left), back(right)))
    return found


def _detect(room: np.ndarray, threshold: float) -> list[tuple[float, Any]]:
    """dlib's detector; a large picture in two halves at once, which overlap by the largest face not found before."""
    import dlib

    height, width = room.shape
    if width * height < 4e6:
        return detect(room, threshold)
    if height > width:
        halves, shift = 0, (0, 1)
    else:
        halves, shift = 1, (1, 0)
    longer = room.shape[halves]
    overlap = 80 * longer // _UPRIGHT[0]
    start, stop = (longer - overlap) // 2, (longer + overlap) // 2
    parts = (room[:stop], room[start:]) if halves == 0 else (room[:, :stop], room[:, start:])
    with ThreadPoolExecutor(2, "faces") as pool:
        first, second = pool.map(lambda part: detect(part, threshold), parts)
    dx, dy = shift[0] * start, shift[1] * start
    return first + [
        (score, dlib.rectangle(box.left() + dx, box.top() + dy, box.right() + dx, box.bottom() + dy))
        for score, box in second
    ]


def _settle(grey: np.ndarray, left: complex, right: complex) -> Hit | None:
    """Read the eye corners again in an upright frame of fixed size -> score there and eyes, or None without a face.

    So eyes hardly depend on a photo's size and turn. dlib gives whole pixels, and its answer depends on the box it
    starts from: both errors shrink in the median over several boxes.
    """
    import dlib

    for scales in ((1.0,), (1.0,), (0.92, 1.0, 1.08)):  # the last reading is the finest
        matrix = align_matrix(pair(left, right), _FRAME_EYES)
        frame = warp(grey, matrix, _FRAME)
        x, y, side = _FRAME_BOX
        read = []
        for scale in scales:
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


# Each look: longer side of the copy in px, turns in degrees, threshold of the search, least score in the upright frame.
_UPRIGHT = (640, (0,), 0.0, -0.3)
_TURNED = ((560, (30, -30), 0.05, 0.2), (480, (60, -60, 90, -90, 180), 0.2, 0.5))
_SECOND = (1000, (0,), 0.0, 0.05)
_FINE = 1500  # px; every picture is searched at least as finely
_LARGE = 8e6  # pixels, from which on a picture is not enlarged for the search any more
_FACE_LIKE = 0.25  # a search's score from which on a hit that is refused is worth a word
_FLAT = 110  # grey levels from the 1st to the 99th percentile, under which a picture is dark or faded


def _fine(picture: PILImage.Image) -> tuple[int, tuple[int, ...], float, float]:
    """The look that sees the smallest usable face: the detector's window of 80 px is 32 px between the eyes."""
    # Smaller photos are enlarged for it, so that faces that are too small are seen, and can be named.
    enlarged = min(1.6, max(1.0, math.sqrt(_LARGE / (picture.width * picture.height))))
    return max(_FINE, round(enlarged * max(picture.size))), (0,), 0.1, 0.1


def _clear(picture: PILImage.Image) -> PILImage.Image:
    """A dark or faded picture with its contrast stretched; any other as it is."""
    from PIL import ImageOps

    counts = np.cumsum(picture.histogram())
    low, high = (int(np.searchsorted(counts, share * counts[-1])) for share in (0.01, 0.99))
    return ImageOps.autocontrast(picture, cutoff=0.5) if high - low < _FLAT else picture


def _second_looks(picture: PILImage.Image) -> Iterator[PILImage.Image]:
    """Versions of a picture in which nothing was found that may show more: smoothed, stretched, evened out."""
    from PIL import ImageFilter, ImageOps

    reach = max(picture.size) / 700
    smooth = picture.filter(ImageFilter.GaussianBlur(reach))
    yield ImageOps.autocontrast(smooth, cutoff=0.5)
    yield ImageOps.autocontrast(picture, cutoff=3)
    yield ImageOps.autocontrast(picture.filter(ImageFilter.GaussianBlur(2 * reach)), cutoff=1)
    yield ImageOps.equalize(smooth)


class _Collection:
    """Faces found so far, each once whatever look found it, and what looked like one."""

    def __init__(self) -> None:
        self.faces: list[Face] = []
        self.refused: list[Face] = []

    def look(self, picture: PILImage.Image, how: tuple[int, tuple[int, ...], float, float]) -> None:
        side, turns, threshold, least = how
        with ThreadPoolExecutor(2, "turns") as pool:
            rough = [
                hit for hits in pool.map(lambda turn: _search(picture, side, turn, threshold), turns) for hit in hits
            ]
        grey = np.asarray(picture)
        for score, left, right in sorted(rough, key=lambda hit: -hit[0]):
            guess = _face(score, left, right)
            if any(_same(guess, other) for other in self.faces):
                continue
            settled = _settle(grey, left, right)
            if settled is None or settled[0] < least:
                if score >= _FACE_LIKE:
                    self.refused.append(guess)
                continue
            face = _face(max(score, settled[0]), *settled[1:])
            # Beside a sure face a doubtful one is mostly a pattern on the clothes.
            if all(not _same(face, other) and face.score > min(0.5, other.score / 2) for other in self.faces):
                self.faces.append(face)

    def result(self) -> Faces:
        ordered = sorted(self.faces, key=lambda face: -face.eye_distance)
        usable = [face for face in ordered if face.eye_distance >= USABLE_EYE_DISTANCE]
        refused = [face for face in self.refused if not any(_same(face, other) for other in self.faces)]
        apart: list[Face] = []
        for face in refused:
            if not any(_same(face, other) for other in apart):
                apart.append(face)
        return Faces(usable, ordered[len(usable) :], len(apart)) if usable else Faces(ordered, (), len(apart))


def find_faces(image: np.ndarray) -> Faces:
    """Faces in a picture uint8 (h, w, 3) or (h, w), largest first; empty when there is none (see Faces).

    dlib's frontal detector (HOG, Dalal and Triggs 2005; King 2009) on a coarse copy and on one that shows the smallest
    usable face; where they show none, on turned ones and on ones with more contrast. Eyes from dlib's 5-point
    predictor (Kazemi and Sullivan 2014).
    """
    from PIL import Image

    picture = _clear(Image.fromarray(checked(image)).convert("L"))
    found = _Collection()
    for how in (_UPRIGHT, _fine(picture)):
        found.look(picture, how)
    for how in _TURNED:
        if not found.faces:
            found.look(picture, how)
    if not found.faces:
        factor = min(1.0, _FINE / max(picture.size))
        small = picture.resize([max(1, round(side * factor)) for side in picture.size], reducing_gap=2.0)
        for version in _second_looks(small):
            again = _Collection()
            again.look(version, _SECOND)
            if again.faces:
                found.faces = [_enlarged(face, 1 / factor) for face in again.faces]
                break
    return found.result()


def _enlarged(face: Face, factor: float) -> Face:
    """A face of a reduced copy, in px of the picture."""
    left, right = (complex(x + 0.5, y + 0.5) * factor - complex(0.5, 0.5) for x, y in face.eyes)
    box = tuple(round((v + 0.5) * factor - 0.5) for v in face.box)
    return Face(box, pair(left, right), face.score)


def _face(score: float, left: complex, right: complex) -> Face:
    line = right - left
    middle = (left + right) / 2 + SHIFT * line
    eyes = middle - SPREAD * line / 2, middle + SPREAD * line / 2
    distance = abs(line)
    centre = middle + 0.465j * line  # of the detector's box, in eye distances under the eyes
    half = 1.24 * distance
    box = (centre.real - half, centre.imag - half, centre.real + half, centre.imag + half)
    return Face(tuple(round(v) for v in box), pair(*eyes), float(score))


def _same(a: Face, b: Face) -> bool:
    """Whether two finds are one face: their eyes are near each other, or one lies within the features of the other."""
    small, large = sorted((a, b), key=lambda face: face.eye_distance)
    between = math.dist(np.mean(a.eyes, axis=0), np.mean(b.eyes, axis=0))
    if between <= 0.7 * small.eye_distance:
        return True
    (left, top, right, bottom), (x, y) = large.box, np.mean(small.eyes, axis=0)
    centre, half = ((left + right) / 2, (top + bottom) / 2), (right - left) / 2
    return small.eye_distance < 0.7 * large.eye_distance and math.dist(centre, (x, y)) < 0.85 * half


def _sentence_of_none(refused: int) -> str:
    if refused:
        return "what looks like one is not seen from the front; use a photo from the front, or put the two eye marks"
    return "put the two eye marks"


def find_face(image: np.ndarray, index: int = 0, found: Faces | None = None) -> Face:
    """One face of a picture, the largest unless `index` says otherwise. Raises FaceError with a sentence.

    found: what find_faces gave for it, where that is known.
    """
    faces = find_faces(image) if found is None else found
    height, width = np.shape(image)[:2]
    if not faces:
        raise FaceError(
            f"No face was found in this picture of {width} x {height} px: {_sentence_of_none(faces.refused)} on it by hand."
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


_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _too_small(small: Sequence[Face]) -> str:
    """ "Two more faces are too small to use (...)." """
    count = len(small)
    word = (_WORDS[count] if count < len(_WORDS) else str(count)).capitalize()
    most = max(face.eye_distance for face in small)
    return (
        f"{word} more {'face is' if count == 1 else 'faces are'} too small to use "
        f"(eyes {'' if count == 1 else 'up to '}{most:.0f} px apart, {USABLE_EYE_DISTANCE:.0f} are needed)."
    )


def remark(faces: Sequence[Face]) -> str | None:
    """Sentences where the user should know or choose something about the faces found, else None.

    faces: what find_faces gave; of a plain list of faces only these are known.
    """
    small, refused = getattr(faces, "small", ()), getattr(faces, "refused", 0)
    if not faces:
        return f"No face was found: {_sentence_of_none(refused)} on it by hand."
    said = []
    if len(faces) > 1:
        said.append(f"{len(faces)} faces were found; the largest is used unless you choose another.")
    elif faces[0].eye_distance < 24:
        distance = f"{faces[0].eye_distance:.0f} px"
        said.append(f"This face is small (its eyes are {distance} apart), so its crop is blurred; try a larger photo.")
    if small:
        said.append(_too_small(small))
    return " ".join(said) or None
