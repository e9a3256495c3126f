"""A quality report of a bundle on pictures that it has not seen: likeness, realism, identity, posterior.

Realism compares sets of pictures by the features of vae.networks.perceptual; identity compares faces by dlib's descriptor,
which no training here has seen. Needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae import media
from vae.evaluation import edits
from vae.likeness import coverage, frechet, psnr, ssim
from vae.photos import faces
from vae.photos.feature import mixed
from vae.space import latent, settling

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.data.imageset import ImageSet

Array = np.ndarray
Say = Callable[[str], None]

BATCH = 16
LEAST, MOST = 50, 5000
SHEET = 32  # pictures on a sheet
ROWS = 20  # people on a sheet of rows


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
    for name, temperature in (("draws", 1.0), ("draws_0.7", 0.7)):
        yield name, settling.draw(bundle, seed, temperature, len(mu))
        if bundle.settle:
            yield f"{name}_unsettled", latent.sample(bundle, seed, temperature, len(mu))
    yield "normal_draws", rng.standard_normal(mu.shape)
    yield "blends", latent.slerp(mu, partner, 0.5)
    if bundle.levels:
        yield "style_mixes", style_mixes(bundle, mu, partner, rng)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
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
            once = None if delta is None else delta[rows]
            figures["refined"], more = refined(bundle, photos[rows], mu[rows], once, say)
            sheets |= more
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


def refined(
    bundle: Bundle, photos: Array, mu: Array, delta: Array | None = None, say: Say = lambda text: None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """The same for faces that were refined as on the Blend page, with their PSNR and seconds; under edits; in mixes.

    delta: what the encoder read. Also sheets: of each person photo, refined and edited; of each pair the mixes.
    """
    from vae.photos.refine import Refiner

    refiner, parts, features, times = Refiner(), [], [], []
    refiner.prewarm(bundle)
    try:
        for start in range(0, len(photos), 4):
            part = slice(start, start + 4)
            began = time.perf_counter()
            job = refiner.start(bundle, photos[part], mu[part], delta=None if delta is None else delta[part])
            if not job.wait(600) or job.latest is None:
                raise ValueError("refining took too long; refine fewer faces")
            times.append((time.perf_counter() - began) / len(photos[part]))
            parts.append(job.latest.delta)
            features += job.latest.features
    finally:
        refiner.close()
    say("refined")
    found = edits.Refined(mu, delta, np.concatenate(parts), features)
    again = bundle.decode(mu, found.delta, feature=mixed(features, np.eye(len(mu))))
    figures = {
        "images": len(photos),
        "psnr": float(psnr(photos, again).mean()),
        "seconds": float(np.median(times)),
        **identity(bundle, photos, again),
    }
    people = edits.described(bundle, photos)
    figures["edits"], moved = edits.under_edits(bundle, people, found)
    say("edited")
    sheets = {"edits": _rows([photos, again, *moved])}
    if len(photos) > 1:
        pictures = edits.mixes(bundle, found)
        figures["mixes"] = edits.in_mixes(bundle, people, pictures)
        sheets["mixes"] = _rows(list(pictures.swapaxes(0, 1)))
    return figures, sheets


def _rows(columns: list[Array]) -> Array:
    """A sheet with a row a person, of the first ones; columns: a kind of picture each, (N, s, s, c)."""
    rows = np.stack([column[:ROWS] for column in columns], 1)
    return media.sheet(rows.reshape(-1, *rows.shape[2:]), len(columns))


def _pairs(a: Array, b: Array) -> Array:
    """Each picture of a beside its counterpart in b."""
    n = min(len(a), SHEET // 2)
    return media.sheet(np.stack([a[:n], b[:n]], 1).reshape(2 * n, *a.shape[1:]), 8)


def save_sheets(sheets: dict[str, Array], folder: str | Path) -> None:
    """Write the sheets as PNG."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, sheet in sheets.items():
        (Path(folder) / f"{name}.png").write_bytes(media.png(sheet))
