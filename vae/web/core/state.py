"""What a visitor has in hand: the current code of each model and the photos of the session, shared by all pages.

Everything lives in st.session_state, so in memory and no longer than the session; photos are never written anywhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import streamlit as st

from vae import likeness, media
from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.bundles.registry import Registry
from vae.photos import faces
from vae.photos.feature import Feature, guessed
from vae.photos.sources import piece
from vae.space import packing, settling
from vae.space.errors import LatentError
from vae.web.core.mount import usual_sigma
from vae.web.core.saved import read_saved

DEFAULT_MODEL = "faces-128"
FIRST_SEED, FIRST_TEMPERATURE = 20, 0.7
MAX_PHOTOS = 12
MIN_SIDE = 16
KEY = "studio"


@dataclass
class Photo:
    """A photo as one model sees it. image (h, w, 3) and crop (s, s, c) uint8; mu, logvar (d,).

    delta_once (L, S): the style offsets that the encoder read beside the code, None where the model reads none;
    feature_once: what is guessed beyond them, likewise. delta (L, S), feature: those of the refinement, None before it.
    detail: how much of the feature is kept, 0 to 1.
    """

    id: str
    name: str
    image: np.ndarray = field(repr=False)
    found: list[faces.Face]
    eyes: faces.Eyes | None
    crop: np.ndarray = field(repr=False)
    mu: np.ndarray = field(repr=False)
    logvar: np.ndarray = field(repr=False)
    once: np.ndarray = field(repr=False)  # the reconstruction of the encoder's single pass
    psnr: float
    job: Any = None
    delta_once: np.ndarray | None = field(default=None, repr=False)
    delta: np.ndarray | None = field(default=None, repr=False)
    feature: Feature | None = None
    feature_once: Feature | None = None
    refined_psnr: float | None = None
    refined: bool = True
    detail: float = 1.0

    @property
    def job_id(self) -> str | None:
        """Name of the refinement in /api/refine."""
        return self.job.id if self.job else None

    @property
    def refining(self) -> bool:
        """Whether the refinement still runs."""
        return self.job is not None and self.job.state in ("waiting", "running")

    def collect(self) -> None:
        """Take over what the refinement has reached so far."""
        step = self.job.latest if self.job else None
        if step is not None:
            self.delta, self.refined_psnr = step.delta[0], float(step.psnr[0])
            self.feature = step.features[0] if step.features else self.feature


@dataclass
class Current:
    """The code on screen for one model. z (d,) float32; revision counts the codes that Python has set."""

    model: str
    digest: str
    z: np.ndarray = field(repr=False)
    origin: np.ndarray = field(repr=False)
    revision: int = 0
    photo: Photo | None = None
    axis: str | None = None
    seed: int | None = FIRST_SEED
    temperature: float = FIRST_TEMPERATURE

    @property
    def delta(self) -> np.ndarray | None:
        """Style offsets of the photo, if there is one: the refined ones, or those of one pass where that is off."""
        if self.photo is None:
            return None
        refined = self.photo.refined and self.photo.delta is not None
        return self.photo.delta if refined else self.photo.delta_once

    @property
    def feature(self) -> Feature | None:
        """What the photo has beyond code and styles, where it is on."""
        if self.photo is None:
            return None
        refined = self.photo.refined and self.photo.feature is not None
        return self.photo.feature if refined else self.photo.feature_once

    def decode(self, bundle: Bundle, z: np.ndarray | None = None) -> np.ndarray:
        """Pictures uint8 (n, s, s, c) of codes (n, d), by default the present one, with all that the photo carries."""
        z = np.atleast_2d(self.z if z is None else z)
        delta = None if self.delta is None else np.repeat(self.delta[None], len(z), axis=0)
        if self.feature is None:
            return bundle.decode(z, delta)
        offset = self.photo.detail * self.feature.offset.astype(np.float32)
        return bundle.decode(z, delta, feature=offset, anchor=self.feature.anchor)

    def put(self, z: np.ndarray, photo: Photo | None = None, seed: int | None = None) -> None:
        """Set a new code from Python's side, as the new start."""
        self.z = self.origin = np.asarray(z, np.float32)
        self.photo, self.seed = photo, seed
        self.revision += 1

    def absorb(self, bundle: Bundle, sent: Any) -> None:
        """Take over what the component committed, unless Python has set another code since."""
        if not isinstance(sent, Mapping) or sent.get("revision") != self.revision:
            return
        self.z = bundle.check_z(packing.unpack(str(sent.get("z", "")), bundle.stats))
        self.photo = studio().photos.get(sent.get("photo"))
        if self.photo:
            self.photo.refined = bool(sent.get("refined", True))
            detail = sent.get("detail")
            if isinstance(detail, (int, float)) and 0 <= detail <= 1:
                self.photo.detail = float(detail)
        seed, temperature = sent.get("seed"), sent.get("temperature")
        self.seed = int(seed) if isinstance(seed, (int, float)) else None
        if isinstance(temperature, (int, float)) and 0 <= temperature <= 2:
            self.temperature = float(temperature)
        if isinstance(sent.get("axis"), str):
            self.axis = sent["axis"]


