"""The pictures of a training to come: asked for on the Train page, kept for the job, and shown before it starts."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import streamlit as st

from vae.config import Recipe
from vae.data.files import many
from vae.jobs import drafts, questions
from vae.jobs.job import JobError

SOURCES = {"digits": "Digits", "mine": "My pictures", "folder": "A folder", "known": "Known sets"}
KNOWN = {
    "sklearn-digits": "scikit-learn digits, 1,797 of 8 px", "mnist": "MNIST, 60,000 digits",
    "fashion-mnist": "FashionMNIST, 60,000 clothes", "celeba": "CelebA, 202,599 faces",
}  # fmt: skip
UPLOAD_MB = 200  # as server.maxUploadSize, which Streamlit's upload route enforces


def pictures() -> tuple[list[str], drafts.Draft | None]:
    """Ask for the data -> sources of DataConfig, and the draft that holds pictures handed in."""
    source = st.segmented_control(
        "Source",
        list(SOURCES),
        default="digits",
        format_func=SOURCES.get,
        key="train_source",
        label_visibility="collapsed",
    )
    if source == "digits":
        st.caption("10,000 handwritten digits of 28 px that come with the app (MNIST).")
        return ["digits"], None
    if source == "known":
        name = st.selectbox("Set", list(KNOWN), format_func=KNOWN.get, key="train_known")
        st.caption("Downloaded by torchvision on first use; scikit-learn's come with it.")
        return [name], None
    if source == "folder":
        path = st.text_input(
            "Path of a folder or a zip",
            key="train_folder",
            placeholder="/home/me/pictures",
            help="On the machine that runs this app. Sub-folders become labels. The pictures stay where they are, "
            "and sets larger than memory are read as they are needed.",
        )
        if path.strip() and not Path(path.strip()).expanduser().is_absolute():
            st.error(f"{path.strip()[:80]} is not a whole path; begin it with / or ~.")
            return [], None
        return ([str(Path(path.strip()).expanduser())] if path.strip() else []), None
    if source == "mine":
        return handed_in()
    return [], None


def handed_in() -> tuple[list[str], drafts.Draft | None]:
    """Take a zip or several pictures, and keep them on disk for the job to come."""
    files = st.file_uploader(
        "An archive, or several pictures",
        accept_multiple_files=True,
        max_upload_size=UPLOAD_MB,
        key="train_files",
        help="PNG, JPEG, WebP, HEIC, AVIF, TIFF, DICOM and NIfTI up to 20 MB each, by content; folders in a zip or tar become labels. Larger sets: give the path of "
        "a folder or zip.",
    )
    st.caption(
        "Elsewhere in this app your pictures never touch the disk. Training needs them there: they are kept in "
        "the job\u2019s own "
        "folder on this machine and removed with the job; what you do not train on is removed after a day."
    )
    held: tuple[tuple[str, ...], drafts.Draft] | None = st.session_state.get("train_draft")
    ids = tuple(file.file_id for file in files)
    if held and held[0] != ids:
        held[1].remove()
        del st.session_state["train_draft"]
        held = None
    if not files:
        return [], None
    if held is None or not held[1].folder.is_dir():
        try:
            held = (ids, drafts.new_draft([(file.name, file) for file in files]))
        except JobError as error:
            st.error(str(error))
            return [], None
        st.session_state["train_draft"] = held
    return held[1].sources, held[1]


@st.cache_data(show_spinner=False, max_entries=32, ttl=3600)
def inspect(data: dict[str, Any], image_size: int, channels: int, changed: list[int]) -> dict[str, Any]:
    """What is in the data, looked at by a process of its own. Raises JobError, which is not kept.

    changed: when its places were last written to, so that a mended folder is looked at again.
    """
    return questions.ask("inspect", {"data": data, "image_size": image_size, "channels": channels}, 300)


def review(recipe: Recipe) -> dict[str, Any] | None:
    """Show what will be trained on: sheet, counts, refusals, duplicates."""
    if not recipe.data.sources:
        return None
    with st.spinner("Looking at the pictures\u2026"):
        try:
            changed = [os.stat(place).st_mtime_ns for place in recipe.data.sources if os.path.exists(place)]
            found = inspect(recipe.data.to_dict(), recipe.model.image_size, recipe.model.channels, changed)
        except JobError as error:
            st.error(str(error)[:1].upper() + str(error)[1:], icon=":material/image_not_supported:")
            return None
    with st.container(key="train_sheet"):
        st.image(base64.b64decode(found["sheet"]), alt="An even spread of the pictures", width="stretch")
    number, noun = many(found["count"], "picture").split()
    words = [f"**{number}** {noun}", f"{found['validation']:,} of them to check on"]
    words += [many(len(found["labels"]), "label")] * bool(found["labels"])
    words += [f"{many(found['duplicates'], 'duplicate')} left out"] * bool(found["duplicates"])
    words += ["read from disk as needed"] * found["streamed"]
    words += [f"the first {found['checked']:,} checked"] * (found["checked"] < found["count"])
    st.markdown(" \u00b7 ".join(words))
    for note in found["notes"]:
        st.caption(note[:1].upper() + note[1:] + ".")
    if found["refused_total"]:
        with st.expander(f"{many(found['refused_total'], 'file')} refused", icon=":material/block:"):
            st.table(
                {
                    "Files": [f"{n:,}" for _, n, _ in found["refused"]],
                    "Why": [reason for reason, _, _ in found["refused"]],
                    "Such as": [file for _, _, file in found["refused"]],
                }
            )
    if found["twins"]:
        with st.expander(many(found["duplicates"], "duplicate"), icon=":material/content_copy:"):
            st.table(
                {"Left out": [a for a, _ in found["twins"]], "The same picture as": [b for _, b in found["twins"]]}
            )
    if found["ask"]:
        st.warning(
            f"{found['skipped']:.0%} of the files cannot be used. Is this the set that you mean?",
            icon=":material/rule:",
        )
    if found["count"] < 500:
        st.warning(
            f"Only {many(found['count'], 'picture')}: the model will remember rather than learn what pictures share.",
            icon=":material/photo_library:",
        )
    return found
