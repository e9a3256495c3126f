"""Blend: two to four people in, a new face out; by hand, as a table, as a film, and back into the photo."""

from __future__ import annotations

import streamlit as st

from vae.bundle import BundleError
from vae.web import blend_live, blend_panels, state
from vae.web.api import registry


def set_plain() -> None:
    """Keep the choice in the address, so that it survives a reload."""
    if st.session_state.blend_plain:
        st.query_params["plain"] = "1"
    else:
        st.query_params.pop("plain", None)


def choose_model() -> None:
    """Another model, with people of its own."""
    state.studio().model = st.session_state.blend_model


names, broken = state.choose(registry)
if not names:
    st.title("No model is here yet")
    for name, reason in broken.items():
        st.error(f"**{name}**: {reason}")
    st.info("Put a model folder into assets/models or into the models folder of your own, and reload the page.")
    st.stop()

studio = state.studio()
if studio.model not in names:
    asked = st.query_params.get("model")
    studio.model = asked if asked in names else names[0]
try:
    titles = {name: registry.get(name).title for name in names}
    bundle = registry.get(studio.model)
except BundleError as error:
    st.error(str(error))
    st.stop()

here = blend_live.desk(bundle)
blend_live.read_link(bundle, here, st.query_params)
plain = st.query_params.get("plain") == "1"

with st.container(horizontal=True, vertical_alignment="center", key="blend_toolbar"):
    st.selectbox("Model", names, names.index(studio.model), format_func=titles.get, key="blend_model", on_change=choose_model,
                 label_visibility="collapsed", width=240)
    st.caption("Photos stay in memory for this session; they are never written anywhere.")
    st.space("stretch")
    st.toggle("Plain controls", plain, key="blend_plain", on_change=set_plain,
              help="Streamlit's own sliders, for screen readers and programs; the picture follows when you let go")


@st.fragment
def desk() -> None:
    """The live mix and what is made of it; only this part runs again when the hand lets go."""
    if plain:
        blend_panels.Plain(bundle, here).page()
    else:
        blend_live.mount(bundle, here)
    if not here.people:
        return
    tabs = st.tabs(["Film", "Likeness", "Into the photo", "Take it away"], key="blend_tabs", on_change="rerun")
    panels = (blend_panels.film, blend_panels.likeness, blend_panels.back_into_photo, blend_panels.keep)
    for tab, panel in zip(tabs, panels):
        if tab.open:
            with tab:
                panel(bundle, here)


desk()
