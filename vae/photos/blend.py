"""Blend faces into a picture, or into a table of style mixes. The geometry of the codes is vae.space.mixing's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.bundles.contract import level_at, no_feature
from vae.bundles.sessions import make_session
from vae.photos.feature import mixed
from vae.photos.sources import Source, reconstruct, stack
from vae.space.mixing import MAX_SOURCES, BlendError, check_weights, grid_weights, mix_codes, mix_offsets
from vae.space.settling import settled

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray


def blend_pictures(
    bundle: Bundle,
    sources: Sequence[Source],
    weights: Array,
    path: str = "slerp",
    shift: Array | None = None,
    whole: bool = False,
) -> Array:
    """Several blends at once, weights (n, L, k), as pictures uint8 (n, s, s, c), with all that the sources carry."""
    feature = blend_feature(bundle, sources, weights)
    return bundle.decode(*blend_codes(bundle, sources, weights, path, shift, whole), feature=feature)


def blend_feature(bundle: Bundle, sources: Sequence[Source], weights: Array) -> Array | None:
    """Feature offsets (n, C, h, h) of blends, weights (n, L, k) of the level that they stand at; None for none."""
    level = level_at(bundle.model.feature_shape[1]) if bundle.levels else 0
    return mixed([source.feature for source in sources], weights[:, level])


def blend_codes(
    bundle: Bundle,
    sources: Sequence[Source],
    weights: Array,
    path: str = "slerp",
    shift: Array | None = None,
    whole: bool = False,
) -> tuple[Array, Array | None]:
    """Several blends at once: weights (n, L, k) -> z (n, L, d) or (n, d), offsets (n, L, S) or None, float32.

    shift: (d,), added to the code at every level; see edit_shift. whole: settle the mix of two or more where the bundle's
    code is flat, so that no part is half there.
    """
    z, delta = stack(bundle, sources)
    codes = np.stack([mix_codes(z, w, path) for w in weights])  # (n, L, d)
    if shift is not None:
        codes = codes + shift
    if not bundle.levels:
        codes = codes[:, 0]
    offsets = None if delta is None else np.stack([mix_offsets(delta, w) for w in weights]).astype(np.float32)
    codes = codes.astype(np.float32)
    if whole and not bundle.levels and len(sources) > 1:
        codes = settled(bundle, bundle.check_z(codes))
    return codes, offsets


@lru_cache(maxsize=4)
def _style_session(bundle: Bundle) -> Any:
    """The decoder's upper part, of which only the mapping from z to w is run."""
    return make_session(bundle.split(bundle.preview_sizes[-1])[0], f"{bundle.name}/decoder.onnx", threads=1)


def _styles(bundle: Bundle, z: Array) -> Array:
    """Codes (N, L, d) -> styles w (N, L, S)."""
    import onnxruntime as ort

    only = ort.RunOptions()
    only.only_execute_path_to_fetches = True
    none = np.zeros((len(z), bundle.levels, bundle.style_size), np.float32)
    feed = {"z": z.astype(np.float32), "delta": none, **no_feature(bundle.model)}
    return _style_session(bundle).run(["w"], feed, only)[0]


def flatten(bundle: Bundle, z: Array, delta: Array | None) -> tuple[Array, Array | None]:
    """A code for each level (L, d) with offsets (L, S) as one code (d,), the mean, and the offsets that make up for it.

    The picture stays the same: a level's style is w(z_l) + delta_l, whatever of the two brings it there.
    """
    if z.ndim == 1:
        return z, delta
    if (z == z[0]).all():
        return z[0].copy(), delta
    flat = z.mean(0)
    styles = _styles(bundle, np.stack([np.broadcast_to(flat, z.shape), z]))  # (2, L, S)
    return flat, styles[1] - styles[0] + (0 if delta is None else delta)


def blend(
    bundle: Bundle,
    sources: Sequence[Source],
    weights: Array,
    path: str = "slerp",
    shift: Array | None = None,
    whole: bool = False,
) -> Array:
    """The blend of 1 to 4 sources as a picture uint8 (s, s, c). weights: (k,) for all levels, or (L, k)."""
    if not 1 <= len(sources) <= MAX_SOURCES:
        raise BlendError(f"{len(sources)} faces cannot be blended; give 1 to {MAX_SOURCES}.")
    weights = check_weights(weights, bundle.levels, len(sources))
    return blend_pictures(bundle, sources, weights[None], path, shift, whole)[0]


def grid(bundle: Bundle, rows: Sequence[Source], columns: Sequence[Source], cut: int = 2) -> Array:
    """The table of style mixes as one picture: the rows' faces on the left, the columns' on top, a cell for each pair."""
    weights = grid_weights(bundle.levels, len(rows), len(columns), cut)
    every = [*rows, *columns]
    cells = blend_pictures(bundle, every, weights)
    heads = reconstruct(bundle, every)
    paper = np.full_like(heads[:1], 255)
    lines = [np.concatenate([paper, heads[len(rows) :]])]
    lines += [
        np.concatenate([heads[i : i + 1], cells[i * len(columns) : (i + 1) * len(columns)]]) for i in range(len(rows))
    ]
    return np.concatenate([np.concatenate(list(line), axis=1) for line in lines], axis=0)
