"""The routes that every live page uses."""

from __future__ import annotations

from starlette.routing import Route

from vae.web.core.http import answer
from vae.web.live.axes import axes, traversals
from vae.web.live.decoding import decode, feature_file, onnx_file, sample
from vae.web.live.encoding import encode
from vae.web.live.refining import refine_cancel, refine_stream
from vae.web.live.settling import settle
from vae.web.live.worlds import drive, step


def routes() -> list[Route]:
    """Codes to pictures, pictures to codes, sliders, refinements, and drives."""
    return [
        Route("/api/features/{id}", answer(feature_file)),
        Route("/api/decode", answer(decode), methods=["POST"]),
        Route("/api/encode", answer(encode), methods=["POST"]),
        Route("/api/sample", answer(sample)),
        Route("/api/settle", answer(settle), methods=["POST"]),
        Route("/api/axes", answer(axes)),
        Route("/api/traversals", answer(traversals)),
        Route("/api/onnx/{name}/{digest}/{part}.onnx", answer(onnx_file)),
        Route("/api/step", answer(step), methods=["POST"]),
        Route("/api/drive", answer(drive)),
        Route("/api/refine/{job}", answer(refine_stream)),
        Route("/api/refine/{job}/cancel", answer(refine_cancel), methods=["POST"]),
    ]
