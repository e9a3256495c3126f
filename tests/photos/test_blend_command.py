"""The command `blend`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data as pictures

from tests.pictures import photo_file
from vae.__main__ import main
from vae.photos.sources import photo_source, reconstruct


@pytest.fixture()
def files(tmp_path: Path, drawn) -> list[str]:
    (tmp_path / "a.jpg").write_bytes(photo_file(pictures.astronaut()))
    page = np.pad(drawn[1].crop, ((60, 60), (60, 60), (0, 0)), mode="edge")
    (tmp_path / "b.png").write_bytes(photo_file(page, "PNG"))
    return [str(tmp_path / "a.jpg"), str(tmp_path / "b.png")]


def test_command_writes_picture_film_and_grid(files, tmp_path: Path, bundle, capsys) -> None:
    out, film, table = (str(tmp_path / name) for name in ("c.png", "m.mp4", "g.png"))
    command = [
        "blend",
        *files,
        "--mix",
        "0",
        "--out",
        out,
        "--film",
        film,
        "--seconds",
        "0.5",
        "--fps",
        "10",
        "--grid",
        table,
    ]
    assert main(command) == 0
    expected = reconstruct(bundle, [photo_source(bundle, Path(files[0]).read_bytes())])[0]
    assert np.array_equal(np.asarray(Image.open(out)), expected)
    assert b"ftyp" in Path(film).read_bytes()[:12]
    assert Image.open(table).size == (256, 256)
    assert "c.png" in capsys.readouterr().out


def test_command_pastes_into_the_photo(files, tmp_path: Path) -> None:
    out = str(tmp_path / "c.png")
    assert main(["blend", *files, "--detail", "0.5", "--paste", "A", "--out", out]) == 0
    assert Image.open(out).size == (512, 512)


@pytest.mark.parametrize("more, word", [
    (["--out", "c.png", "--paste", "D"], "no photo D"), ([], "Nothing to write"), (["--film", "m.avi"], "ending"),
    (["--out", "c.png", "--weights", "1", "2", "3"], "shape"), (["--out", "c.png", "--model", "nothing"], "nothing"),
])  # fmt: skip
def test_command_refuses_in_a_sentence(files, tmp_path: Path, more: list[str], word: str, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["blend", *files, *more]) == 2
    message = capsys.readouterr().err.strip()
    assert word in message and message.count("\n") == 0 and message.endswith(".")


def test_command_names_the_photo_without_a_face(files, tmp_path: Path, capsys) -> None:
    (tmp_path / "cat.png").write_bytes(photo_file(pictures.cat(), "PNG"))
    assert main(["blend", files[0], str(tmp_path / "cat.png"), "--out", str(tmp_path / "c.png")]) == 2
    assert "In cat.png: No face" in capsys.readouterr().err
    assert main(["blend", files[0], str(tmp_path / "gone.png"), "--out", str(tmp_path / "c.png")]) == 2
