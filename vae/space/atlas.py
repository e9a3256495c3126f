"""The map of codes: two-dimensional views that can be read backwards, selections, taught directions, paths.

A linear view (raw, principal or named axes) is exact both ways on the plane through the current code. UMAP and
t-SNE have no inverse: a place on them stands for a blend of the codes nearest to it. They are computed in a
process of their own (`python -m vae.space.atlas`) and kept on disk. NumPy and scikit-learn; no torch, no Streamlit.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.bundles.contract import BundleError
from vae.paths import ROOT, user_home
from vae.space import latent, taught

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

LINEAR = ("principal", "raw", "named")
SETTINGS = {"umap": (5, 15, 50), "tsne": (10, 30, 100)}  # neighbours, perplexity
DEFAULTS = {"umap": 15, "tsne": 30}
TITLES = {"principal": "PCA", "raw": "Raw dimensions", "named": "Named axes", "umap": "UMAP", "tsne": "t-SNE"}
TSNE_CODES = 10_000  # more codes are placed beside their nearest ones among these
BLEND = 6  # codes that a place on UMAP or t-SNE is blended from
PATHS = ("straight", "slerp", "dense")
FEW_CODES = 2000
EXACT_NEIGHBOURS = 30_000  # up to here UMAP is given all neighbours instead of searching for them
LANDMARKS = 10_000  # codes in the neighbour graph of a path along dense regions
READ_OUT_C = 0.02
TRAIN_SHARE = 0.6
MIN_TAUGHT = 5


class AtlasError(ValueError):
    """A view, a selection or a path that cannot be made; the message is one sentence for the user."""


# -- views ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """Which view: a kind, and two axis ids (linear kinds) or one setting (UMAP, t-SNE)."""

    kind: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return ":".join((self.kind, *self.arguments))

    @property
    def linear(self) -> bool:
        return self.kind in LINEAR


def parse(text: str) -> Spec:
    """ "principal:0:1", "named:Smiling:Male", "umap:15" ... -> Spec. Raises AtlasError."""
    kind, *arguments = text.split(":")
    if kind in LINEAR and len(arguments) == 2 and arguments[0] != arguments[1]:
        return Spec(kind, tuple(arguments))
    if kind in SETTINGS and len(arguments) == 1 and arguments[0] in map(str, SETTINGS[kind]):
        return Spec(kind, tuple(arguments))
    raise AtlasError(f"There is no view {text[:60]!r}; use one like principal:0:1, raw:3:7, umap:15 or tsne:30.")


@dataclass(frozen=True, eq=False)
class Linear:
    """Two read-outs of a code: xy = W (z - origin). D: (d, 2) with W @ D = 1, the steps that move x and y alone."""

    spec: Spec
    labels: tuple[str, str]
    unit: str
    W: Array = field(repr=False)
    D: Array = field(repr=False)
    origin: Array = field(repr=False)

    def project(self, z: Array) -> Array:
        """Codes (..., d) -> places (..., 2)."""
        return (np.asarray(z, np.float64) - self.origin) @ self.W.T

    def lift(self, xy: Array, z: Array) -> Array:
        """Places (..., 2) -> codes (..., d) on the plane through z: exactly there, the rest as in z."""
        return np.asarray(z, np.float64) + (np.asarray(xy, np.float64) - self.project(z)) @ self.D.T


@dataclass(frozen=True, eq=False)
class Placed:
    """A view without an inverse: a place (M, 2) for each code of the bundle."""

    spec: Spec
    xy: Array = field(repr=False)
    codes: Array = field(repr=False)
    shell: bool = False
    labels: tuple[str, str] = ("", "")
    unit: str = ""

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self.xy)

    def near(self, xy: Array, count: int = BLEND) -> tuple[Array, Array]:
        """Places (n, 2) -> indices (n, k) of the codes drawn nearest, and weights (n, k) that sum to 1."""
        distance, index = self._tree.query(np.atleast_2d(xy), min(count, len(self.xy)))
        distance, index = distance.reshape(len(index), -1), index.reshape(len(index), -1)
        # A code under the pointer counts alone; in the open, the nearest ones share.
        weight = 1 / (distance**2 + 1e-12 * (1 + self._tree.maxes.max() ** 2))
        return index, weight / weight.sum(1, keepdims=True)

    def lift(self, xy: Array, z: Array | None = None) -> Array:
        """Places (n, 2) -> codes (n, d), each a blend of the nearest; z is not used.

        Where codes lie on a shell the blend is brought back to it: an average falls inside, where nothing decodes.
        """
        index, weight = self.near(xy)
        near = self.codes[index].astype(np.float64)  # (n, k, d)
        blend = np.einsum("nk,nkd->nd", weight, near)
        if self.shell:
            length = (weight * np.linalg.norm(near, axis=2)).sum(1, keepdims=True)
            blend *= length / np.maximum(np.linalg.norm(blend, axis=1, keepdims=True), 1e-9)
        return blend

    def project(self, z: Array) -> Array:
        """Codes (..., d) -> places (..., 2) among the codes that are nearest in the latent space."""
        z = np.asarray(z, np.float64)
        index, distance = nearest(self.codes, z.reshape(-1, z.shape[-1]), 5)
        weight = 1 / (distance**2 + 1e-9)
        weight /= weight.sum(1, keepdims=True)
        return np.einsum("nk,nkc->nc", weight, self.xy[index]).reshape(*z.shape[:-1], 2)


def linear(bundle: Bundle, spec: Spec) -> Linear:
    """A linear view. Raw axes in plain latent units, the others in sigma around the mean. Raises AtlasError."""
    stats, bases = bundle.stats, latent.bases(bundle)
    if spec.kind not in bases:
        raise AtlasError(
            f"{bundle.name} has no {TITLES[spec.kind].lower()}; it has {', '.join(TITLES[b].lower() for b in bases)}."
        )
    basis = bases[spec.kind]
    try:
        rows = [basis.index(axis) for axis in spec.arguments]
    except latent.LatentError as error:
        raise AtlasError(str(error)) from None
    labels = tuple(basis.axes[row].label for row in rows)
    W, D = basis.W[rows], basis.D[rows].T  # (2, d), (d, 2)
    origin, unit = stats.mean, "\u03c3"
    if spec.kind == "raw":
        scale = np.array([np.maximum(stats.std[int(a)], 1e-6) for a in spec.arguments])
        W, D, origin, unit = W * scale[:, None], D / scale, np.zeros_like(stats.mean), ""
    cross = W @ D
    if np.linalg.cond(cross) > 1e3:
        raise AtlasError(
            f"{labels[0]} and {labels[1]} say nearly the same of a picture; choose two axes that differ more."
        )
    return Linear(spec, labels, unit, W, D @ np.linalg.inv(cross), origin)


def cache_file(bundle: Bundle, name: str) -> Path:
    """Where a result for this model is kept."""
    return user_home() / "cache" / f"atlas-{bundle.digest}-{name}.npz"


def read_cache(path: Path, shape: tuple[int, ...]) -> Array | None:
    """The array of a cache file, or None where it has to be made anew."""
    try:
        with np.load(path, allow_pickle=False) as data:
            values = data["values"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    fits = values.shape == shape and values.dtype.kind == "f" and np.isfinite(values).all()
    return values.astype(np.float32) if fits else None


_views: OrderedDict[tuple, Linear | Placed] = OrderedDict()
_views_lock = threading.Lock()


def view(bundle: Bundle, spec: Spec) -> Linear | Placed | None:
    """The view, or None where it has still to be computed (`Computation`). Raises AtlasError."""
    key = (str(bundle.path), bundle.digest, str(spec), taught.version(bundle) if spec.kind == "named" else "")
    with _views_lock:
        if key in _views:
            _views.move_to_end(key)
            return _views[key]
    if spec.linear:
        made: Linear | Placed = linear(bundle, spec)
    else:
        codes = bundle.codes.mu
        xy = read_cache(cache_file(bundle, "-".join((spec.kind, *spec.arguments))), (len(codes), 2))
        if xy is None:
            return None
        made = Placed(spec, xy.astype(np.float64), codes, bundle.stats.shell)
    with _views_lock:
        _views[key] = made
        while len(_views) > 32:
            _views.popitem(last=False)
    return made


def nearest(codes: Array, z: Array, count: int) -> tuple[Array, Array]:
    """Indices and Euclidean distances (n, k) of the codes (M, d) nearest to z (n, d), nearest first."""
    codes, z = np.asarray(codes, np.float32), np.atleast_2d(np.asarray(z, np.float32))
    count = min(count, len(codes))
    square = np.einsum("md,md->m", codes, codes)
    index = np.empty((len(z), count), np.int64)
    distance = np.empty((len(z), count), np.float64)
    for i in range(0, len(z), 512):
        part = z[i : i + 512]
        table = square - 2 * part @ codes.T  # (n, M), up to |z|^2
        best = np.argpartition(table, count - 1, axis=1)[:, :count]
        # Differences taken anew: the expansion above loses digits where two codes nearly agree.
        exact = np.linalg.norm(codes[best].astype(np.float64) - part[:, None], axis=2)
        order = np.argsort(exact, axis=1, kind="stable")
        index[i : i + 512] = np.take_along_axis(best, order, 1)
        distance[i : i + 512] = np.take_along_axis(exact, order, 1)
    return index, distance


def ellipse(view: Linear | Placed, mu: Array, logvar: Array, draws: int = 64) -> tuple[Array, bool]:
    """Covariance (2, 2) on the map of the posterior N(mu, diag(exp(logvar))), and whether it is exact.

    Without an exact projection it is that of some draws, each placed beside the codes nearest to it.
    """
    sigma = np.exp(0.5 * np.asarray(logvar, np.float64))
    if isinstance(view, Linear):
        spread = view.W * sigma
        return spread @ spread.T, True
    z = mu + sigma * np.random.default_rng(0).standard_normal((draws, len(sigma)))
    return np.cov(view.project(z).T), False


# -- what a code is coloured by ------------------------------------------------------------------------------------


def one_of(bundle: Bundle) -> bool:
    """Whether each code has exactly one of the labels: classes rather than attributes."""
    labels = bundle.codes.labels
    return labels.shape[1] > 1 and bool(((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all())


def kl(bundle: Bundle) -> Array:
    """KL of each code's posterior from N(0, I), nats (M,). Kingma and Welling 2014, arXiv 1312.6114, appendix B."""
    mu, logvar = bundle.codes.mu.astype(np.float64), bundle.codes.logvar.astype(np.float64)
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)


