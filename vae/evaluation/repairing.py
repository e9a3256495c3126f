"""Denoise and repair: the model against classical methods and PCA, and what the model invents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vae.evaluation import denoisers
from vae.evaluation.entries import Entry, measure
from vae.evaluation.noises import damage, sigma_of
from vae.evaluation.pca import Pca

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

SIGMAS = (25, 50, 100)


def one_pass(bundle: Bundle, picture: Array) -> Array:
    """A picture (s, s, c) through encoder and decoder once, with the style offsets where the model reads such.

    Offsets do not carry noise: with them faces-128 comes nearer at every sigma from 0 to 100 than by mu alone.
    """
    mu, _, delta = bundle.encode_with_offsets(picture[None])
    return bundle.decode(bundle.check_z(mu), delta)[0]


def denoised(
    bundle: Bundle, pca: Pca | None, picture: Array, kind: str, strength: float, seed: int = 0, perceived: bool = True
) -> list[Entry]:
    """A picture uint8 (s, s, c), damaged, and what every method makes of that, measured against the true one."""
    noisy = damage(picture, kind, strength, seed)
    sigma = sigma_of(kind, strength, picture)
    entries = [Entry("damaged", "Damaged", noisy), Entry("vae", "VAE, one pass", one_pass(bundle, noisy))]
    if pca is not None:
        entries.append(Entry("pca", f"PCA-{len(pca.values)}", pca.denoise(noisy[None], sigma)[0]))
    entries += [Entry(id, denoisers.TITLES[id], work(noisy, sigma)) for id, work in denoisers.DENOISERS.items()]
    measure(picture, entries, perceived)
    return entries


def filled(bundle: Bundle, pca: Pca | None, picture: Array, known: Array, perceived: bool = True) -> list[Entry]:
    """A picture of which only `known` (s, s) is seen: grey in its place, then filled in by every method.

    The figures are of the whole picture; what is known is kept as it is by all of them.
    """
    hole = ~known.astype(bool)
    if hole.all() or not hole.any():
        raise ValueError("the mask hides all of the picture, or nothing; paint a part of it")
    grey = picture.copy()
    grey[hole] = np.rint(picture[~hole].mean(0)).astype(np.uint8)

    def kept(made: Array) -> Array:
        return np.where(hole[..., None], made, picture)

    entries = [Entry("damaged", "Hidden", grey), Entry("vae", "VAE, one pass", kept(one_pass(bundle, grey)))]
    if pca is not None:
        entries.append(Entry("pca", f"PCA-{len(pca.values)}", kept(pca.fill(picture, known))))
    smooth = denoisers.biharmonic(picture, known)
    entries.append(Entry("biharmonic", denoisers.TITLES["biharmonic"], kept(smooth)))
    measure(picture, entries, perceived)
    return entries


def invented(bundle: Bundle, picture: Array, painted: Array, where: Array) -> dict[str, Any]:
    """What becomes of something painted into a picture: how much of it the reconstruction keeps, what it makes up.

    picture, painted: uint8 (s, s, c); where: what was painted, bool (s, s). kept: the share of the painted change that
    the two reconstructions differ by in its place, 1 for all of it, by least squares. place, elsewhere: mean absolute
    error in grey levels of the reconstruction of the painted picture, within the painted part and outside; spread:
    how far the reconstruction outside moved because of the paint. Raises ValueError.
    """
    where = where.astype(bool)
    change = painted.astype(np.float64) - picture
    if not where.any() or not np.abs(change[where]).any():
        raise ValueError("nothing was painted; paint something into the picture first")
    before, after = one_pass(bundle, picture), one_pass(bundle, painted)
    moved = after.astype(np.float64) - before
    kept = float((moved[where] * change[where]).sum() / (change[where] ** 2).sum())
    error = np.abs(after.astype(np.float64) - painted)
    outside = ~where
    entries = [
        Entry("painted", "Painted", painted),
        Entry("after", "What the model makes of it", after),
        Entry("before", "The same without the paint", before),
    ]
    measure(painted, entries[1:])
    return {
        "entries": entries,
        "kept": kept,
        "place": float(error[where].mean()),
        "elsewhere": float(error[outside].mean()) if outside.any() else 0.0,
        "spread": float(np.abs(moved[outside]).mean()) if outside.any() else 0.0,
    }


def with_mode(
    bundle: Bundle, pca: Pca | None, picture: Array, kind: str, strength: float, seed: int = 0, perceived: bool = True
) -> list[Entry]:
    """As `denoised`, and the posterior's mode beside it. Needs torch and some seconds. Raises ModeError."""
    from vae.evaluation import mode

    entries = denoised(bundle, pca, picture, kind, strength, seed, perceived)
    noisy = entries[0].picture
    known = np.ones(picture.shape[:2], bool)
    found = Entry("mode", "VAE, posterior mode", mode.find(bundle, noisy, known, sigma_of(kind, strength, picture))[1])
    measure(picture, [found], perceived)
    return [*entries[:2], found, *entries[2:]]
