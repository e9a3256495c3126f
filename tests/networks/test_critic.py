from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.training.test_objective import STYLE, draws
from vae.config import ModelConfig, ObjectiveConfig
from vae.networks.autoencoder import Autoencoder
from vae.networks.critic import Critic, Judges, _deviation, unit
from vae.networks.perceptual import CHANNELS
from vae.training.objective import JUDGED, NEAR, Objective

CONFIG = ObjectiveConfig(adversarial=0.5, judges=0.25, perceptual_side=32)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def objective() -> Objective:
    torch.manual_seed(0)
    return Objective(CONFIG, STYLE)


def kinds(n: int, channels: list[int], shift: float) -> list[Tensor]:
    """Feature maps of one kind of pictures: the first half of the channels is larger by a shift."""
    maps = [torch.randn(n, c, 6, 6) for c in channels]
    for x in maps:
        x[:, : x.shape[1] // 2] += shift
    return unit(maps)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


def test_features_of_unit_size_have_mean_square_one_at_each_place() -> None:
    maps = [5 * torch.randn(2, 16, 4, 4), 0.01 * torch.randn(2, 40, 2, 2).bfloat16(), torch.zeros(2, 8, 3, 3)]
    a, b, nothing = unit(maps)
    for x, of in zip((a, b), maps):
        assert x.dtype == torch.float32 and x.shape == of.shape
        assert torch.allclose(x.square().mean(1), torch.ones(2, *of.shape[2:]), atol=1e-4)
        assert torch.allclose(F.cosine_similarity(x, of.float(), dim=1), torch.ones(2, *of.shape[2:]), atol=1e-4)
    assert torch.equal(nothing, maps[2])


def test_judges_learn_to_tell_two_kinds_apart() -> None:
    channels = [4, 10]
    judges = Judges(channels)
    optimiser = torch.optim.Adam(judges.parameters(), lr=5e-3, betas=(0.0, 0.99))
    for _ in range(40):
        scores = [judges(kinds(8, channels, shift)) for shift in (0.7, -0.7)]
        optimiser.zero_grad()
        F.softplus(scores[1] - scores[0]).mean().backward()
        optimiser.step()
    real, fake = (judges(kinds(32, channels, shift)) for shift in (0.7, -0.7))
    assert real.shape == (32, 2)
    for k in range(2):  # each on a map of its own
        assert real[:, k].min() > fake[:, k].max()


def test_a_judge_sees_its_own_map_alone() -> None:
    judges, maps = Judges([4, 10]), kinds(3, [4, 10], 0.0)
    other = [maps[0], torch.randn_like(maps[1])]
    a, b = judges(maps), judges(other)
    assert torch.equal(a[:, 0], b[:, 0]) and not torch.allclose(a[:, 1], b[:, 1])


def test_the_judges_loss_falls_as_they_learn(objective: Objective) -> None:
    channels, losses = CHANNELS[:JUDGED], []
    optimiser = torch.optim.Adam(objective.judges.parameters(), lr=5e-3, betas=(0.0, 0.99))
    for step in range(20):
        maps = [kinds(4, channels, shift) for shift in (0.7, 0.0, -0.7)]  # pictures, and two kinds of fakes
        loss, parts = objective.judge(maps, generator(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(parts["judges"].item())
    assert losses[0] == pytest.approx(math.log(2), abs=0.4) and losses[-1] < 0.5 * losses[0]
    scores = [objective.judges(kinds(16, channels, shift)).mean(0) for shift in (0.7, 0.0, -0.7)]
    assert (scores[0] > scores[1]).all() and (scores[1] > scores[2]).all()


def test_steeper_judges_pay_more_and_one_seed_gives_one_penalty(objective: Objective) -> None:
    maps = [kinds(4, CHANNELS[:JUDGED], shift) for shift in (0.5, 0.0, -0.5)]
    loss, parts = objective.judge(maps, generator(1))
    again, other = (objective.judge(maps, generator(seed))[1] for seed in (1, 2))
    assert parts == again and parts["judge_penalty"] != other["judge_penalty"] and parts["judges"] == other["judges"]
    assert loss.item() == pytest.approx((parts["judges"] + parts["judge_penalty"]).item(), rel=1e-6)
    with torch.no_grad():
        for _, _, last in objective.judges.judges:
            last.weight *= 3
    steep = objective.judge(maps, generator(1))[1]
    assert steep["judge_penalty"].item() == pytest.approx(9 * parts["judge_penalty"].item(), rel=1e-3)


def test_the_penalty_is_about_the_squared_slope(objective: Objective) -> None:
    maps = [kinds(4, CHANNELS[:JUDGED], shift) for shift in (0.5, 0.0, -0.5)]
    found = torch.stack([objective.judge(maps, generator(seed))[1]["judge_penalty"] for seed in range(60)]).mean()
    levels = [torch.cat(level).requires_grad_() for level in zip(*maps)]
    slopes = torch.autograd.grad(objective.judges(levels).sum(), levels)
    wanted = torch.stack([slope.square().flatten(1).sum(1) for slope in slopes]).mean()
    assert NEAR < 1 and found.item() == pytest.approx(wanted.item(), rel=0.25)


def test_judged_terms_reach_the_right_networks() -> None:
    model, objective = Autoencoder(STYLE), Objective(CONFIG, STYLE)
    objective.requires_grad_(False)
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    terms = objective(model, x, draws(4, STYLE))
    lighter = Objective(CONFIG.replace(judges=0.05), STYLE).requires_grad_(False)
    lighter.load_state_dict(objective.state_dict())
    other = lighter(model, x, draws(4, STYLE))
    assert (terms.total - other.total).item() == pytest.approx(0.2 * terms.parts["judged"].item(), rel=1e-3)
    slopes = torch.autograd.grad(terms.total - other.total, list(model.decoder.parameters()))
    assert all(torch.isfinite(slope).all() for slope in slopes) and any(slope.abs().max() > 1e-6 for slope in slopes)
    assert len(terms.maps) == 3 and [level.shape[1] for level in terms.maps[0]] == CHANNELS[:JUDGED]
    assert not any(level.requires_grad for found in terms.maps for level in found)
    # They are those of the picture, of its reconstruction and of what was made.
    for found, shown in zip(terms.maps, (x, *terms.fakes)):
        wanted = unit(objective.perceptual.levels(shown)[:JUDGED])
        assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(found, wanted))
    objective.requires_grad_(True)
    loss, _ = objective.judge(terms.maps, generator(0))
    loss.backward()
    assert all(p.grad is not None for p in objective.judges.parameters())
    assert all(p.grad is None for p in objective.critic.parameters())
    assert all(p.grad is None for p in model.parameters())


def test_judges_join_with_the_discriminator() -> None:
    objective = Objective(CONFIG.replace(adversarial_start=0.5), STYLE)
    model, x = Autoencoder(STYLE), torch.rand(2, 3, 32, 32) * 2 - 1
    early, late = (objective(model, x, draws(2, STYLE), progress) for progress in (0.4, 1.0))
    assert not early.maps and "judged" not in early.parts and late.maps and "judged" in late.parts
    assert Objective(ObjectiveConfig(judges=0.25), STYLE).judges is None  # no adversary at all
