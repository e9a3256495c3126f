"""Where a run computes: its device, whether in bfloat16, and the processes that share its work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vae.config import ModelConfig
from vae.hardware import native_bf16
from vae.training.errors import TrainingError


def choose_device(name: str = "auto") -> torch.device:
    """The device of a settings' name; auto is CUDA, else MPS, else the CPU. Raises TrainingError."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda else "mps" if mps else "cpu"
    device = torch.device(name)
    missing = {"cuda": not cuda or (device.index or 0) >= torch.cuda.device_count(), "mps": not mps}
    if missing.get(device.type):
        raise TrainingError(f"TrainingConfig.device is {name!r}, which this machine does not have; use 'auto' or 'cpu'")
    return device


def uses_bf16(device: torch.device, precision: str, model: ModelConfig) -> bool:
    """Whether the networks run in bfloat16: where it is asked for, or where it is faster on this machine.

    CPUs with bfloat16 instructions train the "style" architecture 1.3 to 1.8 times as fast so; the small one gains
    nothing. On other CPUs it would be emulated.
    """
    if precision == "float32" or device.type not in ("cuda", "cpu"):
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return precision == "bf16" or (native_bf16() and model.architecture == "style")


class Processes:
    """The processes of a run: one, or as many as torchrun started. size: how many; rank: this one's number, from 0.

    device: this one's own, by its name in the settings. Raises TrainingError where this machine does not have it.
    """

    def __init__(self, device: str):
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
        self.control, self._own = None, False
        if self.size > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
            device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        self.device = choose_device(device)
        if self.device.index is not None:
            torch.cuda.set_device(self.device)
        if self.size > 1:
            if not dist.is_initialized():
                dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo", timeout=timedelta(hours=1))
                self._own = True
            # What the CPUs agree on goes its own way, so that no GPU has to be waited for.
            self.control = dist.new_group(backend="gloo", timeout=timedelta(days=30))

    def average_gradients(self, parameters: Sequence[nn.Parameter], kl: Tensor) -> Tensor:
        """Average gradients, and with them the KL, over the processes in one exchange."""
        if self.size == 1:
            return kl
        gradients = [p.grad for p in parameters]
        flat = torch.cat([kl.reshape(1), *(g.flatten() for g in gradients)])
        dist.all_reduce(flat)
        flat /= self.size
        pieces = flat[1:].split([g.numel() for g in gradients])
        torch._foreach_copy_(gradients, [piece.view_as(g) for piece, g in zip(pieces, gradients)])
        return flat[0]

    def mean(self, values: Tensor) -> Tensor:
        """Values averaged over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values = values / self.size
        return values

    def agree(self, values: list[float]) -> list[float]:
        """The largest of each process's values: a wish of any one is everybody's."""
        if self.size == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self.control)
        return tensor.tolist()

    def gather(self, values: Tensor) -> Tensor:
        """The values (n, ...) of all processes, one after the other."""
        if self.size == 1:
            return values
        parts = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the first one's values of these tensors on the CPU."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0, group=self.control)

    def close(self) -> None:
        """Leave the group, where it was joined here."""
        if self._own:
            dist.destroy_process_group()
