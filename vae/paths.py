"""Where the program's own files lie, and where the user's do."""

from __future__ import annotations

import os
from pathlib import Path


def user_home() -> Path:
    """The user's folder: models in it under models/, caches under cache/."""
    return Path(os.environ.get("VAE_HOME") or Path.home() / ".local" / "share" / "latent-space-explorer").expanduser()


ROOT = Path(__file__).resolve().parents[1]  # what `vae` is imported from
# Pages and models lie beside the package in a checkout, and within it where it was installed.
INSTALLED = not (ROOT / "pages" / "explore.py").is_file()
SITE = ROOT / "vae" / "site" if INSTALLED else ROOT
ASSETS = SITE / "assets"
PAGES = SITE / "pages"
PACKAGES = (user_home() / "web" if INSTALLED else ROOT) / "node_modules"
