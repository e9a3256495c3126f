from __future__ import annotations

import math

import pytest
import torch

from vae.config import ModelConfig, ObjectiveConfig
from vae.model import Autoencoder
from vae.objective import Beta, Critic, Draws, Objective, _deviation, psnr, reconstruction_loss, slerp

STYLE = ModelConfig("style", 32, 3, 8, width=0.0625, style_size=16)
CONV = ModelConfig("conv", 8, 1, 2, width=0.25)


def draws(n: int, config: ModelConfig, seed: int = 0) -> Draws:
    torch.manual_seed(seed)
    d = config.latent_size
    cut = torch.randint(1, max(2, config.levels), (n, 1))
    return Draws(torch.randn(n, d), torch.randn(n, d), torch.randn(n, d), torch.rand(n, 1), torch.rand(n, 1), cut)


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


def test_loss_is_reconstruction_plus_beta_kl() -> None:
    model, objective = Autoencoder(CONV), Objective(ObjectiveConfig(beta=0.5, weight=2.0), CONV)
    x, noise = torch.rand(4, 1, 8, 8) * 2 - 1, draws(4, CONV)
    terms = objective(model, x, noise)
    q = model.encode(x)
    reconstruction = reconstruction_loss(x, model.decode(q.sample(noise.eps)), "mse").mean()
    assert terms.total.item() == pytest.approx((2 * reconstruction + 0.5 * q.kl().sum(1).mean()).item(), rel=1e-5)
    assert not terms.fakes


def test_autoencoder_has_no_kl() -> None:
    config = CONV.replace(variational=False)
    terms = Objective(ObjectiveConfig(beta=1e6), config)(Autoencoder(config), torch.rand(4, 1, 8, 8), draws(4, config))
    assert "kl" not in terms.parts and terms.total.item() == pytest.approx(terms.parts["reconstruction"].item())


def test_warmup_grows_linearly() -> None:
    beta = Beta(ObjectiveConfig(kl="warmup", beta=4.0, warmup=0.5))
    assert [beta.value(p).item() for p in (0.0, 0.125, 0.5, 1.0)] == pytest.approx([0, 1, 4, 4])


def test_controller_step_and_limits() -> None:
    beta = Beta(ObjectiveConfig(kl="target", beta=1e-3, kl_target=200.0))
    start = math.log(1e-3)
    beta.update(torch.tensor(300.0))
    assert beta.log_beta.item() == pytest.approx(start + 0.01 * 0.5, abs=1e-5)
    beta.update(torch.tensor(1e9))
    assert beta.log_beta.item() == pytest.approx(start + 0.015, abs=1e-5)
    beta.update(torch.tensor(0.0))
    assert beta.log_beta.item() == pytest.approx(start + 0.005, abs=1e-5)


def test_controller_reaches_its_target() -> None:
    beta = Beta(ObjectiveConfig(kl="target", beta=1e-3, kl_target=50.0, kl_gain=0.05))
    for _ in range(2000):
        kl = 10 / beta.value(0.5).sqrt()  # KL falls with beta, as a model's does
        beta.update(kl)
    assert kl.item() == pytest.approx(50, rel=0.01)


def test_steering_holds_beta_and_survives_a_checkpoint() -> None:
    beta = Beta(ObjectiveConfig(kl="warmup", beta=4.0))
    beta.steer(beta=0.25)
    again = Beta(ObjectiveConfig(kl="warmup", beta=4.0))
    again.load_state_dict(beta.state_dict())
    assert again.value(1.0).item() == again.value(0.0).item() == 0.25
    controlled = Beta(ObjectiveConfig(kl="target", kl_target=10.0, beta=1.0))
    controlled.steer(beta=0.0)
    controlled.steer(target=20.0)
    controlled.update(torch.tensor(15.0))
    assert controlled.value(0.0).item() == pytest.approx(math.exp(-0.01 * 0.25), rel=1e-5)


def test_discriminator_joins_by_progress() -> None:
    objective = Objective(ObjectiveConfig(adversarial=0.5, adversarial_start=0.5, adversarial_ramp=0.25), STYLE)
    assert [objective.sharpness(p) for p in (0, 0.49, 0.5, 0.625, 0.75, 1)] == pytest.approx([0, 0, 0, 0.5, 1, 1])
    abrupt = Objective(ObjectiveConfig(adversarial=0.5, adversarial_start=0.5, adversarial_ramp=0.0), STYLE)
    assert [abrupt.sharpness(p) for p in (0.49, 0.5)] == [0, 1]


