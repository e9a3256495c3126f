"""A walk through the faces to blend, as pictures and as a film."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vae import media
from vae.photos.blend import blend_pictures
from vae.photos.sources import Source
from vae.space.mixing import BlendError, path_weights

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

MAX_FRAMES = 600
FILM_KINDS = ("mp4", "gif", "webp")


def film_times(seconds: float, fps: int, ping_pong: bool = False, ease: bool = True) -> Array:
    """Times (n,) in 0..1 of a film's frames; ping-pong goes there and back within the film, as an endless loop.

    ease: slow at the sources (a cosine), so that each is seen. Raises BlendError.
    """
    if not 0.5 <= seconds <= 20 or not 1 <= fps <= 60:
        raise BlendError(
            f"A film of {seconds} s at {fps} frames/s cannot be made; use 0.5 to 20 s and 1 to 60 frames/s."
        )
    n = round(seconds * fps)
    if n < 2 or n > MAX_FRAMES:
        raise BlendError(f"This film has {n} frames; use 2 to {MAX_FRAMES} (seconds times frames/s).")
    t = 1 - np.abs(1 - 2 * np.arange(n) / n) if ping_pong else np.linspace(0, 1, n)
    return np.clip((1 - np.cos(np.pi * t)) / 2, 0, 1) if ease else t


def morph(
    bundle: Bundle, sources: Sequence[Source], t: Array, path: str = "slerp", shift: Array | None = None, batch: int = 8
) -> Iterator[Array]:
    """Pictures uint8 (s, s, c) at the times t (n,) of a walk through the sources."""
    if len(sources) < 2:
        raise BlendError("A morph needs two faces; add another.")
    weights = np.repeat(path_weights(t, len(sources))[:, None], max(1, bundle.levels), axis=1)
    for start in range(0, len(weights), batch):
        yield from blend_pictures(bundle, sources, weights[start : start + batch], path, shift)


def make_film(
    bundle: Bundle,
    sources: Sequence[Source],
    kind: str = "mp4",
    seconds: float = 4.0,
    fps: int = 30,
    ping_pong: bool = False,
    path: str = "slerp",
    shift: Array | None = None,
    scale: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """A film of the morph as a file's bytes: mp4, gif or webp. progress(done, total) is called frame by frame."""
    if kind not in FILM_KINDS:
        raise BlendError(f"The film's kind is {kind!r}; use {', '.join(FILM_KINDS)}.")
    t = film_times(seconds, fps, ping_pong)
    frames = []
    for picture in morph(bundle, sources, t, path, shift):
        frames.append(media.upscale(picture, scale) if scale > 1 else picture)
        if progress:
            progress(len(frames), len(t))
    return {"mp4": media.mp4, "gif": media.gif, "webp": media.webp}[kind](frames, fps)
