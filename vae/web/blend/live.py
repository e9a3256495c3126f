"""The Blend page's session: the people in hand, what the component asks for, and what it is shown.

Photos live in st.session_state only. The component commits the state "blend" and fires the trigger "event":
{name: photo | sample | draw | face | eyes | remove | refine | refined, slot, ...}.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import streamlit as st

from vae import media
from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.media import MediaError
from vae.photos import blend, faces, recognition
from vae.photos.feature import Feature
from vae.photos.refine import RefineError
from vae.photos.refine_sources import refinable, start_job, with_offsets
from vae.photos.ribbon import make_ribbon, warm_ribbon
from vae.photos.sources import (
    SAMPLE_SEEDS,
    SAMPLE_TEMPERATURE,
    Source,
    astronaut,
    code_source,
    drawn_source,
    photo_source,
    reconstruct,
    sample_source,
    with_eyes,
)
from vae.space import mixing, packing
from vae.space.errors import LatentError
from vae.space.mixing import BlendError
from vae.web.blend.saved import read_blend
from vae.web.core import services, state
from vae.web.core.http import b64
from vae.web.core.mount import component, describe
from vae.web.core.saved import SavedError, is_saved

KEY = "blend-desk"
SHOWN_SIDE = 640  # px of a photo on its card
SENTENCES = (
    BlendError, BundleError, faces.FaceError, faces.ImageError, LatentError, MediaError, RefineError, SavedError
)  # fmt: skip

SKELETON = """
<div class="frame"><div class="live blend skeleton" aria-hidden="true">
<div class="cards"><article class="card vacant"></article><article class="card vacant"></article></div>
</div></div>
"""


@dataclass
class Person:
    """One of the people to blend, and what is shown of them. example: one that the page began with by itself."""

    source: Source
    example: bool = False
    id: str = field(default_factory=lambda: secrets.token_urlsafe(6))
    before: recognition.Likeness | None = None
    after: recognition.Likeness | None = None
    shown: dict[str, Any] | None = None


@dataclass
class Desk:
    """What a visitor blends with one model. weights: (L, k); shift: (d,) or None.

    whole: whether the mix is shown with whole parts (vae.space.settling).
    """

    digest: str
    people: list[Person] = field(default_factory=list)
    weights: np.ndarray | None = None
    at: Any = None
    path: str = "slerp"
    shift: np.ndarray | None = None
    whole: bool = False
    notice: str | None = None
    revision: int = field(default_factory=lambda: secrets.randbelow(2**31))
    job: Any = None
    chosen: list[str] = field(default_factory=list)
    films: dict[str, Any] = field(default_factory=dict)
    begun: bool = False

    @property
    def sources(self) -> list[Source]:
        """The people as vae.photos.blend takes them."""
        return [person.source for person in self.people]

    def picture(self, bundle: Bundle) -> np.ndarray:
        """The blend on screen, uint8 (s, s, c)."""
        return blend.blend(bundle, self.sources, self.weights, self.path, self.shift, self.whole)

    def put(self, slot: int, source: Source) -> None:
        """Place a person in a slot, or after the last."""
        if slot < len(self.people):
            self.people[slot] = Person(source)
        elif len(self.people) < mixing.MAX_SOURCES:
            self.people.append(Person(source))
            self.weights = self.at = None
        else:
            raise BlendError(f"{mixing.MAX_SOURCES} people are the most; take one away first.")

    def settle(self, bundle: Bundle) -> None:
        """Weights that fit the people: equal shares where there are none yet."""
        k = len(self.people)
        if k and (self.weights is None or self.weights.shape != (max(1, bundle.levels), k)):
            self.weights, self.at = np.full((max(1, bundle.levels), k), 1 / k), None

    def absorb(self, bundle: Bundle, sent: Any) -> None:
        """Take over the mix that the component committed, if it is a mix of these people."""
        if (
            not isinstance(sent, Mapping)
            or sent.get("people") != [person.id for person in self.people]
            or not self.people
        ):
            return
        self.weights = mixing.check_weights(sent.get("weights"), bundle.levels, len(self.people))
        self.at = sent.get("at")
        self.path = sent["path"] if sent.get("path") in mixing.PATHS else "slerp"
        self.whole = sent.get("whole") is True
        self.shift = None
        if isinstance(sent.get("shift"), str):
            try:
                shift = np.frombuffer(base64.b64decode(sent["shift"], validate=True), "<f4")
            except (binascii.Error, ValueError):
                raise BlendError("The changes to the blend could not be read; make them again.") from None
            if shift.shape != (bundle.latent_size,) or not np.isfinite(shift).all():
                raise BlendError(
                    f"The changes to the blend are not {bundle.latent_size} finite numbers; make them again."
                )
            self.shift = np.clip(shift, -12 * bundle.stats.std, 12 * bundle.stats.std)


@lru_cache(maxsize=8)
def warm(bundle: Bundle) -> None:
    """Load, behind the first look at the page, what the first photo would wait for."""

    def load() -> None:
        bundle.warm_up()
        if bundle.eyes is not None:
            faces.find_faces(np.zeros((64, 64), np.uint8))
        warm_ribbon(bundle)

    threading.Thread(target=load, name="blend-warm", daemon=True).start()


def desk(bundle: Bundle) -> Desk:
    """The session's Desk for a model, made on first use."""
    desks: dict[str, Desk] = st.session_state.setdefault(KEY, {})
    if bundle.name not in desks or desks[bundle.name].digest != bundle.digest:
        desks[bundle.name] = Desk(bundle.digest, whole=bundle.settle > 0 and not bundle.levels)
        warm(bundle)
    return desks[bundle.name]


