"""Errors that are the machine's limits and no mistake in the program: what they look like, whoever raised them.

By name where the type is torch's or safetensors': the app's process imports neither.
"""

from __future__ import annotations

import errno


def memory_ran_out(error: BaseException) -> bool:
    """Whether memory ran out, the processor's or a GPU's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def disk_is_full(error: BaseException) -> bool:
    """Whether a disk, or a person's share of it, is full."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return type(error).__name__ == "SafetensorError" and "No space left" in str(error)
