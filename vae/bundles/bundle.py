"""Open a model bundle: a folder of ONNX, JSON and npz files that runs no code of its own. No torch.

A bundle is checked whole when it is opened (names, hashes, graphs, shapes, finite numbers), so that what is used
afterwards can be trusted to be there; every refusal is one sentence that names the file and the reason.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import math
import os
import re
import threading
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vae.config import ConfigError, ModelConfig
from vae.paths import ASSETS, user_home

Array = np.ndarray

FORMAT = 1
CONFIG_KEYS = (
    "format", "name", "title", "description", "created", "licence", "model", "recipe", "metrics", "eyes", "files",
    "formerly",
)  # fmt: skip
REQUIRED_FILES = ("decoder.onnx", "encoder.onnx", "codes.npz", "stats.npz")
CURVATURE_FILE = "curvature.npz"
OPTIONAL_FILES = ("light.onnx", "directions.npz", CURVATURE_FILE, "card.md")
MAX_CONFIG_BYTES = 1_000_000
MAX_FILE_BYTES = 2_000_000_000
MAX_ARRAY_BYTES = 1_000_000_000
MAX_CODES = 100_000
MAX_FORMERLY = 100
CLIP_SIGMA = 6.0
CHUNK = 1  # pictures per run of a network: 8 at once take 320 MB more and leave the caches, 1.4 times the time
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BundleError(ValueError):
    """A bundle, or a number for it, that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Stats:
    """How the codes of the data are spread. Vectors (d,), matrices (d, d), float64; eigenvectors are columns.

    mean: the average picture's code, where all sliders stand at zero. It is the mean of the codes (`centre`), except
    where that decodes to no picture: the codes of photos lie on a shell around it, and the decoder knows nothing of
    its inside. Then `shell` is true and `mean` is the code of the average of the pictures.
    std, cov, eigenvalues, eigenvectors: of the codes around `centre`. kl: mean KL per dimension in nats.
    The prior is a mixture of k Gaussians: prior_weight (k,), prior_mean (k, d), prior_chol (k, d, d).
    """

    mean: Array
    std: Array
    centre: Array = field(repr=False)
    cov: Array = field(repr=False)
    kl: Array = field(repr=False)
    eigenvalues: Array = field(repr=False)
    eigenvectors: Array = field(repr=False)
    prior_weight: Array = field(repr=False)
    prior_mean: Array = field(repr=False)
    prior_chol: Array = field(repr=False)
    shell: bool = False


@dataclass(frozen=True, eq=False)
class Codes:
    """Encoded data: mu, logvar (M, d) float32; labels (M, K) uint8 with names (K,), never pictures."""

    mu: Array
    logvar: Array
    labels: Array
    label_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.mu)


