"""Blend: two to four people in, a new face out; by hand, as a table, as a film, and back into the photo."""

from __future__ import annotations

import streamlit as st

from vae.web.blend import live as blend_live
from vae.web.blend import panels as blend_panels
from vae.web.core.top import top

at = top("blend")
bundle, plain = at.bundle, at.plain
here = blend_live.desk(bundle)
blend_live.begin(bundle, here, st.query_params)

with st.container(horizontal=True, vertical_alignment="center", key="blend_toolbar"):
    at.picker()
    st.caption("Photos stay in memory for this session; they are never written anywhere.")
    st.space("stretch")
    at.switch("Streamlit's own sliders, for screen readers and programs; the picture follows when you let go")


@st.fragment
def desk() -> None:
    """The live mix and what is made of it; only this part runs again when the hand lets go."""
    if plain:
        blend_panels.Plain(bundle, here).page()
    else:
        blend_live.mount(bundle, here)
    if not here.people:
        return
    panels = {
        "Film": blend_panels.film,
        "Likeness": blend_panels.likeness,
        "Into the photo": blend_panels.back_into_photo,
        "Take it away": blend_panels.keep,
    }
    if bundle.eyes is None:  # no eyes, by which a face is laid back into a photo
        del panels["Into the photo"]
    for tab, panel in zip(st.tabs(list(panels), key="blend_tabs", on_change="rerun"), panels.values()):
        if tab.open:
            with tab:
                panel(bundle, here)


desk()
