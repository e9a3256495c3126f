"""The latent-space explorer: where Streamlit and ASGI servers look for the application; see vae.web.serve."""

from __future__ import annotations

import streamlit as st

from vae.web.serve import SHELL, main, parts

app = st.App(SHELL, **parts())  # `streamlit run` wants to read this line here

if __name__ == "__main__":
    main(app)
