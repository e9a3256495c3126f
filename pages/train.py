"""Train: from pictures to a model in the same window; launch, watch, steer, and keep what comes of it."""

from __future__ import annotations

import streamlit as st

from vae.jobs.jobs import list_jobs
from vae.web.train import launch as train_launch
from vae.web.train import models as train_models
from vae.web.train import view as train_view
from vae.web.train import watch as train_watch

PARTS = {"new": "New", "jobs": "Jobs", "models": "Models"}

st.html(train_view.STYLE)
train_view.guard()
train_view.leave()

if "train_next" in st.session_state:  # a job was launched in the run before
    part, job_id = st.session_state.pop("train_next")
    train_view.go(part, job=job_id)
asked = "jobs" if "job" in st.query_params else st.query_params.get("view")
if "train_part" not in st.session_state:
    at_work = any(job.alive for job in list_jobs())
    st.session_state["train_part"] = asked if asked in PARTS else "jobs" if at_work else "new"


def choose() -> None:
    """Keep the part in the address, so that a reload comes back to it."""
    st.session_state["train_part"] = st.session_state["train_part"] or "new"
    train_view.go(st.session_state["train_part"])


with st.container(horizontal=True, vertical_alignment="center", key="train_toolbar"):
    st.segmented_control(
        "Part of the page",
        list(PARTS),
        format_func=PARTS.get,
        key="train_part",
        on_change=choose,
        label_visibility="collapsed",
    )
    st.caption(
        "Each job is a process of its own: it goes on when you reload, close the browser or stop the app.",
        width="content",
    )

train_view.said()
{"new": train_launch.panel, "jobs": train_watch.panel, "models": train_models.panel}[st.session_state["train_part"]]()
