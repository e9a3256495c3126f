"""Read a photo, find the faces in it, align them to a model's eye template, and paste them back.

Points are (x, y) in pixels, (0, 0) in the middle of the top left pixel. Pictures are uint8
(h, w, 3) RGB. dlib and its models are loaded on first use.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image as PILImage

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000
MIN_SIDE = 16
MIN_EYE_DISTANCE = 8.0  # px; under it the 128 px crop would be a blur of 4x and more
SAME_PERSON = 0.6  # distance of two descriptors under which dlib's authors call two faces one person

Point = tuple[float, float]
Eyes = tuple[Point, Point]
TEMPLATE: Eyes = ((46.0, 66.0), (80.0, 66.0))

# dlib marks eye corners. In 284 aligned CelebA pictures the middles of the two pairs lie at (46.86, 66.41) and
# (79.99, 66.45) px where the template says (46, 66) and (80, 66): this shift and stretch, in eye distances along
# and across the line through the eyes, takes one to the other.
_SPREAD = 34 / 33.13
_SHIFT = complex(-0.43, -0.43) / 33.13
# Middles of the eye corners in dlib's 150 px chip, from its mean shape with a padding of 0.25.
_CHIP_LEFT, _CHIP_RIGHT = complex(47.73, 47.14), complex(100.28, 47.12)
# Upright frame in which the eye corners are read a second time: its size and eyes, and the middle and the side of
# the detector's box around a face with such eyes, in px.
_FRAME, _FRAME_EYES = 320, ((120.0, 140.0), (200.0, 140.0))
_FRAME_BOX = (159.5, 176.6, 193.2)

_SIGNATURES = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"%PDF", "a PDF"),
    (b"PK\3\4", "a zip archive"),
)


class ImageError(ValueError):
    """A file that cannot be used as a picture; the message is a sentence for the user."""


class FaceError(ValueError):
    """A face that cannot be found, aligned or pasted; the message is a sentence for the user."""


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


# ---------------------------------------------------------------------------------------------- reading


def _sniff(data: bytes) -> str:
    """Pillow's name of the format, from the first bytes. Raises ImageError for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        brand = data[8:12].decode("ascii", "replace")
        kind = {"heic": "an HEIC photo", "mif1": "an HEIC photo", "avif": "an AVIF picture"}.get(brand, "a film")
    else:
        kind = next((name for start, name in _SIGNATURES if data.startswith(start)), "not a picture that can be read")
    raise ImageError(f"This file is {kind}; use a PNG, JPEG or WebP picture.")


def read_image(data: bytes) -> np.ndarray:
    """Decode a PNG, JPEG or WebP file (by content, not by name) -> uint8 (h, w, 3).

    The EXIF orientation is applied, transparency laid over white, 16-bit and CMYK reduced to 8-bit RGB; of an
    animation the first frame counts. Size is checked before anything is decoded. Raises ImageError.
    """
    if not data:
        raise ImageError("This file is empty; use a PNG, JPEG or WebP picture.")
    if len(data) > MAX_BYTES:
        size = len(data) / 2**20
        raise ImageError(f"This file has {size:.1f} MB; use a picture of at most {MAX_BYTES >> 20} MB.")
    kind = _sniff(data)
    from PIL import Image

    try:
        picture = Image.open(io.BytesIO(data), formats=[kind])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"This picture has over 100 megapixels; use one of at most {MAX_PIXELS // 10**6}.") from None
    except Exception:  # Pillow's parsers raise many kinds on damaged files
        raise ImageError(f"This {_spoken(kind)} file is damaged and cannot be read; save it anew.") from None
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"This picture has {width} x {height} = {width * height / 1e6:.0f} megapixels; "
            f"use one of at most {MAX_PIXELS // 10**6}."
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"This picture has only {width} x {height} px; use one of at least {MIN_SIDE} x {MIN_SIDE}.")
    try:
        picture.seek(0)
        picture.load()
        return _to_rgb(_upright(picture))
    except Exception:
        raise ImageError(f"This {_spoken(kind)} file is damaged or cut short; save it again or use another.") from None


def _spoken(kind: str) -> str:
    return {"WEBP": "WebP"}.get(kind, kind)


def _upright(picture: PILImage.Image) -> PILImage.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken EXIF must not cost the picture
        return picture


def _to_rgb(picture: PILImage.Image) -> np.ndarray:
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits a pixel
        grey = (np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture)
    return np.array(picture.convert("RGB"))


# -------------------------------------------------------------------------------------------- detection

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


def _detect(grey: np.ndarray, threshold: float) -> list[tuple[float, Any]]:
    """Boxes with scores in a grey picture uint8 (h, w), best first."""
    with _lock:
        boxes, scores, _ = _detector().run(np.ascontiguousarray(grey), 0, threshold)
    return list(zip(scores, boxes))


