"""The command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from vae.__main__ import main
from vae.bundles.bundle import open_bundle
from vae.space import latent, packing, settling

ROOT = Path(__file__).resolve().parents[1]


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The one sentence on stderr of a command that ends with status 2."""
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0 and said.endswith(".") and "Traceback" not in said
    return said


@pytest.mark.parametrize("passes", ["-1", "9"])
def test_export_refuses_passes_before_it_reads_a_picture(passes, tmp_path, capsys):
    words = ["export", "--run", tmp_path / "none", "--out", tmp_path / "mine", "--settle", passes]
    assert refused(capsys, *words) == f"--settle is {passes}; use 0 to 8."


def test_decode_writes_the_face_of_a_seed(tiny_style_bundle, tmp_path):
    out = tmp_path / "a.png"
    assert (
        main(["decode", "--model", str(tiny_style_bundle), "--seed", "1", "--temperature", "0.7", "--out", str(out)])
        == 0
    )
    bundle = open_bundle(tiny_style_bundle)
    z = latent.sample(bundle, 1, 0.7)
    assert (np.asarray(Image.open(out)) == bundle.decode(z)[0]).all()
    code = packing.pack(z[0], bundle.stats)
    main(["decode", "--model", str(tiny_style_bundle), f"--code={code}", "--out", str(out)])
    assert np.abs(np.asarray(Image.open(out)).astype(int) - bundle.decode(z)[0]).max() <= 1


def test_decode_draws_whole_parts_and_takes_a_code_as_it_is(tmp_path):
    out, people = tmp_path / "a.png", open_bundle(ROOT / "assets" / "models" / "people-64")
    main(["decode", "--model", str(people.path), "--seed", "6", "--temperature", "1", "--out", str(out)])
    raw = latent.sample(people, 6, 1.0)
    assert (np.asarray(Image.open(out)) == people.decode(settling.settled(people, raw))[0]).all()
    main(["decode", "--model", str(people.path), f"--code={packing.pack(raw[0], people.stats)}", "--out", str(out)])
    assert np.abs(np.asarray(Image.open(out)).astype(int) - people.decode(raw)[0]).max() <= 2


def test_decode_makes_sheets_of_any_size(tiny_bundle, tiny_style_bundle, tmp_path):
    out = tmp_path / "sheet.png"
    main(["decode", "--model", str(tiny_bundle), "--count", "5", "--columns", "3", "--scale", "2", "--out", str(out)])
    assert Image.open(out).size == (3 * 16 * 2, 2 * 16 * 2) and Image.open(out).mode == "L"
    main(["decode", "--model", str(tiny_style_bundle), "--count", "4", "--size", "16", "--out", str(out)])
    assert Image.open(out).size == (32, 32)


