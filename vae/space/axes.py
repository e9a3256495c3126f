"""Axes to move codes along, in the bases that they form: raw, principal, named and taught ones. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.config import COLLAPSED_NATS
from vae.space import taught
from vae.space.errors import LatentError
from vae.space.ways import Way, ways_of

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.bundles.contents import Stats

Array = np.ndarray

# Named axes in the order in which people look for them; a group that is not listed comes last.
WAYS = "Found without labels"
GROUPS = ("Expression", "Pose", "Hair", "Eyes", "Beard", "Worn", "Skin", "Light", "Background", "Person", "")


@dataclass(frozen=True)
class Axis:
    """One slider. id: stable in links and in data-axis; detail: a sentence; score: AUC, correlation, nats or share.

    reach: the value at its ends, where it has ends of its own.
    """

    id: str
    label: str
    detail: str
    group: str = ""
    score: float | None = None
    collapsed: bool = False
    reach: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Basis:
    """A set of axes in sigma units: value s = W @ (z - mean); a step Delta on axis k is z += Delta * D[k].

    W, D: (k, d) float64 with W[k] @ D[k] = 1. The first len(ways) axes are curves: W and D of these only come near.
    """

    name: str
    title: str
    axes: tuple[Axis, ...]
    W: Array = field(repr=False)
    D: Array = field(repr=False)
    ways: tuple[Way, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.axes)

    def index(self, axis_id: str) -> int:
        """Row of an axis id. Raises LatentError."""
        for i, axis in enumerate(self.axes):
            if axis.id == axis_id:
                return i
        raise LatentError(f"There is no axis {axis_id!r} in the basis {self.name!r}; choose one that the page lists.")

    def values(self, z: Array, mean: Array) -> Array:
        """Slider values (..., k) of codes z (..., d), in sigma."""
        found = (np.asarray(z, np.float64) - mean) @ self.W.T
        for k, way in enumerate(self.ways):
            found[..., k] = way.value(z)
        return found


def raw_basis(stats: Stats) -> Basis:
    """The latent dimensions themselves, most informative first, in units of their own spread over the data."""
    order = np.argsort(-stats.kl, kind="stable")
    spread = np.maximum(stats.std, 1e-6)
    axes = []
    for i in order:
        collapsed = bool(stats.kl[i] < COLLAPSED_NATS)
        detail = f"Dimension {i} carries {stats.kl[i]:.2f} nats about a picture"
        detail += f", under {COLLAPSED_NATS} nats: it hardly changes anything." if collapsed else "."
        axes.append(Axis(str(i), f"z {i}", detail, "collapsed" if collapsed else "", float(stats.kl[i]), collapsed))
    unit = np.eye(len(order))[order]
    return Basis("raw", "Raw dimensions", tuple(axes), unit / spread[order][:, None], unit * spread[order][:, None])


def principal_basis(stats: Stats) -> Basis:
    """Principal axes of the codes, largest variance first, each in units of its standard deviation."""
    variance = np.maximum(stats.eigenvalues, 1e-12)
    share = variance / variance.sum()
    axes = tuple(
        Axis(
            str(i),
            f"PC {i + 1}",
            f"Principal axis {i + 1} holds {100 * part:.1f} % of the spread of the codes.",
            "",
            float(part),
        )
        for i, part in enumerate(share)
    )
    vectors, sigma = stats.eigenvectors.T, np.sqrt(variance)[:, None]
    return Basis("principal", "Principal axes", axes, vectors / sigma, vectors * sigma)


def in_sigma(w: Array, cov: Array) -> Array:
    """Read-outs (..., d) scaled so that their values over the data have standard deviation 1."""
    return w / np.sqrt(np.einsum("...d,de,...e->...", w, cov, w))[..., None]


def with_ways(basis: Basis | None, ways: Any, stats: Stats) -> Basis:
    """A basis with a bundle's curves before its axes; read-outs of a factor that a curve follows are left out.

    ways: vae.bundles.contents.Ways. basis: named directions, or None.
    """
    axes = []
    for name, label, follows, ends, score, agrees in zip(
        ways.names, ways.labels, ways.follows, ways.ends, ways.score, ways.agrees
    ):
        detail = (
            f"The longest way that the codes go, a curve with {100 * score:.0f} % of their spread, found without labels"
        )
        detail += f"; held against the factors afterwards, correlation {agrees:.3f}." if follows else "."
        axes.append(Axis(name, label, detail, WAYS, float(score), reach=float(np.abs(ends).max())))
    W = in_sigma(np.asarray(ways.w, np.float64), stats.cov)
    D = W @ stats.cov
    if basis is not None:
        keep = [k for k, axis in enumerate(basis.axes) if axis.label not in ways.follows]
        axes += [basis.axes[k] for k in keep]
        W, D = np.concatenate([W, basis.W[keep]]), np.concatenate([D, basis.D[keep]])
    return Basis("named", "Named directions", tuple(axes), W, D, ways_of(ways))


def named_basis(stats: Stats, directions: Any) -> Basis:
    """Read-outs of labels and measurements, moved along cov @ w so that other traits follow as in the data.

    By group, and the best read-out of each group first; groups of no name keep the bundle's order.
    """
    w = np.asarray(directions.w, np.float64)
    axes = []
    for k, name in enumerate(directions.names):
        label, score = str(directions.labels[k]), float(directions.score[k])
        measured = directions.kind[k] == "measured"
        figure = f"held-out correlation {score:.2f}" if measured else f"held-out AUC {score:.3f}"
        others = [(abs(v), j) for j, v in enumerate(directions.leaks[k]) if j != k and abs(v) >= 0.3]
        words = [f"{directions.labels[j]} {directions.leaks[k][j]:+.1f}" for _, j in sorted(others, reverse=True)[:3]]
        drags = f"; one sigma also moves {', '.join(words)} sigma" if words else "; it moves little else"
        source = "Measured in the pixels" if measured else "As labelled in the data"
        axes.append(Axis(str(name), label, f"{source}, {figure}{drags}.", str(directions.group[k]), score))
    rank = {group: n for n, group in enumerate(GROUPS)}
    order = sorted(
        range(len(axes)), key=lambda k: (rank.get(axes[k].group, len(rank)), -axes[k].score if axes[k].group else 0)
    )
    W, D = w, directions.moves(stats.cov)
    if directions.steps is None:  # others are in sigma already, of the pictures that they are read in
        W = in_sigma(w, stats.cov)
        D = W @ stats.cov
    D = D / (W * D).sum(1)[:, None]
    return Basis("named", "Named directions", tuple(axes[k] for k in order), W[order], D[order])


def taught_basis(stats: Stats, own: Sequence[Any], known: Basis | None) -> Basis:
    """The user's own directions, before those of the bundle where it has any; moved in the same way."""
    w = np.array([direction.w for direction in own])
    axes = tuple(Axis(direction.id, direction.label, direction.detail, "Taught", direction.auc) for direction in own)
    W = in_sigma(w, stats.cov)
    D = W @ stats.cov
    if known is None:
        return Basis("named", "Named directions", axes, W, D)
    curves = len(known.ways)  # they stay the first
    axes = (*known.axes[:curves], *axes, *known.axes[curves:])
    W, D = (np.concatenate([old[:curves], new, old[curves:]]) for old, new in ((known.W, W), (known.D, D)))
    return Basis("named", "Named directions", axes, W, D, known.ways)


