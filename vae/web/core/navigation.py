"""Going from one page to another by program."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from vae.paths import PAGES


def open_page(name: str, query: Mapping[str, str] | None = None) -> None:
    """Leave for another page, such as "explore".

    Streamlit looks for a path beside the main script, which lies elsewhere; the page itself is found by its address.
    """
    page = st.Page(PAGES / f"{name}.py", url_path=name, default=name == "explore")
    st.switch_page(page, query_params=dict(query) if query else None)
