"""The worker process behind vae.photos.refine: answers its requests to fit style offsets to photos.

Run as `python -m vae.photos.refine_worker`, by vae.photos.refine only. It reads frames from standard input and writes
frames to standard output (vae.photos.frames); it ends when its input closes, so it never outlives the app.

One job at a time, all of a job's photos as one batch. The fitting itself is vae.photos.fitting. Torch is imported when
the process listens already: that takes seconds, in which the app may close.
"""

from __future__ import annotations

import json
import math
import os
import queue
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vae.photos.frames import read_frame, write_frame

if TYPE_CHECKING:
    from vae.photos.fitting import Fitter

STYLE_SHARE = 3 / 8  # of the steps; the others fit the feature offset, and take half the time each


class Cancelled(Exception):
    """The job was cancelled between two steps."""


class Server:
    """Answers frames, one job after the other; only the latest bundle's decoder is kept."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]):
        self.source, self.sink = source, sink
        self.requests: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
        self.cancelled: set[str] = set()
        self.fitters: dict[str, Fitter] = {}

    def listen(self) -> None:
        """Take frames in, in a thread of its own: a cancel is heard at work. Ends the process with its input."""
        try:
            while (frame := read_frame(self.source)) is not None:
                if frame[0]["op"] == "cancel":
                    self.cancelled.add(frame[0]["job"])
                else:
                    self.requests.put(frame)
        finally:
            os._exit(0)

    def serve(self) -> None:
        """Work through the requests, for ever."""
        while True:
            header, payload = self.requests.get()
            job = header.get("job")
            try:
                if header["op"] == "load":
                    self._load(header)
                elif job in self.cancelled:
                    raise Cancelled
                else:
                    self._refine(header, payload)
                    write_frame(self.sink, {"op": "done", "job": job})
            except Cancelled:
                write_frame(self.sink, {"op": "cancelled", "job": job})
            except Exception as error:  # whatever it is, the app must hear of it
                if job is not None:
                    write_frame(self.sink, {"op": "failed", "job": job, "error": _sentence(error)})
            self.cancelled.discard(job)

    def _fitter(self, header: dict[str, Any]) -> Fitter:
        from vae.bundles.contract import GUESS_FILE
        from vae.config import ModelConfig
        from vae.networks.guess import Guess
        from vae.networks.weights import load_guess, load_weights
        from vae.photos.curvature import load
        from vae.photos.fitting import Fitter

        key = header["digest"]
        if key not in self.fitters:
            folder = Path(header["bundle"])
            settings = json.loads((folder / "config.json").read_text())
            config = ModelConfig.from_dict(settings["model"])
            curvature, guess = load(folder, config.levels, config.style_size), None
            if GUESS_FILE in settings.get("files", ()):
                guess = Guess(config).requires_grad_(False)
                guess.load_state_dict(load_guess(folder))
            eyes = settings.get("eyes")
            self.fitters = {key: Fitter(config, load_weights(folder), eyes, curvature=curvature, guess=guess)}
        return self.fitters[key]

    def _load(self, header: dict[str, Any]) -> None:
        """Load a bundle and make one step, so that the first job finds memory and kernels prepared."""
        import torch

        fitter = self._fitter(header)
        config = fitter.config
        x = torch.zeros(1, config.channels, config.image_size, config.image_size)
        for _ in fitter.run(x, torch.zeros(1, config.latent_size), 1, feature_steps=1):
            pass

    def _refine(self, header: dict[str, Any], payload: bytes) -> None:
        import numpy as np
        import torch

        from vae.networks.pixels import to_images, to_pixels

        job, (n, height, width, channels), steps = header["job"], header["shape"], header["steps"]
        write_frame(self.sink, {"op": "started", "job": job})
        fitter = self._fitter(header)
        count = n * height * width * channels
        pixels = torch.frombuffer(bytearray(payload[:count]), dtype=torch.uint8).view(n, height, width, channels)
        numbers = torch.frombuffer(bytearray(payload[count:]), dtype=torch.float32)
        z, start = numbers[: n * header["latent"]].view(n, -1), numbers[n * header["latent"] :]
        start = start.view(n, fitter.config.levels, fitter.config.style_size) if len(start) else None
        x = to_pixels(pixels)
        styles = math.ceil(STYLE_SHARE * steps)
        for report in fitter.run(x, z, styles, start, steps - styles):
            if job in self.cancelled:
                raise Cancelled
            if report is None:
                continue
            if not torch.isfinite(report.delta).all():
                raise ValueError("Refining ran out of numbers on this picture; use another photo.")
            pictures = np.zeros(0, np.uint8) if report.image is None else to_images(report.image)
            nothing = torch.zeros(0, *fitter.config.feature_shape, dtype=torch.float16)
            offset, anchor = (nothing if part is None else part for part in (report.feature, report.anchor))
            reply = {
                "op": "step", "job": job, "step": report.step, "total": report.total,
                "psnr": [round(value, 4) for value in report.psnr.tolist()], "delta": list(report.delta.shape),
                "pictures": list(pictures.shape), "offset": list(offset.shape), "anchor": list(anchor.shape),
            }  # fmt: skip
            parts = (report.delta.numpy(), pictures, offset.numpy(), anchor.numpy())
            write_frame(self.sink, reply, b"".join(part.tobytes() for part in parts))


def _sentence(error: Exception) -> str:
    """One sentence for the user."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and text:
        return text
    return f"The photo could not be refined ({type(error).__name__}: {text[:200]}); try again or use another photo."


def main() -> None:
    """Serve until the input closes."""
    # Nothing but frames may reach the app: whatever a library prints goes to standard error.
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    server = Server(sys.stdin.buffer, sink)
    threading.Thread(target=server.listen, daemon=True).start()

    import torch

    from vae.hardware import cores

    torch.set_num_threads(cores())
    server.serve()


if __name__ == "__main__":
    main()
