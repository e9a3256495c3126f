"""The Map page's side of the live component, the taught directions, and the plain view for assistive technology."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from vae import media
from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.space import colouring, selections, taught, views
from vae.space.axes import bases
from vae.space.errors import AtlasError, LatentError
from vae.web.core import state
from vae.web.core.http import b64
from vae.web.core.mount import component, describe
from vae.web.core.state import Current

if TYPE_CHECKING:
    import plotly.graph_objects as go

SKELETON = """
<div class="frame"><div class="live atlas skeleton" aria-hidden="true">
<div class="bar"></div><section class="chart"><div class="tools"></div><div class="map"></div></section>
<section class="side"><div class="stage"></div></section>
</div></div>
"""
PLAIN_POINTS = 10_000
RATES = 20


def key_of(bundle: Bundle) -> str:
    """The component's key: one for each model, so that none takes over another's code."""
    return f"atlas-{bundle.name}-{bundle.digest}"


def absorb(bundle: Bundle, here: Current) -> str | None:
    """Take over the code that was picked on the map; a sentence where it cannot be used."""
    sent = st.session_state.get(key_of(bundle))
    try:
        here.absorb(bundle, (sent or {}).get("code"))
    except (BundleError, LatentError) as error:
        return str(error)
    return None


def event(bundle: Bundle) -> Mapping[str, Any]:
    """What the component asked for in this run, if anything."""
    sent = (st.session_state.get(key_of(bundle)) or {}).get("event")
    return sent if isinstance(sent, Mapping) else {}


def mount(bundle: Bundle, here: Current) -> None:
    """The map at this place of the page."""
    data = {
        "model": describe(bundle),
        "revision": here.revision,
        "code": b64(here.z),
        "delta": None if here.delta is None else b64(here.delta),
        "features": [] if here.feature is None else [{"id": here.feature.id, "share": here.photo.detail}],
        "photo": here.photo.id if here.photo else None,
        "refined": here.photo.refined if here.photo else True,
        "temperature": here.temperature,
        "axes": taught.version(bundle),
    }
    show = component("atlas/atlas", ("atlas/atlas", "atlas/side", "live/eyes", "live/players/players"), SKELETON)
    show(key=key_of(bundle), data=data, on_code_change=lambda: None, on_event_change=lambda: None)


# -- taught directions ---------------------------------------------------------------------------------------------


def take_in(bundle: Bundle) -> None:
    """Import the chosen files; what came of it is said in the panel."""
    said = []
    for file in st.session_state.get("direction_files") or []:
        try:
            direction = taught.from_json(bundle, file.getvalue())
            taught.save(bundle, direction)
            said.append(f"\u201c{direction.label}\u201d is a slider now.")
        except taught.TaughtError as error:
            said.append(f"{file.name[:60]}: {error}")
    st.session_state["direction_notes"] = said


def forget(bundle: Bundle, direction_id: str) -> None:
    """Remove one direction."""
    try:
        taught.remove(bundle, direction_id)
    except taught.TaughtError as error:
        st.session_state["direction_notes"] = [str(error)]


def directions(bundle: Bundle) -> None:
    """The list of taught directions: export, remove, import."""
    own = taught.load(bundle)
    if not own:
        st.caption(
            "None yet. Select codes on the map, open Teach, and save what it learns; it becomes a slider on Explore."
        )
    for direction in own:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{direction.label}** \u00b7 AUC {direction.auc:.3f}", help=direction.detail, width="stretch")
            st.download_button(
                "Export",
                taught.to_json(bundle, direction),
                f"{direction.id}.json",
                "application/json",
                key=f"export-{direction.id}",
                on_click="ignore",
            )
            st.button("Remove", key=f"remove-{direction.id}", on_click=forget, args=(bundle, direction.id))
    st.file_uploader(
        "Import exported directions",
        type="json",
        accept_multiple_files=True,
        key="direction_files",
        on_change=take_in,
        args=(bundle,),
        max_upload_size=1,
    )
    for sentence in st.session_state.pop("direction_notes", []):
        st.caption(sentence)


# -- the plain view ------------------------------------------------------------------------------------------------


def figure(bundle: Bundle, view: views.Linear | views.Placed, by: str) -> tuple[go.Figure, np.ndarray]:
    """The scatter as a Plotly figure, and the indices of the codes that it shows."""
    import plotly.graph_objects as go  # here, so that only the plain view pays for loading it

    codes = bundle.codes
    shown = np.arange(len(codes))
    if len(codes) > PLAIN_POINTS:
        shown = np.sort(np.random.default_rng(0).permutation(len(codes))[:PLAIN_POINTS])
    xy = (view.project(codes.mu[shown]) if isinstance(view, views.Linear) else view.xy[shown]).astype(np.float32)
    found = colouring.colours(bundle, by) or colouring.colours(bundle, "none")
    values = found["values"][shown]
    chart = go.Figure(layout={"height": 560, "margin": {"l": 10, "r": 10, "t": 10, "b": 10}, "dragmode": "lasso"})
    if found["kind"] == "number":
        marker = {
            "size": 5,
            "opacity": 0.8,
            "color": values,
            "colorscale": "Viridis",
            "showscale": True,
            "colorbar": {"title": found["unit"]},
        }
        chart.add_trace(
            go.Scattergl(x=xy[:, 0], y=xy[:, 1], mode="markers", marker=marker, name=found["title"], customdata=shown)
        )
    else:
        for k, name in enumerate(found["categories"]):
            of = values == k
            chart.add_trace(
                go.Scattergl(
                    x=xy[of, 0],
                    y=xy[of, 1],
                    mode="markers",
                    marker={"size": 5, "opacity": 0.8},
                    name=name,
                    customdata=shown[of],
                )
            )
    chart.update_xaxes(title=view.labels[0] or None).update_yaxes(title=view.labels[1] or None, scaleanchor="x")
    return chart, shown


def plain(bundle: Bundle, here: Current) -> None:
    """The map in Streamlit's own widgets: view, colour, a place by numbers, a selection and its rates."""
    every = {name: basis for name, basis in bases(bundle).items() if len(basis) >= 2}
    left, middle, right, last = st.columns(4)
    kind = left.selectbox(
        "View",
        list(every),
        format_func=views.TITLES.get,
        index=list(every).index("raw" if bundle.latent_size == 2 else "principal"),
    )
    labels = {axis.id: axis.label for axis in every[kind].axes}
    x = middle.selectbox("Across", list(labels), 0, format_func=labels.get, key=f"across-{kind}")
    y = right.selectbox("Up", [axis for axis in labels if axis != x], 0, format_func=labels.get, key=f"up-{kind}")
    colours = {option["id"]: option["title"] for option in colouring.colour_options(bundle)}
    by = last.selectbox("Colour", list(colours), format_func=colours.get)
    try:
        view = views.view(bundle, views.Spec(kind, (x, y)))
        chart, _shown = figure(bundle, view, by)
    except AtlasError as refusal:
        st.warning(str(refusal))
        return
    chosen = st.plotly_chart(chart, key="plain_map", on_select="rerun", selection_mode=("box", "lasso"))
    place(bundle, here, view)
    # customdata comes back with each point, whichever trace it is in.
    ids = [int(np.ravel(point["customdata"])[0]) for point in chosen["selection"]["points"] if "customdata" in point]
    if not ids:
        st.caption("Draw a lasso or a box in the chart to compare a selection with the whole.")
        return
    mask = np.zeros(len(bundle.codes), bool)
    mask[ids] = True
    found = selections.summarise(bundle, mask, 12)
    one, two = st.columns([1, 2])
    one.image(
        media.resize(bundle.decode(bundle.check_z(found.mean))[0], 256),
        f"Mean of {found.count:,} codes; spread {found.spread:.0%} of the whole",
        alt="Mean of the selected codes",
    )
    sheet = media.sheet([media.resize(picture, 96) for picture in bundle.decode(bundle.codes.mu[found.sheet])], 6)
    two.image(sheet, alt="Some of the selected codes, as the model draws them")
    if found.rates:
        st.plotly_chart(rates_chart(found.rates[:RATES]), key="plain_rates")


