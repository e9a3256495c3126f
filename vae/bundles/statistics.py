"""How the codes of the data are spread: the arrays of stats.npz, and the prior that new codes are drawn from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vae.bundles.encoding import Networks

Array = np.ndarray

LEAST_KL = 0.05  # under it the sliders fold a number away (vae/web/live/sliders.js)
MIXTURES = (1, 4, 12, 24)
# In these the average picture is moved to the middle of the data.
CENTRED = ("Skin_tone",)


def _average_code(nets: Networks, average: Array, contrast: float) -> Array:
    """Code of the average picture, its contrast and sharpness brought back to a picture's: the mean blurs both."""
    from PIL import Image, ImageFilter

    centre = average.mean((0, 1))
    gain = np.clip(0.65 * contrast / max(average.std((0, 1)).mean(), 1e-6), 1, 3)
    picture = np.clip(centre + (average - centre) * gain, 0, 255).round().astype(np.uint8)
    image = Image.fromarray(picture if picture.shape[2] == 3 else picture[:, :, 0])
    radius = 6 * nets.model.image_size / 128
    sharp = np.asarray(image.filter(ImageFilter.UnsharpMask(radius, 150, 0))).reshape(picture.shape)
    return nets.encode(np.stack([sharp, sharp[:, ::-1]]))[0].mean(0, dtype=np.float64)


def prior(mu: Array, seed: int = 0) -> dict[str, Array]:
    """A mixture of Gaussians fitted to the codes; as many parts as explain a tenth of the codes, kept back, best."""
    from sklearn.mixture import GaussianMixture

    order = np.random.default_rng(seed).permutation(len(mu))
    held, rest = mu[order[: len(mu) // 10]], mu[order[len(mu) // 10 :]]
    # More would inflate the directions in which codes hardly differ, and the decoder is sharpest there.
    floor = 1e-3 * float(np.median(mu.var(0))) + 1e-6

    def fit(parts: int, codes: Array) -> GaussianMixture:
        import warnings

        from sklearn.exceptions import ConvergenceWarning

        mixture = GaussianMixture(
            parts, reg_covar=floor, random_state=seed, max_iter=40, tol=1e-2, init_params="k-means++"
        )
        with (
            warnings.catch_warnings()
        ):  # stopping early is wanted here: what counts is the score of the codes kept back
            warnings.simplefilter("ignore", ConvergenceWarning)
            return mixture.fit(codes)

    # A part needs a few codes per dimension, or its covariance is noise.
    allowed = [k for k in MIXTURES if k == 1 or len(rest) >= 4 * k * mu.shape[1]]
    best = max(allowed, key=lambda k: fit(k, rest).score(held)) if len(allowed) > 1 else 1
    mixture = fit(best, mu)
    chol = np.linalg.cholesky(mixture.covariances_ + 1e-9 * np.eye(mu.shape[1]))
    return {"prior_weight": mixture.weights_, "prior_mean": mixture.means_, "prior_chol": chol}


def statistics(nets: Networks, mu: Array, logvar: Array, average: Array, contrast: float) -> dict[str, Array]:
    """The arrays of stats.npz, see vae.bundles.contents.Stats.

    mu, logvar: (M, d). average: the average picture (s, s, c); contrast: the mean contrast of the pictures.
    """
    mu, logvar = mu.astype(np.float64), logvar.astype(np.float64)
    centre, std = mu.mean(0), np.maximum(mu.std(0), 1e-6)
    cov = np.atleast_2d(np.cov(mu.T)) if len(mu) > 1 else np.eye(mu.shape[1])
    # Codes of few pictures span no volume: a sliver of it keeps every matrix invertible.
    cov = cov + 1e-6 * max(float(np.trace(cov)) / len(cov), 1e-6) * np.eye(len(cov))
    values, vectors = np.linalg.eigh(cov)
    # A sign of its own for every axis: its largest entry is positive, on every machine.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(vectors))])
    usual = nets.usual_error(mu, std)
    shell = bool(nets.cycle_error(centre[None], std)[0] > 2 * usual)
    mean = centre
    if shell:
        candidate = _average_code(nets, average, contrast)
        shell = bool(nets.cycle_error(candidate[None], std)[0] < nets.cycle_error(centre[None], std)[0])
        mean = candidate if shell else centre
    kl = (0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)).mean(0)
    stats = dict(
        mean=mean, std=std, centre=centre, cov=cov, kl=kl, eigenvalues=values[::-1], eigenvectors=vectors[:, ::-1]
    )
    return {**stats, **(prior(mu) if len(mu) >= 40 else _plain_prior(centre, cov)), "shell": np.array(float(shell))}


def _plain_prior(centre: Array, cov: Array) -> dict[str, Array]:
    """One Gaussian, for codes too few to fit a mixture to."""
    return {"prior_weight": np.ones(1), "prior_mean": centre[None], "prior_chol": np.linalg.cholesky(cov)[None]}


def used_of(kl: Array) -> Array:
    """Which numbers of a code (d,) say something to the decoder: those of at least LEAST_KL nats; all where none does."""
    used = kl >= LEAST_KL
    return used if used.any() else np.ones(len(kl), bool)


def centred(nets: Networks, mu: Array, stats: Mapping[str, Array], found: Mapping[str, Array]) -> Array:
    """The code of the average picture, its read-outs of CENTRED brought to those of the mean code (d,).

    Averaged and sharpened pictures show a lighter skin than the people in them have; a slider's zero should not.
    """
    rows = [k for k, name in enumerate(found["names"]) if name in CENTRED]
    if not stats["shell"] or not rows:
        return stats["mean"]
    w, cov = found["w"][rows].astype(np.float64), stats["cov"]
    centred = stats["mean"] - cov @ w.T @ np.linalg.solve(w @ cov @ w.T, w @ (stats["mean"] - stats["centre"]))
    usual = nets.usual_error(mu, stats["std"])
    return centred if nets.cycle_error(centred[None], stats["std"])[0] < 2 * usual else stats["mean"]
