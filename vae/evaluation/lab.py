"""The Lab's benches over a whole set of pictures, in several processes: the figures of a report."""

from __future__ import annotations

import contextlib
import multiprocessing
import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.evaluation import compressing, reconstructing, repairing
from vae.evaluation.entries import Entry, averaged
from vae.evaluation.pca import Pca
from vae.evaluation.picked import digest_of_pictures

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray
Say = Callable[[str], None]

CHUNK = 8  # pictures of one task
PACKAGES = ("numpy", "onnxruntime", "pillow", "scikit-image", "scikit-learn", "constriction", "umap-learn")


@dataclass(frozen=True)
class Plan:
    """What is measured. denoise, modes: on so many of the pictures; processes: at work together."""

    budgets: tuple[int, ...] = compressing.BUDGETS
    sigmas: tuple[int, ...] = repairing.SIGMAS
    denoise: int = 128
    modes: int = 0
    processes: int = 2
    perceived: bool = True


def versions() -> dict[str, str]:
    """What the figures were made with."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


# ---------------------------------------------------------------- one task, in a process of its own


@lru_cache(maxsize=1)
def _tools(folder: str, pca_file: str) -> tuple[Bundle, Pca | None]:
    import torch

    from vae.bundles.bundle import open_bundle

    torch.set_num_threads(1)
    return open_bundle(folder), Pca.load(Path(pca_file)) if pca_file else None


def _bare(entries: Sequence[Entry]) -> list[Entry]:
    """Without the pictures, which need not travel."""
    for entry in entries:
        entry.picture = None
    return list(entries)


def _compress(tools: tuple[str, str], plan: Plan, pictures: Array, names: Sequence[str], at: int) -> list[Any]:
    bundle, pca = _tools(*tools)
    done = []
    for picture, name in zip(pictures, names):
        found = reconstructing.reconstructed(bundle, picture, plan.perceived)
        equal = compressing.at_equal_bytes(bundle, pca, picture, plan.budgets, plan.perceived)
        row = reconstructing.row(name, found)
        done.append((row, found["nats"], {budget: _bare(entries) for budget, entries in equal.items()}))
    return done


def _denoise(tools: tuple[str, str], plan: Plan, pictures: Array, names: Sequence[str], at: int) -> list[Any]:
    bundle, pca = _tools(*tools)
    return [
        {
            sigma: _bare(repairing.denoised(bundle, pca, picture, "gaussian", sigma, at + i, plan.perceived))
            for sigma in plan.sigmas
        }
        for i, picture in enumerate(pictures)
    ]


def _modes(tools: tuple[str, str], plan: Plan, pictures: Array, names: Sequence[str], at: int) -> list[Any]:
    bundle, pca = _tools(*tools)
    return [
        {
            sigma: _bare(repairing.with_mode(bundle, pca, picture, "gaussian", sigma, at + i, plan.perceived))
            for sigma in plan.sigmas
        }
        for i, picture in enumerate(pictures)
    ]


# ---------------------------------------------------------------- the whole


def _over(
    pool: ProcessPoolExecutor | None, work: Callable, tools: tuple[str, str], plan: Plan, pictures: Array,
    names: Sequence[str], say: Say, what: str, size: int = CHUNK,
) -> Iterator[Any]:  # fmt: skip
    starts = range(0, len(pictures), size)
    jobs = [(work, tools, plan, pictures[i : i + size], names[i : i + size], i) for i in starts]
    tasks = [pool.submit(*job) for job in jobs] if pool else []
    done = 0
    for i, job in zip(starts, jobs):
        yield from tasks[i // size].result() if pool else job[0](*job[1:])
        reached = min(i + size, len(pictures))
        if reached * 10 // len(pictures) > done:
            done = reached * 10 // len(pictures)
            say(f"{what}: {reached} of {len(pictures)}")


def study(
    bundle: Bundle, pictures: Array, names: Sequence[str], pca: Pca | None, pca_file: Path | None, plan: Plan,
    say: Say = lambda text: None,
) -> dict[str, Any]:  # fmt: skip
    """All benches that a set of pictures uint8 (N, s, s, c) feeds, as nested plain values.

    pca_file: where `pca` lies for the other processes. Raises ValueError.
    """
    if not len(pictures):
        raise ValueError("there are no pictures to measure; give at least one")
    compressing.check_budgets(plan.budgets)
    if wrong := [sigma for sigma in plan.sigmas if not 0 <= sigma <= 100]:
        raise ValueError(f"sigma is {wrong[0]}; use 0 to 100 grey levels")
    if plan.denoise < 0 or plan.modes < 0:
        raise ValueError("the number of pictures to denoise is negative; use 0 or more")
    tools = (str(bundle.path), str(pca_file) if pca is not None else "")
    figures: dict[str, Any] = {
        "model": {"name": bundle.name, "title": bundle.title, "digest": bundle.digest},
        "data": {"pictures": len(pictures), "digest": digest_of_pictures(pictures)},
        "pca": None if pca is None else {"components": len(pca.values), "fitted to": pca.source, "digest": pca.digest},
        "versions": versions(),
    }
    mu = np.concatenate([bundle.encode(pictures[i : i + 64])[0] for i in range(0, len(pictures), 64)])
    figures["lsz"] = compressing.round_trip(bundle, mu[:1000])
    say("wrote and read the codes")
    with contextlib.ExitStack() as stack:
        pool = None
        if plan.processes:
            context = multiprocessing.get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(plan.processes, context))
        rows, nats, equal = [], [], []
        for one in _over(pool, _compress, tools, plan, pictures, names, say, "compressed"):
            for store, value in zip((rows, nats, equal), one):
                store.append(value)
        figures["reconstruct"] = {
            "rows": reconstructing.worst_first(rows),
            "mean": {key: float(np.mean([one[key] for one in rows])) for key in rows[0] if key != "name"},
            "nats": np.mean(nats, 0).tolist(),
        }
        figures["compress"] = {
            "decoder_bytes": compressing.decoder_bytes(bundle),
            "budgets": {str(budget): averaged([one[budget] for one in equal]) for budget in plan.budgets},
        }
        for key, work, count, size in (("denoise", _denoise, plan.denoise, CHUNK), ("modes", _modes, plan.modes, 1)):
            some = np.unique(np.linspace(0, len(pictures) - 1, min(count, len(pictures))).astype(int))
            if not count:
                continue
            some_names = [names[i] for i in some]
            found = list(_over(pool, work, tools, plan, pictures[some], some_names, say, key, size))
            figures[key] = {
                "pictures": len(some),
                "sigmas": {str(sigma): averaged([one[sigma] for one in found]) for sigma in plan.sigmas},
            }
    return figures