def plain(name: str) -> str:
    """A label as people write it."""
    return name.replace("_", " ")


def colour_options(bundle: Bundle) -> list[dict[str, str]]:
    """What `colours` takes: id, title and group of each."""
    names = bundle.codes.label_names
    found = [{"id": "none", "title": "One colour", "group": ""}]
    if one_of(bundle):
        found.append({"id": "class", "title": "Class", "group": ""})
    found += [{"id": "kl", "title": "KL of the code", "group": "Numbers"}]
    found += [
        {
            "id": "error",
            "title": "Reconstruction error" if has_error(bundle) else "Round-trip error",
            "group": "Numbers",
        }
    ]
    found += [{"id": "unusual", "title": "Distance from the mean", "group": "Numbers"}]
    if not one_of(bundle):
        found += [{"id": f"label:{i}", "title": plain(name), "group": "Labels"} for i, name in enumerate(names)]
    if "named" in (bases := latent.bases(bundle)):
        found += [{"id": f"axis:{axis.id}", "title": axis.label, "group": "Read-outs"} for axis in bases["named"].axes]
    return found


def has_error(bundle: Bundle) -> bool:
    """Whether the bundle says how far each reconstruction was from its picture."""
    error = getattr(bundle.codes, "error", None)
    return error is not None and len(error) == len(bundle.codes)


