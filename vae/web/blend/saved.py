"""A saved blend, opened again: its codes, weights and what the photos had beyond them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.photos.feature import Feature
from vae.photos.sources import Source, code_source
from vae.space import mixing
from vae.space.errors import LatentError
from vae.space.mixing import BlendError
from vae.web.core.saved import SavedError, arrays_of, check_model

Array = np.ndarray


def read_blend(bundle: Bundle, data: bytes) -> tuple[list[Source], Array, str, Array | None, bool]:
    """The file under Take it away -> the people, weights (L, k), path, shift (d,) or None, and whether parts are whole.

    Raises SavedError.
    """
    found = arrays_of(data)
    if "weights" not in found or "z" not in found or "about" not in found:
        raise SavedError("This file holds no blend; open it on Explore if it is a code that was saved there.")
    try:
        about = json.loads(str(found["about"]))
        check_model(bundle, about.get("model", ""), about.get("hash"))
        z = bundle.check_z(np.asarray(found["z"], np.float32))
        if not 1 <= len(z) <= mixing.MAX_SOURCES:
            raise ValueError(f"it has {len(z)} codes, and a blend has 1 to {mixing.MAX_SOURCES}")
        weights = mixing.check_weights(found["weights"].tolist(), bundle.levels, len(z))
        delta = _part(found, "delta", (len(z), bundle.levels, bundle.style_size), np.float32)
        feature = _part(found, "feature", (len(z), *bundle.model.feature_shape), np.float16)
        shift = _part(found, "shift", (bundle.latent_size,), np.float32)
        sources = []
        for k, code in enumerate(z):
            offsets = None if delta is None else delta[k]
            source = code_source(bundle, code, f"Saved code {k + 1}", offsets)
            if feature is not None and feature[k].any():
                anchor = bundle.feature_map(code, None if offsets is None else offsets[None])[0]
                source = replace(source, feature=Feature(feature[k], anchor.astype(np.float16)))
            sources.append(source)
    except SavedError:
        raise
    except (LatentError, BundleError, BlendError, ValueError, TypeError, AttributeError) as error:
        raise SavedError(f"This file does not fit {bundle.title}: {error}".rstrip(".") + ".") from None
    path = about["path"] if about.get("path") in mixing.PATHS else "slerp"
    return sources, weights, path, shift, about.get("whole") is True


def _part(found: dict[str, Any], name: str, shape: tuple[int, ...], kind: type) -> Array | None:
    """One of the arrays, or None. Raises ValueError."""
    if name not in found:
        return None
    part = np.asarray(found[name], kind)
    if part.shape != shape or not np.isfinite(part).all():
        raise ValueError(f"its {name} is not {' x '.join(map(str, shape))} finite numbers")
    return part
