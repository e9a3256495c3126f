"""The script that Streamlit runs: page set-up and navigation."""

from __future__ import annotations

import streamlit as st

from vae.paths import ASSETS, PAGES
from vae.web.core import menu
from vae.web.core.mount import component

st.set_page_config(page_title="Latent-space explorer", page_icon=str(ASSETS / "icon.png"), layout="wide")

# Streamlit writes in white on the theme's first colour, which in the dark theme is light enough to be read as text.
st.html("""<style>
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primaryFormSubmit"] {
  background-color: #0f766e; border-color: #0f766e; color: #fff;
}
/* A block that scrolls sideways is out of reach for the keyboard. */
[data-testid="stMarkdownContainer"] pre code { white-space: pre-wrap !important; overflow-wrap: anywhere; }
</style>""")

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
here = st.navigation(pages, position="top")
menu.on_a_phone(pages, MENU, here)
component("core/document", (), "")(key="document", data={})
here.run()
