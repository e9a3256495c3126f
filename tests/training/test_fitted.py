from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vae.training import fitted
from vae.training.fitted import EVERY, PARTS, FittedPrior

D, BATCH = 3, 256


def two_clouds(n: int, seed: int) -> Tensor:
    """A third of the codes around (6, 0, 1), the rest around (-6, 2, 1) and longer than wide."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, D, generator=generator)
    first = torch.rand(n, 1, generator=generator) < 1 / 3
    a, b = torch.tensor([6.0, 0.0, 1.0]), torch.tensor([-6.0, 2.0, 1.0])
    return torch.where(first, a + 0.5 * z, b + z * torch.tensor([0.3, 1.5, 0.5]))


def followed(steps: int, n: int = BATCH) -> FittedPrior:
    prior = FittedPrior(D)
    for step in range(steps):
        prior.update(two_clouds(n, step), step)
    return prior


def drawn(prior: FittedPrior, n: int = 20_000) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return prior.draw(torch.randn(n, D, generator=generator), torch.rand(n, 1, generator=generator))


def test_draws_lie_where_the_codes_lie() -> None:
    z, codes = drawn(followed(40 * EVERY)), two_clouds(20_000, -1)
    assert torch.allclose(z.mean(0), codes.mean(0), atol=0.3)
    assert torch.allclose(torch.cov(z.T), torch.cov(codes.T), atol=0.06 * torch.cov(codes.T).max().item())
    first = z[:, 0] > 0
    assert first.float().mean().item() == pytest.approx(1 / 3, abs=0.03)
    # Nothing lies between the two clouds, and each has its own shape.
    assert (z[:, 0].abs() < 3).float().mean() < 0.005
    assert torch.allclose(z[first].std(0), torch.tensor([0.5, 0.5, 0.5]), rtol=0.2)
    assert torch.allclose(z[~first].std(0), torch.tensor([0.3, 1.5, 0.5]), rtol=0.2)


def test_thin_directions_stay_thin() -> None:
    def codes(step: int) -> Tensor:  # a direction, not along a number, in which codes differ a hundred times less
        z = two_clouds(BATCH, step)
        z[:, 2] = z[:, 1] + 0.01 * (z[:, 2] - 1)
        return z

    prior = FittedPrior(D)
    for step in range(20 * EVERY):
        prior.update(codes(step), step)
    z, seen = drawn(prior), torch.cat([codes(step) for step in range(20 * EVERY)])
    across = lambda x: (x[:, 2] - x[:, 1]).std().item()  # noqa: E731
    assert across(z) < 3 * across(seen)


def test_the_first_few_codes_give_one_gaussian() -> None:
    prior = followed(EVERY + 1)
    z = drawn(prior)
    seen = torch.cat([two_clouds(BATCH, step) for step in range(EVERY + 1)])
    assert torch.allclose(prior.chol @ prior.chol.mT, torch.cov(seen.T).expand(PARTS, D, D), rtol=0.05, atol=0.6)
    assert (z[:, 0].abs() < 3).float().mean() > 0.1  # what is between the clouds is covered as well


def test_draws_before_any_codes_are_finite_and_about_standard() -> None:
    prior = FittedPrior(D)
    prior.update(two_clouds(4, 0), 0)  # too few to say anything
    assert torch.equal(drawn(prior), drawn(FittedPrior(D)))
    z = drawn(FittedPrior(D))
    assert torch.isfinite(z).all() and z.mean(0).abs().max() < 0.2 and torch.allclose(z.std(0), torch.ones(D), atol=0.1)


def test_old_codes_are_forgotten() -> None:
    prior = followed(2 * EVERY)
    steps = range(2 * EVERY, 2 * EVERY + fitted.KEPT // BATCH)
    for step in steps:
        prior.update(torch.full((BATCH, D), 50.0) + two_clouds(BATCH, step), step)
    assert prior.codes.min() > 30 and int(prior.seen) == (2 * EVERY + len(steps)) * BATCH


def test_parts_without_codes_begin_anew() -> None:
    prior = followed(3 * EVERY)
    prior.mean[:4] = 1e4  # far from every code
    prior.chol[:4] = 1e-3 * torch.eye(D)
    prior._fit(prior.codes, first=False)
    assert all(torch.isfinite(value).all() for value in prior.state_dict().values())
    codes = prior.codes
    assert torch.allclose(prior.mean[:4], codes[:4], atol=1e-4)
    covariance = prior.chol[0] @ prior.chol[0].T
    assert torch.allclose(covariance, torch.cov(codes.T), atol=0.05 * torch.cov(codes.T).max().item())
    assert (prior.weight[:4] > 0).all() and prior.weight.sum().item() == pytest.approx(1, abs=1e-5)
    for _ in range(30):
        prior._fit(codes, first=False)
    z = drawn(prior)
    assert torch.isfinite(z).all() and torch.allclose(z.mean(0), codes.mean(0), atol=0.3)


@pytest.mark.parametrize("spread", [0.0, 1e-3])
def test_codes_that_hardly_differ_do_no_harm(spread: float) -> None:
    prior = FittedPrior(D)
    for step in range(3 * EVERY + 1):
        prior.update(2 + spread * torch.randn(BATCH, D, generator=torch.Generator().manual_seed(step)), step)
    assert torch.allclose(drawn(prior), torch.full((), 2.0), atol=0.1)


def test_a_restored_prior_goes_on_the_same() -> None:
    steps = 34 * EVERY
    whole, cut = followed(steps), followed(steps)
    again = FittedPrior(D, seed=1)
    again.load_state_dict({key: value.clone() for key, value in cut.state_dict().items()})
    assert torch.equal(drawn(whole), drawn(again))
    for prior in (whole, again):
        for step in range(steps, steps + EVERY + 1):
            prior.update(two_clouds(BATCH, step), step)
    assert torch.equal(drawn(whole), drawn(again)) and not torch.equal(drawn(whole), drawn(cut))
    assert not list(again.parameters())


def test_fits_come_now_and_then() -> None:
    prior = followed(EVERY + 1)
    before = drawn(prior)
    for step in range(EVERY + 1, 2 * EVERY):
        prior.update(two_clouds(BATCH, step), step)
    assert torch.equal(drawn(prior), before)
    prior.update(two_clouds(BATCH, 2 * EVERY), 2 * EVERY)
    assert not torch.equal(drawn(prior), before)
