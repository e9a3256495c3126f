"""What every file of this wing may raise."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """A run that cannot start or go on; one sentence that names the reason and the remedy."""
