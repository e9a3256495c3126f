"""The Lab page's side of the live component."""

from __future__ import annotations

import contextlib
from typing import Any

import streamlit as st

from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.evaluation import compressing, picked
from vae.evaluation.noises import DAMAGES
from vae.web.core import services
from vae.web.core.mount import component, describe

SKELETON = """
<div class="frame"><div class="live lab skeleton" aria-hidden="true">
<section class="two"><div class="stage"></div></section><section class="bench"></section>
</div></div>
"""


def mount(bundle: Bundle, bench: str) -> None:
    """The benches at this place of the page. bench: the one to open, from the address."""
    labels = bundle.codes.labels
    data = {
        "model": describe(bundle),
        "bench": bench,
        "damages": [one._asdict() for one in DAMAGES],
        "budget": {"least": compressing.LEAST, "most": 1024},
        "decoder_bytes": compressing.decoder_bytes(bundle),
        "fitted": picked.pca_file(bundle).is_file(),
        "labelled": bool(len(bundle.codes) and labels.shape[1]),
        "codes": len(bundle.codes),
        "others": _others(bundle),
    }
    styles = ("lab/lab", "lab/benches", "lab/compare", "lab/two", "live/players/players")
    show = component("lab/lab", styles, SKELETON)
    show(key=f"lab-{bundle.name}-{bundle.digest}", data=data, on_bench_change=_follow)


def _others(bundle: Bundle) -> list[dict[str, Any]]:
    """The other models that can be opened, as the browser's engine must know them."""
    found = []
    for name in services.registry.names():
        with contextlib.suppress(BundleError):  # the picker says what is broken
            if name != bundle.name:
                found.append(describe(services.registry.get(name)))
    return found


def _follow() -> None:
    """The open bench stays in the address; the component asks for it."""
    for key, sent in st.session_state.items():
        if str(key).startswith("lab-") and sent and sent.get("bench"):
            st.query_params["bench"] = str(sent["bench"])[:20]


def warm(bundle: Bundle) -> None:
    """Let the measuring process load what the first picture needs, once a session and model."""
    key = f"lab_warm_{bundle.digest}"
    if key not in st.session_state:
        st.session_state[key] = True
        services.workshop.prewarm(bundle)