@dataclass
class Studio:
    """One visitor's session."""

    model: str | None = None
    currents: dict[str, Current] = field(default_factory=dict)
    photos: dict[str, Photo] = field(default_factory=dict)
    drafts: dict[str, Photo] = field(default_factory=dict)  # in the panel, by model; perhaps without a face yet
    files: dict[str, str] = field(default_factory=dict)  # the upload that was last looked at, by model
    refusals: dict[str, str] = field(default_factory=dict)  # why it was not taken
    link_read: bool = False


def studio() -> Studio:
    """The session's Studio, made on first use."""
    if KEY not in st.session_state:
        st.session_state[KEY] = Studio()
    return st.session_state[KEY]


def grid(z: np.ndarray, bundle: Bundle) -> np.ndarray:
    """The code on the grid of links, so that a link gives the same pixels."""
    return packing.unpack(packing.pack(z, bundle.stats), bundle.stats)


@lru_cache(maxsize=16)
def first(bundle: Bundle) -> tuple[np.ndarray, bool]:
    """The code (d,) that every visitor begins with, and whether it is a draw: else it is a piece of music of the data.

    Kept, because a draw that settles takes the encoder, which is loaded for the first visitor only.
    """
    found = piece(bundle, 0)
    if found is not None:
        return grid(bundle.check_z(found), bundle), False
    return grid(settling.draw(bundle, FIRST_SEED, FIRST_TEMPERATURE)[0], bundle), True


def current(bundle: Bundle) -> Current:
    """The visitor's code for a model; at first a draw from its prior, or a piece of music of the data."""
    known = studio().currents.get(bundle.name)
    if known is None or known.digest != bundle.digest:
        z, drawn = first(bundle)
        # Counting goes on over sessions and models: a code of an older component is then never taken for a new one.
        known = Current(bundle.name, bundle.digest, z.copy(), z.copy(), revision=secrets.randbelow(2**31) + 1)
        known.seed = FIRST_SEED if drawn else None
        studio().currents[bundle.name] = known
    if known.photo:
        known.photo.collect()
    return known


def choose(registry: Registry) -> tuple[list[str], dict[str, str]]:
    """Names of the bundles that work, the usual one first, and for the broken ones the reason."""
    entries = registry.entries()
    broken = {entry["name"]: entry["broken"] for entry in entries if "broken" in entry}
    names = [entry["name"] for entry in entries if "broken" not in entry]
    return sorted(names, key=lambda name: name != DEFAULT_MODEL), broken


@dataclass(frozen=True)
class Linked:
    """What a link means here. name: of the model, None where it names none. same: that model is the one that made it.

    note: a sentence where the link calls it by another name, "" otherwise.
    """

    name: str | None
    same: bool
    note: str = ""


def linked(query: Mapping[str, str], registry: Registry) -> Linked:
    """The model that a link was made with: the one of its hash, whatever it is called by now, else the one it names."""
    name, digest = query.get("model"), query.get("hash")
    if not name or not digest:
        return Linked(name, False)
    named = None
    if name in registry.names():
        try:
            named = registry.get(name)
        except BundleError:  # said where the model is opened; the one that made the link may be another
            pass
    if named and (named.digest == digest or digest in named.formerly):
        return Linked(name, True)
    found = registry.by_digest(digest)
    if found is None:
        return Linked(name, False)
    made = "with an earlier model" if named else f"when its model was called \u201c{name[:60]}\u201d"
    return Linked(found.name, True, f"This link was made {made}; it is shown with {found.title}.")


def read_link(query: Mapping[str, str], registry: Registry) -> tuple[str, bool] | None:
    """Take over the model and the code of the address, once a session.

    A sentence where there is something to say, and whether the link's picture is shown nevertheless.
    """
    here = studio()
    if here.link_read:
        return None
    here.link_read = True
    meant, text = linked(query, registry), query.get("z")
    name = meant.name
    if not name:
        return ("The link holds a code but no model, so you see a new picture.", False) if text else None
    if name not in registry.names():
        named = f"The link names the model \u201c{name[:60]}\u201d"
        return f"{named}, which is not here; ask its sender for its folder.", False
    try:
        bundle = registry.get(name)
    except BundleError as error:
        return str(error), False
    here.model = name
    if not text:
        return None
    if not meant.same:
        made = f"This link was made with another version of {bundle.title}"
        return f"{made}, so you see a new picture; ask for a new link.", False
    try:
        z = bundle.check_z(packing.unpack(text[:8192], bundle.stats))
    except (LatentError, BundleError) as error:
        return str(error), False
    current(bundle).put(z)
    return (meant.note, True) if meant.note else None


