"""The Lab's commands: a report of a set, and pictures to .lsz files and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.test_cli import refused
from vae.__main__ import main
from vae.bundles.bundle import open_bundle
from vae.data.pictures import read_image
from vae.evaluation import lab, lab_report, lsz, picked, reconstructing


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of this test alone."""
    monkeypatch.setenv("VAE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_report_of_a_set(tiny_bundle: Path, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.html"
    command = ["lab", "--model", str(tiny_bundle), "--data", "sklearn-digits", "--limit", "6", "--denoise", "2"]
    command += ["--bytes", "40", "400", "--sigma", "25", "--modes", "1", "--processes", "1", "--out", str(out)]
    assert main(command) == 0
    figures = json.loads(out.with_suffix(".json").read_text())
    assert figures["model"]["digest"] == open_bundle(tiny_bundle).digest and figures["data"]["pictures"] == 6
    assert figures["lsz"]["exact"] and list(figures["compress"]["budgets"]) == ["40", "400"]
    assert [row["id"] for row in figures["compress"]["budgets"]["400"]][:2] == ["vae", "pca"]
    assert figures["denoise"]["pictures"] == 2 and "mode" in [row["id"] for row in figures["modes"]["sigmas"]["25"]]
    worst = [row["psnr"] for row in figures["reconstruct"]["rows"]]
    assert worst == sorted(worst) and len(worst) == 6
    page, said = out.read_text(), capsys.readouterr().out
    assert "In at most 40 bytes" in said and "came back exactly" in page
    assert "http" not in page and "src=" not in page  # it needs nothing beside itself
    assert figures["data"]["digest"] in page and "constriction" in page


def test_the_figures_do_not_depend_on_the_processes(tiny_bundle: Path, home: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    pictures = bundle.decode(bundle.codes.mu[:4])
    names = [f"{i}.png" for i in range(4)]
    found = []
    for processes in (0, 2):
        plan = lab.Plan((60,), (50,), denoise=2, processes=processes, perceived=False)
        figures = lab.study(bundle, pictures, names, None, None, plan)
        found.append(json.dumps(figures))
    assert found[0] == found[1]
    with pytest.raises(ValueError, match="no pictures"):
        lab.study(bundle, pictures[:0], [], None, None, lab.Plan(processes=0))


def test_names_from_strangers_are_escaped() -> None:
    rows = [{"name": "<script>alert(1)</script>", "psnr": 1.0, "nats": 1.0}]
    figures = {
        "model": {"name": "m", "title": "<b>M", "digest": "d"}, "data": {"pictures": 1, "digest": "e", "name": "<i>"},
        "reconstruct": {"rows": rows, "mean": {}},
    }  # fmt: skip
    page = lab_report.as_html(figures)
    assert "<script" not in page and "<b>M" not in page and "<i>" not in page and "&lt;script&gt;" in page
    text = reconstructing.as_csv([{"name": "=cmd()", "psnr": 1.0}])
    assert text.splitlines()[1].startswith("'=cmd()")


def test_only_methods_that_could_do_all_compete() -> None:
    rows = [
        {"id": "damaged", "title": "", "psnr": 99.0}, {"id": "a", "title": "", "psnr": 20.0, "share": 1, "perceptual": 0.3},
        {"id": "b", "title": "", "psnr": 30.0, "share": 0.5, "perceptual": 0.1}, {"id": "c", "title": "", "psnr": 10.0, "perceptual": 0.2},
    ]  # fmt: skip
    assert lab_report.winners(rows) == {"psnr": 1, "perceptual": 3}


def test_pca_is_of_the_training_pictures_where_they_come_along_else_of_codes(tiny_bundle: Path, home: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    bundle.recipe = {"data": {"sources": ["sklearn-digits"], "seed": 0, "validation": 0.1}}
    split = picked.known_split(bundle)
    assert len(split[0]) + len(split[1]) == 1797
    bundle.recipe = {"data": {"sources": ["/etc"]}}
    assert picked.known_split(bundle) is None  # a path is none of a bundle's business
    made = picked.fitted_pca(bundle)
    assert "as the model redraws them" in made.source
    assert picked.fitted_pca(bundle).digest == picked.Pca.load(picked.pca_file(bundle)).digest


def test_compress_and_decompress(tiny_style_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = open_bundle(tiny_style_bundle)
    picture, file, again = (tmp_path / name for name in ("in.png", "out.lsz", "again.png"))
    Image.fromarray(bundle.decode(bundle.codes.mu[:1])[0]).save(picture)
    model = ["--model", str(tiny_style_bundle)]
    assert main(["compress", str(picture), str(file), "--as-it-is", *model]) == 0
    assert main(["decompress", str(file), str(again), *model]) == 0
    packed = lsz.decode(bundle, file.read_bytes())
    mu, _ = bundle.encode(read_image(picture.read_bytes())[None])
    assert np.array_equal(packed.symbols, lsz.encode(bundle, mu).symbols)
    assert np.array_equal(np.asarray(Image.open(again)), bundle.decode(lsz.codes_of(bundle, packed))[0])
    assert main(["compress", str(picture), str(file), "--as-it-is", "--bytes", "13", *model]) == 0
    assert len(file.read_bytes()) <= 13


def test_commands_refuse_in_a_sentence(tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--model", tiny_bundle]
    text = tmp_path / "a.lsz"
    text.write_bytes(b"hello")
    assert "no .lsz file" in refused(capsys, "decompress", text, tmp_path / "a.png")
    text.write_bytes(b"LS\x01\xde\xad\xbe\xef" + bytes(20))
    assert "deadbeef" in refused(capsys, "decompress", text, tmp_path / "a.png")
    assert ".lsz" in refused(capsys, "compress", text, tmp_path / "a.zip", *model)
    assert ".png" in refused(capsys, "decompress", text, tmp_path / "a.jpg")
    assert "12 to" in refused(
        capsys, "lab", *model, "--data", "sklearn-digits", "--limit", "2", "--bytes", "3", "--processes", "1"
    )
    assert "0 to 100" in refused(capsys, "lab", *model, "--data", "sklearn-digits", "--limit", "2", "--sigma", "300")
    assert "--processes" in refused(capsys, "lab", *model, "--data", "sklearn-digits", "--processes", "0")