@dataclass(frozen=True, eq=False)
class Directions:
    """Named directions. w: (K, d) read-outs; score: held-out AUC of a label, correlation of a measurement.

    leaks: (K, K), row k: what every read-out moves, in sigma, when direction k moves by one sigma.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    kind: tuple[str, ...]
    group: tuple[str, ...]
    w: Array
    score: Array
    leaks: Array

    def __len__(self) -> int:
        return len(self.names)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_config(path: Path) -> dict[str, Any]:
    """config.json, its keys and types checked."""
    file = path / "config.json"
    if not path.is_dir():
        raise BundleError(f"{path.name} is not a folder; a model bundle is a folder with a config.json.")
    if not file.is_file():
        raise BundleError(f"{path.name} has no config.json; copy the whole bundle folder again.")
    if file.stat().st_size > MAX_CONFIG_BYTES:
        raise BundleError(
            f"{path.name}/config.json is larger than {MAX_CONFIG_BYTES:,} bytes; this is no model bundle."
        )
    try:
        config = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path.name}/config.json is not valid JSON ({error}); copy the bundle again.") from None
    if not isinstance(config, dict):
        raise BundleError(f"{path.name}/config.json holds no object; copy the bundle again.")
    if config.get("format") != FORMAT:
        found = json.dumps(config.get("format"))[:40]
        raise BundleError(
            f"{path.name}/config.json has format {found}, and this version reads {FORMAT}; export the model anew."
        )
    unknown = sorted(set(config) - set(CONFIG_KEYS))
    if unknown:
        raise BundleError(
            f"{path.name}/config.json has the unknown key {unknown[0][:40]!r}; it may have {', '.join(CONFIG_KEYS)}."
        )
    kinds = {**dict.fromkeys(("name", "title", "description", "created", "licence"), str), "model": dict, "files": dict}
    kinds |= {"recipe": dict, "metrics": dict}
    for key, kind in kinds.items():
        default = {} if key in ("recipe", "metrics") else "" if key in ("description", "created") else None
        if not isinstance(config.setdefault(key, default), kind):
            word = "an object" if kind is dict else "a text"
            raise BundleError(f"{path.name}/config.json has no {key!r} that is {word}; export the model anew.")
    return config


def _read_model(path: Path, config: dict[str, Any]) -> ModelConfig:
    try:
        return ModelConfig.from_dict(config["model"])
    except (ConfigError, TypeError) as error:
        raise BundleError(f"{path.name}/config.json describes no usable model: {error}.") from None


def _read_eyes(path: Path, config: dict[str, Any], size: int) -> tuple[tuple[float, float], ...] | None:
    eyes = config.setdefault("eyes", None)
    if eyes is None:
        return None
    try:
        points = np.asarray(eyes, np.float64)
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.shape != (2, 2) or not np.isfinite(points).all() or points.min() < 0 or points.max() > size:
        raise BundleError(
            f"{path.name}/config.json has eyes that are not two points in a picture of {size} px; export anew."
        )
    if points[0, 0] >= points[1, 0]:
        raise BundleError(
            f"{path.name}/config.json has its eyes in the wrong order; the picture's left eye comes first."
        )
    return tuple((float(x), float(y)) for x, y in points)


def _read_formerly(path: Path, config: dict[str, Any]) -> tuple[str, ...]:
    """Digests that this model had before, with the decoder and the statistics of now: links made then still hold."""
    digests = config.get("formerly", [])
    fits = isinstance(digests, list) and len(digests) <= MAX_FORMERLY
    if not fits or not all(isinstance(one, str) and re.fullmatch(r"[0-9a-f]{12}", one) for one in digests):
        raise BundleError(
            f"{path.name}/config.json has a 'formerly' that is not a list of up to {MAX_FORMERLY} digests of "
            "12 hexadecimal digits; take it out."
        )
    return tuple(digests)


def _check_files(path: Path, files: dict[str, Any]) -> None:
    """Every listed file lies in the folder and has the hash that the list promises."""
    allowed = (*REQUIRED_FILES, *OPTIONAL_FILES)
    for name, promised in files.items():
        if name not in allowed:
            raise BundleError(
                f"{path.name}/config.json lists the file {name[:80]!r}; a bundle has {', '.join(allowed)} only."
            )
        if not isinstance(promised, str) or not re.fullmatch(r"[0-9a-f]{64}", promised):
            raise BundleError(f"{path.name}/config.json has no SHA-256 for {name}; export the model anew.")
    for name in REQUIRED_FILES:
        if name not in files:
            raise BundleError(f"{path.name}/config.json lists no {name}; export the model anew.")
    for name, promised in files.items():
        file = path / name
        if not file.is_file():
            raise BundleError(f"{path.name}/{name} is missing; copy the bundle again.")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise BundleError(f"{path.name}/{name} is larger than {MAX_FILE_BYTES:,} bytes; this is no model bundle.")
        if _sha256(file) != promised:
            raise BundleError(
                f"{path.name}/{name} is not the file that was exported (its SHA-256 differs); copy the bundle again."
            )


def _check_graph(
    path: Path, name: str, inputs: dict[str, tuple], outputs: dict[str, tuple], inside: Iterable[str]
) -> None:
    """The ONNX file has these inputs and outputs, no foreign or looping operator, and keeps all tensors inside."""
    import onnx

    where = f"{path.name}/{name}"
    try:
        model = onnx.load_model_from_string((path / name).read_bytes())
        graph = model.graph
        external = [
            t.name for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL or t.external_data
        ]
        if external:
            raise BundleError(
                f"{where} points to a file outside the bundle for {external[0][:60]!r}; export it with its weights "
                "inside."
            )
        for node in graph.node:
            # branches and loops hold graphs of their own, and may run for ever
            subgraph = any(a.HasField("g") or a.graphs or a.t.external_data for a in node.attribute)
            if node.domain not in ("", "ai.onnx") or subgraph:
                raise BundleError(
                    f"{where} uses the operator {node.op_type[:40]!r}, which a bundle may not; export it from plain "
                    "layers."
                )
        onnx.checker.check_model(model)
    except BundleError:
        raise
    except Exception as error:  # protobuf and the checker raise errors of many kinds, and none may end the app
        reason = str(error).strip().split("\n")[0][:120]
        raise BundleError(
            f"{where} is not a readable ONNX file ({reason or type(error).__name__}); copy the bundle again."
        ) from None
    names = {t.name for t in graph.initializer}
    found_in = {v.name: v for v in graph.input if v.name not in names}
    for found, wanted in ((found_in, inputs), ({v.name: v for v in graph.output}, outputs)):
        if set(found) != set(wanted):
            raise BundleError(
                f"{where} has {', '.join(sorted(found)) or 'nothing'} where {', '.join(sorted(wanted))} belongs; "
                "export anew."
            )
        for key, shape in wanted.items():
            dims = found[key].type.tensor_type.shape.dim
            got = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
            if got != shape or found[key].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
                raise BundleError(
                    f"{where} has {key} of shape {got} where config.json says {shape}, None being free; export anew."
                )
    made = {o for node in graph.node for o in node.output}
    missing = [value for value in inside if value not in made]
    if missing:
        raise BundleError(
            f"{where} has no value {missing[0]!r}, where it would be cut into levels; export the model anew."
        )


def _read_arrays(path: Path, name: str, wanted: Sequence[str]) -> dict[str, Array]:
    """The arrays of an npz file, without pickle, their size checked before they are unpacked."""
    where = f"{path.name}/{name}"
    try:
        with zipfile.ZipFile(path / name) as archive:
            total = sum(info.file_size for info in archive.infolist())
        if total > MAX_ARRAY_BYTES:
            raise BundleError(f"{where} unpacks to {total:,} bytes, more than {MAX_ARRAY_BYTES:,}; export fewer codes.")
        with np.load(path / name, allow_pickle=False) as data:
            for key in wanted:
                if key not in data.files:
                    raise BundleError(f"{where} has no array {key!r}; export the model anew.")
            return {key: data[key] for key in wanted}
    except BundleError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise errors of many kinds
        reason = "it holds Python objects" if "allow_pickle" in str(error) else str(error).split("\n")[0][:120]
        raise BundleError(f"{where} cannot be read ({reason}); copy the bundle again.") from None


def _numbers(path: Path, name: str, key: str, array: Array, shape: tuple, dtype: Any = np.float64) -> Array:
    """The array as finite numbers of one shape; None in `shape` is free."""
    where = f"{path.name}/{name}"
    fits = array.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, array.shape))
    if not fits or array.dtype.kind not in "fiub":
        raise BundleError(
            f"{where} has {key} of shape {array.shape} and type {array.dtype} where numbers of shape {shape} "
            "belong; export anew."
        )
    if not np.isfinite(array).all():
        raise BundleError(f"{where} has a number in {key} that is not finite; export the model anew.")
    return np.ascontiguousarray(array, dtype)


def _words(path: Path, name: str, key: str, array: Array, count: int) -> tuple[str, ...]:
    if array.shape != (count,) or array.dtype.kind != "U":
        raise BundleError(f"{path.name}/{name} has {key} that are not {count} words; export the model anew.")
    return tuple(str(word) for word in array)


def _read_stats(path: Path, d: int) -> Stats:
    vectors, matrices = ("mean", "std", "centre", "kl", "eigenvalues"), ("cov", "eigenvectors")
    arrays = _read_arrays(path, "stats.npz", (*vectors, *matrices, "prior_weight", "prior_mean", "prior_chol", "shell"))
    shapes: dict[str, tuple] = {**dict.fromkeys(vectors, (d,)), **dict.fromkeys(matrices, (d, d))}
    count = len(np.atleast_1d(arrays["prior_weight"]))
    shapes |= {"prior_weight": (count,), "prior_mean": (count, d), "prior_chol": (count, d, d), "shell": ()}
    checked = {key: _numbers(path, "stats.npz", key, arrays[key], shape) for key, shape in shapes.items()}
    positive = np.diagonal(checked["prior_chol"], axis1=1, axis2=2).all() and (checked["prior_weight"] > 0).all()
    if (checked["std"] < 0).any() or not positive or not count:
        raise BundleError(f"{path.name}/stats.npz has a spread that is negative or zero; export the model anew.")
    return Stats(**{**checked, "shell": bool(checked["shell"])})


def _read_codes(path: Path, d: int) -> Codes:
    arrays = _read_arrays(path, "codes.npz", ("mu", "logvar", "labels", "label_names"))
    mu = _numbers(path, "codes.npz", "mu", arrays["mu"], (None, d), np.float32)
    if len(mu) > MAX_CODES:
        raise BundleError(
            f"{path.name}/codes.npz holds {len(mu):,} codes, more than {MAX_CODES:,}; export fewer codes."
        )
    logvar = _numbers(path, "codes.npz", "logvar", arrays["logvar"], mu.shape, np.float32)
    labels = _numbers(path, "codes.npz", "labels", arrays["labels"], (len(mu), None), np.int32)
    return Codes(mu, logvar, labels, _words(path, "codes.npz", "label_names", arrays["label_names"], labels.shape[1]))


def _read_directions(path: Path, d: int) -> Directions | None:
    name = "directions.npz"
    words = ("names", "labels", "kind", "group")
    arrays = _read_arrays(path, name, (*words, "w", "score", "leaks"))
    w = _numbers(path, name, "w", arrays["w"], (None, d))
    if not np.abs(w).sum(1).all():
        raise BundleError(f"{path.name}/{name} has a direction that is zero; export the model anew.")
    texts = {key: _words(path, name, key, arrays[key], len(w)) for key in words}
    if len(set(texts["names"])) != len(w) or not all(NAME.fullmatch(n) for n in texts["names"]):
        raise BundleError(
            f"{path.name}/{name} has names that repeat or are not made of letters, digits, '-', '_'; export anew."
        )
    if set(texts["kind"]) - {"label", "measured"}:
        raise BundleError(f"{path.name}/{name} has a kind other than 'label' and 'measured'; export the model anew.")
    score = _numbers(path, name, "score", arrays["score"], (len(w),))
    return Directions(**texts, w=w, score=score, leaks=_numbers(path, name, "leaks", arrays["leaks"], (len(w), len(w))))


def _check_curvature(path: Path, levels: int, style: int) -> None:
    """The curvature of style offsets is whole; only the refining process uses its numbers."""
    arrays = _read_arrays(path, CURVATURE_FILE, ("triangles", "scale"))
    _numbers(path, CURVATURE_FILE, "triangles", arrays["triangles"], (levels, style * (style + 1) // 2), np.float16)
    _numbers(path, CURVATURE_FILE, "scale", arrays["scale"], (levels,))


def make_session(model: bytes, where: str, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU; threads 0 is one a core, at most 4. Raises BundleError naming `where`."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or min(4, os.cpu_count() or 1)
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the cores from the browser, which draws on the same machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base that it documents
        reason = str(error).strip().split("\n")[0][:160]
        raise BundleError(f"{where} cannot be run ({reason}); export the model anew.") from None


class Bundle:
    """An open bundle. Make one with `open_bundle`; all methods are safe to call from several threads."""

    def __init__(self, path: Path):
        config = _read_config(path)
        model = _read_model(path, config)
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
        self.eyes = _read_eyes(path, config, model.image_size)
        self.formerly = _read_formerly(path, config)
        _check_files(path, config["files"])
        d, size = model.latent_size, model.image_size
        picture = (None, model.channels, size, size)
        codes_in: dict[str, tuple] = {"z": (None, d)}
        inside: list[str] = []
        if self.levels:
            codes_in = {"z": (None, self.levels, d), "delta": (None, self.levels, self.style_size)}
            inside = ["w", *(f"{kind}.{level}" for kind in ("x", "rgb") for level in range(self.levels))]
        _check_graph(path, "decoder.onnx", codes_in, {"image": picture}, inside)
        self.light = "light.onnx" in config["files"]
        if self.light:
            _check_graph(path, "light.onnx", codes_in, {"image": picture}, ())
        codes_out: dict[str, tuple] = {"mu": (None, d), "logvar": (None, d)}
        if model.offsets:
            codes_out["delta"] = codes_in["delta"]
        _check_graph(path, "encoder.onnx", {"image": picture}, codes_out, ())
        self.stats = _read_stats(path, d)
        self.codes = _read_codes(path, d)
        self.directions = _read_directions(path, d) if "directions.npz" in config["files"] else None
        self.curved = bool(self.levels) and CURVATURE_FILE in config["files"]
        if self.curved:
            _check_curvature(path, self.levels, self.style_size)
        hashes = "".join(f"{name}:{config['files'][name]}\n" for name in sorted(config["files"]))
        self.digest: str = hashlib.sha256(hashes.encode()).hexdigest()[:12]
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Bundle({self.name!r}, {self.digest})"

    @cached_property
    def card(self) -> str:
        """The model card, Markdown; empty where the bundle has none."""
        return (self.path / "card.md").read_text("utf-8") if "card.md" in self.config["files"] else ""

    @property
    def preview_sizes(self) -> tuple[int, ...]:
        """Lower resolutions that the decoder can stop at, largest first."""
        return (self.image_size // 2, self.image_size // 4) if self.levels else ()

    def _level(self, size: int) -> int:
        """Index of the level of a preview size. Raises BundleError."""
        if size not in self.preview_sizes:
            offer = ", ".join(map(str, (*self.preview_sizes[::-1], self.image_size)))
            raise BundleError(f"{self.name} cannot decode to {size} px; it has {offer}.")
        return int(math.log2(size)) - 2

    # -- the networks ------------------------------------------------------------------------------------------

    @cached_property
    def _decoder(self) -> list[Any]:
        """Sessions in a row, one up to each preview size and one for the rest: each weight is loaded once."""
        data = (self.path / "decoder.onnx").read_bytes()
        parts = [data]
        if self.levels:
            import onnx

            model = onnx.load_model_from_string(data)
            sizes = sorted(self.preview_sizes)
            borders = [self._border(size) for size in sizes]
            inputs = [list(model.graph.input), *(self._given(size) for size in sizes)]
            outputs = [borders[0], *(border[:2] for border in borders[1:]), list(model.graph.output)]  # w is made once
            parts = [_part(model, a, b) for a, b in zip(inputs, outputs)]
        sessions = [make_session(part, f"{self.path.name}/decoder.onnx") for part in parts]
        return_memory()
        return sessions

    @cached_property
    def _encoder(self) -> Any:
        session = make_session((self.path / "encoder.onnx").read_bytes(), f"{self.path.name}/encoder.onnx")
        return_memory()
        return session

    @cached_property
    def _light(self) -> Any:
        session = make_session((self.path / "light.onnx").read_bytes(), f"{self.path.name}/light.onnx")
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

    def _feed(self, z: Any, delta: Any) -> dict[str, Array]:
        """Inputs of the decoder for a batch of codes."""
        z = self._codes(z)
        z = z[None] if z.ndim == 1 else z
        if not self.levels:
            if delta is not None:
                raise BundleError(f"{self.name} has no styles; decode it without style offsets.")
            return {"z": z}
        if z.ndim == 2:
            z = np.repeat(z[:, None], self.levels, axis=1)
        shape = (len(z), self.levels, self.style_size)
        offsets = np.zeros(shape, np.float32) if delta is None else np.asarray(delta, np.float32)
        offsets = offsets[None] if offsets.ndim == 2 else offsets
        if offsets.shape != shape or not np.isfinite(offsets).all():
            raise BundleError(
                f"The style offsets have the shape {offsets.shape}; give finite numbers of shape {shape}."
            )
        return {"z": np.ascontiguousarray(z), "delta": np.ascontiguousarray(offsets)}

    def decode_float(self, z: Any, delta: Any = None, size: int | None = None, quick: bool = False) -> Array:
        """As `decode`, but float32 (N, c, size, size) in [-1, 1], not clamped."""
        feed = self._feed(z, delta)
        last = "image" if size in (None, self.image_size) else f"rgb.{self._level(size)}"
        light = quick and self.light and last == "image"
        sessions, count = [self._get("_light")] if light else self._get("_decoder"), len(feed["z"])
        images = []
        for start in range(0, count, CHUNK):
            values = {key: value[start : start + CHUNK] for key, value in feed.items()}
            for session in sessions:
                names = [value.name for value in session.get_outputs()]
                ends = last in names
                wanted = [last] if ends else names
                made = session.run(wanted, {value.name: values[value.name] for value in session.get_inputs()})
                values.update(zip(wanted, made))
                if ends:
                    break
            images.append(values[last])
        return images[0] if len(images) == 1 else np.concatenate(images)

    def decode(self, z: Any, delta: Any = None, size: int | None = None, quick: bool = False) -> Array:
        """Codes (d,), (N, d) or (N, L, d), style offsets (N, L, S) -> pictures uint8 (N, size, size, c).

        size: one of `preview_sizes` stops there, which is faster; None is the full size. quick: at full size, by the
        light decoder where the bundle has one. Raises BundleError.
        """
        image = self.decode_float(z, delta, size, quick)
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

        The offsets are (N, L, S) float32, None where the model reads none; decode(mu, offsets) is the model's
        reconstruction in one pass. Raises BundleError.
        """
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
        session = self._get("_encoder")
        x = np.ascontiguousarray(x)
        wanted = ["mu", "logvar", *(["delta"] if self.model.offsets else [])]
        parts = [session.run(wanted, {"image": x[i : i + CHUNK]}) for i in range(0, len(x), CHUNK)]
        mu, logvar, *more = (np.concatenate(column) for column in zip(*parts))
        return mu, logvar, more[0] if more else None

    def split(self, size: int) -> tuple[bytes, bytes]:
        """The decoder cut in two at a preview size, as ONNX files, made anew at each call.

        head: z, delta -> rgb.l, x.l, w; tail: x.l, rgb.l, w -> image, and z where a linear path goes on in the tail.
        Raises BundleError.
        """
        import onnx

        model = onnx.load_model_from_string((self.path / "decoder.onnx").read_bytes())
        head = _part(model, list(model.graph.input), self._border(size))
        return head, _part(model, self._given(size), list(model.graph.output))

    def _border(self, size: int) -> list[Any]:
        """What crosses a cut of the decoder at a preview size: rgb.l, x.l and w, as ONNX value infos."""
        level = self._level(size)
        shapes = {
            f"rgb.{level}": ["N", self.channels, size, size],
            f"x.{level}": ["N", self.model.width_at(size), size, size],
            "w": ["N", self.levels, self.style_size],
        }
        return _value_infos(shapes)

    def _given(self, size: int) -> list[Any]:
        """What the part beyond a cut takes: what crosses it and, where a linear path goes on there, z."""
        more = {"z": ["N", self.levels, self.latent_size]} if size < self.model.linear_size else {}
        return [*self._border(size), *_value_infos(more)]


