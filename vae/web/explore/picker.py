"""The model picker of Explore: what each model draws, its title and its licence."""

from __future__ import annotations

import re
from functools import lru_cache

import streamlit as st

from vae import media
from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.space import settling
from vae.web.core import services, state
from vae.web.core.top import PHONE, Top

KEY = "explore_model"
SEED, TEMPERATURE, SIDE = 4, 0.6, 96  # of the picture; pixels at least

CARDS = """<style>
.st-key-explore_models [data-testid="stImage"] img { width: 100%; aspect-ratio: 1; border-radius: 8px; }
.st-key-explore_models .stButton button p { white-space: normal; overflow-wrap: anywhere; }
.st-key-explore_model [data-testid="stPopover"] { width: 100%; }
@media (max-width: 640px) { .st-key-explore_models [data-testid="stColumn"] { min-width: calc(50% - 1rem); } }
</style>"""


@lru_cache(maxsize=64)
def _drawn(digest: str, name: str) -> bytes | None:
    """PNG of one draw of a model's prior; None where it cannot be opened. The digest makes a new file a new picture."""
    try:
        bundle = services.registry.get(name)
        z = settling.draw(bundle, SEED, TEMPERATURE)
        return media.png(bundle.decode_small(z, SIDE)[0])
    except BundleError:
        return None


def _terms(licence: str) -> str:
    """The terms in short, as far as the first stop; the card has them all."""
    return re.split(r"[.;:]", licence, maxsplit=1)[0]


def _choose(name: str) -> None:
    state.studio().model = name
    st.session_state[KEY] = False  # closes the list


def _card(bundle: Bundle, chosen: bool) -> None:
    if (picture := _drawn(bundle.digest, bundle.name)) is not None:
        st.image(picture, width="stretch", alt=f"What {bundle.title} draws")
    st.button(bundle.title, key=f"explore-pick-{bundle.name}", on_click=_choose, args=(bundle.name,), width="stretch",
              type="primary" if chosen else "secondary", help=bundle.description or None)  # fmt: skip
    st.caption(_terms(bundle.licence))


def picker(at: Top) -> None:
    """Which model; the code of each is kept. The list is made when it is opened: its pictures need every decoder."""
    st.html(PHONE.replace("PAGE", at.page) + CARDS)
    box = st.popover(at.bundle.title, icon=":material/apps:", key=KEY, on_change="rerun", width=240)
    with box, st.container(width=520, key="explore_models"):
        if not box.open:
            return
        names = list(at.titles)
        for start in range(0, len(names), 4):
            for place, name in zip(st.columns(4), names[start : start + 4]):
                try:
                    bundle = services.registry.get(name)
                except BundleError:
                    continue
                with place:
                    _card(bundle, name == at.bundle.name)
