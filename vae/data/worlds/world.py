"""What a world is: a generator of pictures with exact factors, the package that it needs, and its zip."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from vae.data.files import DataError
from vae.data.listing import TABLE

INSTALL = "pip install -r requirements-worlds.txt"
_STAMP = (2000, 1, 1, 0, 0, 0)  # of every file, so that the same seed gives the same bytes


@dataclass(frozen=True)
class Sample:
    """A picture, uint8 (s, s) or (s, s, 3), its name without suffix, and its factors by their names."""

    name: str
    picture: np.ndarray
    factors: Mapping[str, float]


@dataclass(frozen=True)
class World:
    """A generator of pictures.

    draw(count, seed): that many samples, or all where there are fewer; the same ones for the same numbers.
    packages: modules that must be there; install: the command that fetches them. count: usual number of pictures.
    factors: what each column of the table means, in words for people, the unit in brackets; labels likewise.
    player: how a model of it is shown (vae.bundles.contract.PLAYERS). order: factors that only say what follows what.
    seen: factors that pictures show in part only, and each part in its own way: for each such part a few words that go
    with the factor's, and between which values other factors and labels lie there.
    limits: what a model of it cannot do, sentences for its card.
    settle: how often a model of it decodes and encodes a draw again, so that no part is half there (vae.space.settling).
    """

    name: str
    title: str
    draw: Callable[[int, int], Iterator[Sample]]
    packages: tuple[str, ...]
    count: int
    factors: Mapping[str, str]
    labels: Mapping[str, str]
    licence: str
    install: str = INSTALL
    player: str = "picture"
    order: tuple[str, ...] = ()
    seen: Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    settle: int = 0

    def meaning(self, factor: str) -> tuple[str, str]:
        """What a factor is called by people, and its unit; a name as it is where it is none of this world."""
        words, _, unit = self.factors.get(factor, factor.replace("_", " ")).partition(" (")
        return words[:1].upper() + words[1:], unit.rstrip(")")

    def label(self, name: str) -> str:
        """What a label is called by people."""
        words = self.labels.get(name, name.replace("_", " "))
        return words[:1].upper() + words[1:]

    def check(self) -> None:
        """Raises DataError with the command that helps where a package is missing."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                raise DataError(
                    f"the world {self.name} needs the package {package}, which is not installed; run: {self.install}"
                )


def folder_of(package: str) -> Path:
    """The folder of an installed package, which is not imported for it. Raises DataError."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"the package {package} is not installed; run: {INSTALL}")
    return Path(next(iter(spec.submodule_search_locations)))


def rng_of(seed: int, *numbers: int) -> np.random.Generator:
    """Random numbers of one picture: they depend on its seed and its place alone."""
    return np.random.default_rng((seed, *numbers))


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A uniform number as Python's own float."""
    return float(rng.uniform(low, high))


def _packed(picture: np.ndarray) -> bytes:
    """A picture as lossless WebP: half a PNG's size on these."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "WEBP", lossless=True, quality=75, method=3)
    return out.getvalue()


def write_zip(
    world: World, out: str | os.PathLike[str], count: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> int:
    """Draw a world into a zip with its table -> how many pictures. The file appears when it is whole.

    Raises DataError where a package is missing, where the file exists, or where the numbers are none.
    """
    out = Path(out)
    if count < 1:
        raise DataError(f"the count is {count}; use 1 or more")
    if seed < 0:
        raise DataError(f"the seed is {seed}; use 0 or more")
    if out.exists():
        raise DataError(f"{out} exists; choose another name, or remove it")
    world.check()
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    columns = [*world.labels, *world.factors]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", *columns])
    done = 0
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for sample in world.draw(count, seed):
                name = f"{sample.name}.webp"
                archive.writestr(zipfile.ZipInfo(name, _STAMP), _packed(sample.picture))
                table.writerow([name, *(_number(sample.factors[column]) for column in columns)])
                done += 1
                if progress:
                    progress(done, count)
            info = zipfile.ZipInfo(TABLE, _STAMP)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, text.getvalue())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return done


def _number(value: float) -> str:
    return f"{value:.6g}"
