"""The reader of a stranger's picture: its limits before decoding, and its pixels in sRGB.

Everything that takes a picture from a person reads it here: uploads, photos of faces, and the files of a set.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vae.data.kinds import (
    HEAD,
    MAX_BYTES,
    MAX_PIXELS,
    READ,
    UNKNOWN,
    Deep,
    Kind,
    PictureError,
    check_pixels,
    damaged,
    is_picture,
    kind_of,
    too_large,
)
from vae.data.scans import check_volume, read_dicom, read_nifti

if TYPE_CHECKING:
    from PIL import Image as PILImage

__all__ = ["MAX_BYTES", "MAX_PIXELS", "PictureError", "decode_picture", "deep_samples", "picture_size", "read_image"]

MIN_SIDE = 16  # px; of a photo that is looked at, a set's pictures may be smaller
MAX_METADATA = 2**20  # bytes that a text or a profile of a PNG may unpack to; longer ones are skipped
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_SCANS = {"DICOM": read_dicom, "NIfTI": read_nifti}

Ranges = Mapping[str, tuple[float, float]]


# ---------------------------------------------------------------- metadata


def _unpacks_to(data: bytes) -> int:
    """Bytes that a zlib stream unpacks to, counted up to just beyond MAX_METADATA; broken ones count as too long."""
    try:
        return len(zlib.decompressobj().decompress(data, MAX_METADATA + 1))
    except zlib.error:
        return MAX_METADATA + 1


def _without_large_metadata(data: bytes) -> bytes:
    """A PNG without the texts and profiles that are too long to be of use: Pillow refuses the whole picture for one."""
    if not any(name in data for name in _TEXTS):
        return data
    kept, position, dropped, texts = [data[:8]], 8, False, 0
    while position + 12 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        name, end = data[position + 4 : position + 8], position + 12 + length
        if name in _TEXTS:
            body = data[position + 8 : end - 4]
            keyword, _, rest = body.partition(b"\0")
            size = len(body)
            if name == b"iCCP" or name == b"zTXt":
                size = _unpacks_to(rest[1:])
            elif name == b"iTXt" and rest[:1] == b"\1":
                size = _unpacks_to(rest[2:].split(b"\0", 2)[-1])
            texts += size
            if size > MAX_METADATA or texts > 8 * MAX_METADATA or len(keyword) > 79:
                dropped, position = True, end
                continue
        kept.append(data[position:end])
        position = end
        if name == b"IDAT" and not dropped and data.find(b"tEXt", end) < 0 and data.find(b"zTXt", end) < 0:
            break  # nothing behind the pixels is of interest
    return b"".join((*kept, data[position:])) if dropped else data


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str):
    """Pillow's transform from a colour profile to sRGB for pictures of a mode, or None where it is not needed."""
    from PIL import ImageCms

    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    space = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}[mode]
    if source.profile.xcolor_space != space or "srgb" in (source.profile.profile_description or "").lower():
        return None
    target = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)


def _to_srgb(picture: PILImage.Image, profile: bytes | None) -> PILImage.Image:
    """Grey, RGB or CMYK with an ICC profile -> sRGB (grey stays grey). A profile that cannot be used is ignored."""
    if profile and len(profile) <= 4 * MAX_METADATA:
        try:
            transform = _transform(profile, picture.mode)
            if transform is not None:
                changed = transform.apply(picture)
                picture = changed.convert("L") if picture.mode == "L" else changed
        except Exception:  # littlecms refuses broken profiles in many ways; the pixels are still good
            pass
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def _upright(picture: PILImage.Image) -> PILImage.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # broken EXIF must not cost the picture
        return picture


# ---------------------------------------------------------------- pixels


def _checked(data: bytes) -> Kind:
    """The kind of a file that is read as a picture. Raises PictureError."""
    if not data:
        raise PictureError(f"This file is empty; use a {READ} picture.", "is empty")
    kind = kind_of(data[:HEAD])
    if not is_picture(kind):
        raise PictureError(
            f"This file is {kind.spoken}{'' if kind.image or kind is UNKNOWN else ', not a picture'}; "
            "use a PNG, JPEG or WebP picture.",
            "is not a PNG, JPEG or WebP picture" + (f" but {kind.spoken}" if kind is not UNKNOWN else ""),
        )
    if len(data) > MAX_BYTES and kind.reader not in _SCANS:
        raise too_large(len(data))
    return kind


