"""Light decoders: how they begin, what they learn, and how bundle, API and command line use them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import make_tiny_bundle
from vae.__main__ import main
from vae.bundles.bundle import open_bundle
from vae.bundles.contract import BundleError
from vae.config import ConfigError, ModelConfig
from vae.distilling import distil
from vae.likeness import psnr
from vae.networks.autoencoder import StyleDecoder
from vae.networks.weights import load_light, load_weights

WIDE = dict(width=0.25, linear=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("models"), "style", **WIDE)


@pytest.fixture(scope="module")
def light(folder: Path):
    """A bundle with a light decoder, distilled for a few steps."""
    torch.set_num_threads(2)
    assert main(["distil", "--model", str(folder), "--steps", "80", "--batch", "8"]) == 0
    return open_bundle(folder)


def pair(share: float = 0.5, noise: bool = False) -> tuple[StyleDecoder, StyleDecoder]:
    torch.manual_seed(0)
    model = ModelConfig("style", 32, 3, 8, style_size=16, noise=noise, **WIDE)
    decoders = StyleDecoder(model), StyleDecoder(distil.light_config(model, share))
    for key, value in decoders[0].state_dict().items():
        if key.endswith("strength"):
            value.normal_()
    return decoders


def test_features_are_those_of_the_decoder() -> None:
    decoder, _ = pair()
    z = torch.randn(2, 8)
    with torch.no_grad():
        w = decoder.styles(z)
        *_, (_, rgb) = decoder.maps(w)
        assert torch.allclose(rgb + decoder.linear_image(z), decoder(z), atol=1e-5)
        assert len(list(decoder.maps(w))) == len(distil._readers(decoder)) == 2 * decoder_levels(decoder)


def decoder_levels(decoder: StyleDecoder) -> int:
    return len(decoder.to_rgb)


@pytest.mark.parametrize("noise", [False, True])
def test_channels_that_nobody_reads_are_cut_without_a_trace(noise: bool) -> None:
    teacher, student = pair(noise=noise)
    z = torch.randn(16, 8)
    with torch.no_grad():
        w = teacher.styles(z)
        # Silence half of the channels of every map: the student can then be the teacher.
        silent = []
        for readers in distil._readers(teacher):
            channels = readers[0][0].affine.weight.shape[0]
            gone = torch.randperm(channels)[: channels // 2]
            silent.append(set(gone.tolist()))
            for layer, _ in readers:
                layer.weight[:, gone] = 0
        kept = distil.choose_channels(teacher, student, w)
        assert all(not set(k.tolist()) & gone for k, gone in zip(kept, silent))
        distil.prune(teacher, student, kept)
        delta = 0.3 * torch.randn(16, decoder_levels(teacher), 16)
        assert torch.allclose(student(z, delta), teacher(z, delta), atol=1e-4)


def test_codes_are_finite_and_within_reach(folder: Path) -> None:
    bundle = open_bundle(folder)
    source = distil.CodeSource(bundle)
    z = source.draw(np.random.default_rng(0), 300)
    assert z.shape == (300, 4, 8) and z.dtype == np.float32
    assert (np.abs(z - bundle.stats.mean) <= 6 * bundle.stats.std + 1e-4).all()
    mixed = (z[:, 0] != z[:, -1]).any(1).mean()
    assert 0.2 < mixed < 0.5
    again = source.draw(np.random.default_rng(0), 300)
    assert (z == again).all()


def test_distilling_comes_nearer_than_cutting(folder: Path, light) -> None:
    torch.manual_seed(0)
    assert light.light and light.metrics["light_psnr"] == pytest.approx(distil.measure(light)["light_psnr"], abs=0.02)
    z = distil.CodeSource(light).draw(np.random.default_rng(1), 64)
    teacher, cut = StyleDecoder(light.model), StyleDecoder(distil.light_config(light.model, 0.5))
    teacher.load_state_dict({k[8:]: v for k, v in load_weights(folder).items() if k.startswith("decoder.")})
    with torch.no_grad():
        distil.prune(teacher, cut, distil.choose_channels(teacher, cut, teacher.styles(torch.from_numpy(z))))
        drawn = ((cut(torch.from_numpy(z)).clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    full = light.decode(z)
    assert psnr(full, light.decode(z, quick=True)).mean() > psnr(full, drawn).mean() + 1.5


def test_a_decoder_with_noise_is_distilled_with_its_noise(tmp_path: Path) -> None:
    folder = make_tiny_bundle(tmp_path, "style", width=0.25, noise=True, offsets=True)
    bundle = open_bundle(folder)
    made, _ = distil.distil(bundle, distil.DistilConfig(steps=6, batch_size=4), lambda text: None)
    full = load_weights(folder)
    maps = {key: value for key, value in made.state_dict().items() if key.endswith("noise")}
    assert len(maps) == 7 and all(torch.equal(value, full[f"decoder.{key}"]) for key, value in maps.items())
    assert made.conv_first.strength.shape == (distil.light_config(bundle.model, 0.5).width_at(4),)
    distil.install(bundle, made, 0.5, "by hand")
    again = open_bundle(folder)
    z, delta = torch.randn(2, 4, 8), 0.3 * torch.randn(2, 4, 16)
    with torch.no_grad():
        drawn = made(z, delta).numpy()
    apart = np.abs(again.decode_float(z.numpy(), delta.numpy(), quick=True) - drawn)
    assert again.light and apart.max() < 5e-3 * np.abs(drawn).max()  # weights are stored in half precision


def test_going_on_keeps_what_a_light_decoder_has_of_its_teacher() -> None:
    teacher, student = pair(noise=True)
    begin = {key: torch.randn_like(value) for key, value in student.state_dict().items()}
    distil.prune(teacher, student, distil.choose_channels(teacher, student, teacher.styles(torch.randn(4, 8))))
    distil.resume(student, begin)
    full = teacher.state_dict()
    for key, value in student.state_dict().items():
        # Codes, offsets and noise mean the same in both decoders.
        shared = key.startswith(("mapping.", "linear.")) or key.endswith(".noise")
        assert torch.equal(value, (full if shared else begin)[key]), key
    del begin["conv_first.bias"]
    with pytest.raises(ValueError, match="has other sizes"):
        distil.resume(student, begin)


def test_a_light_decoder_may_go_on_from_one_that_is_there(light, tmp_path: Path, capsys) -> None:
    folder = make_tiny_bundle(tmp_path, "style", name="kin", **WIDE)
    words = ["distil", "--model", str(folder), "--steps", "1", "--batch", "2", "--lr", "1e-9", "--start-from"]
    assert main([*words, str(light.path)]) == 0
    ours, theirs = load_light(folder), load_light(light.path)
    assert ours.keys() == theirs.keys() and all(torch.allclose(ours[k], theirs[k], atol=1e-3) for k in ours)
    assert f"--start-from {light.path.name}" in open_bundle(folder).card
    capsys.readouterr()
    assert main([*words, str(light.path), "--width", "0.25"]) == 2
    assert "has other sizes; name its --width" in capsys.readouterr().err
    assert main([*words, str(tmp_path)]) == 2 and "light.onnx cannot be read" in capsys.readouterr().err


def test_going_on_comes_nearer(light, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(light.path, tmp_path / light.path.name))
    words = ["distil", "--model", str(folder), "--steps", "60", "--batch", "8", "--start-from", str(folder)]
    assert main(words) == 0
    assert open_bundle(folder).metrics["light_psnr"] > light.metrics["light_psnr"] + 0.3


def test_a_light_decoder_takes_codes_and_offsets_as_the_full_one_does(light) -> None:
    z = np.random.default_rng(0).standard_normal((3, 8)).astype("f4")
    quick = light.decode(z, quick=True)
    assert quick.shape == (3, 32, 32, 3) and (light.decode(z[1], quick=True)[0] == quick[1]).all()
    assert (quick != light.decode(z)).any()
    delta = np.zeros((4, 16), "f4")
    assert (light.decode(z[0], delta, quick=True) == quick[:1]).all()
    delta[2:] = 1
    assert (light.decode(z[0], delta, quick=True) != quick[:1]).any()
    assert light.decode(z, size=16, quick=True).shape == (3, 16, 16, 3)
    assert (light.decode_small(z, 8) == quick).all()


def test_without_a_light_decoder_the_full_one_draws(tiny_style_bundle: Path) -> None:
    bundle = open_bundle(tiny_style_bundle)
    z = np.ones((1, 8))
    assert not bundle.light and (bundle.decode(z, quick=True) == bundle.decode(z)).all()
    assert bundle.decode_small(z, 8).shape == (1, 8, 8, 3) and bundle.decode_small(z, 20).shape == (1, 32, 32, 3)


def test_the_card_tells_of_it_once(folder: Path, light, tmp_path: Path, capsys) -> None:
    # A copy: the other tests load the decoder of the shared folder, in whatever order they run.
    folder = Path(shutil.copytree(folder, tmp_path / folder.name))
    first = light.card
    assert first.count(distil.HEADING) == 1 and "python -m vae distil --model tiny-style" in first
    assert f"{light.metrics['light_psnr']:.2f} dB" in first and str(folder) not in first
    assert main(["distil", "--model", str(folder), "--steps", "2", "--batch", "4"]) == 0
    again = open_bundle(folder)
    assert again.card.count(distil.HEADING) == 1 and again.digest != light.digest
    assert again.card.split(distil.HEADING)[0].rstrip() == first.split(distil.HEADING)[0].rstrip()
    assert "dB against the full one" in capsys.readouterr().out
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_damaged_light_decoder_is_refused(folder: Path, light, tmp_path: Path) -> None:
    from vae.bundles.folder import seal

    bad = tmp_path / "bad"
    shutil.copytree(folder, bad)
    (bad / "light.onnx").write_bytes((bad / "encoder.onnx").read_bytes())
    with pytest.raises(BundleError, match="light.onnx is not the file that was exported"):
        open_bundle(bad)
    config = json.loads((bad / "config.json").read_text())
    del config["files"]
    seal(bad, config)
    with pytest.raises(BundleError, match="light.onnx has"):
        open_bundle(bad)


def test_the_light_decoder_that_ships() -> None:
    bundle = open_bundle(Path(__file__).resolve().parents[2] / "assets" / "models" / "faces-128")
    found = distil.measure(bundle, 64)
    assert found["light_psnr"] == pytest.approx(bundle.metrics["light_psnr"], abs=0.7)
    assert found["light_ssim"] == pytest.approx(bundle.metrics["light_ssim"], abs=0.03)
    assert f"{bundle.metrics['light_psnr']:.2f} dB" in bundle.card and bundle.metrics["light_psnr"] > 28


def test_what_cannot_be_distilled_is_refused(tiny_bundle: Path, capsys) -> None:
    assert main(["distil", "--model", str(tiny_bundle), "--minutes", "0.1"]) == 2
    assert "has no styles" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="width"):
        distil.DistilConfig(width=1.0)
