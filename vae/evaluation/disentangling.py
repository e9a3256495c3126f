"""Which axis of a code says what: mutual information with known factors, and the scores MIG, SAP and DCI.

Codes (N, d) are numbers; factors (N, K) are labels of 0 and 1, classes or measured numbers. A factor with more than
MANY values is taken as a number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray

BINS = 20
MANY = 20
TREES = 20
DEPTH = 8


def is_number(values: Array) -> bool:
    """Whether a factor (N,) is measured, rather than one of a few values."""
    return len(np.unique(values)) > MANY


def binned(values: Array, bins: int = BINS) -> Array:
    """Numbers (N,) -> whole numbers 0.. by quantiles, so that each bin is as full; few values stay as they are."""
    found, places = np.unique(values, return_inverse=True)
    if len(found) <= bins:
        return places
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, values, side="right")


def entropy(values: Array) -> float:
    """Of whole numbers (N,), in nats."""
    share = np.bincount(values) / len(values)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def mutual_information(a: Array, b: Array) -> float:
    """Of whole numbers a, b (N,), in nats, less what as many bins show by chance (Miller 1955), never below 0."""
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)
    joint = table / len(a)
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    found = float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())
    chance = (np.count_nonzero(table.sum(1)) - 1) * (np.count_nonzero(table.sum(0)) - 1) / (2 * len(a))
    return max(0.0, found - chance)


def information(codes: Array, factors: Array) -> Array:
    """Mutual information of every axis with every factor as a share of the factor's entropy, (d, K), 0 to 1."""
    axes = [binned(column) for column in codes.T]
    found = np.zeros((codes.shape[1], factors.shape[1]))
    for k, column in enumerate(factors.T):
        factor = binned(column)
        whole = entropy(factor)
        if whole > 0:
            found[:, k] = [mutual_information(axis, factor) / whole for axis in axes]
    return found


def mig(table: Array) -> Array:
    """Mutual information gap of each factor (K,), from `information` (d, K): the best axis less the second.

    Chen et al. 2018, arXiv 1802.04942, equation 6; its mean over factors is the score.
    """
    first = np.sort(table, 0)[::-1]
    return first[0] - (first[1] if len(first) > 1 else 0)


def _threshold_accuracy(axis: Array, wanted: Array) -> float:
    """Balanced accuracy of the best threshold on one axis for labels (N,) of 0 and 1: a linear classifier in 1-D."""
    order = np.argsort(axis, kind="stable")
    sorted_axis, hit = axis[order], wanted[order].astype(np.float64)
    below = np.concatenate([[0], np.cumsum(hit)]) / max(hit.sum(), 1)
    others = np.concatenate([[0], np.cumsum(1 - hit)]) / max((1 - hit).sum(), 1)
    ends = np.concatenate([[True], sorted_axis[1:] > sorted_axis[:-1], [True]])  # no threshold between equal values
    return float(0.5 + 0.5 * np.abs(below - others)[ends].max())


def sap(codes: Array, factors: Array) -> Array:
    """Separated attribute predictability of each factor (K,): the best single axis less the second.

    Kumar et al. 2018, arXiv 1711.00848. Of a number an axis scores its squared correlation; of a few values the
    balanced accuracy of the best threshold, scaled so that chance is 0, averaged over the values.
    """
    scores = np.zeros((codes.shape[1], factors.shape[1]))
    centred = codes - codes.mean(0)
    for k, factor in enumerate(factors.T):
        if is_number(factor):
            target = factor - factor.mean()
            both = np.sqrt((centred**2).sum(0) * (target**2).sum())
            scores[:, k] = ((centred * target[:, None]).sum(0) / np.maximum(both, 1e-12)) ** 2
        else:
            values = np.unique(factor)
            values = values[1:] if len(values) == 2 else values
            for i, axis in enumerate(codes.T):
                found = [2 * _threshold_accuracy(axis, factor == value) - 1 for value in values]
                scores[i, k] = np.mean(found) if found else 0
    first = np.sort(scores, 0)[::-1]
    return first[0] - (first[1] if len(first) > 1 else 0)


