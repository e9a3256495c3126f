"""Archives, read in place: sizes are checked before and while they are unpacked, and no path leads outside."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import stat
import struct
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from vae.data import files
from vae.data.files import DataError, Refused, is_hidden, unreadable
from vae.data.kinds import MAX_BYTES
from vae.data.names import guess, shown, unicode_path

_DEFLATE64 = 9
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def _too_many(title: str) -> DataError:
    return DataError(f"{title} holds more than {files.MAX_ENTRIES:,} files; split it into smaller archives")


def _too_large(title: str, size: float | None = None) -> DataError:
    most = f"{files.MAX_UNPACKED_BYTES // 2**30} GB"
    what = f"unpacks to {size / 2**30:.1f} GB and the limit is {most}" if size else f"unpacks to more than {most}"
    return DataError(f"{title} {what}; split it, or unpack it yourself and choose the folder")


def _leads_outside(name: str) -> bool:
    """Whether a path is absolute, of a drive, or climbs; a colon elsewhere is a name like others (10:22:13.png)."""
    return name.startswith("/") or ".." in name.split("/") or bool(_DRIVE.match(name)) or "\0" in name


def _count_entries(file: BinaryIO, title: str) -> int:
    """Entries in a zip's directory, counted without building them; raises DataError where it is no zip."""
    end = zipfile._EndRecData(file)
    if not end:
        raise DataError(f"{title} is not a zip archive; choose a .zip of PNG, JPEG or WebP pictures")
    size, position = end[zipfile._ECD_SIZE], end[zipfile._ECD_LOCATION]
    if size > 1024 * files.MAX_ENTRIES:
        return files.MAX_ENTRIES + 1
    file.seek(max(0, position - size))
    return file.read(size).count(b"PK\x01\x02")


class Zip:
    """A zip, by its path or its bytes: entries that point outside, links and encrypted ones are refused one by one."""

    def __init__(self, place: Path | bytes, title: str = ""):
        self.title, self.refused = title or shown([place.name])[0], []
        self._open: Callable[[], BinaryIO] = lambda: io.BytesIO(place) if isinstance(place, bytes) else place.open("rb")
        self._infos: dict[str, zipfile.ZipInfo] = {}
        try:
            file = self._open()
            if _count_entries(file, self.title) > files.MAX_ENTRIES:
                raise _too_many(self.title)
            self._zip = zipfile.ZipFile(file)
            self._list()
        except (DataError, OSError):
            raise
        except Exception as error:  # of a damaged directory zipfile, struct and the codecs each raise their own
            raise DataError(f"{self.title} is not a readable zip archive ({error}); pack it again") from None
        self.names = sorted(self._infos)

    def _list(self) -> None:
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        total = sum(info.file_size for info in infos)
        if total > files.MAX_UNPACKED_BYTES:
            raise _too_large(self.title, total)
        for info, name in zip(infos, _names(infos)):
            name = name.replace("\\", "/")
            if is_hidden(name.replace("../", "")):
                continue
            reason = self._unusable(info, name)
            if reason:
                self.refused.append(Refused(name, reason))
            elif name in self._infos:
                self.refused.append(Refused(name, "is in the archive twice"))
            else:
                self._infos[name] = info

    @staticmethod
    def _unusable(info: zipfile.ZipInfo, name: str) -> str | None:
        if _leads_outside(name):
            return "has a path outside the archive"
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            return "is a link or a special file"
        if info.flag_bits & 1:
            return "is encrypted"
        return None

    def size(self, name: str) -> int:
        """Bytes that the directory says the file has."""
        return self._infos[name].file_size

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """The file's first `most` + 1 bytes at most: a lying header cannot make this longer. Raises PictureError."""
        info = self._infos[name]
        try:
            if info.compress_type == _DEFLATE64:
                return self._inflate64(info, most + 1)
            with self._zip.open(info) as file:
                return file.read(most + 1)
        except Exception as error:  # zlib, lzma, bz2 and zipfile each raise their own
            raise unreadable(f"cannot be unpacked ({type(error).__name__})") from None

    def _inflate64(self, info: zipfile.ZipInfo, most: int) -> bytes:
        """Deflate64, which Windows uses for large archives and Python's zipfile does not know."""
        import inflate64

        unpacker, unpacked = inflate64.Inflater(), bytearray()
        with self._open() as file:
            file.seek(info.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            file.seek(name + extra, 1)
            left = info.compress_size
            while left > 0 and len(unpacked) < most:
                packed = file.read(min(left, 4096))  # small bites, since each may unpack to a thousand times its size
                if not packed:
                    raise EOFError
                left -= len(packed)
                unpacked += unpacker.inflate(packed)
        if left <= 0 and len(unpacked) < most and zlib.crc32(unpacked) != info.CRC:
            raise zipfile.BadZipFile
        return bytes(unpacked[:most])


def _names(infos: list[zipfile.ZipInfo]) -> list[str]:
    """Names of a zip's entries: by the flag or the field that says UTF-8, the others guessed together."""
    raw = [
        info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "surrogateescape") for info in infos
    ]
    known = [
        info.orig_filename if info.flag_bits & 0x800 else unicode_path(info.extra, name)
        for info, name in zip(infos, raw)
    ]
    guessed = iter(guess([name for name, told in zip(raw, known) if told is None]))
    return [told if told is not None else next(guessed) for told in known]


