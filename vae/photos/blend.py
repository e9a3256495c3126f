"""Blend two to four faces: mixes of codes, level by level, morphs and films, and the way back into the photo.

NumPy, a model bundle and faces. Refining runs in the worker process of vae.photos.refine. Groups of levels: Karras et al.
2019 (arXiv 1812.04948), section 3.1. Weighted means on the sphere: Buss and Fillmore 2001, doi 10.1145/502122.502124.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae import media
from vae.likeness import psnr
from vae.photos import faces
from vae.space import latent

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.photos.refine import Job, Refiner, Step

Array = np.ndarray

GROUPS = ("coarse", "middle", "fine")
MAX_SOURCES = 4
PATHS = ("slerp", "lerp")
MAX_FRAMES = 600
NEIGHBOURS = 5
FILM_KINDS = ("mp4", "gif", "webp")
SAMPLE_SEEDS = (28, 11, 12, 49, 2)
SAMPLE_TEMPERATURE = 0.7
FINE_FACTOR = 4  # a photo's crop is kept at up to this many times the model's size


class BlendError(ValueError):
    """A blend that cannot be made; the message is one sentence for the user."""


# ------------------------------------------------------------------------------------------ mixing codes


def level_groups(levels: int) -> tuple[int, ...]:
    """Index into GROUPS for each level: thirds of the decoder, from coarse to fine."""
    return tuple(level * len(GROUPS) // levels for level in range(levels))


def group_levels(levels: int, group: int) -> tuple[int, ...]:
    """The levels that one of GROUPS covers."""
    return tuple(level for level, g in enumerate(level_groups(levels)) if g == group)


def pair_weights(
    levels: int, mix: float = 0.5, coarse: float | None = None, middle: float | None = None, fine: float | None = None
) -> Array:
    """Weights (L, 2) of two faces for each level, from the amounts 0..1 of the second; (1, 2) for a flat code.

    A group's own amount overrides `mix`. Raises BlendError.
    """
    amounts = [mix if value is None else value for value in (coarse, middle, fine)]
    for name, value in zip(("mix", *GROUPS), (mix, *amounts)):
        if not 0 <= value <= 1:  # false for nan too
            raise BlendError(f"The {name} is {value}; give a number from 0 (all A) to 1 (all B).")
    if not levels:
        if any(value is not None and value != mix for value in (coarse, middle, fine)):
            raise BlendError("This model has one flat code and no levels; mix everything at once with --mix.")
        return np.array([[1 - mix, mix]])
    share = np.array([amounts[group] for group in level_groups(levels)])
    return np.column_stack([1 - share, share])


def check_weights(weights: Any, levels: int, count: int) -> Array:
    """Weights as (L, k) rows that sum to 1, from (k,) or (L, k) numbers, none negative. Raises BlendError."""
    rows = max(1, levels)
    try:
        weights = np.array(weights, np.float64)
    except (TypeError, ValueError):
        weights = np.empty(0)
    if weights.ndim == 1:
        weights = np.broadcast_to(weights, (rows, len(weights))).copy()
    if weights.shape != (rows, count):
        raise BlendError(f"The weights have the shape {weights.shape}; give {count} numbers, or {rows} rows of them.")
    if not np.isfinite(weights).all() or (weights < 0).any() or (weights.sum(1) <= 0).any():
        raise BlendError("The weights must be finite, none below 0 and not all 0; give each face a share.")
    return weights / weights.sum(1, keepdims=True)


def corner_weights(x: float, y: float, count: int) -> Array:
    """Weights (k,) of a hand at (x, y) in 0..1, y downwards: on a line (2), in a triangle (3) or a square (4).

    Triangle: A at the top left, B at the top right, C at the middle of the bottom edge; a hand outside it counts as
    the nearest point inside. Square: A B over C D, bilinear.
    """
    x, y = (float(min(1.0, max(0.0, v))) for v in (x, y))
    if count == 2:
        return np.array([1 - x, x])
    if count == 4:
        return np.array([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y])
    if count != 3:
        raise BlendError(f"A pad holds 2 to {MAX_SOURCES} faces, not {count}; add or take away some.")
    c = y
    half = (1 - c) / 2
    x = min(0.5 + half, max(0.5 - half, x))
    b = x - c / 2
    return np.array([1 - b - c, b, c])


def spherical_mean(codes: Array, weights: Array) -> Array:
    """Weighted mean (d,) of codes (k, d) on the sphere, lengths averaged in a straight line; slerp where two count.

    A weight of 1 gives that code back, bit for bit.
    """
    used = np.flatnonzero(weights)
    if len(used) == 1:
        return np.array(codes[used[0]], np.float64)
    codes, weights = np.asarray(codes, np.float64)[used], weights[used] / weights[used].sum()
    if len(used) == 2:
        return latent.slerp(codes[0], codes[1], weights[1])
    lengths = np.linalg.norm(codes, axis=1)
    if lengths.min() < 1e-9:
        return weights @ codes
    units = codes / lengths[:, None]
    mean = weights @ units
    if np.linalg.norm(mean) < 1e-6:
        return weights @ codes
    mean /= np.linalg.norm(mean)
    for _ in range(20):
        cosine = np.clip(units @ mean, -1, 1)
        angle = np.arccos(cosine)
        away = units - cosine[:, None] * mean
        norm = np.linalg.norm(away, axis=1)
        tangent = (weights * np.where(norm > 1e-12, angle / np.maximum(norm, 1e-12), 1)) @ away
        size = np.linalg.norm(tangent)
        if size < 1e-12:
            break
        mean = np.cos(size) * mean + np.sin(size) * tangent / size
        mean /= np.linalg.norm(mean)
    return mean * (weights @ lengths)


def mix_codes(codes: Array, weights: Array, path: str = "slerp") -> Array:
    """Codes (k, d) and weights (L, k) -> a code for each level (L, d)."""
    if path not in PATHS:
        raise BlendError(f"The path is {path!r}; use slerp or lerp.")
    if path == "lerp":
        return weights @ np.asarray(codes, np.float64)
    rows: dict[bytes, Array] = {}
    return np.stack([rows.setdefault(w.tobytes(), spherical_mean(codes, w)) for w in weights])


def mix_offsets(offsets: Array, weights: Array) -> Array:
    """Style offsets (k, L, S) and weights (L, k) -> (L, S), level by level in a straight line."""
    return np.einsum("lk,kls->ls", weights, np.asarray(offsets, np.float64))


def edit_shift(bundle: Bundle, edits: Mapping[str, float]) -> Array:
    """Shift (d,) of a code for moves along named directions, sigma by name. Raises LatentError, BlendError."""
    shift = np.zeros(bundle.latent_size)
    edits = {name: float(value) for name, value in edits.items() if value}
    if not edits:
        return shift
    basis = latent.bases(bundle).get("named")
    if basis is None:
        raise BlendError(f"{bundle.name} has no named directions; leave the edits out.")
    for name, value in edits.items():
        if not abs(value) <= 6:
            raise BlendError(f"The edit {name} is {value} sigma; give a number from -6 to 6.")
        shift += value * basis.D[basis.index(name)]
    return shift


# --------------------------------------------------------------------------------------------- sources


@dataclass(frozen=True, eq=False)
class Source:
    """One of the faces to blend.

    z: code (d,) float32. crop: what the model was shown, uint8 (s, s, c). delta_once: style offsets (L, S) that the
    encoder read from the photo, where the model reads such. delta: those in use, `refined` says whether they are a
    refinement's. photo: uint8 (h, w, 3), faces found in it and the eyes in use; None for a face that the model drew.
    """

    name: str
    z: Array
    crop: Array
    delta: Array | None = None
    delta_once: Array | None = None
    refined: bool = False
    photo: Array | None = None
    found: tuple[faces.Face, ...] = ()
    eyes: faces.Eyes | None = None
    remark: str | None = None


def photo_source(
    bundle: Bundle, picture: bytes | Array, name: str = "photo", face: int = 0, eyes: faces.Eyes | None = None
) -> Source:
    """Read a photo, find its face (or take the eyes given, in px of the photo), align it and encode it.

    Raises ImageError and FaceError with a sentence.
    """
    photo = faces.read_image(picture) if isinstance(picture, bytes) else picture
    found: tuple[faces.Face, ...] = ()
    remark = None
    if bundle.eyes is None:
        crop = media.square(photo, bundle.image_size)
    else:
        seen = faces.find_faces(photo)
        found = tuple(seen)
        if eyes is None:
            chosen = faces.find_face(photo, face) if not found else _choose(found, face)
            eyes = chosen.eyes
        crop = faces.align(photo, eyes, bundle.eyes, bundle.image_size)
        remark = faces.remark(seen)
    return _encoded(bundle, Source(name, np.empty(0), crop, photo=photo, found=found, eyes=eyes, remark=remark))


def _choose(found: Sequence[faces.Face], index: int) -> faces.Face:
    if not 0 <= index < len(found):
        raise faces.FaceError(
            f"There is no face number {index + 1} in this picture; choose one of the {len(found)} found."
        )
    return faces.check_face(found[index])


def _encoded(bundle: Bundle, source: Source) -> Source:
    crop = media.grey(source.crop) if bundle.channels == 1 and source.crop.shape[-1] == 3 else source.crop
    mu, _, delta = bundle.encode_with_offsets(crop[None])
    once = None if delta is None else delta[0]
    return replace(source, z=mu[0], crop=crop, delta=once, delta_once=once, refined=False)


def with_eyes(bundle: Bundle, source: Source, eyes: faces.Eyes) -> Source:
    """The same photo aligned by other eye marks (px of the photo, picture-left first) and encoded anew."""
    if source.photo is None or bundle.eyes is None:
        raise BlendError(f"{source.name} is not a photo of a face; there are no eyes to mark.")
    left, right = sorted((float(x), float(y)) for x, y in eyes)
    crop = faces.align(source.photo, (left, right), bundle.eyes, bundle.image_size)
    return _encoded(bundle, replace(source, crop=crop, eyes=(left, right)))


def code_source(bundle: Bundle, z: Array, name: str, delta: Array | None = None) -> Source:
    """A face that the model itself makes from a code (d,), and offsets (L, S) if there are any."""
    z = bundle.check_z(z).reshape(-1)
    return Source(name, z, bundle.decode(z[None], None if delta is None else delta[None])[0], delta=delta)


def drawn_source(bundle: Bundle, seed: int, temperature: float = SAMPLE_TEMPERATURE) -> Source:
    """A face drawn from the prior."""
    return code_source(bundle, latent.sample(bundle, seed, temperature)[0], f"Drawn face, seed {seed}")


def astronaut() -> Array | None:
    """scikit-image's public-domain portrait of Eileen Collins, uint8 (512, 512, 3); None where it is not installed."""
    try:
        from skimage import data
    except ImportError:
        return None
    return data.astronaut()


