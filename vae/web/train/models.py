"""The models part of the Train page: rename, compare, export, import, delete with undo."""

from __future__ import annotations

import numpy as np
import streamlit as st

from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.contract import BundleError
from vae.jobs import library, watch
from vae.space import settling
from vae.web.core import services
from vae.web.train.view import attempt, colours, draw, figure, open_in, say

IMPORT_MB = 200
PICTURES, SIDE = 8, 96


def panel() -> None:
    """Undo, the models, compare, import."""
    with st.container():
        undo()
    own = library.own_models()
    with st.container():
        if not own:
            st.info(
                "Models that you train or import are kept here. Start one under New, or import a zip below.",
                icon=":material/inventory_2:",
            )
        for name in own:
            card(name)
    names = [entry["name"] for entry in services.registry.entries() if "broken" not in entry]
    with st.container():
        if len(names) > 1:
            compare(names)
    with st.expander("Import a model", icon=":material/upload:", expanded=not own):
        file = st.file_uploader(
            "A zip that was exported here",
            type=["zip"],
            max_upload_size=IMPORT_MB,
            key="train_import",
            help="Checked whole before it is used; a model runs no code of its own.",
        )
        if file is not None and st.session_state.get("train_imported") != file.file_id:
            st.session_state["train_imported"] = file.file_id
            if name := attempt(library.import_zip, file, file.name):
                say(f"{services.registry.get(name).title} was imported")
            st.rerun()


def card(name: str) -> None:
    """One model: what it is, how good, and what can be done with it."""
    with st.container(border=True, key=f"train_model_{name}"):
        try:
            bundle = services.registry.get(name)
        except BundleError as error:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"**{name}** cannot be opened. {error}")
                st.space("stretch")
                st.button("Delete", icon=":material/delete:", key=f"train_delete_{name}", on_click=delete, args=(name,))
            return
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{bundle.title}**", width="content")
            st.caption(facts(bundle), width="content")
        st.image(draws(str(bundle.path), bundle.digest), alt=f"Draws of {bundle.title}", width=PICTURES * SIDE // 2)
        with st.container(horizontal=True):
            if st.button("Open in Explore", icon=":material/tune:", key=f"train_explore_{name}"):
                open_in("explore", name)
            with st.popover("Rename", icon=":material/edit:"):
                title = st.text_input("Title", bundle.title, max_chars=80, key=f"train_rename_{name}")
                if st.button("Rename", key=f"train_rename_go_{name}", type="primary"):
                    attempt(library.rename, name, title)
                    st.rerun()
            st.download_button(
                "Export zip",
                lambda: library.export_zip(bundle.path),
                f"{name}.zip",
                "application/zip",
                icon=":material/download:",
                key=f"train_export_{name}",
                on_click="ignore",
            )
            st.button("Delete", icon=":material/delete:", key=f"train_delete_{name}", on_click=delete, args=(name,))


@st.cache_data(show_spinner=False, max_entries=64)
def draws(path: str, digest: str) -> np.ndarray:
    """A row of draws from a model's prior. Its networks are opened for this alone, not to stay in memory."""
    bundle = open_bundle(path)
    return strip(bundle.decode_small(settling.draw(bundle, 1, 0.7, PICTURES), SIDE))


def facts(bundle: Bundle) -> str:
    """Size and figures in a line."""
    words = [f"{bundle.image_size} px", "colour" if bundle.channels == 3 else "grey", f"{bundle.latent_size} numbers"]
    metrics = bundle.metrics
    words += [f"PSNR {metrics['psnr']:.1f} dB"] * isinstance(metrics.get("psnr"), (int, float))
    words += [f"KL {metrics['kl']:.1f} nats"] * (
        isinstance(metrics.get("kl"), (int, float)) and bundle.model.variational
    )
    return " \u00b7 ".join([*words, str(bundle.config.get("created", ""))]).rstrip(" \u00b7")


def delete(name: str) -> None:
    """Into the trash, with a way back."""
    if (item := attempt(library.delete_model, name)) is not None:
        say(f"{item.title} was moved to the trash; Undo brings it back")


def undo() -> None:
    """What was deleted within a week."""
    items = library.trashed()
    if not items:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="train_undo"):
        st.button(
            f"Undo: bring back {items[0].title}",
            icon=":material/undo:",
            key="train_undo_last",
            on_click=attempt,
            args=(library.restore, items[0]),
        )
        with st.popover(f"Trash ({len(items)})", icon=":material/delete:"):
            for item in items:
                with st.container(horizontal=True, vertical_alignment="center"):
                    st.markdown(f"{item.title} ({item.kind})")
                    st.button(
                        "Bring back",
                        key=f"train_back_{item.folder.name}",
                        on_click=attempt,
                        args=(library.restore, item),
                    )
            st.caption("Kept for a week, pictures of jobs included.")
            st.button("Remove all for good", key="train_empty", on_click=library.empty_trash)