def begin(bundle: Bundle, here: Desk, query: Mapping[str, str]) -> None:
    """What a visitor finds: the blend of the address, else two drawn faces that are mixed already."""
    read_link(bundle, here, query)
    if not here.begun and not here.people and "z0" not in query:
        for index in (0, 1):
            here.put(index, sample_source(bundle, index))
            here.people[index].example = True
        here.settle(bundle)
    here.begun = True  # whoever takes both away wants an empty desk


def open_photo(bundle: Bundle, data: bytes, name: str) -> Source:
    """A photo as a source; where no face is found, its eye marks are put in the middle for the hand to move."""
    photo = faces.read_image(data)
    if bundle.eyes is None:
        return photo_source(bundle, photo, name[:60])
    seen = faces.find_faces(photo)
    eyes = None if seen else faces.usual_eyes(photo, bundle.eyes, bundle.image_size)
    return photo_source(bundle, photo, name[:60], eyes=eyes, seen=seen)


def open_saved(bundle: Bundle, here: Desk, data: bytes) -> None:
    """Put a saved blend in place of all that lies on the desk. Raises SavedError."""
    sources, here.weights, here.path, here.shift, here.whole = read_blend(bundle, data)
    here.people, here.at = [Person(source) for source in sources], None
    here.revision += 1


def handle(bundle: Bundle, here: Desk, event: Any) -> None:
    """Do what the component asks; a refusal becomes the notice."""
    here.notice = None
    if not isinstance(event, Mapping):
        return
    name, slot = event.get("name"), event.get("slot", len(here.people))
    slot = min(max(slot, 0), len(here.people)) if isinstance(slot, int) else len(here.people)
    try:
        if name == "photo":
            data = _bytes(event.get("data"))
            if is_saved(data):
                open_saved(bundle, here, data)
            else:
                here.put(slot, open_photo(bundle, data, str(event.get("file") or "Photo")))
                services.refiner.prewarm(bundle)
        elif name == "sample":
            here.put(slot, sample_source(bundle, _whole(event.get("index"))))
        elif name == "draw":
            here.put(len(here.people), drawn_source(bundle, _whole(event.get("seed"))))
        elif name == "remove" and slot < len(here.people):
            del here.people[slot]
            here.weights = here.at = None
        elif name in ("face", "eyes") and slot < len(here.people):
            source = here.people[slot].source
            eyes = (
                source.found[_whole(event.get("index"), len(source.found))].eyes
                if name == "face"
                else _eyes(event.get("eyes"))
            )
            here.people[slot] = Person(with_eyes(bundle, source, eyes))
        elif name == "refine":
            start_refining(bundle, here)
        elif name == "refined":
            end_refining(bundle, here)
    except SENTENCES as error:
        here.notice = str(error)
    here.settle(bundle)


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) > 1.4 * faces.MAX_BYTES:
        raise faces.ImageError(f"This file is larger than {faces.MAX_BYTES >> 20} MB; use a smaller picture.")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise faces.ImageError("This file did not arrive whole; choose it again.") from None


def _whole(value: Any, end: int = 2**32) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < end:
        raise BlendError(
            f"{str(value)[:20]} is not a whole number from 0 to {end - 1}; choose one that the page shows."
        )
    return value


def _eyes(points: Any) -> faces.Eyes:
    eyes = np.asarray(points if isinstance(points, list) else [], dtype=float)
    if eyes.shape != (2, 2) or not np.isfinite(eyes).all():
        raise faces.FaceError("The eye marks are not two points; put one on each eye.")
    return tuple(map(tuple, eyes.tolist()))


