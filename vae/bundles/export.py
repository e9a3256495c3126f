"""Make a model bundle: checkpoint or weights, and data -> a folder that the app opens without torch."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.bundles import graph
from vae.bundles.bundle import open_bundle
from vae.bundles.contract import FORMAT, MAX_FORMERLY, NAME
from vae.bundles.figures import evaluate
from vae.bundles.sessions import make_session
from vae.config import ModelConfig
from vae.networks.standardise import moments, standardise

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.data.sets import ImageSet

Array = np.ndarray
Progress = Callable[[str], None]
# Called with the folder, the model, its weights, codes (M, d), eyes, and who to tell what goes on.
Addition = Callable[[Path, ModelConfig, Mapping[str, Any], Array, Any, Progress], None]

BATCH = 16
# The read-outs of labels: logistic regression, as strongly regularised as codes of 128 numbers need.
LOGISTIC_C, RIDGE_ALPHA, READ_OUT_CODES = 0.02, 100.0, 6000
LEAST_AUC, LEAST_CORRELATION, LEAST_EXAMPLES = 0.8, 0.7, 20
MIXTURES = (1, 4, 12, 24)
# Labels that judge, or say what people find beautiful, are no sliders.
OMIT = ("Attractive", "Big_Nose", "Big_Lips", "Chubby", "Double_Chin")
GROUPS = {
    "Expression": ("Smiling", "Mouth_Slightly_Open", "High_Cheekbones"),
    "Hair": ("Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Receding_Hairline", "Sideburns",
             "Straight_Hair", "Wavy_Hair"),
    "Beard": ("5_o_Clock_Shadow", "Goatee", "Mustache", "No_Beard"),
    "Skin": ("Pale_Skin", "Rosy_Cheeks"),
    "Eyes": ("Arched_Eyebrows", "Bushy_Eyebrows", "Bags_Under_Eyes", "Narrow_Eyes"),
    "Worn": ("Eyeglasses", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick", "Wearing_Necklace", "Wearing_Necktie",
             "Heavy_Makeup"),
    "Person": ("Male", "Young"),
}  # fmt: skip
# In these the average picture is moved to the middle of the data.
CENTRED = ("Skin_tone",)
AS_LABELLED = ("Male", "Young", "Pale_Skin", "High_Cheekbones")


def _spoken(name: str, known: bool) -> str:
    """What people read for a label; CelebA's names are set in sentence case."""
    words = name.replace("_", " ")
    if known:
        words = words.replace("5 o Clock", "Five-o'clock").replace("Gray", "Grey").capitalize()
    return words + (" (as labelled)" if name in AS_LABELLED else "")


class ExportError(ValueError):
    """A bundle that cannot be made; one sentence that names the reason and the remedy."""


@dataclass(frozen=True)
class About:
    """What a bundle says of itself. eyes: ((x, y), (x, y)) in pixels of the picture, of a model of aligned faces."""

    title: str
    description: str = ""
    licence: str = "MIT"
    eyes: tuple[tuple[float, float], tuple[float, float]] | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()


def to_arrays(state: Mapping[str, Any]) -> dict[str, Array]:
    """state_dict of torch tensors or arrays -> arrays."""
    return {k: v.detach().cpu().float().numpy() if hasattr(v, "detach") else np.asarray(v) for k, v in state.items()}


def networks(model: ModelConfig, weights: Mapping[str, Array]) -> tuple[bytes, bytes]:
    """Decoder and encoder as ONNX files, the weights in them under their state_dict names. Raises ExportError."""
    from vae.networks.autoencoder import Autoencoder

    network = Autoencoder(model)
    shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    for key, shape in shapes.items():
        if key not in weights or tuple(weights[key].shape) != shape:
            found = tuple(weights[key].shape) if key in weights else "nothing"
            raise ExportError(
                f"the weights have {found} for {key} where the model has {shape}; give the settings it was trained with"
            )
    if model.architecture == "style":
        made = graph.style_decoder(model, weights), graph.style_encoder(model, weights)
    else:
        decoder = [(f"decoder.layers.{i}", layer) for i, layer in enumerate(network.decoder.layers)]
        encoder = [(f"encoder.{i}", layer) for i, layer in enumerate(network.encoder)]
        made = graph.conv_decoder(model, weights, decoder), graph.conv_encoder(model, weights, encoder)
    return made[0].SerializeToString(), made[1].SerializeToString()


