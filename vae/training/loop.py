"""Training, from a recipe to the end of its run. Runs under torchrun unchanged.

A run is a function of its seed: the data order and every random number of a step depend on (seed,
step) alone. So a run that was cut off goes on as if nothing had happened, and one of several
processes computes what a single process would. The files of a run: see vae.training.run_folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vae.config import ConfigError, DataConfig, ModelConfig, ObjectiveConfig, Recipe, TrainingConfig
from vae.data.sets import open_split
from vae.failures import disk_is_full, memory_ran_out
from vae.files import write_json
from vae.training.checkpoint import CHECKPOINT, FORMAT, Checkpoint, check_same, load_checkpoint
from vae.training.errors import TrainingError
from vae.training.processes import Processes
from vae.training.run import Run, signals
from vae.training.run_folder import RunFolder
from vae.training.trainer import Trainer


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended. reason: "finished", "stopped" (control.json) or "interrupted" (a signal; resume goes on)."""

    run_dir: Path
    reason: str
    step: int
    images: int
    seconds: float
    metrics: dict[str, Any]


def _sentence(error: BaseException, recipe: Recipe, run_dir: Path) -> str | None:
    """What to tell a person of a failure that is no mistake in the program, or None."""
    batch = recipe.training.batch_size
    kept = "the last checkpoint is kept" if (run_dir / CHECKPOINT).exists() else "no checkpoint had been written yet"
    if memory_ran_out(error):
        return f"memory ran out at batch_size {batch}; {kept}, go on with {max(1, batch // 2)}"
    if disk_is_full(error):
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
    On the CPU, with a limit in steps or images and a fixed number of threads (training.threads), a resumed run equals
    an uninterrupted one number by number; without, the threads follow what the machine has free, and sums may differ
    in their last digit.
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
        check_same(checkpoint.recipe, recipe)
    if training_cfg.threads:
        torch.set_num_threads(training_cfg.threads)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True  # shapes stay the same for the whole run, so that trying kernels pays
    processes = Processes(training_cfg.device)
    folder = RunFolder(run_dir, processes.rank == 0)
    try:
        return _train(folder, processes, recipe, checkpoint)
    except BaseException as error:
        words = _sentence(error, recipe, Path(run_dir))
        with contextlib.suppress(OSError):
            folder.status("failed", message=words or f"the run ended with {type(error).__name__}: {error}")
        if words and not isinstance(error, (TrainingError, ValueError)):
            raise TrainingError(words) from error
        raise
    finally:
        processes.close()


def _train(folder: RunFolder, processes: Processes, recipe: Recipe, checkpoint: Checkpoint | None) -> TrainingResult:
    if folder.writes:
        for name in ("done", "control.json"):  # left by an earlier life of this run
            (folder.path / name).unlink(missing_ok=True)
        write_json(folder.path / "config.json", {"format": FORMAT, **recipe.to_dict()})
    folder.status("reading", done=0, total=0)
    model, data = recipe.model, recipe.data
    report = lambda done, total: folder.status("reading", False, done=done, total=total)  # noqa: E731
    train_set, validation_set = open_split(data, model.image_size, model.channels, report)
    if checkpoint is None:  # whoever goes on with a run has been asked when it began
        train_set.check_skipped(data.accept_skipped)
    trainer = Trainer(recipe, train_set, validation_set, processes, fresh=checkpoint is None)
    if checkpoint:
        trainer.restore(checkpoint)
    run = Run(folder, trainer)
    folder.forget_after(trainer.step_count)
    if checkpoint:
        run.metrics = checkpoint.state["metrics"]
        folder.metric(kind="event", step=trainer.step_count, event="resumed")
    else:
        folder.metric(
            kind="event",
            step=0,
            event="started",
            device=str(processes.device),
            processes=processes.size,
            data=train_set.summary(),
            train=len(train_set),
            validation=len(validation_set),
        )
        run.save()  # from here on there is always a last good state
    run.status("running")
    with signals(run):
        reason = run.loop()
    result = TrainingResult(folder.path, reason, trainer.step_count, trainer.images, trainer.seconds, run.metrics)
    run.status(reason)
    if folder.writes and reason != "interrupted":
        write_json(folder.path / "done", {**dataclasses.asdict(result), "run_dir": folder.path.name})
    return result
