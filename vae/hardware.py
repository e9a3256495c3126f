"""What the processor can do."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch


def native_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16; on others it is emulated, slowly."""
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def cores() -> int:
    """Processors this process may use: affinity and, in a container, its quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        count = min(count, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass
    return max(1, min(count, 8))
