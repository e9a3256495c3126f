"""The curvature of style offsets, on tiny models whose derivatives can be written out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vae.__main__ import main
from vae.bundles.bundle import open_bundle
from vae.bundles.contract import BundleError
from vae.bundles.folder import seal
from vae.config import ModelConfig
from vae.networks.autoencoder import Autoencoder
from vae.networks.weights import load_weights
from vae.photos import curvature, fitting, measure_curvature, refine

CONFIG = ModelConfig(architecture="style", image_size=32, channels=3, latent_size=8, width=0.0625, style_size=16)


@pytest.fixture(scope="module")
def fitter() -> fitting.Fitter:
    torch.manual_seed(0)
    return fitting.Fitter(CONFIG, Autoencoder(CONFIG).state_dict(), ((11, 16), (20, 16)), torch.float32)


def test_it_is_the_gauss_newton_matrix_of_each_level(fitter, monkeypatch):
    monkeypatch.setattr(measure_curvature, "SAMPLES", 200)
    z = np.ones((1, 8), np.float32)
    found = measure_curvature.measure(fitter, z)
    w = fitter.decoder.styles(torch.from_numpy(z))
    exact = torch.zeros_like(found)
    for k in range(4):
        rows = torch.autograd.functional.jacobian(lambda d: fitter.pictures(w + d)[k], torch.zeros_like(w))
        rows = rows.reshape(3, -1, 4, 16)  # (c, pixels, L, S)
        picture = 32 >> k
        weight = fitting.pyramid(fitting.face_weights(32, ((11, 16), (20, 16))))[k].flatten()
        weight = weight * (1 if k == 0 else 1 / 3)
        weight = weight / (3 * picture**2 * measure_curvature.ERRORS[k])
        exact += torch.einsum("cpls,p,cplt->lst", rows, weight, rows)
    for level in range(4):
        assert (found[level] - exact[level]).norm() < 0.1 * exact[level].norm()


def test_in_its_coordinates_all_directions_act_alike(fitter):
    found = measure_curvature.measure(fitter, np.random.default_rng(0).standard_normal((40, 8)))
    axes = curvature.coordinates(found)
    acts = torch.einsum("lks,lst,ljt->lkj", axes, found, axes)
    strong = torch.linalg.eigvalsh(found) > 0.1 * found.max()
    values = acts.diagonal(dim1=1, dim2=2)
    assert strong.any() and (values[strong] > 0.9).all() and (values < 1.001).all()
    assert torch.allclose(acts, torch.diag_embed(values), atol=1e-4)


def test_where_no_offset_acts_much_coordinates_stay_short():
    axes = curvature.coordinates(1e-6 * torch.eye(5).expand(2, 5, 5))
    assert (axes.norm(dim=2) <= curvature.DAMPING**-0.5).all()


def test_refining_gets_further_in_as_many_steps():
    """In a decoder that hardly looks at most mixtures of its style's numbers, as trained ones do."""
    torch.manual_seed(1)
    model = Autoencoder(CONFIG)
    turn = torch.linalg.qr(torch.randn(16, 16)).Q
    uneven = turn @ torch.diag(2 * torch.logspace(0, -2, 16)) @ turn.T
    weights = {k: v @ uneven if "affine.weight" in k else v for k, v in model.state_dict().items()}
    for key in weights:
        if "to_rgb" in key and "affine" not in key:
            weights[key] = 0.1 * weights[key]  # pictures within [-1, 1]
    eyes = ((11, 16), (20, 16))
    plain = fitting.Fitter(CONFIG, weights, eyes, torch.float32)
    z, offsets = torch.randn(4, 8), torch.randn(4, 4, 16)
    with torch.no_grad():
        photos = plain.decoder(z, offsets)
    found = measure_curvature.measure(plain, np.random.default_rng(0).standard_normal((40, 8)))
    alike = fitting.Fitter(CONFIG, weights, eyes, torch.float32, found)
    a, b = (list(one.run(photos, z, 12))[-1].psnr for one in (plain, alike))
    assert b.mean() > a.mean() + 1


