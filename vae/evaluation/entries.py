"""What every bench of the Lab answers with: pictures beside the one they stand for, and how near they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vae.likeness import psnr, ssim

Array = np.ndarray

FIGURES = ("psnr", "ssim", "perceptual")
BATCH = 4  # more leave the caches


@dataclass(eq=False)
class Entry:
    """One method's picture uint8 (s, s, c), None where the method cannot; size: bytes, where they are the point.

    figures: psnr in dB, ssim, perceptual, as far as measured. note: a few words for people.
    """

    id: str
    title: str
    picture: Array | None
    size: int | None = None
    note: str = ""
    figures: dict[str, float] = field(default_factory=dict)


def perceptual_distances(reference: Array, made: Array) -> Array | None:
    """Perceptual distance of pictures uint8 (N, s, s, c) from one (s, s, c) -> (N,): vae.networks.perceptual, torch.

    None where the network is not installed.
    """
    import torch

    from vae.networks.perceptual import PerceptualError, feature_distance, perceptual
    from vae.networks.pixels import to_pixels

    try:
        network = perceptual()
    except PerceptualError:
        return None

    def levels(pictures: Array) -> list[torch.Tensor]:
        return network.levels(to_pixels(torch.from_numpy(np.array(pictures))))

    found = []
    with torch.no_grad():
        truth = levels(reference[None])
        for i in range(0, len(made), BATCH):
            part = levels(made[i : i + BATCH])
            found.append(feature_distance([level.expand_as(other) for level, other in zip(truth, part)], part))
    return torch.cat(found).numpy()


def measure(reference: Array, entries: Sequence[Entry], perceived: bool = True) -> None:
    """Fill in the figures of entries against the picture (s, s, c) that they stand for."""
    shown = {id(entry.picture): entry.picture for entry in entries if entry.picture is not None}
    if not shown:
        return
    made = np.stack(list(shown.values()))
    truth = np.repeat(reference[None], len(made), 0)
    columns = {"psnr": psnr(truth, made), "ssim": ssim(truth, made)}
    if perceived and (distances := perceptual_distances(reference, made)) is not None:
        columns["perceptual"] = distances
    figures = {key: {name: float(values[i]) for name, values in columns.items()} for i, key in enumerate(shown)}
    for entry in entries:
        entry.figures.update(figures.get(id(entry.picture), {}))


def averaged(all_entries: Sequence[Sequence[Entry]]) -> list[dict[str, object]]:
    """Entries of many pictures, one list each, in the same order -> a row of means a method.

    share: of the pictures that the method could do at all; means are over those.
    """
    rows: list[dict[str, object]] = []
    for column in zip(*all_entries):
        done = [entry for entry in column if entry.picture is not None or entry.figures]
        row: dict[str, object] = {"id": column[0].id, "title": column[0].title, "share": len(done) / len(column)}
        sizes = [entry.size for entry in done if entry.size is not None]
        if sizes:
            row["bytes"] = float(np.mean(sizes))
        for name in FIGURES:
            values = [entry.figures[name] for entry in done if name in entry.figures]
            if values:
                row[name] = float(np.mean(values))
        rows.append(row)
    return rows
