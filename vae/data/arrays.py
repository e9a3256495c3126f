"""NumPy arrays of pictures (npy, npz), and which of an npz's arrays are the labels of which pictures.

Shapes and types are read from an array's header and checked before its numbers are; pickles are never opened.
"""

from __future__ import annotations

import ast
import io
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vae.data.kinds import Deep, PictureError, check_pixels

MAX_ARRAY_BYTES = 2**31
# What a name of an array says beside the part of the set that it belongs to: "train_images" and "train_labels".
_ROLES = re.compile(r"(images?|imgs?|pictures?|labels?|targets?|classes|class|data|x|y)(?=_|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Header:
    """What an array's header says: its shape, type and where its numbers begin."""

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int


def read_header(data: bytes) -> Header:
    """The header of an npy file, from its first bytes. Raises PictureError."""
    try:
        major = data[6]
        size = struct.unpack("<H", data[8:10])[0] if major == 1 else struct.unpack("<I", data[8:12])[0]
        start = (10 if major == 1 else 12) + size
        told = ast.literal_eval(data[start - size : start].decode("latin-1"))
        shape = tuple(int(n) for n in told["shape"])
        dtype = np.dtype(told["descr"])
        if min(shape, default=0) < 0 or len(data) < start:
            raise ValueError
    except Exception:  # of a damaged header Python and NumPy each raise their own
        raise PictureError("This NumPy array is damaged; save it again.", "is a damaged NumPy array") from None
    if dtype.hasobject:
        raise PictureError(
            "This NumPy array holds Python objects, which are not opened; save numbers.",
            "holds Python objects, which are not opened",
        )
    return Header(shape, dtype, start)


def layout(header: Header, rows: bool = False) -> tuple[int, str]:
    """How an array holds pictures -> how many, and the order of its axes ("nhw", "nhwc", "nchw", "hw", "hwc", "chw").

    rows: the first axis is known to count pictures (three grey ones look like one of three colours). Raises PictureError where it does not.
    """
    shape, numbers = header.shape, header.dtype.kind in "buif"
    order = ""
    if numbers and len(shape) == 4:
        order = "nhwc" if shape[3] in (1, 3, 4) else "nchw" if shape[1] in (1, 3, 4) else ""
    elif numbers and len(shape) == 3:
        few_last, few_first = shape[2] in (1, 3, 4) and shape[0] > 4, shape[0] in (1, 3, 4) and shape[2] > 4
        order = "nhw" if rows else "hwc" if few_last else "chw" if few_first else "nhw"
    elif numbers and len(shape) == 2 and min(shape) >= 4:
        order = "hw"
    if not order or min(shape) < 1:
        about = f"is an array of {' x '.join(map(str, shape))} {header.dtype.name}"
        raise PictureError(f"This file {about}, not of pictures.", f"{about}, not of pictures")
    check_pixels(shape[order.index("w")], shape[order.index("h")])
    if math.prod(shape) * header.dtype.itemsize > MAX_ARRAY_BYTES:
        about = (
            f"holds {math.prod(shape) * header.dtype.itemsize / 2**30:.1f} GB, the limit is {MAX_ARRAY_BYTES >> 30} GB"
        )
        raise PictureError(f"This array {about}; split it.", about)
    return shape[0] if order[0] == "n" else 1, order


def read_numbers(data: bytes) -> np.ndarray:
    """A whole npy file -> its numbers. Raises PictureError."""
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:
        word = f"cannot be decoded ({type(error).__name__})"
        raise PictureError(f"This NumPy array {word}; save it again.", word) from None


def read_array(data: bytes, rows: bool = False) -> list[Deep]:
    """A whole npy file -> its pictures; rows: see layout. Raises PictureError.

    Whole numbers up to 255 and floats of -1..1 or 0..1 are taken as such; others are spread by the set's own range.
    """
    _, order = layout(read_header(data), rows)
    values = read_numbers(data)
    if order[0] != "n":
        values, order = values[None], "n" + order
    if order == "nchw":
        values = values.transpose(0, 2, 3, 1)
    if values.ndim == 4:
        values = values[..., 0] if values.shape[3] == 1 else values[..., :3]
    low, high, known = _range(values)
    return [Deep(picture, "arrays", low, high, fixed=known) for picture in values]


def _range(values: np.ndarray) -> tuple[float, float, bool]:
    """What is black and white in an array, and whether that is told by its type rather than by its content."""
    if values.dtype == bool:
        return 0.0, 1.0, True
    if values.dtype == np.uint8:
        return 0.0, 255.0, True
    parts = [part for part in values[:: max(1, len(values) // 256)]]  # noqa: C416
    least = min(float(np.nanmin(part)) for part in parts)
    most = max(float(np.nanmax(part)) for part in parts)
    if not (math.isfinite(least) and math.isfinite(most)):
        raise PictureError("This array holds numbers that are not finite; save it without.", "holds infinite numbers")
    if values.dtype.kind == "f" and most <= 1:
        return (0.0, 1.0, True) if least >= 0 else (-1.0, 1.0, True) if least >= -1 else (least, most, False)
    return (0.0, 255.0, True) if least >= 0 and most <= 255 else (least, most, False)


def labels_of(headers: Mapping[str, Header]) -> dict[str, str]:
    """Of several arrays: name of an array of pictures -> name of the array of its labels, one a picture."""
    found = {}
    for name, header in headers.items():
        try:
            count, _ = layout(header, rows=True)
        except PictureError:
            continue
        rows = [
            other
            for other, h in headers.items()
            if h.shape in ((count,), (count, 1)) and h.dtype.kind in "iubUS" and len(header.shape) > 2
        ]
        same = [other for other in rows if _part(other) == _part(name)]
        if same or len(rows) == 1:
            found[name] = (same or rows)[0]
    return found


def _part(name: str) -> str:
    return re.sub(r"[_\W]+", "", _ROLES.sub("", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.removesuffix(".npy"))))