class _Networks:
    """The two ONNX files at work on batches: a thread a batch, which beats threads within a batch."""

    def __init__(self, model: ModelConfig, decoder: bytes, encoder: bytes):
        self.model = model
        self.decoder, self.encoder = (make_session(part, "the network", threads=1) for part in (decoder, encoder))
        self.pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "encode")

    def encode(self, images: Array) -> tuple[Array, Array]:
        """uint8 (N, s, s, c) -> mu, logvar (N, d)."""

        def one(start: int) -> list[Array]:
            part = images[start : start + BATCH].transpose(0, 3, 1, 2)
            x = np.ascontiguousarray(part).astype(np.float32) / 127.5 - 1
            return self.encoder.run(["mu", "logvar"], {"image": x})

        parts = list(self.pool.map(one, range(0, len(images), BATCH)))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def decode(self, z: Array) -> Array:
        """z (N, d) -> uint8 (N, s, s, c)."""
        z, model = np.asarray(z, np.float32), self.model
        feed = {"z": z}
        if model.levels:
            delta = np.zeros((len(z), model.levels, model.style_size), np.float32)
            feed = {"z": np.repeat(z[:, None], model.levels, axis=1), "delta": delta}
        image = self.decoder.run(["image"], feed)[0]
        return np.clip(image * 127.5 + 128, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)

    def cycle_error(self, z: Array, std: Array) -> Array:
        """How far encode(decode(z)) is from z, in standard deviations (N,): small where the decoder knows its way."""
        again = self.encode(self.decode(z))[0]
        return np.sqrt((((again - z) / np.maximum(std, 1e-6)) ** 2).mean(1))


def encode_set(nets: _Networks, data: ImageSet, progress: Progress | None = None) -> tuple[Array, Array, Array, float]:
    """mu, logvar (M, d) of a data set, its average picture (s, s, c) float, and the mean contrast of its pictures."""
    mus, logvars, total, contrast, done = [], [], 0.0, 0.0, 0
    for images in data.batches(8 * BATCH):
        mu, logvar = nets.encode(images)
        mus.append(mu)
        logvars.append(logvar)
        total = total + images.sum(0, dtype=np.float64)
        contrast += images.std((1, 2), dtype=np.float64).mean(1).sum()
        done += len(images)
        if progress and done % (64 * BATCH) < len(images):
            progress(f"encoded {done:,} of {len(data):,} pictures")
    return np.concatenate(mus), np.concatenate(logvars), total / done, contrast / done


def _average_code(nets: _Networks, average: Array, contrast: float) -> Array:
    """Code of the average picture, its contrast and sharpness brought back to a picture's: the mean blurs both."""
    from PIL import Image, ImageFilter

    centre = average.mean((0, 1))
    gain = np.clip(0.65 * contrast / max(average.std((0, 1)).mean(), 1e-6), 1, 3)
    picture = np.clip(centre + (average - centre) * gain, 0, 255).round().astype(np.uint8)
    image = Image.fromarray(picture if picture.shape[2] == 3 else picture[:, :, 0])
    radius = 6 * nets.model.image_size / 128
    sharp = np.asarray(image.filter(ImageFilter.UnsharpMask(radius, 150, 0))).reshape(picture.shape)
    return nets.encode(np.stack([sharp, sharp[:, ::-1]]))[0].mean(0, dtype=np.float64)