# ---------------------------------------------------------------- compare


def compare(names: list[str]) -> None:
    """Models side by side: figures, curves, the same pictures reconstructed."""
    st.subheader("Compare", anchor=False)
    titles = {name: services.registry.get(name).title for name in names}
    chosen = st.multiselect(
        "Models",
        names,
        max_selections=4,
        format_func=lambda name: f"{titles[name]} ({name})",
        key="train_compare",
        placeholder="Choose two to four models",
        label_visibility="collapsed",
    )
    if len(chosen) < 2:
        st.caption("Figures, curves and reconstructions of the same pictures, side by side.")
        return
    bundles = [services.registry.get(name) for name in chosen]
    rows = {
        "Model": [b.title for b in bundles],
        "Picture": [f"{b.image_size} px" for b in bundles],
        "Code": [f"{b.latent_size} numbers" for b in bundles],
    }
    for key, words, unit in (
        ("psnr", "PSNR", " dB"),
        ("kl", "KL", " nats"),
        ("ssim", "SSIM", ""),
        ("active_units", "In use", ""),
    ):
        rows[words] = [
            f"{b.metrics[key]:.4g}{unit}" if isinstance(b.metrics.get(key), (int, float)) else "\u2013" for b in bundles
        ]
    st.table(rows)
    pasts = [watch.history(job.run) if (job := library.job_of(name)) else watch.History() for name in chosen]
    overlays(bundles, pasts)
    same_pictures(bundles)


def overlays(bundles: list[Bundle], pasts: list[watch.History]) -> None:
    """Curves of the pictures kept aside, a line a model."""
    import plotly.graph_objects as go

    tones = list(colours().values())[:4]
    for column, (key, title) in zip(st.columns(2), (("psnr", "PSNR, dB"), ("kl", "KL, nats"))):
        chart = figure(title, 240)
        for bundle, past, tone in zip(bundles, pasts, tones):
            marks = [row for row in past.validation if key in row]
            chart.add_trace(
                go.Scatter(
                    x=[r["images"] for r in marks],
                    y=[r[key] for r in marks],
                    mode="lines+markers",
                    name=bundle.title,
                    line={"color": tone, "width": 2},
                    marker={"size": 5},
                    hovertemplate="%{y:.4g}",
                )
            )
        if any(trace.x for trace in chart.data):
            chart.update_layout(showlegend=True, legend={"orientation": "h", "y": -0.18, "x": 0})
            with column:
                draw(chart, f"train_compare_{key}")


@st.cache_data(show_spinner=False)
def common_pictures(image_size: int, channels: int) -> np.ndarray:
    """Pictures that every model is asked to reconstruct, (n, s, s, c) uint8: digits, one of each kind."""
    from vae.config import DataConfig
    from vae.data.files import DataError
    from vae.data.sets import open_data

    try:
        pictures = open_data(DataConfig(("digits",), limit=400), image_size, channels)
    except DataError:
        pictures = open_data(DataConfig(("sklearn-digits",), limit=400), image_size, channels)
    first = [int(np.flatnonzero(pictures.labels[:, k])[0]) for k in range(PICTURES)]
    return pictures.images(first)


def strip(images: np.ndarray, side: int = SIDE) -> np.ndarray:
    """(n, s, s, c) -> one row (side, n * side, 3)."""
    from PIL import Image

    tiles = [
        np.asarray(
            Image.fromarray(i[..., 0] if i.shape[2] == 1 else i)
            .convert("RGB")
            .resize((side, side), Image.Resampling.LANCZOS)
        )
        for i in images
    ]
    return np.concatenate(tiles, axis=1)


def same_pictures(bundles: list[Bundle]) -> None:
    """The same pictures through every model: your own, or digits."""
    from vae.data.kinds import PictureError
    from vae.data.pictures import decode_picture

    files = st.file_uploader(
        "Pictures to reconstruct",
        accept_multiple_files=True,
        max_upload_size=20,
        key="train_compare_files",
        help="Up to eight; they stay in memory. Without any, digits are used.",
    )
    data = [file.getvalue() for file in files][:PICTURES]
    for place, bundle in enumerate(bundles):
        try:
            given = (
                np.stack([decode_picture(d, bundle.image_size, bundle.channels) for d in data])
                if data
                else common_pictures(bundle.image_size, bundle.channels)
            )
        except PictureError as error:
            st.error(str(error))
            return
        if place == 0:
            st.caption("Given")
            st.image(strip(given), alt="The pictures to reconstruct", width="stretch")
        st.caption(bundle.title)
        st.image(strip(bundle.reconstruct(given)), alt=f"What {bundle.title} makes of them", width="stretch")


__all__ = ["panel"]