def colours(bundle: Bundle, by: str) -> dict[str, Any] | None:
    """How to colour the codes; None where the numbers have still to be computed. Raises AtlasError.

    kind "category": `values` (M,) index into `categories`; kind "number": `values` (M,) float32 with `unit`.
    """
    codes = bundle.codes
    zero = np.zeros(len(codes), np.uint8)
    if by == "none":
        return {"kind": "category", "title": "", "categories": ["Codes"], "values": zero}
    if by == "class" and one_of(bundle):
        names = [plain(name) for name in codes.label_names]
        return {
            "kind": "category",
            "title": "Class",
            "categories": names,
            "values": codes.labels.argmax(1).astype(np.uint8),
        }
    if by == "kl":
        return _numbers("KL of the code", "nats", kl(bundle))
    if by == "unusual":
        return _numbers("Distance from the mean", "\u03c3", latent.mahalanobis(codes.mu, bundle.stats))
    if by == "error":
        if has_error(bundle):
            return _numbers("Reconstruction error", "RMS of 255", np.asarray(codes.error))
        values = read_cache(cache_file(bundle, "error"), (len(codes),))
        return None if values is None else _numbers("Round-trip error", "RMS of 255", values)
    kind, _, name = by.partition(":")
    if kind == "label" and re.fullmatch(r"\d{1,6}", name) and int(name) < len(codes.label_names):
        values = codes.labels[:, int(name)]
        title = plain(codes.label_names[int(name)])
        if ((values == 0) | (values == 1)).all():
            categories = [f"without {title}", f"with {title}"]
            return {"kind": "category", "title": title, "categories": categories, "values": values.astype(np.uint8)}
        return _numbers(title, "", values)
    if kind == "axis" and "named" in (bases := latent.bases(bundle)) and name in {a.id for a in bases["named"].axes}:
        row = bases["named"].index(name)
        return _numbers(
            bases["named"].axes[row].label, "\u03c3", (codes.mu - bundle.stats.mean) @ bases["named"].W[row]
        )
    raise AtlasError(f"There is nothing called {by[:60]!r} to colour by; choose one that the map offers.")


