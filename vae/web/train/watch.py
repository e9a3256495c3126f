"""The jobs part of the Train page: watch, steer, and what comes at the end."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import streamlit as st
from streamlit import runtime

from vae.jobs import library, watch
from vae.jobs.job import LIVE, Job, JobError, torchrun_command
from vae.jobs.jobs import get_job, list_jobs
from vae.paths import PAGES
from vae.web.core.mount import component
from vae.web.train.view import BADGES, attempt, badge, colours, draw, figure, go, open_in, say

REFRESH_SECONDS = 1.5
FRAME = '<div class="frame"><div class="live film"><div class="stage"></div></div></div>'
POINTS = 300


# ---------------------------------------------------------------- the list


def panel() -> None:
    """The chosen job, and the others beside it."""
    found = list_jobs()
    if not found:
        st.info(
            "No model has been trained here yet. Choose pictures and a recipe under New, and watch it learn here.",
            icon=":material/model_training:",
        )
        return
    ids = [job.id for job in found]
    asked = st.query_params.get("job")
    if asked not in ids:
        asked = next((job.id for job in found if job.alive), ids[0])
    with st.container():
        if len(found) > 1:
            choice(found, ids, asked)
    job = get_job(asked)
    every = REFRESH_SECONDS if job.alive else None
    st.fragment(run_every=every)(detail)(asked)


def choice(found: list[Job], ids: list[str], asked: str) -> None:
    """Which of several jobs; the address carries it."""
    st.session_state.setdefault("train_job", asked)
    if st.session_state["train_job"] not in ids or st.query_params.get("job") != st.session_state["train_job"]:
        st.session_state["train_job"] = asked
    by_id = {job.id: f"{job.title} \u2013 {BADGES[job.state][0].lower()}" for job in found}
    st.selectbox(
        "Job",
        ids,
        format_func=by_id.get,
        key="train_job",
        label_visibility="collapsed",
        width=420,
        on_change=lambda: go("jobs", job=st.session_state["train_job"]),
    )


def detail(job_id: str) -> None:
    """One job, looked at anew every moment while it is at work."""
    try:
        job = get_job(job_id)
    except JobError:
        st.rerun()  # it was dropped, here or elsewhere: the page says so and turns to the next one
    try:
        recipe = job.recipe
    except JobError as error:
        st.error(str(error))
        return
    status = job.status
    key = f"train_seen_{job_id}"
    before = st.session_state.get(key)
    st.session_state[key] = status["state"]
    if before is not None and (before in LIVE) != (status["state"] in LIVE):
        st.rerun()  # the page begins or ends to refresh itself
    head(job, status)
    steer(job, status)
    past = watch.history(job.run)
    with st.container():
        for found in watch.advice(past, recipe, float(job.progress.get("progress", 0.0))):
            st.warning(f"**{found.what}.** {found.remedy}", icon=":material/lightbulb:")
    with st.container():
        progress(job, recipe, status["state"], past)
    folds(job, recipe)


def progress(job: Job, recipe: Any, state: str, past: watch.History) -> None:
    """Figures, pictures and curves, as soon as there are any."""
    if not past.train and not past.validation:
        if state in LIVE:
            st.info("Curves and pictures appear here after the first steps.", icon=":material/hourglass_top:")
        return
    figures(past, recipe)
    left, right = st.columns([1.1, 1], gap="large")
    with left:
        with st.container():
            film(job)
        kl_bars(past)
    with right:
        curves(past, recipe)


def head(job: Job, status: dict[str, Any]) -> None:
    """Title, state, a sentence, progress."""
    with st.container(horizontal=True, vertical_alignment="center", key="train_head"):
        st.subheader(job.title, anchor=False, width="content")
        badge(job)
    note = status["note"]
    with st.container():
        if note:
            show = {"failed": st.error, "interrupted": st.warning}.get(status["state"], st.caption)
            show(note[:1].upper() + note[1:].rstrip(".") + ".")
    now = job.progress
    share = min(1.0, max(0.0, float(now.get("progress") or 0.0)))
    words = []
    if status["state"] == "queued":
        words = [f"Waits for its turn on {job.device}"]
    elif status["state"] == "reading":
        total = int(now.get("total") or 0)
        share = int(now.get("done") or 0) / total if total else 0.0
        words = [f"Reading pictures: {int(now.get('done') or 0):,} of {total:,}" if total else "Starting up"]
    elif "step" in now:
        words = [
            f"Step {int(now['step']):,}",
            f"{int(now.get('images', 0)):,} images",
            watch.duration(now.get("seconds")),
        ]
        speed = next((row.get("images_per_s") for row in reversed(watch.history(job.run).train)), None)
        if status["state"] == "running":
            words += [f"{speed:,.0f} images/s"] * bool(speed) + [f"{watch.duration(now.get('seconds_left'))} left"]
    st.progress(share, " \u00b7 ".join(words) or "Not begun")


def steer(job: Job, status: dict[str, Any]) -> None:
    """The orders that make sense now."""
    state, asked = status["state"], job.orders
    with st.container(horizontal=True, key="train_steer"):
        if state == "running":
            st.button("Pause", icon=":material/pause:", key="train_pause", on_click=attempt, args=(job.pause,))
        if state == "paused":
            st.button(
                "Resume",
                icon=":material/play_arrow:",
                type="primary",
                key="train_resume",
                on_click=attempt,
                args=(job.resume,),
            )
        if state in LIVE and state != "exporting":
            st.button(
                "Stop and keep",
                icon=":material/stop_circle:",
                key="train_stop",
                on_click=attempt,
                args=(job.stop,),
                disabled=asked.get("command") == "stop",
                help="End after this step and make a model of what was learnt",
            )
        if state in ("running", "paused") and job.recipe.model.variational:
            with st.popover("Beta", icon=":material/balance:"):
                beta = st.number_input(
                    "Beta from now on",
                    0.0,
                    1000.0,
                    float(asked.get("beta", job.recipe.objective.beta)),
                    format="%g",
                    key=f"train_beta_{job.id}",
                    help="Weight of the KL: lower for sharper pictures, higher for smoother codes",
                )
                if st.button("Set", key="train_beta_set"):
                    attempt(job.set_beta, beta)
        if state in ("failed", "interrupted", "stopped"):
            words = "Resume" if job.can_resume else "Start"
            st.button(
                words,
                icon=":material/play_arrow:",
                type="secondary" if job.bundle else "primary",
                key="train_resume",
                on_click=attempt,
                args=(job.resume,),
                help="Goes on from the last checkpoint" if job.can_resume else None,
            )
        if job.bundle and state in ("finished", "stopped"):
            results(job)
        words = "Stop and drop" if state in LIVE else "Delete"
        st.button(
            words,
            icon=":material/delete:",
            key="train_drop",
            on_click=drop,
            args=(job,),
            help="End it and move it to the trash; you can bring it back for a week",
        )


def results(job: Job) -> None:
    """Open the finished model on the other pages."""
    if st.button("Open in Explore", type="primary", icon=":material/tune:", key="train_open"):
        open_in("explore", job.name)
    for page, words, icon in (("atlas", "Map", ":material/map:"), ("blend", "Blend", ":material/join_inner:")):
        if page in pages_here() and st.button(words, icon=icon, key=f"train_open_{page}"):
            open_in(page, job.name)


def pages_here() -> set[str]:
    """Names of the pages that the navigation has."""
    return {path.stem for path in PAGES.glob("*.py")}


def drop(job: Job) -> None:
    """Into the trash."""
    if attempt(library.delete_job, job) is not None:
        say(f"{job.title} was moved to the trash; Undo is under Models")
        st.query_params.pop("job", None)


# ---------------------------------------------------------------- figures


def figures(past: watch.History, recipe: Any) -> None:
    """The last numbers, large."""
    last, train = (past.validation[-1] if past.validation else {}), (past.train[-1] if past.train else {})
    cells = [
        (
            "PSNR",
            f"{last['psnr']:.1f} dB" if "psnr" in last else "\u2013",
            "Of reconstructions of pictures that it has not learnt from",
        ),
        (
            "Reconstruction",
            number(last.get("reconstruction", train.get("reconstruction"))),
            "Error per picture; lower is better",
        ),
    ]
    if recipe.model.variational:
        cells += [
            ("KL", f"{number(last.get('kl', train.get('kl')))} nats", "Information in a code"),
            (
                "In use",
                f"{last.get('active', 0)} of {recipe.model.latent_size}",
                "Numbers of the code that carry more than 0.05 nats",
            ),
            ("Beta", number(train.get("beta", last.get("beta"))), "Weight of the KL now"),
        ]
    with st.container(horizontal=True, gap="large", key="train_figures"):
        for label, value, words in cells:
            st.metric(label, value, help=words, width=118)


def number(value: Any) -> str:
    """Three digits of a number, or a dash."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return "\u2013"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def curves(past: watch.History, recipe: Any) -> None:
    """Reconstruction, KL and their sum, on the pictures learnt from and on the others."""
    import plotly.graph_objects as go_

    tone = colours()
    panels = [("reconstruction", "Reconstruction error"), ("kl", "KL, nats"), ("loss", "Loss: their weighted sum")]
    if not recipe.model.variational:
        panels = panels[:1]
    st.caption("Against images seen. Line: pictures it learns from. :orange[Dots]: pictures kept aside.")
    for key, title in panels:
        chart = figure(title, 190)
        train = watch.thin([row for row in past.train if key in row], POINTS)
        other = watch.thin([row for row in past.validation if key in row], POINTS)
        chart.add_trace(
            go_.Scatter(
                x=[r["images"] for r in train],
                y=[r[key] for r in train],
                mode="lines",
                name="learns from",
                line={"color": tone["main"], "width": 2},
                hovertemplate="%{y:.4g}",
            )
        )
        chart.add_trace(
            go_.Scatter(
                x=[r["images"] for r in other],
                y=[r[key] for r in other],
                mode="lines+markers",
                name="kept aside",
                line={"color": tone["second"], "width": 1, "dash": "dot"},
                marker={"size": 6},
                hovertemplate="%{y:.4g}",
            )
        )
        values = sorted(r[key] for r in train[len(train) // 20 :] + other)
        if len(values) > 20:  # the first steps are far off and would flatten the rest
            low, high = values[0], values[int(0.98 * (len(values) - 1))]
            chart.update_yaxes(range=[low - 0.06 * (high - low), high + 0.12 * (high - low) + 1e-9])
        draw(chart, f"train_curve_{key}")


def kl_bars(past: watch.History) -> None:
    """KL per dimension, the largest first, collapsed ones marked."""
    import plotly.graph_objects as go_

    kl = (past.validation[-1] if past.validation else {}).get("kl_per_dimension")
    if not kl:
        return
    tone = colours()
    order = sorted(range(len(kl)), key=lambda i: -kl[i])
    collapsed = sum(value <= watch.COLLAPSED_NATS for value in kl)
    shown = order[:128]
    chart = figure("KL of each number in the code, nats", 210)
    chart.add_trace(
        go_.Bar(
            x=[f"#{i}" for i in shown],
            y=[kl[i] for i in shown],
            customdata=["collapsed" if kl[i] <= watch.COLLAPSED_NATS else "in use" for i in shown],
            marker={
                "color": [tone["quiet"] if kl[i] <= watch.COLLAPSED_NATS else tone["main"] for i in shown],
                "line": {"width": 0},
            },
            hovertemplate="%{y:.3g} nats, %{customdata}<extra></extra>",
        )
    )
    chart.add_hline(watch.COLLAPSED_NATS, line={"color": tone["second"], "width": 1, "dash": "dot"})
    chart.update_layout(bargap=0.25, hovermode="closest")
    chart.update_xaxes(showticklabels=len(shown) <= 32, type="category")
    draw(chart, "train_kl")
    if collapsed:
        st.caption(
            f"{collapsed} of {len(kl)} carry under {watch.COLLAPSED_NATS} nats (grey): they have collapsed and "
            f"change nothing in the picture."
        )


def film(job: Job) -> None:
    """The same pictures, draws and walks at each mark in time, with a scrubber."""
    frames = watch.marks(job.run)
    if not frames:
        return
    urls = [
        {
            "step": step,
            **{kind: media_url(path.read_bytes(), f"{job.id}-{step}-{kind}") for kind, path in kinds.items()},
        }
        for step, kinds in frames
    ]
    size = job.recipe.model.image_size
    component("train/train", ("train/train",), FRAME)(
        key=f"train_film_{job.id}",
        data={"frames": urls, "image_size": size, "flat": job.recipe.model.latent_size == 2},
    )


def media_url(data: bytes, place: str) -> str:
    """An address below the app's of Streamlit's own media files, which end with the session; or the picture itself."""
    if runtime.exists():
        return runtime.get_instance().media_file_mgr.add(data, "image/png", place).lstrip("/")
    return "data:image/png;base64," + base64.b64encode(data).decode()


# ---------------------------------------------------------------- folds


def folds(job: Job, recipe: Any) -> None:
    """What few need: several GPUs, settings, log."""
    with st.expander("Train it on several GPUs or machines", icon=":material/lan:"):
        st.markdown(
            "The same job, from a terminal in the folder of this app. It goes on from the checkpoint there is; "
            "end the job here first. "
            "The batch is shared out, so the result is that of one process. This page shows it as if it ran here."
        )
        st.code(torchrun_command(job, 2), language="bash", wrap_lines=True)
        st.caption("On two machines, start this on each, with the name of the first one for HOST:")
        st.code(torchrun_command(job, 2, nodes=2), language="bash", wrap_lines=True)
    with st.expander("Settings", icon=":material/settings:"):
        st.code(
            json.dumps({k: v for k, v in recipe.to_dict().items() if isinstance(v, dict)}, indent=1),
            language="json",
            height=320,
        )
    with st.expander("Log", icon=":material/notes:"):
        st.code(job.log() or "Nothing was printed.", language=None, height=240)
