"""Archives, read in place: sizes are checked before and while they are unpacked, and no path leads outside."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from vae.data.files import DataError, Refused, accept, is_hidden
from vae.data.kinds import MAX_BYTES, PictureError

MAX_ENTRIES = 200_000
MAX_UNPACKED_BYTES = 4 * 2**30


def _count_entries(path: Path) -> int:
    """Entries in a zip's directory, counted without building them; raises DataError where it is no zip."""
    with open(path, "rb") as file:
        end = zipfile._EndRecData(file)
        if not end:
            raise DataError(f"{path.name} is not a zip archive; choose a .zip of PNG, JPEG or WebP pictures")
        size, position = end[zipfile._ECD_SIZE], end[zipfile._ECD_LOCATION]
        if size > 1024 * MAX_ENTRIES:
            return MAX_ENTRIES + 1
        file.seek(max(0, position - size))
        return file.read(size).count(b"PK\x01\x02")


class Zip:
    """A zip read in place: entries that point outside, links and encrypted ones are refused one by one."""

    def __init__(self, path: Path):
        self.path, self.names, self.refused = path, [], []
        try:
            count = _count_entries(path)
            if count > MAX_ENTRIES:
                raise DataError(f"{path.name} holds more than {MAX_ENTRIES:,} files; split it into smaller archives")
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path.name} is not a readable zip archive ({error}); pack it again") from None
        infos = self._zip.infolist()
        total = sum(info.file_size for info in infos)
        if total > MAX_UNPACKED_BYTES:
            raise DataError(
                f"{path.name} unpacks to {total / 2**30:.1f} GB and the limit is {MAX_UNPACKED_BYTES // 2**30} GB; "
                f"split it, or unpack it yourself and choose the folder"
            )
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in infos:
            name = info.filename.replace("\\", "/")
            if info.is_dir() or is_hidden(name.replace("../", "")):
                continue
            reason = self._outside(info, name)
            if reason:
                self.refused.append(Refused(name, reason))
            elif name in self._infos:
                self.refused.append(Refused(name, "is in the archive twice"))
            elif accept(name, info.file_size, self.refused):
                self._infos[name] = info
        self.names = sorted(self._infos)

    @staticmethod
    def _outside(info: zipfile.ZipInfo, name: str) -> str | None:
        parts = name.split("/")
        if name.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in name:
            return "has a path outside the archive"
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            return "is a link or a special file"
        if info.flag_bits & 1:
            return "is encrypted"
        return None

    def read(self, name: str) -> bytes:
        try:
            with self._zip.open(self._infos[name]) as file:
                return file.read(MAX_BYTES + 1)  # a lying header cannot make this longer
        except Exception as error:  # zlib, lzma, bz2 and zipfile each raise their own
            word = type(error).__name__
            raise PictureError(f"This file cannot be unpacked ({word}).", f"cannot be unpacked ({word})") from None
