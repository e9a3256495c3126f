from __future__ import annotations

import dataclasses
import json
import math

import pytest

from vae.config import (
    Config,
    ConfigError,
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    Recipe,
    TrainingConfig,
)
from vae.presets import PRESETS, sharp_recipe


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    recipe = PRESETS[name]
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


def test_faces_recipe_is_the_published_one() -> None:
    recipe = PRESETS["faces-128"]
    assert (recipe.model.image_size, recipe.model.latent_size, recipe.model.style_size) == (128, 128, 384)
    assert recipe.objective.kl == "target" and recipe.objective.kl_target == 260
    start = recipe.training.images * recipe.objective.adversarial_start
    ramp = recipe.training.images * recipe.objective.adversarial_ramp
    assert (start, ramp) == pytest.approx((600_000, 150_000))
    assert (recipe.training.batch_size, recipe.training.learning_rate, recipe.training.adam_beta1) == (96, 2e-3, 0.0)


def test_later_terms_are_off_where_nobody_asks_for_them() -> None:
    off = {"perceptual": 0.0, "covariance": 0.0, "colour": 0.0}
    for name, recipe in PRESETS.items():
        found = {key: getattr(recipe.objective, key) for key in off}
        assert (found == off and not recipe.training.augment) == (name != "faces"), name


def test_the_recipe_of_every_term_goes_on_from_the_published_one() -> None:
    recipe, published = PRESETS["faces"], PRESETS["faces-128"]
    assert recipe.data == published.data
    assert recipe.model == published.model.replace(noise=True, offsets=True)
    assert recipe.objective.adversarial_start == 0 and recipe.training.frozen_images > 0
    assert "--start-from" in recipe.description


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_sharp_recipe_at_every_size(size: int) -> None:
    assert sharp_recipe(size).model.image_size == size
    assert sharp_recipe(size).objective.kl_target < sharp_recipe(2 * size).objective.kl_target if size < 256 else True


def test_unknown_keys_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'latents'"):
        ModelConfig.from_dict({"latents": 2})
    with pytest.raises(ConfigError, match="parts"):
        Recipe.from_dict({"model": {}, "data": {}, "objective": {}})


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (ModelConfig, "latent_size", "2"),
        (ModelConfig, "latent_size", 2.0),
        (ModelConfig, "latent_size", True),
        (ModelConfig, "latent_size", 0),
        (ModelConfig, "image_size", 4),
        (ModelConfig, "channels", 2),
        (ModelConfig, "width", math.nan),
        (ModelConfig, "variational", 1),
        (DataConfig, "sources", []),
        (DataConfig, "sources", "digits"),
        (DataConfig, "sources", [1]),
        (DataConfig, "box", [0, 0, 10]),
        (DataConfig, "box", [5, 0, 5, 10]),
        (DataConfig, "validation", 1.0),
        (ObjectiveConfig, "reconstruction", "bce"),
        (ObjectiveConfig, "beta", -1.0),
        (ObjectiveConfig, "beta", math.inf),
        (ObjectiveConfig, "mix_share", 0.8),
        (ObjectiveConfig, "penalty_every", 0),
        (ObjectiveConfig, "perceptual", -1.0),
        (ObjectiveConfig, "perceptual_side", 100),
        (ObjectiveConfig, "perceptual_side", 0),
        (ObjectiveConfig, "perceptual_side", 256),
        (ObjectiveConfig, "covariance", -0.1),
        (ObjectiveConfig, "colour", 1.5),
        (TrainingConfig, "batch_size", 0),
        (TrainingConfig, "learning_rate", 0),
        (TrainingConfig, "device", "cuda:x"),
        (TrainingConfig, "device", "tpu"),
        (TrainingConfig, "steps", -1),
        (TrainingConfig, "part", "decoder"),
        (TrainingConfig, "augment", 1),
        (TrainingConfig, "augment_share", 0.0),
        (TrainingConfig, "augment_share", 1.5),
    ],
)
def test_bad_values_are_refused_with_key_and_value(kind: type[Config], key: str, value: object) -> None:
    values = {"steps": 10, key: value} if kind is TrainingConfig else {key: value}
    with pytest.raises(ConfigError) as caught:
        kind.from_dict(values)
    assert f"{kind.__name__}.{key} is" in str(caught.value) and ";" in str(caught.value)


def test_a_run_needs_a_limit() -> None:
    with pytest.raises(ConfigError, match="at least one of steps, images and minutes"):
        TrainingConfig()


def test_json_text_and_frozen() -> None:
    config = DataConfig(("a.zip", "b.zip"), box=(1, 2, 30, 40))
    assert DataConfig.from_json(config.to_json()) == config
    with pytest.raises(ConfigError, match="not valid JSON"):
        DataConfig.from_json("{")
    with pytest.raises(ConfigError, match="object of settings"):
        DataConfig.from_json("[]")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]


def test_replace_checks_again() -> None:
    recipe = PRESETS["vae"].replace(model={"latent_size": 3}, training={"steps": 7})
    assert (recipe.model.latent_size, recipe.training.steps, recipe.title) == (3, 7, PRESETS["vae"].title)
    with pytest.raises(ConfigError, match="latent_size"):
        PRESETS["vae"].replace(model={"latent_size": -1})
