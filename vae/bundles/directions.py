"""Named directions: read-outs of labels and of measurements from the codes, those that hold on codes kept back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vae.bundles.encoding import evenly

if TYPE_CHECKING:
    from vae.data.imageset import ImageSet

Array = np.ndarray

# The read-outs of labels: logistic regression, as strongly regularised as codes of 128 numbers need.
LOGISTIC_C, RIDGE_ALPHA, READ_OUT_CODES = 0.02, 100.0, 6000
LEAST_AUC, LEAST_CORRELATION, LEAST_EXAMPLES = 0.8, 0.7, 20
# Labels that judge, or say what people find beautiful, are no sliders.
OMIT = ("Attractive", "Big_Nose", "Big_Lips", "Chubby", "Double_Chin")
GROUPS = {
    "Expression": ("Smiling", "Mouth_Slightly_Open", "High_Cheekbones"),
    "Hair": ("Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Receding_Hairline", "Sideburns",
             "Straight_Hair", "Wavy_Hair"),
    "Beard": ("5_o_Clock_Shadow", "Goatee", "Mustache", "No_Beard"),
    "Skin": ("Pale_Skin", "Rosy_Cheeks"),
    "Eyes": ("Arched_Eyebrows", "Bushy_Eyebrows", "Bags_Under_Eyes", "Narrow_Eyes"),
    "Worn": ("Eyeglasses", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie",
             "Heavy_Makeup"),
    "Person": ("Male", "Young"),
}  # fmt: skip
AS_LABELLED = ("Male", "Young", "Pale_Skin", "High_Cheekbones")


@dataclass(frozen=True)
class Reading:
    """What may become a direction: a factor, by its place, read in the pictures that show it in one way.

    seen, test_seen: which these are, bool (M,) and (T,); None where all do.
    """

    name: str
    factor: int
    seen: Array | None = None
    test_seen: Array | None = None

    def shown(self, values: Array, test_values: Array, rows: Array | slice = slice(None)) -> tuple[Array, Array]:
        """What of values (M, ...) and test values (T, ...) is of pictures that show it; rows: of M, where values have some."""
        if self.seen is None:
            return values, test_values
        return values[self.seen[rows]], test_values[self.test_seen]


@dataclass(frozen=True)
class Exact:
    """Factors that are known exactly: values (M, F) of the training pictures and (T, F) of the test pictures."""

    names: Sequence[str]
    units: Sequence[str]
    values: Array
    test_values: Array
    readings: Sequence[Reading]


def _spoken(name: str, known: bool) -> str:
    """What people read for a label; CelebA's names are set in sentence case."""
    words = name.replace("_", " ")
    if known:
        words = words.replace("5 o Clock", "Five-o'clock").replace("Gray", "Grey").capitalize()
    return words + (" (as labelled)" if name in AS_LABELLED else "")


def directions(
    mu: Array,
    cov: Array,
    labels: Array,
    names: Sequence[str],
    test_mu: Array,
    test_labels: Array,
    measured: tuple[tuple[Array, Array], tuple[Array, Array]] | None = None,
    exact: Exact | None = None,
    used: Array | None = None,
) -> dict[str, Array] | None:
    """The arrays of directions.npz: read-outs that hold on the test codes; None where there is none.

    measured: measures and surroundings of the training pictures, and of the test pictures (vae.measures.measure).
    exact: factors that are known of the pictures. used: bool (d,), the numbers that a read-out may use; the others tell
    of the picture too, faintly, but the decoder does not listen to them, so that no slider can go by them.
    A read-out of pictures that are but a part is in sigma of that part, and moves along the covariance there: `steps`.
    """  # fmt: skip
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.metrics import roc_auc_score

    rows = evenly(len(mu), READ_OUT_CODES)
    heard = 1.0 if used is None else used.astype(np.float64)
    mu, test_mu = mu[rows] * heard, test_mu * heard
    group_of = {name: group for group, members in GROUPS.items() for name in members}
    found: list[tuple[str, str, str, str, float, Array]] = []
    for k, name in enumerate(names):
        y, truth = labels[rows, k], test_labels[:, k]
        if min(y.sum(), len(y) - y.sum(), truth.sum(), len(truth) - truth.sum()) < LEAST_EXAMPLES:
            continue
        w = LogisticRegression(C=LOGISTIC_C, class_weight="balanced", max_iter=2000).fit(mu, y).coef_[0]
        score = roc_auc_score(truth, test_mu @ w)
        if score >= LEAST_AUC:
            found.append((slug(name), _spoken(name, name in group_of), "label", group_of.get(name, ""), score, w))
    if measured is not None:
        from vae.measures import MEASURES

        (values, around), (test_values, test_around) = measured
        for k, item in enumerate(MEASURES):
            y, truth = values[rows, k], test_values[:, k]
            if item.alone:
                others = LinearRegression().fit(around[rows], y)
                y, truth = y - others.predict(around[rows]), truth - others.predict(test_around)
            w = Ridge(alpha=RIDGE_ALPHA).fit(mu, y).coef_
            score = np.corrcoef(test_mu @ w, truth)[0, 1]
            if score >= LEAST_CORRELATION:
                found.append((item.id, item.label, "measured", item.group, score, w))
    around: dict[int, Array] = {}  # the covariance of the codes that show what a direction reads, where not all do
    for reading in exact.readings if exact is not None else ():
        x, test_x = reading.shown(mu, test_mu, rows)
        y, truth = reading.shown(exact.values[rows, reading.factor], exact.test_values[:, reading.factor], rows)
        if min(len(y), len(truth)) < LEAST_EXAMPLES or min(y.std(), truth.std()) < 1e-9:
            continue
        w = Ridge(alpha=1.0).fit(x, (y - y.mean()) / y.std()).coef_
        score = np.corrcoef(test_x @ w, truth)[0, 1]
        if score >= LEAST_CORRELATION:
            if reading.seen is not None:
                around[len(found)] = np.cov(x.T)
            found.append((slug(reading.name), reading.name, "measured", "Exact factors", score, w))
    if not found:
        return None
    w = np.array([row[5] for row in found])
    covs = [around.get(k, cov) for k in range(len(w))]
    w /= np.sqrt([v @ c @ v for v, c in zip(w, covs)])[:, None]  # read-outs in sigma
    steps = np.array([c @ v for v, c in zip(w, covs)])
    texts = {key: np.array([row[i] for row in found]) for i, key in enumerate(("names", "labels", "kind", "group"))}
    own = {"steps": steps.astype(np.float32)} if around else {}
    return {
        **texts,
        "score": np.array([row[4] for row in found]),
        "w": w.astype(np.float32),
        "leaks": steps @ w.T,
        **own,
    }


def slug(name: str) -> str:
    """A label as an id: letters, digits, '-' and '_'."""
    text = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name).strip("_-")
    return (text or f"label_{hashlib.sha256(name.encode()).hexdigest()[:6]}")[:64]


def measured_of(*sets: ImageSet) -> tuple[tuple[Array, Array], ...]:
    """Measures and surroundings (vae.measures.measure) of each set's pictures."""
    from vae.measures import measure

    found = []
    for data in sets:
        parts = [measure(images) for images in data.batches(512)]
        found.append((np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])))
    return tuple(found)
