"""Opening bundles: what a good one does, and every way in which a bad one is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from tests.conftest import make_tiny_bundle
from vae.bundles.bundle import MAX_CODES, BundleError, Registry, default_registry, open_bundle
from vae.networks.autoencoder import Autoencoder
from vae.networks.weights import load_weights
from vae.paths import user_home

ROOT = Path(__file__).resolve().parents[2]
FACES = ROOT / "assets" / "models" / "faces-128"


@pytest.fixture(scope="module")
def flat(tiny_bundle):
    return open_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def style(tiny_style_bundle):
    return open_bundle(tiny_style_bundle)


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


def test_an_open_bundle_knows_its_shape(style, flat):
    assert (style.image_size, style.channels, style.latent_size, style.levels, style.style_size) == (32, 3, 8, 4, 16)
    assert style.preview_sizes == (16, 8) and style.eyes == ((11, 16), (20, 16))
    assert (flat.levels, flat.style_size, flat.preview_sizes, flat.eyes) == (0, 0, (), None)
    assert len(style.digest) == 12 and style.digest != flat.digest
    assert style.codes.mu.shape == style.codes.logvar.shape == (180, 8) and style.codes.labels.shape == (180, 10)
    assert "Tiny style" in style.card


def test_decode_takes_every_shape_of_code(style, flat):
    z = np.random.default_rng(0).standard_normal((3, 8))
    images = style.decode(z)
    assert images.shape == (3, 32, 32, 3) and images.dtype == np.uint8 and images.std() > 0
    assert (style.decode(z[1])[0] == images[1]).all()
    assert (style.decode(np.repeat(z[:, None], 4, axis=1)) == images).all()
    assert flat.decode(np.zeros(2)).shape == (1, 16, 16, 1)


def test_decode_in_chunks_gives_the_same_pictures(style):
    z = np.random.default_rng(1).standard_normal((21, 8))
    assert np.abs(style.decode(z).astype(int) - np.concatenate([style.decode(one) for one in z]).astype(int)).max() <= 1


def test_each_level_takes_its_own_code_and_offsets(style):
    a, b = np.random.default_rng(2).standard_normal((2, 8))
    mixed = np.stack([a, a, b, b])[None]
    same_until_cut = [style.decode_float(mixed, size=size) for size in (8,)]
    assert np.allclose(same_until_cut[0], style.decode_float(a, size=8), atol=1e-5)
    assert np.abs(style.decode_float(mixed) - style.decode_float(a)).max() > 1e-3
    delta = np.zeros((4, 16), np.float32)
    assert (style.decode_float(a, delta) == style.decode_float(a)).all()
    delta[3] = 1
    assert np.abs(style.decode_float(a, delta) - style.decode_float(a)).max() > 1e-3
    assert np.allclose(style.decode_float(a, delta, size=16), style.decode_float(a, size=16), atol=1e-6)


def test_the_halves_make_the_whole(style):
    z = np.random.default_rng(3).standard_normal((2, 4, 8)).astype(np.float32)
    delta = np.random.default_rng(4).standard_normal((2, 4, 16)).astype(np.float32)
    for level, size in ((2, 16), (1, 8)):
        head, tail = (ort.InferenceSession(part) for part in style.split(size))
        assert {i.name for i in head.get_inputs()} == {"z", "delta"} and [o.name for o in tail.get_outputs()] == [
            "image"
        ]
        names = [f"rgb.{level}", f"x.{level}", "w"]
        assert {o.name for o in head.get_outputs()} == {i.name for i in tail.get_inputs()} == set(names)
        values = dict(zip(names, head.run(names, {"z": z, "delta": delta})))
        assert values["w"].shape == (2, 4, 16)
        assert np.allclose(values[names[0]], style.decode_float(z, delta, size), atol=1e-5)
        assert np.allclose(tail.run(None, values)[0], style.decode_float(z, delta), atol=1e-5)
    with pytest.raises(BundleError, match="8, 16, 32"):
        style.split(12)


def test_the_halves_make_the_whole_of_a_linear_path(tmp_path):
    bundle = open_bundle(make_tiny_bundle(tmp_path, "style", linear=True))
    z = np.random.default_rng(3).standard_normal((2, 4, 8)).astype(np.float32)
    whole = bundle.decode_float(z)
    for level, size in ((2, 16), (1, 8)):
        assert bundle.decode_float(z, size=size).shape == (2, 3, size, size)
        head, tail = (ort.InferenceSession(part) for part in bundle.split(size))
        names = [f"rgb.{level}", f"x.{level}", "w"]
        assert {i.name for i in tail.get_inputs()} == {*names, "z"}
        values = dict(zip(names, head.run(names, {"z": z, "delta": np.zeros((2, 4, 16), np.float32)})))
        assert np.allclose(tail.run(None, {**values, "z": z})[0], whole, atol=1e-5)
    model = Autoencoder(bundle.model)
    model.load_state_dict(load_weights(bundle.path))
    with torch.no_grad():
        assert np.allclose(model.decode(torch.from_numpy(z)).numpy(), whole, atol=1e-4)


def test_decode_stops_at_a_lower_level(style, flat):
    assert style.decode(np.zeros(8), size=16).shape == (1, 16, 16, 3)
    assert style.decode(np.zeros(8), size=32).shape == (1, 32, 32, 3)
    for bundle, size in ((style, 64), (style, 0), (flat, 8)):
        with pytest.raises(BundleError, match="cannot decode"):
            bundle.decode(np.zeros(bundle.latent_size), size=size)


def test_encode_takes_bytes_and_numbers(style):
    images = np.random.default_rng(5).integers(0, 256, (11, 32, 32, 3), dtype=np.uint8)
    mu, logvar = style.encode(images)
    assert mu.shape == logvar.shape == (11, 8) and mu.dtype == np.float32
    assert (logvar >= -8).all() and (logvar <= 4).all()
    again, _ = style.encode(images.transpose(0, 3, 1, 2) / 127.5 - 1)
    assert np.allclose(mu, again, atol=1e-5)
    for wrong in (images[0], images[:, :16], images[..., :1], np.full((1, 3, 32, 32), np.nan), images.astype(int)):
        with pytest.raises(BundleError):
            style.encode(wrong)


def test_the_encoder_reads_offsets_where_the_model_has_them(style, tiny_offset_bundle):
    images = np.random.default_rng(5).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    mu, logvar, none = style.encode_with_offsets(images)
    assert none is None and all((a == b).all() for a, b in zip((mu, logvar), style.encode(images)))
    bundle = open_bundle(tiny_offset_bundle)
    mu, logvar, delta = bundle.encode_with_offsets(images)
    assert delta.shape == (3, 4, 16) and delta.dtype == np.float32 and delta.std() > 0.01
    assert all((a == b).all() for a, b in zip((mu, logvar), bundle.encode(images)))
    model = Autoencoder(bundle.model)
    model.load_state_dict(load_weights(bundle.path))
    with torch.no_grad():
        q = model.encode(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1)
        assert np.allclose(q.delta.numpy(), delta, atol=1e-4)
        assert np.allclose(model.decode(q.mu, q.delta).numpy(), bundle.decode_float(mu, delta), atol=1e-3)


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


def test_check_z_clips_and_refuses(style):
    stats = style.stats
    z = style.check_z(np.full(8, 1e6))
    assert z.dtype == np.float32 and np.allclose(z, stats.mean + 6 * stats.std, rtol=1e-5)
    inside = stats.mean.astype(np.float32)
    kept = style.check_z(inside)
    assert (kept == inside).all() and kept is not inside
    assert style.check_z(np.zeros((5, 4, 8))).shape == (5, 4, 8)
    for wrong in (np.zeros(7), np.zeros((2, 9)), np.zeros((2, 3, 8)), np.zeros((0, 8)), 3.0, np.full(8, np.nan),
                  [1e400] * 8, "z", None, [[1], [1, 2]], np.zeros(8, complex)):  # fmt: skip
        with pytest.raises(BundleError):
            style.check_z(wrong)


def test_an_encoder_whose_offsets_have_a_wrong_shape_is_refused(style, flat):
    for delta in (np.zeros((3, 16)), np.zeros((2, 4, 16)), np.full((4, 16), np.inf)):
        with pytest.raises(BundleError, match="style offsets"):
            style.decode(np.zeros(8), delta)
    with pytest.raises(BundleError, match="no styles"):
        flat.decode(np.zeros(2), np.zeros((4, 16)))


def test_many_threads_get_their_own_pictures(tiny_style_bundle):
    bundle = open_bundle(tiny_style_bundle)  # not yet loaded: the threads meet in the loading, too
    z = np.random.default_rng(6).standard_normal((8, 8))
    found: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        for _ in range(5):
            found[i] = bundle.decode(z[i], size=(16, None)[i % 2])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(8):
        assert np.abs(found[i].astype(int) - bundle.decode(z[i], size=(16, None)[i % 2])).max() <= 1


# ---------------------------------------------------------------- refusals


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
     ({"score": np.array([np.nan, 1])}, "score")],
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


# ---------------------------------------------------------------- registry


def test_registry_finds_new_bundles_and_keeps_the_good_beside_the_broken(tiny_bundle, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    registry = Registry([first, second])
    assert registry.names() == [] and registry.entries() == []
    shutil.copytree(tiny_bundle, second / "mine")
    assert registry.names() == ["mine"] and registry.get("mine") is registry.get("mine")
    (second / "bad").mkdir()
    (second / ".hidden").mkdir()
    entries = {e["name"]: e for e in registry.entries()}
    assert set(entries) == {"bad", "mine"} and "config.json" in entries["bad"]["broken"]
    assert entries["mine"]["latent_size"] == 2 and entries["mine"]["face"] is False and "broken" not in entries["mine"]
    with pytest.raises(BundleError, match="config.json"):
        registry.get("bad")
    for name in ("nobody", "../second/mine", ""):
        with pytest.raises(BundleError, match="no model"):
            registry.get(name)


def test_registry_opens_a_changed_bundle_anew(tiny_bundle, tmp_path):
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "mine"))
    registry = Registry([tmp_path])
    old = registry.get("mine")
    seal(folder, title="Another title")
    assert registry.get("mine").title == "Another title" and registry.get("mine") is not old
    (folder / "stats.npz").unlink()
    with pytest.raises(BundleError, match="missing"):
        registry.get("mine")


def test_a_second_bundle_of_the_same_name_is_told(tiny_bundle, tiny_style_bundle, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(tiny_bundle, first / "mine")
    shutil.copytree(tiny_style_bundle, second / "mine")
    registry = Registry([first, second])
    assert registry.names() == ["mine"] and registry.get("mine").levels == 0
    assert [("broken" in e) for e in registry.entries()] == [False, True]


def test_the_user_s_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("VAE_HOME", str(tmp_path))
    assert user_home() == tmp_path
    assert default_registry().folders == (ROOT / "assets" / "models", tmp_path / "models")
    monkeypatch.delenv("VAE_HOME")
    assert user_home().name == "latent-space-explorer"


def test_opening_and_decoding_needs_no_torch(tiny_style_bundle):
    code = (
        "import sys; from vae.bundles.bundle import open_bundle; from vae.space import axes, latent;"
        f"b = open_bundle({str(tiny_style_bundle)!r}); b.warm_up(); b.split(16); b.decode(latent.sample(b, 1, 0.7));"
        "axes.bases(b); print({'torch', 'torchvision', 'onnxscript', 'streamlit', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


# ---------------------------------------------------------------- what ships


@pytest.fixture(scope="module", params=["faces-128", "faces-128-v1"])
def golden(request):
    """A bundle with codes and pictures as torch computes them from its weights, all generated."""
    with np.load(ROOT / "tests" / "golden" / f"{request.param}.npz") as data:
        return open_bundle(FACES.with_name(request.param)), {key: data[key] for key in data.files}


def test_faces_decodes_the_golden_pictures(golden):
    bundle, values = golden
    assert np.abs(bundle.decode_float(values["z"]) - values["decoded"]).max() < 1.5e-3  # kept in half precision
    cut = values["mix_cut"][:, None, None]
    z = np.where(np.arange(6)[None, :, None] < cut, values["mix_coarse_z"][:, None], values["mix_fine_z"][:, None])
    assert np.abs(bundle.decode_float(z) - values["mixed"]).max() < 1.5e-3


def test_faces_encodes_the_golden_pictures(golden):
    bundle, values = golden
    mu, logvar, delta = bundle.encode_with_offsets(np.clip(bundle.decode_float(values["z"]), -1, 1))
    assert np.abs(mu - values["mu"]).max() < 1e-3 and np.abs(logvar - values["logvar"]).max() < 1e-3
    if "delta" in values:
        assert np.abs(delta - values["delta"]).max() < 1e-3
        assert np.abs(bundle.decode_float(mu, delta) - values["again"]).max() < 2e-3
    else:
        assert delta is None


def test_faces_reads_its_labels_as_well_as_promised():
    directions = open_bundle(FACES).directions
    score = dict(zip(directions.names, directions.score))
    promised = {"Smiling": 0.96, "Male": 0.98, "Eyeglasses": 0.94, "Blond_Hair": 0.96, "Bangs": 0.96,
                "Wearing_Hat": 0.98, "Pale_Skin": 0.95, "Young": 0.85}  # fmt: skip
    for name, auc in promised.items():
        assert score[name] > auc, name
    assert not {"Attractive", "Big_Nose", "Big_Lips", "Chubby", "Double_Chin"} & set(directions.names)
    assert {"Skin_tone", "Hair_lightness", "Head_turn"} <= set(directions.names)


def test_what_ships_is_small_and_says_its_terms():
    folders = [path for path in FACES.parent.iterdir() if path.is_dir()]
    sizes = [sum(file.stat().st_size for file in folder.iterdir()) for folder in folders]
    assert max(sizes) <= 60e6 and sum(sizes) <= 120e6  # the model before the present one ships for its links
    faces = open_bundle(FACES)
    assert "non-commercial" in faces.licence.lower() and "non-commercial" in faces.card.lower()
    assert " /" not in faces.card  # no path of the machine that made it
    digits = open_bundle(FACES.parent / "digits-2d")
    assert digits.latent_size == 2 and digits.codes.labels.shape[1] == 10 and len(digits.codes) >= 1000
