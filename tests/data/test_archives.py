"""Archives, arrays and folders as people have them: names, packings, what else lies in them, and broken ones."""

from __future__ import annotations

import io
import os
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.draw import (
    Packed,
    bomb,
    dicom,
    make_folder,
    mutated,
    nifti,
    npy,
    picture,
    raw_zip,
    saved,
    settings,
    unicode_field,
    write_zip,
)
from vae.data import files
from vae.data.files import DataError
from vae.data.names import guess
from vae.data.sets import count_pictures, open_data

# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp932", ["犬/0.png", "猫/0.png", "表/0.png"]),
        ("cp932", ["データ/学習/いぬ.png", "データ/学習/ねこ.png"]),
        ("cp932", ["写真/山.jpg", "写真/ソース.jpg"]),
        ("gbk", ["猫/0.png", "狗/0.png"]),
        ("gbk", ["图片/训练/小狗.jpg", "图片/训练/花.jpg"]),
        ("cp437", ["Bäume/0.png", "Häuser/0.png"]),
        ("cp437", ["Öl/1.png", "naïve/1.png", "señor/2.png"]),
        ("cp850", ["Árbol/1.png", "maçã/2.png"]),
        ("cp850", ["fjørd/1.png", "Ål/2.png"]),
        ("cp1252", ["Bäume/0.png", "été/1.png"]),
        ("utf-8", ["猫/0.png", "Bäume/0.png", "собака/0.png"]),
    ],
)
def test_names_without_a_flag_are_guessed(encoding: str, names: list[str]) -> None:
    assert guess([name.encode(encoding) for name in names]) == names


def test_names_of_a_japanese_zip_become_labels(tmp_path: Path) -> None:
    """One of the three holds a backslash as its second byte, which is no folder."""
    entries = [
        Packed(f"{word}/{i}.png".encode("cp932"), picture(10 * k + i))
        for k, word in enumerate(("犬", "猫", "表"))
        for i in range(3)
    ]
    (tmp_path / "a.zip").write_bytes(raw_zip(entries))
    found = open_data(settings(tmp_path / "a.zip"), 8, 3)
    assert found.label_names == ("犬", "猫", "表") and len(found) == 9
    assert "犬" in found.files[0]


def test_the_flag_and_the_unicode_path_field_say_the_name(tmp_path: Path) -> None:
    raw = "Bäume/1.png".encode("cp850")
    wrong = unicode_field(b"another name", "wrong/2.png")
    entries = [
        Packed("猫/0.png".encode(), picture(0), flags=0x800),
        Packed(raw, picture(1), extra=unicode_field(raw, "Bäume & Büsche/1.png")),
        Packed(b"plain/2.png", picture(2), extra=wrong),
    ]
    (tmp_path / "a.zip").write_bytes(raw_zip(entries))
    assert set(open_data(settings(tmp_path / "a.zip"), 8, 3).files) == {
        "猫/0.png",
        "Bäume & Büsche/1.png",
        "plain/2.png",
    }


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names on this system are text")
def test_names_on_disk_that_are_no_utf8(tmp_path: Path) -> None:
    for k, name in enumerate((b"B\xe4ume", b"H\xe4user")):
        folder = os.path.join(os.fsencode(tmp_path), b"p\xe9le", name)
        os.makedirs(folder)
        for i in range(3):
            with open(os.path.join(folder, b"%d.png" % i), "wb") as file:
                file.write(picture(10 * k + i))
    found = open_data(settings(tmp_path), 8, 3)
    assert found.label_names == ("Bäume", "Häuser") and len(found) == 6
    found.summary().encode(), "".join(found.files).encode(), np.array(found.label_names).tobytes()
    deeper = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"p\xe9le"))
    found = open_data(settings(deeper), 8, 3)
    assert found.name == "péle" and len(found) == 6


def test_colons_are_names_and_drives_are_not(tmp_path: Path) -> None:
    good = ["2024-01-05T10:22:13.png", "a:b/10:00.png", "x/c:d.png"]
    bad = ["C:\\x.png", "d:/y.png", "/e.png", "../f.png", "a/../../g.png", "..\\h.png"]
    path = write_zip(tmp_path / "a.zip", {name: picture(i) for i, name in enumerate(good + bad)})
    found = open_data(settings(path), 8, 3)
    assert sorted(found.files) == sorted(good)
    assert len(found.refused) == 6 and {r.reason for r in found.refused} == {"has a path outside the archive"}


# ---------------------------------------------------------------- packings