def sample_source(bundle: Bundle, index: int) -> Source:
    """Ready sample `index` (0..5): five drawn faces, and the astronaut. Raises BlendError."""
    if 0 <= index < len(SAMPLE_SEEDS):
        return drawn_source(bundle, SAMPLE_SEEDS[index])
    picture = astronaut() if index == len(SAMPLE_SEEDS) and bundle.eyes is not None else None
    if picture is None:
        raise BlendError(f"There is no sample number {index + 1}; choose one that the page shows.")
    return photo_source(bundle, picture, "Astronaut")


def reconstruct(bundle: Bundle, sources: Sequence[Source]) -> Array:
    """What the model makes of each source, uint8 (k, s, s, c), with the style offsets that it has."""
    return bundle.decode(*_stack(bundle, sources))


def _stack(bundle: Bundle, sources: Sequence[Source]) -> tuple[Array, Array | None]:
    z = np.stack([source.z for source in sources]).astype(np.float32)
    if not bundle.levels or all(source.delta is None for source in sources):
        return z, None
    none = np.zeros((bundle.levels, bundle.style_size), np.float32)
    return z, np.stack([none if source.delta is None else source.delta for source in sources]).astype(np.float32)


# ---------------------------------------------------------------------------------------------- blends


def blend_codes(
    bundle: Bundle, sources: Sequence[Source], weights: Array, path: str = "slerp", shift: Array | None = None
) -> tuple[Array, Array | None]:
    """Several blends at once: weights (n, L, k) -> z (n, L, d) or (n, d), offsets (n, L, S) or None, float32.

    shift: (d,), added to the code at every level; see edit_shift.
    """
    z, delta = _stack(bundle, sources)
    codes = np.stack([mix_codes(z, w, path) for w in weights])  # (n, L, d)
    if shift is not None:
        codes = codes + shift
    if not bundle.levels:
        codes = codes[:, 0]
    offsets = None if delta is None else np.stack([mix_offsets(delta, w) for w in weights]).astype(np.float32)
    return codes.astype(np.float32), offsets


