"""Explore: drag a slider and the picture follows; start from a photo; take the result away."""

from __future__ import annotations

import streamlit as st

from vae import latent
from vae.bundle import BundleError
from vae.web import export, live, photo, state
from vae.web.api import refiner, registry
from vae.web.plain import Plain


def set_plain() -> None:
    """Keep the choice in the address, so that it survives a reload."""
    if st.session_state.plain:
        st.query_params["plain"] = "1"
    else:
        st.query_params.pop("plain", None)


names, broken = state.choose(registry)
if not names:
    st.title("No model is here yet")
    for name, reason in broken.items():
        st.error(f"**{name}**: {reason}")
    st.info("Put a model folder into assets/models or into the models folder of your own, and reload the page.")
    st.stop()

studio = state.studio()
refused = state.read_link(st.query_params, registry)
if studio.model not in names:
    studio.model = names[0]
try:
    titles = {name: registry.get(name).title for name in names}
    bundle = registry.get(studio.model)
except BundleError as error:
    st.error(str(error))
    st.stop()
here = state.current(bundle)
key = f"explore-{bundle.name}-{bundle.digest}"
plain = st.query_params.get("plain") == "1"
if not plain and (sent := st.session_state.get(key)):
    try:
        here.absorb(bundle, sent.get("code"))
    except (BundleError, latent.LatentError) as error:
        refused = str(error)


def choose_model() -> None:
    """Another model; its own code comes back."""
    studio.model = st.session_state.model_choice


with st.container(horizontal=True, vertical_alignment="center", key="toolbar"):
    st.selectbox("Model", names, names.index(studio.model), format_func=titles.get, key="model_choice",
                 on_change=choose_model, label_visibility="collapsed", width=240)
    st.space("stretch")
    face = "Your photo" if bundle.eyes else "Your picture"
    prewarm = refiner.prewarm if bundle.levels else "ignore"
    with st.popover(face, icon=":material/add_a_photo:", key="photo_panel", on_change=prewarm):
        with st.container(width=360):
            photo.panel(bundle, here, refiner)
    with st.popover("Export", icon=":material/download:", key="export_panel"):
        with st.container(width=340):
            export.panel(bundle, here)
    with st.popover("About", icon=":material/info:", key="about_panel"):
        st.markdown(bundle.card or f"**{bundle.title}**\n\n{bundle.description}")
        st.caption(f"Licence: {bundle.licence}. Version {bundle.digest}.")
        if bundle.metrics:
            plain_figures = {k: str(v) for k, v in bundle.metrics.items() if not isinstance(v, (dict, list))}
            st.table(plain_figures)
    st.toggle("Plain controls", plain, key="plain", on_change=set_plain,
              help="Streamlit's own sliders, for screen readers and programs; the picture follows when you let go")
if broken:
    with st.expander(f"{len(broken)} model{'s' * (len(broken) > 1)} cannot be opened", icon=":material/warning:"):
        for name, reason in broken.items():
            st.markdown(f"**{name}**: {reason}")
if refused:
    st.warning(refused, icon=":material/link_off:")

if plain:
    Plain(bundle, here).page()
    st.query_params.update(state.link(bundle, here.z))
else:
    live.explore(bundle, here, key)
