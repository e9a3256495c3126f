"""Open a model bundle: a folder of ONNX, JSON and npz files that runs no code of its own. No torch.

A bundle is checked whole when it is opened (names, hashes, graphs, shapes, finite numbers), so that what is used
afterwards can be trusted to be there; every refusal is one sentence that names the file and the reason.
"""

from __future__ import annotations

import hashlib
import os
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vae.bundles.contents import check_curvature, read_codes, read_directions, read_drive, read_stats, read_ways
from vae.bundles.contract import (
    ACTIONS,
    CURVATURE_FILE,
    DRIVE_FILE,
    DYNAMICS_FILE,
    FREE,
    GUESS_FILE,
    WAYS_FILE,
    BundleError,
    check_files,
    check_graph,
    level_at,
    no_feature,
    read_card,
    read_config,
    read_eyes,
    read_formerly,
    read_model,
    read_player,
    read_settle,
)
from vae.bundles.guess_graph import guess_shapes
from vae.bundles.sessions import make_session, return_memory

Array = np.ndarray

CLIP_SIGMA = 6.0
CHUNK = 1  # pictures per run of a network: 8 at once take 320 MB more and leave the caches, 1.4 times the time


def _floats(value: Any, what: str) -> Array:
    """An input of the decoder as float32. Raises BundleError."""
    try:
        return np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise BundleError(f"The {what} no array of numbers; give float32 numbers.") from None


