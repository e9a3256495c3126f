"""Medical scans: DICOM (pydicom) and NIfTI (nibabel), each as frames of samples in the scanner's own unit.

Sizes are read from the header and checked before any sample is.
"""

from __future__ import annotations

import io
import logging
import math
import zlib
from typing import Any

import numpy as np

from vae.data.kinds import Deep, PictureError, check_pixels

MAX_VOLUME_BYTES = 2**30  # unpacked: 1 GB is 512 slices of 1024 x 1024 in 16 bits


def _unreadable(what: str, word: str) -> PictureError:
    return PictureError(f"This {what} {word}; export it again.", word)


def check_volume(*shape: int, size: int) -> None:
    """Raises PictureError where samples of this shape, of so many bytes each, unpack to more than MAX_VOLUME_BYTES."""
    if math.prod(shape) * size > MAX_VOLUME_BYTES:
        most = MAX_VOLUME_BYTES >> 20
        raise PictureError(
            f"This scan unpacks to {math.prod(shape) * size >> 20} MB; use one of at most {most} MB.",
            f"unpacks to {math.prod(shape) * size >> 20} MB, the limit is {most} MB",
        )


# ---------------------------------------------------------------- DICOM


def _number(value: Any) -> float | None:
    """The first of a DICOM element's numbers, or None."""
    try:
        first = value[0] if not isinstance(value, (str, int, float)) and hasattr(value, "__getitem__") else value
        number = float(first)
    except (TypeError, ValueError, IndexError):
        return None
    return number if math.isfinite(number) else None