def prior(mu: Array, seed: int = 0) -> dict[str, Array]:
    """A mixture of Gaussians fitted to the codes; as many parts as explain a tenth of the codes, kept back, best."""
    from sklearn.mixture import GaussianMixture

    order = np.random.default_rng(seed).permutation(len(mu))
    held, rest = mu[order[: len(mu) // 10]], mu[order[len(mu) // 10 :]]
    # More would inflate the directions in which codes hardly differ, and the decoder is sharpest there.
    floor = 1e-3 * float(np.median(mu.var(0))) + 1e-6

    def fit(parts: int, codes: Array) -> GaussianMixture:
        import warnings

        from sklearn.exceptions import ConvergenceWarning

        mixture = GaussianMixture(
            parts, reg_covar=floor, random_state=seed, max_iter=40, tol=1e-2, init_params="k-means++"
        )
        with (
            warnings.catch_warnings()
        ):  # stopping early is wanted here: what counts is the score of the codes kept back
            warnings.simplefilter("ignore", ConvergenceWarning)
            return mixture.fit(codes)

    # A part needs a few codes per dimension, or its covariance is noise.
    allowed = [k for k in MIXTURES if k == 1 or len(rest) >= 4 * k * mu.shape[1]]
    best = max(allowed, key=lambda k: fit(k, rest).score(held)) if len(allowed) > 1 else 1
    mixture = fit(best, mu)
    chol = np.linalg.cholesky(mixture.covariances_ + 1e-9 * np.eye(mu.shape[1]))
    return {"prior_weight": mixture.weights_, "prior_mean": mixture.means_, "prior_chol": chol}


def statistics(nets: _Networks, mu: Array, logvar: Array, average: Array, contrast: float) -> dict[str, Array]:
    """The arrays of stats.npz, see vae.bundles.bundle.Stats."""
    mu, logvar = mu.astype(np.float64), logvar.astype(np.float64)
    centre, std = mu.mean(0), np.maximum(mu.std(0), 1e-6)
    cov = np.atleast_2d(np.cov(mu.T)) if len(mu) > 1 else np.eye(mu.shape[1])
    # Codes of few pictures span no volume: a sliver of it keeps every matrix invertible.
    cov = cov + 1e-6 * max(float(np.trace(cov)) / len(cov), 1e-6) * np.eye(len(cov))
    values, vectors = np.linalg.eigh(cov)
    # A sign of its own for every axis: its largest entry is positive, on every machine.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(vectors))])
    usual = np.median(nets.cycle_error(mu[:: max(1, len(mu) // 64)], std))
    shell = bool(nets.cycle_error(centre[None], std)[0] > 2 * usual)
    mean = centre
    if shell:
        candidate = _average_code(nets, average, contrast)
        shell = bool(nets.cycle_error(candidate[None], std)[0] < nets.cycle_error(centre[None], std)[0])
        mean = candidate if shell else centre
    kl = (0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)).mean(0)
    stats = dict(
        mean=mean, std=std, centre=centre, cov=cov, kl=kl, eigenvalues=values[::-1], eigenvectors=vectors[:, ::-1]
    )
    return {**stats, **(prior(mu) if len(mu) >= 40 else _plain_prior(centre, cov)), "shell": np.array(float(shell))}


def _plain_prior(centre: Array, cov: Array) -> dict[str, Array]:
    return {"prior_weight": np.ones(1), "prior_mean": centre[None], "prior_chol": np.linalg.cholesky(cov)[None]}


def directions(
    mu: Array,
    cov: Array,
    labels: Array,
    names: Sequence[str],
    test_mu: Array,
    test_labels: Array,
    measured: tuple[tuple[Array, Array], tuple[Array, Array]] | None = None,
) -> dict[str, Array] | None:
    """The arrays of directions.npz: read-outs that hold on the test codes; None where there is none.

    measured: measures and surroundings of the training pictures, and of the test pictures (vae.measures.measure).
    """  # fmt: skip
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.metrics import roc_auc_score

    rows = np.unique(np.linspace(0, len(mu) - 1, min(READ_OUT_CODES, len(mu))).astype(int))
    mu, test_mu = mu[rows].astype(np.float64), test_mu.astype(np.float64)
    group_of = {name: group for group, members in GROUPS.items() for name in members}
    found: list[tuple[str, str, str, str, float, Array]] = []
    for k, name in enumerate(names):
        y, truth = labels[rows, k], test_labels[:, k]
        if min(y.sum(), len(y) - y.sum(), truth.sum(), len(truth) - truth.sum()) < LEAST_EXAMPLES:
            continue
        w = LogisticRegression(C=LOGISTIC_C, class_weight="balanced", max_iter=2000).fit(mu, y).coef_[0]
        score = roc_auc_score(truth, test_mu @ w)
        if score >= LEAST_AUC:
            found.append((_slug(name), _spoken(name, name in group_of), "label", group_of.get(name, ""), score, w))
    if measured is not None:
        from vae.measures import MEASURES

        (values, around), (test_values, test_around) = measured
        for k, item in enumerate(MEASURES):
            y, truth = values[rows, k], test_values[:, k]
            if item.alone:
                others = LinearRegression().fit(around[rows], y)
                y, truth = y - others.predict(around[rows]), truth - others.predict(test_around)
            w = Ridge(alpha=RIDGE_ALPHA).fit(mu, y).coef_
            score = np.corrcoef(test_mu @ w, truth)[0, 1]
            if score >= LEAST_CORRELATION:
                found.append((item.id, item.label, "measured", item.group, score, w))
    if not found:
        return None
    w = np.array([row[5] for row in found])
    w /= np.sqrt(np.einsum("kd,de,ke->k", w, cov, w))[:, None]  # read-outs in sigma
    texts = {key: np.array([row[i] for row in found]) for i, key in enumerate(("names", "labels", "kind", "group"))}
    return {**texts, "score": np.array([row[4] for row in found]), "w": w.astype(np.float32), "leaks": w @ cov @ w.T}


def _centred(nets: _Networks, mu: Array, stats: Mapping[str, Array], found: Mapping[str, Array]) -> Array:
    """The code of the average picture, its read-outs of CENTRED brought to those of the mean code.

    Averaged and sharpened pictures show a lighter skin than the people in them have; a slider's zero should not.
    """
    rows = [k for k, name in enumerate(found["names"]) if name in CENTRED]
    if not stats["shell"] or not rows:
        return stats["mean"]
    w, cov = found["w"][rows].astype(np.float64), stats["cov"]
    centred = stats["mean"] - cov @ w.T @ np.linalg.solve(w @ cov @ w.T, w @ (stats["mean"] - stats["centre"]))
    usual = np.median(nets.cycle_error(mu[:: max(1, len(mu) // 64)], stats["std"]))
    return centred if nets.cycle_error(centred[None], stats["std"])[0] < 2 * usual else stats["mean"]


def _slug(name: str) -> str:
    """A label as an id: letters, digits, '-' and '_'."""
    text = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name).strip("_-")
    return (text or f"label_{hashlib.sha256(name.encode()).hexdigest()[:6]}")[:64]


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ExportError(
            f"the name {name!r} is no name of a bundle; use letters, digits, '-', '_' and '.', at most 64"
        )


def _check_target(out: Path, force: bool) -> None:
    _check_name(out.name)
    if out.exists() and not force:
        raise ExportError(f"{out.name} exists already; choose another name, or add --force to replace it")


def _rows(count: int, most: int) -> Array:
    """At most so many places of a set, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _spread(data: ImageSet, most: int) -> ImageSet:
    return data if len(data) <= most else data.subset(_rows(len(data), most))


def export_model(
    weights: Mapping[str, Any],
    model: ModelConfig,
    train: ImageSet,
    test: ImageSet,
    out: str | os.PathLike[str],
    about: About,
    codes: int = 10_000,
    omit: Sequence[str] = OMIT,
    measure_faces: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    prior_codes: int = 0,
    standard: bool = False,
    additions: Sequence[Addition] = (),
) -> Path:
    """Write a bundle folder; it appears under its name when it is whole and has been opened once.

    train: pictures whose codes give statistics, prior and directions; test: pictures that give the scores. codes: how
    many of the codes the bundle keeps. prior_codes: how many give statistics and prior, where those are more.
    standard: shift and stretch the codes to mean 0 and variance 1, the pictures stay the same (vae.networks.standardise).
    additions: what later wings put into the folder before it is sealed, such as vae.photos.measure_curvature.add.
    Raises ExportError, BundleError.
    """  # fmt: skip
    from threadpoolctl import threadpool_limits

    out = Path(out)
    _check_target(out, force)
    say = progress or (lambda text: None)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        decoder, encoder = networks(model, to_arrays(weights))
        (folder / "decoder.onnx").write_bytes(decoder)
        (folder / "encoder.onnx").write_bytes(encoder)
        nets = _Networks(model, decoder, encoder)
        wide = _spread(train, max(codes, prior_codes))
        mu, logvar, average, contrast = encode_set(nets, wide, say)
        if standard:
            mean, std = moments(mu, logvar)
            weights = standardise(model, to_arrays(weights), mean, std)
            decoder, encoder = networks(model, weights)
            (folder / "decoder.onnx").write_bytes(decoder)
            (folder / "encoder.onnx").write_bytes(encoder)
            nets = _Networks(model, decoder, encoder)
            mu = ((mu - mean) / std).astype(np.float32)
            if model.variational:  # a plain autoencoder's encoder answers one number for all
                logvar = (logvar - 2 * np.log(std)).astype(np.float32)
        test_mu, *_ = encode_set(nets, test)
        say("fitting statistics and prior")
        with threadpool_limits(1):  # many small products: threads would wait for each other
            stats = statistics(nets, mu, logvar, average, contrast)
        rows = _rows(len(wide), codes)
        train, mu, logvar = wide.subset(rows), mu[rows], logvar[rows]
        keep = [k for k, name in enumerate(train.label_names) if name not in omit]
        names = [train.label_names[k] for k in keep]
        labels = train.labels[:, keep] if train.labels is not None else np.zeros((len(mu), 0), np.uint8)
        words = np.array(names) if names else np.zeros(0, "U1")
        half = {"mu": mu.astype(np.float16), "logvar": logvar.astype(np.float16)}
        np.savez_compressed(folder / "codes.npz", **half, labels=labels.astype(np.uint8), label_names=words)
        say("fitting directions")
        found = None
        if test.labels is not None and tuple(test.label_names) == tuple(train.label_names):
            measured = _measured(train, test) if measure_faces else None
            with threadpool_limits(1):
                found = directions(mu, stats["cov"], labels, names, test_mu, test.labels[:, keep], measured)
        if found is not None:
            np.savez_compressed(folder / "directions.npz", **found)
            stats["mean"] = _centred(nets, mu, stats, found)
        for add in additions:
            add(folder, model, weights, mu, about.eyes, say)
        np.savez_compressed(folder / "stats.npz", **{k: np.asarray(v, np.float32) for k, v in stats.items()})
        config = {
            "format": FORMAT, "name": out.name, "title": about.title, "description": about.description,
            "created": datetime.date.today().isoformat(), "licence": about.licence, "model": model.to_dict(),
            "recipe": dict(about.recipe), "metrics": {}, "eyes": [list(p) for p in about.eyes] if about.eyes else None,
        }  # fmt: skip
        seal(folder, config)
        say("measuring on the test pictures")
        config["metrics"] = evaluate(open_bundle(folder), test)
        (folder / "card.md").write_text(card(out.name, config, about, len(mu), stats, found), encoding="utf-8")
        seal(folder, config)
        open_bundle(folder)
        put(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def extend(
    bundle: Bundle,
    write: Callable[[Path], None],
    heading: str,
    describe: Callable[[dict[str, Any]], str],
    measure: Callable[[Bundle], dict[str, Any]] = lambda bundle: {},
) -> dict[str, Any]:
    """Add to a bundle's folder what `write` puts there, a section of the card, and figures -> the figures.

    measure: the figures, of the bundle with the addition. describe: the text of the section, from the figures.
    The decoder and the statistics stay, so links that were made before go on working.
    """
    folder = bundle.path
    config = {**bundle.config, "formerly": [*bundle.formerly, bundle.digest][-MAX_FORMERLY:]}
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as name:
        copy_of = Path(name) / folder.name
        shutil.copytree(folder, copy_of)
        write(copy_of)
        seal(copy_of, config)
        found = measure(open_bundle(copy_of))
        text = bundle.card or f"# {bundle.title}\n"
        before, _, after = text.partition(f"\n{heading}\n")
        rest = after[after.find("\n## ") :] if "\n## " in after else "\n"
        section = f"{heading}\n\n{describe(found).rstrip()}\n"
        (copy_of / "card.md").write_text(f"{before.rstrip()}\n\n{section}{rest}".rstrip() + "\n", "utf-8")
        seal(copy_of, {**config, "metrics": {**bundle.metrics, **found}})
        open_bundle(copy_of)
        put(copy_of, folder)
    return found


def rename(folder: str | os.PathLike[str], name: str, title: str = "", formerly: Sequence[str] = ()) -> Path:
    """Give a bundle another name, so that a newer model can take its own -> its new folder, beside the old one.

    Links to it go on working: they carry the digest of the bundle's files, which no name is part of, and the app looks
    for that. title: what people read; by default the present one with the day on which the model was made. formerly:
    digests of earlier states of this bundle that had the same decoder and statistics; their links are answered, too.
    Raises ExportError, BundleError.
    """
    _check_name(name)
    bundle = open_bundle(folder)
    out = bundle.path.with_name(name)
    _check_target(out, force=False)
    created = bundle.config["created"]
    if not title:
        title = bundle.title if not created or created in bundle.title else f"{bundle.title} ({created})"
    config = {**bundle.config, "name": name, "title": title}
    if former := [*dict.fromkeys([*bundle.formerly, *formerly])]:
        config["formerly"] = former
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=out.parent) as place:
        copy_of = Path(place) / name
        shutil.copytree(bundle.path, copy_of)
        seal(copy_of, config)
        open_bundle(copy_of)
        put(copy_of, out)
    shutil.rmtree(bundle.path)
    return out


def put(folder: Path, out: Path) -> None:
    """Give a finished folder on the same disk its name; a folder that had it makes way."""
    os.chmod(folder, 0o755)
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}.old.", dir=out.parent))
        os.replace(out, old / out.name)
        os.replace(folder, out)
        shutil.rmtree(old)
    else:
        os.replace(folder, out)


def _measured(*sets: ImageSet) -> tuple[tuple[Array, Array], ...]:
    from vae.measures import measure

    found = []
    for data in sets:
        parts = [measure(images) for images in data.batches(512)]
        found.append((np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])))
    return tuple(found)


def seal(folder: Path, config: dict[str, Any]) -> None:
    """Write config.json with the hashes of all other files."""
    names = sorted(p.name for p in folder.iterdir() if p.name != "config.json")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    text = json.dumps({**config, "files": files}, indent=2, allow_nan=False)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def card(
    name: str,
    config: Mapping[str, Any],
    about: About,
    count: int,
    stats: Mapping[str, Array],
    found: Mapping[str, Array] | None,
) -> str:
    """The model card, Markdown."""
    model, metrics = ModelConfig.from_dict(config["model"]), config["metrics"]
    kind = "variational autoencoder" if model.variational else "autoencoder"
    lines = [f"# {about.title or name}", "", about.description, "" if about.description else None]
    lines += [
        f"A {kind} of {model.image_size} px pictures in {'colour' if model.channels > 1 else 'grey'} with "
        f"a code of {model.latent_size} numbers, architecture `{model.architecture}`.", "",
        f"**Licence:** {about.licence}", "", "## How it was made", "",
    ]  # fmt: skip
    lines += [*(f"    {command}" for command in about.commands), ""] if about.commands else []
    parts = len(stats["prior_weight"])
    lines += [
        f"Statistics, prior and directions come from the codes of {count:,} training pictures; "
        "`codes.npz` holds those codes, "
        "no picture. The prior is " + (f"a mixture of {parts} Gaussians." if parts > 1 else "a Gaussian."), ""
    ]  # fmt: skip
    if model.offsets:
        lines += [
            "Beside the code the encoder reads style offsets from a picture, which say what the code has no room for: "
            "the figures of the reconstruction are with both, in one pass. Draws have a code alone.", "",
        ]  # fmt: skip
    if stats["shell"]:
        lines += [
            "The codes of pictures lie on a shell around their mean, and the mean itself decodes to no picture. "
            "So the sliders stand at zero at the code of the average picture, its contrast and sharpness restored, "
            "and a draw of a lower temperature lies nearer to that code on the "
            "great arc.", "",
        ]  # fmt: skip
    lines += ["## Figures", "", f"On {metrics['images']:,} test pictures:", "", "| | |", "|-|-|"]
    lines += [
        f"| PSNR of the reconstruction | {metrics['psnr']:.2f} dB |",
        f"| SSIM of the reconstruction | {metrics['ssim']:.3f} |",
        f"| KL | {metrics['kl']:.1f} nats |",
        f"| Active units | {metrics['active_units']} of {model.latent_size} |", "",
    ]  # fmt: skip
    if found is not None:
        lines += _direction_lines(found, about.eyes is not None)
    if about.notes:
        lines += ["## Known weaknesses", "", *(f"- {note}" for note in about.notes), ""]
    return "\n".join(line for line in lines if line is not None)


def _direction_lines(found: Mapping[str, Array], people: bool) -> list[str]:
    caution = "Labels say what was labelled in the data, not what is true of a person. " if people else ""
    lines = [
        "## Named directions", "",
        "A linear read-out of the code, scored on test pictures: area under the ROC curve for what people labelled, "
        f"correlation for what is measured in the pixels. {caution}A step of one sigma goes along the covariance, so "
        "other traits come along as they do in the data: the largest of these are listed, in sigma.", "",
        "| Direction | Kind | Score | Also moves |", "|-|-|-|-|",
    ]  # fmt: skip
    for k, label in enumerate(found["labels"]):
        others = sorted((j for j in range(len(found["labels"])) if j != k), key=lambda j: -abs(found["leaks"][k][j]))[
            :3
        ]
        words = ", ".join(f"{found['labels'][j]} {found['leaks'][k][j]:+.2f}" for j in others)
        score = f"AUC {found['score'][k]:.3f}" if found["kind"][k] == "label" else f"r {found['score'][k]:.3f}"
        lines.append(f"| {label} | {found['kind'][k]} | {score} | {words} |")
    return [*lines, ""]


def export_checkpoint(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    about: About | None = None,
    codes: int = 10_000,
    force: bool = False,
    progress: Progress | None = None,
    prior_codes: int = 0,
    standard: bool = False,
    additions: Sequence[Addition] = (),
) -> Path:
    """A training run's folder -> a bundle, from the moving average of its weights and the data it was trained on.

    The settings are those of export_model.

    Raises ExportError, BundleError, vae.training.loop.TrainingError, vae.data.sets.DataError.
    """  # fmt: skip
    from vae.data.sets import open_split
    from vae.training.loop import load_checkpoint

    checkpoint = load_checkpoint(run)
    recipe = checkpoint.recipe
    _check_target(Path(out), force)
    train, test = open_split(recipe.data, recipe.model.image_size, recipe.model.channels)
    made = {key: recipe.to_dict()[key] for key in ("data", "objective", "training")}
    made["data"]["sources"] = [Path(source).name for source in made["data"]["sources"]]  # no paths of this machine
    made["data"] = {k: Path(v).name if k in ("root", "attributes") and v else v for k, v in made["data"].items()}
    made["training"] |= {k: Path(made["training"].get(k) or "").name for k in ("start_from", "critic_from")}
    made["run"] = {key: checkpoint.state.get(key) for key in ("step", "images", "seconds")}
    if about is None:
        about = About(
            title=recipe.title or Path(out).name,
            description=recipe.description,
            licence="that of the pictures it was trained on",
        )
    about = About(**{**vars(about), "recipe": {**made, **about.recipe}})
    return export_model(
        checkpoint.ema, recipe.model, train, test, out, about, codes,
        force=force, progress=progress, prior_codes=prior_codes, standard=standard, additions=additions,
    )  # fmt: skip
