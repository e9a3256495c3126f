"""Pictures that a visitor drops, one by one or in a zip: read in memory, kept nowhere."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vae.bundles.bundle import Bundle
from vae.data.archives import Zip
from vae.data.files import DataError
from vae.data.kinds import HEAD, kind_of
from vae.data.pictures import read_image
from vae.photos.faces import FaceError, ImageError
from vae.web.core.http import MAX_IMAGE_BYTES, Refusal
from vae.web.live.encoding import fit

MAX_DROP = 64 * 2**20
MAX_UNPACKED = 256 * 2**20
MAX_DROPPED = 100


class Unseen(str):
    """The sentence about a photo in which no face was found, with the photo (h, w, 3): its eyes can be marked by hand."""

    image: np.ndarray

    @classmethod
    def of(cls, error: FaceError, image: np.ndarray) -> Unseen:
        """The sentence of an error."""
        self = cls(error)
        self.image = image
        return self


def crops(bundle: Bundle, data: bytes, name: str, want_face: bool = True) -> Iterator[tuple[str, np.ndarray | str]]:
    """The pictures of a file, or of a zip, as the model takes them, (s, s, c) uint8, or the sentence why not; with names."""
    for short, content in members(data, name):
        if isinstance(content, str):
            yield short, content
            continue
        try:
            if len(content) > MAX_IMAGE_BYTES:
                raise ImageError(f"the picture has more than {MAX_IMAGE_BYTES:,} bytes; use a smaller one")
            image = read_image(content)
        except ImageError as error:
            yield short, str(error)
            continue
        try:
            yield short, fit(bundle, image, want_face)[0]
        except FaceError as error:
            yield short, Unseen.of(error, image)


def members(data: bytes, name: str) -> list[tuple[str, bytes | str]]:
    """The pictures of a file, or of a zip, in memory: name and bytes, or name and the sentence why not."""
    if kind_of(data[:HEAD]).reader != "zip":
        return [(name, data)]
    try:
        archive = Zip(data, name[:60])
    except DataError as error:
        raise Refusal(f"{error}.") from None
    found: list[tuple[str, bytes | str]] = [(_short(r.file), f"it {r.reason}") for r in archive.refused]
    total = 0
    for file in archive.names[:MAX_DROPPED]:
        total += archive.size(file)
        if archive.size(file) > MAX_IMAGE_BYTES or total > MAX_UNPACKED:
            size = f"it unpacks to {archive.size(file):,} bytes, too many; use pictures up to 20 MB"
            found.append((_short(file), size))
            continue
        try:
            found.append((_short(file), archive.read(file, MAX_IMAGE_BYTES)))
        except ImageError as error:
            found.append((_short(file), str(error)))
    if len(archive.names) > MAX_DROPPED:
        found.append((name, f"of its {len(archive.names)} files the first {MAX_DROPPED} were read"))
    return found


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1][:80]
