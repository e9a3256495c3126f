"""Refine the photos among the faces to blend, in one batch, in the worker process of vae.photos.refine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from vae.photos.feature import Feature
from vae.photos.sources import Source
from vae.space.mixing import BlendError

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.photos.refine import Refiner
    from vae.photos.refine_job import Job, Step

Array = np.ndarray


def refinable(bundle: Bundle, sources: Sequence[Source]) -> list[int]:
    """Which sources are photos that refining can bring nearer; drawn faces are the model's own already."""
    return [i for i, source in enumerate(sources) if bundle.levels and source.photo is not None]


def start_job(bundle: Bundle, photos: Sequence[Source], refiner: Refiner, steps: int | None = None) -> Job:
    """Refine photos in one batch, from what the encoder said of them, whatever offsets they have by now."""
    crops, z = np.stack([photo.crop for photo in photos]), np.stack([photo.z for photo in photos])
    once = [photo.delta_once for photo in photos]
    return refiner.start(bundle, crops, z, steps, None if once[0] is None else np.stack(once))


def with_offsets(
    sources: Sequence[Source], chosen: Sequence[int], delta: Array, features: Sequence[Feature] = ()
) -> list[Source]:
    """The sources, those chosen with a refinement's style offsets (n, L, S) and what it found beyond them."""
    result = list(sources)
    for i, offsets, feature in zip_longest(chosen, delta, features):
        more = result[i].feature_once if feature is None else feature
        result[i] = replace(result[i], delta=np.asarray(offsets, np.float32), refined=True, feature=more)
    return result


def refine_sources(
    bundle: Bundle,
    sources: Sequence[Source],
    refiner: Refiner,
    steps: int | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> list[Source]:
    """Refine every photo among the sources in one batch, in the refiner's worker -> sources with offsets."""
    chosen = refinable(bundle, sources)
    if not chosen:
        return list(sources)
    job = start_job(bundle, [sources[i] for i in chosen], refiner, steps)
    for step in job.subscribe():
        if on_step:
            on_step(step)
    if job.state != "done":
        raise BlendError(job.error or "Refining was cancelled; start it again.")
    return with_offsets(sources, chosen, job.latest.delta, job.latest.features)
