"""Pictures handed in."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from tests.jobs.making import png, recipe
from vae.config import DataConfig
from vae.data.files import DataError
from vae.data.sets import open_data
from vae.jobs import drafts, jobs, library


def test_pictures_handed_in_live_in_the_job_and_go_with_it(home):
    draft = drafts.new_draft(
        [
            ("../../evil name.zip", io.BytesIO(b"PK")),
            ("/etc/a b.PNG", io.BytesIO(png(1))),
            ("c.png", io.BytesIO(png(2))),
        ]
    )
    inside = [path for path in draft.folder.rglob("*") if path.is_file()]
    assert len(inside) == 3 and all(path.suffix in (".zip", ".png") for path in inside)
    assert not any(".." in path.name or " " in path.name for path in inside)
    job = jobs.create(recipe().replace(data={"sources": draft.sources}), "Mine", "cpu", draft)
    assert not draft.folder.exists()
    assert all(Path(source).exists() and Path(source).is_relative_to(job.folder) for source in job.recipe.data.sources)
    library.delete_job(job)
    library.empty_trash()
    assert not [path for path in home.rglob("*") if path.is_file() and path.suffix in (".zip", ".png")]
    old = drafts.new_draft([("a.png", io.BytesIO(png(3)))])
    os.utime(old.folder, (1, 1))
    drafts.purge_drafts()
    assert not old.folder.exists()


def test_what_is_said_of_the_pictures_names_them_as_people_do(home):
    """Several cameras call their pictures the same; each is kept, and only those are told apart by a number."""
    draft = drafts.new_draft([(name, io.BytesIO(b"")) for name in ("Cat.png", "cat.PNG", "cat-2.png", "Cat.png")])
    names = sorted(path.name for path in draft.folder.rglob("*.png"))
    assert names == ["cat-2-2.png", "cat-2.png", "cat-3.png", "cat.png"]
    one = drafts.new_draft([("Cat.png", io.BytesIO(b""))])
    with pytest.raises(DataError, match=r"^the upload holds no usable.* the first \(cat.png\) is not"):
        open_data(DataConfig(tuple(one.sources)), 8, 3)


def test_archives_are_known_by_content(home):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        entry = tarfile.TarInfo("cats/a.png")
        entry.size = len(png(4))
        archive.addfile(entry, io.BytesIO(png(4)))
    held.seek(0)
    draft = drafts.new_draft([("set.gz", held), ("a.zip.png", io.BytesIO(png(5)))])
    archive, single = (Path(source) for source in draft.sources)
    assert archive.suffix == ".gz" and single.is_dir() and len(list(single.iterdir())) == 1
    found = open_data(DataConfig(tuple(draft.sources)), 8, 3)
    assert len(found) == 2
