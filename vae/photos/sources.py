"""The faces to blend: photos, read, aligned and encoded, and faces that the model draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vae import media
from vae.photos import faces
from vae.photos.feature import Feature, guessed, mixed
from vae.space import settling
from vae.space.mixing import BlendError

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

SAMPLE_SEEDS = (28, 11, 12, 49, 2)
SAMPLE_TEMPERATURE = 0.7


@dataclass(frozen=True, eq=False)
class Source:
    """One of the faces to blend.

    z: code (d,) float32. crop: what the model was shown, uint8 (s, s, c). delta_once: style offsets (L, S) that the
    encoder read from the photo, where the model reads such; feature_once: what it guesses beyond them, likewise. delta,
    feature: those in use, `refined` says whether they are a refinement's. photo: uint8 (h, w, 3), faces found in it and the eyes in use; None for a face that the model drew.
    """

    name: str
    z: Array
    crop: Array
    delta: Array | None = None
    delta_once: Array | None = None
    refined: bool = False
    feature: Feature | None = None
    feature_once: Feature | None = None
    photo: Array | None = None
    found: tuple[faces.Face, ...] = ()
    eyes: faces.Eyes | None = None
    remark: str | None = None


def photo_source(
    bundle: Bundle,
    picture: bytes | Array,
    name: str = "photo",
    face: int = 0,
    eyes: faces.Eyes | None = None,
    seen: faces.Faces | None = None,
) -> Source:
    """Read a photo, find its face (or take the eyes given, in px of the photo), align it and encode it.

    seen: the faces that find_faces gave for the photo, where it was asked before. Raises ImageError and FaceError with a sentence.
    """
    photo = faces.read_image(picture) if isinstance(picture, bytes) else picture
    found: tuple[faces.Face, ...] = ()
    remark = None
    if bundle.eyes is None:
        crop = media.square(photo, bundle.image_size)
    else:
        seen = faces.find_faces(photo) if seen is None else seen
        found = tuple(seen)
        eyes = faces.find_face(photo, face, seen).eyes if eyes is None else eyes
        crop = faces.align(photo, eyes, bundle.eyes, bundle.image_size)
        remark = faces.remark(seen)
    return _encoded(bundle, Source(name, np.empty(0), crop, photo=photo, found=found, eyes=eyes, remark=remark))


def _encoded(bundle: Bundle, source: Source) -> Source:
    crop = media.grey(source.crop) if bundle.channels == 1 and source.crop.shape[-1] == 3 else source.crop
    mu, _, delta = bundle.encode_with_offsets(crop[None])
    once = None if delta is None else delta[0]
    more = guessed(bundle, crop, mu[0], once)
    encoded = {"z": mu[0], "crop": crop, "delta": once, "delta_once": once, "feature": more, "feature_once": more}
    return replace(source, **encoded, refined=False)


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
    """A picture drawn from the prior, with whole parts where the bundle settles its draws."""
    return code_source(bundle, settling.draw(bundle, seed, temperature)[0], f"Drawn {bundle.noun}, seed {seed}")


def astronaut() -> Array | None:
    """scikit-image's public-domain portrait of Eileen Collins, uint8 (512, 512, 3); None where it is not installed."""
    try:
        from skimage import data
    except ImportError:
        return None
    return data.astronaut()


def piece(bundle: Bundle, index: int) -> Array | None:
    """The code (d,) of a piece of music of the data, 0 to 4, which people know to be one. None for other models."""
    if bundle.player != "roll" or len(bundle.codes) < len(SAMPLE_SEEDS):
        return None
    return bundle.codes.mu[len(bundle.codes) // len(SAMPLE_SEEDS) * index].astype(np.float32)


def sample_source(bundle: Bundle, index: int) -> Source:
    """Ready sample `index` (0..5): five drawn faces, and the astronaut; of music five pieces. Raises BlendError."""
    if 0 <= index < len(SAMPLE_SEEDS):
        found = piece(bundle, index)
        if found is not None:
            return code_source(bundle, found, f"Piece {index + 1} of the data")
        return drawn_source(bundle, SAMPLE_SEEDS[index])
    picture = astronaut() if index == len(SAMPLE_SEEDS) and bundle.eyes is not None else None
    if picture is None:
        raise BlendError(f"There is no sample number {index + 1}; choose one that the page shows.")
    return photo_source(bundle, picture, "Astronaut")


def reconstruct(bundle: Bundle, sources: Sequence[Source]) -> Array:
    """What the model makes of each source, uint8 (k, s, s, c), with the offsets that it has."""
    z, delta = stack(bundle, sources)
    feature = mixed([source.feature for source in sources], np.eye(len(sources)))
    return bundle.decode(z, delta, feature=feature)


def stack(bundle: Bundle, sources: Sequence[Source]) -> tuple[Array, Array | None]:
    """Codes (k, d) and style offsets (k, L, S) of sources, float32; None where no source has offsets."""
    z = np.stack([source.z for source in sources]).astype(np.float32)
    if not bundle.levels or all(source.delta is None for source in sources):
        return z, None
    none = np.zeros((bundle.levels, bundle.style_size), np.float32)
    return z, np.stack([none if source.delta is None else source.delta for source in sources]).astype(np.float32)
