"""The Explore page in Streamlit's own widgets, for assistive technology and programs; drawn when a slider is let go."""

from __future__ import annotations

import secrets

import numpy as np
import streamlit as st

from vae.bundles.bundle import Bundle
from vae.space import latent, settling
from vae.space.axes import Basis, bases, held, move
from vae.space.errors import LatentError
from vae.web.core.mount import usual_sigma
from vae.web.core.photo import shown
from vae.web.core.state import Current, grid

TOP, PER_GROUP = 12, 2
REACH = 4.0
ORDER = ("named", "principal", "raw")
WHOLE = "Decodes and encodes the picture again until no part of it is half there"


def in_view(basis: Basis) -> list[int]:
    """Rows of a basis that are shown at first: as many of each group, and all that the user taught."""
    groups = [axis.group for axis in basis.axes]
    if not any(groups):
        return list(range(min(TOP, len(groups))))
    return [i for i, group in enumerate(groups) if group in ("", "Taught") or groups[:i].count(group) < PER_GROUP]


class Plain:
    """One page's controls. Locks and undo live in session_state beside the widgets."""

    def __init__(self, bundle: Bundle, here: Current):
        self.bundle, self.here = bundle, here
        self.every = bases(bundle)
        self.memory = st.session_state.setdefault(f"plain-{bundle.name}", {"undo": [], "redo": [], "note": ""})

    def held(self) -> np.ndarray:
        """Read-outs W (m, d) of the locked axes."""
        rows = []
        for key in st.session_state.get(f"locks-{self.bundle.name}", ()):
            name, _, axis = key.partition(":")
            rows.append(self.every[name].W[self.every[name].index(axis)])
        return np.array(rows).reshape(len(rows), self.bundle.latent_size)

    def set(self, z: np.ndarray, keep_start: bool = True, seed: int | None = None, hold: bool = True) -> None:
        """Make z the code; locked read-outs keep their values, and the old code can be had back."""
        here, W = self.here, self.held()
        self.memory["undo"].append((here.z, here.origin, here.photo, here.seed))
        self.memory["redo"].clear()
        self.memory["note"] = ""
        if hold:
            z = held(here.z, z, W, self.bundle.stats.cov)
        origin, photo = here.origin, here.photo if keep_start else None
        here.put(grid(self.bundle.check_z(z), self.bundle), photo, here.seed if keep_start else seed)
        if keep_start:
            here.origin = origin

    def slide(self, basis: Basis, row: int, key: str) -> None:
        """A slider was released."""
        here, stats = self.here, self.bundle.stats
        try:
            z = move(here.z, stats.mean, basis, row, float(st.session_state[key]), self.held(), stats.cov)
        except LatentError as refusal:
            self.memory["note"] = str(refusal)
            return
        self.set(z, hold=False)
        here.axis = f"{basis.name}:{basis.axes[row].id}"

    def draw(self, fresh: bool) -> None:
        """A draw from the prior with the seed and temperature of the fields."""
        key = f"seed-{self.bundle.name}"
        if fresh:
            st.session_state[key] = secrets.randbelow(1_000_000)
        seed = int(st.session_state[key])
        self.here.temperature = float(st.session_state[f"temperature-{self.bundle.name}"])
        self.set(settling.draw(self.bundle, seed, self.here.temperature)[0], keep_start=False, seed=seed)

    def step_back(self, source: str, target: str) -> None:
        """Undo or redo."""
        here = self.here
        self.memory[target].append((here.z, here.origin, here.photo, here.seed))
        z, origin, photo, seed = self.memory[source].pop()
        here.put(z, photo, seed)
        here.origin = origin

    def jitter(self) -> None:
        """z = mu + sigma * eps, around the photo or around the current code with the usual sigma."""
        here = self.here
        logvar = here.photo.logvar if here.photo else 2 * np.log(usual_sigma(self.bundle))
        self.set(latent.jitter(here.z, logvar, secrets.randbelow(2**31)))

    def settle(self) -> None:
        """Make the parts of the present picture whole."""
        self.set(settling.settled(self.bundle, self.here.z))

    def actions(self) -> None:
        """Draws, resets, undo."""
        bundle, here, name = self.bundle, self.here, self.bundle.name
        left, right = st.columns(2)
        left.number_input("Seed", 0, 2**32 - 1, here.seed or 0, key=f"seed-{name}", on_change=self.draw, args=(False,))
        right.number_input(
            "Temperature",
            0.0,
            2.0,
            here.temperature,
            0.05,
            key=f"temperature-{name}",
            on_change=self.draw,
            args=(False,),
        )
        with st.container(horizontal=True):
            st.button("Random", key="plain-random", type="primary", on_click=self.draw, args=(True,))
            st.button("Mean", key="plain-mean", on_click=self.set, args=(bundle.stats.mean, False))
            st.button("Reset all", key="plain-reset", on_click=self.set, args=(here.origin,))
            st.button(
                "Jitter",
                key="plain-jitter",
                on_click=self.jitter,
                help="z = \u03bc + \u03c3\u00b7\u03b5: the reparameterisation trick",
            )
            if bundle.settle:
                st.button("Whole parts", key="plain-settle", on_click=self.settle, help=WHOLE)
            for label, ways in (("Undo", ("undo", "redo")), ("Redo", ("redo", "undo"))):
                st.button(
                    label, key=f"plain-{ways[0]}", disabled=not self.memory[ways[0]], on_click=self.step_back, args=ways
                )
        if here.photo and here.photo.delta is not None:
            here.photo.refined = st.toggle("Refined", here.photo.refined, key=f"refined-{here.photo.id}")

    def slider(self, basis: Basis, row: int, value: float) -> None:
        """One axis; its widget shows the read-out of the code, whatever moved it."""
        axis = basis.axes[row]
        key = f"plain:{self.bundle.name}:{basis.name}:{axis.id}"
        reach = round(axis.reach, 2) if axis.reach else REACH
        st.session_state[key] = float(np.clip(round(value, 2), -reach, reach))
        locked = f"{basis.name}:{axis.id}" in st.session_state.get(f"locks-{self.bundle.name}", ())
        st.slider(
            axis.label,
            -reach,
            reach,
            step=0.01,
            format="%+.2f \u03c3",
            key=key,
            help=axis.detail,
            disabled=locked,
            on_change=self.slide,
            args=(basis, row, key),
        )

    def sliders(self) -> None:
        """The top axes of a basis, and any other that is looked for."""
        names = [name for name in ORDER if name in self.every]
        titles = {name: self.every[name].title for name in names}
        chosen = st.radio("Axes", names, format_func=titles.get, horizontal=True, key=f"basis-{self.bundle.name}")
        basis = self.every[chosen]
        values = basis.values(self.here.z, self.bundle.stats.mean)
        rows = in_view(basis)
        others = [row for row in range(len(basis)) if row not in rows]
        if others:
            rows = rows + st.multiselect(
                f"Any other of the {len(basis)} axes",
                others,
                key=f"more-{self.bundle.name}-{chosen}",
                format_func=lambda i: basis.axes[i].label,
            )
        keys = [f"{basis.name}:{basis.axes[row].id}" for row in rows]
        labels = {key: basis.axes[row].label for key, row in zip(keys, rows)}
        locks = f"locks-{self.bundle.name}"
        kept = [key for key in st.session_state.get(locks, ()) if key not in keys]
        st.multiselect("Locked axes", [*keys, *kept], format_func=lambda key: labels.get(key, key), key=locks)
        columns = st.columns(2)
        for n, row in enumerate(rows):
            with columns[n % 2]:
                self.slider(basis, row, float(values[row]))

    def page(self) -> None:
        """Picture and actions on the left, sliders on the right."""
        left, right = st.columns([2, 3], gap="large")
        with left:
            place = st.container()
            self.actions()
            if self.memory["note"]:
                st.warning(self.memory["note"])
            image = self.here.decode(self.bundle)[0]
            place.image(shown(image), width=min(512, 8 * self.bundle.image_size), alt="The decoded picture")
        with right:
            self.sliders()
