"""The benches of the Lab as its page asks for them: pictures in, plain values with pictures as PNG data addresses out.

Each is bench(bundle, tell, ...) -> dict; tell(share, stage) says how far it is. They run in vae.evaluation.lab_worker.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae import media
from vae.evaluation import compressing, lab, lab_report, lsz, pairing, picked, reconstructing, reducing, repairing
from vae.evaluation.entries import Entry, averaged, measure
from vae.evaluation.noises import sigma_of
from vae.evaluation.pca import Pca, by_dimensions

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray
Tell = Callable[[float, str], None]

CURVE = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
CURVE_PICTURES = 24
MAP_POINTS = 800
DRAWN_POINTS = 240
CODES = 2000
SHEET, BARS = 24, 40


def shown(picture: Array) -> str:
    """uint8 (s, s, c) -> data address."""
    return "data:image/png;base64," + base64.b64encode(media.png(picture)).decode()


def listed(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Entries as the page takes them."""
    return [
        {
            "id": one.id, "title": one.title, "note": one.note, "bytes": one.size,
            "src": None if one.picture is None else shown(one.picture), **one.figures,
        }
        for one in entries
    ]  # fmt: skip


_pca: dict[str, Pca] = {}


def cached_pca(bundle: Bundle) -> Pca | None:
    """The PCA of a bundle if it was fitted before."""
    path = str(picked.pca_file(bundle))
    if path not in _pca and (found := Pca.load(Path(path))) is not None:
        _pca.clear()
        _pca[path] = found
    return _pca.get(path)


def warm(bundle: Bundle, tell: Tell) -> dict[str, Any]:
    """Load the networks, so that the first picture does not wait for them."""
    bundle.warm_up()
    blank = np.zeros((bundle.image_size, bundle.image_size, bundle.channels), np.uint8)
    measure(blank, [Entry("blank", "", blank)])
    return {"pca": cached_pca(bundle) is not None}


def fit(bundle: Bundle, tell: Tell) -> dict[str, Any]:
    """PCA for this bundle, once."""
    made = picked.fitted_pca(bundle, lambda share: tell(share, "Fitting PCA"))
    return {"fitted": None if made is None else made.source}


def reconstruct(bundle: Bundle, tell: Tell, pictures: Array) -> dict[str, Any]:
    """The first picture in one pass."""
    found = reconstructing.reconstructed(bundle, pictures[0])
    return {
        "entries": listed(found["entries"]), "nats": found["nats"].tolist(),
        "usual": bundle.stats.kl.tolist(), "total": found["total"], "bits": found["bits"],
    }  # fmt: skip


def table(bundle: Bundle, tell: Tell, pictures: Array, names: Sequence[str]) -> dict[str, Any]:
    """Every picture in one pass, worst first."""
    rows = []
    for i, (picture, name) in enumerate(zip(pictures, names)):
        found = reconstructing.reconstructed(bundle, picture)
        rows.append({**reconstructing.row(name, found), "index": i, "src": shown(found["entries"][0].picture)})
        tell((i + 1) / len(names), f"Picture {i + 1} of {len(names)}")
    rows = reconstructing.worst_first(rows)
    return {"rows": rows, "csv": reconstructing.as_csv(rows)}


def compress(bundle: Bundle, tell: Tell, pictures: Array, budget: int) -> dict[str, Any]:
    """The first picture at equal bytes."""
    pca = cached_pca(bundle)
    entries = compressing.at_equal_bytes(bundle, pca, pictures[0], (budget,))[budget]
    packed = lsz.encode_within(bundle, bundle.encode(pictures[:1])[0], budget)
    return {
        "entries": listed(entries), "budget": budget, "pca": pca is not None,
        "file": compressing.file_figures(bundle, pictures[0]),
        "lsz": None if packed is None else base64.b64encode(packed.data).decode(),
    }  # fmt: skip


def unpack(bundle: Bundle, tell: Tell, data: Array) -> dict[str, Any]:
    """An .lsz file -> its pictures, the first 100."""
    packed = lsz.decode(bundle, data.tobytes())
    made = bundle.decode(lsz.codes_of(bundle, packed)[:100])
    return {"pictures": [shown(one) for one in made], "count": len(packed.symbols), "bytes": len(packed.data)}


