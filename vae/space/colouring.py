"""What the codes of a map can be coloured by. NumPy only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.space import latent
from vae.space.axes import bases
from vae.space.errors import AtlasError
from vae.space.kept import cache_file, read_cache
from vae.space.labels import one_of, plain

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray


def colour_options(bundle: Bundle) -> list[dict[str, str]]:
    """What `colours` takes: id, title and group of each."""
    names = bundle.codes.label_names
    found = [{"id": "none", "title": "One colour", "group": ""}]
    if one_of(bundle):
        found.append({"id": "class", "title": "Class", "group": ""})
    found += [{"id": "kl", "title": "KL of the code", "group": "Numbers"}]
    found += [
        {
            "id": "error",
            "title": "Reconstruction error" if has_error(bundle) else "Round-trip error",
            "group": "Numbers",
        }
    ]
    found += [{"id": "unusual", "title": "Distance from the mean", "group": "Numbers"}]
    if not one_of(bundle):
        found += [{"id": f"label:{i}", "title": plain(name), "group": "Labels"} for i, name in enumerate(names)]
    found += [
        {"id": f"factor:{i}", "title": plain(name), "group": "Exact factors"}
        for i, name in enumerate(bundle.codes.factor_names)
    ]
    if "named" in (known := bases(bundle)):
        found += [{"id": f"axis:{axis.id}", "title": axis.label, "group": "Read-outs"} for axis in known["named"].axes]
    return found


def has_error(bundle: Bundle) -> bool:
    """Whether the bundle says how far each reconstruction was from its picture."""
    error = getattr(bundle.codes, "error", None)
    return error is not None and len(error) == len(bundle.codes)


def colours(bundle: Bundle, by: str) -> dict[str, Any] | None:
    """How to colour the codes; None where the numbers have still to be computed. Raises AtlasError.

    kind "category": `values` (M,) index into `categories`; kind "number": `values` (M,) float32 with `unit`.
    """
    codes = bundle.codes
    zero = np.zeros(len(codes), np.uint8)
    if by == "none":
        return {"kind": "category", "title": "", "categories": ["Codes"], "values": zero}
    if by == "class" and one_of(bundle):
        names = [plain(name) for name in codes.label_names]
        return {
            "kind": "category",
            "title": "Class",
            "categories": names,
            "values": codes.labels.argmax(1).astype(np.uint8),
        }
    if by == "kl":
        return _numbers("KL of the code", "nats", latent.kl(codes.mu, codes.logvar))
    if by == "unusual":
        return _numbers("Distance from the mean", "\u03c3", latent.mahalanobis(codes.mu, bundle.stats))
    if by == "error":
        if has_error(bundle):
            return _numbers("Reconstruction error", "RMS of 255", np.asarray(codes.error))
        values = read_cache(cache_file(bundle, "error"), (len(codes),))
        return None if values is None else _numbers("Round-trip error", "RMS of 255", values)
    kind, _, name = by.partition(":")
    if kind == "label" and re.fullmatch(r"\d{1,6}", name) and int(name) < len(codes.label_names):
        values = codes.labels[:, int(name)]
        title = plain(codes.label_names[int(name)])
        if ((values == 0) | (values == 1)).all():
            categories = [f"without {title}", f"with {title}"]
            return {"kind": "category", "title": title, "categories": categories, "values": values.astype(np.uint8)}
        return _numbers(title, "", values)
    if kind == "factor" and re.fullmatch(r"\d{1,6}", name) and int(name) < len(codes.factor_names):
        row = int(name)
        return _numbers(plain(codes.factor_names[row]), codes.factor_units[row], codes.factors[:, row])
    if kind == "axis" and "named" in (known := bases(bundle)) and name in {a.id for a in known["named"].axes}:
        basis = known["named"]
        row = basis.index(name)
        return _numbers(basis.axes[row].label, "\u03c3", basis.values(codes.mu, bundle.stats.mean)[:, row])
    raise AtlasError(f"There is nothing called {by[:60]!r} to colour by; choose one that the map offers.")


def _numbers(title: str, unit: str, values: Array) -> dict[str, Any]:
    return {"kind": "number", "title": title, "unit": unit, "values": np.asarray(values, np.float32)}