def importance(
    codes: Array, factors: Array, seed: int = 0, tell: Callable[[float], None] = lambda share: None
) -> tuple[Array, Array]:
    """What a forest of trees looks at: (d, K), columns summing to 1; and how well it says each factor, (K,).

    The latter is R^2 of a number and balanced accuracy of a few values, scaled so that chance is 0, on a held-out
    third.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    rng = np.random.default_rng(seed)
    order = rng.permutation(len(codes))
    held, fit = order[: len(order) // 3], order[len(order) // 3 :]
    table, says = np.zeros((codes.shape[1], factors.shape[1])), np.zeros(factors.shape[1])
    settings: dict[str, Any] = dict(n_estimators=TREES, max_depth=DEPTH, random_state=seed, n_jobs=1)
    for k, factor in enumerate(factors.T):
        if is_number(factor):
            forest = RandomForestRegressor(max_features=0.5, **settings).fit(codes[fit], factor[fit])
            says[k] = forest.score(codes[held], factor[held])
        else:
            # every axis may be looked at in every split: with few of them drawn, forests spread over the useless ones
            forest = RandomForestClassifier(max_features=0.5, class_weight="balanced", **settings)
            forest.fit(codes[fit], factor[fit])
            guess, truth = forest.predict(codes[held]), factor[held]
            values = np.unique(truth)
            chance = 1 / max(2, len(values))
            right = np.mean([(guess[truth == value] == value).mean() for value in values])
            says[k] = (right - chance) / (1 - chance)
        table[:, k] = forest.feature_importances_
        tell((k + 1) / factors.shape[1])
    return table, np.clip(says, 0, 1)


def dci(table: Array, says: Array) -> dict[str, float | None]:
    """Disentanglement, completeness and informativeness, 0 to 1, from `importance`.

    Eastwood and Williams 2018, openreview By-7dz-AZ: 1 minus the entropy of an axis's importances over factors, weighted
    by how much the axis is used; 1 minus the entropy of a factor's importances over axes, averaged; mean of `says`.
    Disentanglement is None where there is one factor only, which an axis cannot mix with others.
    """

    def sharpness(parts: Array) -> Array:
        """1 minus the normalised entropy of each row."""
        share = parts / np.maximum(parts.sum(1, keepdims=True), 1e-12)
        chaos = -(share * np.log(np.maximum(share, 1e-12))).sum(1)
        return 1 - chaos / np.log(parts.shape[1])

    d, k = table.shape
    weight = table.sum(1) / max(table.sum(), 1e-12)
    return {
        "disentanglement": float((weight * sharpness(table)).sum()) if k > 1 else None,
        "completeness": float(sharpness(table.T).mean()) if d > 1 else None,
        "informativeness": float(says.mean()),
    }


def factors_of(labels: Array, names: tuple[str, ...]) -> tuple[Array, tuple[str, ...]]:
    """Labels (N, K) as factors: classes that exclude each other are one factor of many values; constant ones go."""
    labels = np.asarray(labels)
    if labels.shape[1] > 1 and (labels.sum(1) == 1).all():
        return labels.argmax(1)[:, None], ("Class",)
    varies = labels.std(0) > 0
    return labels[:, varies], tuple(name for name, keep in zip(names, varies) if keep)


def judged(
    codes: Array, factors: Array, names: tuple[str, ...], tell: Callable[[float], None] = lambda share: None
) -> dict[str, Any]:
    """All scores of codes (N, d) on factors (N, K), as plain values."""
    table = information(codes, factors)
    looks, says = importance(codes, factors, tell=tell)
    gaps, apart = mig(table), sap(codes, factors)
    return {
        "axes": codes.shape[1],
        "factors": [
            {
                "name": name,
                "mig": float(gaps[k]),
                "sap": float(apart[k]),
                "says": float(says[k]),
                "best": int(table[:, k].argmax()),
            }
            for k, name in enumerate(names)
        ],
        "information": table.tolist(),
        "mig": float(gaps.mean()),
        "sap": float(apart.mean()),
        **dci(looks, says),
    }
