"""The app in a process of its own, for measuring it and for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vae.paths import ROOT

PATIENCE = 180  # seconds after which a wait is hopeless, however busy the machine is


@contextmanager
def running_app(home: Path, **environment: str) -> Iterator[str]:
    """The app in a process of its own, on a free port, with `home` as the user's folder; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "PORT": str(port), "HOST": "127.0.0.1", "VAE_HOME": str(home), **environment}
    log = home / "app.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py")], env=env, stdout=out, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        hopeless = time.monotonic() + PATIENCE
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"the app ended at once:\n{log.read_text()}")
            try:
                with urllib.request.urlopen(f"{url}/api/health", timeout=30):
                    break
            except OSError:
                if time.monotonic() > hopeless:
                    raise RuntimeError(f"the app did not answer within {PATIENCE} s:\n{log.read_text()}") from None
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
