"""The live component of Explore: what it is told, and where it stands."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from vae import media
from vae.bundles.bundle import Bundle
from vae.space import taught
from vae.web.core.http import b64
from vae.web.core.mount import component, describe, usual_sigma
from vae.web.core.state import Current, Photo


def describe_photo(photo: Photo | None) -> dict[str, Any] | None:
    """A photo for the component: crop, posterior, refinement."""
    if photo is None:
        return None
    return {
        "id": photo.id,
        "crop": media.data_uri(photo.crop),
        "psnr": photo.psnr,
        "mu": b64(photo.mu),
        "sigma": b64(np.exp(0.5 * photo.logvar)),
        "refine": photo.job_id if photo.refining else None,
        "delta_once": None if photo.delta_once is None else b64(photo.delta_once),
        "delta": None if photo.delta is None else b64(photo.delta),
        "feature": None if photo.feature is None else photo.feature.id,
        "feature_once": None if photo.feature_once is None else photo.feature_once.id,
        "detail": photo.detail,
        "refined_psnr": photo.refined_psnr,
        "refined": photo.refined,
    }


def explore(bundle: Bundle, current: Current, key: str) -> None:
    """The Explore component at this place of the page; what it commits is in session_state[key]["code"]."""
    data = {
        "model": describe(bundle),
        "revision": current.revision,
        "code": b64(current.z),
        "spread": b64(usual_sigma(bundle)),
        "seed": current.seed,
        "temperature": current.temperature,
        "photo": describe_photo(current.photo),
        "axes": hashlib.sha256(taught.version(bundle).encode()).hexdigest()[:12],  # taught directions make the axes new
        "link": True,
    }
    styles = ("live/sliders", "explore/explore", "live/players/players")
    component("explore/explore", styles)(key=key, data=data, on_code_change=lambda: None)
