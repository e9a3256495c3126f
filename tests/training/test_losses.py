from __future__ import annotations

import math

import pytest
import torch

from vae.networks.autoencoder import Posterior
from vae.training.losses import covariance_penalty, psnr, recolour, reconstruction_loss, slerp


def test_reconstruction_units() -> None:
    x, y = torch.zeros(2, 3, 8, 8), torch.stack([torch.full((3, 8, 8), 0.5), torch.zeros(3, 8, 8)])
    assert reconstruction_loss(x, y, "mse").tolist() == pytest.approx([0.5 * 192 * 0.25, 0])
    assert reconstruction_loss(x, y, "l1").tolist() == pytest.approx([192 * 0.5, 0])
    assert reconstruction_loss(x, y, "multiscale").tolist() == pytest.approx([1.0, 0])


def test_multiscale_forgives_fine_errors_at_coarse_sizes() -> None:
    x = torch.zeros(1, 1, 16, 16)
    checks = torch.ones(16, 16)
    checks[::2, ::2] = checks[1::2, 1::2] = -1
    assert reconstruction_loss(x, checks[None, None], "multiscale").item() == pytest.approx(1.0)


def test_mse_is_the_gaussian_likelihood() -> None:
    x, y = torch.randn(3, 1, 8, 8), torch.randn(3, 1, 8, 8)
    nll = -torch.distributions.Normal(y, 1.0).log_prob(x).flatten(1).sum(1)
    assert torch.allclose(reconstruction_loss(x, y, "mse"), nll - 64 * 0.5 * math.log(2 * math.pi), atol=1e-3)


def test_psnr_of_a_known_error() -> None:
    x = torch.zeros(1, 1, 4, 4)
    assert psnr(x, x + 0.2).item() == pytest.approx(20.0, abs=1e-3)
    assert psnr(x + 1, x + 5).item() == pytest.approx(106, abs=1)  # clamped before it is measured


def test_slerp_ends_and_length() -> None:
    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    at = lambda t: slerp(a, b, torch.tensor([[t]]))  # noqa: E731
    assert torch.allclose(at(0.0), a, atol=1e-5) and torch.allclose(at(1.0), b, atol=1e-5)
    assert torch.allclose(at(0.5), torch.full((1, 2), 3 / math.sqrt(2)), atol=1e-5)
    assert torch.isfinite(slerp(a, a, torch.tensor([[0.5]]))).all()
    assert torch.isfinite(slerp(a, -a, torch.tensor([[0.5]]))).all()


def test_covariance_penalty_of_a_standard_normal_cloud_is_nothing() -> None:
    mu = torch.cat([torch.eye(3), -torch.eye(3)])  # covariance I / 3
    assert covariance_penalty(Posterior(mu, torch.full((6, 3), math.log(2 / 3)))).item() == pytest.approx(0, abs=1e-12)
    z = torch.randn(4000, 8, generator=torch.Generator().manual_seed(0))
    penalty = covariance_penalty(Posterior(z, torch.full_like(z, -30.0)))
    assert penalty.item() == pytest.approx(9 / 4000, rel=0.5)  # about d / N is left to chance


@pytest.mark.parametrize(
    ("mu", "expected"),
    [
        ([[1.0, 0.0], [3.0, 0.0]], 0.25 + 2.0),  # C = diag(1.5, 0.5) around (2, 0)
        ([[1.0, 1.0], [-1.0, -1.0]], 1.25),  # C = [[1.5, 1], [1, 1.5]]
    ],
)
def test_covariance_penalty_by_hand(mu: list[list[float]], expected: float) -> None:
    q = Posterior(torch.tensor(mu), torch.tensor([[0.25, 0.75], [0.75, 0.25]]).log())  # mean variance 1/2
    assert covariance_penalty(q).item() == pytest.approx(expected, rel=1e-6)


def test_recolouring_by_hand() -> None:
    x = torch.rand(1, 3, 8, 8) - 0.5
    change = lambda *u, strength=0.2: recolour(x, torch.tensor([u]), strength)  # noqa: E731
    assert torch.allclose(change(0.5, 0.5, 0.9), x) and torch.allclose(change(0.5, 0.5, 0.1), x.flip(3))
    assert torch.allclose(change(1.0, 0.5, 0.9), x + 0.2) and torch.allclose(change(0.0, 0.5, 0.9), x - 0.2)
    assert torch.allclose(change(0.5, 1.0, 0.9), x.mean() + 1.2 * (x - x.mean()), atol=1e-6)
    assert torch.equal(change(0.9, 0.2, 0.9, strength=0.0), change(0.5, 0.5, 0.9, strength=0.0))
