"""The export panel: the picture, the code, a traversal and the link. Files are made when they are asked for."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from vae import media
from vae.bundles.bundle import Bundle
from vae.space.axes import Basis, bases, move
from vae.web.core.links import show_link
from vae.web.core.state import Current, link

FRAMES, FPS = 46, 30
FILM_SIDE = 512


def picture(bundle: Bundle, here: Current) -> np.ndarray:
    """The current picture at full size, uint8 (s, s, c)."""
    return here.decode(bundle)[0]


def code_json(bundle: Bundle, here: Current) -> bytes:
    """The code, its read-outs in every basis, and of a photo its style offsets and feature offset."""
    values = {
        name: {axis.id: round(float(v), 5) for axis, v in zip(basis.axes, basis.values(here.z, bundle.stats.mean))}
        for name, basis in bases(bundle).items()
    }
    offsets = None if here.delta is None else np.round(here.delta.astype(float), 6).tolist()
    feature: dict[str, Any] = {}
    if here.feature is not None:  # float16, little-endian, in base64: as numbers they would be megabytes
        both = {"feature": here.feature.offset, "anchor": here.feature.anchor}
        feature = {key: base64.b64encode(value.astype("<f2").tobytes()).decode() for key, value in both.items()}
        feature |= {"shape": list(here.feature.offset.shape), "detail": here.photo.detail}
    code = here.z.astype(float).tolist()
    return json.dumps({**link(bundle, here.z), "code": code, "sigma": values, "delta": offsets, **feature}).encode()


def code_npz(bundle: Bundle, here: Current) -> bytes:
    """The code and, of a photo, its style offsets and feature offset as NumPy arrays; no pickles."""
    arrays = {"z": here.z, "model": np.array(bundle.name), "hash": np.array(bundle.digest)}
    if here.delta is not None:
        arrays["delta"] = here.delta
    if here.feature is not None:
        arrays |= {
            "feature": here.feature.offset,
            "anchor": here.feature.anchor,
            "detail": np.float32(here.photo.detail),
        }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def axis_of(bundle: Bundle, here: Current) -> tuple[Basis, int]:
    """The axis that was last touched, or one that is good to see."""
    every = bases(bundle)
    name, _, axis = (here.axis or "").partition(":")
    if name in every and any(a.id == axis for a in every[name].axes):
        return every[name], every[name].index(axis)
    basis = every.get("named") or every["principal"]
    return basis, next((row for row, axis in enumerate(basis.axes) if axis.id == "Smiling"), 0)


def traversal(bundle: Bundle, here: Current) -> list[np.ndarray]:
    """Frames along one axis, from -3 to +3 sigma or from end to end, and back, through the current code."""
    basis, row = axis_of(bundle, here)
    values = -(basis.axes[row].reach or 3) * np.cos(np.linspace(0, np.pi, FRAMES))  # slow at the ends
    z = np.stack([move(here.z, bundle.stats.mean, basis, row, value) for value in values]).astype(np.float32)
    return media.ping_pong(list(here.decode(bundle, z)))


def panel(bundle: Bundle, here: Current) -> None:
    """Buttons for every form, and the link."""
    basis, row = axis_of(bundle, here)
    axis = basis.axes[row].label
    factor = max(1, FILM_SIDE // bundle.image_size)

    def save(
        place: st.delta_generator.DeltaGenerator, label: str, ending: str, mime: str, make: Callable[[], bytes]
    ) -> None:
        place.download_button(
            label,
            make,
            file_name=f"{bundle.name}{ending}",
            mime=mime,
            key=f"save{ending}",
            on_click="ignore",
            width="stretch",
        )

    st.caption(f"Picture, {bundle.image_size} px and {4 * bundle.image_size} px")
    left, right = st.columns(2)
    save(left, "PNG", ".png", "image/png", lambda: media.png(picture(bundle, here)))
    save(right, "PNG, 4x", "-4x.png", "image/png", lambda: media.png(picture(bundle, here), scale=4))
    st.caption("The code" + (", with the offsets of the photo" if here.delta is not None else ""))
    left, right = st.columns(2)
    save(left, "JSON", ".json", "application/json", lambda: code_json(bundle, here))
    save(right, "NumPy", ".npz", "application/octet-stream", lambda: code_npz(bundle, here))
    st.caption(f"Film along \u201c{axis}\u201d, the axis last touched")
    left, right = st.columns(2)
    save(left, "GIF", ".gif", "image/gif", lambda: media.gif(traversal(bundle, here), FPS))
    side = factor * bundle.image_size
    save(right, "MP4", ".mp4", "video/mp4", lambda: media.mp4(traversal(bundle, here), FPS, size=side))
    without = " (without the photo\u2019s offsets, which are too long for one; the files have them)"
    st.caption("Link" + (without if here.delta is not None else ""))
    show_link(link(bundle, here.z))
