"""The labels of a bundle's codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle


def one_of(bundle: Bundle) -> bool:
    """Whether each code has exactly one of the labels: classes rather than attributes."""
    labels = bundle.codes.labels
    return labels.shape[1] > 1 and bool(((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all())


def plain(name: str) -> str:
    """A label as people write it."""
    return name.replace("_", " ")
