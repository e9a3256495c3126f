"""The launch part of the Train page: pictures and recipe side by side, then cost and start."""

from __future__ import annotations

import hashlib
import json

import streamlit as st

from vae.config import Recipe
from vae.jobs import drafts, jobs, questions
from vae.jobs.job import JobError
from vae.jobs.watch import duration, size
from vae.web.train.pictures import pictures, review
from vae.web.train.recipe import recipe_choices
from vae.web.train.view import attempt, say


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
    """The whole launch part. What may be longer or shorter lies in containers: see vae.web.train.view."""
    left, right = st.columns([1.05, 1], gap="large")
    with left:
        st.subheader("Pictures", anchor=False)
        with st.container():
            sources, draft = pictures()
        st.subheader("Recipe", anchor=False)
        recipe, device = recipe_choices(sources)
    with right:
        st.subheader("What it will learn from", anchor=False)
        with st.container():
            if not sources:
                st.info(
                    "Choose pictures, and they are shown here with counts, refusals and duplicates.",
                    icon=":material/photo_library:",
                )
            found = review(recipe) if recipe and sources else None
        if not (recipe and found):
            return
        st.subheader("Cost and start", anchor=False)
        with st.container():
            estimate(recipe, found["count"], device)
        preset = st.session_state["train_preset"]
        title = st.text_input(
            "Name of the model", default_title(preset, sources), max_chars=80, key=f"train_title_{preset}_{sources[0]}"
        )
        with st.container():
            accepted = found["ask"] and st.checkbox(
                f"Train on the {found['count']:,} that can be used, without the others",
                key=f"train_accept_{'_'.join(sources)}",
            )
        recipe = recipe.replace(data={"accept_skipped": accepted})
        wait = found["ask"] and not accepted
        with st.container(horizontal=True):
            # No callbacks: a hand quicker than the page would launch the settings of the run before.
            start = st.button(
                "Start training", type="primary", icon=":material/model_training:", key="train_start", disabled=wait
            )
            prepare = st.button(
                "Prepare only",
                key="train_prepare",
                disabled=wait,
                help="Make the job without starting it, for instance to run it with torchrun on several GPUs",
            )
        if start or prepare:
            launch(recipe, title, device, draft, start)
