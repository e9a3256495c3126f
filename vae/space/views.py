"""Two-dimensional views of the codes that can be read backwards.

A linear view (raw, principal or named axes) is exact both ways on the plane through the current code. UMAP and
t-SNE have no inverse: a place on them stands for a blend of the codes nearest to it. NumPy and SciPy.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.space import taught
from vae.space.axes import bases
from vae.space.errors import AtlasError, LatentError
from vae.space.kept import cache_file, read_cache
from vae.space.neighbours import place_among

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

LINEAR = ("principal", "raw", "named")
SETTINGS = {"umap": (5, 15, 50), "tsne": (10, 30, 100)}  # neighbours, perplexity
DEFAULTS = {"umap": 15, "tsne": 30}
TITLES = {"principal": "PCA", "raw": "Raw dimensions", "named": "Named axes", "umap": "UMAP", "tsne": "t-SNE"}
BLEND = 6  # codes that a place on UMAP or t-SNE is blended from


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
        return place_among(self.codes, self.xy, z.reshape(-1, z.shape[-1]), 5).reshape(*z.shape[:-1], 2)


def linear(bundle: Bundle, spec: Spec) -> Linear:
    """A linear view. Raw axes in plain latent units, the others in sigma around the mean. Raises AtlasError."""
    stats, known = bundle.stats, bases(bundle)
    if spec.kind not in known:
        raise AtlasError(
            f"{bundle.name} has no {TITLES[spec.kind].lower()}; it has {', '.join(TITLES[b].lower() for b in known)}."
        )
    basis = known[spec.kind]
    try:
        rows = [basis.index(axis) for axis in spec.arguments]
    except LatentError as error:
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


_views: OrderedDict[tuple, Linear | Placed] = OrderedDict()
_views_lock = threading.Lock()


def view(bundle: Bundle, spec: Spec) -> Linear | Placed | None:
    """The view, or None where it has still to be computed (vae.space.computing). Raises AtlasError."""
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
