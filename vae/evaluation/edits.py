"""Faces that were refined, under the sliders and mixed with each other: are they still the same people?

Identity is dlib's descriptor, which no training here has seen; what an edit does is read by the model's own encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.photos import faces
from vae.photos.feature import Feature, mixed
from vae.space import latent
from vae.space.axes import bases

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

# Named directions that people try first, and how far, in sigma.
EDITS = (
    ("Smiling", 2.0), ("Smiling", -2.0), ("Head_turn", 1.5), ("Young", -2.0), ("Male", 2.0), ("Eyeglasses", 2.0),
    ("Blond_Hair", 2.0), ("Bangs", 2.0), ("No_Beard", -2.0), ("Pale_Skin", 2.0),
)  # fmt: skip
STEPS = 7  # pictures of a mix, both ends among them
PARTNERS = 50  # pairs at most


@dataclass(frozen=True, eq=False)
class Refined:
    """What refining found for faces: codes mu (N, d), style offsets delta (N, L, S) and before it once, features (N)."""

    mu: Array
    once: Array | None
    delta: Array
    features: list[Feature | None]

    def pictures(self, bundle: Bundle, mu: Array) -> Array:
        """The faces at other codes (N, d), with all that is theirs: uint8 (N, s, s, c)."""
        if any(feature is None for feature in self.features):
            return bundle.decode(mu, self.delta)
        anchor = np.stack([feature.anchor for feature in self.features]).astype(np.float32)
        return bundle.decode(mu, self.delta, feature=mixed(self.features, np.eye(len(mu))), anchor=anchor)


def described(bundle: Bundle, images: Array) -> Array:
    """dlib's descriptors (N, 128) of pictures (N, s, s, 3)."""
    return np.array([faces.describe(image, bundle.eyes) for image in images])


def under_edits(bundle: Bundle, people: Array, found: Refined) -> tuple[dict[str, dict[str, float]], list[Array]]:
    """Each of EDITS that the model has: same (share recognised), distance (median) to the photos, and effect.

    people: descriptors of the photos (N, 128). effect: how far the encoder sees the edit move the refined pictures, of
    how far it moves those without refining; 1 where refining costs the edit nothing. Then the pictures of each edit.
    """
    named, mean = bases(bundle).get("named"), bundle.stats.mean
    ids = [axis.id for axis in named.axes] if named else []
    told, pictures = {}, []
    alone, whole = bundle.decode(found.mu, found.once), found.pictures(bundle, found.mu)
    for name, step in EDITS:
        if name not in ids:
            continue
        row = ids.index(name)
        moved = bundle.check_z(found.mu + step * named.D[row])
        images = found.pictures(bundle, moved)

        def read(pictures: Array, row: int = row) -> Array:
            return named.values(bundle.encode(pictures)[0], mean)[:, row]

        pictures.append(images)
        gap = np.linalg.norm(described(bundle, images) - people, axis=1)
        usual = (read(bundle.decode(moved, found.once)) - read(alone)).mean()
        told[f"{name} {step:+g}"] = {
            "same": float((gap < faces.SAME_PERSON).mean()),
            "distance": float(np.median(gap)),
            "effect": float((read(images) - read(whole)).mean() / usual),
        }
    return told, pictures


def mixes(bundle: Bundle, found: Refined, count: int = PARTNERS) -> Array:
    """Each face with the next one, from one to the other: uint8 (pairs, STEPS, s, s, c)."""
    count = min(count, len(found.mu) - 1)
    rows = []
    for a in range(count):
        t = np.linspace(0, 1, STEPS)
        codes = np.stack(
            [latent.slerp(found.mu[a].astype(np.float64), found.mu[a + 1].astype(np.float64), s) for s in t]
        )
        weights = np.stack([1 - t, t], 1)
        delta = np.einsum("nk,kls->nls", weights, found.delta[a : a + 2]).astype(np.float32)
        rows.append(bundle.decode(bundle.check_z(codes), delta, feature=mixed(found.features[a : a + 2], weights)))
    return np.stack(rows)


def in_mixes(bundle: Bundle, people: Array, pictures: Array) -> dict[str, Any]:
    """Identity along mixes, by step: a and b, the median distance to the photo of either end.

    people: descriptors of the photos (N, 128); pictures: as `mixes` gives them. near: share of the middles that are
    nearer to one of their two people than SAME_PERSON. one_face: share of all pictures in which one face is seen.
    """
    along = np.stack([described(bundle, row) for row in pictures])  # (pairs, STEPS, 128)
    ends = people[: len(along)], people[1 : len(along) + 1]
    gaps = [np.linalg.norm(along - end[:, None], axis=2) for end in ends]
    seen = [len(faces.find_faces(image)) == 1 for row in pictures for image in row]
    return {
        "pairs": len(along),
        "a": [float(v) for v in np.median(gaps[0], 0)],
        "b": [float(v) for v in np.median(gaps[1], 0)],
        "near": float((np.minimum(*gaps)[:, STEPS // 2] < faces.SAME_PERSON).mean()),
        "one_face": float(np.mean(seen)),
    }
