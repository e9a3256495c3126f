"""The training loop: steps, moving average, checkpoints, metrics. Runs under torchrun unchanged.

A run is a function of its seed: the data order and every random number of a step depend on (seed,
step) alone. So a run that was cut off goes on as if nothing had happened, and one of several
processes computes what a single process would.

A run folder holds config.json (the Recipe), metrics.jsonl (a JSON object a line, `kind` says what),
checkpoint.safetensors (tensors, and in its header the rest as JSON), status.json (what goes on now),
sheets/ (pictures at each validation), `done` once the run has ended, and control.json while somebody
steers: {"command": "run" | "pause" | "stop", "beta": number, "kl_target": number}, all optional.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import errno
import json
import math
import os
import queue
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from vae.config import ConfigError, DataConfig, ModelConfig, ObjectiveConfig, Recipe, TrainingConfig
from vae.data.sets import ImageSet, open_split
from vae.hardware import native_bf16
from vae.likeness import frechet
from vae.networks.autoencoder import Autoencoder
from vae.networks.identity import IdentityError
from vae.networks.perceptual import PerceptualError, perceptual
from vae.networks.principal import start_linear
from vae.networks.weights import load_weights
from vae.training.objective import Draws, Objective, psnr, reconstruction_loss

FORMAT = 1
CHECKPOINT = "checkpoint.safetensors"
# A dimension whose code carries less than this says next to nothing about the image.
COLLAPSED_NATS = 0.05
_POLL_SECONDS = 0.25
PCA_IMAGES = 4096
# Weights that a run may begin without, where it starts from a model that had none of them.
ADDED = re.compile(r"decoder\..*\.(noise|strength)|encoder\.offsets\..*")


class TrainingError(RuntimeError):
    """A run that cannot start or go on; one sentence that names the reason and the remedy."""


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended. reason: "finished", "stopped" (control.json) or "interrupted" (a signal; resume goes on)."""

    run_dir: Path
    reason: str
    step: int
    images: int
    seconds: float
    metrics: dict[str, Any]


class Checkpoint(NamedTuple):
    """A run's state on disk. model and ema (the moving average: what to use) are state dicts of an Autoencoder.

    state: step, images, seconds, metrics (of the last validation), data (name, counts).
    """

    recipe: Recipe
    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    objective: dict[str, Tensor]
    optimisers: dict[str, Tensor]
    state: dict[str, Any]