@pytest.mark.parametrize("method", [0, 8, 9])
def test_deflate64_and_others(method: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    entries = [Packed(b"%d.png" % i, saved(noise + i), method=method) for i in range(3)]
    (tmp_path / "a.zip").write_bytes(raw_zip(entries))
    found = open_data(settings(tmp_path / "a.zip"), 200, 3)
    assert len(found) == 3 and (found.images([0])[0] == noise).all()


def test_broken_deflate64_is_refused_by_file(tmp_path: Path) -> None:
    data = bytearray(raw_zip([Packed(b"0.png", saved(np.zeros((300, 300), np.uint8)), method=9)]))
    data[45:60] = bytes(range(200, 215))
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match="1 file was refused"):
        open_data(settings(tmp_path / "a.zip"), 8, 3)


def write_tar(path: Path, mode: str, entries: dict[str, bytes]) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"), ("a.tar.xz", "w:xz")]
)
def test_tars(name: str, mode: str, tmp_path: Path) -> None:
    entries = {f"./set/{c}/{i}.png": picture(10 * k + i) for k, c in enumerate(("cat", "dog")) for i in range(3)}
    path = write_tar(tmp_path / name, mode, {**entries, "../out.png": picture(50), "._x": b"x", "notes.txt": b"hello"})
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    for memory in (4096, 0):
        found = open_data(settings(path, memory_mb=memory), 12, 3)
        assert found.label_names == ("cat", "dog") and len(found) == 6
        assert found.images(range(6)).shape == (6, 12, 12, 3)
        assert [(r.file, r.reason) for r in found.refused] == [("../out.png", "has a path outside the archive")]
        assert [r.file for r in found.others] == ["notes.txt"]
    with pytest.raises(DataError, match="link or a special file"):
        open_data(settings(tmp_path / "link.tar"), 8, 3)


def test_a_tar_that_unpacks_too_large_is_refused_while_unpacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_tar(tmp_path / "a.tar.gz", "w:gz", {"a.png": bytes(2**23)})
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 2**22)
    with pytest.raises(DataError, match="a.tar.gz unpacks to more than"):
        open_data(settings(path), 8, 3)


def test_a_zip_in_a_zip_one_level_deep(tmp_path: Path) -> None:
    def zipped(entries: dict[str, bytes]) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
        return out.getvalue()

    inner = {
        part: zipped({f"{c}/{i}.png": picture(k + 10 * j + i) for j, c in enumerate(("cat", "dog")) for i in range(3)})
        for k, part in ((0, "train"), (100, "test"))
    }
    deepest = zipped({"more.zip": zipped({"x.png": picture(7)})})
    entries = {"train.zip": inner["train"], "test.zip": inner["test"], "broken.zip": inner["train"][:300]}
    for path in (
        write_zip(tmp_path / "a.zip", {**entries, "deep.zip": deepest}),
        make_folder(tmp_path / "a", {**entries, "deep.zip": deepest}),
    ):
        found = open_data(settings(path), 8, 3)
        assert len(found) == 12 and found.label_names == ("cat", "dog"), found.summary()
        assert "train.zip/cat/0.png" in found.files
        assert [r.file for r in found.refused] == ["broken.zip"]
        assert [r.file for r in found.others] == ["deep.zip/more.zip"]
    train = open_data(settings(tmp_path / "a.zip", under="train.zip"), 8, 3)
    assert len(train) == 6


# ---------------------------------------------------------------- arrays and scans


def test_npz_with_labels(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8)
    np.savez(
        tmp_path / "set.npz",
        train_images=images[:9],
        train_labels=np.arange(9).reshape(9, 1) % 3,
        test_images=images[9:],
        test_labels=np.arange(3),
    )
    found = open_data(settings(tmp_path / "set.npz"), 28, 1)
    assert len(found) == 12 and found.label_names == ("0", "1", "2")
    first = found.files.index("train_images.npy#4")
    assert (found.images([first])[0, ..., 0] == images[4]).all() and found.classes[first] == 1
    np.savez(tmp_path / "mnist.npz", x_train=images, y_train=np.arange(12) % 2)
    assert open_data(settings(tmp_path / "mnist.npz"), 28, 1).label_names == ("0", "1")
    write_zip(tmp_path / "outer.zip", {"mnist.npz": (tmp_path / "mnist.npz").read_bytes(), "1.png": picture(1)})
    assert len(open_data(settings(tmp_path / "outer.zip"), 28, 1)) == 13


