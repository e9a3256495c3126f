"""Mount the live browser components: modules of vae/web/static, styled by its sheets, fed with JSON."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from vae import media, taught
from vae.bundle import Bundle
from vae.web.api import b64
from vae.web.state import Current, Photo

STATIC = Path(__file__).parent / "static"

# Streamlit loads a component's script from a blob, which cannot import its neighbours: this one fetches the module.
SHIM = """
const loaded = import(new URL("/web/MODULE.js?v=VERSION", document.baseURI).href);
export default function (args) {
  loaded.then((module) => module.render(args), () => {
    args.parentElement.querySelector(".skeleton")?.setAttribute("data-failed", "");
  });
  return () => loaded.then((module) => module.unmount(args.parentElement));
}
"""

SKELETON = """
<div class="frame"><div class="live skeleton" aria-hidden="true">
<section class="view"><div class="stage"></div><div class="below"></div></section>
<section class="panel bars"><i></i><i></i><i></i><i></i><i></i><i></i><i></i><i></i><i></i></section>
</div></div>
"""


@lru_cache(maxsize=1)
def version() -> str:
    """Changes whenever a static file does, so that no browser mixes old and new modules."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*.*")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


@lru_cache(maxsize=16)
def component(module: str, styles: tuple[str, ...], html: str = SKELETON) -> Any:
    """A mount command for static/MODULE.js, which exports render(args) and unmount(root)."""
    css = "\n".join((STATIC / f"{name}.css").read_text("utf-8") for name in ("theme", *styles))
    js = SHIM.replace("MODULE", module).replace("VERSION", version())
    return st.components.v2.component(f"live_{module}", html=html, css=css, js=js)


def describe(bundle: Bundle) -> dict[str, Any]:
    """What the browser's engine must know of a model."""
    return {
        "name": bundle.name,
        "title": bundle.title,
        "digest": bundle.digest,
        "image_size": bundle.image_size,
        "channels": bundle.channels,
        "latent_size": bundle.latent_size,
        "levels": bundle.levels,
        "style_size": bundle.style_size,
        "preview": None if bundle.light else max(bundle.preview_sizes, default=None),
        "light": bundle.light,
        "face": bundle.eyes is not None,
    }


@lru_cache(maxsize=16)
def usual_sigma(bundle: Bundle) -> np.ndarray:
    """Root mean square of the posterior's sigma over the data (d,): how far jitter goes without a photo."""
    return np.sqrt(np.exp(bundle.codes.logvar.astype(np.float32)).mean(0))


def describe_photo(photo: Photo | None) -> dict[str, Any] | None:
    """A photo for the component: crop, posterior, refinement."""
    if photo is None:
        return None
    return {
        "id": photo.id,
        "crop": "data:image/png;base64," + base64.b64encode(media.png(photo.crop)).decode(),
        "psnr": photo.psnr,
        "mu": b64(photo.mu),
        "sigma": b64(np.exp(0.5 * photo.logvar)),
        "refine": photo.job_id if photo.refining else None,
        "delta_once": None if photo.delta_once is None else b64(photo.delta_once),
        "delta": None if photo.delta is None else b64(photo.delta),
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
    component("explore", ("sliders", "explore"))(key=key, data=data, on_code_change=lambda: None)
