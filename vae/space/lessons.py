"""Directions learned from two sets of codes: what tells them apart, how well, and what it drags along.

A lesson is saved as a taught direction (vae.space.taught). NumPy, SciPy and scikit-learn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vae.space import taught
from vae.space.axes import in_sigma
from vae.space.errors import AtlasError
from vae.space.labels import plain

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

READ_OUT_C = 0.02
TRAIN_SHARE = 0.6
MIN_TAUGHT = 5


@dataclass(frozen=True, eq=False)
class Lesson:
    """A read-out w (d,) that tells two sets of codes apart, and what it does.

    auc: on held-out codes; auc_before: of the read-out before leaks were taken out. leaks: (name, label, sigma)
    that one sigma along the direction moves each reference read-out, the largest first. trained, held: code counts.
    """

    w: Array = field(repr=False)
    auc: float
    auc_before: float
    counts: tuple[int, int]
    trained: int
    held: int
    leaks: list[tuple[str, str, float]]
    removed: tuple[str, ...]

    def direction(self, bundle: Bundle) -> Array:
        """The step (d,) of one sigma: cov @ w / sigma."""
        return in_sigma(self.w, bundle.stats.cov) @ bundle.stats.cov

    def taught(self, label: str) -> taught.Taught:
        """As it is saved. Raises taught.TaughtError for a name that cannot be used."""
        leaks = {title: round(value, 4) for _, title, value in self.leaks[:40]}
        names = {name: title for name, title, _ in self.leaks}
        removed = tuple(names.get(name, name) for name in self.removed)
        return taught.Taught(taught.check_label(label), self.w, self.auc, self.counts, removed, leaks)


def auc(score: Array, positive: Array) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting half."""
    from scipy.stats import rankdata

    n, total = int(positive.sum()), len(positive)
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * (total - n)))


def _fit(x: Array, y: Array) -> Array:
    """Logistic read-out (d,), classes weighted to count alike."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=READ_OUT_C, class_weight="balanced", max_iter=500)
    return model.fit(x, y).coef_[0].astype(np.float64)


_references: OrderedDict[str, tuple[list[str], list[str], Array]] = OrderedDict()


def references(bundle: Bundle) -> tuple[list[str], list[str], Array]:
    """Read-outs that leaks are measured on: ids, labels, W (k, d) in units of one sigma.

    The bundle's named directions; a bundle without any has them fitted from its labels.
    """
    cov = bundle.stats.cov
    if bundle.directions is not None:
        found = bundle.directions
        return list(found.names), list(found.labels), in_sigma(np.asarray(found.w, np.float64), cov)
    key = f"{bundle.path}:{bundle.digest}"
    if key not in _references:
        codes = bundle.codes
        names, labels, rows = [], [], []
        for k, name in enumerate(codes.label_names):
            y = codes.labels[:, k] != 0
            if MIN_TAUGHT <= y.sum() <= len(y) - MIN_TAUGHT:
                some = np.random.default_rng(0).permutation(len(y))[:6000]
                if 0 < y[some].sum() < len(some):
                    names.append(name), labels.append(plain(name)), rows.append(_fit(codes.mu[some], y[some]))
        W = in_sigma(np.array(rows), cov) if rows else np.zeros((0, bundle.latent_size))
        _references[key] = names, labels, W
        while len(_references) > 8:
            _references.popitem(last=False)
    return _references[key]


def _split(y: Array, seed: int = 0) -> Array:
    """Which codes to learn from (n,), the same share of both sides; the rest is held out."""
    train = np.zeros(len(y), bool)
    rng = np.random.default_rng(seed)
    for side in (True, False):
        members = rng.permutation(np.flatnonzero(y == side))
        train[members[: max(1, min(len(members) - 1, round(TRAIN_SHARE * len(members))))]] = True
    return train


def teach(bundle: Bundle, with_mask: Array, without_mask: Array, remove: Sequence[str] = ()) -> Lesson:
    """Learn what tells the codes in one mask (M,) from those in the other.

    Logistic read-out (C = 0.02, classes balanced) on 60 % of them, scored on the rest. remove: reference ids whose
    read-outs the direction must leave alone: w loses what moves them, so that cov @ w does too.
    Raises AtlasError.
    """
    with_mask, without_mask = np.asarray(with_mask, bool), np.asarray(without_mask, bool)
    both = int((with_mask & without_mask).sum())
    if both:
        raise AtlasError(f"{both} codes are in both selections; choose two that do not overlap.")
    counts = int(with_mask.sum()), int(without_mask.sum())
    if min(counts) < MIN_TAUGHT:
        raise AtlasError(
            f"The selections hold {counts[0]} and {counts[1]} codes; each side needs at least {MIN_TAUGHT}."
        )
    names, labels, W = references(bundle)
    unknown = [name for name in remove if name not in names]
    if unknown:
        raise AtlasError(
            f"There is no read-out {str(unknown[0])[:60]!r} to take out; choose one of the leaks that are listed."
        )
    members = np.flatnonzero(with_mask | without_mask)
    x, y = bundle.codes.mu[members].astype(np.float64), with_mask[members]
    train, cov = _split(y), bundle.stats.cov
    w = _fit(x[train], y[train])
    held_x, held_y = x[~train], y[~train]
    before = after = auc(held_x @ w, held_y)
    if remove:
        chosen = W[[names.index(name) for name in dict.fromkeys(remove)]]
        gram = chosen @ cov @ chosen.T
        free = w - chosen.T @ (np.linalg.pinv(gram, rcond=1e-9, hermitian=True) @ (chosen @ cov @ w))
        if free @ cov @ free < 1e-3 * (w @ cov @ w):
            raise AtlasError("Nothing is left of this direction once those leaks are taken out; take out fewer.")
        w, after = free, auc(held_x @ free, held_y)
    moved = W @ cov @ in_sigma(w, cov)  # (k,)
    leaks = sorted(
        ((name, text, float(v)) for name, text, v in zip(names, labels, moved)), key=lambda leak: -abs(leak[2])
    )
    return Lesson(w, after, before, counts, int(train.sum()), int((~train).sum()), leaks, tuple(dict.fromkeys(remove)))
