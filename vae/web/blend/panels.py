"""What the Blend page offers around the live mix: likeness, film, the way back into the photo, files, plain controls."""

from __future__ import annotations

import io
import json

import numpy as np
import streamlit as st

from vae import media
from vae.bundles.bundle import Bundle
from vae.photos import faces, recognition
from vae.photos.film import FILM_KINDS, make_film
from vae.photos.into_photo import fine_factor, keep_detail, paste, tint
from vae.photos.refine_sources import refinable
from vae.photos.sources import reconstruct, sample_source, with_eyes
from vae.space import mixing
from vae.web.blend import live as blend_live
from vae.web.blend.live import SENTENCES, Desk, Person
from vae.web.core import services
from vae.web.core.links import show_link
from vae.web.core.navigation import open_page
from vae.web.core.photo import shown

LETTERS = "ABCD"
FILM_SIDE = 512
MIME = {"mp4": "video/mp4", "gif": "image/gif", "webp": "image/webp"}


def likeness(bundle: Bundle, here: Desk) -> None:
    """Photo, model before and after refining, with the figures; and up to where in the mix each person is recognised."""
    photos = [(letter, person) for letter, person in zip(LETTERS, here.people) if person.source.photo is not None]
    if not photos:
        st.caption(
            f"Drawn {bundle.noun}s are the model\u2019s own already. Add a photo to see how near the model comes to it."
        )
        return
    lines = ["| Person | one pass | refined | |", "|---|---|---|---|"]
    for letter, person in photos:
        before = person.before = person.before or recognition.likeness(bundle, person.source)
        after = person.after
        verdict = (
            ""
            if after is None or after.distance is None
            else "same person"
            if after.same_person
            else "not yet recognised"
        )
        name = "".join(c for c in person.source.name if c.isalnum() or c in " .-")
        lines.append(
            f"| **{letter}** {name} | {blend_live.like(before)} | {blend_live.like(after) if after else chr(8211)} | {verdict} |"
        )
    st.markdown("\n".join(lines))
    st.caption(
        f"PSNR in dB between photo and model. Distance of dlib\u2019s face descriptors: under {faces.SAME_PERSON} two pictures "
        "count as one person. The descriptor takes no part in refining, so it is a fair witness."
    )
    if len(here.people) < 2 or bundle.eyes is None:
        return
    if st.button("Where in the mix does each stop being recognised?", key="recognise", icon=":material/person_search:"):
        a, b = here.sources[:2]
        t, distances = recognition.recognition(bundle, a, b, here.path)
        upto, since = recognition.crossings(t, distances)
        said = [
            f"A is recognised up to {100 * upto:.0f} % of the way"
            if upto is not None
            else "A is not recognised even at the start"
        ]
        said.append(f"B from {100 * since:.0f} % on" if since is not None else "B not even at the end")
        st.markdown(f"{said[0]}, {said[1]}.")
        st.image(distance_chart(t, distances), alt="How far each person is along the mix, as a chart", width=640)


def distance_chart(t: np.ndarray, distances: np.ndarray) -> str:
    """Distances to both people along the mix as an SVG, with the bound under which they are recognised."""
    width, height, top = 640, 190, 1.0

    def line(values: np.ndarray, style: str) -> str:
        points = " ".join(
            f"{40 + x * (width - 60):.1f},{height - 24 - min(v, top) * (height - 40):.1f}" for x, v in zip(t, values)
        )
        return f'<polyline points="{points}" fill="none" stroke-width="2.5" {style}/>'

    bound = height - 24 - faces.SAME_PERSON * (height - 40)
    words = 'font-size="12" fill="#808a90"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif">'
        f'<rect x="40" y="16" width="{width - 60}" height="{height - 40}" fill="none" stroke="#808a90" opacity=".18"/>'
        f'<line x1="40" x2="{width - 20}" y1="{bound}" y2="{bound}" stroke="#808a90" stroke-dasharray="5 5" opacity=".5"/>'
        f'<text x="8" y="{bound + 4}" {words}>{faces.SAME_PERSON}</text><text x="40" y="{height - 6}" {words}>A</text>'
        f'<text x="{width - 28}" y="{height - 6}" {words}>B</text><text x="52" y="32" {words}>distance to A</text>'
        f'<text x="{width - 110}" y="32" {words}>to B (dashed)</text>'
        + line(distances[:, 0], 'stroke="#0d9488"')
        + line(distances[:, 1], 'stroke="#c2693d" stroke-dasharray="8 4"')
        + "</svg>"
    )