def bases(bundle: Bundle) -> dict[str, Basis]:
    """The bases by name, in the order in which to offer them; "named" where the bundle or the user has directions."""
    stats = bundle.stats
    found = {"raw": raw_basis(stats), "principal": principal_basis(stats)}
    if bundle.directions is not None:
        found["named"] = named_basis(stats, bundle.directions)
    if bundle.ways is not None:
        found["named"] = with_ways(found.get("named"), bundle.ways, stats)
    if own := taught.load(bundle):
        found["named"] = taught_basis(stats, own, found.get("named"))
    return found


def step(basis: Basis, k: int, locks: Array | None = None, cov: Array | None = None) -> Array:
    """Direction D' (d,) that moves axis k by one sigma and leaves the locked read-outs (m, d) where they are.

    D' = D_k - C W' (W C W')^-1 W D_k, rescaled to W_k D' = 1. Raises LatentError where the locks span the axis.
    """
    direction = basis.D[k]
    if locks is None or len(locks) == 0:
        return direction
    locks = np.atleast_2d(np.asarray(locks, np.float64))
    carried = locks @ cov  # (m, d)
    gram = carried @ locks.T
    gain = np.linalg.pinv(gram, rcond=1e-9, hermitian=True) @ (locks @ direction)
    free = direction - carried.T @ gain
    reach = float(basis.W[k] @ free)
    if reach < 1e-3:
        label = basis.axes[k].label
        raise LatentError(f"{label} cannot move while the locked axes hold all of it; unlock one of them.")
    return free / reach


def move(
    z: Array, mean: Array, basis: Basis, k: int, value: float, locks: Array | None = None, cov: Array | None = None
) -> Array:
    """Code(s) z (..., d) with axis k at exactly `value` sigma; locked read-outs W (m, d) keep their values.

    A curve goes no further than its ends.
    """
    z = np.asarray(z, np.float64)
    if k < len(basis.ways):
        return held(z, basis.ways[k].moved(z, value), locks, cov)
    current = (z - mean) @ basis.W[k]
    return z + np.multiply.outer(value - current, step(basis, k, locks, cov))


def held(before: Array, z: Array, locks: Array | None, cov: Array | None) -> Array:
    """The codes nearest to z (..., d) in the data's metric that have the locked read-outs (m, d) of `before`."""
    if locks is None or len(locks) == 0:
        return z
    locks = np.atleast_2d(np.asarray(locks, np.float64))
    carried = locks @ cov
    gain = np.linalg.pinv(carried @ locks.T, rcond=1e-9, hermitian=True)
    return z + (before - z) @ locks.T @ gain @ carried


def traversal_codes(bundle: Bundle, basis: Basis, sigma: float = 3.0) -> Array:
    """Codes (k, 2, d) float32: the mean code at -sigma and at +sigma on each axis, for the pictures at slider ends.

    Of a curve: at its ends.
    """
    ends = np.array([-sigma, sigma])[None, :, None]
    codes = bundle.stats.mean + ends * basis.D[:, None, :]
    for k, way in enumerate(basis.ways):
        codes[k] = way.moved(bundle.stats.mean, np.array([way.low, way.high]))
    return codes.astype(np.float32)
