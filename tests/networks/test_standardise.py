from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.bundles.test_graph import STYLE, model_of
from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.card import About
from vae.bundles.encoding import to_arrays
from vae.bundles.export import export_model
from vae.config import DataConfig, ModelConfig
from vae.data.imageset import ImageSet
from vae.data.sets import open_data
from vae.networks.autoencoder import Autoencoder, Posterior
from vae.networks.standardise import moments, standardise

KINDS = [
    {},
    {"linear": True},
    {"noise": True, "offsets": True},
    {"linear": True, "noise": True, "offsets": True, "image_size": 64},
    {"variational": False},
    {"variational": False, "linear": True},
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def crooked(**settings: object) -> Autoencoder:
    """A model whose codes lie away from 0 and spread unevenly, as training is free to leave them."""
    model = model_of("style", **{**STYLE, **settings})
    d, last = model.config.latent_size, model.encoder.to_posterior
    with torch.no_grad():
        last.weight[:d] *= torch.linspace(0.5, 3, d)[:, None]
        last.bias[:d] += torch.linspace(-2, 3, d)
        for key, value in model.named_parameters():
            if key.endswith(".strength"):
                value.fill_(0.5)
    return model


def standardised(model: Autoencoder, q: Posterior) -> tuple[Autoencoder, np.ndarray, np.ndarray]:
    mean, std = moments(q.mu.numpy(), q.logvar.numpy())
    made = standardise(model.config, to_arrays(model.state_dict()), mean, std)
    again = Autoencoder(model.config)
    again.load_state_dict({key: torch.from_numpy(value) for key, value in made.items()})
    return again.eval(), mean, std


def pictures(config: ModelConfig, n: int = 32) -> Tensor:
    torch.manual_seed(2)
    coarse = torch.rand(n, config.channels, 4, 4) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (config.image_size, config.image_size), mode="bilinear")


@pytest.mark.parametrize("settings", KINDS)
@torch.no_grad()
def test_codes_are_standard_and_pictures_the_same(settings: dict[str, object]) -> None:
    model = crooked(**settings)
    x = pictures(model.config)
    q = model.encode(x)
    again, mean, std = standardised(model, q)
    p = again.encode(x)
    assert np.abs(mean).max() > 1 and std.max() > 1.2 * std.min()
    assert torch.allclose(p.mu.mean(0), torch.zeros(8), atol=1e-4)
    variance = p.mu.var(0, unbiased=False) + (p.logvar.exp().mean(0) if model.config.variational else 0)
    assert torch.allclose(variance, torch.ones(8), atol=1e-3)
    assert (p.delta is None) == (q.delta is None) and (q.delta is None or torch.equal(p.delta, q.delta))
    plain, y = (m.decode(r.mu, r.delta) for m, r in ((model, q), (again, p)))
    assert plain.std(0).mean() > 0.01 and torch.allclose(plain, y, atol=1e-4)
    # A code for each level, as style mixes have them.
    levels = [r.mu[torch.arange(4 * 8).view(8, 4) % 5].repeat(1, 2, 1)[:, : model.config.levels] for r in (q, p)]
    assert torch.allclose(model.decode(levels[0]), again.decode(levels[1]), atol=1e-4)
    if model.config.variational:
        eps = torch.randn_like(q.mu)
        assert torch.allclose(model.decode(q.sample(eps), q.delta), again.decode(p.sample(eps), p.delta), atol=1e-4)
        assert p.kl().sum(1).mean() < q.kl().sum(1).mean()
        assert standardised(again, p)[0].encode(x).kl().mean() <= p.kl().mean() + 1e-5


def test_moments_are_those_of_all_posteriors_together() -> None:
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(2, 0.5, (200, 3)), rng.normal(-1, 0.5, (200, 3))
    mean, std = moments(mu, logvar)
    draws = mu[:, None] + np.exp(logvar / 2)[:, None] * rng.standard_normal((200, 500, 3))
    assert np.allclose(mean, draws.mean((0, 1)), atol=0.02) and np.allclose(std, draws.std((0, 1)), rtol=0.02)


def test_a_model_without_styles_is_refused() -> None:
    model = model_of("conv", image_size=16, latent_size=3, width=0.25)
    with pytest.raises(ValueError, match="only a 'style' model's codes can be standardised, and this one is 'conv'"):
        standardise(model.config, to_arrays(model.state_dict()), np.zeros(3), np.ones(3))


# ---------------------------------------------------------------- into a bundle


def sets() -> tuple[ImageSet, ImageSet]:
    return open_data(DataConfig(("sklearn-digits",), limit=120), 32, 3).split(0.3)


def exported(model: Autoencoder, out: Path, **settings: object) -> Bundle:
    train, test = sets()
    return open_bundle(export_model(model.state_dict(), model.config, train, test, out, About("Tiny"), **settings))


@pytest.mark.parametrize("settings", [{"linear": True, "noise": True, "offsets": True}, {"variational": False}])
def test_a_standard_bundle_draws_the_same_pictures(settings: dict[str, object], tmp_path: Path) -> None:
    model = crooked(**settings)
    plain, standard = exported(model, tmp_path / "plain"), exported(model, tmp_path / "standard", standard=True)
    assert np.abs(plain.stats.centre).max() > 1
    train, _test = sets()
    x = train.images(range(len(train)))
    mu, logvar, delta = standard.encode_with_offsets(x)
    total = mu.var(0) + np.exp(logvar).mean(0)
    assert np.abs(mu.mean(0)).max() < 0.02 and np.abs(total - 1).max() < 0.03  # weights are kept in half precision
    assert np.abs(standard.codes.mu - mu).max() < 0.03 and np.abs(standard.codes.logvar - logvar).max() < 0.03
    assert np.abs(standard.stats.centre).max() < 1e-3 and np.abs(np.diag(standard.stats.cov)).max() < 1.05
    before, _, moved = plain.encode_with_offsets(x)
    a, b = plain.decode_float(before, moved), standard.decode_float(mu, delta)
    assert a.std(0).mean() > 0.01 and np.abs(a - b).max() < 0.03
    assert standard.metrics["psnr"] == pytest.approx(plain.metrics["psnr"], abs=0.02)


def test_a_bundle_keeps_no_more_codes_than_asked_for(tmp_path: Path) -> None:
    model = crooked()
    few, more = (exported(model, tmp_path / str(n), codes=20, prior_codes=n, standard=True) for n in (0, 70))
    assert few.codes.mu.shape == more.codes.mu.shape == (20, 8) and more.codes.labels.shape[0] == 20
    train, _ = sets()
    wide = train.subset(np.unique(np.linspace(0, len(train) - 1, 70).astype(int)))
    mu, _ = more.encode(wide.images(range(len(wide))))
    # The statistics are those of all 70, which are standard, and the 20 alone are not quite.
    assert np.abs(more.stats.centre).max() < 1e-3 and np.allclose(more.stats.std, mu.std(0), rtol=0.02)
    assert np.abs(more.codes.mu.mean(0)).max() > 0.02 > np.abs(few.codes.mu.mean(0)).max()
    rows = np.unique(np.linspace(0, 69, 20).astype(int))
    assert np.abs(more.codes.mu - mu[rows]).max() < 0.03 and (more.codes.labels == wide.labels[rows]).all()
