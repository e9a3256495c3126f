"""Files as strangers have them, drawn here: pictures of every kind, scans, archives."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vae.config import DataConfig


def picture(seed: int = 0, size: tuple[int, int] = (12, 12), mode: str = "RGB", kind: str = "PNG", **options) -> bytes:
    """A file with a random picture of a few large patches."""
    values = np.random.default_rng(seed).integers(0, 256, (4, 4, 4), np.uint8)
    image = Image.fromarray(values, "RGBA").resize(size, Image.Resampling.NEAREST).convert(mode)
    return saved(image, kind, **options)


def saved(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def heic(image: Image.Image, brand: bytes = b"heic") -> bytes:
    """An HEIC photo, with another brand where asked."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    data = saved(image, "HEIF", quality=90)
    return data[:8] + brand + data[12:]


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    return png[:33] + chunk(name, body) + png[33:]


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header alone claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def deep_png(values: np.ndarray) -> bytes:
    """uint16 (h, w, c) -> a PNG of 16 bits: grey, grey and opacity, colour, colour and opacity."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def wide_profile(exponent: float = 2.19921875) -> bytes:
    """A colour profile (ICC.1:2010, matrix and curves) of Adobe RGB's primaries."""
    # Adobe RGB (1998)'s colorants in the profile connection space, from its specification.
    xyz = {
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
        b"wtpt": (0.9642, 1.0, 0.8249),
    }
    tags = {name: b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in c)) for name, c in xyz.items()}
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256)) + b"\0\0"
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    words = b"Wide test profile\0"
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", len(words)) + words + bytes(80)
    tags[b"cprt"] = b"text\0\0\0\0none\0\0\0\0"
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        tag += bytes(-len(tag) % 4)
        table += name + struct.pack(">II", start + len(body), len(tag))
        body += tag
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(4 + 4 + 4 + 4 + 8 + 4)
    head += struct.pack(">3i", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def dicom(
    values: np.ndarray,
    slope: float = 1,
    intercept: float = 0,
    window: tuple[float, float] | None = None,
    photometric: str = "MONOCHROME2",
) -> bytes:
    """A DICOM scan of uint16 (h, w) or (frames, h, w). window: centre and width."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    scan = Dataset()
    scan.file_meta = meta
    scan.SOPClassUID, scan.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    scan.Rows, scan.Columns = values.shape[-2:]
    scan.SamplesPerPixel, scan.PhotometricInterpretation = 1, photometric
    scan.BitsAllocated, scan.BitsStored, scan.HighBit, scan.PixelRepresentation = 16, 16, 15, 0
    scan.RescaleSlope, scan.RescaleIntercept = slope, intercept
    if values.ndim == 3:
        scan.NumberOfFrames = len(values)
    if window:
        scan.WindowCenter, scan.WindowWidth = window
    scan.PixelData = values.astype("<u2").tobytes()
    out = io.BytesIO()
    scan.save_as(out, enforce_file_format=True)
    return out.getvalue()


def nifti(values: np.ndarray, packed: bool = True, slope: float = 1, intercept: float = 0) -> bytes:
    """A NIfTI volume (x, y, z[, t]), gzipped where asked."""
    import gzip

    import nibabel

    volume = nibabel.Nifti1Image(values, np.eye(4))
    volume.header.set_slope_inter(slope, intercept)
    data = volume.to_bytes()
    return gzip.compress(data) if packed else data


def write_zip(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def make_folder(root: Path, entries: dict[str, bytes]) -> Path:
    for name, content in entries.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def settings(*sources: object, **changes: object) -> DataConfig:
    return DataConfig(tuple(str(s) for s in sources)).replace(**changes)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with some bytes changed, cut, doubled or taken out."""
    raw = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if len(raw) < 8:
            break
        at = int(rng.integers(len(raw)))
        what = int(rng.integers(5))
        if what == 0:
            raw[at] = int(rng.integers(256))
        elif what == 1:
            raw[at] ^= 1 << int(rng.integers(8))
        elif what == 2:
            del raw[at : at + int(rng.integers(1, 32))]
        elif what == 3:
            raw[at:at] = raw[at : at + int(rng.integers(1, 32))]
        else:
            raw[at : at + 4] = rng.integers(0, 256, 4, np.uint8).tobytes()
    return bytes(raw[: int(rng.integers(1, len(raw) + 1))] if raw and rng.random() < 0.2 else raw)


@dataclass
class Packed:
    """An entry of raw_zip: the name's bytes as they are, and how it is stored (0, 8, or 9 for Deflate64)."""

    name: bytes
    content: bytes
    flags: int = 0
    extra: bytes = b""
    method: int = 0


def raw_zip(entries: Sequence[Packed]) -> bytes:
    """A zip written by hand, as other programs write it: names in any encoding, fields, Deflate64."""
    body, directory = b"", b""
    for entry in entries:
        packed = entry.content
        if entry.method == 8:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = packer.compress(packed) + packer.flush()
        elif entry.method == 9:
            import inflate64

            packer = inflate64.Deflater()
            packed = packer.deflate(packed) + packer.flush()
        crc = zlib.crc32(entry.content)
        common = struct.pack("<HHHHHIIIHH", 20, entry.flags, entry.method, 0, 33, crc, len(packed), len(entry.content), len(entry.name), len(entry.extra))  # fmt: skip
        directory += b"PK\1\2\x14\0" + common + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + entry.name + entry.extra
        body += b"PK\3\4" + common + entry.name + entry.extra + packed
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, len(entries), len(entries), len(directory), len(body), 0)
    return body + directory + end


def unicode_field(raw: bytes, name: str) -> bytes:
    """Info-ZIP's Unicode Path extra field (0x7075)."""
    body = b"\1" + struct.pack("<I", zlib.crc32(raw)) + name.encode()
    return struct.pack("<HH", 0x7075, len(body)) + body


def npy(values: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    np.save(out, values, **options)
    return out.getvalue()
