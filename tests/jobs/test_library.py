"""The user's own models: zip, rename, delete, undo."""

from __future__ import annotations

import contextlib
import io
import random
import stat
import zipfile
from pathlib import Path

import pytest

from tests.jobs.making import in_process, recipe
from vae.bundles.bundle import open_bundle
from vae.jobs import jobs, library
from vae.jobs.job import JobError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that a job made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAE_HOME", str(tmp_path_factory.mktemp("made")))
        job = jobs.create(recipe(20), "My first model")
        assert in_process(job, patch) == 0, job.status
        return job.bundle


def test_export_import_rename_delete_undo(home, made):
    data = library.export_zip(made)
    names = [library.import_zip(io.BytesIO(data), "model.zip") for _ in range(2)]
    assert names == ["my-first-model", "my-first-model-2"]
    assert open_bundle(library.models_home() / names[1]).digest == open_bundle(made).digest
    library.rename(names[0], "  Better   name ")
    assert open_bundle(library.models_home() / names[0]).title == "Better name"
    item = library.delete_model(names[0])
    assert library.own_models() == [names[1]] and library.trashed()[0].title == "Better name"
    library.restore(item)
    assert library.own_models() == names and not library.trashed()
    for call in (
        lambda: library.rename(names[0], " "),
        lambda: library.rename("faces-128", "Mine"),
        lambda: library.delete_model("../runs"),
    ):
        with pytest.raises(JobError):
            call()


def _tampered(made: Path, kind: str) -> bytes:
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(library.export_zip(made))) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for info in source.infolist():
            data = source.read(info)
            if kind == "damaged" and info.filename.endswith("decoder.onnx"):
                data = data[:-7] + b"changed"
            archive.writestr(info.filename, data)
        if kind == "outside":
            archive.writestr("../../../evil.json", "{}")
        if kind == "link":
            link = zipfile.ZipInfo("my-first-model/card.md")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/passwd")
        if kind == "two":
            archive.writestr("other/config.json", "{}")
    return out.getvalue()


@pytest.mark.parametrize(
    "kind, sentence",
    [
        ("outside", "a path outside of it"),
        ("link", "a link or special file"),
        ("two", "several models"),
        ("damaged", "SHA-256 differs"),
        ("text", "not a readable zip"),
        ("bomb", "more than"),
    ],
)
def test_bad_zips_are_refused_whole(home, made, monkeypatch, kind, sentence):
    if kind == "bomb":
        monkeypatch.setattr(library, "MAX_UNPACKED_BYTES", 1000)
    data = b"not a zip at all" if kind == "text" else _tampered(made, kind)
    with pytest.raises(JobError, match=sentence):
        library.import_zip(io.BytesIO(data), "model.zip")
    assert library.own_models() == []
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_zips_as_file_managers_and_hosts_pack_them(home, made):
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(library.export_zip(made))) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for info in source.infolist():
            archive.writestr(f"downloads-main/models/{info.filename}", source.read(info))
            archive.writestr(f"__MACOSX/downloads-main/models/._{info.filename.rpartition('/')[2]}", b"\0")
        for name in (
            ".DS_Store",
            "downloads-main/Thumbs.db",
            "downloads-main/README.md",
            "downloads-main/models/run_me.py",
        ):
            archive.writestr(name, b"beside the model")
    name = library.import_zip(io.BytesIO(out.getvalue()), "model.zip")
    path = home / "models" / name
    assert {file.name for file in path.iterdir()} == {file.name for file in made.iterdir()}


def test_damaged_zips_end_in_a_sentence(home, made):
    whole, rng = library.export_zip(made), random.Random(0)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            data[rng.choice((rng.randrange(len(data)), len(data) - 1 - rng.randrange(900)))] = rng.randrange(256)
        with contextlib.suppress(JobError):
            library.import_zip(
                io.BytesIO(bytes(data[: rng.choice((len(data), len(data) - rng.randrange(300)))])), "m.zip"
            )
