"""The script that Streamlit runs: page set-up and navigation."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

st.set_page_config(page_title="Latent-space explorer", page_icon=str(ROOT / "assets" / "icon.png"), layout="wide")

PAGES = [
    ("explore", "Explore", ":material/tune:"),
    ("atlas", "Map", ":material/scatter_plot:"),
    ("blend", "Blend", ":material/join_inner:"),
    ("train", "Train", ":material/model_training:"),
]

pages = [
    st.Page(ROOT / "pages" / f"{name}.py", title=title, icon=icon, url_path=name, default=name == "explore")
    for name, title, icon in PAGES
]
st.navigation(pages, position="top").run()