def curves(bundle: Bundle, tell: Tell, pictures: Array, names: Sequence[str] = ()) -> dict[str, Any]:
    """Rate and distortion over the pictures in hand: means at each budget; a method is left out where it cannot all."""
    pca, some = cached_pca(bundle), pictures[:CURVE_PICTURES]
    found = []
    for i, picture in enumerate(some):
        found.append(compressing.at_equal_bytes(bundle, pca, picture, CURVE, perceived=False))
        tell((i + 1) / len(some), f"Picture {i + 1} of {len(some)}")
    rows = {budget: averaged([one[budget] for one in found]) for budget in CURVE}
    return {"budgets": list(CURVE), "rows": [rows[budget] for budget in CURVE], "pictures": len(some)}


def denoise(bundle: Bundle, tell: Tell, pictures: Array, kind: str, strength: float) -> dict[str, Any]:
    """The first picture, damaged and repaired."""
    entries = repairing.denoised(bundle, cached_pca(bundle), pictures[0], kind, strength)
    return {"entries": listed(entries)}


def mode(bundle: Bundle, tell: Tell, pictures: Array, kind: str, strength: float) -> dict[str, Any]:
    """The posterior's mode for the damaged picture."""
    from vae.evaluation import mode as search
    from vae.evaluation.noises import damage

    noisy, known = damage(pictures[0], kind, strength), np.ones(pictures.shape[1:3], bool)
    told = sigma_of(kind, strength, pictures[0])
    found = search.find(bundle, noisy, known, told, tell=lambda share: tell(share, "Optimising the code"))
    entries = [Entry("mode", "VAE, posterior mode", found[1])]
    measure(pictures[0], entries)
    return {"entries": listed(entries)}


def fill(bundle: Bundle, tell: Tell, pictures: Array, mask: Array) -> dict[str, Any]:
    """The first picture without what the mask (s, s) hides, filled in."""
    return {"entries": listed(repairing.filled(bundle, cached_pca(bundle), pictures[0], mask == 0))}


def fill_mode(bundle: Bundle, tell: Tell, pictures: Array, mask: Array) -> dict[str, Any]:
    """The posterior's mode for what the mask leaves."""
    from vae.evaluation import mode as search

    picture, hole = pictures[0], mask > 0
    start = bundle.stats.mean if hole.mean() > 0.25 else None  # the encoder makes little of half a picture
    made = search.find(bundle, picture, ~hole, 5.0, start, tell=lambda share: tell(share, "Optimising the code"))[1]
    entries = [Entry("mode", "VAE, posterior mode", np.where(hole[..., None], made, picture))]
    measure(picture, entries)
    return {"entries": listed(entries)}


def invent(bundle: Bundle, tell: Tell, pictures: Array, mask: Array) -> dict[str, Any]:
    """pictures: the true one and the painted one; mask (s, s): what was painted."""
    found = repairing.invented(bundle, pictures[0], pictures[1], mask > 0)
    return {**found, "entries": listed(found["entries"])}