def start_refining(bundle: Bundle, here: Desk) -> None:
    """Refine all photos in one batch, from the start."""
    chosen = refinable(bundle, here.sources)
    if not chosen:
        raise BlendError(f"Drawn {bundle.noun}s are the model\u2019s own already; add a photo to refine it.")
    if here.job:
        here.job.cancel()
    here.chosen = [here.people[i].id for i in chosen]
    for i in chosen:
        person = here.people[i]
        person.before = person.before or recognition.likeness(
            bundle, replace(person.source, delta=person.source.delta_once, feature=person.source.feature_once)
        )
    here.job = start_job(bundle, [here.people[i].source for i in chosen], services.refiner)


def end_refining(bundle: Bundle, here: Desk) -> None:
    """Take over the offsets that a refinement has reached, and measure what they gained."""
    job, here.job = here.job, None
    step = job.latest if job else None
    if step is None:
        raise BlendError((job.error if job else None) or "The refinement has ended and was forgotten; start it again.")
    where = {person.id: i for i, person in enumerate(here.people)}
    kept = [k for k, name in enumerate(here.chosen) if name in where]
    places = [where[here.chosen[k]] for k in kept]
    features = [step.features[k] for k in kept] if step.features else []
    refined = with_offsets(here.sources, places, step.delta[kept], features)
    for i in places:
        person = here.people[i]
        person.source, person.shown = refined[i], None
        person.after = recognition.likeness(bundle, person.source)
    here.notice = {"cancelled": "Refining was stopped; what it reached is kept."}.get(job.state, job.error)


def like(likeness: recognition.Likeness) -> str:
    """A likeness in words."""
    text = f"{likeness.psnr:.1f} dB"
    return text if likeness.distance is None else f"{text}, distance {likeness.distance:.2f}"


def figures(person: Person) -> str | None:
    """What refining gained, for the card."""
    if person.before is None or person.after is None:
        return None
    verdict = ""
    if person.after.distance is not None:
        verdict = ": the same person" if person.after.same_person else ": not yet recognised"
    return f"{like(person.before)} \u2192 {like(person.after)}{verdict}"


def region(source: Source) -> tuple[int, int, int, int]:
    """The part of a photo that its card shows (left, top, right, bottom): its faces, and room for the eye marks."""
    height, width = source.photo.shape[:2]
    boxes = [face.box for face in source.found]
    (x0, y0), (x1, y1) = source.eyes
    apart = max(8.0, float(np.hypot(x1 - x0, y1 - y0)))
    boxes.append((min(x0, x1) - apart, min(y0, y1) - apart, max(x0, x1) + apart, max(y0, y1) + 2 * apart))
    left, top = np.min([box[:2] for box in boxes], axis=0)
    right, bottom = np.max([box[2:] for box in boxes], axis=0)
    room = 0.35 * max(right - left, bottom - top)
    low = (max(0, int(left - room)), max(0, int(top - room)))
    return *low, min(width, int(right + room) + 1), min(height, int(bottom + room) + 1)


def shown(bundle: Bundle, person: Person) -> dict[str, Any]:
    """A person for the component; pictures are made once."""
    if person.shown is None:
        source = person.source
        person.shown = {
            "id": person.id,
            "name": source.name,
            "kind": "drawn" if source.photo is None else "photo",
            "example": person.example,
            "z": b64(source.z),
            "delta": None if source.delta is None else b64(source.delta),
            "feature": None if source.feature is None else source.feature.id,
            "crop": media.data_uri(source.crop),
            "recon": media.data_uri(reconstruct(bundle, [source])[0]),
            "remark": source.remark,
            "photo": None,
            "faces": [],
            "figures": figures(person),
        }
        if source.photo is not None and source.eyes is not None:
            left, top, right, bottom = region(source)
            part = source.photo[top:bottom, left:right]
            small = media.upscale(part, min(1.0, SHOWN_SIDE / max(part.shape)))
            person.shown |= {
                "photo": media.data_uri(small, "webp"),
                "region": [left, top, right - left, bottom - top],
                "eyes": source.eyes,
                "faces": [{"box": face.box} for face in source.found],
                "face": next((i for i, face in enumerate(source.found) if face.eyes == source.eyes), -1),
            }
    return person.shown


@lru_cache(maxsize=4)
def samples(bundle: Bundle) -> list[dict[str, Any]]:
    """The ready samples as little pictures; the astronaut where scikit-image has her."""
    drawn = [sample_source(bundle, i) for i in range(len(SAMPLE_SEEDS))]
    found = [
        {"index": i, "label": source.name, "picture": media.data_uri(media.resize(source.crop, 96))}
        for i, source in enumerate(drawn)
    ]
    portrait = astronaut() if bundle.eyes is not None else None
    if portrait is not None:
        label = "Astronaut Eileen Collins (NASA, public domain)"
        found.append(
            {"index": len(found), "label": label, "picture": media.data_uri(media.resize(portrait[:230, 110:340], 96))}
        )
    return found