def _numbers(title: str, unit: str, values: Array) -> dict[str, Any]:
    return {"kind": "number", "title": title, "unit": unit, "values": np.asarray(values, np.float32)}


# -- selections ----------------------------------------------------------------------------------------------------


def contact_sheet(mu: Array, chosen: Array, count: int) -> Array:
    """Indices of up to `count` of the chosen codes, spread evenly along the axis on which these differ most."""
    if len(chosen) <= 2:
        return chosen
    centred = mu[chosen].astype(np.float64)
    centred -= centred.mean(0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    order = chosen[np.argsort(centred @ axis, kind="stable")]
    return order[np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))]


@dataclass(frozen=True, eq=False)
class Selection:
    """What a set of codes has in common. spread: RMS distance from their mean, relative to that of all codes.

    mean: their mean code. Where codes lie on a shell, inside which nothing decodes, it is the code of the average
    picture, moved by how their mean differs from that of all codes.
    """

    count: int
    mean: Array = field(repr=False)
    std: Array = field(repr=False)
    spread: float
    sheet: Array = field(repr=False)
    rates: list[dict[str, Any]]


def summarise(bundle: Bundle, mask: Array, count: int = 24) -> Selection:
    """Statistics of the codes where mask (M,) is true; label rates against the whole, the most telling first.

    score of a rate: how many standard errors it lies from the rate of the whole. Raises AtlasError.
    """
    codes = bundle.codes
    chosen = np.flatnonzero(mask)
    if not len(chosen):
        raise AtlasError("There is no code in this selection; draw it around at least one dot.")
    mu = codes.mu[chosen].astype(np.float64)
    mean, std, stats = mu.mean(0), mu.std(0), bundle.stats
    if stats.shell:
        mean = stats.mean + mean - stats.centre
    whole = float(np.sqrt((stats.std**2).sum()))
    rates = []
    if codes.labels.shape[1]:
        inside, overall = (codes.labels[chosen] != 0).mean(0), (codes.labels != 0).mean(0)
        error = np.sqrt(np.maximum(overall * (1 - overall), 1e-9) / len(chosen))
        score = (inside - overall) / error
        rates = [
            {"name": plain(name), "rate": float(inside[k]), "whole": float(overall[k]), "score": float(score[k])}
            for k, name in enumerate(codes.label_names)
        ]
        rates.sort(key=lambda rate: -abs(rate["score"]))
    spread = float(np.sqrt((std**2).sum())) / max(whole, 1e-9)
    return Selection(len(chosen), mean, std, spread, contact_sheet(codes.mu, chosen, count), rates)