def _corners(grey: np.ndarray, box: Any) -> tuple[complex, complex]:
    """Middles of the eye corners, picture-left eye first, of a roughly upright face."""
    with _lock:
        points = [complex(p.x, p.y) for p in _predictor()(grey, box).parts()]
    first, second = (points[0] + points[1]) / 2, (points[2] + points[3]) / 2
    return (first, second) if first.real < second.real else (second, first)


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
    for score, box in _detect(room, threshold):
        left, right = _corners(room, box)
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
        matrix = align_matrix(_pair(left, right), _FRAME_EYES)
        frame = _warp(grey, matrix, _FRAME)
        x, y, side = _FRAME_BOX
        pairs = []
        for scale in (0.92, 1.0, 1.08):
            for dx, dy in ((0, 0), (-6, 0), (6, 0), (0, -6), (0, 6)):
                half = side * scale / 2
                edges = (x + dx - half, y + dy - half, x + dx + half, y + dy + half)
                pairs.append(_corners(frame, dlib.rectangle(*(round(v) for v in edges))))
        first, second = (_median([pair[i] for pair in pairs]) for i in (0, 1))
        if not 0.5 <= abs(second - first) / 80 <= 1.6:
            return None
        inverse = _invert(matrix)
        left, right = _move(inverse, first), _move(inverse, second)
    seen = _detect(_warp(grey, align_matrix(_pair(left, right), _FRAME_EYES), _FRAME), -0.5)

    def fits(box: Any) -> bool:
        centre = box.center()
        return abs(centre.x - x) < 40 and abs(centre.y - y) < 45 and 0.6 < box.width() / side < 1.6

    scores = [score for score, box in seen if fits(box)]
    return (max(scores), left, right) if scores else None


def _median(points: list[complex]) -> complex:
    return complex(np.median([p.real for p in points]), np.median([p.imag for p in points]))


def _pair(left: complex, right: complex) -> Eyes:
    return (left.real, left.imag), (right.real, right.imag)


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

    picture = Image.fromarray(_checked(image)).convert("L")
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
    middle = (left + right) / 2 + _SHIFT * line
    eyes = middle - _SPREAD * line / 2, middle + _SPREAD * line / 2
    distance = abs(line)
    centre = middle + 0.465j * line  # of the detector's box, in eye distances under the eyes
    half = 1.24 * distance
    box = (centre.real - half, centre.imag - half, centre.real + half, centre.imag + half)
    return Face(tuple(round(v) for v in box), _pair(*eyes), float(score))


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


# -------------------------------------------------------------------------------------------- alignment


def _checked(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not shaped or 0 in image.shape:
        found = f"{image.dtype} {image.shape}"
        raise ImageError(f"A picture must be uint8 (h, w, 3), not {found}; read it with read_image.")
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


def _move(matrix: np.ndarray, point: complex) -> complex:
    x, y = matrix[:, :2] @ (point.real, point.imag) + matrix[:, 2]
    return complex(x, y)


def _invert(matrix: np.ndarray) -> np.ndarray:
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


def _warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Resample uint8 (h, w[, 3]) to (size, size[, 3]); matrix takes picture to crop. Antialiased, edges reflected."""
    from PIL import Image

    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))  # crop px per picture px
    corners = [_move(_invert(matrix), complex(x, y)) for x in (-1, size) for y in (-1, size)]
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
        return _warp(reduced, _after(matrix, step, 0, 0), size)
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
    inverse = _invert(matrix)
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


def align(image: np.ndarray, eyes: Eyes, template: Eyes = TEMPLATE, size: int = 128) -> np.ndarray:
    """Turn, scale and shift a picture so that its eyes land on the template -> uint8 (size, size, 3).

    Antialiased; where the crop leaves the picture, the picture is mirrored at its edge. Raises FaceError.
    """
    image = _checked(image)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    matrix = align_matrix(eyes, template)
    seen = [_move(_invert(matrix), complex(x, y)) for x in (0, size - 1) for y in (0, size - 1)]
    height, width = image.shape[:2]
    if (
        all(p.real < 0 for p in seen)
        or all(p.real > width for p in seen)
        or all(p.imag < 0 for p in seen)
        or all(p.imag > height for p in seen)
    ):
        raise FaceError(f"The eye marks lie outside the picture of {width} x {height} px; put them on the eyes.")
    return _warp(image, matrix, size)


# --------------------------------------------------------------------------------------------- likeness


def describe(image: np.ndarray, face: Face | Eyes = TEMPLATE) -> np.ndarray:
    """dlib's face descriptor (128,), of a face or of a pair of eyes in the picture (for an aligned crop: the template).

    Distances of two descriptors: see same_person.
    """
    eyes = face.eyes if isinstance(face, Face) else face
    # The chip's template is for middles of the corners: put it through the same correction as the eyes.
    line = _CHIP_RIGHT - _CHIP_LEFT
    middle = (_CHIP_LEFT + _CHIP_RIGHT) / 2 + _SHIFT * line
    chip = align(image, eyes, _pair(middle - _SPREAD * line / 2, middle + _SPREAD * line / 2), 150)
    with _lock:
        return np.array(_descriptor().compute_face_descriptor(chip))


def same_person(a: np.ndarray, b: np.ndarray) -> float:
    """Distance of two descriptors (128,): under SAME_PERSON = 0.6 the faces belong to one person (King, dlib.net)."""
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)))


# ---------------------------------------------------------------------------------- back into the photo


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
    image = _checked(image)
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

    photo, crop = _checked(photo), _square(crop, "crop")
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
        face += match * _seam(_warp(photo, matrix, size), crop, mask)
    layer = np.dstack([face.clip(0, 255), 255 * mask]).round().astype(np.uint8)

    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    picture = Image.fromarray(layer, "RGBA")
    if scale > 1.2:  # the photo is coarser than the crop: filter before sampling
        smaller = max(1, round(size / scale))
        picture = picture.resize((smaller, smaller), Image.Resampling.LANCZOS)
        matrix = (smaller / size) * np.column_stack([matrix[:, :2], matrix[:, 2] + 0.5]) - np.array([[0, 0, 0.5]] * 2)
    corners = [_move(_invert(matrix), complex(x, y)) for x in (-1, picture.width) for y in (-1, picture.height)]
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