def ribbons(bundle: Bundle, here: Desk) -> dict[str, Any] | None:
    """How usual the morph's codes are, along both ways."""
    both = {path: make_ribbon(bundle, here.sources, path, shift=here.shift) for path in mixing.PATHS}
    if any(ribbon is None for ribbon in both.values()):
        return None
    return {
        path: {key: np.round(getattr(ribbon, key), 3).tolist() for key in ("t", "density", "prior", "data")}
        for path, ribbon in both.items()
    }


def mount(bundle: Bundle, here: Desk) -> None:
    """The Blend component at this place of the page."""
    key = f"blend-{bundle.name}-{bundle.digest}"
    try:
        here.absorb(bundle, (st.session_state.get(key) or {}).get("blend"))
    except BlendError as error:
        here.notice = str(error)
    here.settle(bundle)
    mix = None
    if here.weights is not None:
        shift = None if here.shift is None else b64(here.shift)
        mix = {"weights": here.weights.tolist(), "at": here.at, "path": here.path, "shift": shift, "whole": here.whole}
    data = {
        "model": describe(bundle),
        "sources": [shown(bundle, person) for person in here.people],
        "samples": samples(bundle),
        "state": mix,
        "revision": here.revision,
        "notice": here.notice,
        "ribbon": ribbons(bundle, here),
        "refine": {"id": here.job.id, "chosen": here.chosen} if here.job else None,
        "refinable": any(not here.sources[i].refined for i in refinable(bundle, here.sources)),
        "temperature": SAMPLE_TEMPERATURE,
    }
    styles = ("live/sliders", "blend/blend", "live/eyes", "blend/people", "blend/mixes", "live/players/players")
    show = component("blend/blend", styles, SKELETON)
    on_event = lambda: handle(bundle, here, st.session_state[key]["event"])  # noqa: E731
    show(key=key, data=data, on_blend_change=lambda: None, on_event_change=on_event)


def adopt(bundle: Bundle, here: Desk) -> None:
    """Make the blend the current face of the other pages, offsets and all."""
    z, delta = (
        None if part is None else part[0]
        for part in blend.blend_codes(bundle, here.sources, here.weights[None], here.path, here.shift, here.whole)
    )
    z, delta = blend.flatten(bundle, z, delta)
    offset = blend.blend_feature(bundle, here.sources, here.weights[None])
    whole = None
    if delta is not None and offset is not None:
        anchor = bundle.feature_map(state.grid(bundle.check_z(z), bundle), delta[None])
        whole = Feature(*(part[0].astype(np.float16) for part in (offset, anchor)))
    state.carry(bundle, state.current(bundle), z, delta, whole, "Blend", here.picture(bundle))


def link(bundle: Bundle, here: Desk) -> dict[str, str]:
    """Query of the address that blends the same codes again; style offsets do not fit into it."""
    query = {"model": bundle.name, "hash": bundle.digest, "path": here.path}
    query |= {f"z{i}": packing.pack(source.z, bundle.stats) for i, source in enumerate(here.sources)}
    query["weights"] = "_".join(",".join(f"{w:.4g}" for w in row) for row in here.weights)
    if here.whole:
        query["whole"] = "1"
    if here.shift is not None:
        query["shift"] = packing.pack(bundle.stats.mean + here.shift, bundle.stats)
    return query


def read_link(bundle: Bundle, here: Desk, query: Mapping[str, str]) -> None:
    """Take over a blend from the address where the desk is empty; a sentence as the notice where that fails."""
    if here.people or "z0" not in query:
        return
    meant = state.linked(query, services.registry)
    if meant.name != bundle.name or not meant.same:
        here.notice = f"This link was made with another model than {bundle.title}, so its blend cannot be rebuilt."
        return
    try:
        texts = [query[f"z{i}"] for i in range(mixing.MAX_SOURCES) if f"z{i}" in query]
        for i, text in enumerate(texts):
            z = packing.unpack(text[:8192], bundle.stats)
            here.put(i, code_source(bundle, z, f"Person {'ABCD'[i]} of the link"))
        rows = [[float(w) for w in row.split(",")] for row in query.get("weights", "")[:2000].split("_") if row]
        here.weights = mixing.check_weights(rows, bundle.levels, len(texts)) if rows else None
        here.path = "lerp" if query.get("path") == "lerp" else "slerp"
        here.whole = query.get("whole") == "1"
        if "shift" in query:
            here.shift = packing.unpack(query["shift"][:8192], bundle.stats) - bundle.stats.mean
        here.notice = meant.note or None
    except SENTENCES as error:
        here.notice = str(error)
    except ValueError:
        here.notice = "The weights in this link are not numbers; copy the whole link again."
    here.settle(bundle)
    here.revision += 1