def _dataset(data: bytes) -> Any:
    import pydicom

    try:
        found = pydicom.dcmread(io.BytesIO(data), force=data[128:132] != b"DICM")
        rows, columns = int(found.get("Rows") or 0), int(found.get("Columns") or 0)
        frames, samples = int(found.get("NumberOfFrames") or 1), int(found.get("SamplesPerPixel") or 1)
        depth = int(found.get("BitsAllocated") or 16)
    except Exception as error:
        raise _unreadable("DICOM scan", f"is damaged ({type(error).__name__})") from None
    if not rows or not columns or "PixelData" not in found:
        raise _unreadable("DICOM file", "holds no picture")
    if samples not in (1, 3) or frames < 1 or not 1 <= depth <= 64:
        raise _unreadable("DICOM scan", f"has {samples} samples a pixel and {frames} frames")
    check_pixels(columns, rows)
    check_volume(frames, rows, columns, samples, size=max(1, depth // 8))
    return found


def dicom_frames(data: bytes) -> int:
    """Frames of a DICOM file, from its header. Raises PictureError."""
    return int(_dataset(data).get("NumberOfFrames") or 1)


def read_dicom(data: bytes) -> list[Deep]:
    """A DICOM file -> its frames, rescaled; by its own window where it has one. Raises PictureError."""
    found = _dataset(data)
    try:
        return _frames(found)
    except PictureError:
        raise
    except Exception as error:  # pydicom and the decoders behind it each raise their own
        syntax = getattr(getattr(found, "file_meta", None), "TransferSyntaxUID", None)
        known = getattr(syntax, "name", None)  # a name of the standard, else the stranger's own text
        packed = f", packed as {known}" if known and known != str(syntax) else ""
        raise _unreadable("DICOM scan", f"cannot be decoded ({type(error).__name__}{packed})") from None


def _frames(found: Any) -> list[Deep]:
    from pydicom.pixels import apply_color_lut, apply_modality_lut

    values = found.pixel_array
    photometric = str(found.get("PhotometricInterpretation") or "MONOCHROME2")
    several = int(found.get("NumberOfFrames") or 1) > 1
    if photometric == "PALETTE COLOR":
        values = apply_color_lut(values, found)
        values = values >> 8 if values.dtype == np.uint16 else values
    frames = list(values) if several else [values]
    if frames[0].ndim == 3:
        bits = int(found.get("BitsStored") or 8)
        return [Deep(frame[..., :3], "DICOM colour", 0, 2**bits - 1, fixed=True) for frame in frames]
    frames = [np.asarray(apply_modality_lut(frame, found), np.float32) for frame in frames]
    padding = _number(found.get("PixelPaddingValue"))
    if padding is not None:  # beyond the scanner's round field: as dark as the darkest that it saw
        for raw, frame in zip(values if several else [values], frames):
            inside = raw != padding
            if inside.any():
                frame[~inside] = frame[inside].min()
    centre, width = _number(found.get("WindowCenter")), _number(found.get("WindowWidth"))
    windowed = centre is not None and width is not None and width >= 1
    if windowed:
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2  # PS3.3 C.11.2.1.2.1
    else:
        low, high = min(float(f.min()) for f in frames), max(float(f.max()) for f in frames)
    group = "DICOM scans"
    if photometric == "MONOCHROME1":  # the least is white
        frames, low, high, group = [-frame for frame in frames], -high, -low, "DICOM scans in negative"
    return [Deep(frame, group, low, high, fixed=windowed) for frame in frames]


# ---------------------------------------------------------------- NIfTI


def _unzipped(data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    unpacker = zlib.decompressobj(31)
    try:
        unpacked = unpacker.decompress(data, MAX_VOLUME_BYTES + 1024)
    except zlib.error as error:
        raise _unreadable("NIfTI scan", f"cannot be unpacked ({type(error).__name__})") from None
    if len(unpacked) > MAX_VOLUME_BYTES + 512:
        check_volume(len(unpacked), size=1)
    return unpacked


def _volume(data: bytes) -> tuple[Any, tuple[int, int, int]]:
    """A NIfTI file -> nibabel's image, not read yet, and the shape of its first volume."""
    import nibabel

    # It mends doubtful headers and tells the log of every one; what cannot be used is refused in a sentence.
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    if data[344:348] == b"ni1\0" or data[4:8] == b"ni2\0":
        raise _unreadable("NIfTI header", "holds no picture, its samples are in another file")
    try:
        made = nibabel.Nifti2Image if data[4:7] == b"n+2" else nibabel.Nifti1Image
        found = made.from_bytes(data)
        shape = tuple(int(n) for n in found.shape)
        size = found.header.get_data_dtype().itemsize
    except Exception as error:
        raise _unreadable("NIfTI scan", f"is damaged ({type(error).__name__})") from None
    if not 2 <= len(shape) <= 5 or min(shape) < 1:
        raise _unreadable("NIfTI scan", f"has the shape {' x '.join(map(str, shape))}")
    if found.header.get_data_dtype().fields:
        raise _unreadable("NIfTI scan", "is in colour, which is not read")
    check_pixels(shape[0], shape[1])
    check_volume(*shape, size=size)
    return found, (*shape[:2], shape[2] if len(shape) > 2 else 1)


def nifti_slices(data: bytes) -> int:
    """Axial slices of a NIfTI file's first volume, from its header. Raises PictureError."""
    found, shape = _volume(_unzipped(data))
    return _axial(found, shape)


def _axial(found: Any, shape: tuple[int, int, int]) -> int:
    import nibabel

    if shape[2] == 1:
        return 1
    axes = nibabel.orientations.io_orientation(found.affine)[:, 0]
    return shape[int(np.flatnonzero(axes == 2)[0])] if (axes == 2).any() else shape[2]


def read_nifti(data: bytes) -> list[Deep]:
    """A NIfTI file -> the axial slices of its first volume, head side last, the front of the body up.

    Scaled by its slope and intercept, and by its own window (cal_min, cal_max) where it has one. Raises PictureError.
    """
    import nibabel

    found, shape = _volume(_unzipped(data))
    try:
        first = (
            found.slicer[(slice(None),) * 3 + (slice(0, 1),) * (len(found.shape) - 3)]
            if len(found.shape) > 3
            else found
        )
        values = np.asarray(first.dataobj, np.float32).reshape(shape)
        if shape[2] > 1:
            turn = nibabel.orientations.io_orientation(found.affine)
            if not np.isnan(turn).any():
                values = nibabel.orientations.apply_orientation(values, turn)
        low, high = float(found.header["cal_min"]), float(found.header["cal_max"])
    except Exception as error:
        raise _unreadable("NIfTI scan", f"cannot be decoded ({type(error).__name__})") from None
    values = np.nan_to_num(values, posinf=0, neginf=0)
    windowed = math.isfinite(low) and math.isfinite(high) and low < high
    if not windowed:
        low, high = (float(v) for v in np.percentile(values[::2, ::2, ::2] if shape[2] > 1 else values, (0.1, 99.9)))
    return [Deep(values[:, ::-1, k].T, "NIfTI scans", low, high, fixed=windowed) for k in range(values.shape[2])]
