"""Lab: every claim on trial; compress, denoise and reduce your own pictures, against the methods it must beat."""

from __future__ import annotations

import streamlit as st

from vae.web.core.top import top
from vae.web.lab import live as lab_live
from vae.web.lab import plain as lab_plain

at = top("lab")
bundle = at.bundle
lab_live.warm(bundle)

with st.container(horizontal=True, vertical_alignment="center", key="lab_toolbar"):
    at.picker()
    st.caption(
        "Pictures stay in this page; the server forgets them with its answer. Each figure is against the picture itself."
    )
    st.space("stretch")
    at.switch("Tables instead of the live benches, for screen readers and programs")

if at.plain:
    lab_plain.page(bundle)
else:
    lab_live.mount(bundle, st.query_params.get("bench", ""))
