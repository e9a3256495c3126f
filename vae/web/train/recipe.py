"""The recipe of a training to come: a preset, and what the Train page lets a visitor choose of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import streamlit as st

from vae.bundles.contract import BundleError
from vae.config import STYLE_SIZES, ConfigError, ModelConfig, Recipe
from vae.jobs import jobs, questions
from vae.jobs.job import JobError
from vae.presets import PRESETS
from vae.web.core import services

RECIPES = {
    "vae": "Variational autoencoder", "digits-2d": "Two numbers, one map", "autoencoder": "Plain autoencoder",
    "sharp": "Sharp VAE",
}  # fmt: skip
CAPTIONS = {
    "vae": "Codes fill a cloud without gaps: draws and blends are pictures too.",
    "digits-2d": "A code of two numbers, so that the whole space is one map.",
    "autoencoder": "Squeezes pictures through few numbers; gaps between the codes.",
    "sharp": "Begins at PCA, adds styles and a discriminator: for photos of one kind, such as faces.",
}
KL_WORDS = {"fixed": "Fixed beta", "warmup": "Beta after a warm-up", "target": "KL held at a target"}
MARKS = 40  # pictures and checks over a whole run
CONV_SIZES = (8, 16, 28, 32, 48, 64)


def build_recipe(preset: str, choices: dict[str, dict[str, Any]], base: ModelConfig | None = None) -> Recipe:
    """A preset with the choices of the page. base: the model to go on from, its shape is kept. Raises ConfigError."""
    recipe = PRESETS[preset]
    if base is not None:
        recipe = dataclasses.replace(recipe, model=base)
        choices = {part: values for part, values in choices.items() if part != "model"}
        if base.architecture != "style":
            choices = {**choices, "objective": {**choices.get("objective", {}), "adversarial": 0.0}}
    if "training" in choices:  # one limit takes the place of the preset's
        choices = {**choices, "training": {"steps": 0, "images": 0, "minutes": 0.0, **choices["training"]}}
    return recipe.replace(**choices)


def starting_points() -> dict[str, tuple[str, ModelConfig | None, str]]:
    """What training can begin with: key -> (words, shape of the model, path)."""
    found: dict[str, tuple[str, ModelConfig | None, str]] = {"": ("Nothing: from scratch", None, "")}
    for name in services.registry.names():
        try:
            bundle = services.registry.get(name)
            found[f"model:{name}"] = (f"Model: {bundle.title}", bundle.model, str(bundle.path))
        except BundleError:
            continue
    for job in jobs.list_jobs():
        if job.can_resume:
            try:
                found[f"job:{job.id}"] = (f"Checkpoint: {job.title}", job.recipe.model, str(job.run))
            except JobError:
                continue
    return found


def recipe_choices(sources: list[str]) -> tuple[Recipe | None, str]:
    """Ask for preset, size, length and the rest -> the recipe (None where the choices do not fit), and the device."""
    preset = st.radio(
        "Recipe",
        list(RECIPES),
        label_visibility="collapsed",
        format_func=RECIPES.get,
        captions=[CAPTIONS[name] for name in RECIPES],
        key="train_preset",
    )
    start = PRESETS[preset]
    style = start.model.architecture == "style"
    points = starting_points()
    base = points.get(st.session_state.get("train_from", ""), points[""])[1]
    shape = base or start.model
    columns = st.columns(3)
    with columns[0]:
        sizes = STYLE_SIZES if style else CONV_SIZES
        px = st.selectbox(
            "Picture size",
            sizes,
            sizes.index(start.model.image_size),
            format_func=lambda s: f"{s} px",
            key=f"train_size_{preset}",
            disabled=base is not None,
            help="Pictures are cut to the largest centred square and scaled to this. Twice the size takes about "
            "four times the work.",
        )
    with columns[1]:
        plain_set = bool(sources) and sources[0] in ("digits", "sklearn-digits", "mnist", "fashion-mnist")
        grey = st.selectbox(
            "Colour",
            ["Colour", "Grey"],
            int(plain_set and not style),
            key=f"train_colour_{preset}_{plain_set}",
            disabled=base is not None,
        )
    with columns[2]:
        minutes = st.number_input(
            "Minutes",
            0.1,
            60.0 * 24 * 14,
            start.training.minutes or 5.0,
            step=1.0,
            format="%g",
            key=f"train_minutes_{preset}",
            help="How long to train. Under Advanced you can count steps instead. You can stop at any time and "
            "keep what there is.",
        )
    with st.expander("Advanced", icon=":material/tune:"):
        objective, training, data, model, device = advanced(preset, start, shape, base is not None, points, minutes)
    model |= {"image_size": px, "channels": 1 if grey == "Grey" else 3}
    choices = {
        "model": model,
        "objective": objective,
        "training": training,
        "data": {**data, "sources": sources or ["digits"]},
    }
    try:
        return build_recipe(preset, choices, base), device
    except ConfigError as error:
        st.error(str(error))
        return None, device


def advanced(
    preset: str, start: Recipe, shape: ModelConfig, kept: bool, points: dict, minutes: float
) -> tuple[dict, ...]:
    """The settings behind the fold, each with a sentence -> objective, training, data, model, device."""

    def key(name: str) -> str:
        return f"train_{name}_{preset}"

    left, right = st.columns(2)
    with left:
        st.selectbox(
            "Begin with",
            list(points),
            format_func=lambda k: points[k][0],
            key="train_from",
            help="Go on from the weights of a model or a checkpoint; its shape (sizes, numbers in a code) is kept.",
        )
        latent = st.number_input(
            "Numbers in a code",
            1,
            1024,
            shape.latent_size,
            key=key("latent"),
            disabled=kept,
            help="The latent size: more keeps more detail, fewer makes each number mean more.",
        )
        small = start.model.architecture == "style" and all(d["id"] == "cpu" for d in devices())
        width = st.number_input(
            "Width",
            0.0625,
            4.0,
            0.25 if small else shape.width,
            format="%g",
            key=key("width"),
            disabled=kept,
            help="Factor on the channels of every layer: half takes about a quarter of the time. A CPU wants little.",
        )
        with st.container():
            objective = balance(start, key)
        validation = st.slider(
            "Share to check on",
            0.01,
            0.5,
            start.data.validation,
            key=key("validation"),
            help="Pictures kept aside and never learnt from, to see what the model does with new ones.",
        )
    with right:
        by = st.segmented_control(
            "Length in",
            ["Minutes", "Steps"],
            default="Minutes",
            key=key("by"),
            help="With steps, a resumed run ends with exactly the numbers of an uninterrupted one.",
        )
        steps = st.number_input(
            "Steps",
            1,
            10_000_000,
            start.training.steps or 6000,
            key=key("steps"),
            disabled=by != "Steps",
            help="One step learns from one batch of pictures.",
        )
        batch = st.number_input(
            "Batch",
            1,
            4096,
            start.training.batch_size,
            key=key("batch"),
            help="Pictures in one step: more is steadier and takes more memory.",
        )
        rate = st.number_input(
            "Learning rate",
            1e-6,
            1.0,
            start.training.learning_rate,
            format="%g",
            key=key("rate"),
            help="Size of Adam\u2019s steps: too large diverges, too small crawls.",
        )
        seed = st.number_input(
            "Seed", 0, 2**31 - 1, 0, key=key("seed"), help="The same seed gives the same run on a CPU."
        )
        device, precision = device_choice(key)
        flip = st.toggle(
            "Mirror pictures",
            start.training.flip,
            key=key("flip"),
            help="Show half of them left for right; not for letters and digits.",
        )
    if by == "Steps":
        length = {"steps": int(steps), "validate_every": -(-int(steps) // MARKS), "validate_seconds": 0.0}
    else:
        length = {"minutes": float(minutes), "validate_every": 0, "validate_seconds": max(4.0, 60.0 * minutes / MARKS)}
    length |= {"log_every": 10 if device == "cpu" else 50, "validation_images": 256 if device == "cpu" else 1024}
    training = {
        "batch_size": int(batch),
        "learning_rate": float(rate),
        "seed": int(seed),
        "precision": precision,
        "flip": flip,
        "start_from": points[st.session_state.get("train_from", "")][2],
        "checkpoint_seconds": 20.0,
        **length,
    }
    return (
        objective,
        training,
        {"validation": float(validation), "seed": int(seed)},
        {"latent_size": int(latent), "width": float(width)},
        device,
    )


def balance(start: Recipe, key: Callable[[str], str]) -> dict[str, Any]:
    """How the KL is weighed -> objective."""
    kinds = list(KL_WORDS)
    kl = st.selectbox(
        "Balance",
        kinds,
        kinds.index(start.objective.kl),
        format_func=KL_WORDS.get,
        key=key("kl"),
        disabled=not start.model.variational,
        help="How the KL, which keeps codes in one cloud, is weighed against the reconstruction.",
    )
    if kl == "target":
        target = st.number_input(
            "KL target, nats",
            0.1,
            5000.0,
            start.objective.kl_target,
            key=key("target"),
            help="Information per picture; beta is steered so that the KL stays there. More is sharper, less "
            "is smoother.",
        )
        objective = {"kl": kl, "kl_target": float(target)}
    else:
        beta = st.number_input(
            "Beta",
            0.0,
            100.0,
            start.objective.beta,
            format="%g",
            key=key("beta"),
            disabled=not start.model.variational,
            help="Weight of the KL: below 1 sharper pictures, above 1 smoother codes and fewer numbers in "
            "use. Can be changed while it runs.",
        )
        objective = {"kl": kl, "beta": float(beta)}
    if kl == "warmup":
        objective["warmup"] = st.slider(
            "Warm-up",
            0.01,
            1.0,
            start.objective.warmup,
            key=key("warmup"),
            help="Share of the run over which beta grows from 0; it helps against collapse.",
        )
    return objective


def devices() -> list[dict[str, Any]]:
    """What this machine can train on; the CPU alone where that cannot be found out."""
    try:
        return questions.machine()["devices"]
    except JobError:
        return [{"id": "cpu", "title": "CPU"}]


def device_choice(key: Any) -> tuple[str, str]:
    """Device and precision, from what this machine has."""
    titles = {device["id"]: device["title"] for device in devices()}
    device = st.selectbox(
        "Device",
        list(titles),
        format_func=titles.get,
        key="train_device",
        help="Jobs on one device wait for each other.",
    )
    free = not device.startswith("mps")
    precision = st.selectbox(
        "Precision",
        ["auto", "float32", "bf16"],
        key=key("precision"),
        disabled=not free,
        help="bf16 is faster on recent GPUs and on CPUs with bfloat16 instructions; auto uses it there.",
    )
    return device, precision if free else "auto"
