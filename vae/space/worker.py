"""The process behind vae.space.computing: one computation for one model, its progress as lines of JSON on stdout."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vae.bundles.bundle import open_bundle
from vae.bundles.contract import BundleError
from vae.space.kept import write_cache
from vae.space.layouts import tsne_layout, umap_layout
from vae.space.round_trip import round_trip

Array = np.ndarray


def tell(progress: float, stage: str) -> None:
    """Say how far it is, past whatever a library has put in the place of stdout."""
    print(json.dumps({"progress": round(progress, 4), "stage": stage}), file=sys.__stdout__, flush=True)


def main(arguments: Sequence[str]) -> int:
    """`python -m vae.space.worker NAME BUNDLE TARGET`: compute, tell the progress on stdout, write the cache file."""
    name, source, target = arguments
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)  # the page that waits comes first
    try:
        bundle = open_bundle(source)
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    kind, _, setting = name.partition("-")
    makers: dict[str, Callable[[], Array]] = {
        "umap": lambda: umap_layout(bundle.codes.mu, int(setting), tell),
        "tsne": lambda: tsne_layout(bundle.codes.mu, int(setting), tell),
        "error": lambda: round_trip(bundle, tell),
    }
    values = makers[kind]()
    if not np.isfinite(values).all():
        print("a place is not a finite number", file=sys.stderr)
        return 1
    write_cache(Path(target), values)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
