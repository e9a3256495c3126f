"""The reader of a stranger's picture: its kind by content, its limits before decoding, and its pixels.

Everything that takes a picture from a person reads it here: uploads, photos of faces, and the files of a set.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image as PILImage

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000
MIN_SIDE = 16  # px; of a photo that is looked at, a set's pictures may be smaller


class PictureError(ValueError):
    """A picture that cannot be used.

    sentence (and str of the error): for the person who gave it, "This file is a film; ...".
    reason: the same as a predicate without its subject, for lists of files, "is a film, ...".
    """

    def __init__(self, sentence: str, reason: str = ""):
        super().__init__(sentence)
        self.sentence, self.reason = sentence, reason or sentence


@dataclass(frozen=True)
class Kind:
    """A kind of file. spoken: with its article; pillow: Pillow's name of the format where it is read, else ""."""

    spoken: str
    pillow: str = ""

    @property
    def short(self) -> str:
        """The name without its article."""
        return self.spoken.split(" ", 1)[1]


def _starts(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(heads)


def _brand(*names: bytes) -> Callable[[bytes], bool]:
    """Of the ISO base media format (ISO/IEC 14496-12), whose first box names what the file holds."""
    return lambda data: data[4:8] == b"ftyp" and (not names or data[8:12] in names)


# What a file is, by its first bytes; the first row that fits.
KINDS: tuple[tuple[Callable[[bytes], bool], Kind], ...] = (
    (_starts(b"\x89PNG\r\n\x1a\n"), Kind("a PNG", "PNG")),
    (_starts(b"\xff\xd8\xff"), Kind("a JPEG", "JPEG")),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", Kind("a WebP", "WEBP")),
    (_brand(b"heic", b"mif1"), Kind("an HEIC photo")),
    (_brand(b"avif"), Kind("an AVIF picture")),
    (_brand(), Kind("a film")),
    (_starts(b"GIF8"), Kind("a GIF")),
    (_starts(b"BM"), Kind("a BMP")),
    (_starts(b"II*\0", b"MM\0*"), Kind("a TIFF")),
    (_starts(b"%PDF"), Kind("a PDF")),
    (_starts(b"PK\3\4"), Kind("a zip archive")),
)
UNKNOWN = Kind("not a picture that can be read")


def kind_of(data: bytes) -> Kind:
    """What a file is, by its first bytes and never by its name."""
    return next((kind for fits, kind in KINDS if fits(data)), UNKNOWN)


def _open(data: bytes) -> tuple[PILImage.Image, Kind]:
    """A picture file, not decoded yet -> Pillow's image, kind. Checks bytes, kind and pixels. Raises PictureError."""
    if not data:
        raise PictureError("This file is empty; use a PNG, JPEG or WebP picture.", "is empty")
    if len(data) > MAX_BYTES:
        size, most = len(data) / 2**20, MAX_BYTES >> 20
        raise PictureError(
            f"This file has {size:.1f} MB; use a picture of at most {most} MB.",
            f"is {size:.0f} MB large, the limit is {most} MB",
        )
    kind = kind_of(data)
    if not kind.pillow:
        raise PictureError(
            f"This file is {kind.spoken}; use a PNG, JPEG or WebP picture.", "is not a PNG, JPEG or WebP picture"
        )
    from PIL import Image

    most = MAX_PIXELS // 10**6
    try:
        picture = Image.open(io.BytesIO(data), formats=[kind.pillow])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(
            f"This picture has over 100 megapixels; use one of at most {most}.",
            f"holds over 100 megapixels, the limit is {most} megapixels",
        ) from None
    except Exception as error:  # Pillow's parsers raise many kinds on damaged files
        raise PictureError(
            f"This {kind.short} file is damaged and cannot be read; save it anew.",
            f"cannot be decoded ({type(error).__name__})",
        ) from None
    width, height = picture.size
    if width * height > MAX_PIXELS:
        pixels = f"{width * height / 1e6:.0f} megapixels"
        raise PictureError(
            f"This picture has {width} x {height} = {pixels}; use one of at most {most}.",
            f"holds {pixels}, the limit is {most} megapixels",
        )
    return picture, kind


def _upright(picture: PILImage.Image) -> PILImage.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken EXIF must not cost the picture
        return picture


def _flat(picture: PILImage.Image) -> PILImage.Image:
    """Any mode to grey ("L") or colour ("RGB"): 16 bits scaled down, transparency over white."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, np.float32)
        return Image.fromarray((values * (255 / 65535)).clip(0, 255).round().astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def read_image(data: bytes) -> np.ndarray:
    """Decode a whole picture file -> uint8 (h, w, 3).

    The EXIF orientation is applied, transparency laid over white, 16-bit and CMYK reduced to 8-bit RGB; of an
    animation the first frame counts. Size is checked before anything is decoded. Raises PictureError.
    """
    picture, kind = _open(data)
    width, height = picture.size
    if min(width, height) < MIN_SIDE:
        raise PictureError(
            f"This picture has only {width} x {height} px; use one of at least {MIN_SIDE} x {MIN_SIDE}.",
            f"has only {width} x {height} px, the least is {MIN_SIDE} x {MIN_SIDE}",
        )
    try:
        picture.seek(0)
        picture.load()
        return np.array(_flat(_upright(picture)).convert("RGB"))
    except Exception as error:
        raise _damaged(kind, error) from None


def _damaged(kind: Kind, error: Exception) -> PictureError:
    return PictureError(
        f"This {kind.short} file is damaged or cut short; save it again or use another.",
        f"cannot be decoded ({type(error).__name__})",
    )


def decode_picture(data: bytes, size: int, channels: int, box: Sequence[int] = ()) -> np.ndarray:
    """A picture file (first frame) cut and scaled -> uint8 (size, size, channels).

    Cuts `box` (left, top, right, bottom, in pixels of the upright picture) or else the largest
    centred square, then resizes with Lanczos. Raises PictureError, before decoding where it can.
    """
    from PIL import Image

    picture, kind = _open(data)
    try:
        with picture:
            if not box:
                picture.draft(None, (2 * size, 2 * size))  # a JPEG decodes at 1/2, 1/4 or 1/8 for less work
            image = _flat(_upright(picture)).convert("L" if channels == 1 else "RGB")
            width, height = image.size
            if box:
                if box[2] > width or box[3] > height:
                    about = f"{width} x {height} pixels, the box {tuple(box)} does not lie inside"
                    raise PictureError(f"This picture has {about}; choose another box.", f"is {about}")
            else:
                side = min(width, height)
                box = ((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2)
            if (width, height) != (size, size) or tuple(box) != (0, 0, size, size):
                image = image.resize((size, size), Image.Resampling.LANCZOS, box=tuple(box))
            return np.asarray(image).reshape(size, size, channels)
    except PictureError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a broken file
        raise _damaged(kind, error) from None