# ---------------------------------------------------------------- run folder


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows neither can nor need."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_json(path: Path, value: Any) -> None:
    """Replace a small JSON file as a whole: a reader sees the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and JSON as one safetensors file, durably and at once: never half a file under the name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(ready, temporary, metadata={"state": json.dumps(state, allow_nan=False)})
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_checkpoint(run_dir: str | Path) -> Checkpoint:
    """Read a run folder's checkpoint to the CPU. Runs no code of the file. Raises TrainingError."""
    path = Path(run_dir) / CHECKPOINT
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads((file.metadata() or {})["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if state["format"] != FORMAT:
            raise TrainingError(
                f"{path} has format {state['format']}, this version reads {FORMAT}; open it with the version that wrote it"
            )
        recipe = Recipe.from_dict(state.pop("recipe"))
    except FileNotFoundError:
        raise TrainingError(f"{run_dir} holds no {CHECKPOINT}; choose the folder of a run that has begun") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read ({type(error).__name__}: {error}); choose another run") from None
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "objective": {}, "optimisers": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    parts["ema"] = parts["ema"] or parts["model"]
    return Checkpoint(recipe, *(parts[key] for key in ("model", "ema", "objective", "optimisers")), state)


class _Folder:
    """The files of a run. Only the first process writes."""

    def __init__(self, path: Path, writes: bool):
        self.path, self.writes, self._status_at = path, writes, -math.inf
        if writes:
            path.mkdir(parents=True, exist_ok=True)

    def metric(self, **values: Any) -> None:
        if self.writes:
            with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(values, allow_nan=False) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop metrics that a resumed run will write again."""
        path = self.path / "metrics.jsonl"
        if not self.writes or not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a crash may leave half a line
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
        temporary = path.with_name(".metrics.jsonl")
        temporary.write_text("".join(kept), encoding="utf-8")
        os.replace(temporary, path)

    def status(self, state: str, force: bool = True, **values: Any) -> None:
        now = time.monotonic()
        if self.writes and (force or now - self._status_at > 1):
            self._status_at = now
            _write_json(self.path / "status.json", {"state": state, "pid": os.getpid(), "time": time.time(), **values})


class _Control:
    """What control.json asks for, read again only when the file has changed."""

    def __init__(self, path: Path):
        self.path, self.command, self.beta, self.target = path, "run", -1.0, -1.0
        self._seen: tuple[int, int] | None = None
        self._next = 0.0

    def poll(self) -> str | None:
        """Look at the file, seldom. Answers a sentence where its content cannot be used."""
        now = time.monotonic()
        if now < self._next:
            return None
        self._next = now + _POLL_SECONDS
        try:
            info = os.stat(self.path)
            if (info.st_mtime_ns, info.st_size) == self._seen:
                return None
            self._seen = (info.st_mtime_ns, info.st_size)
            values = json.loads(self.path.read_text(encoding="utf-8"))
            command = values.get("command", "run")
            numbers = {key: values.get(key) for key in ("beta", "kl_target")}
            if command not in ("run", "pause", "stop"):
                return f"control.json asks for {command!r}; it can ask for run, pause or stop"
            for key, number in numbers.items():
                if number is not None and (
                    isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number < 1e6
                ):
                    return f"control.json sets {key} to {number!r}; use a number from 0 to a million"
            if numbers["kl_target"] == 0:
                return "control.json sets kl_target to 0; use a number of nats above 0"
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError):
            return "control.json is not a JSON object; write one as a whole"
        self.command = command
        self.beta = self.beta if numbers["beta"] is None else float(numbers["beta"])
        self.target = self.target if numbers["kl_target"] is None else float(numbers["kl_target"])
        return None


# ---------------------------------------------------------------- processes


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


class _World:
    """The processes of a run: one, or as many as torchrun started."""

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
        if self._own:
            dist.destroy_process_group()


# ---------------------------------------------------------------- batches


@dataclass
class Batch:
    """This process's share of a step: images uint8 (n, s, s, c), flip bool (n,) or None, and its random numbers.

    augment: what `augmented` takes, or None.
    """

    images: Tensor
    flip: Tensor | None
    draws: Draws
    augment: Tensor | None = None

    def to(self, device: torch.device) -> tuple[Tensor, Draws]:
        """Images as float32 (n, c, s, s) in [-1, 1], and the draws, on a device."""
        x = to_pixels(self.images.to(device, non_blocking=True))
        if self.flip is not None:
            x = torch.where(self.flip.to(device, non_blocking=True)[:, None, None, None], x.flip(3), x)
        if self.augment is not None:
            x = augmented(x, self.augment.to(device, non_blocking=True))
        draws = {k: v if v is None else v.to(device, non_blocking=True) for k, v in vars(self.draws).items()}
        return x, Draws(**draws)


def to_pixels(images: Tensor) -> Tensor:
    """uint8 (N, s, s, c) -> float32 (N, c, s, s) in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


# Numbers that `augmented` takes of an image, beside one a channel: 2 shifts, the scale, whether framed, and 4 edges.
AUGMENT_PLACES = 8


def augmented(x: Tensor, u: Tensor) -> Tensor:
    """Images (n, c, s, s) in [-1, 1], shifted by up to 1/16 of the side, scaled by 0.9 to 1.1, a tenth of them framed.

    u (n, 8 + c): uniform in [0, 1). What comes in from outside is the image's own reflection. A frame is of one colour
    and covers 0 to 1/5 of the side on each of the four edges.
    """
    shift, scale, framed, edges, colour = u.split([2, 1, 1, 4, x.shape[1]], 1)
    scale, shift = 0.9 + 0.2 * scale, (2 * shift - 1) / 8  # grids are 2 wide
    # Places of the input by those of the output: p / scale - shift / scale.
    theta = torch.cat([(torch.eye(2, device=x.device) / scale[:, :, None]), -(shift / scale)[:, :, None]], 2)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    # Linear interpolation would blur what the model is to draw sharply, but is all that every MPS has.
    mode = "bilinear" if x.device.type == "mps" else "bicubic"
    x = F.grid_sample(x, grid, mode, padding_mode="reflection", align_corners=False).clamp(-1, 1)
    places = (torch.arange(x.shape[-1], device=x.device) + 0.5) / x.shape[-1]
    left, top, right, bottom = (edges / 5)[:, :, None].unbind(1)  # (n, 1)
    columns, rows = (places < left) | (places >= 1 - right), (places < top) | (places >= 1 - bottom)  # (n, s)
    covered = (framed < 0.1)[:, :, None, None] & (columns[:, None, None] | rows[:, None, :, None])
    return torch.where(covered, (2 * colour - 1)[:, :, None, None], x)


def to_images(pixels: Tensor) -> np.ndarray:
    """float (N, c, s, s) in [-1, 1], clamped -> uint8 (N, s, s, c)."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


class Batches:
    """Endless shuffled batches; the one of a step is a function of (seed, step).

    Epochs follow each other without a gap, so every batch is full, and a set smaller than a batch repeats.
    """

    def __init__(
        self,
        data: ImageSet,
        model: ModelConfig,
        training: TrainingConfig,
        rank: int = 0,
        world: int = 1,
        sharp: bool = False,
        pin: bool = False,
        colour: bool = False,
        fitted: bool = False,
    ):
        self.data, self.model, self.seed, self.flip, self.sharp, self.pin = (
            data,
            model,
            training.seed,
            training.flip,
            sharp,
            pin,
        )
        self.augment, self.colour, self.fitted = training.augment, colour, fitted
        self.size = training.batch_size
        self.share = slice(rank * self.size // world, (rank + 1) * self.size // world)
        self._order: dict[int, np.ndarray] = {}

    def indices(self, step: int) -> np.ndarray:
        """Places in the set of the whole batch of a step, (batch_size,)."""
        places = np.arange(step * self.size, (step + 1) * self.size)
        epochs, within = np.divmod(places, len(self.data))
        for epoch in range(epochs[0], epochs[-1] + 1):
            if epoch not in self._order:
                self._order = {e: o for e, o in self._order.items() if e >= epochs[0]}
                self._order[epoch] = np.random.default_rng((self.seed, 1, epoch)).permutation(len(self.data))
        return np.array([self._order[e][w] for e, w in zip(epochs.tolist(), within.tolist())])

    def at(self, step: int) -> Batch:
        """This process's share of the batch of a step."""
        n, d, levels = self.size, self.model.latent_size, self.model.levels
        rng, mine = np.random.default_rng((self.seed, 2, step)), self.share

        def normal() -> Tensor:
            return self._ready(rng.standard_normal((n, d), np.float32)[mine])

        def uniform(count: int = 1) -> Tensor:
            return self._ready(rng.random((n, count), np.float32)[mine])

        # Drawn for the whole batch and then cut: how many processes there are makes no difference.
        draws = Draws(normal())
        if self.sharp:
            cut = self._ready(rng.integers(1, levels, (n, 1))[mine])
            draws = Draws(draws.eps, normal(), normal(), uniform(), uniform(), cut)
        flip = self._ready(rng.random(n)[mine] < 0.5) if self.flip else None
        # Later terms draw after earlier ones: without them a run keeps its random numbers.
        augment = uniform(AUGMENT_PLACES + self.model.channels) if self.augment else None
        draws.colour = uniform(3) if self.colour else None
        draws.part = uniform(2) if self.fitted else None
        draws.keep = uniform() if self.model.offsets else None
        return Batch(self._ready(self.data.images(self.indices(step)[mine])), flip, draws, augment)

    def _ready(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.pin_memory() if self.pin else tensor

    def run(self, step: int, ahead: int) -> Iterator[Batch]:
        """The batches from a step on; a thread prepares so many ahead (0: none, right for pictures in memory)."""
        if not ahead:
            while True:
                yield self.at(step)
                step += 1
        ready: queue.Queue[Batch | BaseException] = queue.Queue(ahead)
        over = threading.Event()

        def put(item: Batch | BaseException) -> bool:
            while not over.is_set():
                with contextlib.suppress(queue.Full):
                    ready.put(item, timeout=0.2)
                    return True
            return False

        def prepare() -> None:
            try:
                current = step
                while put(self.at(current)):
                    current += 1
            except BaseException as error:
                put(error)

        threading.Thread(target=prepare, name="batches", daemon=True).start()
        try:
            while True:
                item = ready.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            over.set()


# ---------------------------------------------------------------- trainer


class _Meter:
    """Means of what the steps report, added up on the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, parts: Mapping[str, Tensor]) -> None:
        for key, value in parts.items():
            self.sums[key] = self.sums[key] + value if key in self.sums else value.detach().clone()
            self.counts[key] = self.counts.get(key, 0) + 1

    def means(self, world: _World) -> dict[str, float]:
        if not self.sums:
            return {}
        values = world.mean(torch.stack([self.sums[k].float() / self.counts[k] for k in self.sums])).tolist()
        means = dict(zip(self.sums, values))
        self.sums, self.counts = {}, {}
        return means


class Trainer:
    """A run's networks, optimisers and schedules; `step` is one training step."""

    def __init__(
        self, recipe: Recipe, train: ImageSet, validation: ImageSet, world: _World | None = None, fresh: bool = True
    ):
        """fresh: False where `restore` follows, so that no first weights have to be found."""
        self.recipe, self.config = recipe, recipe.training
        self.world = world or _World(self.config.device)
        self.device, self.train_set, self.validation_set = self.world.device, train, validation
        if self.config.batch_size % self.world.size:
            raise TrainingError(
                f"TrainingConfig.batch_size is {self.config.batch_size}, which {self.world.size} processes cannot "
                f"share; use a multiple of {self.world.size}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)  # drawn on the CPU: the same first weights on every device
            self.model = Autoencoder(recipe.model)
            try:
                self.objective = Objective(recipe.objective, recipe.model)
            except (ValueError, PerceptualError, IdentityError) as error:
                raise TrainingError(str(error)) from None
        if fresh and recipe.model.linear and not self.config.start_from:
            self._start_linear()
        # Convolutions are fastest so; the small model by 40 % on a CPU.
        layout = torch.contiguous_format if self.device.type == "mps" else torch.channels_last
        self.model.to(self.device, memory_format=layout)
        self.objective.to(self.device, memory_format=layout)
        if self.config.start_from:
            self._start_from(Path(self.config.start_from).expanduser())
        if self.config.critic_from:
            self._critic_from(Path(self.config.critic_from).expanduser())
        trained = self.model.encoder if self.config.part == "encoder" else self.model
        self.model.requires_grad_(False)
        trained.requires_grad_(True)
        self.parameters = dict(trained.named_parameters())
        self.optimiser = self._adam(self.parameters)
        critic = self.objective.critic
        self.adversaries: dict[str, tuple[torch.optim.Adam, dict[str, nn.Parameter]]] = {}
        for name, network in (("critic", critic), ("judges", self.objective.judges)):
            if network is not None:
                parameters = dict(network.named_parameters())
                self.adversaries[name] = self._adam(parameters), parameters
        self.ema = copy.deepcopy(self.model).requires_grad_(False).eval() if self.config.ema_images else self.model
        if self.config.compile:
            self._compile()
        self.batches = Batches(
            train,
            recipe.model,
            self.config,
            self.world.rank,
            self.world.size,
            critic is not None,
            self.device.type == "cuda",
            critic is not None and recipe.objective.colour > 0,
            self.objective.prior is not None,
        )
        bf16 = uses_bf16(self.device, self.config.precision, recipe.model)
        self.autocast = torch.autocast(self.device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()
        self.step_count, self.seconds, self.meter = 0, 0.0, _Meter()
        self.healthy = torch.ones((), dtype=torch.bool, device=self.device)

    def _adam(self, parameters: Mapping[str, nn.Parameter]) -> torch.optim.Adam:
        betas = (self.config.adam_beta1, self.config.adam_beta2)
        return torch.optim.Adam(parameters.values(), lr=self.config.learning_rate, betas=betas, fused=True)

    def _compile(self) -> None:
        objective = self.objective
        objective.compiled = True
        for network in (self.model.encoder, self.model.decoder, objective.critic):
            if network is not None:
                network.compile()

    def _start_linear(self) -> None:
        """Begin at the principal components of some of the pictures: the first process finds them for all."""
        if self.world.rank == 0:
            rows = np.unique(np.linspace(0, len(self.train_set) - 1, min(PCA_IMAGES, len(self.train_set))).astype(int))
            images = to_pixels(torch.from_numpy(self.train_set.images(rows)))
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.config.seed)
                start_linear(self.model, images, self.recipe.objective.kl_target)
        self.world.share([p.data for p in self.model.parameters()])

    def _start_from(self, path: Path) -> None:
        if (path / CHECKPOINT).exists():
            weights = load_checkpoint(path).ema
        else:
            weights = load_weights(path)  # a bundle's folder
        # What a model may have beside an older one acts on nothing at first: noise in no strength, offsets of 0.
        new = {k: v for k, v in self.model.state_dict().items() if ADDED.fullmatch(k) and k not in weights}
        try:
            self.model.load_state_dict({**weights, **new})
        except RuntimeError:
            raise TrainingError(
                f"the weights of {path.name} do not fit this model; use its architecture, sizes and latent size"
            ) from None

    def _critic_from(self, path: Path) -> None:
        try:
            found = {key: value.float() for key, value in load_file(path).items()}
        except (SafetensorError, OSError) as error:
            raise TrainingError(
                f"{path} cannot be read ({type(error).__name__}: {error}); choose another file"
            ) from None
        wanted = {k: v for k, v in self.objective.state_dict().items() if k.startswith(("critic.", "judges."))}
        if not wanted or any(k not in found or found[k].shape != v.shape for k, v in wanted.items()):
            raise TrainingError(
                f"the weights of {path.name} do not fit this run's discriminators; use its architecture, sizes and terms"
            )
        self.objective.load_state_dict({k: found[k] for k in wanted}, strict=False)

    @property
    def images(self) -> int:
        """Images seen, over all processes."""
        return self.step_count * self.config.batch_size

    @property
    def progress(self) -> float:
        """Share of the run that is done, 0..1: of whichever limit is nearest."""
        limits = (
            (self.step_count, self.config.steps),
            (self.images, self.config.images),
            (self.seconds, 60 * self.config.minutes),
        )
        return min(1.0, max(done / limit for done, limit in limits if limit))

    def step(self, batch: Batch) -> None:
        """One step on one batch: the autoencoder, then, once it has joined in, the discriminator."""
        progress, critic = self.progress, self.objective.critic
        rate = self.config.learning_rate * min(1.0, (1 - progress) / self.config.decay if self.config.decay else 1.0)
        x, draws = batch.to(self.device)
        if critic:
            critic.requires_grad_(False)
        if self.objective.judges:
            self.objective.judges.requires_grad_(False)
        terms = self.objective(self.model, x, draws, progress, self.autocast)
        frozen = self.model.decoder if self.images < self.config.frozen_images else None
        kl, norm = self._descend(self.optimiser, self.parameters, terms.total, rate, terms.kl.detach(), frozen)
        if terms.fakes:
            critic.requires_grad_(True)
            penalise = self.step_count % self.recipe.objective.penalty_every == 0 and self.recipe.objective.penalty > 0
            loss, parts = self.objective.discriminator(x, terms.fakes, penalise, self.autocast, draws.colour)
            self._descend(*self.adversaries["critic"], loss, rate, kl)
            terms.parts.update(parts)
        if terms.maps:
            self.objective.judges.requires_grad_(True)
            generator = torch.Generator(self.device).manual_seed(self.config.seed + self.step_count)
            loss, parts = self.objective.judge(terms.maps, generator, self.autocast)
            self._descend(*self.adversaries["judges"], loss, rate, kl)
            terms.parts.update(parts)
        self.objective.beta.update(kl)
        if self.objective.prior is not None:
            self.objective.prior.update(self.world.gather(terms.mu), self.step_count)
        self.step_count += 1
        self._average_weights()
        self.meter.add(terms.parts | {"gradient_norm": norm})

    def _descend(
        self,
        optimiser: torch.optim.Adam,
        parameters: Mapping[str, nn.Parameter],
        loss: Tensor,
        rate: float,
        kl: Tensor,
        frozen: nn.Module | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Backward pass, exchange between processes, guard, step -> mean KL and norm of the gradient."""
        optimiser.zero_grad()
        loss.backward()
        if frozen is not None:  # asking for no gradient would compile networks twice
            for parameter in frozen.parameters():
                parameter.grad = None
        learning = [p for p in parameters.values() if p.grad is not None]
        kl = self.world.average_gradients(learning, kl)
        gradients = [p.grad for p in learning]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.config.clip:
            torch._foreach_mul_(gradients, (self.config.clip / (norm + 1e-6)).clamp(max=1.0))
        self.healthy &= torch.isfinite(norm) & torch.isfinite(loss.detach())
        if self.device.type == "cpu":  # elsewhere looking would stall the device: check_health looks now and then
            self.check_health()
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
        return kl, norm

    def check_health(self) -> None:
        """Raises TrainingError once a loss or a gradient was not a finite number."""
        if not self.healthy:
            raise TrainingError(
                f"the loss became infinite or not a number at step {self.step_count + 1}; the last checkpoint is kept, "
                f"go on from it with a learning rate below {self.config.learning_rate:g}"
            )

    def _average_weights(self) -> None:
        if self.ema is self.model:
            return
        # Early on, what the average remembers from the random start would outweigh what was learnt.
        half_life = min(self.config.ema_images, self.images / 8)
        blend = 1 - 0.5 ** (self.config.batch_size / half_life)
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), blend)

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """Measure the averaged weights on the validation set (at most validation_images of it).

        reconstruction, kl (nats per image), kl_per_dimension, loss at the present beta; psnr in dB and
        active (dimensions above 0.05 nats) of reconstructions from mu. Where the model has style offsets, psnr is with
        them and psnr_code without. Where there is a perceptual network and a discriminator, frechet and frechet_draws:
        Frechet distances of reconstructions and of draws to the pictures, as vae.likeness measures them; where people
        are told apart, identity: that distance.
        """
        config, variational = self.recipe.objective, self.recipe.model.variational
        subset = self.validation_set.subset(np.arange(min(len(self.validation_set), self.config.validation_images)))
        rng = np.random.default_rng((self.config.seed, 3))
        sums, kl_sum = (
            torch.zeros(4, device=self.device),
            torch.zeros(self.recipe.model.latent_size, device=self.device),
        )
        realism = _Realism(self.objective, self.device)
        for images in subset.batches(min(self.config.batch_size, 128)):
            x = to_pixels(torch.from_numpy(images).to(self.device))
            q = self.ema.encode(x)
            y = self.ema.decode(q.mu, q.delta)
            eps = torch.from_numpy(rng.standard_normal(q.mu.shape, np.float32)).to(self.device)
            noisy = self.ema.decode(q.sample(eps), q.delta) if variational else y
            plain = y if q.delta is None else self.ema.decode(q.mu)
            apart = torch.zeros(()) if self.objective.identity is None else self.objective.identity.distance(x, y).sum()
            sums += torch.stack(
                [reconstruction_loss(x, noisy, config.reconstruction).sum(), psnr(x, y).sum(), psnr(x, plain).sum(),
                 apart.to(self.device)]
            )  # fmt: skip
            kl_sum += q.kl().sum(0)
            realism.add(x, y, self.ema.decode(self._drawn(rng, len(x))) if realism.network else None)
        reconstruction, decibels, plain, apart = (sums / len(subset)).tolist()
        metrics = {"reconstruction": reconstruction, "psnr": decibels, "loss": config.weight * reconstruction}
        metrics |= {"psnr_code": plain} if self.recipe.model.offsets else {}
        metrics |= {"identity": apart} if self.objective.identity is not None else {}
        metrics |= realism.figures()
        if variational:
            kl = (kl_sum / len(subset)).tolist()
            beta = float(self.objective.beta.value(self.progress))
            metrics |= {
                "kl": math.fsum(kl),
                "beta": beta,
                "active": sum(v > COLLAPSED_NATS for v in kl),
                "kl_per_dimension": kl,
            }
            metrics["loss"] += beta * metrics["kl"]
        return metrics

    def _drawn(self, rng: np.random.Generator, n: int) -> Tensor:
        """Codes (n, d) of the prior that the run draws from."""
        z = torch.from_numpy(rng.standard_normal((n, self.recipe.model.latent_size), np.float32)).to(self.device)
        if self.objective.prior is None:
            return z
        return self.objective.prior.draw(z, torch.from_numpy(rng.random((n, 1), np.float32)).to(self.device))

    @torch.no_grad()
    def sheets(self) -> dict[str, Image.Image]:
        """Pictures of what the averaged weights can do now: the same codes and images every time."""
        d, model = self.recipe.model.latent_size, self.ema
        x = to_pixels(
            torch.from_numpy(self.validation_set.images(range(min(len(self.validation_set), 32)))).to(self.device)
        )
        q = model.encode(x)
        pairs = torch.stack([x, model.decode(q.mu, q.delta)], 1).flatten(0, 1)
        z = self._drawn(np.random.default_rng((self.config.seed, 4)), 64)
        spread = torch.ones(d, device=self.device)
        middle = torch.zeros_like(spread)
        if not self.recipe.model.variational:  # its codes are where they are: draw from their spread
            middle, spread = q.mu.mean(0), q.mu.std(0, unbiased=False)
        if d == 2:
            ticks = torch.special.ndtri(torch.linspace(0.02, 0.98, 16, device=self.device))
            grid = torch.stack(torch.meshgrid(ticks, ticks.flip(0), indexing="xy"), -1).reshape(-1, 2)
            walk, columns = middle + grid * spread, 16
        else:
            ticks, columns = torch.linspace(-3, 3, 9, device=self.device), 9
            kl = q.kl().mean(0) if self.recipe.model.variational else q.mu.var(0, unbiased=False)
            walk = q.mu[:1].repeat(min(d, 8) * 9, 1)
            for row, axis in enumerate(kl.argsort(descending=True)[:8].tolist()):
                walk[row * 9 : (row + 1) * 9, axis] = middle[axis] + ticks * spread[axis]
        pictures = {"reconstructions": (pairs, 16), "samples": (model.decode(middle + z * spread), 8)}
        pictures["traversal"] = (torch.cat([model.decode(part) for part in walk.split(64)]), columns)
        return {name: _sheet(to_images(pixels), columns) for name, (pixels, columns) in pictures.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint holds, by name."""
        found = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        if self.ema is not self.model:
            found |= {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        found |= {f"objective.{k}": v for k, v in self.objective.state_dict().items()}
        for part, optimiser, parameters in self._optimisers():
            for name, parameter in parameters.items():
                found |= {f"optimisers.{part}.{name}.{key}": v for key, v in optimiser.state[parameter].items()}
        return found

    def _optimisers(self) -> Iterator[tuple[str, torch.optim.Adam, dict[str, nn.Parameter]]]:
        yield "model", self.optimiser, self.parameters
        for name, (optimiser, parameters) in self.adversaries.items():
            yield name, optimiser, parameters

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint of the same model and objective. Raises TrainingError where it does not fit."""
        try:
            self.model.load_state_dict(checkpoint.model)
            if self.ema is not self.model:
                self.ema.load_state_dict(checkpoint.ema)
            self.objective.load_state_dict(checkpoint.objective)
        except RuntimeError:
            raise TrainingError(
                "the checkpoint holds another model or objective; resume with the settings of its run"
            ) from None
        for part, optimiser, parameters in self._optimisers():
            state = optimiser.state_dict()
            for place, name in enumerate(parameters):
                prefix = f"{part}.{name}."
                kept = {k[len(prefix) :]: v for k, v in checkpoint.optimisers.items() if k.startswith(prefix)}
                if kept.keys() == {"step", "exp_avg", "exp_avg_sq"}:
                    # Fused Adam walks through memory: its state has to lie there as the parameter does.
                    for key in ("exp_avg", "exp_avg_sq"):
                        kept[key] = torch.empty_like(parameters[name]).copy_(kept[key])
                    state["state"][place] = kept
            optimiser.load_state_dict(state)
        self.step_count, self.seconds = int(checkpoint.state["step"]), float(checkpoint.state["seconds"])


class _Realism:
    """Frechet distances of reconstructions and draws to the pictures of a validation, where a run works on realism."""

    def __init__(self, objective: Objective, device: torch.device):
        self.network = None
        if objective.critic is not None and objective.perceptual is not None:
            self.network = copy.deepcopy(perceptual()).to(device)
        self.found: list[list[np.ndarray]] = [[], [], []]

    def add(self, *pictures: Tensor | None) -> None:
        if self.network is not None:
            for found, images in zip(self.found, pictures):
                found.append(self.network.pooled(images.clamp(-1, 1)).double().cpu().numpy())

    def figures(self) -> dict[str, float]:
        if self.network is None or sum(map(len, self.found[0])) < 2:
            return {}
        real, rebuilt, drawn = (np.concatenate(found) for found in self.found)
        return {"frechet": frechet(real, rebuilt), "frechet_draws": frechet(real, drawn)}


def _sheet(images: np.ndarray, columns: int) -> Image.Image:
    """uint8 (N, s, s, c) -> one picture, row by row."""
    n, s, _, c = images.shape
    rows = -(-n // columns)
    images = np.concatenate([images, np.zeros((rows * columns - n, s, s, c), np.uint8)])
    grid = images.reshape(rows, columns, s, s, c).swapaxes(1, 2).reshape(rows * s, columns * s, c)
    return Image.fromarray(grid[..., 0] if c == 1 else grid)


# ---------------------------------------------------------------- the run


class _Run:
    """A trainer in its folder: marks in time, steering, stopping."""

    def __init__(self, folder: _Folder, trainer: Trainer):
        self.folder, self.trainer, self.world, self.config = folder, trainer, trainer.world, trainer.config
        self.control = _Control(folder.path / "control.json")
        self.metrics: dict[str, Any] = {}
        self.signal: int | None = None
        self._validated, self._marked_at, self._mark_seconds = -1, trainer.seconds, 0.0
        self._saved_at, self._save_seconds = time.monotonic(), 0.0
        self._log_seconds, self._log_step = 0.0, trainer.step_count
        self._steered = (-1.0, -1.0)

    def loop(self) -> str:
        """Train until something ends it -> why: finished, stopped, or interrupted."""
        trainer, reason = self.trainer, None
        ahead = 0 if self.trainer.train_set.in_memory and self.trainer.device.type == "cpu" else 4
        before = time.monotonic()
        with contextlib.closing(trainer.batches.run(trainer.step_count, ahead)) as batches:
            while reason is None and trainer.progress < 1:
                trainer.step(next(batches))
                now = time.monotonic()
                self._log_seconds += now - before
                trainer.seconds += now - before
                before = now
                if trainer.step_count % self.config.log_every == 0:
                    self._log()
                if self._mark_due():
                    self._validate()
                reason, paused = self._listen()
                if not reason and self._due():
                    self._save()
                now = time.monotonic()
                trainer.seconds += now - before - paused
                before = now
        reason = reason or "finished"
        if reason != "interrupted" and self._validated != trainer.step_count:
            self._validate()
        self._save()
        return reason

    def _log(self) -> None:
        trainer = self.trainer
        trainer.check_health()
        means = trainer.meter.means(self.world)
        speed = (trainer.step_count - self._log_step) * self.config.batch_size / max(self._log_seconds, 1e-9)
        self._log_step, self._log_seconds = trainer.step_count, 0.0
        place = {"step": trainer.step_count, "images": trainer.images, "seconds": round(trainer.seconds, 3)}
        epoch = trainer.images / len(trainer.train_set)
        rate = trainer.optimiser.param_groups[0]["lr"]
        self.folder.metric(
            kind="train", **place, epoch=round(epoch, 4), images_per_s=round(speed, 1), learning_rate=rate, **means
        )
        self._status("running", force=False, images_per_s=round(speed, 1))

    def _status(self, state: str, force: bool = True, **values: Any) -> None:
        trainer, progress = self.trainer, self.trainer.progress
        left = trainer.seconds * (1 - progress) / progress if progress else None
        self.folder.status(
            state,
            force,
            step=trainer.step_count,
            images=trainer.images,
            seconds=round(trainer.seconds, 3),
            progress=round(progress, 6),
            seconds_left=left,
            **values,
        )

    def _validate(self) -> None:
        """Only the first process measures; the others wait at the next exchange."""
        trainer = self.trainer
        trainer.check_health()
        self._validated, self._marked_at = trainer.step_count, trainer.seconds
        if not self.folder.writes:
            return
        start = time.monotonic()
        self.metrics = trainer.validate()
        self.folder.metric(
            kind="validation",
            step=trainer.step_count,
            images=trainer.images,
            seconds=round(trainer.seconds, 3),
            **self.metrics,
        )
        if self.config.sheets:
            (self.folder.path / "sheets").mkdir(exist_ok=True)
            for name, picture in trainer.sheets().items():
                picture.save(self.folder.path / "sheets" / f"{trainer.step_count:08d}-{name}.png")
        self._mark_seconds = time.monotonic() - start

    def _mark_due(self) -> bool:
        """Marks in time lie evenly, closer together while a run is young and changes fast, and cost a tenth at most."""
        every, seconds = self.config.validate_every, self.config.validate_seconds
        if every and self.trainer.step_count % every == 0:
            return True
        now = self.trainer.seconds
        return bool(seconds) and now - self._marked_at >= max(min(seconds, max(3.0, 0.2 * now)), 9 * self._mark_seconds)

    def _due(self) -> bool:
        """A checkpoint is due now and then, but writing is to cost 2 % of the time at most."""
        return time.monotonic() - self._saved_at >= max(self.config.checkpoint_seconds, 50 * self._save_seconds)

    def _save(self) -> None:
        trainer = self.trainer
        trainer.check_health()
        if not self.folder.writes:
            return
        start = time.monotonic()
        data = {
            "name": trainer.train_set.name,
            "train": len(trainer.train_set),
            "validation": len(trainer.validation_set),
            "refused": len(trainer.train_set.refused),
            "duplicates": len(trainer.train_set.duplicates),
        }
        state = {
            "format": FORMAT,
            "recipe": trainer.recipe.to_dict(),
            "step": trainer.step_count,
            "images": trainer.images,
            "seconds": trainer.seconds,
            "metrics": self.metrics,
            "data": data,
        }
        save_checkpoint(self.folder.path / CHECKPOINT, trainer.tensors(), state)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start

    def _listen(self) -> tuple[str | None, float]:
        """Hear what the control file and signals ask for -> why to end, or None, and seconds spent paused."""
        trainer, began, waiting = self.trainer, time.monotonic(), False
        while True:
            control = self.control
            if self.folder.writes and (complaint := control.poll()):
                self.folder.metric(kind="event", step=trainer.step_count, event="refused", detail=complaint)
            interrupted, stop, pause, beta, target, seconds = self.world.agree(
                [
                    float(self.signal is not None),
                    float(control.command == "stop"),
                    float(control.command == "pause"),
                    control.beta,
                    control.target,
                    trainer.seconds,
                ]
            )
            trainer.seconds = seconds
            if (beta, target) != self._steered:
                self._steered = (beta, target)
                trainer.objective.beta.steer(None if beta < 0 else beta, None if target < 0 else target)
                wishes = {"beta": beta, "kl_target": target}
                self.folder.metric(
                    kind="event",
                    step=trainer.step_count,
                    event="steered",
                    **{k: v for k, v in wishes.items() if v >= 0},
                )
            reason = "interrupted" if interrupted else "stopped" if stop else None
            if reason or not pause:
                if waiting:
                    self.folder.metric(kind="event", step=trainer.step_count, event="resumed")
                    self._status("running")
                return reason, time.monotonic() - began if waiting else 0.0
            if not waiting:
                waiting = True
                self._save()
                self.folder.metric(kind="event", step=trainer.step_count, event="paused")
                self._status("paused")
            time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _signals(run: _Run) -> Iterator[None]:
    """The first SIGTERM or SIGINT ends the run in good order, a second one at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: Any) -> None:
        run.signal = number
        signal.signal(number, old[number])

    old = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _sentence(error: BaseException, recipe: Recipe, run_dir: Path) -> str | None:
    """What to tell a person of a failure that is no mistake in the program, or None."""
    batch = recipe.training.batch_size
    kept = "the last checkpoint is kept" if (run_dir / CHECKPOINT).exists() else "no checkpoint had been written yet"
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in str(error) or "can't allocate memory" in str(error))
    ):
        return f"memory ran out at batch_size {batch}; {kept}, go on with {max(1, batch // 2)}"
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or (isinstance(error, SafetensorError) and "No space left" in str(error)):
        return f"the disk is full; {kept}, free some space and resume"
    return str(error) if isinstance(error, (TrainingError, ConfigError, ValueError)) else None


def train(
    run_dir: str | Path,
    model_cfg: ModelConfig,
    data_cfg: DataConfig,
    objective_cfg: ObjectiveConfig,
    training_cfg: TrainingConfig,
    resume: bool = False,
) -> TrainingResult:
    """Train an autoencoder in a run folder, to the end or until it is asked to stop.

    resume goes on from the folder's checkpoint: same model, data and objective; limits may be larger.
    On the CPU, with a limit in steps or images, a resumed run equals an uninterrupted one number by number.
    Raises TrainingError, DataError or ConfigError with a sentence; status.json then says the same.
    """
    run_dir = Path(run_dir).expanduser()
    recipe = Recipe(model_cfg, data_cfg, objective_cfg, training_cfg)
    begun = (run_dir / "config.json").exists() or (run_dir / CHECKPOINT).exists()
    if resume and not begun:
        raise TrainingError(f"{run_dir} holds no run to resume; start one there, or choose another folder")
    if begun and not resume:
        raise TrainingError(f"{run_dir} already holds a run; resume it, or choose another folder")
    checkpoint = load_checkpoint(run_dir) if (run_dir / CHECKPOINT).exists() else None
    if checkpoint:
        _check_same(checkpoint.recipe, recipe)
    if training_cfg.threads:
        torch.set_num_threads(training_cfg.threads)
    torch.set_float32_matmul_precision("high")
    world = _World(training_cfg.device)
    folder = _Folder(run_dir, world.rank == 0)
    try:
        return _train(folder, world, recipe, checkpoint)
    except BaseException as error:
        words = _sentence(error, recipe, Path(run_dir))
        with contextlib.suppress(OSError):
            folder.status("failed", message=words or f"the run ended with {type(error).__name__}: {error}")
        if words and not isinstance(error, (TrainingError, ValueError)):
            raise TrainingError(words) from error
        raise
    finally:
        world.close()


def _train(folder: _Folder, world: _World, recipe: Recipe, checkpoint: Checkpoint | None) -> TrainingResult:
    if folder.writes:
        for name in ("done", "control.json"):  # left by an earlier life of this run
            (folder.path / name).unlink(missing_ok=True)
        _write_json(folder.path / "config.json", {"format": FORMAT, **recipe.to_dict()})
    folder.status("reading", done=0, total=0)
    model, data = recipe.model, recipe.data
    report = lambda done, total: folder.status("reading", False, done=done, total=total)  # noqa: E731
    train_set, validation_set = open_split(data, model.image_size, model.channels, report)
    trainer = Trainer(recipe, train_set, validation_set, world, fresh=checkpoint is None)
    if checkpoint:
        trainer.restore(checkpoint)
    run = _Run(folder, trainer)
    folder.forget_after(trainer.step_count)
    if checkpoint:
        run.metrics = checkpoint.state["metrics"]
        folder.metric(kind="event", step=trainer.step_count, event="resumed")
    else:
        folder.metric(
            kind="event",
            step=0,
            event="started",
            device=str(world.device),
            processes=world.size,
            data=train_set.summary(),
            train=len(train_set),
            validation=len(validation_set),
        )
        run._save()  # from here on there is always a last good state
    run._status("running")
    with _signals(run):
        reason = run.loop()
    result = TrainingResult(folder.path, reason, trainer.step_count, trainer.images, trainer.seconds, run.metrics)
    run._status(reason)
    if folder.writes and reason != "interrupted":
        _write_json(folder.path / "done", {**dataclasses.asdict(result), "run_dir": folder.path.name})
    return result


def _check_same(old: Recipe, new: Recipe) -> None:
    """A run goes on with the model, data and objective it began with, and the settings that fix its numbers."""
    fixed = ("batch_size", "seed", "flip", "augment", "part", "ema_images")
    for part in ("model", "data", "objective", "training"):
        was, now = getattr(old, part).to_dict(), getattr(new, part).to_dict()
        for key in was:
            if was[key] != now[key] and (part != "training" or key in fixed) and (part, key) != ("data", "memory_mb"):
                raise TrainingError(
                    f"{part} {key} is {now[key]!r}, but the run began with {was[key]!r}; "
                    f"resume with that, or start a new run"
                )
