"""The top of every page that shows a model: which one, and live or plain controls."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.web.core import services, state

# On a phone: model and switch in the first row, the buttons in the second, so that the picture begins higher up.
PHONE = """<style>
@media (max-width: 640px) {
  .st-key-toolbar, .st-key-PAGE_toolbar { gap: 0.5rem; }
  .st-key-PAGE_model { order: -2; flex: 1 1 175px !important; min-width: 0; }
  .st-key-PAGE_plain { order: -1; }
  .st-key-PAGE_model [data-testid="stSelectbox"] { width: 100%; }
}
</style>"""


@dataclass(frozen=True)
class Top:
    """What a page opens with. plain: the visitor wants Streamlit's own widgets; broken: reasons by name."""

    page: str
    bundle: Bundle
    plain: bool
    titles: dict[str, str]
    broken: dict[str, str]

    def picker(self) -> None:
        """Which model; the code of each is kept."""
        names, key = list(self.titles), f"{self.page}_model"
        st.html(PHONE.replace("PAGE", self.page))

        def choose() -> None:
            state.studio().model = st.session_state[key]

        st.selectbox("Model", names, names.index(self.bundle.name), format_func=self.titles.get, key=key,
                     on_change=choose, label_visibility="collapsed", width=240)  # fmt: skip

    def switch(self, said: str) -> None:
        """Live or plain controls. The choice is kept in the address, so that it survives a reload."""
        key = f"{self.page}_plain"

        def choose() -> None:
            if st.session_state[key]:
                st.query_params["plain"] = "1"
            else:
                st.query_params.pop("plain", None)

        st.toggle("Plain controls", self.plain, key=key, on_change=choose, help=said)


def top(page: str) -> Top:
    """The model of the session, or of the address. Ends the run with the reasons where no model can be opened."""
    names, broken = state.choose(services.registry)
    if not names:
        st.title("No model can be opened" if broken else "No model is here yet")
        for name, reason in broken.items():
            st.error(f"**{name}**: {reason}")
        st.info("Put a model folder into assets/models or into the models folder of your own, and reload the page.")
        st.stop()
    studio = state.studio()
    if studio.model not in names:
        asked = state.linked(st.query_params, services.registry).name
        studio.model = asked if asked in names else names[0]
    try:
        titles = {name: services.registry.get(name).title for name in names}
        bundle = services.registry.get(studio.model)
    except BundleError as error:
        st.error(str(error))
        st.stop()
    return Top(page, bundle, st.query_params.get("plain") == "1", titles, broken)