@lru_cache(maxsize=4)
def _style_session(bundle: Bundle) -> Any:
    """The decoder's upper part, of which only the mapping from z to w is run."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(bundle.split(bundle.preview_sizes[-1])[0], options, providers=["CPUExecutionProvider"])


def _styles(bundle: Bundle, z: Array) -> Array:
    """Codes (N, L, d) -> styles w (N, L, S)."""
    import onnxruntime as ort

    only = ort.RunOptions()
    only.only_execute_path_to_fetches = True
    none = np.zeros((len(z), bundle.levels, bundle.style_size), np.float32)
    return _style_session(bundle).run(["w"], {"z": z.astype(np.float32), "delta": none}, only)[0]


def flatten(bundle: Bundle, z: Array, delta: Array | None) -> tuple[Array, Array | None]:
    """A code for each level (L, d) with offsets (L, S) as one code (d,), the mean, and the offsets that make up for it.

    The picture stays the same: a level's style is w(z_l) + delta_l, whatever of the two brings it there.
    """
    if z.ndim == 1:
        return z, delta
    if (z == z[0]).all():
        return z[0].copy(), delta
    flat = z.mean(0)
    styles = _styles(bundle, np.stack([np.broadcast_to(flat, z.shape), z]))  # (2, L, S)
    return flat, styles[1] - styles[0] + (0 if delta is None else delta)


def blend(
    bundle: Bundle, sources: Sequence[Source], weights: Array, path: str = "slerp", shift: Array | None = None
) -> Array:
    """The blend of 1 to 4 sources as a picture uint8 (s, s, c). weights: (k,) for all levels, or (L, k)."""
    if not 1 <= len(sources) <= MAX_SOURCES:
        raise BlendError(f"{len(sources)} faces cannot be blended; give 1 to {MAX_SOURCES}.")
    weights = check_weights(weights, bundle.levels, len(sources))
    return bundle.decode(*blend_codes(bundle, sources, weights[None], path, shift))[0]


def grid_weights(levels: int, rows: int, columns: int, cut: int) -> Array:
    """Weights (rows * columns, L, rows + columns): levels below the cut from the row's face, the rest from the column's."""
    if levels and not 1 <= cut < levels:
        raise BlendError(f"The cut is {cut}; use a level from 1 to {levels - 1}.")
    coarse = np.arange(max(1, levels)) < cut
    weights = np.zeros((rows, columns, max(1, levels), rows + columns))
    for i in range(rows):
        for j in range(columns):
            if levels:
                weights[i, j, coarse, i] = 1
                weights[i, j, ~coarse, rows + j] = 1
            else:  # one flat code has no levels to cut: the cell is the middle of the two
                weights[i, j, 0, [i, rows + j]] = 0.5
    return weights.reshape(rows * columns, max(1, levels), rows + columns)


def grid(bundle: Bundle, rows: Sequence[Source], columns: Sequence[Source], cut: int = 2) -> Array:
    """The table of style mixes as one picture: the rows' faces on the left, the columns' on top, a cell for each pair."""
    weights = grid_weights(bundle.levels, len(rows), len(columns), cut)
    every = [*rows, *columns]
    cells = bundle.decode(*blend_codes(bundle, every, weights))
    heads = reconstruct(bundle, every)
    paper = np.full_like(heads[:1], 255)
    lines = [np.concatenate([paper, heads[len(rows) :]])]
    lines += [
        np.concatenate([heads[i : i + 1], cells[i * len(columns) : (i + 1) * len(columns)]]) for i in range(len(rows))
    ]
    return np.concatenate([np.concatenate(list(line), axis=1) for line in lines], axis=0)


# ---------------------------------------------------------------------------------------- morph and film


def path_weights(t: Array, count: int) -> Array:
    """Weights (n, k) at the times t (n,) in 0..1 of a walk through the sources in their order."""
    place = np.clip(np.asarray(t, float), 0, 1) * (count - 1)
    return np.clip(1 - np.abs(place[:, None] - np.arange(count)), 0, 1)


def film_times(seconds: float, fps: int, ping_pong: bool = False, ease: bool = True) -> Array:
    """Times (n,) in 0..1 of a film's frames; ping-pong goes there and back within the film, as an endless loop.

    ease: slow at the sources (a cosine), so that each is seen. Raises BlendError.
    """
    if not 0.5 <= seconds <= 20 or not 1 <= fps <= 60:
        raise BlendError(
            f"A film of {seconds} s at {fps} frames/s cannot be made; use 0.5 to 20 s and 1 to 60 frames/s."
        )
    n = round(seconds * fps)
    if n < 2 or n > MAX_FRAMES:
        raise BlendError(f"This film has {n} frames; use 2 to {MAX_FRAMES} (seconds times frames/s).")
    t = 1 - np.abs(1 - 2 * np.arange(n) / n) if ping_pong else np.linspace(0, 1, n)
    return np.clip((1 - np.cos(np.pi * t)) / 2, 0, 1) if ease else t


def morph(
    bundle: Bundle, sources: Sequence[Source], t: Array, path: str = "slerp", shift: Array | None = None, batch: int = 8
) -> Iterator[Array]:
    """Pictures uint8 (s, s, c) at the times t (n,) of a walk through the sources."""
    if len(sources) < 2:
        raise BlendError("A morph needs two faces; add another.")
    weights = np.repeat(path_weights(t, len(sources))[:, None], max(1, bundle.levels), axis=1)
    for start in range(0, len(weights), batch):
        yield from bundle.decode(*blend_codes(bundle, sources, weights[start : start + batch], path, shift))


def film(
    bundle: Bundle,
    sources: Sequence[Source],
    kind: str = "mp4",
    seconds: float = 4.0,
    fps: int = 30,
    ping_pong: bool = False,
    path: str = "slerp",
    shift: Array | None = None,
    scale: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """A film of the morph as a file's bytes: mp4, gif or webp. progress(done, total) is called frame by frame."""
    if kind not in FILM_KINDS:
        raise BlendError(f"The film's kind is {kind!r}; use {', '.join(FILM_KINDS)}.")
    t = film_times(seconds, fps, ping_pong)
    frames = []
    for picture in morph(bundle, sources, t, path, shift):
        frames.append(media.upscale(picture, scale) if scale > 1 else picture)
        if progress:
            progress(len(frames), len(t))
    return {"mp4": media.mp4, "gif": media.gif, "webp": media.webp}[kind](frames, fps)