class Bundle:
    """An open bundle. Make one with `open_bundle`; all methods are safe to call from several threads."""

    def __init__(self, path: Path):
        config = read_config(path)
        model = read_model(path, config)
        self.path, self.config, self.model = path, config, model
        self.name: str = path.name
        self.title: str = config["title"]
        self.description: str = config["description"]
        self.licence: str = config["licence"]
        self.metrics: dict[str, Any] = config["metrics"]
        self.recipe: dict[str, Any] = config["recipe"]
        self.image_size, self.channels = model.image_size, model.channels
        self.latent_size, self.levels = model.latent_size, model.levels
        self.style_size = model.style_size if model.levels else 0
        self.eyes = read_eyes(path, config, model.image_size)
        self.formerly = read_formerly(path, config)
        self.player = read_player(path, config)
        self.settle = read_settle(path, config)  # see vae.space.settling
        check_files(path, config["files"])
        self.card = read_card(path) if "card.md" in config["files"] else ""  # Markdown
        d, size = model.latent_size, model.image_size
        picture = (None, model.channels, size, size)
        codes_in: dict[str, tuple] = {"z": (None, d)}
        inside: list[str] = []
        if self.levels:
            codes_in = {"z": (None, self.levels, d), "delta": (None, self.levels, self.style_size)}
            inside = ["w", *(f"{kind}.{level}" for kind in ("x", "rgb") for level in range(self.levels))]
        check_graph(path, "decoder.onnx", codes_in, {"image": picture}, inside)
        self.light = "light.onnx" in config["files"]
        if self.light:
            check_graph(path, "light.onnx", codes_in, {"image": picture}, ())
        codes_out: dict[str, tuple] = {"mu": (None, d), "logvar": (None, d)}
        if model.offsets:
            codes_out["delta"] = codes_in["delta"]
        check_graph(path, "encoder.onnx", {"image": picture}, codes_out, ())
        self.guesses = bool(self.levels) and GUESS_FILE in config["files"]
        if self.guesses:
            check_graph(path, GUESS_FILE, *guess_shapes(model), ())
        self.stats = read_stats(path, d)
        self.codes = read_codes(path, d)
        self.directions = read_directions(path, d) if "directions.npz" in config["files"] else None
        self.ways = read_ways(path, d) if WAYS_FILE in config["files"] else None
        self.curved = bool(self.levels) and CURVATURE_FILE in config["files"]
        if self.curved:
            check_curvature(path, self.levels, self.style_size)
        self.dynamics = DYNAMICS_FILE in config["files"]
        if self.dynamics:
            step_in = {"z": (None, d), "before": (None, d), "action": (None, ACTIONS), "action_before": (None, ACTIONS)}
            check_graph(path, DYNAMICS_FILE, step_in, {"next": (None, d), "spread": (None, d)}, ())
        self.drive = read_drive(path, size, model.channels) if DRIVE_FILE in config["files"] else None
        hashes = "".join(f"{name}:{config['files'][name]}\n" for name in sorted(config["files"]))
        self.digest: str = hashlib.sha256(hashes.encode()).hexdigest()[:12]
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Bundle({self.name!r}, {self.digest})"

    @property
    def noun(self) -> str:
        """What one of its pictures is called."""
        return "picture" if self.eyes is None else "face"

    @property
    def preview_sizes(self) -> tuple[int, ...]:
        """Lower resolutions that the decoder can stop at, largest first."""
        return (self.image_size // 2, self.image_size // 4) if self.levels else ()

    def _level(self, size: int) -> int:
        """Index of the level of a preview size. Raises BundleError."""
        if size not in self.preview_sizes:
            offer = ", ".join(map(str, (*self.preview_sizes[::-1], self.image_size)))
            raise BundleError(f"{self.name} cannot decode to {size} px; it has {offer}.")
        return level_at(size)

    # -- the networks ------------------------------------------------------------------------------------------

    @cached_property
    def _decoder(self) -> list[Any]:
        """Sessions in a row, one up to each preview size and one for the rest: each weight is loaded once."""
        parts = [(self.path / "decoder.onnx").read_bytes()]
        if self.levels:
            from vae.bundles.cut import in_a_row

            parts = in_a_row(parts[0], self.model, sorted(self.preview_sizes))
        sessions = [make_session(part, f"{self.path.name}/decoder.onnx") for part in parts]
        return_memory()
        return sessions

    @cached_property
    def _encoder(self) -> Any:
        return self._session("encoder.onnx")

    @cached_property
    def _light(self) -> Any:
        return self._session("light.onnx")

    @cached_property
    def _guess(self) -> Any:
        return self._session(GUESS_FILE)

    def _session(self, name: str) -> Any:
        session = make_session((self.path / name).read_bytes(), f"{self.path.name}/{name}")
        return_memory()
        return session

    @cached_property
    def _dynamics(self) -> Any:
        session = make_session((self.path / DYNAMICS_FILE).read_bytes(), f"{self.path.name}/{DYNAMICS_FILE}")
        return_memory()
        return session

    def warm_up(self) -> None:
        """Load both networks, so that the first picture does not wait for them."""
        self.decode(self.stats.mean)
        if self.light:
            self.decode(self.stats.mean, quick=True)
        self.encode(np.zeros((1, self.image_size, self.image_size, self.channels), np.uint8))

    def _get(self, attribute: str) -> Any:
        """A cached property, made once even when several threads ask at the same time."""
        with self._lock:
            return getattr(self, attribute)

    def _codes(self, z: Any) -> Array:
        """z as float32, its shape and numbers checked."""
        d = self.latent_size
        try:
            numbers = np.asarray(z)
            if numbers.dtype.kind not in "fiu":
                raise TypeError(numbers.dtype)
            with np.errstate(over="ignore"):
                z = np.array(numbers, np.float32)
        except (TypeError, ValueError):
            raise BundleError(
                f"This code is not a table of numbers; {self.name} takes {d} numbers a picture."
            ) from None
        shapes = [(d,), (len(z) if z.ndim else 0, d)]
        if self.levels:
            shapes.append((len(z) if z.ndim else 0, self.levels, d))
        if z.shape not in shapes or z.size == 0:
            more = f", or (N, {self.levels}, {d}) for a code at each level" if self.levels else ""
            raise BundleError(f"This code has the shape {z.shape}; {self.name} takes ({d},) or (N, {d}){more}.")
        if not np.isfinite(z).all():
            raise BundleError("This code holds a number that is not finite; give finite numbers.")
        return z

    def check_z(self, z: Any) -> Array:
        """A float32 copy of a code from outside: right shape, finite, within 6 standard deviations of the mean."""
        z = self._codes(z)
        reach = CLIP_SIGMA * self.stats.std
        return np.clip(z, (self.stats.mean - reach).astype(np.float32), (self.stats.mean + reach).astype(np.float32))

    def _feed(self, z: Any, delta: Any, feature: Any = None, anchor: Any = None) -> dict[str, Array]:
        """Inputs of the decoder for a batch of codes."""
        z = self._codes(z)
        z = z[None] if z.ndim == 1 else z
        if not self.levels:
            if delta is not None:
                raise BundleError(f"{self.name} has no styles; decode it without style offsets.")
            if feature is not None:
                raise BundleError(f"{self.name} has no styles; decode it without a feature offset.")
            return {"z": z}
        if z.ndim == 2:
            z = np.repeat(z[:, None], self.levels, axis=1)
        shape = (len(z), self.levels, self.style_size)
        offsets = np.zeros(shape, np.float32) if delta is None else _floats(delta, "style offsets are")
        offsets = offsets[None] if offsets.ndim == 2 else offsets
        if offsets.shape != shape or not np.isfinite(offsets).all():
            raise BundleError(
                f"The style offsets have the shape {offsets.shape}; give finite numbers of shape {shape}."
            )
        feed = {"z": np.ascontiguousarray(z), "delta": np.ascontiguousarray(offsets)}
        return {**feed, **no_feature(self.model), **self._features(feature, anchor, len(z))}

    def _features(self, feature: Any, anchor: Any, count: int) -> dict[str, Array]:
        """The inputs of a feature offset for `count` codes, as far as they are given."""
        found = {}
        for name, value in (("feature", feature), ("anchor", None if feature is None else anchor)):
            if value is None:
                continue
            maps = _floats(value, f"feature offset's {name} is")
            maps = maps[None] if maps.ndim == 3 else maps
            shape = self.model.feature_shape
            if maps.shape[1:] != shape or len(maps) not in (1, count) or not np.isfinite(maps).all():
                raise BundleError(
                    f"The feature offset's {name} has the shape {maps.shape}; give finite numbers of shape {shape}, "
                    f"for each of the {count} codes or for all."
                )
            found[name] = np.ascontiguousarray(maps)
        return found

    def decode_float(
        self,
        z: Any,
        delta: Any = None,
        size: int | None = None,
        quick: bool = False,
        feature: Any = None,
        anchor: Any = None,
    ) -> Array:
        """As `decode`, but float32 (N, c, size, size) in [-1, 1], not clamped."""
        feed = self._feed(z, delta, feature, anchor)
        last = "image" if size in (None, self.image_size) else f"rgb.{self._level(size)}"
        light = quick and self.light and last == "image"
        return self._run([self._get("_light")] if light else self._get("_decoder"), feed, last)

    def feature_map(self, z: Any, delta: Any = None) -> Array:
        """The decoder's own map (N, C, s/4, s/4) at the level of feature offsets: the anchor of one that is found there."""
        return self._run(self._get("_decoder"), self._feed(z, delta), FREE)

    @staticmethod
    def _run(sessions: list[Any], feed: dict[str, Array], last: str) -> Array:
        """Run sessions in a row, CHUNK codes at a time, up to a value (N, ...)."""
        count = len(feed["z"])
        images = []
        for start in range(0, count, CHUNK):
            values = {key: value if len(value) == 1 else value[start : start + CHUNK] for key, value in feed.items()}
            for session in sessions:
                names = [value.name for value in session.get_outputs()]
                ends = last in names
                wanted = [last] if ends else [name for name in names if name != FREE]
                made = session.run(wanted, {value.name: values[value.name] for value in session.get_inputs()})
                values.update(zip(wanted, made))
                if ends:
                    break
            images.append(values[last])
        return images[0] if len(images) == 1 else np.concatenate(images)

    def decode(
        self,
        z: Any,
        delta: Any = None,
        size: int | None = None,
        quick: bool = False,
        feature: Any = None,
        anchor: Any = None,
    ) -> Array:
        """Codes (d,), (N, d) or (N, L, d), style offsets (N, L, S) -> pictures uint8 (N, size, size, c).

        size: one of `preview_sizes` stops there, which is faster; None is the full size. quick: at full size, by the
        light decoder where the bundle has one; it knows no feature offsets. feature: a feature offset (C, s/4, s/4), or
        one for each code, and the anchor that it was found at, None to let it act in full: see vae.bundles.feature.
        Raises BundleError.
        """
        image = self.decode_float(z, delta, size, quick, feature, anchor)
        image *= 127.5
        image += 128.0  # 127.5, and a half to round
        return np.ascontiguousarray(np.clip(image, 0, 255, out=image).astype(np.uint8).transpose(0, 2, 3, 1))

    def decode_small(self, z: Any, side: int, delta: Any = None) -> Array:
        """Codes and style offsets, as for `decode`, -> uint8 (N, h, h, c), by the quickest way: for tiles.

        h is at least `side` pixels. The light decoder where there is one: what the full one has drawn at a lower
        level is blurred.
        """
        if self.light:
            return self.decode(z, delta, quick=True)
        return self.decode(z, delta, size=min((size for size in self.preview_sizes if size >= side), default=None))

    def encode(self, images: Array) -> tuple[Array, Array]:
        """Pictures, uint8 (N, s, s, c) or float (N, c, s, s) in [-1, 1] -> mu, logvar (N, d) float32."""
        mu, logvar, _ = self.encode_with_offsets(images)
        return mu, logvar

    def encode_with_offsets(self, images: Array) -> tuple[Array, Array, Array | None]:
        """Pictures, as for `encode`, -> mu, logvar (N, d), and the style offsets that the encoder reads beside them.

        The offsets are (N, L, S) float32, None where the model reads none. Raises BundleError.
        """
        x = self._pixels(images)
        session = self._get("_encoder")
        wanted = ["mu", "logvar", *(["delta"] if self.model.offsets else [])]
        parts = [session.run(wanted, {"image": x[i : i + CHUNK]}) for i in range(0, len(x), CHUNK)]
        mu, logvar, *more = (np.concatenate(column) for column in zip(*parts))
        return mu, logvar, more[0] if more else None

    def guess(self, images: Array, z: Any, delta: Any = None) -> tuple[Array, Array] | None:
        """What pictures, as for `encode`, have beyond their codes z (N, d) and style offsets, guessed in one pass.

        -> feature offsets and the anchors that they belong to, (N, C, s/4, s/4) float32 each: decode takes both. None
        where the bundle has no network for it (vae.networks.guess). Raises BundleError.
        """
        if not self.guesses:
            return None
        x, picture, anchor = self._pixels(images), self.decode_float(z, delta), self.feature_map(z, delta)
        if len(picture) != len(x):
            raise BundleError(f"There are {len(x)} pictures and {len(picture)} codes; give a code for each.")
        values = {"image": x, "picture": picture, "anchor": anchor}
        parts = []
        for i in range(0, len(x), CHUNK):
            parts += self._get("_guess").run(["feature"], {key: value[i : i + CHUNK] for key, value in values.items()})
        return np.concatenate(parts), anchor

    def reconstruct(self, images: Array, encoded: tuple[Array, Array, Array | None] | None = None) -> Array:
        """Pictures, as for `encode` -> what the model makes of them in one pass, uint8 (N, s, s, c).

        encoded: what encode_with_offsets gave for them, where it was asked before.
        """
        mu, _, delta = self.encode_with_offsets(images) if encoded is None else encoded
        feature, anchor = self.guess(images, mu, delta) or (None, None)
        return self.decode(mu, delta, feature=feature, anchor=anchor)

    def _pixels(self, images: Array) -> Array:
        """Pictures, as for `encode`, as float32 (N, c, s, s) in [-1, 1]. Raises BundleError."""
        images, s, c = np.asarray(images), self.image_size, self.channels
        if images.dtype == np.uint8 and images.ndim == 4 and images.shape[1:] == (s, s, c):
            x = images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
        elif images.dtype.kind == "f" and images.ndim == 4 and images.shape[1:] == (c, s, s):
            x = images.astype(np.float32)
        else:
            raise BundleError(
                f"Pictures of shape {images.shape} and type {images.dtype} do not fit; "
                f"{self.name} takes uint8 (N, {s}, {s}, {c})."
            )
        if not len(x) or not np.isfinite(x).all():
            raise BundleError(
                "There is no picture here, or a pixel that is not finite; give at least one whole picture."
            )
        return np.ascontiguousarray(x)

    def step(self, z: Any, before: Any, action: Any, action_before: Any) -> tuple[Array, Array]:
        """The codes that follow when somebody acts: z and the codes before it (N, d), actions (N, 3) -> (N, d) twice.

        The second answer is the standard deviation of what the step leaves open: add normal noise times it and a
        temperature for a dream that is not always the same. An action is steering -1 to 1 (right is plus), gas and
        brake 0 to 1. Raises BundleError.
        """
        if not self.dynamics:
            raise BundleError(f"{self.name} knows no motion; choose a model with a {DYNAMICS_FILE}.")
        z, before = self._codes(z), self._codes(before)
        actions = [np.asarray(one, np.float32) for one in (action, action_before)]
        shapes = {(len(z), ACTIONS)} if z.ndim == 2 and z.shape == before.shape else set()
        if {one.shape for one in actions} != shapes or not all(np.isfinite(one).all() for one in actions):
            raise BundleError(
                f"A step of {self.name} takes two codes (N, {self.latent_size}) and two actions (N, {ACTIONS}) of "
                "finite numbers."
            )
        feed = {"z": z, "before": before, "action": actions[0], "action_before": actions[1]}
        after, spread = self._get("_dynamics").run(["next", "spread"], feed)
        return after, spread

    def split(self, size: int) -> tuple[bytes, bytes]:
        """The decoder cut in two at a preview size, as ONNX files, made anew at each call.

        head: z, delta, feature, anchor -> rgb.l, x.l, w; tail: x.l, rgb.l, w -> image, and z where a linear path goes on in the tail.
        Raises BundleError.
        """
        from vae.bundles.cut import in_two

        self._level(size)  # refuses a size that there is no cut at
        return in_two((self.path / "decoder.onnx").read_bytes(), self.model, size)

    def whole(self) -> bytes:
        """The decoder with the inputs of a feature offset, as an ONNX file, made anew at each call."""
        from vae.bundles.feature import whole

        return whole((self.path / "decoder.onnx").read_bytes(), self.model)


def open_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Open and check a bundle folder. Raises BundleError naming the file and the reason."""
    path = Path(path).resolve()
    try:
        bundle = Bundle(path)
        return_memory()
        return bundle
    except OSError as error:
        raise BundleError(
            f"{path.name} cannot be read ({error.strerror or error}); check the folder's permissions."
        ) from None
