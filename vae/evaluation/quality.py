"""A quality report of a bundle on pictures that it has not seen: likeness, realism, identity, posterior.

Realism compares sets of pictures by the features of vae.networks.perceptual; identity compares faces by dlib's descriptor,
which no training here has seen. Needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae import media
from vae.likeness import coverage, frechet, psnr, ssim
from vae.photos import faces
from vae.photos.feature import mixed
from vae.space import latent

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.data.imageset import ImageSet

Array = np.ndarray
Say = Callable[[str], None]

BATCH = 16
LEAST, MOST = 50, 5000
SHEET = 32  # pictures on a sheet


def posterior(mu: Array, logvar: Array) -> dict[str, float]:
    """How far the aggregate posterior, the mixture of all q(z | x), is from N(0, I): its first two moments.

    largest_std, smallest_std: along its principal axes, 1 for N(0, I). offset: length of its mean. gap: KL in nats of
    the Gaussian with its moments from N(0, I). kl, active_units: as vae.bundles.figures gives them.
    """
    cov = np.atleast_2d(np.cov(mu.T)) + np.diag(np.exp(logvar).mean(0))
    values, mean = np.maximum(np.linalg.eigvalsh(cov), 1e-12), mu.mean(0)
    gap = 0.5 * (values.sum() + mean @ mean - len(mean) - np.log(values).sum())
    return {
        "largest_std": float(np.sqrt(values[-1])),
        "smallest_std": float(np.sqrt(values[0])),
        "offset": float(np.linalg.norm(mean)),
        "gap": float(gap),
        "kl": float(latent.kl(mu, logvar).mean()),
    }


# ---------------------------------------------------------------- pictures


def style_mixes(bundle: Bundle, a: Array, b: Array, rng: np.random.Generator) -> Array:
    """Codes (N, L, d) that take the coarse levels from a (N, d) and the fine ones from b, cut anywhere."""
    levels = np.arange(bundle.levels)
    cut = rng.integers(1, bundle.levels, len(a))[:, None]
    return np.where((levels < cut)[:, :, None], a[:, None], b[:, None])


def made_pictures(bundle: Bundle, mu: Array, seed: int) -> Iterator[tuple[str, Array]]:
    """Each kind of made picture with its codes, as many as there are codes mu (N, d)."""
    rng = np.random.default_rng((seed, 5))
    partner = mu[np.roll(np.arange(len(mu)), 1)]
    yield "draws", latent.sample(bundle, seed, 1.0, len(mu))
    yield "draws_0.7", latent.sample(bundle, seed, 0.7, len(mu))
    yield "normal_draws", rng.standard_normal(mu.shape)
    yield "blends", latent.slerp(mu, partner, 0.5)
    if bundle.levels:
        yield "style_mixes", style_mixes(bundle, mu, partner, rng)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def report(
    bundle: Bundle, data: ImageSet, count: int = 1000, refine: int = 0, seed: int = 0, say: Say = lambda text: None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """The figures, as nested plain values, and sheets of pictures by name, uint8 (h, w, 3).

    data: pictures that the model was not trained on; `count` of them, evenly spread, are used, and as many of every
    kind of made picture. refine: so many of them are refined as on the Blend page. Raises ValueError.
    """
    import torch

    from vae.networks.perceptual import perceptual
    from vae.networks.pixels import to_pixels

    count = min(count, len(data))
    if count < LEAST:
        raise ValueError(f"a quality report needs {LEAST} pictures or more, and there are {count}; give more of them")
    network = perceptual()

    def pixels(images: Array) -> torch.Tensor:
        return to_pixels(torch.from_numpy(np.ascontiguousarray(images)))

    @torch.no_grad()
    def features(images: Array) -> Array:
        parts = [network.pooled(pixels(images[i : i + BATCH])) for i in range(0, len(images), BATCH)]
        return torch.cat(parts).double().numpy()

    @torch.no_grad()
    def perceived(a: Array, b: Array) -> Array:
        parts = [network.distance(pixels(a[i : i + BATCH]), pixels(b[i : i + BATCH])) for i in range(0, len(a), BATCH)]
        return torch.cat(parts).numpy()

    photos = data.images(np.unique(np.linspace(0, len(data) - 1, count).astype(int)))
    encoded = bundle.encode_with_offsets(photos)
    again, (mu, logvar, delta) = bundle.reconstruct(photos, encoded), encoded
    say("reconstructed")
    noise = psnr(photos, again)
    figures: dict[str, Any] = {
        "images": count,
        "reconstructions": {
            "psnr": float(noise.mean()),
            "ssim": float(ssim(photos, again).mean()),
            "perceptual": float(perceived(photos, again).mean()),
        },
        "posterior": posterior(mu.astype(np.float64), logvar.astype(np.float64)),
    }
    real = features(photos)
    half = np.random.default_rng((seed, 6)).permutation(count)
    figures["photos"] = {"frechet_of_halves": frechet(real[half[: count // 2]], real[half[count // 2 :]])}
    order = np.argsort(noise)
    sheets = {name: _pairs(photos[rows], again[rows]) for name, rows in (("best", order[::-1]), ("worst", order))}

    def realism(images: Array) -> dict[str, float]:
        found = features(images)
        precision, recall = coverage(real, found)
        return {"frechet": frechet(real, found), "precision": precision, "recall": recall}

    figures["reconstructions"] |= realism(again)
    for name, z in made_pictures(bundle, mu.astype(np.float64), seed):
        images = bundle.decode(bundle.check_z(z))
        figures[name] = realism(images)
        sheets[name] = media.sheet(images[:SHEET], 8)
        say(f"measured {name.replace('_', ' ')}")
    if bundle.eyes is not None and bundle.channels == 3:
        figures["identity"] = identity(bundle, photos, again)
        say("compared identities")
        if refine:
            rows = np.linspace(0, len(photos) - 1, refine).astype(int)
            figures["refined"] = refined(bundle, photos[rows], mu[rows], None if delta is None else delta[rows])
    return _rounded(figures), sheets


def identity(bundle: Bundle, photos: Array, again: Array) -> dict[str, float]:
    """Faces against their reconstructions by dlib's descriptor.

    same: share under 0.6 apart. distance: median. first: share whose nearest photo of all is their own.
    """
    a, b = (np.array([faces.describe(image, bundle.eyes) for image in images]) for images in (photos, again))
    apart = np.linalg.norm(b[:, None] - a[None], axis=2)  # (reconstruction, photo)
    own = np.diagonal(apart)
    return {
        "same": float((own < faces.SAME_PERSON).mean()),
        "distance": float(np.median(own)),
        "first": float((apart.argmin(1) == np.arange(len(own))).mean()),
    }


def refined(bundle: Bundle, photos: Array, mu: Array, delta: Array | None = None) -> dict[str, float]:
    """The same for faces that were refined as on the Blend page, and their PSNR. delta: what the encoder read."""
    from vae.photos.refine import Refiner

    refiner, parts, features = Refiner(), [], []
    try:
        for start in range(0, len(photos), 4):
            part = slice(start, start + 4)
            job = refiner.start(bundle, photos[part], mu[part], delta=None if delta is None else delta[part])
            if not job.wait(600) or job.latest is None:
                raise ValueError("refining took too long; refine fewer faces")
            parts.append(job.latest.delta)
            features += job.latest.features
    finally:
        refiner.close()
    again = bundle.decode(mu, np.concatenate(parts), feature=mixed(features, np.eye(len(mu))))
    return {"images": len(photos), "psnr": float(psnr(photos, again).mean()), **identity(bundle, photos, again)}


def _pairs(a: Array, b: Array) -> Array:
    """Each picture of a beside its counterpart in b."""
    n = min(len(a), SHEET // 2)
    return media.sheet(np.stack([a[:n], b[:n]], 1).reshape(2 * n, *a.shape[1:]), 8)


def save_sheets(sheets: dict[str, Array], folder: str | Path) -> None:
    """Write the sheets as PNG."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, sheet in sheets.items():
        (Path(folder) / f"{name}.png").write_bytes(media.png(sheet))