@dataclass(frozen=True, eq=False)
class Ribbon:
    """How usual the codes of a path are, all (n,).

    density: log density under the prior in nats, less the median of the data's codes. prior: share 0..1 of the data's codes
    that are no likelier under the prior. data: share of them whose nearest neighbours are at least as far away; both fall
    towards 0 where a path leaves the manifold.
    """

    t: Array
    density: Array
    prior: Array
    data: Array


@lru_cache(maxsize=4)
def _usual(bundle: Bundle) -> tuple[Array, Array, Array]:
    """Of the data: codes in units of their spread (M, d), and sorted, for some of them, log density and distance to others."""
    codes = np.asarray(bundle.codes.mu, np.float64)
    scaled = (codes / np.maximum(bundle.stats.std, 1e-6)).astype(np.float32)
    some = np.random.default_rng(0).permutation(len(codes))
    density = np.sort(latent.log_density(codes[some[:400]], bundle.stats))
    return scaled, density, np.sort(_neighbours(scaled[some[:400]], scaled, skip=1))


def warm(bundle: Bundle) -> None:
    """Measure the data ahead of the first ribbon."""
    if len(bundle.codes.mu) >= 10 * NEIGHBOURS:
        _usual(bundle)


def _neighbours(queries: Array, scaled: Array, skip: int = 0) -> Array:
    """Mean distance (n,) to the NEIGHBOURS nearest codes; skip=1 leaves out the query itself."""
    square = (queries**2).sum(1)[:, None] + (scaled**2).sum(1) - 2 * queries @ scaled.T
    last = min(skip + NEIGHBOURS, scaled.shape[0]) - 1
    nearest = np.sort(np.partition(square, last, axis=1)[:, : last + 1], axis=1)[:, skip:]
    return np.sqrt(np.maximum(nearest, 0)).mean(1)