def film(bundle: Bundle, here: Desk) -> None:
    """The morph through all people as a film."""
    if len(here.people) < 2:
        st.caption("A film needs two people; add another.")
        return
    columns = st.columns([2, 2, 2, 2, 2], vertical_alignment="bottom")
    kind = columns[0].selectbox("Kind", FILM_KINDS, format_func=str.upper, key="film_kind")
    seconds = columns[1].number_input("Seconds", 0.5, 20.0, 4.0, 0.5, key="film_seconds")
    fps = columns[2].number_input("Frames a second", 1, 60, 30, key="film_fps")
    there_and_back = columns[3].toggle("There and back", True, key="film_ping_pong")
    if columns[4].button("Make the film", type="primary", key="film_make", width="stretch"):
        bar = st.progress(0.0, "Drawing the frames")

        def progress(done: int, total: int) -> None:
            if done % 5 == 0 or done == total:
                bar.progress(done / total, f"Frame {done} of {total}" if done < total else "Writing the file")

        try:
            scale = max(1, FILM_SIDE // bundle.image_size)
            data = make_film(
                bundle, here.sources, kind, seconds, int(fps), there_and_back, here.path, here.shift, scale, progress
            )
        except SENTENCES as error:
            bar.empty()
            st.warning(str(error))
            return
        bar.empty()
        here.films = {
            "kind": kind,
            "data": data,
            "words": f"{seconds:g} s, {int(fps)} frames/s, {len(data) / 1e6:.1f} MB",
        }
    if here.films:
        made = here.films
        left, right = st.columns([1, 2], vertical_alignment="center")
        if made["kind"] == "mp4":
            left.video(made["data"], loop=True, autoplay=True, muted=True)
        else:
            left.image(made["data"], alt="The film of the blend", width="stretch")
        right.markdown(f"**{made['kind'].upper()}**, {made['words']}")
        right.download_button(
            "Save the film",
            made["data"],
            f"blend.{made['kind']}",
            MIME[made["kind"]],
            on_click="ignore",
            key="film_save",
        )


def back_into_photo(bundle: Bundle, here: Desk) -> None:
    """Keep detail, paste, and say what is model and what is photo."""
    photos = {
        f"{letter}: {p.source.name}": p.source for letter, p in zip(LETTERS, here.people) if p.source.photo is not None
    }
    if bundle.eyes is None or not photos:
        st.caption("Add a photo of a face; the blend can then be laid back into it.")
        return
    left, right = st.columns([1, 2], gap="large")
    with left:
        chosen = st.selectbox("Into the photo of", list(photos), key="paste_into")
        pasted = st.toggle("Paste into the whole photo", True, key="paste_on")
        amount = st.slider(
            "Detail kept from the photos",
            0.0,
            1.0,
            0.5,
            0.05,
            key="paste_detail",
            help="What the model could not say, photo minus reconstruction, is added back in the shares of the mix",
        )
        feather = st.slider("Soft edge", 0.04, 0.4, 0.16, 0.02, key="paste_feather", disabled=not pasted)
        match = st.toggle("Match colours at the edge", True, key="paste_match", disabled=not pasted)
        marked = st.toggle("Show what is model and what is photo", False, key="paste_marked")
    source = photos[chosen]
    picture = here.picture(bundle)
    factor = fine_factor(bundle, source)
    result = keep_detail(bundle, here.sources, here.weights, picture, amount, factor)
    share = np.ones(result.shape[:2])
    if pasted:
        result, share = paste(bundle, source, result, feather, float(match))
    with right:
        st.image(
            tint(result, share * (1 - 0.5 * amount)) if marked else result,
            width="stretch",
            alt="The blend in the photo",
        )
        said = (
            f"Detail: {100 * amount:.0f} % of what the photos have and the model lacks. "
            if amount
            else "Every pixel of the face is the model\u2019s. "
        )
        if marked:
            said += "Green: the model\u2019s, weaker where detail of the photos is added. Grey: the photo, untouched."
        st.caption(said)
        st.download_button(
            "Save this picture",
            lambda: media.png(result),
            "blend-photo.png",
            "image/png",
            on_click="ignore",
            key="paste_save",
        )


def keep(bundle: Bundle, here: Desk) -> None:
    """Files, the other pages and the link."""
    offsets = any(source.delta is not None for source in here.sources)
    with st.container(horizontal=True):
        st.download_button(
            "PNG", lambda: media.png(here.picture(bundle)), "blend.png", "image/png", on_click="ignore", key="blend_png"
        )
        st.download_button(
            "PNG, 4x",
            lambda: media.png(here.picture(bundle), 4),
            "blend-4x.png",
            "image/png",
            on_click="ignore",
            key="blend_png4",
        )
        st.download_button(
            "Code",
            lambda: code(bundle, here),
            "blend.npz",
            "application/octet-stream",
            on_click="ignore",
            key="blend_npz",
            help="NumPy: codes, offsets and weights, no pickles",
        )
        goals = (
            ("explore", "Send to Explore", ":material/tune:", "primary"),
            ("atlas", "Show on the map", ":material/scatter_plot:", "secondary"),
        )
        for page, label, icon, kind in goals:
            if st.button(label, icon=icon, type=kind, key=f"to_{page}"):
                blend_live.adopt(bundle, here)
                open_page(page)
    without = ", without the photos\u2019 offsets, which are too long for one"
    st.caption("Link to this blend" + (without if offsets else ""))
    show_link(blend_live.link(bundle, here))


def code(bundle: Bundle, here: Desk) -> bytes:
    """Codes, offsets, weights and shift as an npz file, with a JSON text that says what they are."""
    arrays = {"z": np.stack([source.z for source in here.sources]), "weights": here.weights}
    if any(source.delta is not None for source in here.sources):
        none = np.zeros((bundle.levels, bundle.style_size), np.float32)
        arrays["delta"] = np.stack([none if source.delta is None else source.delta for source in here.sources])
    if any(source.feature is not None for source in here.sources):
        none = np.zeros(bundle.model.feature_shape, np.float16)
        arrays["feature"] = np.stack([source.feature.offset if source.feature else none for source in here.sources])
    if here.shift is not None:
        arrays["shift"] = here.shift
    arrays["about"] = np.array(
        json.dumps({"model": bundle.name, "hash": bundle.digest, "path": here.path, "whole": here.whole})
    )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


class Plain:
    """The page in Streamlit's own widgets, for assistive technology and for programs; two people."""

    def __init__(self, bundle: Bundle, here: Desk):
        self.bundle, self.here = bundle, here

    def take(self, slot: int) -> None:
        """A file or a sample was chosen for a person."""
        file, sample = st.session_state.get(f"plain-file-{slot}"), st.session_state.get(f"plain-sample-{slot}")
        self.here.notice = None
        try:
            if file is not None:
                self.here.put(slot, blend_live.open_photo(self.bundle, file.getvalue(), file.name))
                services.refiner.prewarm(self.bundle)
            elif sample is not None:
                self.here.put(slot, sample_source(self.bundle, sample))
        except SENTENCES as error:
            self.here.notice = str(error)
        self.here.settle(self.bundle)

    def move_eyes(self, slot: int) -> None:
        """Take the eye positions of the four fields."""
        person = self.here.people[slot]
        x0, y0, x1, y1 = (float(st.session_state[f"plain-eye-{person.id}-{i}"]) for i in range(4))
        try:
            self.here.people[slot] = Person(with_eyes(self.bundle, person.source, ((x0, y0), (x1, y1))))
        except SENTENCES as error:
            self.here.notice = str(error)

    def person(self, slot: int) -> None:
        """One card."""
        bundle, here = self.bundle, self.here
        st.markdown(f"**Person {LETTERS[slot]}**")
        offer = {i: sample["label"] for i, sample in enumerate(blend_live.samples(bundle))}
        st.file_uploader(
            "PNG, JPEG, WebP, HEIC, AVIF or TIFF, up to 20 MB; it stays in memory",
            key=f"plain-file-{slot}",
            on_change=self.take,
            args=(slot,),
            max_upload_size=20,
        )
        st.selectbox(
            "Or a ready sample",
            list(offer),
            None,
            format_func=offer.get,
            key=f"plain-sample-{slot}",
            on_change=self.take,
            args=(slot,),
        )
        if slot >= len(here.people):
            return
        source = here.people[slot].source
        left, right = st.columns(2)
        left.image(
            shown(source.crop),
            alt=f"What the model sees of {source.name}",
            caption="What the model sees",
            width="stretch",
        )
        right.image(
            shown(reconstruct(bundle, [source])[0]),
            alt=f"What the model makes of {source.name}",
            caption="What it makes of it",
            width="stretch",
        )
        if source.remark:
            st.caption(source.remark)
        if source.eyes is None:
            return
        with st.expander("Move the eye marks"):
            limits = source.photo.shape[1::-1] * 2
            labels = ("Left eye, across", "Left eye, down", "Right eye, across", "Right eye, down")
            for i, (label, value) in enumerate(zip(labels, np.ravel(source.eyes))):
                st.number_input(
                    f"{label} (px)",
                    0.0,
                    float(limits[i]),
                    float(np.clip(value, 0, limits[i])),
                    1.0,
                    format="%.1f",
                    key=f"plain-eye-{here.people[slot].id}-{i}",
                )
            st.button("Use these eyes", key=f"plain-eyes-{slot}", on_click=self.move_eyes, args=(slot,))

    def refine(self) -> None:
        """Refine all photos, with progress."""
        bundle, here = self.bundle, self.here
        bar = st.progress(0.0, "Refining")
        try:
            blend_live.start_refining(bundle, here)
            for step in here.job.subscribe():
                bar.progress(step.step / step.total, f"Step {step.step} of {step.total}")
            blend_live.end_refining(bundle, here)
        except SENTENCES as error:
            here.notice = str(error)
        bar.empty()

    def page(self) -> None:
        """Two cards, the sliders, the picture."""
        bundle, here = self.bundle, self.here
        for slot, column in enumerate(st.columns(2, gap="large")):
            with column:
                self.person(slot)
        if len(here.people) == 2:
            left, right = st.columns(2, gap="large")
            with right:
                mix = st.slider("Mix, from A to B", 0.0, 1.0, 0.5, 0.01, key="plain-mix")
                apart = bundle.levels and st.toggle("Coarse, middle and fine on their own", key="plain-apart")
                own = (
                    [st.slider(name.title(), 0.0, 1.0, mix, 0.01, key=f"plain-{name}") for name in mixing.GROUPS]
                    if apart
                    else [None] * 3
                )
                here.path = st.radio("Way between the codes", mixing.PATHS, horizontal=True, key="plain-path")
                if bundle.settle and not bundle.levels:
                    here.whole = st.toggle(
                        "Whole parts",
                        here.whole,
                        key="plain-whole",
                        help="Decodes and encodes the mix again until no part of it is half there",
                    )
                here.weights, here.at = mixing.pair_weights(bundle.levels, mix, *own), None
                if refinable(bundle, here.sources) and st.button("More like me", key="plain-refine"):
                    self.refine()
            left.image(shown(here.picture(bundle)), width=4 * bundle.image_size, alt="The blend")
        if here.notice:
            st.warning(here.notice)