class Tar:
    """A tar, also packed by gzip, bzip2 or xz; a packed one is unpacked once, into a file without a name."""

    def __init__(self, path: Path):
        self.title, self.refused = shown([path.name])[0], []
        self._members: dict[str, tarfile.TarInfo] = {}
        self._lock = threading.Lock()  # one file, read by many threads
        try:
            self._file = self._unpacked(path)
            self._tar = tarfile.TarFile(fileobj=self._file)
            self._list()
        except (DataError, OSError) as error:
            if isinstance(error, (gzip.BadGzipFile, DataError)) or error.errno is None:
                raise self._broken(error) from None
            raise
        except Exception as error:
            raise self._broken(error) from None
        self.names = sorted(self._members)

    def _broken(self, error: Exception) -> DataError:
        if isinstance(error, DataError):
            return error
        return DataError(f"{self.title} is not a readable tar archive ({type(error).__name__}); pack it again")

    def _unpacked(self, path: Path) -> BinaryIO:
        file = path.open("rb")
        head = file.read(6)
        file.seek(0)
        opener = next(
            (
                o
                for start, o in ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ", lzma.open))
                if head.startswith(start)
            ),
            None,
        )
        if opener is None:
            return file
        target = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the archive
        total = 0
        with file, opener(file, "rb") as source:
            while part := source.read(2**20):
                total += len(part)
                if total > files.MAX_UNPACKED_BYTES:
                    raise _too_large(self.title)
                target.write(part)
        target.seek(0)
        return target

    def _list(self) -> None:
        found: list[tarfile.TarInfo] = []
        for member in self._tar:
            found.append(member)
            if len(found) > files.MAX_ENTRIES:
                raise _too_many(self.title)
        found = [member for member in found if not member.isdir()]
        for member, name in zip(found, shown([member.name.removeprefix("./") for member in found])):
            if is_hidden(name.replace("../", "")):
                continue
            if _leads_outside(name):
                self.refused.append(Refused(name, "has a path outside the archive"))
            elif not member.isreg() or member.issparse():
                self.refused.append(Refused(name, "is a link or a special file"))
            elif name in self._members:
                self.refused.append(Refused(name, "is in the archive twice"))
            else:
                self._members[name] = member

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """The file's first `most` + 1 bytes at most. Raises PictureError."""

        member = self._members[name]
        size = min(member.size, most + 1)
        try:
            with self._lock:
                self._file.seek(member.offset_data)
                data = self._file.read(size)
        except OSError as error:
            raise unreadable(f"cannot be unpacked ({error.strerror})") from None
        if len(data) < size:
            raise unreadable("is cut short")
        return data

    def size(self, name: str) -> int:
        """Bytes that the archive says the file has."""
        return self._members[name].size