def test_what_is_saved_comes_back(tmp_path):
    x = torch.randn(3, 6, 6)
    x = x @ x.transpose(1, 2) * torch.tensor([1e-6, 1.0, 1e3])[:, None, None]
    curvature.save(tmp_path, x)
    back = curvature.load(tmp_path, 3, 6)
    for a, b in zip(x, back):
        assert torch.allclose(a, b, atol=float(1e-3 * a.abs().max())) and torch.equal(b, b.T)
    assert curvature.load(tmp_path / "none", 3, 6) is None


def without(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle that has no curvature."""
    shutil.copytree(bundle, folder)
    (folder / curvature.CURVATURE_FILE).unlink()
    seal(folder, open_bundle(bundle).config)
    return folder


def test_an_export_has_it_and_the_command_adds_it(tiny_style_bundle, tmp_path, capsys):
    first = open_bundle(tiny_style_bundle)
    assert first.curved and refine.usual_steps(first) == refine.STEPS_CURVED
    folder = without(tiny_style_bundle, tmp_path / "older")
    assert refine.usual_steps(open_bundle(folder)) == refine.STEPS
    assert main(["curvature", "--model", str(folder)]) == 0
    again = open_bundle(folder)
    assert again.curved and again.card.count(f"\n{measure_curvature.HEADING}\n") == 1
    a, b = (curvature.load(one.path, again.levels, again.style_size) for one in (first, again))
    assert torch.allclose(a, b, atol=float(0.01 * a.abs().max()))
    assert main(["curvature", "--model", str(folder)]) == 0  # once more changes nothing
    assert open_bundle(folder).card == again.card


def test_a_flat_bundle_has_none(tiny_bundle, capsys):
    assert not open_bundle(tiny_bundle).curved
    assert main(["curvature", "--model", str(tiny_bundle)]) == 2
    assert "no styles" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: {**data, "triangles": data["triangles"][:, :-1]}, "triangles of shape"),
        (lambda data: {**data, "scale": np.full_like(data["scale"], np.nan)}, "not finite"),
        (lambda data: {"scale": data["scale"]}, "no array 'triangles'"),
    ],
)
def test_a_broken_file_is_named(tiny_style_bundle, tmp_path, change, words):
    folder = tmp_path / "broken"
    shutil.copytree(tiny_style_bundle, folder)
    with np.load(folder / curvature.CURVATURE_FILE) as data:
        changed = change(dict(data))
    np.savez(folder / curvature.CURVATURE_FILE, **changed)
    seal(folder, open_bundle(tiny_style_bundle).config)
    with pytest.raises(BundleError, match=f"broken/curvature.npz.*{words}"):
        open_bundle(folder)


def test_the_refining_worker_uses_it(tiny_style_bundle, tmp_path):
    bundle = open_bundle(tiny_style_bundle)
    older = open_bundle(without(tiny_style_bundle, tmp_path / "older"))
    z = np.random.default_rng(2).standard_normal((1, 8)).astype(np.float32)
    photo = bundle.decode(z, 0.5 * np.random.default_rng(3).standard_normal((1, 4, 16)))
    x = torch.from_numpy(photo).permute(0, 3, 1, 2) / 127.5 - 1
    with refine.Refiner() as refiner:
        for one in (bundle, older):
            job = refiner.start(one, photo, z, 8)
            assert job.wait(300) and job.state == "done", job.error
            found = curvature.load(one.path, one.levels, one.style_size)
            fitter = fitting.Fitter(one.model, load_weights(one.path), one.eyes, curvature=found)
            styles = [step for step in job.steps if step.step <= 3][-1]  # of 8 steps, 3 are the styles'
            *_, report = fitter.run(x, torch.from_numpy(z), 3)
            assert styles.step == 3 and np.array_equal(styles.delta, job.latest.delta)
            assert np.abs(report.delta.numpy() - styles.delta).max() < 0.05 * np.abs(styles.delta).max()