def test_discriminator_wants_a_style_model() -> None:
    with pytest.raises(ValueError, match="'conv' model has no discriminator; use 0"):
        Objective(ObjectiveConfig(adversarial=0.5), CONV)


@pytest.mark.parametrize("size", [32, 256])
def test_critic_shapes(size: int) -> None:
    config = STYLE.replace(image_size=size)
    scores, features = Critic(config)(torch.randn(4, 3, size, size))
    assert scores.shape == (4,)
    assert [f.shape[-1] for f in features] == [size >> (i + 1) for i in range(config.levels - 1)]


def test_critic_of_the_published_size() -> None:
    with torch.device("meta"):
        critic = Critic(ModelConfig("style", 128, 3, 128))
    widths = [critic.from_rgb.weight.shape[0], *(block.conv2.weight.shape[0] for block in critic.blocks)]
    assert widths == [48, 96, 160, 288, 512, 512] and critic.conv.weight.shape[1] == 513


def test_minibatch_deviation_sees_neighbours_only() -> None:
    x = torch.zeros(8, 2, 4, 4)
    x[4:] = torch.randn(4, 2, 4, 4)
    found = _deviation(x)
    assert found.shape == (8, 1, 4, 4)
    assert found[:4].max() < 1e-3 and found[4:].min() > 0.1
    assert _deviation(torch.randn(3, 2, 4, 4)).shape == (3, 1, 4, 4)


def test_latents_are_slerps_mixes_and_draws() -> None:
    n, objective = 6, Objective(ObjectiveConfig(adversarial=0.5), STYLE)
    noise, z = draws(n, STYLE), torch.randn(n, 8)
    noise.kind = torch.tensor([0.0, 0.29, 0.31, 0.59, 0.61, 0.99])[:, None]
    codes = objective.latents(z, noise)
    assert codes.shape == (n, STYLE.levels, 8)
    between = slerp(z, z.roll(1, 0), noise.t)
    for i in (0, 1):
        assert torch.allclose(codes[i], between[i].expand(STYLE.levels, 8))
    for i in (2, 3):
        cut = int(noise.cut[i])
        assert 1 <= cut < STYLE.levels
        assert (codes[i, :cut] == noise.a[i]).all() and (codes[i, cut:] == noise.b[i]).all()
    for i in (4, 5):
        assert (codes[i] == noise.a[i]).all()


def test_adversarial_terms_reach_the_right_networks() -> None:
    torch.manual_seed(0)
    model = Autoencoder(STYLE)
    objective = Objective(ObjectiveConfig(adversarial=0.5, reconstruction="multiscale"), STYLE)
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    objective.critic.requires_grad_(False)
    terms = objective(model, x, draws(4, STYLE), progress=1.0)
    terms.total.backward()
    assert all(p.grad is not None for p in model.parameters())
    assert {"adversarial", "feature"} <= terms.parts.keys() and [f.shape for f in terms.fakes] == [x.shape] * 2
    objective.critic.requires_grad_(True)
    model.zero_grad()
    loss, parts = objective.discriminator(x, terms.fakes, penalise=True)
    loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    assert all(p.grad is not None for p in objective.critic.parameters())
    assert loss.item() == pytest.approx((parts["discriminator"] + 8 * parts["penalty"]).item(), rel=1e-5)


def test_discriminator_learns_to_tell_them_apart() -> None:
    torch.manual_seed(0)
    objective = Objective(ObjectiveConfig(adversarial=0.5), STYLE)
    optimiser = torch.optim.Adam(objective.critic.parameters(), lr=2e-3, betas=(0.0, 0.99))
    losses = []
    for step in range(24):
        x = torch.rand(8, 3, 32, 32).round() * 2 - 1
        loss, parts = objective.discriminator(x, [torch.zeros_like(x), 0.1 * torch.randn_like(x)], step % 8 == 0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(parts["discriminator"].item())
    assert losses[0] == pytest.approx(math.log(2), abs=0.3) and losses[-1] < 0.3