# -- taught directions ---------------------------------------------------------------------------------------------


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
        return _unit(self.w, bundle.stats.cov) @ bundle.stats.cov

    def taught(self, label: str) -> taught.Taught:
        """As it is saved. Raises taught.TaughtError for a name that cannot be used."""
        leaks = {title: round(value, 4) for _, title, value in self.leaks[:40]}
        names = {name: title for name, title, _ in self.leaks}
        removed = tuple(names.get(name, name) for name in self.removed)
        return taught.Taught(taught.check_label(label), self.w, self.auc, self.counts, removed, leaks)


def _unit(w: Array, cov: Array) -> Array:
    """Read-outs (..., d) scaled so that their values over the data have standard deviation 1."""
    return w / np.sqrt(np.einsum("...d,de,...e->...", w, cov, w))[..., None]


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
        return list(found.names), list(found.labels), _unit(np.asarray(found.w, np.float64), cov)
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
        W = _unit(np.array(rows), cov) if rows else np.zeros((0, bundle.latent_size))
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
    moved = W @ cov @ _unit(w, cov)  # (k,)
    leaks = sorted(
        ((name, text, float(v)) for name, text, v in zip(names, labels, moved)), key=lambda leak: -abs(leak[2])
    )
    return Lesson(w, after, before, counts, int(train.sum()), int((~train).sum()), leaks, tuple(dict.fromkeys(remove)))


# -- paths ---------------------------------------------------------------------------------------------------------

_graphs: OrderedDict[str, tuple[Array, Any]] = OrderedDict()
_graphs_lock = threading.Lock()


def _graph(bundle: Bundle, neighbours: int = 12) -> tuple[Array, Any]:
    """Landmark codes (m, d) and the sparse graph of their nearest neighbours, an edge weighing length^3.

    The power makes many short steps cheaper than one long one, so that shortest paths stay where codes are dense
    (Fermat distance; Groisman, Jonckheere and Sapienza 2022, arXiv 1810.09398).
    """
    from scipy.sparse import csr_matrix

    key = f"{bundle.path}:{bundle.digest}"
    with _graphs_lock:
        if key not in _graphs:
            mu = bundle.codes.mu
            if len(mu) > LANDMARKS:
                mu = mu[np.random.default_rng(0).permutation(len(mu))[:LANDMARKS]]
            index, distance = nearest(mu, mu, neighbours + 1)
            rows = np.repeat(np.arange(len(mu)), index.shape[1])
            weight = np.maximum(distance.ravel(), 1e-6) ** 3
            keep = rows != index.ravel()
            graph = csr_matrix((weight[keep], (rows[keep], index.ravel()[keep])), shape=(len(mu), len(mu)))
            _graphs[key] = mu, graph.maximum(graph.T)
            while len(_graphs) > 4:
                _graphs.popitem(last=False)
        return _graphs[key]


