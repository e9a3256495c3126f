"""The user's own models and jobs on disk: rename, delete with undo, export and import as zip. No torch."""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import shutil
import stat
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from vae.bundles.bundle import open_bundle
from vae.bundles.contract import NAME, OPTIONAL_FILES, REQUIRED_FILES, BundleError
from vae.data.files import is_hidden
from vae.jobs.folders import disk_sentence, models_home, read_json, runs_home, write_json
from vae.jobs.job import Job, JobError
from vae.jobs.jobs import ID, free_name, list_jobs
from vae.paths import user_home

TRASH_DAYS = 7.0
MAX_ENTRIES = 200_000
MAX_UNPACKED_BYTES = 4 * 2**30
BUNDLE_FILES = ("config.json", *REQUIRED_FILES, *OPTIONAL_FILES)


def own_models() -> list[str]:
    """Names of the user's own models; those that ship are not among them and cannot be changed."""
    with contextlib.suppress(OSError):
        return sorted(e.name for e in os.scandir(models_home()) if NAME.fullmatch(e.name) and e.is_dir())
    return []


def _own(name: str) -> Path:
    if name not in own_models():
        raise JobError(f"{name[:60]!r} is not one of your own models; only those can be renamed or deleted")
    return models_home() / name


def rename(name: str, title: str) -> None:
    """Give a model another title. The name in links and commands, its folder's, stays. Raises JobError."""
    path, title = _own(name), " ".join(title.split())[:80]
    if not title:
        raise JobError("the new title is empty; write at least one letter")
    config = read_json(path / "config.json")
    if not config:
        raise JobError(f"{name}/config.json cannot be read; delete the model or import it again")
    try:
        write_json(path / "config.json", {**config, "title": title})
    except OSError as error:
        raise JobError(disk_sentence(error, path)) from None


# ---------------------------------------------------------------- delete, undo


@dataclass(frozen=True)
class Trashed:
    """Something deleted that can come back. kind: "model" or "job"."""

    folder: Path
    kind: str
    name: str
    title: str
    when: float


def _trash() -> Path:
    return user_home() / "trash"


def _discard(path: Path, kind: str, title: str) -> Trashed:
    """Move a folder into the trash, in one step."""
    when = time.time()
    folder = _trash() / f"{int(when)}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True)
        write_json(folder / "what.json", {"kind": kind, "name": path.name, "title": title, "when": when})
        os.rename(path, folder / "content")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise JobError(disk_sentence(error, path)) from None
    return Trashed(folder, kind, path.name, title, when)


def delete_model(name: str) -> Trashed:
    """Move one of the user's models into the trash. Raises JobError."""
    path = _own(name)
    return _discard(path, "model", str(read_json(path / "config.json").get("title") or name))


def delete_job(job: Job) -> Trashed:
    """End the job's process, if it has one, and move its folder, checkpoint and pictures into the trash."""
    if job.alive:
        job.end()
    return _discard(job.folder, "job", job.title)


def trashed() -> list[Trashed]:
    """What can be brought back, the newest first; what is older than a week is removed for good."""
    found = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(_trash()):
            folder = Path(entry.path)
            what = read_json(folder / "what.json")
            when = what.get("when", 0)
            if not isinstance(when, (int, float)) or time.time() - when > TRASH_DAYS * 86400:
                shutil.rmtree(folder, ignore_errors=True)
            elif what.get("kind") in ("model", "job") and (folder / "content").is_dir():
                found.append(Trashed(folder, what["kind"], str(what["name"]), str(what["title"]), when))
    return sorted(found, key=lambda t: -t.when)


def restore(item: Trashed) -> None:
    """Bring it back to where it was. Raises JobError when that name is in use again."""
    home = models_home() if item.kind == "model" else runs_home()
    pattern = NAME if item.kind == "model" else ID
    if not pattern.fullmatch(item.name):
        raise JobError(f"{item.name[:60]!r} is no name of a {item.kind}; it cannot be brought back")
    if (home / item.name).exists():
        raise JobError(f"there is a {item.kind} {item.name!r} again; rename or delete it first")
    try:
        home.mkdir(parents=True, exist_ok=True)
        os.rename(item.folder / "content", home / item.name)
    except OSError as error:
        raise JobError(disk_sentence(error, home)) from None
    shutil.rmtree(item.folder, ignore_errors=True)


