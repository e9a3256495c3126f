"""A bundle's folder: sealed by hashes, put in its place whole, extended, renamed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.contract import MAX_FORMERLY, NAME, ExportError, sha256


def seal(folder: Path, config: dict[str, Any]) -> None:
    """Write config.json with the hashes of all other files."""
    names = sorted(p.name for p in folder.iterdir() if p.name != "config.json")
    files = {name: sha256(folder / name) for name in names}
    text = json.dumps({**config, "files": files}, indent=2, allow_nan=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def put(folder: Path, out: Path) -> None:
    """Give a finished folder on the same disk its name; a folder that had it makes way."""
    os.chmod(folder, 0o755)
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
        os.replace(out, old / out.name)
        os.replace(folder, out)
        shutil.rmtree(old)
    else:
        os.replace(folder, out)


def extend(
    bundle: Bundle,
    write: Callable[[Path], None],
    heading: str,
    describe: Callable[[dict[str, Any]], str],
    measure: Callable[[Bundle], dict[str, Any]] = lambda bundle: {},
) -> dict[str, Any]:
    """Add to a bundle's folder what `write` puts there, a section of the card, and figures -> the figures.

    measure: the figures, of the bundle with the addition. describe: the text of the section, from the figures.
    The decoder and the statistics stay, so links that were made before go on working.
    """
    folder = bundle.path
    config = {**bundle.config, "formerly": [*bundle.formerly, bundle.digest][-MAX_FORMERLY:]}
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        copy_of = Path(name) / folder.name
        shutil.copytree(folder, copy_of)
        write(copy_of)
        seal(copy_of, config)
        found = measure(open_bundle(copy_of))
        text = bundle.card or f"# {bundle.title}\n"
        before, _, after = text.partition(f"\n{heading}\n")
        rest = after[after.find("\n## ") :] if "\n## " in after else "\n"
        section = f"{heading}\n\n{describe(found).rstrip()}\n"
        (copy_of / "card.md").write_text(f"{before.rstrip()}\n\n{section}{rest}".rstrip() + "\n", "utf-8")
        seal(copy_of, {**config, "metrics": {**bundle.metrics, **found}})
        open_bundle(copy_of)
        put(copy_of, folder)
    return found


def rename(folder: str | os.PathLike[str], name: str, title: str = "", formerly: Sequence[str] = ()) -> Path:
    """Give a bundle another name, so that a newer model can take its own -> its new folder, beside the old one.

    Links to it go on working: they carry the digest of the bundle's files, which no name is part of, and the app looks
    for that. title: what people read; by default the present one with the day on which the model was made. formerly:
    digests of earlier states of this bundle that had the same decoder and statistics; their links are answered, too.
    Raises ExportError, BundleError.
    """
    check_name(name)
    bundle = open_bundle(folder)
    out = bundle.path.with_name(name)
    check_target(out, force=False)
    created = bundle.config["created"]
    if not title:
        title = bundle.title if not created or created in bundle.title else f"{bundle.title} ({created})"
    config = {**bundle.config, "name": name, "title": title}
    if former := [*dict.fromkeys([*bundle.formerly, *formerly])]:
        config["formerly"] = former
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=out.parent) as place:
        copy_of = Path(place) / name
        shutil.copytree(bundle.path, copy_of)
        seal(copy_of, config)
        open_bundle(copy_of)
        put(copy_of, out)
    shutil.rmtree(bundle.path)
    return out


def check_name(name: str) -> None:
    """Whether a bundle may have this name. Raises ExportError."""
    if not NAME.fullmatch(name):
        raise ExportError(
            f"the name {name!r} is no name of a bundle; use letters, digits, '-', '_' and '.', at most 64"
        )


def check_target(out: Path, force: bool) -> None:
    """Whether a bundle may be put there; with force, over one that is there. Raises ExportError."""
    check_name(out.name)
    if out.exists() and not force:
        raise ExportError(f"{out.name} exists already; choose another name, or add --force to replace it")
