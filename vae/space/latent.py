"""Geometry of codes: interpolation, axes to move along, draws from the prior, packing into a link. NumPy only."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.bundles.contents import Stats

Array = np.ndarray

COLLAPSED_NATS = 0.05  # a dimension that carries less says nothing about the picture
PACK_RANGE = 8.0  # standard deviations covered by the fixed-point numbers of a packed code
MAX_COUNT = 4096
# Named axes in the order in which people look for them; a group that is not listed comes last.
GROUPS = ("Expression", "Pose", "Hair", "Eyes", "Beard", "Worn", "Skin", "Light", "Background", "Person", "")


class LatentError(ValueError):
    """A code, an axis or a number that cannot be used; the message is one sentence for the user."""


def lerp(a: Array, b: Array, t: float | Array) -> Array:
    """Straight line from a (t = 0) to b (t = 1)."""
    return a + (b - a) * t


def slerp(a: Array, b: Array, t: float | Array) -> Array:
    """Great arc from a (..., d) to b (..., d) at t, lengths interpolated too; codes in a Gaussian live on shells.

    t: number, or array that broadcasts against (..., 1). Falls back to the straight line where a and b are
    parallel, opposite or zero. Shoemake 1985, doi 10.1145/325165.325242.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    length_a, length_b = (np.linalg.norm(v, axis=-1, keepdims=True) for v in (a, b))
    tiny = np.finfo(np.float64).tiny
    unit_a, unit_b = a / np.maximum(length_a, tiny), b / np.maximum(length_b, tiny)
    angle = np.arccos(np.clip((unit_a * unit_b).sum(-1, keepdims=True), -1, 1))
    sine = np.sin(angle)
    safe = np.where(sine > 1e-6, sine, 1)
    unit = (np.sin((1 - t) * angle) * unit_a + np.sin(t * angle) * unit_b) / safe
    return np.where(sine > 1e-6, unit * lerp(length_a, length_b, t), lerp(a, b, t))


@dataclass(frozen=True)
class Axis:
    """One slider. id: stable in links and in data-axis; detail: a sentence; score: AUC, correlation, nats or share."""

    id: str
    label: str
    detail: str
    group: str = ""
    score: float | None = None
    collapsed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Basis:
    """A set of axes in sigma units: value s = W @ (z - mean); a step Delta on axis k is z += Delta * D[k].

    W, D: (k, d) float64 with W[k] @ D[k] = 1.
    """

    name: str
    title: str
    axes: tuple[Axis, ...]
    W: Array = field(repr=False)
    D: Array = field(repr=False)

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
        return (np.asarray(z, np.float64) - mean) @ self.W.T


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


def named_basis(stats: Stats, directions: Any) -> Basis:
    """Read-outs of labels and measurements, moved along cov @ w so that other traits follow as in the data.

    By group, and the best read-out of each group first; groups of no name keep the bundle's order.
    """
    w = np.asarray(directions.w, np.float64)
    sigma = np.sqrt(np.einsum("kd,de,ke->k", w, stats.cov, w))[:, None]
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
    W, D = w / sigma, (w @ stats.cov) / sigma
    return Basis("named", "Named directions", tuple(axes[k] for k in order), W[order], D[order])


def bases(bundle: Bundle) -> dict[str, Basis]:
    """The bases by name, in the order in which to offer them; "named" where the bundle or the user has directions."""
    from vae.space import taught

    stats = bundle.stats
    found = {"raw": raw_basis(stats), "principal": principal_basis(stats)}
    if bundle.directions is not None:
        found["named"] = named_basis(stats, bundle.directions)
    if own := taught.load(bundle):
        found["named"] = taught_basis(stats, own, found.get("named"))
    return found


def taught_basis(stats: Stats, own: Sequence[Any], known: Basis | None) -> Basis:
    """The user's own directions, before those of the bundle where it has any; moved in the same way."""
    w = np.array([direction.w for direction in own])
    sigma = np.sqrt(np.einsum("kd,de,ke->k", w, stats.cov, w))[:, None]
    axes = tuple(Axis(direction.id, direction.label, direction.detail, "Taught", direction.auc) for direction in own)
    W, D = w / sigma, (w @ stats.cov) / sigma
    if known is not None:
        axes, W, D = axes + known.axes, np.concatenate([W, known.W]), np.concatenate([D, known.D])
    return Basis("named", "Named directions", axes, W, D)


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
    """Code(s) z (..., d) with axis k at exactly `value` sigma; locked read-outs W (m, d) keep their values."""
    z = np.asarray(z, np.float64)
    current = (z - mean) @ basis.W[k]
    return z + np.multiply.outer(value - current, step(basis, k, locks, cov))


def traversal_codes(bundle: Bundle, basis: Basis, sigma: float = 3.0) -> Array:
    """Codes (k, 2, d) float32: the mean code at -sigma and at +sigma on each axis, for the pictures at slider ends."""
    ends = np.array([-sigma, sigma])[None, :, None]
    return (bundle.stats.mean + ends * basis.D[:, None, :]).astype(np.float32)


