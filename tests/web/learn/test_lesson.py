"""The lesson as data: what it says, states and shows; formulas against the project's functions."""

from __future__ import annotations

import ast
import inspect
import re

import numpy as np
import pytest
import torch

from vae.networks.autoencoder import Posterior
from vae.space import latent, mixing
from vae.training import losses
from vae.training.lessons import loss
from vae.web.learn import formulas as f
from vae.web.learn.source import SHOWN, snippet
from vae.web.learn.steps import STEPS, lesson
from vae.web.learn.words import WORDS

FUNCTIONS = {"sum": np.sum, "log": np.log}


def evaluated(formula: f.Formula, **values: np.ndarray) -> np.ndarray:
    """The right side of a formula of the page, as it stands there."""
    return eval(formula.right, {"__builtins__": {}}, {**FUNCTIONS, **values})


@pytest.fixture
def numbers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    mu, eps = rng.normal(size=(2, 7))
    x, y = rng.uniform(-1, 1, (2, 64))
    return {"mu": mu, "sigma": rng.uniform(0.05, 2, 7), "eps": eps, "x": x, "y": y}


@pytest.fixture
def posterior(numbers) -> Posterior:
    mu, sigma = (torch.from_numpy(numbers[key])[None] for key in ("mu", "sigma"))
    return Posterior(mu, 2 * sigma.log())


def test_z_is_what_the_model_samples(numbers, posterior):
    z = posterior.sample(torch.from_numpy(numbers["eps"])[None])[0]
    assert np.allclose(evaluated(f.DRAW, **numbers), z, rtol=1e-12)


def test_the_kl_is_that_of_training_and_of_the_map(numbers, posterior):
    stated = evaluated(f.KL, **numbers)
    assert stated == pytest.approx(float(posterior.kl().sum()), rel=1e-12)
    assert stated == pytest.approx(latent.kl(numbers["mu"][None], 2 * np.log(numbers["sigma"])[None])[0], rel=1e-12)


def test_the_loss_is_that_of_training(numbers, posterior):
    x, y = (torch.from_numpy(numbers[key])[None, None, None] for key in ("x", "y"))
    pixels = evaluated(f.LOSS_OF_PIXELS, **numbers)
    assert pixels == pytest.approx(float(losses.reconstruction_loss(x, y, "mse")), rel=1e-12)
    whole = evaluated(f.TWO_WISHES, L=pixels, KL=evaluated(f.KL, **numbers), beta=0.3)
    assert whole == pytest.approx(float(loss(x, y, posterior, 0.3)), rel=1e-12)


def test_the_slopes_are_those_of_autograd(numbers):
    mu, sigma = (torch.tensor(numbers[key], requires_grad=True) for key in ("mu", "sigma"))
    eps = torch.from_numpy(numbers["eps"])
    z = mu + sigma * eps
    z.retain_grad()
    z.sin().sum().backward()
    slopes = {"dL_dz": z.grad.numpy(), "eps": numbers["eps"]}
    assert np.allclose(evaluated(f.SLOPE_MU, **slopes), mu.grad)
    assert np.allclose(evaluated(f.SLOPE_SIGMA, **slopes), sigma.grad)


def test_tex_comes_from_the_expression():
    assert (
        f.DRAW.tex
        == r"\htmlClass{sym-z}{z} = \htmlClass{sym-mu}{\mu} + \htmlClass{sym-sigma}{\sigma}\,\htmlClass{sym-eps}{\varepsilon}"
    )
    assert f.Formula("z", "(mu + eps) * sigma").tex.endswith(r")\,\htmlClass{sym-sigma}{\sigma}")
    assert f.KL.plain == "KL = \u03a3(\u03bc\u00b2 + \u03c3\u00b2 \u2212 1 \u2212 log(\u03c3\u00b2)) / 2"
    assert f.SLOPE_SIGMA.plain == "\u2202L/\u2202\u03c3 = \u2202L/\u2202z \u00b7 \u03b5"
    with pytest.raises(KeyError):
        _ = f.Formula("z", "unknown + 1").tex
    with pytest.raises(ValueError, match="a formula cannot hold"):
        _ = f.Formula("z", "[mu]").tex


def test_nine_steps_of_three_sentences_at_most():
    assert [step.id for step in STEPS] == [
        "squeeze",
        "holes",
        "cloud",
        "trick",
        "wishes",
        "train",
        "new",
        "directions",
        "uses",
    ]
    for step in STEPS:
        text = re.sub(r"\[(?:[^\]|]+\|)?([^\]]+)\]", r"\1", step.text)
        assert 1 <= len(re.findall(r"[.?!](?: |$)", text)) <= 3, step.id
        assert step.task.endswith(".")


def test_every_word_in_brackets_is_in_the_glossary_and_every_symbol_has_a_meaning():
    told = lesson()
    for step in told["steps"]:
        for word in re.findall(r"\[([^\]|]+)", step["text"]):
            assert word in WORDS, word
        assert set(step["symbols"]) <= set(told["symbols"])


def test_the_code_is_the_project_s_own():
    shown = snippet("sample")["code"]
    own = inspect.getsource(Posterior.sample)
    assert "return self.mu + (0.5 * self.logvar).exp() * eps" in shown and '"""' not in shown
    assert {line.strip() for line in shown.splitlines()} <= {line.strip() for line in own.splitlines()}
    assert snippet("groups")["code"].startswith("def level_groups") and hasattr(mixing, "level_groups")
    for name in SHOWN:
        found = snippet(name)
        ast.parse(found["code"])
        assert found["where"].startswith("vae/") and int(found["line"]) > 0