def empty_trash() -> None:
    """Remove everything deleted for good."""
    shutil.rmtree(_trash(), ignore_errors=True)


# ---------------------------------------------------------------- zip


def export_zip(path: Path) -> bytes:
    """A bundle folder as a zip. ONNX and npz hardly compress further, so they are stored."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in BUNDLE_FILES:
            if (path / name).is_file():
                archive.write(path / name, f"{path.name}/{name}", zipfile.ZIP_STORED)
    return out.getvalue()


def _members(archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """(file name, entry) of a bundle's zip, every entry checked before anything is unpacked. Raises JobError."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > MAX_ENTRIES:
        raise JobError(f"the zip holds {len(infos):,} files, more than {MAX_ENTRIES:,}; this is no model")
    for info in infos:
        name = info.filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:/", name):
            raise JobError(f"the zip holds {info.filename[:80]!r}, a path outside of it; pack the model again")
    files = [(PurePosixPath(info.filename.replace("\\", "/")), info) for info in infos]
    files = [(path, info) for path, info in files if not is_hidden(str(path))]
    folders = {path.parent for path, _ in files if path.name == "config.json"}
    if not folders:
        raise JobError("the zip holds no config.json, so no model; pack the folder that has it")
    if len(folders) > 1:
        raise JobError("the zip holds several models; pack one at a time")
    # What file managers and hosts add (a README, a listing, thumbnails) is left where it is.
    chosen = [(path.name, info) for path, info in files if path.parent in folders and path.name in BUNDLE_FILES]
    if sum(info.file_size for _, info in chosen) > MAX_UNPACKED_BYTES:
        raise JobError(f"the zip unpacks to more than {MAX_UNPACKED_BYTES // 2**30} GB; this is no model")
    seen: set[str] = set()
    for name, info in chosen:
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise JobError(f"the zip holds {info.filename[:80]!r}, a link or special file; pack the model again")
        if name in seen:
            raise JobError(f"the zip holds {name} twice; pack one model at a time")
        seen.add(name)
        yield name, info


def import_zip(file: IO[bytes], title: str) -> str:
    """Unpack a bundle's zip among the user's models, checked whole before that; its name. Raises JobError."""
    building = models_home() / f".new-{secrets.token_hex(6)}"
    try:
        with zipfile.ZipFile(file) as archive:
            members = list(_members(archive))
            (building / "model").mkdir(parents=True)
            left = MAX_UNPACKED_BYTES
            for name, info in members:
                with archive.open(info) as source, open(building / "model" / name, "wb") as out:
                    while block := source.read(1 << 20):
                        left -= len(block)  # the header's size may lie
                        if left < 0:
                            raise JobError(
                                f"the zip unpacks to more than {MAX_UNPACKED_BYTES // 2**30} GB; this is no model"
                            )
                        out.write(block)
        bundle = open_bundle(building / "model")
        name = free_name(str(bundle.config.get("name") or title))
        write_json(building / "model" / "config.json", {**bundle.config, "name": name})
        os.rename(building / "model", models_home() / name)
        return name
    except BundleError as error:
        raise JobError(str(error).replace("model/", f"{title}: ", 1)) from None
    except JobError:
        raise
    except OSError as error:
        raise JobError(disk_sentence(error, models_home())) from None
    except Exception as error:  # zipfile and its decompressors raise nearly anything on a damaged file
        reason = f"{type(error).__name__}: {error}"[:120]
        raise JobError(f"{title} is not a readable zip ({reason}); export the model again") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)


def job_of(name: str) -> Job | None:
    """The job that made a model, while its folder is there."""
    return next((job for job in list_jobs() if job.name == name), None)
