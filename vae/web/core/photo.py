"""The photo panel: upload or camera, the eyes found on the photo and how to move them, crop and reconstruction."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import streamlit as st

from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.photos.aligning import FaceError
from vae.photos.faces import ImageError
from vae.photos.finding import remark
from vae.photos.refine import RefineError
from vae.web.core.links import is_secure
from vae.web.core.saved import SavedError, is_saved
from vae.web.core.state import Current, Photo, load_photo, open_saved, show_photo, studio

WIDE = 640
MARK = (45, 212, 191)
REFUSALS = (ImageError, FaceError, BundleError, RefineError, SavedError)


def marked(photo: Photo) -> bytes:
    """The photo with its eyes and the boxes of other faces drawn on it, as a WebP file for the screen."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(photo.image)
    picture.thumbnail((WIDE, WIDE))
    scale = picture.width / photo.image.shape[1]
    draw = ImageDraw.Draw(picture)
    for face in photo.found if len(photo.found) > 1 else ():
        draw.rectangle([v * scale for v in face.box], outline=MARK, width=2)
        draw.text((face.box[0] * scale + 5, face.box[1] * scale + 3), str(photo.found.index(face) + 1), fill=MARK)
    for x, y in photo.eyes or ():
        x, y, r = x * scale, y * scale, max(4, picture.width / 70)
        draw.ellipse((x - r, y - r, x + r, y + r), outline=MARK, width=2)
        draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=MARK)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


def attempt(bundle: Bundle, work: Any) -> None:
    """Do something with a photo; keep the sentence where it is refused."""
    try:
        work()
        studio().refusals.pop(bundle.name, None)
    except REFUSALS as refusal:
        studio().refusals[bundle.name] = str(refusal)


def move_eyes(bundle: Bundle, here: Current, photo: Photo, refiner: Any) -> None:
    """Take the eye positions of the four fields."""
    x0, y0, x1, y1 = (float(st.session_state[f"eye-{photo.id}-{i}"]) for i in range(4))
    eyes = ((x0, y0), (x1, y1))
    attempt(bundle, lambda: show_photo(bundle, here, photo.image, photo.name, photo.found, eyes, refiner))


def choose_face(bundle: Bundle, here: Current, photo: Photo, refiner: Any) -> None:
    """Take another of the faces found."""
    chosen = st.session_state[f"face-{photo.id}"]
    if chosen is not None:
        eyes = photo.found[chosen].eyes
        attempt(bundle, lambda: show_photo(bundle, here, photo.image, photo.name, photo.found, eyes, refiner))


def shown(image: np.ndarray) -> np.ndarray:
    """A small picture as st.image takes it: (h, w, 3) or (h, w)."""
    return image[..., 0] if image.shape[-1] == 1 else image


def panel(bundle: Bundle, here: Current, refiner: Any) -> None:
    """The whole panel; a new photo becomes the current code at once."""
    what = "A face, from the front" if bundle.eyes else "Any picture; its middle square is used"
    how = st.segmented_control(
        "Source",
        ["Upload", "Camera"],
        default="Upload",
        required=True,
        key=f"photo-how-{bundle.name}",
        label_visibility="collapsed",
    )
    if how == "Camera" and not is_secure(st.context.url or ""):
        st.info(
            "Browsers open the camera over https only: open this app\u2019s https address, or upload a photo.",
            icon=":material/lock_open:",
        )
        file = None
    elif how == "Camera":
        file = st.camera_input(what, key=f"camera-{bundle.name}")
    else:
        file = st.file_uploader(
            f"{what}. PNG, JPEG, WebP, HEIC, AVIF or TIFF, up to 20 MB; it stays in memory. "
            "Or a code that was saved here.",
            key=f"upload-{bundle.name}",
            max_upload_size=20,
        )
    files = studio().files
    if file is None:
        files.pop(bundle.name, None)
    elif files.get(bundle.name) != file.file_id:
        files[bundle.name] = file.file_id
        studio().drafts.pop(bundle.name, None)
        data = file.getvalue()
        if is_saved(data):
            attempt(bundle, lambda: open_saved(bundle, here, data, file.name))
        else:
            attempt(bundle, lambda: load_photo(bundle, here, data, file.name, refiner))
    if bundle.name in studio().refusals:
        st.warning(studio().refusals[bundle.name], icon=":material/info:")
    photo = studio().drafts.get(bundle.name)
    if photo is not None:
        review(bundle, here, photo, refiner)


def review(bundle: Bundle, here: Current, photo: Photo, refiner: Any) -> None:
    """The photo with its eyes; crop and reconstruction; the fields that move the eyes."""
    if bundle.eyes is not None and (sentence := remark(photo.found)):
        st.caption(sentence)
    st.image(marked(photo), alt="Your photo with the eye marks", width="stretch")
    left, right = st.columns(2)
    left.image(
        shown(photo.crop), alt="What the model sees of your photo", caption="What the model sees", width="stretch"
    )
    right.image(
        shown(photo.once),
        alt="Your photo as the model reconstructs it",
        caption=f"Its reconstruction, {photo.psnr:.1f} dB",
        width="stretch",
    )
    if photo.eyes is None:
        return
    if len(photo.found) > 1:
        options = list(range(len(photo.found)))
        at = next((i for i in options if photo.found[i].eyes == photo.eyes), None)
        st.segmented_control(
            "Whose face?",
            options,
            default=at,
            format_func=lambda i: f"{i + 1}",
            key=f"face-{photo.id}",
            on_change=choose_face,
            args=(bundle, here, photo, refiner),
        )
    with st.expander("Move the eye marks", expanded=not photo.found):
        height, width = photo.image.shape[:2]
        labels = ("Left eye, across", "Left eye, down", "Right eye, across", "Right eye, down")
        values = [v for eye in photo.eyes for v in eye]
        columns = st.columns(2) * 2
        for i, (label, value) in enumerate(zip(labels, values)):
            most = float(height if i % 2 else width)
            columns[i].number_input(
                f"{label} (px)",
                0.0,
                most,
                float(np.clip(value, 0, most)),
                step=1.0,
                format="%.1f",
                key=f"eye-{photo.id}-{i}",
            )
        st.button("Use these eyes", key=f"eyes-{photo.id}", on_click=move_eyes, args=(bundle, here, photo, refiner))
