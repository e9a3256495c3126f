"""ONNX Runtime sessions as the app uses them, and the memory that loading one leaves behind."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from vae.bundles.contract import BundleError


def make_session(model: bytes, where: str, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU; threads 0 is one a core, at most 4. Raises BundleError naming `where`."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or min(4, os.cpu_count() or 1)
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the cores from the browser, which draws on the same machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base that it documents
        reason = str(error).strip().split("\n")[0][:160]
        raise BundleError(f"{where} cannot be run ({reason}); export the model anew.") from None


def return_memory() -> None:
    """Give freed memory back to the system: loading a network leaves more behind than it keeps (glibc only)."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        pass