def _along(points: Array, count: int) -> Array:
    """`count` codes at even steps along a polyline (n, d)."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    at = np.concatenate([[0], np.cumsum(steps)])
    if at[-1] < 1e-12:
        return np.repeat(points[:1], count, axis=0)
    t = np.linspace(0, at[-1], count)
    segment = np.clip(np.searchsorted(at, t, side="right") - 1, 0, len(steps) - 1)
    share = (t - at[segment]) / np.maximum(steps[segment], 1e-12)
    return points[segment] + share[:, None] * (points[segment + 1] - points[segment])


def _dense(bundle: Bundle, a: Array, b: Array, count: int) -> Array:
    """Codes (count, d) from a to b, led past the codes of the cheapest path in the graph, corners rounded."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.sparse.csgraph import dijkstra

    mu, graph = _graph(bundle)
    (from_index, to_index), (from_far, to_far) = nearest(mu, np.stack([a, b]), 8)
    cost, before = dijkstra(graph, indices=from_index, return_predecessors=True)
    total = from_far[:, None] ** 3 + cost[:, to_index] + to_far[None] ** 3  # (8, 8)
    start, end = np.unravel_index(np.argmin(total), total.shape)
    if not np.isfinite(total[start, end]):
        raise AtlasError("No chain of near codes joins these places; choose stops in one part of the map.")
    nodes = [to_index[end]]
    while nodes[-1] != from_index[start]:
        nodes.append(before[start, nodes[-1]])
    line = np.concatenate([a[None], mu[nodes[::-1]].astype(np.float64), b[None]])
    fine = _along(line, 257)
    # Smoothed over one node's length, less and less towards the ends, which must stay where they are.
    smooth = gaussian_filter1d(fine, 0.5 * 256 / (len(line) - 1), axis=0, mode="nearest")
    hold = np.clip(np.minimum(np.arange(257), np.arange(257)[::-1]) / (256 / (len(line) - 1)), 0, 1)[:, None]
    return _along(fine + hold * (smooth - fine), count)


def path(bundle: Bundle, stops: Array, kind: str, frames: int) -> tuple[Array, Array]:
    """Codes (frames, d) float32 through the stops (n, d), and how unusual each is: its distance in sigma (frames,).

    kind: "straight", "slerp" (great arcs), or "dense" (past other codes, where there are many). Raises AtlasError.
    """
    stops = np.asarray(stops, np.float64)
    if kind not in PATHS:
        raise AtlasError(f"There is no path {str(kind)[:40]!r}; use one of {', '.join(PATHS)}.")
    if not 2 <= len(stops) <= 24:
        raise AtlasError(f"A path has 2 to 24 stops, and this one has {len(stops)}; add or remove some.")
    if not len(stops) <= frames <= 480:
        raise AtlasError(f"A path of {len(stops)} stops has {len(stops)} to 480 frames, and not {frames}.")
    legs = len(stops) - 1
    # Frames shared out over the legs; each stop is a frame of its own.
    marks = np.linspace(0, frames - 1, legs + 1).round().astype(int)
    z = np.empty((frames, stops.shape[1]))
    for leg, (first, last) in enumerate(itertools.pairwise(marks)):
        a, b, count = stops[leg], stops[leg + 1], last - first + 1
        t = np.linspace(0, 1, count)[:, None]
        if kind == "dense":
            z[first : last + 1] = _dense(bundle, a, b, count)
        else:
            z[first : last + 1] = (latent.slerp if kind == "slerp" else latent.lerp)(a, b, t)
    return z.astype(np.float32), latent.mahalanobis(z, bundle.stats)


# -- what takes long: in a process of its own ----------------------------------------------------------------------


class Computation:
    """UMAP, t-SNE or round-trip errors of one model, in a process; the result lies in the cache when it ends well."""

    def __init__(self, bundle: Bundle, name: str):
        self.bundle_path, self.name = bundle.path, name
        self.target = cache_file(bundle, name)
        self.progress, self.stage, self.state, self.error = 0.0, "Starting", "running", ""
        self.started = time.monotonic()
        # Threads that wait must not spin: the pages need the cores. For few codes one thread is the fastest.
        threads = {"OMP_NUM_THREADS": "1"} if len(bundle.codes) <= FEW_CODES else {}
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            **threads,
        }
        command = [sys.executable, "-m", "vae.space.atlas", name, str(bundle.path), str(self.target)]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._tail: list[str] = []
        # Drained beside stdout: a full pipe would stop the process.
        self._errors = threading.Thread(target=self._listen, daemon=True)
        self._errors.start()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for line in self._process.stderr:
            self._tail = [*self._tail, line.strip()][-20:]

    def _follow(self) -> None:
        for line in self._process.stdout:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                told = json.loads(line)
                self.progress, self.stage = max(self.progress, float(told["progress"])), str(told["stage"])
        code = self._process.wait()
        self._errors.join(5)
        if self.state == "cancelled":
            return
        if code == 0 and self.target.is_file():
            self.progress, self.state = 1.0, "done"
        else:
            self.state = "failed"
            last = next((line for line in reversed(self._tail) if line), f"it ended with status {code}")
            self.error = (
                f"The computation of {self.name} failed ({last[:160].rstrip('.')}); try again, or choose another view."
            )

    def cancel(self) -> None:
        """End it; the cache keeps nothing of it."""
        if self.state == "running":
            self.state = "cancelled"
            self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> str:
        """The state after the end, or after `timeout` seconds."""
        self._thread.join(timeout)
        return self.state

    def report(self) -> dict[str, Any]:
        """For the page: state, progress from 0 to 1, stage, seconds so far, error."""
        seconds = round(time.monotonic() - self.started, 1)
        return {
            "state": self.state,
            "progress": round(self.progress, 3),
            "stage": self.stage,
            "seconds": seconds,
            "error": self.error,
        }


