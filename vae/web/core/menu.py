"""The pages as a row of tabs on a phone, where Streamlit hides its own menu behind an unnamed button."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

KEY = "pages"
# Streamlit folds its menu under 768 px. Where ours stands in for it, the header's empty strip would only push the page
# down; messages that it shows there still lie above the page.
STYLE = """<style>
.st-key-KEY { display: none; }
@media (max-width: 767.98px) {
  [data-testid="stHeader"], [data-testid="stHeader"] * { background: transparent; pointer-events: none; }
  [data-testid="stExpandSidebarButton"] { display: none; }
  [data-testid="stMainBlockContainer"] { padding-top: 0.5rem; }
  .st-key-KEY {
    display: flex; flex-flow: row nowrap; gap: 0; overflow-x: auto; scrollbar-width: none;
    border-bottom: 1px solid rgb(128 128 128 / 30%);
  }
  .st-key-KEY > * { flex: 1 1 0; width: auto !important; min-width: 3.4rem; }
  .st-key-KEY [data-testid="stPageLink"] { width: 100%; }
  .st-key-KEY a {
    display: flex; flex-direction: column; align-items: center; justify-content: center; gap: 0.1rem; min-height: 3.1rem; margin: 0;
    padding: 0.3rem 0.1rem; border-radius: 0.625rem 0.625rem 0 0; background: none;
  }
  .st-key-KEY a p { font-size: 0.78rem; line-height: 1.1; white-space: nowrap; }
  .st-key-KEY > * { border-bottom: 3px solid transparent; }
  .st-key-KEY > :nth-child(HERE) { border-color: #0f9184; }
  .st-key-KEY > :nth-child(HERE) p { font-weight: 650; }
}
</style>"""


def on_a_phone(pages: Sequence[Any], entries: Sequence[tuple[str, str, str]], here: Any) -> None:
    """Draw the row; a style sheet keeps it out of sight where Streamlit's own menu is.

    pages: st.Page of each entry. entries: (name, title, icon). here: the page that is open.
    """
    number = next((i for i, page in enumerate(pages, 1) if page.url_path == here.url_path), 0)
    st.html(STYLE.replace("KEY", KEY).replace("HERE", str(number)))
    with st.container(key=KEY):
        for page, (_, title, icon) in zip(pages, entries):
            st.page_link(page, label=title, icon=icon)
