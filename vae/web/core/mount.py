"""Mount the live browser components: modules of the wings, styled by their sheets, fed with JSON."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from vae.bundles.bundle import Bundle
from vae.web.core.files import WEB, version

# Streamlit loads a component's script from a blob, which cannot import its neighbours: this one fetches the module.
# Every page lies right below the app's base, so web/ is found beside it, whatever path the app lives at.
SHIM = """
const loaded = import(new URL("web/@VERSION/MODULE.js", document.baseURI).href);
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


@lru_cache(maxsize=16)
def component(module: str, styles: tuple[str, ...], html: str = SKELETON) -> Any:
    """A mount command for MODULE.js below vae/web, which exports render(args) and unmount(root); styles lie there too."""
    css = "\n".join((WEB / f"{name}.css").read_text("utf-8") for name in ("live/theme", *styles))
    js = SHIM.replace("MODULE", module).replace("VERSION", version())
    return st.components.v2.component(f"live_{Path(module).name}", html=html, css=css, js=js)


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
        "feature": list(bundle.model.feature_shape) if bundle.levels else None,
        "face": bundle.eyes is not None,
        "player": bundle.player,
        "dynamics": bundle.dynamics,
        "drive": bundle.drive is not None,
    }


@lru_cache(maxsize=16)
def usual_sigma(bundle: Bundle) -> np.ndarray:
    """Root mean square of the posterior's sigma over the data (d,): how far jitter goes without a photo."""
    return np.sqrt(np.exp(bundle.codes.logvar.astype(np.float32)).mean(0))
