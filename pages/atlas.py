"""Map: all codes in one picture, where every place decodes; select, compare, teach, and draw paths."""

from __future__ import annotations

import streamlit as st

from vae.bundle import BundleError
from vae.web import atlas_live, state
from vae.web.api import registry
from vae.web.navigation import open_page


def set_plain() -> None:
    """Keep the choice in the address, so that it survives a reload."""
    if st.session_state.atlas_plain:
        st.query_params["plain"] = "1"
    else:
        st.query_params.pop("plain", None)


def choose_model() -> None:
    """Another model, with a code of its own."""
    state.studio().model = st.session_state.atlas_model


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

here = state.current(bundle)
refused = atlas_live.absorb(bundle, here)
if atlas_live.event(bundle).get("name") == "explore":
    open_page("explore")
plain = st.query_params.get("plain") == "1"

with st.container(horizontal=True, vertical_alignment="center", key="atlas_toolbar"):
    st.selectbox(
        "Model",
        names,
        names.index(studio.model),
        format_func=titles.get,
        key="atlas_model",
        on_change=choose_model,
        label_visibility="collapsed",
        width=240,
    )
    with st.popover("My directions", icon=":material/tune:", key="directions_panel"):
        atlas_live.directions(bundle)
    st.space("stretch")
    st.toggle(
        "Plain controls",
        plain,
        key="atlas_plain",
        on_change=set_plain,
        help="A chart and numbers instead of the live map, for screen readers and programs",
    )
if refused:
    st.warning(refused, icon=":material/link_off:")
if len(bundle.codes) < 3 or bundle.latent_size < 2:
    st.info(
        f"{bundle.title} has {len(bundle.codes)} codes of {bundle.latent_size} numbers; "
        "a map needs at least 3 codes of 2 numbers."
    )
    st.stop()

if plain:
    atlas_live.plain(bundle, here)
else:
    atlas_live.mount(bundle, here)
