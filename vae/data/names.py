"""File names whose encoding nobody wrote down: those of zips (APPNOTE 4.4.4 and appendix D) and of disks.

UTF-8 is nearly certain where it fits. Else the encodings of Japanese, Chinese and Western systems are tried on all
names together, and the one whose words look most like words is taken.
"""

from __future__ import annotations

import re
import struct
import unicodedata
import zlib
from collections.abc import Sequence

ZIP_ENCODINGS = ("cp437", "cp850", "cp932", "gbk", "cp1252")
DISK_ENCODINGS = ("cp1252", "cp932", "gbk")
_COMMON = set("äöüßéèêëàâçñáíóúÄÖÜÉîïôûùæøåœìò")
_WORD = re.compile(r"[^\W\d_]+")


def _likely(text: str, encoding: str) -> float:
    """How much the characters beyond ASCII look like writing, 0..1 a character."""
    total, count = 0.0, 0
    for place, character in enumerate(text):
        if ord(character) < 128:
            continue
        count += 1
        around = text[max(0, place - 1) : place] + text[place + 1 : place + 2]
        if encoding in ("cp932", "gbk"):
            # Beside small Latin letters an ideogram is mostly two bytes of a Western word.
            total += _eastern(character, encoding) * (0.3 if re.search("[a-z]", around) else 1.0)
        else:
            total += _western(character, text, place)
    return total / max(count, 1)


def _eastern(character: str, encoding: str) -> float:
    if "\u3040" <= character <= "\u30ff" and character != "\u30fb":  # kana
        return 1.0 if encoding == "cp932" else 0.5
    if "\uff61" <= character <= "\uff9f":  # half-width kana: single bytes, as of any other encoding
        return 0.1
    if "\u4e00" <= character <= "\u9fff":
        try:
            lead = character.encode("cp932" if encoding == "cp932" else "gb2312")[0]
        except UnicodeEncodeError:
            return 0.15
        first_level = lead < 0x98 if encoding == "cp932" else lead < 0xD8  # the characters in daily use
        return 0.9 if first_level else 0.3
    return 0.4 if "\u3000" <= character <= "\u303f" or "\uff01" <= character <= "\uff5e" else 0.0


def _western(character: str, text: str, place: int) -> float:
    if not unicodedata.category(character).startswith("L") or ord(character) > 0x17F:
        return 0.0
    word = next((m.group() for m in _WORD.finditer(text) if m.start() <= place < m.end()), character)
    plain = sum(ord(c) < 128 for c in word)
    cased = word in (word.lower(), word.upper(), word.capitalize())
    usual = 1.0 if character in _COMMON else 0.6
    return usual * (1.0 if plain >= len(word) / 2 else 0.4) * (1.0 if cased else 0.2)


def guess(names: Sequence[bytes], encodings: Sequence[str] = ZIP_ENCODINGS) -> list[str]:
    """Names of one place, as text: all in one encoding where that is possible. Never raises."""
    try:
        return [name.decode() for name in names]
    except UnicodeDecodeError:
        pass
    odd = [name for name in names if not name.isascii()]
    best, most = "latin-1", -1.0
    for encoding in encodings:
        try:
            score = _likely("\n".join({name.decode(encoding) for name in odd[:2000]}), encoding)
        except UnicodeDecodeError:
            continue
        if score > most + 1e-9:
            best, most = encoding, score
    decoded = []
    for name in names:
        try:
            decoded.append(name.decode(best))
        except UnicodeDecodeError:
            decoded.append(name.decode("utf-8", "replace"))
    return decoded


def unicode_path(extra: bytes, raw: bytes) -> str | None:
    """The name in a zip entry's Info-ZIP Unicode Path field (0x7075), if it belongs to the raw name."""
    while len(extra) >= 4:
        tag, size = struct.unpack("<HH", extra[:4])
        body, extra = extra[4 : 4 + size], extra[4 + size :]
        if tag == 0x7075 and len(body) > 5 and body[0] == 1:
            try:
                return body[5:].decode() if struct.unpack("<I", body[1:5])[0] == zlib.crc32(raw) else None
            except UnicodeDecodeError:
                return None
    return None


def shown(names: Sequence[str]) -> list[str]:
    """Names as the file system gave them -> text that can be shown and saved, where they are not valid UTF-8."""
    if all(_valid(name) for name in names):
        return list(names)
    return guess([name.encode("utf-8", "surrogateescape") for name in names], DISK_ENCODINGS)


def _valid(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)
