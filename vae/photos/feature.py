"""What a photo has beyond its code and styles: a feature offset, guessed or fitted, and the map that it was found at. No torch."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray


_known: WeakValueDictionary[str, Feature] = WeakValueDictionary()  # as long as somebody's session holds them


@dataclass(frozen=True, eq=False)
class Feature:
    """A feature offset and its anchor (see vae.bundles.feature), each (C, h, h) float16, under a name of its own."""

    offset: Array = field(repr=False)
    anchor: Array = field(repr=False)
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def __post_init__(self) -> None:
        _known[self.id] = self

    def to_bytes(self) -> bytes:
        """Offset, then anchor, as little-endian float16."""
        return self.offset.astype("<f2").tobytes() + self.anchor.astype("<f2").tobytes()


def guessed(bundle: Bundle, crop: Array, z: Array, delta: Array | None) -> Feature | None:
    """What the bundle guesses of a crop (s, s, c) beyond its code z (d,) and style offsets (L, S); None where it can't."""
    found = bundle.guess(crop[None], z[None], None if delta is None else delta[None])
    return None if found is None else Feature(*(part[0].astype(np.float16) for part in found))


def mixed(features: Sequence[Feature | None], weights: Array) -> Array | None:
    """Sums of offsets by weights (n, k) -> (n, C, h, h) float32; None where nothing is added.

    A mix has no anchor: halfway between two people every place is far from both, and a gate would leave the model's own
    face there.
    """
    used = [i for i, feature in enumerate(features) if feature is not None and np.any(weights[:, i])]
    if not used:
        return None
    offsets = np.stack([features[i].offset.astype(np.float32) for i in used])
    return np.einsum("nk,kchw->nchw", weights[:, used].astype(np.float32), offsets)


def find(name: str) -> Feature | None:
    """The feature of this name, while a session in this process holds it."""
    return _known.get(name)
