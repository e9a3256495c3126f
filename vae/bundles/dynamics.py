"""What a bundle of a world that one drives through holds beside its pictures: a transition, and an unseen drive. No torch.

`dynamics.onnx` says where a code goes when somebody acts: z, before (N, d), action, action_before (N, 3) -> next (N, d)
and `spread` (N, d), what one step leaves open. `drive.npz` is a drive that was recorded and never learnt from: `frames`
uint8 (T, s, s, c) and the `actions` (T, 3) that lead from each frame to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vae.bundles.contract import BundleError, check_graph, numbers, read_arrays

Array = np.ndarray

DYNAMICS_FILE, DRIVE_FILE = "dynamics.onnx", "drive.npz"
ACTIONS = 3  # steering -1 (left) to 1, gas 0 to 1, brake 0 to 1
MAX_FRAMES = 2_000


@dataclass(frozen=True, eq=False)
class Drive:
    """frames: uint8 (T, s, s, c); actions: float32 (T, 3)."""

    frames: Array
    actions: Array

    def __len__(self) -> int:
        return len(self.frames)


def check_dynamics(path: Path, d: int) -> None:
    """The transition takes and gives codes of d numbers. Raises BundleError."""
    codes, actions = (None, d), (None, ACTIONS)
    inputs = {"z": codes, "before": codes, "action": actions, "action_before": actions}
    check_graph(path, DYNAMICS_FILE, inputs, {"next": codes, "spread": codes}, ())


def read_drive(path: Path, size: int, channels: int) -> Drive:
    """drive.npz of a bundle's folder. Raises BundleError."""
    arrays = read_arrays(path, DRIVE_FILE, ("frames", "actions"))
    frames = arrays["frames"]
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (size, size, channels):
        raise BundleError(
            f"{path.name}/{DRIVE_FILE} has frames of shape {frames.shape} where ({size}, {size}, {channels}) belongs; "
            "export anew."
        )
    if not 2 <= len(frames) <= MAX_FRAMES:
        raise BundleError(f"{path.name}/{DRIVE_FILE} has {len(frames):,} frames; keep 2 to {MAX_FRAMES:,}.")
    actions = numbers(path, DRIVE_FILE, "actions", arrays["actions"], (len(frames), ACTIONS), np.float32)
    return Drive(frames, np.clip(actions, [-1, 0, 0], 1).astype(np.float32))