def ribbon(
    bundle: Bundle, sources: Sequence[Source], path: str = "slerp", points: int = 49, shift: Array | None = None
) -> Ribbon | None:
    """How usual the frames of a morph are under the prior and near the data; None where the bundle has hardly any codes."""
    if len(bundle.codes.mu) < 10 * NEIGHBOURS or len(sources) < 2:
        return None
    t = np.linspace(0, 1, points)
    z = np.stack([source.z for source in sources])
    codes = mix_codes(z, path_weights(t, len(sources)), path)
    codes = codes if shift is None else codes + shift
    scaled, usual, near = _usual(bundle)
    density = latent.log_density(codes, bundle.stats)
    distance = _neighbours((codes / np.maximum(bundle.stats.std, 1e-6)).astype(np.float32), scaled)
    return Ribbon(
        t=t,
        density=density - float(np.median(usual)),
        prior=np.searchsorted(usual, density, side="right") / len(usual),
        data=1 - np.searchsorted(near, distance) / len(near),
    )


# ---------------------------------------------------------------------------------------- more like me


@dataclass(frozen=True)
class Likeness:
    """How near a picture is to its photo: PSNR in dB, and distance of dlib's descriptors (None without a face)."""

    psnr: float
    distance: float | None

    @property
    def same_person(self) -> bool:
        """Whether dlib's authors would call the two one person."""
        return self.distance is not None and self.distance < faces.SAME_PERSON