def test_decode_finds_models_by_name_and_needs_no_torch(tiny_style_bundle, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(tiny_style_bundle)
    code = (
        "import sys; from vae.__main__ import main;"
        f"status = main(['decode', '--model', 'mine', '--out', {str(tmp_path / 'a.webp')!r}]);"
        "print(status, {'torch', 'streamlit', 'sklearn'} & set(sys.modules))"
    )
    env = {"VAE_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.stdout.strip().endswith("0 set()"), done.stderr
    assert (tmp_path / "a.webp").is_file()


@pytest.mark.parametrize(
    "options, word",
    [
        (["--model", "nobody"], "nobody"),
        (["--seed", "-1"], "-1"),
        (["--temperature", "9"], "9"),
        (["--count", "0"], "--count"),
        (["--scale", "99"], "--scale"),
        (["--columns", "-1"], "--columns"),
        (["--size", "63"], "63"),
        (["--code", "abc"], "link"),
        (["--out", "a.txt"], "a.txt"),
        (["--out", "/nowhere/at/all/a.png"], "No such file"),
    ],
)
def test_decode_refuses_in_one_sentence(tiny_style_bundle, tmp_path, capsys, options, word):
    defaults = {
        "--model": str(tiny_style_bundle),
        "--out": str(tmp_path / "a.png"),
        **dict(zip(options[::2], options[1::2])),
    }
    assert word in refused(capsys, "decode", *(f"{key}={value}" for key, value in defaults.items()))


def test_evaluate_says_how_good_a_model_is(tiny_style_bundle, tmp_path, capsys):
    out = tmp_path / "figures.json"
    options = ["--model", str(tiny_style_bundle), "--data", "sklearn-digits", "--limit", "40", "--out", str(out)]
    assert main(["evaluate", *options]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == json.loads(out.read_text())
    bundle = open_bundle(tiny_style_bundle)
    from vae.config import DataConfig
    from vae.data.sets import open_data

    images = open_data(DataConfig(("sklearn-digits",), limit=40), 32, 3).images(range(40))
    mu, _ = bundle.encode(images)
    error = ((images.astype(float) - bundle.decode(mu)) ** 2).mean((1, 2, 3))
    assert figures["images"] == 40 and figures["psnr"] == pytest.approx(
        (10 * np.log10(255**2 / error)).mean(), abs=0.01
    )
    assert figures["active_units"] == (mu.var(0) > 0.01).sum() and -1 <= figures["ssim"] <= 1
    assert (
        "no data set"
        in refused(capsys, "evaluate", "--model", tiny_style_bundle, "--data", tmp_path / "nothing").lower()
    )


def test_psnr_and_ssim_of_equal_pictures():
    from vae.likeness import psnr, ssim

    a = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    assert (psnr(a, a) == 100).all() and np.allclose(ssim(a, a), 1)
    assert psnr(a[:1] * 0, a[:1] * 0 + 255)[0] == pytest.approx(0)
    assert ssim(a[:, :8, :8, :1], a[:, :8, :8, :1]).shape == (2,)


def test_train_export_decode(tmp_path, capsys):
    """The whole way, from pictures to a drawn picture."""
    run, bundle = tmp_path / "run", tmp_path / "little"
    settings = [
        "model.image_size=16",
        "model.width=0.125",
        "data.limit=200",
        "training.threads=1",
        "training.batch_size=16",
    ]
    options = [word for setting in settings for word in ("--set", setting)]
    assert (
        main(["train", "--preset", "vae", "--data", "sklearn-digits", "--steps", "4", "--out", str(run), *options]) == 0
    )
    assert main(["export", "--run", str(run), "--out", str(bundle), "--title", "Little digits", "--codes", "100"]) == 0
    made = open_bundle(bundle)
    assert made.title == "Little digits" and len(made.codes) == 100 and made.recipe["run"]["step"] == 4
    assert "python -m vae export --run run" in made.card and str(tmp_path) not in made.card
    assert str(tmp_path) not in (bundle / "config.json").read_text()
    assert main(["decode", "--model", str(bundle), "--out", str(tmp_path / "a.png")]) == 0
    assert "--force" in refused(capsys, "export", "--run", run, "--out", bundle)
    assert "checkpoint" in refused(capsys, "export", "--run", tmp_path / "none", "--out", tmp_path / "b")


def test_export_of_a_weights_file(tmp_path, capsys, monkeypatch):
    import dataclasses

    import torch

    from vae import config, presets
    from vae.networks.autoencoder import Autoencoder

    shape = config.ModelConfig("style", 32, 3, 4, width=0.0625, style_size=16)
    monkeypatch.setitem(presets.PRESETS, "tiny", dataclasses.replace(presets.PRESETS["sharp"], model=shape))
    torch.manual_seed(0)
    save_file(Autoencoder(shape).state_dict(), tmp_path / "w.safetensors")
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("test", 12)):
        (tmp_path / "photos" / part).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
                tmp_path / "photos" / part / f"{part}{i}.png"
            )
    rows = [f"{part}{i}.png,{i % 2},1" for part, count in (("train", 40), ("test", 12)) for i in range(count)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,Smiling,Attractive", *rows]))
    command = [
        "export",
        "--weights",
        tmp_path / "w.safetensors",
        "--preset",
        "tiny",
        "--data",
        tmp_path / "photos",
        "--under",
        "train",
    ]
    command += [
        "--test-under",
        "test",
        "--attributes",
        tmp_path / "labels.csv",
        "--eyes",
        11,
        16,
        20,
        16,
        "--note",
        "It is untrained.",
    ]
    command += ["--licence", "Non-commercial", "--codes", 30, "--out", tmp_path / "tiny"]
    assert main([str(word) for word in command]) == 0
    made = open_bundle(tmp_path / "tiny")
    assert made.eyes == ((11, 16), (20, 16)) and len(made.codes) == 30 and made.metrics["images"] == 12
    assert made.codes.label_names == ("Smiling",)  # labels that judge are left out
    assert "It is untrained." in made.card and made.licence == "Non-commercial" and str(tmp_path) not in made.card
    assert "--preset" in refused(capsys, "export", "--weights", tmp_path / "w.safetensors", "--out", tmp_path / "x")
    assert "--codes" in refused(capsys, *command[:-3], 1, "--out", tmp_path / "x")


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0 and all(word in text for word in ("train", "export", "evaluate", "decode"))
    for argv in ([], ["paint"]):
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert ended.value.code == 2
