"""The Learn page's side of its live component."""

from __future__ import annotations

from vae.bundles.contract import BundleError
from vae.web.core import services
from vae.web.core.mount import component, describe, version
from vae.web.core.state import DEFAULT_MODEL
from vae.web.learn.steps import lesson
from vae.web.learn.worlds import uses

SKELETON = """
<div class="frame"><div class="live learn skeleton" aria-hidden="true">
<div class="steps"></div><section class="words"></section><section class="figure"><div class="stage"></div></section>
</div></div>
"""


def mount() -> None:
    """The lesson at this place of the page."""
    try:
        faces = describe(services.registry.get(DEFAULT_MODEL)) if DEFAULT_MODEL in services.registry.names() else None
    except BundleError:  # said by the steps that would show it
        faces = None
    data = {
        "model": {"name": "learn", "digest": version()},
        "faces": faces,
        "uses": uses(services.registry),
        **lesson(),
    }
    styles = ("learn/learn", "learn/steps", "learn/shows", "learn/narrow")
    component("learn/learn", styles, SKELETON, ("api/learn/lessons",))(key="learn", data=data)