def dimensions(bundle: Bundle, tell: Tell, pictures: Array | None = None, names: Sequence[str] = ()) -> dict[str, Any]:
    """PCA, the code and UMAP of the same pictures: those in hand, the set's own, or what the model redraws."""
    from vae.space.layouts import umap_layout

    data, classes, words = _points(bundle, tell, pictures)
    flat = data.reshape(len(data), -1).astype(np.float32)
    flat -= flat.mean(0)
    tell(0.5, "PCA of the pixels")
    from vae.evaluation import pca

    linear = pca.fit([data], min(64, len(data) - 1))
    coefficients = linear.project(data)
    mu = np.concatenate([bundle.encode(data[i : i + 32])[0] for i in range(0, len(data), 32)]).astype(np.float64)
    centred = mu - mu.mean(0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    codes = mu if mu.shape[1] == 2 else (centred @ axes)[:, :2] if mu.shape[1] > 2 else np.c_[mu, np.zeros_like(mu)]
    tell(0.6, "UMAP of the pixels")
    places = umap_layout(coefficients, min(15, len(data) - 1), lambda share, stage: tell(0.6 + 0.3 * share, stage))
    maps = [("pca", "PCA", coefficients[:, :2]), ("vae", "VAE", codes), ("umap", "UMAP", places)]
    figures = []
    for id, title, xy in maps:
        figures.append({"id": id, "title": title, "places": _unit(xy).tolist(), **reducing.judged(flat, xy, classes)})
    made = bundle.decode(mu[:200])
    error = float(((made.astype(np.float32) - data[: len(made)]) ** 2).mean())
    sizes = reducing.sizes_up_to(len(linear.values))
    return {
        "words": words, "count": len(data), "maps": figures,
        "classes": None if classes is None else classes.tolist(),
        "class_names": list(bundle.codes.label_names) if classes is not None else [],
        "chance": None if classes is None else reducing.chance(classes),
        "sizes": sizes, "pca_error": by_dimensions(linear, data, sizes), "vae_size": bundle.latent_size,
        "vae_error": error, "tiles": _tiles(data),
    }  # fmt: skip


def _points(bundle: Bundle, tell: Tell, pictures: Array | None) -> tuple[Array, Array | None, str]:
    if pictures is not None:
        return pictures, None, f"{len(pictures)} pictures of yours"
    if (split := picked.known_split(bundle)) is not None:
        held = split[1]
        rows = np.unique(np.linspace(0, len(held) - 1, min(MAP_POINTS, len(held))).astype(int))
        some = held.subset(rows)
        return some.images(np.arange(len(some))), some.classes, f"{len(some)} held-out pictures of {held.name}"
    codes = bundle.codes
    rows = np.unique(np.linspace(0, len(codes) - 1, min(DRAWN_POINTS, len(codes))).astype(int))
    parts = []
    for i in range(0, len(rows), 8):
        parts.append(bundle.decode_small(codes.mu[rows[i : i + 8]], bundle.image_size))
        tell(0.45 * (i + 8) / len(rows), "Drawing the codes of training pictures")
    labels = codes.labels[rows]
    classes = labels.argmax(1) if labels.shape[1] > 1 and (labels.sum(1) == 1).all() else None
    return np.concatenate(parts), classes, f"{len(rows)} training pictures as the model redraws them"


def _unit(xy: Array) -> Array:
    """Places (N, 2) in [0, 1], the same scale both ways, y upwards, four digits."""
    low, high = np.asarray(xy).min(0), np.asarray(xy).max(0)
    span = max(float((high - low).max()), 1e-9)
    return np.round((xy - low) / span + (1 - (high - low) / span) / 2, 4)


def _tiles(data: Array, side: int = 32) -> dict[str, Any]:
    """Small pictures in one, 20 to a row."""
    small = np.stack([media.resize(picture, side) for picture in data])
    columns = 20
    sheet = np.zeros((-(-len(small) // columns) * columns, side, side, 3), np.uint8)
    sheet[: len(small)] = small
    rows = len(sheet) // columns
    joined = sheet.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    return {"src": shown(joined), "side": side, "columns": columns}


def sliders(bundle: Bundle, tell: Tell) -> dict[str, Any]:
    """Which axis of the code says what of the labels."""
    from vae.evaluation import disentangling

    codes = bundle.codes
    if not len(codes) or not codes.labels.shape[1]:
        raise ValueError(
            f"{bundle.title} has no labels to try its axes on; train on a folder per class or with a table"
        )
    rows = np.unique(np.linspace(0, len(codes) - 1, min(CODES, len(codes))).astype(int))
    factors, names = disentangling.factors_of(codes.labels[rows], codes.label_names)
    if not factors.shape[1]:
        raise ValueError(f"the labels of {bundle.title} do not vary; there is nothing to tell apart")
    return disentangling.judged(codes.mu[rows], factors, names, lambda share: tell(share, "Growing trees"))


def generate(bundle: Bundle, tell: Tell, prior: str, temperature: float, seed: int) -> dict[str, Any]:
    """A sheet of draws, how near each is to a training picture, and what they are of."""
    from vae.evaluation import generating

    z = generating.draw(bundle, prior, temperature, seed, generating.MEASURED)
    found = generating.held_against(bundle, z)
    made = bundle.decode(z[:SHEET])
    usual = generating.neighbourhood(bundle).usual
    edges = np.linspace(0, float(max(usual.max(), np.quantile(found["distances"], 0.99))), BARS + 1)
    return {
        "draws": [
            {"src": shown(one), "distance": float(far), "share": float(share)}
            for one, far, share in zip(made, found["distances"], found["share"])
        ],
        "edges": edges.tolist(),
        "usual": (np.histogram(usual, edges)[0] / len(usual)).tolist(),
        "drawn": (np.histogram(found["distances"], edges)[0] / len(z)).tolist(),
        "threshold": found["threshold"], "copied": found["copied"], "count": len(z), "codes": len(bundle.codes),
        "balance": generating.balance(bundle, z),
    }  # fmt: skip


def near(bundle: Bundle, tell: Tell, prior: str, temperature: float, seed: int, index: int) -> dict[str, Any]:
    """The training picture nearest to one draw, by its code; and by its pixels, where the pictures come along."""
    from vae.evaluation import generating

    z = generating.draw(bundle, prior, temperature, seed, index + 1)[index:]
    found = generating.held_against(bundle, z)
    made = bundle.decode(z)[0]
    row = int(found["rows"][0])
    entries = [Entry("code", "Nearest by code, as the model redraws it", bundle.decode(bundle.codes.mu[row])[0])]
    if (split := picked.known_split(bundle)) is not None:
        train = split[0]
        rows = np.arange(len(train))
        apart = [
            ((train.images(rows[i : i + 500]).astype(np.float32) - made) ** 2).mean((1, 2, 3))
            for i in range(0, len(rows), 500)
        ]
        entries.append(
            Entry("pixels", "Nearest by pixels, itself", train.images([int(np.concatenate(apart).argmin())])[0])
        )
    measure(made, entries)
    return {"entries": listed(entries), "distance": float(found["distances"][0]), "share": float(found["share"][0])}


@lru_cache(maxsize=1)
def _beside(path: str, digest: str) -> Bundle:
    """The second model; the digest tells a state of it from another."""
    from vae.bundles.bundle import open_bundle

    return open_bundle(path)


def floats(values: Array) -> str:
    """Little-endian float32 in base64."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def two(bundle: Bundle, tell: Tell, pictures: Array, other: Sequence[str]) -> dict[str, Any]:
    """The first picture through this model and another one. other: path and digest of its bundle."""
    sides = []
    for model in (bundle, _beside(*other)):
        found = pairing.side(model, pictures[0])
        sides.append(
            {
                "name": model.name, "digest": model.digest, "size": model.image_size, "channels": model.channels,
                "z": floats(found.mu), "delta": None if found.delta is None else floats(found.delta), **found.figures,
            }
        )  # fmt: skip
    return {"sides": sides}


def pair(bundle: Bundle, tell: Tell, other: Sequence[str]) -> dict[str, Any]:
    """The straight map from this model's codes to another's."""
    found = pairing.between(bundle, _beside(*other), lambda share: tell(share, "Drawing, and reading the draws"))
    return {
        "r2": found.r2, "draws": found.draws, "matrix": floats(found.matrix), "offset": floats(found.offset),
    }  # fmt: skip


def study(bundle: Bundle, tell: Tell, pictures: Array, names: Sequence[str], budget: int = 0) -> dict[str, Any]:
    """The report of the pictures in hand: the same figures as `python -m vae lab`."""
    pca = cached_pca(bundle)
    budgets = sorted({*compressing.BUDGETS, *([budget] if budget else [])})
    plan = lab.Plan(tuple(budgets), denoise=len(pictures), processes=0)
    done = 0

    def say(text: str) -> None:
        nonlocal done
        done += 1
        tell(min(0.98, done / 24), text.capitalize())

    path = None if pca is None else picked.pca_file(bundle)
    figures = lab.study(bundle, pictures, names, pca, path, plan, say)
    return {"figures": figures, "html": lab_report.as_html(figures)}


BENCHES: dict[str, Callable[..., dict[str, Any]]] = {
    "warm": warm, "fit": fit, "reconstruct": reconstruct, "table": table, "compress": compress, "unpack": unpack,
    "curves": curves, "denoise": denoise, "mode": mode, "fill": fill, "fill_mode": fill_mode, "invent": invent,
    "dimensions": dimensions, "sliders": sliders, "generate": generate, "near": near, "study": study,
    "two": two, "pair": pair,
}  # fmt: skip
