"""Codes that the app has saved, as JSON or NumPy, and that open again to the same picture."""

from __future__ import annotations

import base64
import binascii
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.data.kinds import HEAD, kind_of
from vae.photos.feature import Feature
from vae.space.errors import LatentError

Array = np.ndarray

MOST = 64 * 2**20  # bytes that all arrays of a file may unpack to


class SavedError(ValueError):
    """A saved code that cannot be opened; the sentence says why."""


@dataclass(frozen=True, eq=False)
class Saved:
    """z (d,) float32; style offsets delta (L, S), a photo's feature and how much of it is kept, where there are any."""

    z: Array
    delta: Array | None
    feature: Feature | None
    detail: float


def is_saved(data: bytes) -> bool:
    """Whether a file looks like one that the app has saved: an npz, or a JSON object."""
    if kind_of(data[:HEAD]).reader == "zip":
        return data[30:60].startswith((b"z.npy", b"weights.npy"))
    return data[:200].lstrip()[:1] == b"{"


def arrays_of(data: bytes) -> dict[str, Any]:
    """What a saved file holds, by name. Raises SavedError."""
    try:
        if kind_of(data[:HEAD]).reader != "zip":
            found = json.loads(data)
            return found if isinstance(found, dict) else {}
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST:
                raise SavedError(f"This file unpacks to more than {MOST >> 20} MB; no code of the app does.")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except SavedError:
        raise
    except Exception:  # zipfile, NumPy and json each raise their own on damaged files
        raise SavedError("This file is damaged and holds no code that can be read; save it anew.") from None


def check_model(bundle: Bundle, name: Any, digest: Any) -> None:
    """Raises SavedError unless this is the model that a code was saved with."""
    if str(digest) not in (bundle.digest, *bundle.formerly):
        raise SavedError(
            f"This code was saved with another model, {str(name)[:60] or 'without a name'}; open it there."
        )


def read_saved(bundle: Bundle, data: bytes) -> Saved:
    """A code that Explore has saved. Raises SavedError."""
    found = arrays_of(data)
    if "weights" in found:
        raise SavedError("This file holds a blend of several codes; open it on the Blend page, where it was saved.")
    if "hash" not in found or ("z" not in found and "code" not in found):
        raise SavedError("This file holds no code that the app has saved; use one from under Take it away.")
    check_model(bundle, found.get("model", ""), found["hash"])
    try:
        z = bundle.check_z(np.asarray(found.get("code", found.get("z")), np.float32).reshape(1, -1))[0]
        delta = found.get("delta")
        delta = None if delta is None else np.asarray(delta, np.float32)
        if delta is not None and (delta.shape != (bundle.levels, bundle.style_size) or not np.isfinite(delta).all()):
            raise ValueError(f"its style offsets are not {bundle.levels} x {bundle.style_size} finite numbers")
        return Saved(z, delta, feature_of(bundle, found), float(np.clip(float(found.get("detail", 1.0)), 0, 1)))
    except (LatentError, BundleError, ValueError, TypeError, binascii.Error) as error:
        raise SavedError(f"This file does not fit {bundle.title}: {error}".rstrip(".") + ".") from None


def feature_of(bundle: Bundle, found: Mapping[str, Any]) -> Feature | None:
    """The feature offset in a saved file. Raises ValueError."""
    if found.get("feature") is None:
        return None
    shape = bundle.model.feature_shape
    parts = []
    for key in ("feature", "anchor"):
        part = found.get(key, "")
        if isinstance(part, str):
            part = np.frombuffer(base64.b64decode(part, validate=True), "<f2")
        part = np.asarray(part, np.float16)
        if part.size != np.prod(shape) or not np.isfinite(part).all():
            raise ValueError(f"its {key} has {part.size} numbers and takes {' x '.join(map(str, shape))} finite ones")
        parts.append(part.reshape(shape))
    return Feature(*parts)
