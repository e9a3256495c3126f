"""What the processor can do, and how much of it is free."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
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


def _seconds_at_work() -> tuple[float, float] | None:
    """Seconds that this process's processors were at work since the start, and this process's share; None if unknown."""
    try:
        allowed = {f"cpu{n}" for n in os.sched_getaffinity(0)}
        rows = [line.split() for line in Path("/proc/stat").read_text().splitlines() if line.startswith("cpu")]
        tick = os.sysconf("SC_CLK_TCK")
    except (AttributeError, OSError, ValueError):  # not Linux
        return None
    # user, nice, system, idle, waiting for a disk, interrupts, soft interrupts, stolen by a neighbour
    busy = sum(sum(map(int, row[1:9])) - int(row[4]) - int(row[5]) for row in rows if row[0] in allowed)
    return busy / tick, time.process_time()


class Pace:
    """Lets torch's threads be as many as the machine has free processors, while it runs.

    Threads of one step wait for the slowest: beside another program on one of two processors, two are slower than one.
    Where none is free all are contested, and each thread more is a larger share of them: then it is `most`.
    most: the threads on an idle machine, torch's own number where it is 0. every: seconds between two looks.
    measure: as _seconds_at_work.
    """

    def __init__(
        self, most: int = 0, every: float = 2.0, measure: Callable[[], tuple[float, float] | None] = _seconds_at_work
    ):
        self.most, self.every, self.measure = most or torch.get_num_threads(), every, measure
        self._at, self._seen = time.monotonic(), measure()

    def follow(self) -> None:
        """Look again, where it is time, and set torch's number of threads."""
        now = time.monotonic()
        if self.most < 2 or self._seen is None or now - self._at < self.every:
            return
        seen = self.measure()
        if seen is not None:
            others = (seen[0] - self._seen[0] - (seen[1] - self._seen[1])) / (now - self._at)
            free = round(cores() - others)
            torch.set_num_threads(min(self.most, free) if free >= 1 else self.most)
        self._at, self._seen = now, seen
