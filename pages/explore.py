"""Explore: drag a slider and the picture follows; start from a photo; take the result away."""

from __future__ import annotations

import streamlit as st

from vae.bundles.contract import BundleError
from vae.space.errors import LatentError
from vae.web.core import photo, services, state
from vae.web.core.top import top
from vae.web.explore import export, live, picker
from vae.web.explore.plain import Plain

told = state.read_link(st.query_params, services.registry)
at = top("explore")
bundle, plain = at.bundle, at.plain
here = state.current(bundle)
key = f"explore-{bundle.name}-{bundle.digest}"
if not plain and (sent := st.session_state.get(key)):
    try:
        here.absorb(bundle, sent.get("code"))
    except (BundleError, LatentError) as error:
        told = str(error), False

with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
    picker.picker(at)
    st.space("stretch")
    face = "Your photo" if bundle.eyes else "Your picture"
    prewarm = services.refiner.prewarm if bundle.levels else "ignore"
    with st.popover(face, icon=":material/add_a_photo:", key="photo_panel", on_change=prewarm):
        with st.container(width=360):
            photo.panel(bundle, here, services.refiner)
    with st.popover("Export", icon=":material/download:", key="export_panel"), st.container(width=340):
        export.panel(bundle, here)
    with st.popover("About", icon=":material/info:", key="about_panel"):
        st.markdown(bundle.card or f"**{bundle.title}**\n\n{bundle.description}")
        st.caption(f"Licence: {bundle.licence}. Version {bundle.digest}.")
        if bundle.metrics:
            plain_figures = {k: str(v) for k, v in bundle.metrics.items() if not isinstance(v, (dict, list))}
            st.table(plain_figures)
    at.switch("Streamlit's own sliders, for screen readers and programs; the picture follows when you let go")
if at.broken:
    with st.expander(f"{len(at.broken)} model{'s' * (len(at.broken) > 1)} cannot be opened", icon=":material/warning:"):
        for name, reason in at.broken.items():
            st.markdown(f"**{name}**: {reason}")
if told:
    sentence, shown = told
    if shown:
        st.info(sentence, icon=":material/link:")
    else:
        st.warning(sentence, icon=":material/link_off:")

if plain:
    Plain(bundle, here).page()
    st.query_params.update(state.link(bundle, here.z))
else:
    live.explore(bundle, here, key)
