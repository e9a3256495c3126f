from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from vae.config import ModelConfig, ObjectiveConfig
from vae.networks.autoencoder import Autoencoder, Posterior
from vae.training.losses import covariance_penalty, recolour, reconstruction_loss, slerp
from vae.training.objective import Draws, Objective

STYLE = ModelConfig("style", 32, 3, 8, width=0.0625, style_size=16)
CONV = ModelConfig("conv", 8, 1, 2, width=0.25)


def draws(n: int, config: ModelConfig, seed: int = 0) -> Draws:
    torch.manual_seed(seed)
    d = config.latent_size
    cut = torch.randint(1, max(2, config.levels), (n, 1))
    return Draws(torch.randn(n, d), torch.randn(n, d), torch.randn(n, d), torch.rand(n, 1), torch.rand(n, 1), cut)


def answering(y: Tensor, d: int = 8) -> SimpleNamespace:
    """A model whose every code is decoded to y (N, c, s, s)."""
    q = Posterior(torch.zeros(len(y), d), torch.zeros(len(y), d))
    return SimpleNamespace(encode=lambda x: q, decode=lambda z, delta=None: y.repeat(len(z) // len(y), 1, 1, 1))


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


def test_discriminator_joins_by_progress() -> None:
    objective = Objective(ObjectiveConfig(adversarial=0.5, adversarial_start=0.5, adversarial_ramp=0.25), STYLE)
    assert [objective.sharpness(p) for p in (0, 0.49, 0.5, 0.625, 0.75, 1)] == pytest.approx([0, 0, 0, 0.5, 1, 1])
    abrupt = Objective(ObjectiveConfig(adversarial=0.5, adversarial_start=0.5, adversarial_ramp=0.0), STYLE)
    assert [abrupt.sharpness(p) for p in (0.49, 0.5)] == [0, 1]


def test_discriminator_wants_a_style_model() -> None:
    with pytest.raises(ValueError, match="'conv' model has no discriminator; use 0"):
        Objective(ObjectiveConfig(adversarial=0.5), CONV)


def test_latents_are_slerps_mixes_and_draws() -> None:
    n, objective = 6, Objective(ObjectiveConfig(adversarial=0.5), STYLE)
    noise, z = draws(n, STYLE), torch.randn(n, 8)
    noise.kind = torch.tensor([0.0, 0.29, 0.31, 0.59, 0.61, 0.99])[:, None]
    codes, _ = objective.latents(z, noise)
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


# ---------------------------------------------------------------- covariance


def test_covariance_joins_the_loss_and_reaches_the_encoder() -> None:
    model, x, noise = Autoencoder(CONV), torch.rand(4, 1, 8, 8), draws(4, CONV)
    plain, held = (Objective(ObjectiveConfig(beta=0.5, covariance=w), CONV)(model, x, noise) for w in (0.0, 3.0))
    penalty = covariance_penalty(model.encode(x))
    assert "covariance" not in plain.parts and held.parts["covariance"].item() == pytest.approx(penalty.item())
    assert (held.total - plain.total).item() == pytest.approx(3 * penalty.item(), rel=1e-4)
    (held.total - plain.total).backward()
    assert all(p.grad.any() for p in model.encoder.parameters())
    with pytest.raises(ValueError, match="a plain autoencoder has no posterior; use 0"):
        Objective(ObjectiveConfig(covariance=0.1), CONV.replace(variational=False))


# ---------------------------------------------------------------- perceptual


def test_perceptual_term_falls_as_the_reconstruction_comes_nearer() -> None:
    torch.manual_seed(0)
    x, error = torch.rand(2, 3, 32, 32) * 2 - 1, torch.randn(2, 3, 32, 32)
    found, far = [], (x + 0.5 * error).requires_grad_()
    for y in (far, x + 0.1 * error, x + 0.02 * error, x):
        terms = [
            Objective(ObjectiveConfig(perceptual=w, perceptual_side=32), STYLE)(answering(y), x, draws(2, STYLE), 0.0)
            for w in (0.0, 2.0)
        ]
        assert "perceptual" not in terms[0].parts
        found.append(terms[1].parts["perceptual"].item())
        assert (terms[1].total - terms[0].total).item() == pytest.approx(2 * found[-1], abs=1e-2 * found[0])
        if y is far:
            (terms[1].total - terms[0].total).backward()
    assert found[0] > found[1] > found[2] > 1e-5 and found[3] == pytest.approx(0, abs=1e-6)
    assert torch.isfinite(far.grad).all() and far.grad.any()


def test_perceptual_network_stays_exact_under_autocast() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    objective = Objective(ObjectiveConfig(perceptual=1.0, perceptual_side=32), STYLE)
    answers = [
        objective(answering(x + 0.02 * torch.ones_like(x)), x, draws(2, STYLE), 0.0, autocast).parts["perceptual"]
        for autocast in (None, torch.autocast("cpu", torch.bfloat16))
    ]
    assert answers[1].dtype == torch.float32 and torch.equal(*answers) and answers[0] > 0


def test_perceptual_network_moves_along_but_is_not_the_objectives_own() -> None:
    objective = Objective(ObjectiveConfig(perceptual=1.0, perceptual_side=32), STYLE)
    plain = Objective(ObjectiveConfig(), STYLE)
    assert objective.state_dict().keys() == plain.state_dict().keys() and not list(objective.parameters())
    assert plain.perceptual is None and objective.perceptual.side == 32
    objective.to("meta")
    tensors = [*objective.perceptual.parameters(), *objective.perceptual.buffers()]
    assert tensors and all(t.is_meta for t in tensors)


# ---------------------------------------------------------------- style offsets and the fitted prior

OFFSETS = STYLE.replace(offsets=True)


def offset_model() -> Autoencoder:
    """A model whose encoder reads offsets, which training begins at 0."""
    torch.manual_seed(1)
    model = Autoencoder(OFFSETS)
    torch.nn.init.normal_(model.encoder.offsets[1].weight, std=3)
    return model


def test_half_of_the_reconstructions_have_offsets() -> None:
    model, x, noise = offset_model(), torch.rand(4, 3, 32, 32) * 2 - 1, draws(4, OFFSETS)
    noise.keep = torch.tensor([0.0, 0.49, 0.51, 0.99])[:, None]
    q = model.encode(x)
    z = q.sample(noise.eps)
    with_them, without = model.decode(z, q.delta), model.decode(z)
    assert (with_them - without).abs().mean() > 0.01
    expected = torch.cat([with_them[:2], without[2:]])
    for progress, objective in (
        (0.0, Objective(ObjectiveConfig("multiscale"), OFFSETS)),
        (1.0, Objective(ObjectiveConfig("multiscale", adversarial=0.5), OFFSETS)),
    ):
        terms = objective(model, x, noise, progress)
        wanted = reconstruction_loss(x, expected, "multiscale").mean()
        assert terms.parts["reconstruction"].item() == pytest.approx(wanted.item(), rel=1e-4)
        assert not terms.fakes or torch.allclose(terms.fakes[0], expected, atol=1e-4)


def test_offsets_are_kept_small() -> None:
    model, x, noise = offset_model(), torch.rand(4, 3, 32, 32) * 2 - 1, draws(4, OFFSETS)
    noise.keep = torch.ones(4, 1)  # no reconstruction has them: only their size counts
    free, held = (Objective(ObjectiveConfig("multiscale", offsets=w), OFFSETS)(model, x, noise) for w in (0.0, 3.0))
    size = model.encode(x).delta.square().mean().item()
    assert held.parts["offsets"].item() == pytest.approx(size, rel=1e-5) and size > 0.01
    assert (held.total - free.total).item() == pytest.approx(3 * size, rel=1e-2)
    (held.total - free.total).backward()
    assert all(p.grad.any() for p in model.encoder.offsets.parameters())
    plain = Objective(ObjectiveConfig(), STYLE)(Autoencoder(STYLE), x, draws(4, STYLE))
    assert "offsets" not in plain.parts


def test_blends_take_offsets_between_those_of_their_pictures() -> None:
    n, objective = 6, Objective(ObjectiveConfig(adversarial=0.5), OFFSETS)
    noise, z, delta = draws(n, OFFSETS), torch.randn(n, 8), torch.randn(n, 4, 16, requires_grad=True)
    noise.kind = torch.tensor([0.0, 0.1, 0.2, 0.29, 0.31, 0.99])[:, None]
    noise.t[:3] = torch.tensor([[0.0], [1.0], [0.25]])
    codes, between = objective.latents(z, noise, delta)
    assert codes.shape == (n, 4, 8) and between.shape == delta.shape and not between.requires_grad
    assert torch.equal(between[0], delta[0]) and torch.allclose(codes[0], z[0].expand(4, 8), atol=1e-5)
    assert torch.allclose(between[1], delta[0], atol=1e-6) and torch.allclose(codes[1], z[0].expand(4, 8), atol=1e-5)
    assert torch.allclose(between[2], 0.75 * delta[2] + 0.25 * delta[1], atol=1e-6)
    t = noise.t[3]
    assert torch.allclose(between[3], (1 - t) * delta[3] + t * delta[2], atol=1e-6)
    assert not between[4:].any()  # nothing is known of the pictures of draws
    assert objective.latents(z, noise)[1] is None


def test_what_is_made_is_decoded_with_its_offsets() -> None:
    model, x, noise = offset_model(), torch.rand(4, 3, 32, 32) * 2 - 1, draws(4, OFFSETS)
    noise.keep, noise.kind = torch.zeros(4, 1), torch.tensor([0.0, 0.1, 0.5, 0.9])[:, None]
    objective = Objective(ObjectiveConfig(adversarial=0.5), OFFSETS)
    q = model.encode(x)
    codes, between = objective.latents(q.sample(noise.eps), noise, q.delta)
    made = objective(model, x, noise).fakes[1]
    assert torch.allclose(made, model.decode(codes, between), atol=1e-4)
    assert (made[:2] - model.decode(codes)[:2]).abs().mean() > 0.01


def test_draws_come_from_the_fitted_prior() -> None:
    n, objective = 6, Objective(ObjectiveConfig(adversarial=0.5, prior="fitted"), STYLE)
    plain = Objective(ObjectiveConfig(adversarial=0.5), STYLE)
    assert plain.prior is None and Objective(ObjectiveConfig(prior="fitted"), STYLE).prior is None
    noise, z = draws(n, STYLE), torch.randn(n, 8)
    noise.part, noise.kind = torch.rand(n, 2), torch.tensor([0.0, 0.29, 0.31, 0.59, 0.61, 0.99])[:, None]
    objective.prior.mean += 10 * torch.arange(12.0)[:, None]  # each part in a place of its own
    a, b = (objective.prior.draw(of, noise.part[:, i : i + 1]) for i, of in enumerate((noise.a, noise.b)))
    codes, _ = objective.latents(z, noise)
    assert torch.equal(codes[:2], plain.latents(z, noise)[0][:2])  # slerps have no part in it
    for i in (2, 3):
        cut = int(noise.cut[i])
        assert torch.equal(codes[i, :cut], a[i].expand(cut, 8)) and torch.equal(codes[i, cut:], b[i].expand(4 - cut, 8))
    assert torch.equal(codes[4:], a[4:, None].expand(2, 4, 8))
    assert (a.mean(1) / 10 - (12 * noise.part[:, 0]).floor()).abs().max() < 0.2


def test_objective_hands_on_the_codes_of_the_batch() -> None:
    model, x = Autoencoder(STYLE), torch.rand(4, 3, 32, 32) * 2 - 1
    for objective in (Objective(ObjectiveConfig(), STYLE), Objective(ObjectiveConfig(adversarial=0.5), STYLE)):
        mu = objective(model, x, draws(4, STYLE)).mu
        assert torch.allclose(mu, model.encode(x).mu) and not mu.requires_grad


# ---------------------------------------------------------------- colours of what the discriminator sees


def test_images_of_a_place_share_their_colours() -> None:
    torch.manual_seed(0)
    objective = Objective(ObjectiveConfig(adversarial=0.5, colour=0.3), STYLE)
    x, noise = torch.rand(4, 3, 32, 32), draws(4, STYLE)
    noise.colour = torch.rand(4, 3)
    seen: list[Tensor] = []
    objective.critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    expected = recolour(x, noise.colour, 0.3)
    assert not torch.equal(expected, x)
    objective(answering(x), x, noise)
    objective.discriminator(x, [x, x], penalise=True, colour=noise.colour)
    # The images, the fakes, all of them as the discriminator learns, and all as its slope is measured.
    assert [len(images) for images in seen] == [4, 8, 12, 12]
    for images in seen:
        assert all(torch.equal(part, expected) for part in images.split(4))


def test_colours_leave_the_autoencoders_own_terms_alone() -> None:
    torch.manual_seed(0)
    model, x, noise = Autoencoder(STYLE), torch.rand(4, 3, 32, 32) * 2 - 1, draws(4, STYLE)
    noise.colour = torch.rand(4, 3)
    plain = Objective(ObjectiveConfig(adversarial=0.5, perceptual=1.0, perceptual_side=32), STYLE)
    coloured = Objective(plain.config.replace(colour=0.5), STYLE)
    coloured.load_state_dict(plain.state_dict())
    a, b = plain(model, x, noise), coloured(model, x, noise)
    assert all(torch.equal(a.parts[k], b.parts[k]) for k in ("reconstruction", "kl", "beta", "perceptual"))
    assert all(torch.equal(p, q) for p, q in zip(a.fakes, b.fakes))
    assert a.parts["adversarial"] != b.parts["adversarial"]
    gradients = torch.autograd.grad(b.total, list(model.parameters()))
    assert all(torch.isfinite(g).all() for g in gradients)