_running: dict[str, Computation] = {}
_running_lock = threading.Lock()


def compute(bundle: Bundle, name: str) -> Computation:
    """Start a computation ("umap-15", "tsne-30", "error"), or join the one that runs. Raises AtlasError."""
    kind, _, setting = name.partition("-")
    if not (name == "error" or (kind in SETTINGS and setting in map(str, SETTINGS[kind]))):
        raise AtlasError(f"There is no computation {name[:60]!r}; choose a view that the map offers.")
    if kind in SETTINGS and len(bundle.codes) < 10:
        raise AtlasError(f"{bundle.name} holds {len(bundle.codes)} codes, too few for {TITLES[kind]}; use PCA.")
    key = str(cache_file(bundle, name))
    with _running_lock:
        found = _running.get(key)
        if found is None or found.state != "running":
            if sum(job.state == "running" for job in _running.values()) >= 2:
                raise AtlasError("Two computations run already; wait for one of them, or cancel it.")
            found = _running[key] = Computation(bundle, name)
        return found


def computation(bundle: Bundle, name: str) -> Computation | None:
    """The computation of this name that runs or has ended in this process, if any."""
    return _running.get(str(cache_file(bundle, name)))


def close() -> None:
    """End every computation that still runs."""
    for job in list(_running.values()):
        job.cancel()


def _tell(progress: float, stage: str) -> None:
    print(json.dumps({"progress": round(progress, 4), "stage": stage}), file=sys.__stdout__, flush=True)


class _Reader(io.TextIOBase):
    """A text stream that turns what a library prints into progress."""

    def __init__(self, pattern: str, total: float, stage: str, low: float, high: float):
        self.pattern, self.total, self.stage, self.low, self.high = re.compile(pattern), total, stage, low, high

    def write(self, text: str) -> int:
        for number in self.pattern.findall(text):
            _tell(self.low + (self.high - self.low) * min(1.0, float(number) / self.total), self.stage)
        return len(text)


def _reduce(mu: Array) -> Array:
    """At most 50 principal coordinates (M, p), which hold nearly all that neighbours depend on."""
    x = mu.astype(np.float64) - mu.mean(0)
    if x.shape[1] <= 50:
        return x.astype(np.float32)
    vectors = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :50]
    return (x @ vectors).astype(np.float32)


def _start(x: Array) -> Array:
    """A first layout (M, 2): the two widest axes, small; it keeps the large shape and makes runs repeatable."""
    vectors = np.linalg.eigh(x.T.astype(np.float64) @ x)[1][:, ::-1]
    first = x @ vectors[:, :2] if x.shape[1] > 1 else np.concatenate([x, np.zeros_like(x)], 1)
    return (first / max(float(first[:, 0].std()), 1e-9)).astype(np.float32)