def _open(data: bytes, kind: Kind) -> PILImage.Image:
    """Pillow's image of a picture file, not decoded yet, its pixels counted. Raises PictureError."""
    from PIL import Image

    if kind.reader == "PNG":
        data = _without_large_metadata(data)
    try:
        picture = Image.open(io.BytesIO(data), formats=[kind.reader])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = MAX_PIXELS // 10**6
        raise PictureError(
            f"This picture has over 100 megapixels; use one of at most {most}.",
            f"holds over 100 megapixels, the limit is {most} megapixels",
        ) from None
    except Exception as error:  # Pillow's parsers raise many kinds on damaged files
        raise PictureError(
            f"This {kind.short} file is damaged and cannot be read; save it anew.",
            f"cannot be decoded ({type(error).__name__})",
        ) from None
    check_pixels(*picture.size)
    return picture


def is_deep(head: bytes) -> bool:
    """Whether a file, by its first bytes, may hold samples of more than 8 bits that have to be spread."""
    kind = kind_of(head)
    return kind.reader in (*_SCANS, "TIFF") or (kind.reader == "PNG" and head[24:25] == b"\x10")


def _deep_png(data: bytes, picture: PILImage.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples of a 16-bit PNG: uint16 (h, w) or (h, w, 3), and its opacity 0..1 (h, w) where it has one."""
    if picture.mode.startswith("I"):
        return np.asarray(picture), None
    # Pillow keeps the upper 8 bits of colour alone, in which a 12-bit scan is black.
    import av

    with av.open(io.BytesIO(data), format="png_pipe") as stream:
        frame = next(stream.decode(video=0))
    channels = {"rgb48be": 3, "rgba64be": 4, "ya16be": 2}[frame.format.name]
    plane = frame.planes[0]
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height]
    values = np.ascontiguousarray(rows[:, : frame.width * channels * 2]).view(">u2").astype(np.uint16)
    values = values.reshape(frame.height, frame.width, channels)
    colour = values[..., 0] if channels == 2 else values[..., :3]
    return colour, values[..., -1] / np.float32(65535) if channels in (2, 4) else None


def _png_samples(data: bytes, kind: Kind) -> Deep:
    """A 16-bit PNG -> its samples upright. Alone it is spread over the bits that it uses."""
    picture = _open(data, kind)
    try:
        values, opacity = _deep_png(data, picture)
        top = int(values.max())
        high = float(2 ** next(bits for bits in (8, 10, 12, 14, 16) if top < 2**bits) - 1) if top > 255 else 65535.0
        if opacity is not None:
            opacity = opacity[..., None] if values.ndim == 3 else opacity
            values = (values * opacity + high * (1 - opacity)).astype(np.uint16)
        turn = picture.getexif().get(0x0112, 1)
    except Exception as error:
        raise damaged(kind, error) from None
    return Deep(_turned(values, turn), "16-bit pictures", 0.0, high)


def _turned(values: np.ndarray, turn: int) -> np.ndarray:
    """Samples upright, by EXIF's orientation."""
    return {2: lambda v: v[:, ::-1], 3: lambda v: v[::-1, ::-1], 4: lambda v: v[::-1], 5: lambda v: v.swapaxes(0, 1),
              6: lambda v: np.rot90(v, -1), 7: lambda v: v[::-1, ::-1].swapaxes(0, 1),
              8: lambda v: np.rot90(v)}.get(turn, lambda v: v)(values)  # fmt: skip


def _pages(picture: PILImage.Image) -> int:
    """Pages of a TIFF as large as its first: others are small copies for a preview."""
    first, count = picture.size, 0
    while True:
        try:
            picture.seek(count)
        except EOFError:
            picture.seek(0)
            return count
        if picture.size != first:
            picture.seek(0)
            return count
        count += 1
        check_volume(count, *first, size=len(picture.getbands()))


def tiff_pages(data: bytes) -> int:
    """How many pictures of one size a TIFF begins with, none decoded. Raises PictureError."""
    kind = _checked(data)
    try:
        return _pages(_open(data, kind))
    except PictureError:
        raise
    except Exception as error:
        raise damaged(kind, error) from None


def _tiff_samples(data: bytes, kind: Kind, most: int | None = None) -> list[Deep]:
    """A TIFF -> its pages upright, the first `most`: of 8 bits as they are, of more alone spread over what they use."""
    picture = _open(data, kind)
    found = []
    try:
        for page in range(_pages(picture))[:most]:
            picture.seek(page)
            picture.load()
            if picture.mode == "F" or picture.mode.startswith("I"):
                values = _turned(np.asarray(picture), picture.getexif().get(0x0112, 1))
                group, low, high = "16-bit pictures", 0.0, 65535.0
                if picture.mode in ("I", "F"):
                    values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
                    group, (low, high) = "TIFFs of real numbers", (float(v) for v in np.percentile(values, (0.1, 99.9)))
                found.append(Deep(values, group, low, high))
            else:
                flat = _to_srgb(_flat(_upright(picture)), picture.info.get("icc_profile"))
                found.append(Deep(np.asarray(flat), "8-bit TIFFs", 0.0, 255.0, fixed=True))
    except PictureError:
        raise
    except Exception as error:
        raise damaged(kind, error) from None
    return found


def deep_samples(data: bytes) -> list[Deep]:
    """A file of more than 8 bits (see is_deep) -> its pictures: one, the pages of a TIFF, the frames or slices of a scan.

    Raises PictureError.
    """
    kind = _checked(data)
    if kind.reader in _SCANS:
        return _SCANS[kind.reader](data)
    return _tiff_samples(data, kind) if kind.reader == "TIFF" else [_png_samples(data, kind)]


def _shown(data: bytes, kind: Kind) -> Deep:
    """The one picture that a file of more than 8 bits is shown by: of a scan the middle slice, of a TIFF the first page."""
    if kind.reader == "TIFF":
        return _tiff_samples(data, kind, most=1)[0]
    frames = deep_samples(data)
    return frames[len(frames) // 2]


def _flat(picture: PILImage.Image) -> PILImage.Image:
    """Any mode of 8 bits to grey ("L"), "RGB" or "CMYK", transparency over white."""
    from PIL import Image

    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, np.float32)
        return Image.fromarray((values * (255 / 65535)).clip(0, 255).round().astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    if picture.mode in ("L", "RGB", "CMYK"):
        return picture
    return picture.convert("L" if picture.mode == "1" else "RGB")


def read_image(data: bytes) -> np.ndarray:
    """Decode a whole picture file -> uint8 (h, w, 3) in sRGB.

    The EXIF orientation is applied, transparency laid over white, colour profiles and CMYK brought to sRGB, more than
    8 bits spread over what the picture uses; of an animation the first frame counts, of a scan the middle slice. Size
    is checked before anything is decoded. Raises PictureError.
    """
    kind = _checked(data)
    if is_deep(data[:HEAD]):
        values = _shown(data, kind).spread()
        _check_side(values.shape[1], values.shape[0])
        return np.ascontiguousarray(values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2))
    picture = _open(data, kind)
    _check_side(*picture.size)
    try:
        picture.seek(0)
        picture.load()
        profile = picture.info.get("icc_profile")
        return np.array(_to_srgb(_flat(_upright(picture)), profile).convert("RGB"))
    except Exception as error:
        raise damaged(kind, error) from None


def _check_side(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise PictureError(
            f"This picture has only {width} x {height} px; use one of at least {MIN_SIDE} x {MIN_SIDE}.",
            f"has only {width} x {height} px, the least is {MIN_SIDE} x {MIN_SIDE}",
        )


def decode_picture(
    picture: bytes | Deep, size: int, channels: int, box: Sequence[int] = (), ranges: Ranges | None = None
) -> np.ndarray:
    """A picture file (of an animation the first frame), or samples -> uint8 (size, size, channels) in sRGB.

    Cuts `box` (left, top, right, bottom, in pixels of the upright picture) or else the largest centred square, then
    resizes with Lanczos. ranges: what becomes black and white, by the samples' group (see Deep); without it each
    picture is spread for itself. Raises PictureError, before decoding where it can.
    """
    from PIL import Image

    if isinstance(picture, bytes):
        kind = _checked(picture)
        if not is_deep(picture[:HEAD]):
            opened = _open(picture, kind)
            try:
                if not box:
                    opened.draft(None, (2 * size, 2 * size))  # a JPEG decodes at 1/2, 1/4 or 1/8 for less work
                profile = opened.info.get("icc_profile")
                return _cut(_flat(_upright(opened)), size, channels, box, profile)
            except PictureError:
                raise
            except Exception as error:  # Pillow's decoders raise nearly anything on a broken file
                raise damaged(kind, error) from None
        picture = _shown(picture, kind)
    values = picture.spread((ranges or {}).get(picture.group))
    return _cut(Image.fromarray(np.ascontiguousarray(values)), size, channels, box)


def picture_size(picture: bytes | Deep) -> tuple[int, int]:
    """Width and height in px, upright or not, from a file's header where it tells them. Raises PictureError."""
    if isinstance(picture, bytes):
        kind = _checked(picture)
        if kind.reader not in _SCANS:
            return _open(picture, kind).size
        picture = deep_samples(picture)[0]
    return picture.values.shape[1], picture.values.shape[0]


def _cut(
    image: PILImage.Image, size: int, channels: int, box: Sequence[int], profile: bytes | None = None
) -> np.ndarray:
    """Cut and scale -> uint8 (size, size, channels); the profile is applied to what is left, which costs least."""
    from PIL import Image

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
    image = _to_srgb(image, profile).convert("L" if channels == 1 else "RGB")
    return np.asarray(image).reshape(size, size, channels)