@pytest.mark.parametrize(
    ("shape", "dtype", "count"),
    [((5, 10, 12), np.uint8, 5), ((5, 10, 12, 3), np.float32, 5), ((5, 3, 10, 12), np.uint8, 5), ((10, 12), np.uint16, 1),
     ((10, 12, 3), np.uint8, 1), ((3, 10, 12), np.uint8, 1), ((5, 10, 12, 1), np.int16, 5)],
)  # fmt: skip
def test_npy_of_any_layout(shape: tuple[int, ...], dtype: type, count: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(shape)
    values = (
        values.astype(dtype) if dtype == np.float32 else (values * (255 if dtype == np.uint8 else 4000)).astype(dtype)
    )
    (tmp_path / "a.npy").write_bytes(npy(values))
    found = open_data(settings(tmp_path / "a.npy"), 10, 3)
    assert len(found) == count == count_pictures(settings(tmp_path / "a.npy"))
    images = found.images(range(count))
    assert images.max() > 200 and images.min() < 50
    make_folder(
        tmp_path / "p", {f"{c}/{i}.npy": npy(np.roll(values, 3 * k + i)) for k, c in enumerate("ab") for i in range(3)}
    )
    assert open_data(settings(tmp_path / "p"), 10, 3).label_names == ("a", "b")


def test_pickles_and_numbers_are_not_opened(tmp_path: Path) -> None:
    objects = npy(np.array([{"a": 1}], object), allow_pickle=True)
    make_folder(
        tmp_path / "p", {"a.npy": objects, "b.npy": npy(np.zeros(7)), "c.png": picture(), "d.npy": objects[:40]}
    )
    found = open_data(settings(tmp_path / "p"), 8, 3)
    assert found.files == ["c.png"]
    assert "Python objects" in {r.file: r.reason for r in found.refused}["a.npy"]
    assert "7 float64, not of pictures" in found.others[0].reason


def test_scans_in_an_archive_are_read_by_frames_and_slices(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    volume = rng.integers(-100, 900, (20, 24, 6)).astype(np.int16)
    volume[..., 0] = 0
    entries = {f"ct/{i}": dicom(rng.integers(0, 3000, (32, 32)).astype(np.uint16), intercept=-1000) for i in range(5)}
    entries["cine.dcm"] = dicom(rng.integers(0, 3000, (4, 32, 32)).astype(np.uint16))
    entries["head.nii.gz"] = nifti(volume)
    stack = [Image.fromarray(rng.integers(0, 3000, (32, 32)).astype(np.uint16)) for _ in range(3)]
    entries["stack.tif"] = saved(stack[0], "TIFF", save_all=True, append_images=stack[1:])
    path = write_zip(tmp_path / "a.zip", entries)
    found = open_data(settings(path), 16, 1)
    assert len(
        found
    ) == 5 + 4 + 5 + 3 and "1 file refused: 1 NIfTI scans (the first, head.nii.gz#0, is an empty slice)" in (
        found.summary()
    )
    assert "DICOM scans were spread by the range of the whole set" in found.summary()
    streamed = open_data(settings(path, memory_mb=0), 16, 1)
    same = streamed.files.index("head.nii.gz#3"), found.files.index("head.nii.gz#3")
    assert (streamed.images([same[0]]) == found.images([same[1]])).all()


def test_twelve_bit_scans_are_spread_by_the_set_and_stay_comparable(tmp_path: Path) -> None:
    levels = [np.full((16, 16), v, np.uint16) + np.arange(16, dtype=np.uint16) for v in range(200, 4000, 200)]
    path = write_zip(tmp_path / "a.zip", {f"{i:02d}.png": saved(values) for i, values in enumerate(levels)})
    found = open_data(settings(path), 16, 1)
    means = found.images(range(len(found))).reshape(len(found), -1).mean(1)
    assert means[0] < 5 and means[-1] > 250 and np.ptp(np.diff(means)) < 3
    assert "16-bit pictures were spread by the range of the whole set: 20" in found.summary()
    assert "became black and 3,8" in found.summary()


def test_training_and_validation_are_spread_alike(tmp_path: Path) -> None:
    from vae.data.sets import open_split

    entries = {
        f"train/{i}.png": saved(np.full((8, 8), 500 * i, np.uint16) + np.arange(8, dtype=np.uint16)) for i in range(8)
    }
    entries["test/a.png"] = saved(np.full((8, 8), 1750, np.uint16) + np.arange(8, dtype=np.uint16))
    path = write_zip(tmp_path / "a.zip", entries)
    _, validation = open_split(settings(path, under="train", validation_under="test"), 8, 1)
    assert abs(validation.images([0]).mean() - 127) < 3


# ---------------------------------------------------------------- what else lies there


def test_pictures_are_known_by_content_not_by_suffix(tmp_path: Path) -> None:
    suffixes = (".jfif", ".jpe", ".jpeg", "", ".dat", ".JPG", ".png")
    entries = {
        f"{c}/{i}{suffix}": picture(20 * k + i, kind="JPEG", size=(16, 16))
        for k, c in enumerate(("cat", "dog"))
        for i, suffix in enumerate(suffixes)
    }
    for source in (write_zip(tmp_path / "a.zip", entries), make_folder(tmp_path / "a", entries)):
        found = open_data(settings(source), 8, 3)
        assert len(found) == 14 and found.label_names == ("cat", "dog") and not found.refused and not found.others


def test_everything_else_is_counted_by_kind_in_one_line(tmp_path: Path) -> None:
    entries = {f"{i}.dcm": bytes(128) + b"DICM" + bytes(300) for i in range(20)}
    entries |= {f"{i}.png": picture(i) for i in range(3)}
    entries |= {
        "readme.txt": b"hello there",
        "notes.md": b"# notes",
        "old.psd": b"8BPS....",
        "film.mp4": b"\0\0\0\x20ftypisom0000",
    }
    entries |= {".DS_Store": b"x", "__MACOSX/._0.png": b"x", "Thumbs.db": b"x", "cat/desktop.ini": b"x"}
    found = open_data(settings(write_zip(tmp_path / "a.zip", entries)), 8, 3)
    said = found.summary()
    assert said.startswith(
        "3 pictures of a.zip, 21 files refused: 20 DICOM scans (the first, 0.dcm, holds no picture), 1 Photoshop"
    )
    assert "3 other files: 2 text files (the first, notes.md, is a text file), 1 films" in said and "\n" not in said
    assert found.skipped == pytest.approx(24 / 27)
    assert open_data(settings(tmp_path / "a.zip", memory_mb=0), 8, 3).skipped == pytest.approx(4 / 27)  # not read yet
    assert 0.5 < open_data(settings(tmp_path / "a.zip", limit=20), 8, 3).skipped < 1
    assert open_data(settings(make_folder(tmp_path / "good", {"a.png": picture()})), 8, 3).skipped == 0


def test_nothing_but_other_files_says_what_there_is(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a.txt": b"hello", "b.txt": b"hello"})
    with pytest.raises(DataError, match="holds no usable .*; it holds 2 text files"):
        open_data(settings(path), 8, 3)


# ---------------------------------------------------------------- broken ones


@pytest.mark.parametrize("what", ["cut", "directory", "method", "central size", "extra"])
def test_damaged_zips_end_in_a_sentence(what: str, tmp_path: Path) -> None:
    data = bytearray(
        raw_zip([Packed(b"%d.png" % i, picture(i), method=8, extra=unicode_field(b"x", "y")) for i in range(5)])
    )
    at = data.index(b"PK\1\2")
    if what == "cut":
        data = data[: len(data) // 2]
    elif what == "directory":
        data[at : at + 2] = b"XX"
    elif what == "method":
        data[at + 10 : at + 12] = struct.pack("<H", 77)
    elif what == "central size":
        data[-10:-6] = struct.pack("<I", 2**31)
    else:
        data[at + 30 : at + 32] = struct.pack("<H", 60_000)
    (tmp_path / "a.zip").write_bytes(data)
    try:
        assert len(open_data(settings(tmp_path / "a.zip"), 8, 3)) in (4, 5)
    except DataError as error:
        assert str(error).startswith("a.zip ")


def fuzz(folder: Path, count: int, seed: int) -> int:
    """Open mutated archives -> how many opened all the same; raises what no archive may raise."""
    rng = np.random.default_rng(seed)
    entries = {f"{c}/{i}.png": picture(10 * k + i) for k, c in enumerate("ab") for i in range(3)}
    write_zip(folder / "deflated.zip", entries)
    write_zip(folder / "lzma.zip", entries, zipfile.ZIP_LZMA)
    write_zip(folder / "bz2.zip", entries, zipfile.ZIP_BZIP2)
    (folder / "raw.zip").write_bytes(
        raw_zip(
            [
                Packed("猫/%d.png".encode("cp932") % i, picture(i), method=9, extra=unicode_field(b"a", "b"))
                for i in range(4)
            ]
        )
    )
    write_tar(folder / "a.tar.gz", "w:gz", entries)
    write_tar(folder / "b.tar", "w", entries)
    np.savez(folder / "c.npz", x=np.zeros((3, 8, 8), np.uint8), y=np.arange(3))
    (folder / "d.npy").write_bytes(npy(np.zeros((3, 8, 8), np.float32)))
    (folder / "e.nii.gz").write_bytes(nifti(np.zeros((9, 9, 3), np.int16)))
    whole = [path.read_bytes() for path in sorted(folder.iterdir())]
    opened = 0
    for i in range(count):
        (folder / "broken").write_bytes(mutated(whole[i % len(whole)], rng))
        try:
            opened += len(open_data(settings(folder / "broken"), 8, 1)) > 0
        except DataError as error:
            assert "\n" not in str(error)
    return opened


@pytest.mark.filterwarnings("ignore")
def test_mutated_archives_end_in_our_own_refusal(tmp_path: Path) -> None:
    assert 20 < fuzz(tmp_path, 270, seed=12) < 260


def test_bombs_in_an_archive_are_refused_one_by_one(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"bomb.png": bomb(20_000, 3_000), "good.png": picture()})
    found = open_data(settings(path), 8, 3)
    assert found.files == ["good.png"] and "60 megapixels" in found.refused[0].reason
