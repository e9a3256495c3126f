"""Map: all codes in one picture, where every place decodes; select, compare, teach, and draw paths."""

from __future__ import annotations

import streamlit as st

from vae.web.atlas import live as atlas_live
from vae.web.core import state
from vae.web.core.navigation import open_page
from vae.web.core.top import top

at = top("atlas")
bundle, plain = at.bundle, at.plain
here = state.current(bundle)
refused = atlas_live.absorb(bundle, here)
if atlas_live.event(bundle).get("name") == "explore":
    open_page("explore")

with st.container(horizontal=True, vertical_alignment="center", key="atlas_toolbar"):
    at.picker()
    with st.popover("My directions", icon=":material/tune:", key="directions_panel"):
        atlas_live.directions(bundle)
    st.space("stretch")
    at.switch("A chart and numbers instead of the live map, for screen readers and programs")
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