def link(bundle: Bundle, z: np.ndarray) -> dict[str, str]:
    """Query of the address that reproduces a code."""
    return {"model": bundle.name, "hash": bundle.digest, "z": packing.pack(z, bundle.stats)}


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures (h, w, c) in decibels."""
    return float(likeness.psnr(a[None], b[None])[0])


def see(bundle: Bundle, image: np.ndarray, eyes: faces.Eyes | None) -> np.ndarray:
    """The part of a photo that the model sees, (s, s, c) uint8: aligned by the eyes, or the middle square."""
    size = bundle.image_size
    if min(image.shape[:2]) < MIN_SIDE:
        raise faces.ImageError(
            f"This picture has {image.shape[1]} x {image.shape[0]} px; use one of at least {MIN_SIDE} px each way."
        )
    crop = faces.align(image, eyes, bundle.eyes, size) if eyes else media.square(image, size)
    return media.grey(crop) if bundle.channels == 1 else crop


def load_photo(bundle: Bundle, here: Current, data: bytes, name: str, refiner: Any) -> Photo:
    """Read a file, find the face, set every slider to its values and start refining. Raises ImageError, FaceError."""
    image = faces.read_image(data)
    found: list[faces.Face] = []
    eyes = None
    if bundle.eyes is not None:
        found = faces.find_faces(image)
        if found:
            eyes = faces.check_face(found[0]).eyes
        else:  # offered for placing by hand, in the model's own proportions
            eyes = faces.usual_eyes(image, bundle.eyes, bundle.image_size)
    return show_photo(bundle, here, image, name, found, eyes, refiner, start=bool(found) or bundle.eyes is None)


def carry(
    bundle: Bundle, here: Current, z: np.ndarray, delta: np.ndarray | None, feature: Feature | None, name: str,
    picture: np.ndarray | None = None, detail: float = 1.0,
) -> None:  # fmt: skip
    """Make a code (d,) with style offsets (L, S) and a feature the current one, without a photo behind it.

    picture (s, s, c): what it stands for, where that is more than they draw.
    """
    z = grid(bundle.check_z(z), bundle)
    photo = None
    if delta is not None or feature is not None:
        delta = np.zeros((bundle.levels, bundle.style_size), np.float32) if delta is None else delta
        offset = None if feature is None else detail * feature.offset.astype(np.float32)
        made = bundle.decode(z, delta[None], feature=offset, anchor=None if feature is None else feature.anchor)[0]
        picture, once = made if picture is None else picture, bundle.decode(z)[0]
        photo = Photo(
            secrets.token_urlsafe(9), name, media.rgb(picture), [], bundle.eyes, picture, z,
            2 * np.log(usual_sigma(bundle)), once, psnr(picture, once),
            delta=delta, feature=feature, refined_psnr=psnr(picture, made), detail=detail,
        )  # fmt: skip
        studio().photos[photo.id] = photo
    here.put(z, photo)


def open_saved(bundle: Bundle, here: Current, data: bytes, name: str) -> None:
    """Make a code that the app has saved the current one. Raises SavedError."""
    found = read_saved(bundle, data)
    carry(bundle, here, found.z, found.delta, found.feature, name[:60], detail=found.detail)


def show_photo(
    bundle: Bundle,
    here: Current,
    image: np.ndarray,
    name: str,
    found: list[faces.Face],
    eyes: faces.Eyes | None,
    refiner: Any,
    start: bool = True,
) -> Photo:
    """Encode a photo by these eyes; with `start` its code becomes the current one and refining begins."""
    crop = see(bundle, image, eyes)
    mu, logvar, delta = bundle.encode_with_offsets(crop[None])
    z = grid(bundle.check_z(mu[0]), bundle)
    feature = guessed(bundle, crop, z, None if delta is None else delta[0])
    more = {} if feature is None else {"feature": feature.offset, "anchor": feature.anchor}
    once = bundle.decode(z, delta, **more)[0]
    photo = Photo(
        secrets.token_urlsafe(9), name, image, found, eyes, crop, mu[0], logvar[0], once, psnr(crop, once),
        delta_once=None if delta is None else delta[0], feature_once=feature,
    )  # fmt: skip
    studio().drafts[bundle.name] = photo
    if not start:
        return photo
    store = studio().photos
    store[photo.id] = photo
    while len(store) > MAX_PHOTOS:
        store.pop(next(iter(store)))
    if here.photo and here.photo.refining:
        here.photo.job.cancel()
    if bundle.levels:
        photo.job = refiner.start(bundle, crop[None], z[None], delta=delta)
    here.put(z, photo)
    return photo
