"""Make a model bundle: checkpoint or weights, and data -> a folder that the app opens without torch."""

from __future__ import annotations

import datetime
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.bundles.bundle import open_bundle
from vae.bundles.card import About, card
from vae.bundles.contract import FORMAT
from vae.bundles.directions import OMIT, directions, measured_of
from vae.bundles.encoding import Networks, Progress, encode_set, evenly, networks, to_arrays
from vae.bundles.figures import evaluate
from vae.bundles.folder import check_target, put, seal
from vae.bundles.statistics import centred, statistics, used_of
from vae.bundles.worlds import against_principal, exact_of, moves, world_card
from vae.config import ModelConfig
from vae.networks.standardise import moments, standardise

if TYPE_CHECKING:
    from vae.data.imageset import ImageSet
    from vae.data.worlds.world import World

Array = np.ndarray

# Called with the folder, the model, its weights, codes (M, d), eyes, and who to tell what goes on.
Addition = Callable[[Path, ModelConfig, Mapping[str, Any], Array, Any, Progress], None]


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
    half: bool = False,
    world: World | None = None,
    settle: int = 0,
) -> Path:
    """Write a bundle folder; it appears under its name when it is whole and has been opened once.

    train: pictures whose codes give statistics, prior and directions; test: pictures that give the scores. codes: how
    many of the codes the bundle keeps. prior_codes: how many give statistics and prior, where those are more.
    standard: shift and stretch the codes to mean 0 and variance 1, the pictures stay the same (vae.networks.standardise).
    additions: what later wings put into the folder before it is sealed, such as vae.photos.measure_curvature.add.
    half: weights as float16, in models without styles too. world: of which the pictures are; its words and its player.
    settle: how often draws are decoded and encoded again (vae.space.settling); a world's own number stands without it.
    Raises ExportError, BundleError.
    """  # fmt: skip
    from threadpoolctl import threadpool_limits

    out = Path(out)
    check_target(out, force)
    settle = settle or (world.settle if world else 0)
    say = progress or (lambda text: None)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        decoder, encoder = networks(model, to_arrays(weights), half)
        (folder / "decoder.onnx").write_bytes(decoder)
        (folder / "encoder.onnx").write_bytes(encoder)
        nets = Networks(model, decoder, encoder)
        wide = _spread(train, max(codes, prior_codes))
        mu, logvar, average, contrast = encode_set(nets, wide, say)
        if standard:
            mean, std = moments(mu, logvar)
            weights = standardise(model, to_arrays(weights), mean, std)
            decoder, encoder = networks(model, weights)
            (folder / "decoder.onnx").write_bytes(decoder)
            (folder / "encoder.onnx").write_bytes(encoder)
            nets = Networks(model, decoder, encoder)
            mu = ((mu - mean) / std).astype(np.float32)
            if model.variational:  # a plain autoencoder's encoder answers one number for all
                logvar = (logvar - 2 * np.log(std)).astype(np.float32)
        test_mu, *_ = encode_set(nets, test)
        say("fitting statistics and prior")
        with threadpool_limits(1):  # many small products: threads would wait for each other
            stats = statistics(nets, mu, logvar, average, contrast)
        rows = evenly(len(wide), codes)
        train, mu, logvar = wide.subset(rows), mu[rows], logvar[rows]
        keep = [k for k, name in enumerate(train.label_names) if name not in omit]
        names = [world.label(train.label_names[k]) if world else train.label_names[k] for k in keep]
        exact = exact_of(train, test, world)
        labels = train.labels[:, keep] if train.labels is not None else np.zeros((len(mu), 0), np.uint8)
        words = np.array(names) if names else np.zeros(0, "U1")
        stored = {"mu": mu.astype(np.float16), "logvar": logvar.astype(np.float16)}
        if exact is not None:
            told = {"factors": exact.values, "factor_names": exact.names, "factor_units": exact.units}
            stored |= {key: np.asarray(value) for key, value in told.items()}
        np.savez_compressed(folder / "codes.npz", **stored, labels=labels.astype(np.uint8), label_names=words)
        say("fitting directions")
        found = None
        same = test.labels is not None and tuple(test.label_names) == tuple(train.label_names)
        if same or exact is not None:
            measured = measured_of(train, test) if measure_faces else None
            known = (labels, names) if same else (labels[:, :0], [])
            truth = test.labels[:, keep] if same else np.zeros((len(test), 0), np.uint8)
            with threadpool_limits(1):
                found = directions(mu, stats["cov"], *known, test_mu, truth, measured, exact, used_of(stats["kl"]))
        if found is not None:
            np.savez_compressed(folder / "directions.npz", **found)
            stats["mean"] = centred(nets, mu, stats, found)
        for add in additions:
            add(folder, model, weights, mu, about.eyes, say)
        np.savez_compressed(folder / "stats.npz", **{k: np.asarray(v, np.float32) for k, v in stats.items()})
        config = {
            "format": FORMAT, "name": out.name, "title": about.title, "description": about.description,
            "created": datetime.date.today().isoformat(), "licence": about.licence, "model": model.to_dict(),
            "recipe": dict(about.recipe), "metrics": {}, "eyes": [list(p) for p in about.eyes] if about.eyes else None,
            **({"player": world.player} if world else {}),
            **({"settle": settle} if settle else {}),
        }  # fmt: skip
        seal(folder, config)
        say("measuring on the test pictures")
        bundle = open_bundle(folder)
        config["metrics"] = evaluate(bundle, test)
        text = card(out.name, config, about, len(mu), stats, found)
        if world is not None:
            say("measuring against principal components, and what each slider moves")
            with threadpool_limits(1):
                config["metrics"] |= against_principal(train, test, bundle)
                moved = (
                    moves(bundle, test_mu, exact, used_of(stats["kl"]))
                    if found is not None and exact is not None
                    else None
                )
            text += world_card(bundle, config["metrics"], world, exact, moved)
        (folder / "card.md").write_text(text, encoding="utf-8")
        seal(folder, config)
        open_bundle(folder)
        put(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def export_checkpoint(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    about: About | None = None,
    force: bool = False,
    **settings: Any,
) -> Path:
    """A training run's folder -> a bundle, from the moving average of its weights and the data it was trained on.

    settings: those of export_model from `codes` on.

    Raises ExportError, BundleError, vae.training.errors.TrainingError, vae.data.sets.DataError.
    """  # fmt: skip
    from vae.data.sets import open_split
    from vae.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(run)
    recipe = checkpoint.recipe
    check_target(Path(out), force)
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
    return export_model(checkpoint.ema, recipe.model, train, test, out, about, force=force, **settings)


def _spread(data: ImageSet, most: int) -> ImageSet:
    return data if len(data) <= most else data.subset(evenly(len(data), most))
