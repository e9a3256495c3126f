"""Mount the live browser components: modules of the wings, styled by their sheets, fed with JSON."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from vae.bundles.bundle import Bundle
from vae.web.core.files import WEB, modules, version

# Streamlit loads a component's script from a blob, which cannot import its neighbours: this one fetches the module.
# Every page lies right below the app's base, so web/ is found beside it, whatever path the app lives at. What the module
# imports, and what it will fetch, is named at once: it would come in three waves, each a way to the server and back.
SHIM = """
const near = (path) => new URL(path, document.baseURI).href;
const soon = (path, settings) => document.head.append(Object.assign(document.createElement("link"), { href: near(path) }, settings));
for (const path of MODULES) soon("web/@VERSION/" + path, { rel: "modulepreload" });
for (const path of FETCHED) soon(path, { rel: "preload", as: "fetch", crossOrigin: "anonymous" });
const loaded = import(near("web/@VERSION/MODULE.js"));
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
def component(module: str, styles: tuple[str, ...], html: str = SKELETON, fetched: tuple[str, ...] = ()) -> Any:
    """A mount command for MODULE.js below vae/web, which exports render(args) and unmount(root); styles lie there too.

    fetched: routes, below the app's base, that the module asks for as soon as it runs.
    """
    css = "\n".join((WEB / f"{name}.css").read_text("utf-8") for name in ("live/theme", *styles))
    js = SHIM.replace("MODULES", json.dumps(modules(module))).replace("FETCHED", json.dumps(fetched))
    js = js.replace("MODULE", module).replace("VERSION", version())
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
        "noun": bundle.noun,
        "player": bundle.player,
        "settle": bundle.settle,
        "dynamics": bundle.dynamics,
        "drive": bundle.drive is not None,
    }


@lru_cache(maxsize=16)
def usual_sigma(bundle: Bundle) -> np.ndarray:
    """Root mean square of the posterior's sigma over the data (d,): how far jitter goes without a photo."""
    return np.sqrt(np.exp(bundle.codes.logvar.astype(np.float32)).mean(0))
