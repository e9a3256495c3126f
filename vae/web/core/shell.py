"""The script that Streamlit runs: page set-up and navigation."""

from __future__ import annotations

import streamlit as st

from vae.paths import ASSETS, PAGES

st.set_page_config(page_title="Latent-space explorer", page_icon=str(ASSETS / "icon.png"), layout="wide")

MENU = [
    ("explore", "Explore", ":material/tune:"),
    ("atlas", "Map", ":material/scatter_plot:"),
    ("blend", "Blend", ":material/join_inner:"),
    ("learn", "Learn", ":material/school:"),
    ("lab", "Lab", ":material/science:"),
    ("train", "Train", ":material/model_training:"),
]

pages = [
    st.Page(PAGES / f"{name}.py", title=title, icon=icon, url_path=name, default=name == "explore")
    for name, title, icon in MENU
]
st.navigation(pages, position="top").run()
