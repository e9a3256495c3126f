"""Processes that the program starts in Python: what they find around them."""

from __future__ import annotations

import os

from vae.paths import ROOT


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: this process's, with our package on the path, and `more`."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Threads that spin while they wait for each other cost a step half its speed, and on cores that others use far more.
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}