def return_memory() -> None:
    """Give freed memory back to the system: loading a network leaves more behind than it keeps (glibc only)."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        pass


def _value_infos(shapes: dict[str, list]) -> list[Any]:
    """float32 values of an ONNX graph, from their shapes by name."""
    import onnx

    return [onnx.helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, v) for k, v in shapes.items()]


def _part(model: Any, inputs: list, outputs: list) -> bytes:
    """The nodes of an ONNX model between these values, with their initialisers, as a model of its own."""
    import onnx

    needed, kept = {v.name for v in outputs}, []
    given = {v.name for v in inputs}
    for node in reversed(model.graph.node):  # ONNX keeps nodes in topological order
        if any(o in needed and o not in given for o in node.output):
            kept.append(node)
            needed.update(node.input)
    tensors = [t for t in model.graph.initializer if t.name in needed]
    graph = onnx.helper.make_graph(kept[::-1], model.graph.name, inputs, outputs, tensors)
    part = onnx.helper.make_model(graph, opset_imports=model.opset_import, producer_name=model.producer_name)
    part.ir_version = model.ir_version
    return part.SerializeToString()


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


class Registry:
    """The bundles in some folders, each a folder of its own, known by the folder's name.

    Folders are looked at anew on every call, so that a new bundle appears without a restart. Where two bundles
    have one name, the one in the earlier folder is used, and the other is listed as broken.
    """

    def __init__(self, folders: Iterable[str | os.PathLike[str]]):
        self.folders = tuple(Path(folder) for folder in folders)
        self._lock = threading.Lock()
        self._open: dict[Path, tuple[tuple, Bundle]] = {}

    def _scan(self) -> tuple[dict[str, Path], list[Path]]:
        """Bundle folders by name, and those whose name is taken."""
        found: dict[str, Path] = {}
        doubles: list[Path] = []
        for folder in self.folders:
            try:
                paths = sorted(p for p in folder.iterdir() if NAME.fullmatch(p.name) and p.is_dir())
            except OSError:  # a folder that is not there holds no bundles
                continue
            for path in paths:
                if found.setdefault(path.name, path) != path:
                    doubles.append(path)
        return found, doubles

    def names(self) -> list[str]:
        """Names of all bundles, the broken ones too."""
        return list(self._scan()[0])

    def get(self, name: str) -> Bundle:
        """The open bundle of this name; opened again when its files have changed. Raises BundleError."""
        path = self._scan()[0].get(name)
        if path is None:
            offer = ", ".join(self.names()) or "none; put a bundle folder there"
            raise BundleError(f"There is no model {str(name)[:60]!r}; there is {offer}.")
        with self._lock:
            stamp = _stamp(path)
            if path not in self._open or self._open[path][0] != stamp:
                self._open[path] = stamp, open_bundle(path)
            return self._open[path][1]

    def by_digest(self, digest: str) -> Bundle | None:
        """The bundle that has this digest, or else one that had it formerly, whatever its name; None for none."""
        known = []
        for name in self.names():
            try:
                known.append(self.get(name))
            except BundleError:  # a broken model is no answer, and hides no other
                continue
        now = (bundle for bundle in known if bundle.digest == digest)
        return next(now, next((bundle for bundle in known if digest in bundle.formerly), None))

    def entries(self) -> list[dict[str, Any]]:
        """A summary of each bundle, or its name and the sentence that says what is broken."""
        found, doubles = self._scan()
        entries = []
        for name in found:
            try:
                entries.append(summary(self.get(name)))
            except BundleError as error:
                entries.append({"name": name, "broken": str(error)})
        for path in doubles:
            sentence = f"{path.parent.name}/{path.name} has the name of another model; rename its folder."
            entries.append({"name": path.name, "broken": sentence})
        return entries


def summary(bundle: Bundle) -> dict[str, Any]:
    """What a list of models shows of a bundle."""
    keys = (
        "name",
        "title",
        "description",
        "image_size",
        "channels",
        "latent_size",
        "levels",
        "style_size",
        "digest",
        "licence",
    )
    return {**{key: getattr(bundle, key) for key in keys}, "face": bundle.eyes is not None}


def _stamp(path: Path) -> tuple:
    """Changes when a file of the folder does."""
    try:
        files = sorted((e.name, e.stat().st_mtime_ns, e.stat().st_size) for e in os.scandir(path))
    except OSError:
        return ()
    return tuple(files)


def default_registry() -> Registry:
    """The bundles that ship, then the user's own."""
    return Registry([ASSETS / "models", user_home() / "models"])
