"""What every bench of the Lab answers with: pictures beside the one they stand for, and how near they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vae.likeness import psnr, ssim

Array = np.ndarray

FIGURES = ("psnr", "ssim", "perceptual")
BATCH = 16


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


def perceptual_distances(a: Array, b: Array) -> Array | None:
    """Perceptual distance of pairs of pictures uint8 (N, s, s, c) -> (N,): vae.networks.perceptual, needs torch.

    None where the network is not installed.
    """
    import torch

    from vae.networks.perceptual import PerceptualError, perceptual
    from vae.networks.pixels import to_pixels

    try:
        network = perceptual()
    except PerceptualError:
        return None
    found = []
    with torch.no_grad():
        for i in range(0, len(a), BATCH):
            x, y = (to_pixels(torch.from_numpy(np.ascontiguousarray(part[i : i + BATCH]))) for part in (a, b))
            found.append(network.distance(x, y))
    return torch.cat(found).numpy()


def measure(reference: Array, entries: Sequence[Entry], perceived: bool = True) -> None:
    """Fill in the figures of entries against the picture (s, s, c) that they stand for."""
    shown = [entry for entry in entries if entry.picture is not None]
    if not shown:
        return
    made = np.stack([entry.picture for entry in shown])
    truth = np.repeat(reference[None], len(made), 0)
    columns = [psnr(truth, made), ssim(truth, made), perceptual_distances(truth, made) if perceived else None]
    for name, values in zip(FIGURES, columns):
        for entry, value in zip(shown, values if values is not None else ()):
            entry.figures[name] = float(value)


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
