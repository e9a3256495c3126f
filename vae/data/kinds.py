"""What a stranger's file is, by its content and never by its name, and the limits that hold for every picture."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000
HEAD = 4096  # bytes of a file's beginning that tell its kind


class PictureError(ValueError):
    """A picture that cannot be used.

    sentence (and str of the error): for the person who gave it, "This file is a film; ...".
    reason: the same as a predicate without its subject, for lists of files, "is a film".
    """

    def __init__(self, sentence: str, reason: str = ""):
        super().__init__(sentence)
        self.sentence, self.reason = sentence, reason or sentence


@dataclass(frozen=True)
class Kind:
    """A kind of file. spoken: with its article; plural: for counts.

    reader: who reads it: Pillow's name of a format, "DICOM", "NIfTI", an array ("npy"), "zip"; "" where nobody does.
    image: whether people would call it a picture, read or not.
    """

    spoken: str
    plural: str
    reader: str = ""
    image: bool = False

    @property
    def short(self) -> str:
        """The name without its article."""
        return self.spoken.split(" ", 1)[1]


@dataclass(frozen=True)
class Deep:
    """Samples of more than 8 bits, not yet spread over what a screen shows.

    values: numbers (h, w) or (h, w, 3). group: pictures of one group are spread alike, so that they stay comparable.
    low, high: the values that become black and white where no range of a set is known. fixed: use these in any case
    (a scan's own window).
    """

    values: np.ndarray
    group: str
    low: float
    high: float
    fixed: bool = False

    def spread(self, limits: tuple[float, float] | None = None) -> np.ndarray:
        """uint8 of the same shape: `limits` (or low and high) become 0 and 255."""
        low, high = (self.low, self.high) if limits is None or self.fixed else limits
        scaled = (np.asarray(self.values, np.float32) - low) * (255 / max(high - low, 1e-12))
        return np.nan_to_num(scaled, nan=0.0).clip(0, 255).round().astype(np.uint8)


def _starts(*heads: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(heads)


def _brands(data: bytes) -> tuple[bytes, ...]:
    """Brands in the first box of the ISO base media format (ISO/IEC 14496-12), the major one first; () elsewhere."""
    if data[4:8] != b"ftyp":
        return ()
    end = min(int.from_bytes(data[:4], "big"), len(data), 256)
    return data[8:12], *(data[i : i + 4] for i in range(16, end - 3, 4))


_AVIF = (b"avif", b"avis")
_HEVC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_STILL = (b"mif1", b"mif2", b"msf1")  # says "a picture", of which codec the other brands say


def _is_avif(data: bytes) -> bool:
    brands = _brands(data)
    return bool(brands) and (brands[0] in _AVIF or (brands[0] in _STILL and any(b in _AVIF for b in brands)))


def _is_heif(data: bytes) -> bool:
    return _brands(data)[:1] != () and _brands(data)[0] in _HEVC + _STILL


def _is_dicom(data: bytes) -> bool:
    """With the 128 bytes before it or without (ACR-NEMA's way, which old scanners keep)."""
    bare = data[:4] in (b"\x02\0\0\0", b"\x08\0\0\0", b"\x08\0\5\0", b"\x08\0\x08\0") and data[4:6].isalpha()
    return data[128:132] == b"DICM" or (bare and data[4:6].isupper())


def _is_nifti(data: bytes) -> bool:
    one = data[:4] in (b"\x5c\1\0\0", b"\0\0\1\x5c") and data[344:348] in (b"n+1\0", b"ni1\0")
    return one or (data[:4] in (b"\x1c\2\0\0", b"\0\0\2\x1c") and data[4:8] in (b"n+2\0", b"ni2\0"))


def _is_bmp(data: bytes) -> bool:
    """Also the size of its second header, which is one of a few: many a text begins with BM."""
    return data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)


def _is_pnm(data: bytes) -> bool:
    """PBM, PGM and PPM, as old sets of faces have them."""
    return data[:1] == b"P" and data[1:2] in tuple(b"%d" % n for n in range(1, 7)) and data[2:3].isspace()


def unpacked_head(data: bytes) -> bytes:
    """The beginning of what a gzip holds; what does not unpack gives b""."""
    try:
        return zlib.decompressobj(31).decompress(data, 1024)
    except zlib.error:
        return b""


def _is_text(data: bytes) -> bool:
    """Mostly printable characters of UTF-8 or of an 8-bit encoding, and no zero byte."""
    if not data or b"\0" in data:
        return data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return sum(byte >= 32 or byte in b"\t\n\r\f" for byte in data) > 0.97 * len(data)


def _zip_of(*names: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(b"PK\3\4") and any(name in data[30:200] for name in names)


# What a file is, by its first bytes; the first row that fits.
KINDS: tuple[tuple[Callable[[bytes], bool], Kind], ...] = (
    (lambda data: not data, Kind("an empty file", "empty files")),
    (_starts(b"\x89PNG\r\n\x1a\n"), Kind("a PNG", "PNGs", "PNG", image=True)),
    (_starts(b"\xff\xd8\xff"), Kind("a JPEG", "JPEGs", "JPEG", image=True)),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP", Kind("a WebP", "WebPs", "WEBP", image=True)),
    (_is_avif, Kind("an AVIF picture", "AVIF pictures", "AVIF", image=True)),
    (_is_heif, Kind("an HEIC photo", "HEIC photos", "HEIF", image=True)),
    (_is_dicom, Kind("a DICOM scan", "DICOM scans", "DICOM", image=True)),
    (_is_nifti, Kind("a NIfTI scan", "NIfTI scans", "NIfTI", image=True)),
    (
        lambda data: data[:2] == b"\x1f\x8b" and _is_nifti(unpacked_head(data)),
        Kind("a NIfTI scan", "NIfTI scans", "NIfTI", image=True),
    ),
    (_starts(b"\x93NUMPY"), Kind("a NumPy array", "NumPy arrays", "npy")),
    (_zip_of(b"[Content_Types].xml", b"mimetype", b"_rels/"), Kind("an office document", "office documents")),
    (_starts(b"PK\3\4", b"PK\5\6", b"PK00PK\3\4"), Kind("a zip archive", "zip archives", "zip")),
    (
        lambda data: data[257:262] == b"ustar" or unpacked_head(data)[257:262] == b"ustar",
        Kind("a tar archive", "tar archives"),
    ),
    (lambda data: bool(_brands(data)), Kind("a film", "films")),
    (_starts(b"\x1aE\xdf\xa3", b"OggS", b"FLV"), Kind("a film", "films")),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"AVI ", Kind("a film", "films")),
    (_starts(b"ID3", b"fLaC", b"\xff\xfb"), Kind("a sound", "sounds")),
    (lambda data: data[:4] == b"RIFF" and data[8:12] == b"WAVE", Kind("a sound", "sounds")),
    (_starts(b"GIF8"), Kind("a GIF", "GIFs", "GIF", image=True)),
    (_is_bmp, Kind("a BMP", "BMPs", "BMP", image=True)),
    (_starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), Kind("a TIFF", "TIFFs", "TIFF", image=True)),
    (_starts(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), Kind("a JPEG 2000 picture", "JPEG 2000 pictures", image=True)),
    (_starts(b"\0\0\0\x0cJXL ", b"\xff\x0a"), Kind("a JPEG XL picture", "JPEG XL pictures", image=True)),
    (_starts(b"8BPS"), Kind("a Photoshop file", "Photoshop files", image=True)),
    (_is_pnm, Kind("a PNM picture", "PNM pictures", "PPM", image=True)),
    (_starts(b"\0\0\1\0"), Kind("an icon", "icons")),
    (_starts(b"%PDF"), Kind("a PDF", "PDFs")),
    (_starts(b"\x89HDF\r\n\x1a\n"), Kind("an HDF5 file", "HDF5 files")),
    (_starts(b"MATLAB 5.0"), Kind("a MATLAB file", "MATLAB files")),
    (_starts(b"SQLite format 3"), Kind("a database", "databases")),
    (_starts(b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5"), Kind("a pickle", "pickles")),
    (
        _starts(b"Rar!", b"7z\xbc\xaf", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"),
        Kind("an archive of another kind", "archives of another kind"),
    ),
    (lambda data: b"<svg" in data[:1024], Kind("an SVG drawing", "SVG drawings", image=True)),
    (_is_text, Kind("a text file", "text files")),
)
UNKNOWN = Kind("not a picture that can be read", "files of unknown kind")
READ = "PNG, JPEG, WebP, HEIC, AVIF, TIFF or DICOM"


def kind_of(head: bytes) -> Kind:
    """What a file is, by its first HEAD bytes."""
    return next((kind for fits, kind in KINDS if fits(head)), UNKNOWN)


@lru_cache(maxsize=1)
def _pillow_reads() -> frozenset[str]:
    """Pillow's formats that are on this machine, HEIC by the package pillow-heif where it is installed."""
    from PIL import Image, features

    try:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    except Exception:  # a package for one format must not cost the others
        pass
    Image.init()
    found = {"PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM", "TIFF"} | ({"HEIF"} & Image.OPEN.keys())
    return frozenset(found | ({"AVIF"} if features.check("avif") else set()))


def is_picture(kind: Kind) -> bool:
    """Whether files of this kind are read as pictures on this machine (archives and arrays are not)."""
    return kind.reader in ("DICOM", "NIfTI") or kind.reader in _pillow_reads()


def is_archive(kind: Kind) -> bool:
    """Whether a file of this kind holds others."""
    return kind.reader == "zip" or kind.plural in ("tar archives", "archives of another kind")


def too_large(size: int, limit: int = MAX_BYTES) -> PictureError:
    """The refusal of a file by its bytes."""
    return PictureError(
        f"This file has {size / 2**20:.1f} MB; use a picture of at most {limit >> 20} MB.",
        f"is {size / 2**20:.0f} MB large, the limit is {limit >> 20} MB",
    )


def check_pixels(width: int, height: int) -> None:
    """Raises PictureError beyond MAX_PIXELS, or where there is none."""
    most = MAX_PIXELS // 10**6
    if width < 1 or height < 1:
        raise PictureError("This picture has no pixels; save it again.", "has no pixels")
    if width * height > MAX_PIXELS:
        pixels = f"{width * height / 1e6:.0f} megapixels"
        raise PictureError(
            f"This picture has {width} x {height} = {pixels}; use one of at most {most}.",
            f"holds {pixels}, the limit is {most} megapixels",
        )


def damaged(kind: Kind, error: Exception) -> PictureError:
    """The refusal of a file whose decoder gave up."""
    return PictureError(
        f"This {kind.short} file is damaged or cut short; save it again or use another.",
        f"cannot be decoded ({type(error).__name__})",
    )
