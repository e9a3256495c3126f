"""Files and requests as nobody would make them: whatever comes, it is read, or refused in a sentence of our own.

    python -m tests.fuzz [--seed N] [--times N]     far more of them than the suite tries; `make fuzz`

Each part takes how many and a seed, and gives how many were taken all the same. It raises what nobody may raise.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import resource
import shutil
import tempfile
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.conftest import make_tiny_bundle
from tests.data import test_archives, test_pictures
from tests.data.draw import mutated, picture
from vae.bundles.bundle import open_bundle
from vae.bundles.contract import BundleError
from vae.bundles.registry import Registry
from vae.data.files import DataError
from vae.data.tables import read_table

MOST_MEMORY = 3 * 2**30  # bytes that this process may have held at the end
TABLES = (
    b"file,Smiling,Hat,age\na.png,1,0,31\nb.png,0,1,44.5\nc.png,1,1,20\n",
    b"image_id;Lachen\nx/a.png;yes\nx/b.png;no\n",
    b"2\nSmiling Hat\na.jpg  1 -1\nb.jpg -1  1\n",
    "filename\tB\u00e4rtig\na\tTrue\nb\tFalse\n".encode("utf-16"),
)
SENT = ("1", "0", "-1", "nan", "inf", "1e9", "abc", "", "\u732b", "faces", "png", "gif", "\0", "9" * 400, "../../etc")


def sentence(error: Exception) -> None:
    """A refusal is one line of words."""
    text = str(error)
    assert len(text) > 10 and "\n" not in text and "Traceback" not in text, repr(text)


def tables(folder: Path, count: int, seed: int) -> int:
    """Mutated tables of attributes."""
    rng, read = np.random.default_rng(seed), 0
    for i in range(count):
        (folder / "table.csv").write_bytes(mutated(TABLES[i % len(TABLES)], rng))
        try:
            read += read_table(folder / "table.csv") is not None
        except DataError as error:
            sentence(error)
    return read


def bundles(folder: Path, count: int, seed: int, whole: Path) -> int:
    """Bundles of which a file was mutated, its hash made right again half of the time, and their zips imported."""
    from tests.bundles.test_contract import seal
    from vae.jobs.job import JobError
    from vae.jobs.library import import_zip

    rng, opened = np.random.default_rng(seed), 0
    names = sorted(path.name for path in whole.iterdir())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.write(whole / name, f"model/{name}")
    code = np.zeros((1, open_bundle(whole).latent_size), np.float32)
    for i in range(count):
        copy = Path(shutil.copytree(whole, folder / "copy"))
        name = names[i % len(names)]
        (copy / name).write_bytes(mutated((whole / name).read_bytes(), rng))
        if i % 2 and name != "config.json":
            seal(copy)
        try:
            bundle = open_bundle(copy)
            assert isinstance(bundle.card, str)
            bundle.decode(code)
            opened += 1
        except BundleError as error:
            sentence(error)
        shutil.rmtree(copy)
        try:
            if i % 4 == 0:
                import_zip(io.BytesIO(mutated(packed.getvalue(), rng)), "model.zip")
        except JobError as error:
            sentence(error)
    return opened


def requests(count: int, seed: int, model: str) -> int:
    """Requests to every route with words, numbers and bodies that make no sense."""
    from starlette.routing import Route

    from tests.web.asgi import ask
    from vae.web.routes import routes

    rng, answered = np.random.default_rng(seed), 0
    table = [(route.path, sorted(route.methods or ())) for route in routes() if isinstance(route, Route)]
    keys = ("view", "format", "name", "levels", "tile", "temperature", "size", "seed", "seconds", "scale", "basis",
            "layout", "index", "frames", "fps", "count", "by", "align", "digest", "offsets", "quick", "label", "space")  # fmt: skip
    pick = lambda values: values[int(rng.integers(len(values)))]  # noqa: E731
    good = [
        np.zeros(8, "<f4").tobytes(),
        np.full(16, 1e30, "<f4").tobytes(),
        b"{}",
        json.dumps({"z": [0.0] * 8, "ids": [1, 2], "rows": [[1]], "name": "x", "points": [[0, 0], [1, 1]]}).encode(),
        picture(size=(32, 32)),
        b"[" * 5000,
    ]
    for _ in range(count):
        path, methods = pick(table)
        for part in ("{rest:path}", "{id}", "{name}", "{digest}", "{part}", "{job}"):
            path = path.replace(part, pick((model, *SENT[:9])) or "x")
        query = {"model": model if rng.random() < 0.85 else pick(SENT)}
        query |= {pick(keys): pick(SENT) for _ in range(int(rng.integers(4)))}
        body = pick(good)
        body = mutated(body, rng) if rng.random() < 0.5 else body
        method = pick(methods)
        found = ask(method, path, params=query, **({} if method in ("GET", "HEAD") else {"data": body}))
        assert found.status < 500, (found.status, method, path, query, body[:80], found.content[:300])
        answered += found.status < 400
        if found.status >= 400 and method != "HEAD" and "json" in found.headers.get("content-type", ""):
            sentence(ValueError(found.json()["error"]))
    return answered


def main() -> None:
    """Everything, far more often than in the suite."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run (default: the time)")
    parser.add_argument("--times", type=float, default=1.0, help="so many times as much (default: 1)")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)

    def run(what: str, count: int, function: Any) -> None:
        count, began = round(count * args.times), time.monotonic()
        taken = function(count)
        print(f"{count:,} {what}: {taken:,} taken, {time.monotonic() - began:.0f} s", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("archives", "tables", "bundles", "models", "home"):
            (folder / part).mkdir()
        whole = make_tiny_bundle(folder / "models")
        with mock.patch.dict(os.environ, VAE_HOME=str(folder / "home")):
            run("pictures", 10_000, lambda n: test_pictures.fuzz(n, args.seed))
            run("archives", 2_000, lambda n: test_archives.fuzz(folder / "archives", n, args.seed))
            run("tables", 2_000, lambda n: tables(folder / "tables", n, args.seed))
            run("bundles", 2_000, lambda n: bundles(folder / "bundles", n, args.seed, whole))
            from vae.web.core import services

            with mock.patch.object(services, "registry", Registry([folder / "models"])):
                run("requests", 5_000, lambda n: requests(n, args.seed, whole.name))
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"at most {held / 2**20:,.0f} MB held")
    assert held < MOST_MEMORY


if __name__ == "__main__":
    main()
