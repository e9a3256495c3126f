"""Directions that the user taught: one JSON file each, under user_home()/directions/DIGEST. NumPy only.

A direction is a linear read-out w of codes; it is moved along cov @ w, as the bundle's own named directions are
(vae.space.axes). The digest ties it to the numbers of one model: in another model the same w means nothing.
"""

from __future__ import annotations

import json
import math
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.paths import user_home

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

FORMAT = 1
MAX_BYTES = 200_000
MAX_DIRECTIONS = 200
MAX_LABEL = 40
_LABEL = re.compile(r"[^\W_](?:[\w ,.'()+/&-]*[\w.)'])?")
_lock = threading.Lock()
_loaded: dict[str, tuple[str, tuple[Taught, ...]]] = {}


class TaughtError(ValueError):
    """A taught direction that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True, eq=False)
class Taught:
    """One direction. w: (d,) float64; auc: on held-out codes; counts: codes with and without;
    removed: labels of the leaks that were taken out; leaks: label -> sigma that one sigma drags along."""

    label: str
    w: np.ndarray = field(repr=False)
    auc: float
    counts: tuple[int, int]
    removed: tuple[str, ...] = ()
    leaks: Mapping[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Stable in links and file names: letters, digits and '-' only."""
        return axis_id(self.label)

    @property
    def detail(self) -> str:
        """The sentence under the slider."""
        words = [
            f"{name} {value:+.1f}"
            for name, value in sorted(self.leaks.items(), key=lambda kv: -abs(kv[1]))
            if abs(value) >= 0.3
        ]
        drags = f"one sigma also moves {', '.join(words[:3])} sigma" if words else "it moves little else"
        cleaned = f", {', '.join(self.removed)} removed" if self.removed else ""
        taught = f"Taught from {self.counts[0]} codes with and {self.counts[1]} without{cleaned}"
        return f"{taught}, held-out AUC {self.auc:.3f}; {drags}."


def axis_id(label: str) -> str:
    """'Wide smile' -> 'taught-wide-smile'; other letters than a-z by their code point, so that ids stay apart."""
    slug = "".join(c if c.isascii() and c.isalnum() else "-" if c.isascii() else f"u{ord(c):x}" for c in label.lower())
    return "taught-" + re.sub("-+", "-", slug).strip("-")


def check_label(label: Any) -> str:
    """A usable name. Raises TaughtError."""
    text = " ".join(label.split()) if isinstance(label, str) else ""
    if not 1 <= len(text) <= MAX_LABEL or not _LABEL.fullmatch(text):
        raise TaughtError(
            f"The name {str(label)[:60]!r} cannot be used; give 1 to {MAX_LABEL} letters, digits and spaces."
        )
    return text


def folder(bundle: Bundle) -> Path:
    """Where the directions of this model lie."""
    return user_home() / "directions" / bundle.digest


def version(bundle: Bundle) -> str:
    """Changes when a direction is saved or removed."""
    try:
        entries = sorted(
            (e.name, e.stat().st_mtime_ns, e.stat().st_size)
            for e in os.scandir(folder(bundle))
            if e.name.endswith(".json")
        )
    except OSError:
        return ""
    return "|".join(f"{name}:{time:x}:{size:x}" for name, time, size in entries)


def to_json(bundle: Bundle, direction: Taught) -> str:
    """The file that is saved and exported."""
    values = asdict(direction) | {"w": [float(np.float32(v)) for v in direction.w], "leaks": dict(direction.leaks)}
    return json.dumps({"format": FORMAT, "model": bundle.name, "digest": bundle.digest, **values}, indent=1)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def from_json(bundle: Bundle, text: str | bytes) -> Taught:
    """Read an exported direction. Raises TaughtError."""
    if len(text) > MAX_BYTES:
        raise TaughtError(
            f"This file has {len(text):,} bytes, more than a direction's {MAX_BYTES:,}; choose an exported direction."
        )
    try:
        values = json.loads(text)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError
    except (ValueError, RecursionError):
        raise TaughtError(
            "This file is not an exported direction; choose a JSON file that this page has exported."
        ) from None
    if values.get("digest") != bundle.digest:
        other = str(values.get("model"))[:60]
        raise TaughtError(
            f"This direction belongs to the model {other!r} as it was then, not to {bundle.name}; open it there."
        )
    w, d = values.get("w"), bundle.latent_size
    if not isinstance(w, list) or len(w) != d or not all(map(_number, w)) or not any(w) or max(map(abs, w)) > 1e6:
        raise TaughtError(f"This direction does not hold {d} usable numbers; export it again.")
    counts, removed, leaks = values.get("counts"), values.get("removed"), values.get("leaks")
    fits = isinstance(counts, list) and len(counts) == 2 and all(isinstance(c, int) and 0 <= c < 10**9 for c in counts)
    fits = (
        fits
        and isinstance(removed, list)
        and len(removed) <= 64
        and all(isinstance(r, str) and len(r) <= 80 for r in removed)
    )
    fits = fits and isinstance(leaks, dict) and len(leaks) <= 500 and all(_number(v) for v in leaks.values())
    if not fits or not _number(values.get("auc")) or not 0 <= values["auc"] <= 1:
        raise TaughtError("This direction lacks its scores; export it again.")
    label = check_label(values.get("label"))
    return Taught(label, np.array(w, np.float64), float(values["auc"]), tuple(counts), tuple(removed), leaks)


def load(bundle: Bundle) -> tuple[Taught, ...]:
    """The directions saved for this model, by name; files that cannot be read are passed over."""
    stamp, key = version(bundle), str(folder(bundle))
    with _lock:
        if key in _loaded and _loaded[key][0] == stamp:
            return _loaded[key][1]
    found = {}
    for path in sorted(folder(bundle).glob("*.json"))[:MAX_DIRECTIONS] if stamp else []:
        try:
            direction = from_json(bundle, path.read_bytes())
        except (OSError, TaughtError):
            continue
        found[direction.id] = direction
    result = tuple(sorted(found.values(), key=lambda direction: direction.label.lower()))
    with _lock:
        _loaded[key] = stamp, result
    return result


def save(bundle: Bundle, direction: Taught) -> Path:
    """Write the file, in place of an older direction of this name. Raises TaughtError."""
    check_label(direction.label)
    others = [d for d in load(bundle) if d.id != direction.id]
    if len(others) >= MAX_DIRECTIONS:
        raise TaughtError(f"{bundle.name} has {len(others)} taught directions already; remove one first.")
    path = folder(bundle) / f"{direction.id}.json"
    part = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(to_json(bundle, direction), "utf-8")
        part.replace(path)
    except OSError as error:
        raise TaughtError(
            f"The direction cannot be saved ({error.strerror}); check the space and rights of the user's folder."
        ) from None
    return path


def remove(bundle: Bundle, direction_id: str) -> None:
    """Forget a direction. Raises TaughtError."""
    if direction_id not in {d.id for d in load(bundle)}:
        raise TaughtError(f"There is no taught direction {direction_id[:60]!r}; it may be removed already.")
    (folder(bundle) / f"{direction_id}.json").unlink(missing_ok=True)