def likeness(bundle: Bundle, source: Source, picture: Array | None = None) -> Likeness:
    """Of a source and the model's picture of it (by default its reconstruction), which lies on the eye template."""
    picture = reconstruct(bundle, [source])[0] if picture is None else picture
    distance = None
    if bundle.eyes is not None and bundle.channels == 3:
        distance = faces.same_person(descriptor(bundle, source), faces.describe(picture, bundle.eyes))
    return Likeness(float(psnr(source.crop[None], picture[None])[0]), distance)


def descriptor(bundle: Bundle, source: Source) -> Array:
    """dlib's descriptor (128,) of a source: of the photo at its own resolution where there is one."""
    if source.photo is not None and source.eyes is not None:
        return faces.describe(source.photo, source.eyes)
    return faces.describe(source.crop, bundle.eyes)


def recognition(bundle: Bundle, a: Source, b: Source, path: str = "slerp", points: int = 11) -> tuple[Array, Array]:
    """Along the mix from a to b: t (n,) and the descriptor distances (n, 2) of each frame to the two people."""
    t = np.linspace(0, 1, points)
    people = [descriptor(bundle, source) for source in (a, b)]
    rows = []
    for picture in morph(bundle, [a, b], t, path):
        seen = faces.describe(picture, bundle.eyes)
        rows.append([faces.same_person(person, seen) for person in people])
    return t, np.array(rows)


def crossings(t: Array, distances: Array, bound: float = faces.SAME_PERSON) -> tuple[float | None, float | None]:
    """Mix up to which the first person is recognised, and from which the second is; None where one never is."""

    def last_below(x: Array, y: Array) -> float | None:
        above = np.flatnonzero(y >= bound)
        if not len(above):
            return float(x[-1])
        if above[0] == 0:
            return None
        i = above[0]
        return float(x[i - 1] + (bound - y[i - 1]) / (y[i] - y[i - 1]) * (x[i] - x[i - 1]))

    return last_below(t, distances[:, 0]), last_below(t[::-1], distances[::-1, 1])


def refinable(bundle: Bundle, sources: Sequence[Source]) -> list[int]:
    """Which sources are photos that refining can bring nearer; drawn faces are the model's own already."""
    return [i for i, source in enumerate(sources) if bundle.levels and source.photo is not None]


# ---------------------------------------------------------------------------------- back into the photo


def fine_factor(bundle: Bundle, source: Source) -> int:
    """How many times the model's size a photo's crop is worth, 1 to FINE_FACTOR."""
    apart = float(np.hypot(*np.subtract(*source.eyes)))
    template = float(np.hypot(*np.subtract(*bundle.eyes)))
    return int(min(FINE_FACTOR, max(1, np.ceil(apart / template))))


