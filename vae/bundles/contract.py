"""What a model bundle must be, and the checks of its files: config, hashes, graphs, arrays. No torch.

Whatever these let through can be trusted to be there; every refusal is one sentence that names the file and the reason.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vae.config import ConfigError, ModelConfig

Array = np.ndarray

FORMAT = 1
CONFIG_KEYS = (
    "format", "name", "title", "description", "created", "licence", "model", "recipe", "metrics", "eyes", "files",
    "formerly", "player", "settle",
)  # fmt: skip
REQUIRED_FILES = ("decoder.onnx", "encoder.onnx", "codes.npz", "stats.npz")
CURVATURE_FILE = "curvature.npz"
WAYS_FILE = "ways.npz"
GUESS_FILE = "guess.onnx"
DYNAMICS_FILE, DRIVE_FILE = "dynamics.onnx", "drive.npz"
OPTIONAL_FILES = (
    "light.onnx", GUESS_FILE, "directions.npz", WAYS_FILE, CURVATURE_FILE, "card.md", DYNAMICS_FILE, DRIVE_FILE,
)  # fmt: skip
# How a model's pictures are shown: as they are, as a grey scan, as music, as a road to drive, as a sprite of a game.
PLAYERS = ("picture", "scan", "roll", "road", "sprite")
ACTIONS = 3  # numbers of an action: steering -1 to 1 (right is plus), gas and brake 0 to 1
MAX_CONFIG_BYTES = 1_000_000
MAX_FILE_BYTES = 2_000_000_000
MAX_ARRAY_BYTES = 1_000_000_000
MAX_FORMERLY = 100
MAX_SETTLE = 8
FREE = "x.free"  # in the graphs that a decoder is cut into: the map before a feature offset
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BundleError(ValueError):
    """A bundle, or a number for it, that cannot be used; the message is one sentence for the user."""


class ExportError(ValueError):
    """A bundle that cannot be made; one sentence that names the reason and the remedy."""


def level_at(size: int) -> int:
    """Index of the decoder's level that draws at `size` pixels, a power of two from 4 on."""
    return int(math.log2(size)) - 2


def no_feature(config: ModelConfig) -> dict[str, Array]:
    """The inputs of a feature offset (vae.bundles.feature) where there is none: the same picture as the decoder's alone, bit by bit."""
    return {name: np.zeros((1, config.feature_shape[0], 1, 1), np.float32) for name in ("feature", "anchor")}


def sha256(path: Path) -> str:
    """The hash of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_config(path: Path) -> dict[str, Any]:
    """config.json of a bundle's folder, its keys and types checked. Raises BundleError."""
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


def read_card(path: Path) -> str:
    """The model card, Markdown."""
    file = path / "card.md"
    if file.stat().st_size > MAX_CONFIG_BYTES:
        raise BundleError(f"{path.name}/card.md is larger than {MAX_CONFIG_BYTES:,} bytes; shorten it.")
    try:
        return file.read_text("utf-8")
    except ValueError:
        raise BundleError(f"{path.name}/card.md is not text in UTF-8; save it as that, or take it out.") from None


def read_model(path: Path, config: dict[str, Any]) -> ModelConfig:
    """The shape of the model that config.json describes. Raises BundleError."""
    try:
        return ModelConfig.from_dict(config["model"])
    except (ConfigError, TypeError) as error:
        raise BundleError(f"{path.name}/config.json describes no usable model: {error}.") from None


def read_eyes(path: Path, config: dict[str, Any], size: int) -> tuple[tuple[float, float], ...] | None:
    """The eye template ((x, y), (x, y)) in pixels of a picture of `size`; None without one. Raises BundleError."""
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


def read_formerly(path: Path, config: dict[str, Any]) -> tuple[str, ...]:
    """Digests that this model had before, with the decoder and the statistics of now: links made then still hold.

    Raises BundleError.
    """
    digests = config.get("formerly", [])
    fits = isinstance(digests, list) and len(digests) <= MAX_FORMERLY
    if not fits or not all(isinstance(one, str) and re.fullmatch(r"[0-9a-f]{12}", one) for one in digests):
        raise BundleError(
            f"{path.name}/config.json has a 'formerly' that is not a list of up to {MAX_FORMERLY} digests of "
            "12 hexadecimal digits; take it out."
        )
    return tuple(digests)


def read_player(path: Path, config: dict[str, Any]) -> str:
    """How the model's pictures are shown, one of PLAYERS. Raises BundleError."""
    player = config.get("player", PLAYERS[0])
    if player not in PLAYERS:
        raise BundleError(
            f"{path.name}/config.json has the player {str(player)[:40]!r}; it may be one of {', '.join(PLAYERS)}."
        )
    return player


def read_settle(path: Path, config: dict[str, Any]) -> int:
    """How often a draw is decoded and encoded again before it is shown, 0 where nothing is said. Raises BundleError."""
    settle = config.get("settle", 0)
    if isinstance(settle, bool) or not isinstance(settle, int) or not 0 <= settle <= MAX_SETTLE:
        raise BundleError(
            f"{path.name}/config.json has the settle {json.dumps(settle)[:40]}; it may be a whole number from 0 to "
            f"{MAX_SETTLE}."
        )
    return settle


def check_files(path: Path, files: dict[str, Any]) -> None:
    """Every listed file lies in the folder and has the hash that the list promises. Raises BundleError."""
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
        if sha256(file) != promised:
            raise BundleError(
                f"{path.name}/{name} is not the file that was exported (its SHA-256 differs); copy the bundle again."
            )


def check_graph(
    path: Path, name: str, inputs: dict[str, tuple], outputs: dict[str, tuple], inside: Iterable[str]
) -> None:
    """The ONNX file has these inputs and outputs, no foreign or looping operator, and keeps all tensors inside.

    inputs, outputs: shapes by name, None a free dimension. inside: values that must be made on the way.
    Raises BundleError.
    """
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


def read_arrays(path: Path, name: str, wanted: Sequence[str], maybe: Sequence[str] = ()) -> dict[str, Array]:
    """The arrays of an npz file, without pickle, their size checked before they are unpacked. Raises BundleError.

    maybe: arrays that come all together or not at all.
    """
    where = f"{path.name}/{name}"
    try:
        with zipfile.ZipFile(path / name) as archive:
            total = sum(info.file_size for info in archive.infolist())
        if total > MAX_ARRAY_BYTES:
            raise BundleError(f"{where} unpacks to {total:,} bytes, more than {MAX_ARRAY_BYTES:,}; export fewer codes.")
        with np.load(path / name, allow_pickle=False) as data:
            if set(maybe) & set(data.files):
                wanted = (*wanted, *maybe)
            for key in wanted:
                if key not in data.files:
                    raise BundleError(f"{where} has no array {key!r}; export the model anew.")
            return {key: data[key] for key in wanted}
    except BundleError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise errors of many kinds
        reason = "it holds Python objects" if "allow_pickle" in str(error) else str(error).split("\n")[0][:120]
        raise BundleError(f"{where} cannot be read ({reason}); copy the bundle again.") from None


def numbers(path: Path, name: str, key: str, array: Array, shape: tuple, dtype: Any = np.float64) -> Array:
    """The array as finite numbers of one shape; None in `shape` is free. Raises BundleError."""
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


def words(path: Path, name: str, key: str, array: Array, count: int) -> tuple[str, ...]:
    """An array (count,) of texts. Raises BundleError."""
    if array.shape != (count,) or array.dtype.kind != "U":
        raise BundleError(f"{path.name}/{name} has {key} that are not {count} words; export the model anew.")
    return tuple(str(word) for word in array)
