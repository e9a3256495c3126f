"""Who may train, and what the parts of the Train page share.

Streamlit knows an element by its place. What a run may show or leave out stands in a container of its own, so that what
follows keeps its place; else the page shows both, the new element and the old one, until the run ends.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Any

import streamlit as st

from vae.jobs.job import Job, JobError
from vae.web.core.navigation import open_page

FORWARDED = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "cf-connecting-ip",
)
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
REFUSAL = (
    "Training can be launched only from the machine that runs this app, at http://localhost. Whoever operates it "
    "can open "
    "it to all visitors by starting the app with VAE_ALLOW_TRAINING=1."
)
BADGES = {
    "queued": ("In the queue", ":material/hourglass_top:", "gray"),
    "reading": ("Reading pictures", ":material/photo_library:", "blue"),
    "running": ("Training", ":material/play_arrow:", "green"),
    "paused": ("Paused", ":material/pause:", "orange"),
    "exporting": ("Making the model", ":material/package_2:", "blue"),
    "finished": ("Finished", ":material/check:", "green"),
    "stopped": ("Stopped and kept", ":material/stop_circle:", "gray"),
    "failed": ("Failed", ":material/error:", "red"),
    "interrupted": ("Interrupted", ":material/power_off:", "orange"),
}
# Numbers keep their width while they change; tables of figures line up.
STYLE = """<style>
[data-testid="stMetricValue"], [data-testid="stProgress"], [data-testid="stTable"] td {
  font-variant-numeric: tabular-nums;
}
[data-testid="stMetricValue"] { font-size: 1.3rem; line-height: 1.4; }
.st-key-train_sheet img, [class*="st-key-train_model_"] img { border-radius: 10px; }
.st-key-train_figures { row-gap: 1rem; }
.st-key-train_head h2 { padding: 0; }
</style>"""


def may_train(address: str | None, headers: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this visitor may launch: from this machine, not through a proxy, or with the operator's leave.

    address: the visitor's; None is this machine. The name in the address bar has to be a local one too, so that no
    page elsewhere can reach in under a name that it points here.
    """
    if environment.get("VAE_ALLOW_TRAINING") == "1":
        return True
    known = {name.lower(): value for name, value in headers.items()}
    if any(name in known for name in FORWARDED):
        return False
    host = known.get("host", "localhost")
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() not in LOCAL_NAMES:
        return False
    if not isinstance(address, (str, type(None))):
        return False
    try:
        return address is None or ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


def guard() -> None:
    """End the page with a sentence where training may not be launched."""
    if not may_train(st.context.ip_address, st.context.headers.to_dict()):
        st.info(REFUSAL, icon=":material/lock:")
        st.caption("Models that were trained here can be explored from anywhere: see Explore.")
        st.stop()


def attempt(action: Any, *args: Any) -> Any:
    """Do it; a refusal becomes a sentence on the page that outlives the next run."""
    try:
        return action(*args)
    except JobError as error:
        say(str(error), "error")
        return None


def say(sentence: str, kind: str = "info") -> None:
    """Keep a sentence for the top of the page, once."""
    st.session_state["train_said"] = (sentence[:1].upper() + sentence[1:].rstrip(".") + ".", kind)


def said() -> None:
    """Show what was kept to say."""
    sentence, kind = st.session_state.pop("train_said", ("", ""))
    with st.container():
        if sentence:
            {"error": st.error, "warning": st.warning}.get(kind, st.info)(sentence)


def go(view: str, **query: str) -> None:
    """Switch the part of the page, and remember it in the address."""
    st.session_state["train_part"] = view
    st.query_params.from_dict({"view": view, **query})


def open_in(page: str, name: str) -> None:
    """Open a model on another page, in a run of the whole page."""
    st.session_state["train_leave"] = (page, name)
    st.rerun()


def leave() -> None:
    """Go to the page that was asked for in the run before."""
    from vae.web.core import state

    page, name = st.session_state.pop("train_leave", ("", ""))
    if page:
        state.studio().model = name
        open_page(page, {"model": name})


def badge(job: Job) -> None:
    """The state of a job as a coloured word."""
    words, icon, colour = BADGES[job.state]
    st.badge(words, icon=icon, color=colour)


def colours() -> dict[str, str]:
    """Colours of figures, by the visitor's theme."""
    dark = st.context.theme.type == "dark"
    return {
        "main": "#2dd4bf" if dark else "#0f766e", "second": "#f0a35e" if dark else "#c2611a",
        "third": "#a5a2f5" if dark else "#5b54c9", "fourth": "#f08fb2" if dark else "#b23a6b",
        "quiet": "#7d858c" if dark else "#8b8579", "grid": "#2a2f34" if dark else "#e9e4dc",
        "ink": "#e8e6e1" if dark else "#1f2226",
    }  # fmt: skip


def figure(title: str, height: int = 220) -> Any:
    """An empty Plotly figure in the page's style."""
    import plotly.graph_objects as go

    tone = colours()
    axis = {
        "gridcolor": tone["grid"],
        "zeroline": False,
        "tickfont": {"color": tone["quiet"], "size": 11},
        "automargin": True,
    }
    return go.Figure(layout={
        "title": {"text": title, "font": {"size": 14, "color": tone["ink"]}, "x": 0, "xanchor": "left", "y": 0.97,
                  "yanchor": "top"},
        "height": height, "margin": {"l": 8, "r": 8, "t": 38, "b": 8}, "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)", "xaxis": {**axis, "showgrid": False}, "yaxis": axis, "showlegend": False,
        "hovermode": "x unified", "hoverlabel": {"font": {"size": 12}}, "uirevision": "kept", "separators": ".,",
    })  # fmt: skip


def draw(chart: Any, key: str) -> None:
    """Show a figure without its toolbar."""
    st.plotly_chart(chart, key=key, theme="streamlit", config={"displayModeBar": False, "scrollZoom": False})