def check_seed(seed: int, temperature: float, count: int) -> None:
    """Refuse a draw that cannot be made. Raises LatentError."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise LatentError(f"The seed is {seed!r}; give a whole number from 0 to 9223372036854775807.")
    if not np.isfinite(temperature) or not 0 <= temperature <= 2:
        raise LatentError(f"The temperature is {temperature!r}; give a number from 0 to 2.")
    if not 1 <= count <= MAX_COUNT:
        raise LatentError(f"The count is {count!r}; ask for 1 to {MAX_COUNT} codes.")


def sample(bundle: Bundle, seed: int, temperature: float = 0.7, count: int = 1) -> Array:
    """Draw codes (count, d) float32 from the bundle's prior, its spread scaled by the temperature.

    The same seed gives the same codes on every machine, and code i does not depend on count.
    """
    check_seed(seed, temperature, count)
    stats, draws = bundle.stats, []
    share = np.cumsum(stats.prior_weight) / stats.prior_weight.sum()
    for i in range(count):
        rng = np.random.default_rng((int(seed), i))
        part = min(int(np.searchsorted(share, rng.random(), side="right")), len(share) - 1)
        # einsum sums in a fixed order, BLAS would round differently from machine to machine
        draws.append(
            stats.prior_mean[part] + np.einsum("de,e->d", stats.prior_chol[part], rng.standard_normal(len(stats.mean)))
        )
    return toward(stats, np.array(draws), temperature).astype(np.float32)


def toward(stats: Stats, z: Array, temperature: float) -> Array:
    """Codes z (..., d) at a share of their way from the average picture's code: 0 is that code, 1 is z itself.

    Where codes lie on a shell the way is the great arc, which never enters the inside, where nothing decodes.
    """
    if not stats.shell:
        return stats.mean + temperature * (z - stats.mean)
    arc = slerp(stats.mean, z, temperature)
    length = lerp(np.linalg.norm(stats.mean), np.linalg.norm(z, axis=-1, keepdims=True), min(temperature, 1.0))
    return arc * (length / np.maximum(np.linalg.norm(arc, axis=-1, keepdims=True), 1e-12))


def jitter(mu: Array, logvar: Array, seed: int, temperature: float = 1.0) -> Array:
    """A draw z = mu + sigma * eps around a picture's posterior (d,): the reparameterisation trick."""
    check_seed(seed, temperature, 1)
    mu = np.asarray(mu, np.float64)
    eps = np.random.default_rng(int(seed)).standard_normal(mu.shape)
    return (mu + temperature * np.exp(0.5 * np.asarray(logvar, np.float64)) * eps).astype(np.float32)


def pack(z: Array, stats: Stats) -> str:
    """A code (d,) as text for a link: int16 steps of (z - mean) / std over +-8, base64url without padding."""
    scaled = (np.asarray(z, np.float64) - stats.mean) / np.maximum(stats.std, 1e-6)
    steps = np.rint(np.clip(scaled / PACK_RANGE, -1, 1) * 32767).astype("<i2")
    return base64.urlsafe_b64encode(steps.tobytes()).rstrip(b"=").decode("ascii")


def unpack(text: str, stats: Stats) -> Array:
    """The code (d,) float32 of a packed text. Raises LatentError."""
    d = len(stats.mean)
    try:
        if {"+", "/", "="} & set(text):  # of plain base64; a link has - and _ in their place
            raise binascii.Error
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise LatentError(
            "The code in this link has characters that a code never has; copy the whole link again."
        ) from None
    if len(data) != 2 * d:
        raise LatentError(
            f"The code in this link holds {len(data)} bytes where this model needs {2 * d}; copy it whole."
        )
    scaled = np.frombuffer(data, "<i2").astype(np.float64) / 32767 * PACK_RANGE
    return (stats.mean + scaled * np.maximum(stats.std, 1e-6)).astype(np.float32)


def mahalanobis(z: Array, stats: Stats) -> Array:
    """Distance of codes (..., d) from the centre of the data in standard deviations; about sqrt(d) for a usual one."""
    y = (np.asarray(z, np.float64) - stats.centre) @ stats.eigenvectors / np.sqrt(np.maximum(stats.eigenvalues, 1e-12))
    return np.sqrt((y * y).sum(-1))


def log_density(z: Array, stats: Stats) -> Array:
    """Log density in nats of codes (..., d) under the bundle's prior, a mixture of Gaussians."""
    z, parts = np.asarray(z, np.float64), []
    for weight, mean, chol in zip(stats.prior_weight / stats.prior_weight.sum(), stats.prior_mean, stats.prior_chol):
        # one factorisation for all codes: solve() would make one for each of a stack
        y = np.linalg.solve(chol, (z - mean).reshape(-1, len(mean)).T).T.reshape(z.shape)
        log_det = 2 * np.log(np.abs(np.diag(chol))).sum()
        parts.append(np.log(weight) - 0.5 * ((y * y).sum(-1) + log_det + len(mean) * np.log(2 * np.pi)))
    return np.logaddexp.reduce(np.stack(parts), axis=0)
