"""What is known about pictures: classes by folders, tables of attributes."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tests.data.draw import make_folder, picture, settings, write_zip
from vae.data.files import DataError
from vae.data.labels import classes_of
from vae.data.sets import open_data
from vae.data.tables import read_table


def tree(*folders: str, each: int = 3) -> list[str]:
    return [f"{folder}/{i}.png".lstrip("/") for folder in folders for i in range(each)]


# ---------------------------------------------------------------- folders


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (["cat", "dog"], {"cat", "dog"}),
        (["all/pets/cat", "all/pets/dog"], {"cat", "dog"}),
        (["train/cat", "train/dog", "val/cat", "test/dog"], {"cat", "dog"}),
        (["set/training_set/cat", "set/training_set/dog", "set/test_set/cat"], {"cat", "dog"}),
        (["seg_train/seg_train/sea", "seg_train/seg_train/ice", "seg_test/seg_test/sea", "seg_pred"], {"sea", "ice"}),
        (["cat/train", "cat/test", "dog/train", "dog/test"], {"cat", "dog"}),
        (["set/train/cat", "set/train/dog", "set/single_prediction"], {"cat", "dog"}),
        (["set/cat", "set/dog", "set/cow", "to_predict"], {"cat", "dog", "cow"}),
        (["n01/images", "n02/images", "n03/images"], {"n01", "n02", "n03"}),
        (["cat/persian", "cat/siamese", "dog/poodle", "dog/husky"], {"cat", "dog"}),
        (["berlin/cat", "berlin/dog", "paris/cat", "paris/dog"], {"cat", "dog"}),
        (["covid/images", "covid/masks", "normal/images", "normal/masks"], {"covid", "normal"}),
        (["train.zip/cat", "train.zip/dog", "test.zip/cat"], {"cat", "dog"}),
        (["test", "control"], {"test", "control"}),
        (["training", "validation"], set()),
    ],
)
def test_the_level_that_carries_the_classes(folders: list[str], classes: set[str]) -> None:
    files = tree(*folders)
    found = classes_of(files)
    assert {name for name in found.names if name} == classes, found
    assert bool(found.reason) == (not classes)
    if classes and "pred" not in "".join(folders):
        assert all(name in file.split("/") for name, file in zip(found.names, files))


def test_strays_are_kept_without_a_label(tmp_path: Path) -> None:
    entries = {f"{c}/{i}.png": picture(10 * k + i) for k, c in enumerate(("cat", "dog")) for i in range(5)}
    path = write_zip(tmp_path / "a.zip", {**entries, "cover.png": picture(99)})
    found = open_data(settings(path), 8, 3)
    assert found.label_names == ("cat", "dog") and found.labels.sum() == 10
    assert found.classes[found.files.index("cover.png")] == -1
    assert "1 picture outside the folders of classes without a label, such as cover.png" in found.summary()


def test_one_folder_for_predictions_beside(tmp_path: Path) -> None:
    entries = {
        f"set/{part}/{c}/{i}.png": picture(100 * j + 10 * k + i)
        for j, part in enumerate(("training_set", "test_set"))
        for k, c in enumerate(("cat", "dog"))
        for i in range(4)
    }
    path = write_zip(
        tmp_path / "a.zip", {**entries, **{f"set/single_prediction/{i}.png": picture(300 + i) for i in (1, 2)}}
    )
    found = open_data(settings(path), 8, 3)
    assert found.label_names == ("cat", "dog") and found.labels.sum(0).tolist() == [8, 8] and len(found) == 18


def test_more_than_255_classes() -> None:
    found = classes_of(tree(*(f"person{i}" for i in range(700)), each=2))
    labels, names = found.table()
    assert labels.shape == (1400, 700) and len(names) == 700 and (labels.sum(1) == 1).all()
    assert "5,000 folders, more than" in classes_of(tree(*(f"p{i}" for i in range(5000)), each=2)).reason


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (tree(""), "all pictures lie in one folder"),
        (tree("a"), "all pictures lie in one folder"),
        (tree(*(f"p{i}" for i in range(9)), each=1), "each picture lies in a folder of its own"),
        ([*tree("extra"), *(f"{i}.png" for i in range(9))], "most pictures lie beside the only folder, extra"),
    ],
)
def test_why_there_are_no_labels(files: list[str], reason: str, tmp_path: Path) -> None:
    assert reason in classes_of(files).reason
    found = open_data(settings(make_folder(tmp_path / "p", {f: picture(i) for i, f in enumerate(files)})), 8, 3)
    assert f"no labels, since {reason}" in found.summary() and found.labels is None


# ---------------------------------------------------------------- tables


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "set", {f"img/{i:06d}.jpg": picture(i, kind="JPEG") for i in range(6)})


ROWS = [(f"{i:06d}.jpg", i % 2, i // 3) for i in range(6)]


def joined(path: Path, folder: Path):
    return open_data(settings(folder, attributes=str(path)), 8, 3)


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
@pytest.mark.parametrize("column", ["file", "filename", "image_id", "Image", "path"])
def test_delimiters_and_names_of_columns(sign: str, column: str, pictures: Path, tmp_path: Path) -> None:
    text = "\n".join(sign.join(map(str, row)) for row in [(column, "Smiling", "Hat"), *ROWS])
    (tmp_path / "t.csv").write_text(text)
    found = joined(tmp_path / "t.csv", pictures)
    assert found.label_names == ("Smiling", "Hat") and found.labels.tolist() == [[i % 2, i // 3] for i in range(6)]


@pytest.mark.parametrize(
    ("yes", "no"),
    [("1", "0"), ("1", "-1"), ("True", "False"), ("yes", "no"), ("TRUE", "FALSE"), ("1.0", "0.0"), ("Y", "N")],
)
def test_ways_to_say_yes_and_no(yes: str, no: str, pictures: Path, tmp_path: Path) -> None:
    text = "file,Smiling\n" + "\n".join(f"{name},{yes if a else no}" for name, a, _ in ROWS)
    (tmp_path / "t.csv").write_text(text)
    assert joined(tmp_path / "t.csv", pictures).labels.ravel().tolist() == [0, 1] * 3


@pytest.mark.parametrize("shape", ["{0}", "img/{0}", "deep/down/img/{0}", "./img/{0}", "img\\{0}", "{1}", "img/{1}"])
def test_suffix_and_folder_are_optional(shape: str, pictures: Path, tmp_path: Path) -> None:
    text = "file,Smiling\n" + "\n".join(f"{shape.format(name, name[:-4])},{a}" for name, a, _ in ROWS)
    (tmp_path / "t.csv").write_text(text)
    assert joined(tmp_path / "t.csv", pictures).labels.ravel().tolist() == [0, 1] * 3


def test_equal_names_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "p", {f"{c}/1.png": picture(k) for k, c in enumerate("abc")})
    (tmp_path / "t.csv").write_text("file,Hat\na/1.png,1\nb/1.png,0\n")
    found = joined(tmp_path / "t.csv", folder)
    assert (
        found.labels.ravel().tolist() == [1, 0, 0]
        and "t.csv has no row for 1 picture, such as c/1.png" in found.summary()
    )


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-8", "Lächelt"), ("utf-8-sig", "Lächelt"), ("utf-16", "Lächelt"), ("cp1252", "Lächelt"), ("cp932", "笑顔")],
)
def test_encodings(encoding: str, name: str, pictures: Path, tmp_path: Path) -> None:
    text = f"file,{name}\r\n" + "\r\n".join(f"{file},{a}" for file, a, _ in ROWS)
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    assert joined(tmp_path / "t.csv", pictures).label_names == (name,)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode(encoding)))
    assert joined(tmp_path / "t.csv.gz", pictures).label_names == (name,)


def test_celebas_own_list(pictures: Path, tmp_path: Path) -> None:
    lines = ["6", "Smiling Wearing_Hat ", *(f"{name} {2 * a - 1:2d} {2 * b - 1:2d}" for name, a, b in ROWS)]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    found = joined(tmp_path / "list_attr_celeba.txt", pictures)
    assert found.label_names == ("Smiling", "Wearing_Hat")
    assert found.labels.tolist() == [[i % 2, i // 3] for i in range(6)]


def test_a_table_without_names_of_columns(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(f"{name},{a}" for name, a, _ in ROWS))
    found = joined(tmp_path / "t.csv", pictures)
    assert found.label_names == ("column 2",) and found.labels.ravel().tolist() == [0, 1] * 3


def test_an_empty_cell_is_named_with_its_row(pictures: Path, tmp_path: Path) -> None:
    text = "file,Smiling,Hat\n" + "\n".join(f"{name},{a},{'' if name == '000003.jpg' else b}" for name, a, b in ROWS)
    (tmp_path / "t.csv").write_text(text)
    found = joined(tmp_path / "t.csv", pictures)
    assert found.label_names == ("Smiling",)
    assert "column Hat of t.csv left out: row 5 (000003.jpg) has no value" in found.summary()


def test_rows_that_are_left_out_are_named(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,Hat\n000000.jpg,1\n,0\n000000.jpg,0\n000001.jpg,0\nnowhere.jpg,1\n")
    said = joined(tmp_path / "t.csv", pictures).summary()
    assert "row 3 of t.csv left out: it names no file" in said
    assert "row 4 of t.csv left out: 000000.jpg is named twice" in said
    assert "1 row of t.csv for pictures that are not there" in said and "no row for 4 pictures" in said


def test_other_numbers_become_factors(pictures: Path, tmp_path: Path) -> None:
    text = "file;Age;Smiling;Name;Angle\n" + "\n".join(
        f"{name};{20 + i};{a};x{i};{i},5" for i, (name, a, _) in enumerate(ROWS)
    )
    (tmp_path / "t.csv").write_text(text)
    found = joined(tmp_path / "t.csv", pictures)
    assert found.label_names == ("Smiling",) and found.factor_names == ("Age", "Angle")
    assert found.factors.dtype == np.float32 and found.factors[3].tolist() == [23, 3.5]
    assert "column Name of t.csv left out: 'x0' in row 2 is not a number" in found.summary()
    part = found.subset([4, 1])
    assert part.factors[:, 0].tolist() == [24, 21] and part.factor_names == ("Age", "Angle")
    assert found.split(0.3)[1].factors.shape == (2, 2)


def test_factors_alone_will_do(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,Age\n" + "\n".join(f"{name},{i + 20}" for i, (name, _, _) in enumerate(ROWS)))
    found = joined(tmp_path / "t.csv", pictures)
    assert found.labels is None and found.factors.shape == (6, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\0\1\2" * 50, "is not a text"),
        (b"\x1f\x8b\x08broken", "cannot be read|is damaged"),
        (b"name,A\nx,1\n", "no column `file`"),
        (b"file,A\n0.png,red\n", "no column of 0 and 1 .column A of t.csv left out: 'red'"),
    ],
)
def test_tables_that_are_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_table(tmp_path / "t.csv")
