"""Pictures handed in for a job that is not launched yet."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vae.data.kinds import HEAD, is_archive, kind_of
from vae.jobs.folders import disk_sentence, runs_home, slug, untaken
from vae.jobs.job import JobError

DRAFT_HOURS = 24.0
LOOSE = "the upload"  # folder of single pictures, which sentences name; no archive's name holds a space


@dataclass(frozen=True)
class Draft:
    """Pictures handed in for a job that is not launched yet."""

    folder: Path

    @property
    def sources(self) -> list[str]:
        """What DataConfig.sources names: each archive, and the folder of single pictures."""
        pictures = self.folder / "pictures"
        archives = [str(path) for path in sorted(pictures.iterdir()) if path.is_file()]
        return archives + ([str(pictures / LOOSE)] if (pictures / LOOSE).is_dir() else [])

    def remove(self) -> None:
        """Remove the pictures from the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)


def new_draft(files: Sequence[tuple[str, IO[bytes]]]) -> Draft:
    """Store files handed in, archives and single pictures, by content, until the job is launched. Raises JobError."""
    purge_drafts()
    folder = runs_home() / ".drafts" / secrets.token_hex(12)
    draft = Draft(folder)
    try:
        (folder / "pictures").mkdir(parents=True)
        taken: set[str] = set()
        for name, file in files:
            kept = _kept_as(name, taken)
            taken.add(kept)
            head = file.read(HEAD)
            held = kept.endswith(".zip") or is_archive(kind_of(head))
            target = folder / "pictures" / kept if held else folder / "pictures" / LOOSE / kept
            target.parent.mkdir(exist_ok=True)
            with open(target, "wb") as out:
                out.write(head)
                shutil.copyfileobj(file, out, 1 << 20)
    except OSError as error:
        draft.remove()
        raise JobError(disk_sentence(error, runs_home())) from None
    return draft


def _kept_as(name: str, taken: Collection[str]) -> str:
    """The name to keep a stranger's file under, which is none of those taken.

    Only the ending and harmless letters are kept, so it can lead nowhere; else it stays, for sentences name the file.
    """
    stem, ending = slug(Path(name).stem), Path(name).suffix.lower()
    ending = ending if re.fullmatch(r"[.][a-z0-9]{1,5}", ending) else ""
    return untaken(stem, taken.__contains__, ending)


def purge_drafts(hours: float = DRAFT_HOURS) -> None:
    """Remove pictures that were handed in and never used."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(runs_home() / ".drafts"):
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime > hours * 3600:
                    shutil.rmtree(entry.path, ignore_errors=True)