def rates_chart(rates: list[dict[str, Any]]) -> go.Figure:
    """Label rates of a selection beside those of the whole."""
    import plotly.graph_objects as go

    rates = rates[::-1]
    names = [rate["name"] for rate in rates]
    chart = go.Figure(
        layout={"height": 80 + 26 * len(rates), "margin": {"l": 10, "r": 10, "t": 10, "b": 10}, "barmode": "group"}
    )
    chart.add_trace(
        go.Bar(x=[rate["whole"] for rate in rates], y=names, orientation="h", name="All codes", marker={"opacity": 0.4})
    )
    chart.add_trace(go.Bar(x=[rate["rate"] for rate in rates], y=names, orientation="h", name="Selection"))
    return chart.update_xaxes(tickformat=".0%", rangemode="tozero")


def place(bundle: Bundle, here: Current, view: views.Linear) -> None:
    """Go to a place by its two numbers, on the plane through the code in hand."""
    at = view.project(here.z)
    with st.form("place", border=False):
        one, two, three = st.columns([1, 1, 2], vertical_alignment="bottom")
        x = one.number_input(view.labels[0], value=round(float(at[0]), 3), format="%.3f")
        y = two.number_input(view.labels[1], value=round(float(at[1]), 3), format="%.3f")
        if three.form_submit_button("Go there"):
            here.put(state.grid(bundle.check_z(view.lift(np.array([x, y]), here.z)), bundle), here.photo)
    st.image(
        media.resize(here.decode(bundle)[0], 256),
        alt="Your picture",
        caption=f"Your picture, at {x:+.2f}, {y:+.2f} of this view",
    )
