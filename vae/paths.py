"""Where the program's own files lie, and where the user's do."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "assets"
PAGES = ROOT / "pages"
PACKAGES = ROOT / "node_modules"


def user_home() -> Path:
    """The user's folder: models in it under models/, caches under cache/."""
    return Path(os.environ.get("VAE_HOME") or Path.home() / ".local" / "share" / "latent-space-explorer").expanduser()