def _fine_crop(bundle: Bundle, source: Source, factor: int) -> Array:
    size = bundle.image_size * factor
    if source.photo is None:
        return media.upscale(source.crop, factor)
    # Pixel centres: (x + 0.5) * factor - 0.5 is the place of x in the finer crop.
    template = [[(x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5] for x, y in bundle.eyes]
    return faces.align(source.photo, source.eyes, template, size)


def keep_detail(
    bundle: Bundle, sources: Sequence[Source], weights: Array, picture: Array, amount: float, factor: int = 1
) -> Array:
    """Add to a blend what the model could not say about its photos (photo minus reconstruction), weighted like the faces.

    picture: uint8 (s, s, 3); amount 0..1; the result is `factor` times as large. weights: (k,) or (L, k), averaged
    over the levels.
    """
    share = check_weights(weights, bundle.levels, len(sources)).mean(0)
    made = reconstruct(bundle, sources)
    photo = np.zeros((bundle.image_size * factor, bundle.image_size * factor, 3))
    drawn = np.zeros(made.shape[1:])
    for i in np.flatnonzero(share):
        photo += share[i] * _fine_crop(bundle, sources[i], factor)
        drawn += share[i] * made[i]
    return faces.detail(photo.round().astype(np.uint8), drawn.round().astype(np.uint8), amount, picture)


def paste(
    bundle: Bundle, source: Source, picture: Array, feather: float = 0.16, match: float = 1.0
) -> tuple[Array, Array]:
    """Lay a crop (s * factor px) back into a source's photo -> the photo, and the share 0..1 (h, w) that is not the photo's."""
    if source.photo is None or source.eyes is None or bundle.eyes is None:
        raise BlendError(f"{source.name} is not a photo; choose a photo to paste the face into.")
    factor = picture.shape[0] // bundle.image_size
    template = [[(x + 0.5) * factor - 0.5, (y + 0.5) * factor - 0.5] for x, y in bundle.eyes]
    matrix = faces.align_matrix(source.eyes, template)
    result = faces.paste_back(source.photo, picture, matrix, feather=feather, match=match)
    ground = np.zeros_like(source.photo)
    white = np.full_like(picture, 255)
    share = faces.paste_back(ground, white, matrix, feather=feather, match=0.0)[..., 0] / 255
    return result, share


def tint(picture: Array, share: Array, colour: tuple[int, int, int] = (20, 184, 166)) -> Array:
    """Colour what is the model's (share 0..1 (h, w)) over a picture that is turned grey where it is the photo's."""
    grey = picture.mean(2, keepdims=True)
    model = 0.55 * picture + 0.45 * np.array(colour)
    return (share[..., None] * model + (1 - share[..., None]) * grey).round().astype(np.uint8)


# ------------------------------------------------------------------------------------------ command line


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


def _edit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name, float(value)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vae blend`."""
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="two to four photos (PNG, JPEG, WebP)")
    parser.add_argument("--model", default="faces-128", help="name of the model bundle (default: %(default)s)")
    parser.add_argument("--mix", type=_amount, default=0.5, help="0 = all A, 1 = all B (default: %(default)s)")
    for group, what in zip(GROUPS, ("pose and shape", "features", "colour and texture")):
        parser.add_argument(f"--{group}", type=_amount, help=f"the same for {what} alone")
    parser.add_argument(
        "--weights", type=float, nargs="+", metavar="W", help="a share for each photo, instead of --mix"
    )
    parser.add_argument(
        "--edit", type=_edit, nargs="+", default=[], metavar="NAME=SIGMA", help="move along named directions"
    )
    parser.add_argument("--path", choices=PATHS, default="slerp", help="way between the codes (default: %(default)s)")
    parser.add_argument(
        "--face", type=int, nargs="+", default=[], metavar="N", help="which face of each photo, 1 = largest"
    )
    parser.add_argument(
        "--refine", action="store_true", help="refine the photos first, so that both ends are the two people"
    )
    parser.add_argument("--steps", type=int, help="refining steps (default: as the app)")
    parser.add_argument("--detail", type=_amount, default=0.0, help="0 to 1 of what the model cannot say is added back")
    parser.add_argument("--paste", choices=[*"ABCD"], help="lay the face back into the whole of this photo")
    parser.add_argument("--scale", type=int, choices=(1, 2, 4), default=1, help="enlarge the picture or the film")
    parser.add_argument("--out", type=Path, help="picture to write (PNG)")
    parser.add_argument("--film", type=Path, help="film to write, by its ending: mp4, gif or webp")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the film (default: %(default)s)")
    parser.add_argument("--fps", type=int, default=30, help="frames a second (default: %(default)s)")
    parser.add_argument("--ping-pong", action="store_true", help="there and back")
    parser.add_argument("--grid", type=Path, help="table of style mixes to write (PNG)")
    parser.add_argument(
        "--cut", type=int, default=2, help="first level that the columns of the grid give (default: %(default)s)"
    )


def refine_sources(
    bundle: Bundle,
    sources: Sequence[Source],
    refiner: Refiner,
    steps: int | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> list[Source]:
    """Refine every photo among the sources in one batch, in the refiner's worker -> sources with offsets."""
    chosen = refinable(bundle, sources)
    if not chosen:
        return list(sources)
    job = start_refining(bundle, [sources[i] for i in chosen], refiner, steps)
    for step in job.subscribe():
        if on_step:
            on_step(step)
    if job.state != "done":
        raise BlendError(job.error or "Refining was cancelled; start it again.")
    return with_offsets(sources, chosen, job.latest.delta)


def start_refining(bundle: Bundle, photos: Sequence[Source], refiner: Refiner, steps: int | None = None) -> Job:
    """Refine photos in one batch, from what the encoder said of them, whatever offsets they have by now."""
    crops, z = np.stack([photo.crop for photo in photos]), np.stack([photo.z for photo in photos])
    once = [photo.delta_once for photo in photos]
    return refiner.start(bundle, crops, z, steps, None if once[0] is None else np.stack(once))


def with_offsets(sources: Sequence[Source], chosen: Sequence[int], delta: Array) -> list[Source]:
    """The sources, those chosen with a refinement's offsets (n, L, S)."""
    result = list(sources)
    for i, offsets in zip(chosen, delta):
        result[i] = replace(result[i], delta=np.asarray(offsets, np.float32), refined=True)
    return result


def run(args: argparse.Namespace, bundle: Bundle) -> int:
    """`python -m vae blend`: write the picture, the film or the grid that was asked for."""
    if not (args.out or args.film or args.grid):
        raise BlendError("Nothing to write; name a picture with --out, a film with --film or a table with --grid.")
    if not 2 <= len(args.photos) <= MAX_SOURCES:
        raise BlendError(f"{len(args.photos)} photo(s) were given; give two to {MAX_SOURCES}.")
    if args.film and args.film.suffix[1:].lower() not in FILM_KINDS:
        raise BlendError(f"The film {args.film.name} has an unknown ending; use .mp4, .gif or .webp.")
    numbers = args.face + [1] * (len(args.photos) - len(args.face))
    sources = []
    for path, number in zip(args.photos, numbers):
        try:
            sources.append(photo_source(bundle, path.read_bytes(), path.name, number - 1))
        except OSError as error:
            raise BlendError(f"{path} cannot be read ({error.strerror}); check the name.") from None
        except (faces.FaceError, faces.ImageError) as error:
            raise BlendError(f"In {path.name}: {error}") from None
    if args.refine:
        sources = _refined(bundle, sources, args.steps)
    if args.weights or len(sources) > 2:
        weights = check_weights(args.weights or [1.0] * len(sources), bundle.levels, len(sources))
    else:
        weights = pair_weights(bundle.levels, args.mix, args.coarse, args.middle, args.fine)
    shift = edit_shift(bundle, dict(args.edit))
    if args.out:
        picture = _finish(bundle, sources, weights, shift, args)
        args.out.write_bytes(media.png(picture, args.scale))
        print(f"{args.out}: {picture.shape[1] * args.scale} x {picture.shape[0] * args.scale}")
    if args.grid:
        rows, columns = sources[: (len(sources) + 1) // 2], sources[(len(sources) + 1) // 2 :]
        args.grid.write_bytes(media.png(grid(bundle, rows, columns, args.cut), args.scale))
        print(f"{args.grid}: {len(rows)} x {len(columns)} mixes, cut at level {args.cut}")
    if args.film:
        kind = args.film.suffix[1:].lower()
        data = film(bundle, sources, kind, args.seconds, args.fps, args.ping_pong, args.path, shift, args.scale)
        args.film.write_bytes(data)
        print(f"{args.film}: {args.seconds:g} s at {args.fps} frames/s, {len(data) / 1e6:.2f} MB")
    return 0


def _finish(bundle: Bundle, sources: Sequence[Source], weights: Array, shift: Array, args: argparse.Namespace) -> Array:
    picture = blend(bundle, sources, weights, args.path, shift)
    into = None if args.paste is None else "ABCD".index(args.paste)
    if into is not None and into >= len(sources):
        raise BlendError(f"There is no photo {args.paste}; {len(sources)} were given.")
    if args.detail or into is not None:
        if bundle.eyes is None:
            raise BlendError(f"{bundle.name} is not a face model; leave out --detail and --paste.")
        factor = 1 if into is None else fine_factor(bundle, sources[into])
        picture = keep_detail(bundle, sources, weights, picture, args.detail, factor)
    return picture if into is None else paste(bundle, sources[into], picture)[0]


def _refined(bundle: Bundle, sources: list[Source], steps: int | None) -> list[Source]:
    from vae.photos.refine import Refiner

    before = [likeness(bundle, source) for source in sources]
    refiner = Refiner()
    try:
        sources = refine_sources(bundle, sources, refiner, steps)
    finally:
        refiner.close()
    for source, old in zip(sources, before):
        new = likeness(bundle, source)
        text = f"{source.name}: PSNR {old.psnr:.1f} -> {new.psnr:.1f} dB"
        if new.distance is not None:
            text += f", descriptor distance {old.distance:.2f} -> {new.distance:.2f}"
            text += " (same person)" if new.same_person else " (not recognised)"
        print(text)
    return sources