def umap_layout(mu: Array, neighbours: int) -> Array:
    """UMAP (M, 2) of codes (M, d). McInnes, Healy and Melville 2018, arXiv 1802.03426."""
    _tell(0.02, "Loading UMAP")
    import umap

    _tell(0.1, "Finding neighbours")
    x = _reduce(mu)
    neighbours, epochs, known = min(neighbours, len(x) - 1), 400 if len(x) <= 20_000 else 200, (None, None)
    if len(x) <= EXACT_NEIGHBOURS:  # exact, and without the minute that compiling the approximate search takes
        known = nearest(x, x, neighbours)
        known = known[0].astype(np.int32), known[1].astype(np.float32)
    reader = _Reader(r"(\d+)%\|", 100, "Laying out", 0.3, 0.99)
    model = umap.UMAP(
        n_neighbors=neighbours,
        min_dist=0.1,
        precomputed_knn=known,
        init=10 * _start(x),
        n_epochs=epochs,
        # One seed means one thread; with very many codes the minutes saved count for more.
        random_state=0 if known[0] is not None else None,
        n_jobs=1 if known[0] is not None else -1,
        verbose=True,
        tqdm_kwds={"file": reader, "mininterval": 0.2, "bar_format": "{percentage:3.0f}%|"},
    )
    with contextlib.redirect_stdout(io.StringIO()):
        return np.asarray(model.fit_transform(x), np.float32)


def tsne_layout(mu: Array, perplexity: int) -> Array:
    """t-SNE (M, 2) of codes (M, d). van der Maaten and Hinton 2008, JMLR 9; beyond 10,000, placed by neighbours."""
    _tell(0.02, "Finding neighbours")
    from sklearn.manifold import TSNE

    x = _reduce(mu)
    order = np.random.default_rng(0).permutation(len(x))
    chosen = np.sort(order[:TSNE_CODES])
    part = x[chosen]
    model = TSNE(
        perplexity=min(perplexity, (len(part) - 1) / 3),
        init=1e-4 * _start(part),
        learning_rate="auto",
        random_state=0,
        verbose=2,
        n_jobs=-1,
        max_iter=1000,
    )
    with contextlib.redirect_stdout(_Reader(r"Iteration (\d+)", 1000, "Laying out", 0.1, 0.97)):
        xy = np.asarray(model.fit_transform(part), np.float32)
    if len(chosen) == len(x):
        return xy
    _tell(0.97, "Placing the others")
    index, distance = nearest(part, x, 4)
    weight = 1 / (distance**2 + 1e-9)
    weight /= weight.sum(1, keepdims=True)
    every = np.einsum("nk,nkc->nc", weight, xy[index]).astype(np.float32)
    every[chosen] = xy
    return every


def round_trip(bundle: Bundle) -> Array:
    """RMS difference (M,), of 255, between each code's picture and the picture of that picture's own code.

    The bundle holds no photos, so this stands in for the reconstruction error where it stores none.
    """
    mu, errors = bundle.codes.mu, []
    for i in range(0, len(mu), 32):
        picture = bundle.decode(mu[i : i + 32])
        z, _, delta = bundle.encode_with_offsets(picture)
        again = bundle.decode(z, delta)
        difference = picture.astype(np.float32) - again
        errors.append(np.sqrt((difference**2).mean((1, 2, 3))))
        _tell(min(1.0, (i + 32) / len(mu)), "Decoding, encoding and decoding again")
    return np.concatenate(errors)


def main(arguments: Sequence[str]) -> int:
    """`python -m vae.space.atlas NAME BUNDLE TARGET`: compute, tell the progress on stdout, write the cache file."""
    from vae.bundles.bundle import open_bundle

    name, source, target = arguments
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)  # the page that waits comes first
    try:
        bundle = open_bundle(source)
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    kind, _, setting = name.partition("-")
    makers: dict[str, Callable[[], Array]] = {
        "umap": lambda: umap_layout(bundle.codes.mu, int(setting)),
        "tsne": lambda: tsne_layout(bundle.codes.mu, int(setting)),
        "error": lambda: round_trip(bundle),
    }
    values = makers[kind]()
    if not np.isfinite(values).all():
        print("a place is not a finite number", file=sys.stderr)
        return 1
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, values=values.astype(np.float32))
    part.replace(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
