"""The launch part of the Train page: pictures, recipe, cost, start."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import streamlit as st

from vae.bundles.contract import BundleError
from vae.config import PRESETS, STYLE_SIZES, ConfigError, ModelConfig, Recipe
from vae.jobs import drafts, jobs, questions
from vae.jobs.job import JobError
from vae.jobs.watch import duration, size
from vae.web.core import services
from vae.web.train.view import attempt, say

SOURCES = {"digits": "Digits", "mine": "My pictures", "folder": "A folder", "known": "Known sets"}
KNOWN = {
    "sklearn-digits": "scikit-learn digits, 1,797 of 8 px", "mnist": "MNIST, 60,000 digits",
    "fashion-mnist": "FashionMNIST, 60,000 clothes", "celeba": "CelebA, 202,599 faces",
}  # fmt: skip
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
UPLOAD_MB = 200  # as server.maxUploadSize, which Streamlit's upload route enforces
MARKS = 40  # pictures and checks over a whole run
CONV_SIZES = (8, 16, 28, 32, 48, 64)


# ---------------------------------------------------------------- choices to a recipe


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


# ---------------------------------------------------------------- pictures


def pictures() -> tuple[list[str], drafts.Draft | None]:
    """Ask for the data -> sources of DataConfig, and the draft that holds pictures handed in."""
    source = st.segmented_control(
        "Source",
        list(SOURCES),
        default="digits",
        format_func=SOURCES.get,
        key="train_source",
        label_visibility="collapsed",
    )
    if source == "digits":
        st.caption("10,000 handwritten digits of 28 px that come with the app (MNIST).")
        return ["digits"], None
    if source == "known":
        name = st.selectbox("Set", list(KNOWN), format_func=KNOWN.get, key="train_known")
        st.caption("Downloaded by torchvision on first use; scikit-learn's come with it.")
        return [name], None
    if source == "folder":
        path = st.text_input(
            "Path of a folder or a zip",
            key="train_folder",
            placeholder="/home/me/pictures",
            help="On the machine that runs this app. Sub-folders become labels. The pictures stay where they are, "
            "and sets larger than memory are read as they are needed.",
        )
        if path.strip() and not Path(path.strip()).expanduser().is_absolute():
            st.error(f"{path.strip()[:80]} is not a whole path; begin it with / or ~.")
            return [], None
        return ([str(Path(path.strip()).expanduser())] if path.strip() else []), None
    if source == "mine":
        return handed_in()
    return [], None


def handed_in() -> tuple[list[str], drafts.Draft | None]:
    """Take a zip or several pictures, and keep them on disk for the job to come."""
    files = st.file_uploader(
        "A zip, or several pictures",
        type=["zip", "png", "jpg", "jpeg", "webp"],
        accept_multiple_files=True,
        max_upload_size=UPLOAD_MB,
        key="train_files",
        help="PNG, JPEG and WebP up to 20 MB each; folders in a zip become labels. Larger sets: give the path of "
        "a folder or zip.",
    )
    st.caption(
        "Elsewhere in this app your pictures never touch the disk. Training needs them there: they are kept in "
        "the job\u2019s own "
        "folder on this machine and removed with the job; what you do not train on is removed after a day."
    )
    held: tuple[tuple[str, ...], drafts.Draft] | None = st.session_state.get("train_draft")
    ids = tuple(file.file_id for file in files)
    if held and held[0] != ids:
        held[1].remove()
        del st.session_state["train_draft"]
        held = None
    if not files:
        return [], None
    if held is None or not held[1].folder.is_dir():
        try:
            held = (ids, drafts.new_draft([(file.name, file) for file in files]))
        except JobError as error:
            st.error(str(error))
            return [], None
        st.session_state["train_draft"] = held
    return held[1].sources, held[1]


@st.cache_data(show_spinner=False, max_entries=32, ttl=3600)
def inspect(data: dict[str, Any], image_size: int, channels: int, _stamp: str) -> dict[str, Any]:
    """What is in the data, looked at by a process of its own. Raises JobError, which is not kept."""
    return questions.ask("inspect", {"data": data, "image_size": image_size, "channels": channels}, 300)


def review(recipe: Recipe) -> dict[str, Any] | None:
    """Show what will be trained on: sheet, counts, refusals, duplicates."""
    if not recipe.data.sources:
        return None
    with st.spinner("Looking at the pictures\u2026"):
        try:
            found = inspect(recipe.data.to_dict(), recipe.model.image_size, recipe.model.channels, "")
        except JobError as error:
            st.error(str(error)[:1].upper() + str(error)[1:], icon=":material/image_not_supported:")
            return None
    with st.container(key="train_sheet"):
        st.image(base64.b64decode(found["sheet"]), width="stretch")
    words = [f"**{found['count']:,}** pictures", f"{found['validation']:,} of them to check on"]
    words += [f"{len(found['labels'])} labels"] * bool(found["labels"])
    words += [f"{found['duplicates']:,} duplicates left out"] * bool(found["duplicates"])
    words += ["read from disk as needed"] * found["streamed"]
    words += [f"the first {found['checked']:,} checked"] * (found["checked"] < found["count"])
    st.markdown(" \u00b7 ".join(words))
    if found["refused_total"]:
        with st.expander(f"{found['refused_total']:,} files refused", icon=":material/block:"):
            st.table(
                {
                    "Files": [f"{n:,}" for _, n, _ in found["refused"]],
                    "Why": [reason for reason, _, _ in found["refused"]],
                    "Such as": [file for _, _, file in found["refused"]],
                }
            )
    if found["twins"]:
        with st.expander(f"{found['duplicates']:,} duplicates", icon=":material/content_copy:"):
            st.table(
                {"Left out": [a for a, _ in found["twins"]], "The same picture as": [b for _, b in found["twins"]]}
            )
    if found["count"] < 500:
        st.warning(
            f"{found['count']:,} pictures are few: the model will remember them rather than learn what they share.",
            icon=":material/photo_library:",
        )
    return found


# ---------------------------------------------------------------- recipe


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


# ---------------------------------------------------------------- cost and start


def estimate(recipe: Recipe, count: int, device: str) -> None:
    """A button that measures, and what it found for exactly these settings."""
    recipe = recipe.replace(training={"device": device})
    values = {"recipe": recipe.to_dict(), "count": count}
    stamp = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    if st.button(
        "Measure time and memory",
        icon=":material/timer:",
        key="train_measure",
        help="Takes a few real training steps on this machine",
    ):
        with st.spinner("Taking a few training steps\u2026"):
            try:
                st.session_state["train_cost"] = (stamp, questions.ask("trial", values, 300))
            except JobError as error:
                say(str(error), "error")
                st.rerun()
    measured, cost = st.session_state.get("train_cost", ("", {}))
    if measured != stamp:
        return
    left, right = st.columns(2)
    left.metric(
        "Time",
        duration(cost["seconds"]),
        help=f"{cost['steps']:,} steps of {cost['step_seconds'] * 1e3:.0f} ms"
        + (f", {cost['sharp_seconds'] * 1e3:.0f} ms once the discriminator has joined" if cost["sharp_seconds"] else "")
        + ", checks included",
    )
    right.metric("Memory", size(cost["memory"]), help=f"Of {size(cost['memory_limit'])} on {cost['device']}")
    seen = cost["steps"] * recipe.training.batch_size
    st.caption(
        f"{cost['images_per_s']:,.0f} images/s: {seen:,.0f} images in all, "
        f"each picture {seen / max(1, count):,.1f} times."
    )
    if cost["memory"] > 0.8 * cost["memory_limit"]:
        st.warning(
            "That is most of the memory there is: take a smaller batch or smaller pictures.", icon=":material/memory:"
        )
    if any(job.alive for job in jobs.list_jobs()):
        st.caption("Another job is at work, so this was measured beside it and is rather too slow.")


def default_title(preset: str, sources: list[str]) -> str:
    """A name to begin with."""
    what = {
        "digits": "Digits",
        "sklearn-digits": "Digits",
        "mnist": "MNIST",
        "fashion-mnist": "Fashion",
        "celeba": "Faces",
    }.get(sources[0] if sources else "", "My pictures")
    return f"{what} {'2D' if preset == 'digits-2d' else ''}".strip()


def launch(recipe: Recipe, title: str, device: str, draft: drafts.Draft | None, start: bool) -> None:
    """Create the job and start it; the page turns to it."""
    job = attempt(jobs.create, recipe, title, device, draft)
    if job is None:
        st.rerun()
    st.session_state.pop("train_draft", None)
    if start:
        attempt(job.start)
    st.session_state["train_next"] = ("jobs", job.id)
    st.rerun()


def panel() -> None:
    """The whole launch part."""
    left, right = st.columns([1.05, 1], gap="large")
    with left:
        st.subheader("Pictures", anchor=False)
        sources, draft = pictures()
        st.subheader("Recipe", anchor=False)
        recipe, device = recipe_choices(sources)
    with right:
        st.subheader("What it will learn from", anchor=False)
        if not sources:
            st.info(
                "Choose pictures, and they are shown here with counts, refusals and duplicates.",
                icon=":material/photo_library:",
            )
        found = review(recipe) if recipe and sources else None
        if not (recipe and found):
            return
        st.subheader("Cost and start", anchor=False)
        estimate(recipe, found["count"], device)
        preset = st.session_state["train_preset"]
        title = st.text_input(
            "Name of the model", default_title(preset, sources), max_chars=80, key=f"train_title_{preset}_{sources[0]}"
        )
        with st.container(horizontal=True):
            # No callbacks: a hand quicker than the page would launch the settings of the run before.
            start = st.button("Start training", type="primary", icon=":material/model_training:", key="train_start")
            prepare = st.button(
                "Prepare only",
                key="train_prepare",
                help="Make the job without starting it, for instance to run it with torchrun on several GPUs",
            )
        if start or prepare:
            launch(recipe, title, device, draft, start)


__all__ = ["build_recipe", "panel"]
