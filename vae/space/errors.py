"""What this wing refuses with."""

from __future__ import annotations


class LatentError(ValueError):
    """A code, an axis or a number that cannot be used; the message is one sentence for the user."""


class AtlasError(ValueError):
    """A view, a selection or a path that cannot be made; the message is one sentence for the user."""
