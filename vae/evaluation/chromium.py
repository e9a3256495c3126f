"""Find a Chromium for the browser tests and the benchmark, and install one where there is none.

Run as a script it installs: a browser found on the machine, else Playwright's own, else Debian's
package when root. `find()` gives the path, or None.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# Headless on a machine without a graphics card, and without talking to anybody.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find() -> str | None:
    """Path of a Chromium: $CHROMIUM, one on the PATH, or the one Playwright has installed."""
    chosen = os.environ.get("CHROMIUM")
    if chosen:
        return chosen
    for name in NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if os.path.exists(path) else None


def main() -> int:
    """Install a browser where none is found; the exit status says whether there is one now."""
    if find():
        return 0
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        attempts += [["apt-get", "update", "-q"], ["apt-get", "install", "-y", "-q", "chromium"]]
    for command in attempts:
        subprocess.run(command, check=False)
        if find():
            return 0
    print("No Chromium was found or could be installed; install one, or name it in $CHROMIUM.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
