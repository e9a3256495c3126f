"""The bundles in some folders, by name; a broken one is listed with its reason, and the others stay usable."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.contract import NAME, BundleError
from vae.paths import ASSETS, user_home


class Registry:
    """The bundles in some folders, each a folder of its own, known by the folder's name.

    Folders are looked at anew on every call, so that a new bundle appears without a restart. Where two bundles
    have one name, the one in the earlier folder is used, and the other is listed as broken.
    """

    def __init__(self, folders: Iterable[str | os.PathLike[str]]):
        self.folders = tuple(Path(folder) for folder in folders)
        self._lock = threading.Lock()
        self._open: dict[Path, tuple[tuple, Bundle]] = {}

    def _scan(self) -> tuple[dict[str, Path], list[Path]]:
        """Bundle folders by name, and those whose name is taken."""
        found: dict[str, Path] = {}
        doubles: list[Path] = []
        for folder in self.folders:
            try:
                paths = sorted(p for p in folder.iterdir() if NAME.fullmatch(p.name) and p.is_dir())
            except OSError:  # a folder that is not there holds no bundles
                continue
            for path in paths:
                if found.setdefault(path.name, path) != path:
                    doubles.append(path)
        return found, doubles

    def names(self) -> list[str]:
        """Names of all bundles, the broken ones too."""
        return list(self._scan()[0])

    def get(self, name: str) -> Bundle:
        """The open bundle of this name; opened again when its files have changed. Raises BundleError."""
        path = self._scan()[0].get(name)
        if path is None:
            offer = ", ".join(self.names()) or "none; put a bundle folder there"
            raise BundleError(f"There is no model {str(name)[:60]!r}; there is {offer}.")
        with self._lock:
            stamp = _stamp(path)
            if path not in self._open or self._open[path][0] != stamp:
                self._open[path] = stamp, open_bundle(path)
            return self._open[path][1]

    def by_digest(self, digest: str) -> Bundle | None:
        """The bundle that has this digest, or else one that had it formerly, whatever its name; None for none."""
        known = []
        for name in self.names():
            try:
                known.append(self.get(name))
            except BundleError:  # a broken model is no answer, and hides no other
                continue
        now = (bundle for bundle in known if bundle.digest == digest)
        return next(now, next((bundle for bundle in known if digest in bundle.formerly), None))

    def entries(self) -> list[dict[str, Any]]:
        """A summary of each bundle, or its name and the sentence that says what is broken."""
        found, doubles = self._scan()
        entries = []
        for name in found:
            try:
                entries.append(summary(self.get(name)))
            except BundleError as error:
                entries.append({"name": name, "broken": str(error)})
        for path in doubles:
            sentence = f"{path.parent.name}/{path.name} has the name of another model; rename its folder."
            entries.append({"name": path.name, "broken": sentence})
        return entries


def summary(bundle: Bundle) -> dict[str, Any]:
    """What a list of models shows of a bundle."""
    keys = (
        "name",
        "title",
        "description",
        "image_size",
        "channels",
        "latent_size",
        "levels",
        "style_size",
        "digest",
        "licence",
    )
    return {**{key: getattr(bundle, key) for key in keys}, "face": bundle.eyes is not None}


def _stamp(path: Path) -> tuple:
    """Changes when a file of the folder does."""
    try:
        files = sorted((e.name, e.stat().st_mtime_ns, e.stat().st_size) for e in os.scandir(path))
    except OSError:
        return ()
    return tuple(files)


def default_registry() -> Registry:
    """The bundles that ship, then the user's own."""
    return Registry([ASSETS / "models", user_home() / "models"])
