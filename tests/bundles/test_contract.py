"""Every way in which a bad bundle is refused, in a sentence that names the file and the reason."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from vae.bundles.bundle import open_bundle
from vae.bundles.contents import MAX_CODES
from vae.bundles.contract import BundleError


@pytest.fixture
def copy(tiny_style_bundle, tmp_path):
    """A bundle to damage."""
    return Path(shutil.copytree(tiny_style_bundle, tmp_path / "copy"))


def seal(folder: Path, **changes: object) -> None:
    """Make the hashes right again after a file was changed, so that the check behind them is reached."""
    config = json.loads((folder / "config.json").read_text())
    config["files"] = {
        n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in config["files"] if (folder / n).is_file()
    }
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def refused(folder: Path, *words: str) -> str:
    """The sentence with which a bundle is refused; it names the bundle, and holds these words."""
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    sentence = str(caught.value)
    assert folder.name in sentence and "\n" not in sentence and sentence.endswith(".") and len(sentence) < 400
    for word in words:
        assert word in sentence, sentence
    return sentence


def change_arrays(folder: Path, name: str, **arrays: np.ndarray) -> None:
    with np.load(folder / name) as data:
        values = {**data, **arrays}
    np.savez(folder / name, **values)
    seal(folder)


@pytest.mark.parametrize("has, wants", [(True, False), (False, True)])
def test_an_encoder_whose_offsets_are_not_as_promised_is_refused(
    tiny_style_bundle, tiny_offset_bundle, tmp_path, has, wants
):
    folder = Path(shutil.copytree(tiny_offset_bundle if has else tiny_style_bundle, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    seal(folder, model={**config["model"], "offsets": wants})
    refused(folder, "encoder.onnx", "delta", "logvar", "mu", "export anew")


def test_offsets_of_a_wrong_shape_are_refused(tiny_offset_bundle, tmp_path):
    folder = Path(shutil.copytree(tiny_offset_bundle, tmp_path / "copy"))
    model = onnx.load(folder / "encoder.onnx")
    delta = next(value for value in model.graph.output if value.name == "delta")
    delta.type.tensor_type.shape.dim[2].dim_value = 15
    onnx.save(model, folder / "encoder.onnx")
    seal(folder)
    refused(folder, "encoder.onnx", "delta", "(None, 4, 15)", "(None, 4, 16)")


def test_no_folder_and_no_config(tmp_path):
    refused(tmp_path / "nothing", "not a folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "config.json")


@pytest.mark.parametrize(
    "text, word",
    [("{", "JSON"), ("[]", "object"), ("\xff", "JSON"), ("{}", "format"),
     ('{"format": 99}', "99"), ('{"format": 1}', "name"),
     ("[" * 100_000, "JSON")],
)  # fmt: skip
def test_a_config_that_cannot_be_read(tmp_path, text, word):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    refused(folder, "config.json", word)


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"colour": 1}, "colour"),
        ({"title": 3}, "title"),
        ({"model": {"latent_sizes": 8}}, "latent_sizes"),
        ({"model": {"latent_size": "eight"}}, "model"),
        (
            {"model": {"latent_size": 9, "architecture": "style", "image_size": 32, "channels": 3, "style_size": 16}},
            "decoder.onnx",
        ),
        ({"eyes": [[1, 2]]}, "eyes"),
        ({"settle": 9}, "settle 9; it may be a whole number from 0 to 8"),
        ({"settle": -1}, "settle -1"),
        ({"settle": True}, "settle true"),
        ({"settle": 2.0}, "settle 2.0"),
        ({"settle": "3"}, "settle"),
        ({"eyes": [[1, "a"], [3, 4]]}, "eyes"),
        ({"eyes": [[20, 16], [11, 16]]}, "order"),
        ({"files": {}}, "decoder.onnx"),
        ({"files": {"../decoder.onnx": "0" * 64}}, "../decoder.onnx"),
        ({"files": {"/etc/passwd": "0" * 64}}, "/etc/passwd"),
        ({"files": {"code.pkl": "0" * 64}}, "code.pkl"),
        ({"files": {"decoder.onnx": 5}}, "SHA-256"),
    ],
)
def test_a_config_that_says_something_wrong(copy, changes, word):
    seal(copy, **changes)
    refused(copy, word)


@pytest.mark.parametrize(("card", "word"), [(b"# Caf\xe9", "UTF-8"), (b"#" * 1_000_001, "shorten")])
def test_a_card_that_cannot_be_shown_is_refused_when_the_bundle_opens(copy, card, word):
    (copy / "card.md").write_bytes(card)
    seal(copy)
    refused(copy, "card.md", word)


@pytest.mark.parametrize("name", ["decoder.onnx", "encoder.onnx", "codes.npz", "stats.npz", "card.md"])
def test_a_missing_and_a_changed_file(copy, name):
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused(copy, name, "SHA-256")
    (copy / name).unlink()
    refused(copy, name, "missing")


@pytest.mark.parametrize("name", ["decoder.onnx", "encoder.onnx", "codes.npz", "stats.npz"])
def test_a_truncated_file_with_a_matching_hash(copy, name):
    data = (copy / name).read_bytes()
    for part in (data[: len(data) // 2], b"", b"not it"):
        (copy / name).write_bytes(part)
        seal(copy)
        refused(copy, name)


@pytest.mark.parametrize(
    "name, arrays, word",
    [
        ("stats.npz", {"mean": np.full(8, np.nan)}, "mean"),
        ("stats.npz", {"cov": np.zeros((8, 7))}, "cov"),
        ("stats.npz", {"std": np.full(8, -1.0)}, "spread"),
        ("stats.npz", {"kl": np.array(["a"] * 8)}, "kl"),
        ("stats.npz", {"prior_weight": np.zeros(0)}, "prior_mean"),
        (
            "stats.npz",
            {"prior_weight": np.ones(1), "prior_mean": np.ones((1, 8)), "prior_chol": np.zeros((1, 8, 8))},
            "spread",
        ),
        ("stats.npz", {"mean": np.array([object()] * 8)}, "Python objects"),
        ("codes.npz", {"mu": np.zeros((3, 8))}, "logvar"),
        ("codes.npz", {"mu": np.zeros((MAX_CODES + 1, 8), np.float16)}, f"{MAX_CODES + 1:,}"),
        ("codes.npz", {"label_names": np.array([b"a"])}, "label_names"),
        ("codes.npz", {"label_names": np.array([{}] * 10, object)}, "Python objects"),
        ("codes.npz", {"logvar": np.full((180, 8), np.inf)}, "logvar"),
    ],
)
def test_arrays_that_do_not_fit(copy, name, arrays, word):
    change_arrays(copy, name, **arrays)
    refused(copy, name, word)


def test_an_array_that_is_not_there(copy):
    with np.load(copy / "stats.npz") as data:
        values = {k: data[k] for k in data.files if k != "cov"}
    np.savez(copy / "stats.npz", **values)
    seal(copy)
    refused(copy, "stats.npz", "cov")


def good_directions() -> dict[str, np.ndarray]:
    words = {"names": np.array(["a", "b"]), "labels": np.array(["A", "B"]), "kind": np.array(["label", "measured"])}
    return {**words, "group": np.array(["", ""]), "w": np.eye(8)[:2], "score": np.ones(2), "leaks": np.eye(2)}


@pytest.mark.parametrize(
    "arrays, word",
    [({"w": np.zeros((2, 8))}, "zero"), ({"names": np.array(["a", "a"])}, "repeat"),
     ({"names": np.array(["a", "b c"])}, "names"),
     ({"kind": np.array(["a", "b"])}, "kind"), ({"leaks": np.eye(3)}, "leaks"),
     ({"score": np.array([np.nan, 1])}, "score"), ({"steps": np.zeros((2, 8))}, "sigma")],
)  # fmt: skip
def test_directions_that_do_not_fit(copy, arrays, word):
    np.savez(copy / "directions.npz", **good_directions())
    config = json.loads((copy / "config.json").read_text())
    seal(
        copy,
        files={**config["files"], "directions.npz": hashlib.sha256((copy / "directions.npz").read_bytes()).hexdigest()},
    )
    assert len(open_bundle(copy).directions) == 2
    change_arrays(copy, "directions.npz", **arrays)
    refused(copy, "directions.npz", word)


def good_ways() -> dict[str, np.ndarray]:
    line = np.linspace(-1, 1, 5)[None, :, None] * np.eye(8)[0]
    words = {"names": np.array(["way"]), "labels": np.array(["A way"]), "follows": np.array([""])}
    return {
        **words, "ends": np.array([[-1.0, 1.0]]), "points": line, "metric": np.eye(8)[None], "w": np.eye(8)[:1],
        "score": np.ones(1), "agrees": np.zeros(1),
    }  # fmt: skip


@pytest.mark.parametrize(
    "arrays, word",
    [({"w": np.zeros((1, 8))}, "nowhere"), ({"ends": np.array([[1.0, 1.0]])}, "nowhere"),
     ({"points": np.zeros((1, 2, 8))}, "places"), ({"points": np.zeros((9, 5, 8))}, "9 ways"),
     ({"metric": np.eye(7)[None]}, "metric"), ({"names": np.array(["a b"])}, "names"),
     ({"points": np.full((1, 5, 8), np.inf)}, "finite")],
)  # fmt: skip
def test_ways_that_do_not_fit(copy, arrays, word):
    np.savez(copy / "ways.npz", **good_ways())
    config = json.loads((copy / "config.json").read_text())
    seal(copy, files={**config["files"], "ways.npz": hashlib.sha256((copy / "ways.npz").read_bytes()).hexdigest()})
    assert len(open_bundle(copy).ways) == 1
    change_arrays(copy, "ways.npz", **arrays)
    refused(copy, "ways.npz", word)


def edit_graph(folder: Path, edit) -> None:
    model = onnx.load_model(folder / "decoder.onnx")
    edit(model)
    (folder / "decoder.onnx").write_bytes(model.SerializeToString())
    seal(folder)


def test_a_graph_that_reads_other_files(copy):
    def edit(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")

    edit_graph(copy, edit)
    refused(copy, "decoder.onnx", "outside the bundle")


def test_a_graph_with_foreign_or_looping_operators(copy):
    edit_graph(copy, lambda model: model.graph.node.append(onnx.helper.make_node("Exec", ["z"], ["e"], domain="evil")))
    refused(copy, "decoder.onnx", "Exec", "may not")
    body = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["z"], ["e"])], "body", [], [])
    loop = onnx.helper.make_node("Loop", ["", ""], ["e"], body=body)
    edit_graph(copy, lambda model: model.graph.node[-1].CopyFrom(loop))
    refused(copy, "decoder.onnx", "Loop", "may not")


def test_a_graph_of_other_shapes(copy):
    edit_graph(copy, lambda model: model.graph.input[0].type.tensor_type.shape.dim[0].__setattr__("dim_value", 1))
    refused(copy, "decoder.onnx", "z")  # a batch of one only
    edit_graph(copy, lambda model: model.graph.input.pop())
    refused(copy, "decoder.onnx")


def test_a_graph_without_its_levels(copy):
    def edit(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            for names in (node.input, node.output):
                for i, name in enumerate(names):
                    names[i] = "y" if name == "x.2" else name

    edit_graph(copy, edit)
    refused(copy, "decoder.onnx", "x.2")
