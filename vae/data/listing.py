"""What of a place's files are pictures, by content: files, frames of scans, rows of arrays, zips in it one level deep.

Everything else is kept as `refused` (a picture that cannot be used) or `others` (no picture at all), with its kind.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from pathlib import PurePosixPath

from vae.data.archives import Zip
from vae.data.arrays import Header, labels_of, layout, read_array, read_header, read_numbers
from vae.data.files import MAX_ENTRIES, MAX_UNPACKED_BYTES, DataError, Files, Folder, Refused
from vae.data.kinds import (
    HEAD,
    MAX_BYTES,
    UNKNOWN,
    Deep,
    Kind,
    PictureError,
    is_picture,
    kind_of,
    too_large,
    unpacked_head,
)
from vae.data.pictures import deep_samples, is_deep, tiff_pages
from vae.data.scans import MAX_VOLUME_BYTES, nifti_slices
from vae.data.tables import MAX_TABLE_BYTES

# Names are not asked what a file is, only whether somebody thinks it a picture: then it is refused, else one of others.
_PICTURE_NAMES = {
    ".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp", ".gif", ".bmp", ".tif", ".tiff",
    ".avif", ".heic", ".heif", ".jp2", ".svg", ".ppm", ".pgm", ".dcm", ".nii",
}  # fmt: skip
# A table of this name beside the pictures tells of them, unasked: see vae.data.tables.
TABLE = "factors.csv"
_DICOM_HEAD = 2**16
_FRAMES = re.compile(rb"\x28\0\x08\0(?:IS..|..\0\0)(\d{1,6})", re.DOTALL)


class Listing:
    """The pictures of a place: `names` of them, each read to a file's bytes or to samples.

    kinds: the kind of each in the plural, for counts. labels: the class of pictures that carry it themselves.
    deep: those of more than 8 bits. refused, others: what was left out. packed: whether reading it unpacks an archive.
    table: the file factors.csv, where one lies beside the pictures.
    """

    def __init__(self, place: Files, nested: bool = False):
        self.title = place.title
        self.names: list[str] = []
        self.refused: list[Refused] = list(place.refused)
        self.others: list[Refused] = []
        self.kinds: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.deep: set[str] = set()
        self._place, self._nested = place, nested
        self.packed = not isinstance(place, Folder)
        self._parts: dict[str, tuple[str, int]] = {}  # of a picture in a larger file: that file, and its number there
        self._rows: set[str] = set()  # arrays whose first axis counts pictures, as their labels say
        self._inner: dict[str, Listing] = {}
        self._volumes: OrderedDict[str, list[Deep]] = OrderedDict()
        self.table: bytes | None = None
        self._lock = threading.Lock()
        self._held = 0  # bytes of zips in this place
        headers: dict[str, Header] = {}
        for name in sorted(place.names) if self.packed else place.names:
            try:
                if name == TABLE and not nested:
                    self.table = place.read(name, MAX_TABLE_BYTES)
                    continue
                self._sort(name, place.read(name, HEAD - 1), headers)
            except PictureError as error:
                self.refused.append(Refused(name, error.reason))
        if headers:
            self._arrays(headers)
        if len(self.names) > MAX_ENTRIES:
            raise DataError(
                f"{self.title} holds {len(self.names):,} pictures and the limit is {MAX_ENTRIES:,}; split it into parts"
            )

    def _sort(self, name: str, head: bytes, headers: dict[str, Header]) -> None:
        kind = kind_of(head)
        try:
            if kind.reader == "npy":
                headers[name] = read_header(head)
            elif kind.reader == "zip" and not self._nested:
                self._zip(name)
            elif not is_picture(kind):
                self._leave(name, kind)
            elif kind.reader not in ("NIfTI", "DICOM") and self._place.size(name) > MAX_BYTES:
                raise too_large(self._place.size(name))
            elif kind.reader == "NIfTI":
                self._split(name, nifti_slices(unpacked_head(head) if head[:2] == b"\x1f\x8b" else head), kind)
            elif kind.reader == "DICOM":
                frames = _FRAMES.search(self._place.read(name, _DICOM_HEAD))
                self._split(name, int(frames[1]) if frames else 1, kind)
            elif kind.reader == "TIFF":
                self._split(name, tiff_pages(self._place.read(name, MAX_BYTES)), kind)
            else:
                self._add(name, kind, is_deep(head))
        except PictureError as error:
            self.refused.append(Refused(name, error.reason, kind.plural))

    def _add(self, name: str, kind: Kind, deep: bool) -> None:
        self.names.append(name)
        self.kinds[name] = kind.plural
        if deep:
            self.deep.add(name)

    def _split(self, name: str, count: int, kind: Kind) -> None:
        """List the frames of a file, one by one where there are several."""
        if count + len(self.names) > MAX_ENTRIES:
            raise PictureError("This file holds too many pictures; split it.", f"holds {count:,} pictures, too many")
        for number in range(count):
            part = name if count == 1 else f"{name}#{number:0{len(str(count - 1))}d}"
            self._parts[part] = (name, number)
            self._add(part, kind, True)

    def _leave(self, name: str, kind: Kind) -> None:
        looks = kind.image or PurePosixPath(name.lower()).suffix in _PICTURE_NAMES
        but = f" but {kind.spoken}" if kind is not UNKNOWN else ""
        if looks:
            self.refused.append(Refused(name, f"is not a PNG, JPEG or WebP picture{but}", kind.plural))
        else:
            self.others.append(Refused(name, f"is {kind.spoken}", kind.plural))

    def _zip(self, name: str) -> None:
        """A zip within a place, one level deep; an npz is one too."""
        # It is held in memory, all of them together up to one volume's size.
        left = MAX_VOLUME_BYTES - self._held
        if self._place.size(name) > left:
            raise too_large(self._place.size(name), left)
        data = self._place.read(name, left)
        if len(data) > left:
            raise too_large(len(data), left)
        self._held += len(data)
        try:
            inner = Listing(Zip(data, name), nested=True)
        except DataError as error:
            raise PictureError(
                f"This zip archive is not used: {error}.", "is a zip archive that cannot be read"
            ) from error
        for listed, taken in ((inner.refused, self.refused), (inner.others, self.others)):
            taken += [Refused(f"{name}/{r.file}", r.reason, r.kind) for r in listed]
        if not (inner.names or inner.refused or inner.others):
            self.others.append(Refused(name, "is a zip archive without pictures", "zip archives"))
        self._inner[name] = inner
        for part in inner.names:
            whole = f"{name}/{part}"
            self.names.append(whole)
            self.kinds[whole] = inner.kinds[part]
            if part in inner.labels:
                self.labels[whole] = inner.labels[part]
            if part in inner.deep:
                self.deep.add(whole)

    def _arrays(self, headers: dict[str, Header]) -> None:
        """Arrays of pictures become their rows; those that say what is in them become labels."""
        kind = Kind("a NumPy array", "NumPy arrays", "npy")
        labels = labels_of(headers)
        for name, header in headers.items():
            if name in labels.values():
                continue
            try:
                count, _ = layout(header, name in labels)
                rows = read_numbers(self._place.read(labels[name], MAX_BYTES)).ravel() if name in labels else ()
                before = len(self.names)
                if name in labels:
                    self._rows.add(name)
                self._split(name, count, kind)
                for part, row in zip(self.names[before:], rows):
                    self.labels[part] = row.decode("utf-8", "replace") if isinstance(row, bytes) else str(row)
            except PictureError as error:
                self.others.append(Refused(name, error.reason, kind.plural))

    def read(self, name: str, most: int = MAX_BYTES) -> bytes | Deep:
        """A picture's file, or its samples where it is a part of a larger one. Raises PictureError."""
        for zipped, inner in self._inner.items() if self._inner and name not in self._parts else ():
            if name.startswith(f"{zipped}/"):
                return inner.read(name[len(zipped) + 1 :], most)
        if name not in self._parts:
            return self._place.read(name, most)
        file, number = self._parts[name]
        frames = self._frames(file)
        if number >= len(frames):
            raise PictureError("This scan has fewer frames than it says.", "has fewer frames than it says")
        frame = frames[number]
        if len(frames) > 1 and frame.values.min() == frame.values.max():
            raise PictureError("This slice is empty.", "is an empty slice")
        return frame

    def _frames(self, file: str) -> list[Deep]:
        """All frames of a file; the last two files are kept, since frames are asked for one after the other."""
        with self._lock:
            if file in self._volumes:
                self._volumes.move_to_end(file)
                return self._volumes[file]
            limit = MAX_UNPACKED_BYTES // 2
            data = self._place.read(file, limit)
            if len(data) > limit:
                raise too_large(len(data), limit)
            found = read_array(data, file in self._rows) if kind_of(data[:HEAD]).reader == "npy" else deep_samples(data)
            self._volumes[file] = found
            while len(self._volumes) > 2:
                self._volumes.popitem(last=False)
            return found
