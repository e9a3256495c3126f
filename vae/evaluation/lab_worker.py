"""The process behind vae.evaluation.lanes: one bench of the Lab at a time, its answer as plain values.

Run as `python -m vae.evaluation.lab_worker`, by vae.evaluation.lanes only. It ends when its input closes.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from vae.photos.frames import read_frame, write_frame


class Server:
    """Answers frames; keeps the last bundle open."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]):
        self.source, self.sink = source, sink
        self._open: tuple[str, Any] = ("", None)

    def serve(self) -> None:
        """Until the input closes."""
        while (frame := read_frame(self.source)) is not None:
            header, payload = frame
            try:
                result = self._answer(header, payload)
                write_frame(self.sink, {"op": "done", "job": header["job"], "result": result})
            except Exception as error:  # the page must hear of it, whatever it is
                write_frame(self.sink, {"op": "failed", "job": header["job"], "error": _sentence(error)})

    def _answer(self, header: dict[str, Any], payload: bytes) -> dict[str, Any]:
        from vae.bundles.bundle import open_bundle
        from vae.evaluation.lab_benches import BENCHES

        # Not the home that the process began with: what one lane keeps there, the other must find.
        os.environ["VAE_HOME"] = header["home"]
        key = f"{header['bundle']}/{header['digest']}"
        if self._open[0] != key:
            self._open = (key, open_bundle(header["bundle"]))

        def tell(share: float, stage: str) -> None:
            write_frame(self.sink, {"op": "progress", "job": header["job"], "share": share, "stage": stage})

        bench: Callable[..., dict[str, Any]] = BENCHES[header["op"]]
        return bench(self._open[1], tell, **header["args"], **_arrays(header["arrays"], payload))


def _arrays(shapes: list[Any], payload: bytes) -> dict[str, np.ndarray]:
    found, at = {}, 0
    for name, shape, dtype in shapes:
        count = math.prod(shape)
        found[name] = np.frombuffer(payload, dtype, count, at).reshape(shape)
        at += count * np.dtype(dtype).itemsize
    return found


def _sentence(error: Exception) -> str:
    """One sentence for the user, with a capital and a full stop."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | RuntimeError) and text:
        text = text[:300]
    else:
        text = f"the measurement failed ({type(error).__name__}: {text[:160]}); try again or use another picture"
    return text[0].upper() + text[1:].rstrip(".") + "."


def main() -> None:
    """Serve until the input closes."""
    # Nothing but frames may reach the app: whatever a library prints goes to standard error.
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    Server(sys.stdin.buffer, sink).serve()


if __name__ == "__main__":
    main()
