"""The recipes that come with the app: of the small models, of the faces, of the worlds."""

from __future__ import annotations

import dataclasses
import math

from vae.config import DataConfig, ModelConfig, ObjectiveConfig, Recipe, TrainingConfig


def sharp_recipe(image_size: int = 64, latent_size: int = 128, width: float = 1.0) -> Recipe:
    """The adversarially sharpened VAE for colour photos of 32 to 256 px, half an hour of one machine.

    The KL held grows with the picture: 260 nats at 128 px, two thirds of it per halving.
    """
    return Recipe(
        ModelConfig("style", image_size, 3, latent_size, width=width),
        DataConfig(("photos",)),
        ObjectiveConfig(
            reconstruction="multiscale",
            weight=10.0,
            kl="target",
            beta=1e-3,
            adversarial=0.5,
            kl_target=float(round(260 * (2 / 3) ** (7 - math.log2(image_size)))),
        ),
        TrainingConfig(
            batch_size=32,
            learning_rate=2e-3,
            adam_beta1=0.0,
            minutes=30.0,
            flip=True,
            validate_every=200,
            log_every=10,
        ),
        "Sharp VAE",
        "A styled decoder with a discriminator beside the VAE's loss: photos of one kind, such as faces.",
    )


PRESETS: dict[str, Recipe] = {
    "digits-2d": Recipe(
        ModelConfig("conv", 28, 1, 2, width=0.5),
        DataConfig(("digits",)),
        ObjectiveConfig(beta=0.8),
        TrainingConfig(batch_size=64, steps=5000),
        "Two numbers",
        "A code of two numbers, so that the whole latent space is one map.",
    ),
    "autoencoder": Recipe(
        ModelConfig("conv", 28, 1, 16, variational=False, width=0.5),
        DataConfig(("digits",)),
        ObjectiveConfig(),
        TrainingConfig(steps=2000),
        "Autoencoder",
        "Squeezes a picture through a few numbers and back: no noise, no KL, and gaps between the codes.",
    ),
    "vae": Recipe(
        ModelConfig("conv", 28, 1, 16, width=0.5),
        DataConfig(("digits",)),
        ObjectiveConfig(kl="warmup", beta=0.3),
        TrainingConfig(steps=2000),
        "Variational autoencoder",
        "Codes fill a Gaussian cloud without gaps, so that draws and blends are pictures too.",
    ),
    "sharp": sharp_recipe(64, width=0.25).replace(
        # Small steps and small networks, for machines without a GPU: PCA is there at the first step, and what the
        # networks add comes sooner from many steps than from large ones.
        model={"linear": True},
        training={
            "batch_size": 16,
            "learning_rate": 4e-3,
            "adam_beta1": 0.5,
            "validate_every": 0,
            "validate_seconds": 60.0,
            "validation_images": 256,
        },
    ),
    "faces-128": dataclasses.replace(
        sharp_recipe(128).replace(
            data={
                "sources": ("faces128-a.zip", "faces128-b.zip"),
                "under": "train",
                "validation_under": "test",
                "validation_max": 1024,
            },
            training={"batch_size": 96, "images": 1_800_000, "minutes": 0.0, "log_every": 50, "validate_every": 1000},
        ),
        title="Faces, 128 px",
        description="The recipe of the faces-128 model: 1.8 million images, 26 minutes of an H100.",
    ),
}

PRESETS["faces"] = dataclasses.replace(
    PRESETS["faces-128"].replace(
        model={"noise": True, "offsets": True},
        # beta * KL is to be about 1, and a batch of this size leaves about 1 of the covariance's penalty even where
        # codes are N(0, I): a tenth of it shapes the codes' cloud with little say in how much they hold.
        objective={
            "kl_target": 300.0,
            "perceptual": 2.0,
            "covariance": 0.1,
            "colour": 0.1,
            # Draws have no photo to be near: what judges them has to weigh as much as what holds the others to theirs.
            "adversarial": 1.0,
            "judges": 0.5,
            "penalty": 2.0,
            "slerp_share": 0.2,
            "mix_share": 0.2,
            "identity": 2.0,
            "offsets": 0.05,
            "prior": "fitted",
            "adversarial_start": 0.0,
            "adversarial_ramp": 0.0,
        },
        training={
            "augment": True,
            "augment_share": 0.3,
            "images": 0,
            "minutes": 19.8,
            "decay": 0.4,
            "ema_images": 20_000,
            "frozen_images": 10_000,
        },
    ),
    title="Faces, 128 px",
    description="Goes on from a trained model of faces (--start-from) with every term: noise that texture grows from, "
    "style offsets beside the code, judges on the features of photos, and a loss that keeps people themselves.",
)


def _world(source: str, title: str, words: str, model: ModelConfig, images: int) -> Recipe:
    """What the models of worlds have in common: a small network and many small steps, for a CPU."""
    return Recipe(
        model,
        DataConfig((f"{source}.zip",)),
        ObjectiveConfig(kl="warmup", warmup=0.1),
        TrainingConfig(
            batch_size=64, learning_rate=2e-3, decay=0.5, images=images, validate_every=2000, precision="bf16"
        ),
        title,
        f"{words}: python -m vae world {source}.",
    )


_HELD_OUT = {"under": "train", "validation_under": "test"}

PRESETS |= {
    "brain-96": _world(
        "brain",
        "Brain scans, 96 px",
        "Slices of one average head, bent at random",
        ModelConfig("conv", 96, 1, 64, width=0.75),
        320_000,
    ).replace(objective={"weight": 30.0}, training={"flip": True}),
    "chest-128": _world(
        "chest",
        "Chest X-rays, 128 px",
        "X-rays of one chest from any side",
        ModelConfig("conv", 128, 1, 10, width=0.625),
        220_000,
    ).replace(objective={"weight": 3.0}),
    "roads-64": _world(
        "roads",
        "Roads, 64 px",
        "What the driver of a simulated car sees",
        ModelConfig("conv", 64, 3, 32, width=0.75),
        800_000,
    ).replace(data=_HELD_OUT, objective={"weight": 20.0}),
    "chorales-64": _world(
        "chorales",
        "Bach's chorales, 64 px",
        "Four bars as piano rolls",
        ModelConfig("dense", 64, 3, 192, width=1.5, strips=16),  # a strip is a beat
        500_000,
    ).replace(
        data=_HELD_OUT,
        objective={"reconstruction": "bernoulli", "beta": 0.08},
        training={"learning_rate": 1.5e-3, "clip": 500.0, "precision": "float32"},
    ),
    "people-64": _world(
        "people",
        "Game people, 64 px",
        "Characters of a game, of named parts",
        ModelConfig("conv", 64, 3, 32, width=0.75),
        880_000,
    ).replace(objective={"reconstruction": "l1", "weight": 5.0}),
}
