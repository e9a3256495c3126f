"""Reconstruction, picture by picture: how near, how many nats, and which dimensions carry them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.evaluation.entries import Entry, measure

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

COLUMNS = ("name", "psnr", "ssim", "perceptual", "nats", "bits")


def dimension_nats(mu: Array, logvar: Array) -> Array:
    """KL from N(0, I) of each dimension, in nats, (N, d) -> (N, d): vae.space.latent.kl before its sum."""
    mu, logvar = np.asarray(mu, np.float64), np.asarray(logvar, np.float64)
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)


def reconstructed(bundle: Bundle, picture: Array, perceived: bool = True) -> dict[str, Any]:
    """One picture uint8 (s, s, c) in one pass.

    entries: the reconstruction, from code and style offsets; from the code alone where there are offsets; and with the
    feature offset that the bundle guesses, where it does: details that are no part of the code, and many numbers more.
    nats: KL of each dimension (d,); total, bits: summed.
    """
    mu, logvar, delta = bundle.encode_with_offsets(picture[None])
    entries = [Entry("vae", "Reconstruction", bundle.decode(mu, delta)[0])]
    if delta is not None:
        entries[0].note = "code and style offsets"
        entries.append(Entry("code", "From the code alone", bundle.decode(mu)[0], note=f"{bundle.latent_size} numbers"))
    if (guessed := bundle.guess(picture[None], mu, delta)) is not None:
        made = bundle.decode(mu, delta, feature=guessed[0], anchor=guessed[1])[0]
        entries.append(
            Entry("guess", "With guessed details", made, note=f"and {guessed[0].size:,} numbers beside the code")
        )
    measure(picture, entries, perceived)
    nats = dimension_nats(mu, logvar)[0]
    return {"entries": entries, "nats": nats, "total": float(nats.sum()), "bits": float(nats.sum() / np.log(2))}


def row(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """What a table says of one picture."""
    return {"name": name, **found["entries"][0].figures, "nats": found["total"], "bits": found["bits"]}


def worst_first(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By PSNR."""
    return sorted(rows, key=lambda one: one["psnr"])


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table as CSV; a name that a spreadsheet would run as a formula gets an apostrophe."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in rows:
        name = str(one["name"])
        name = f"'{name}" if name[:1] in "=+-@\t\r" else name
        table.writerow([name, *(f"{one[key]:.4f}" if key in one else "" for key in COLUMNS[1:])])
    return out.getvalue()
