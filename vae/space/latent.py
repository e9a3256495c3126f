"""Geometry of codes: ways between them, draws from the prior, how usual one is. NumPy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vae.space.errors import LatentError

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.bundles.contents import Stats

Array = np.ndarray

MAX_COUNT = 4096


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


def kl(mu: Array, logvar: Array) -> Array:
    """KL of posteriors N(mu, diag(exp(logvar))) (M, d) from N(0, I), nats (M,).

    Kingma and Welling 2014, arXiv 1312.6114, appendix B.
    """
    mu, logvar = np.asarray(mu, np.float64), np.asarray(logvar, np.float64)
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)


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
