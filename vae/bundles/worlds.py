"""What a bundle of a world has beyond others: exact factors, what each slider moves of them, and how a drive goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.bundles import graph
from vae.bundles.contents import MAX_FRAMES
from vae.bundles.contract import DRIVE_FILE, DYNAMICS_FILE, ExportError
from vae.bundles.directions import Exact, Reading
from vae.bundles.encoding import evenly
from vae.bundles.fixed_points import whole_parts
from vae.data.worlds.rolls import to_notes
from vae.likeness import psnr

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle
    from vae.data.imageset import ImageSet
    from vae.data.worlds.world import World

Array = np.ndarray

TRANSITION = "dynamics.safetensors"  # in a run's folder, as `python -m vae train --dynamics` leaves it
ACTIONS = ("steering", "gas", "brake")
PRINCIPAL_PICTURES, MOVED_CODES = 3000, 64


def exact_of(train: ImageSet, test: ImageSet, world: World | None) -> Exact | None:
    """The factors that are known of every picture, those that only say an order left out; None where there are none."""
    if train.factors is None or test.factors is None or train.factor_names != test.factor_names:
        return None
    order = world.order if world else ()
    keep = [
        k
        for k, name in enumerate(train.factor_names)
        if name not in order and np.isfinite(train.factors[:, k]).all() and np.isfinite(test.factors[:, k]).all()
    ]
    if not keep:
        return None
    names = [train.factor_names[k] for k in keep]
    words = [world.meaning(name) if world else (name.replace("_", " "), "") for name in names]
    values = [data.factors[:, keep].astype(np.float32) for data in (train, test)]
    return Exact(*zip(*words), *values, _readings(train, test, keep, words, world))


def _readings(
    train: ImageSet, test: ImageSet, keep: Sequence[int], words: Sequence[tuple[str, str]], world: World | None
) -> list[Reading]:
    """What may be read: each factor, in all pictures or in each part that shows it in its own way."""
    found = []
    for k, row in enumerate(keep):
        parts = world.seen.get(train.factor_names[row], {}) if world else {}
        for part, where in parts.items():
            found.append(Reading(f"{words[k][0]} {part}", k, *(_lies(data, where) for data in (train, test))))
        if not parts:
            found.append(Reading(words[k][0], k))
    return found


def _lies(data: ImageSet, where: Mapping[str, tuple[float, float]]) -> Array:
    """Which pictures have these factors and labels between these values, bool (M,)."""
    found = np.ones(len(data), bool)
    for name, (low, high) in where.items():
        if name in data.factor_names:
            values = data.factors[:, list(data.factor_names).index(name)]
        else:
            values = data.labels[:, list(data.label_names).index(name)]
        found &= (low <= values) & (values <= high)
    return found


def against_principal(train: ImageSet, test: ImageSet, bundle: Bundle) -> dict[str, float]:
    """psnr_principal: PSNR in dB of as many principal components as a code has numbers, on the test pictures.

    They are fitted to training pictures. Of rolls also the share of notes that come back exactly (begin, end and pitch),
    of all that are there: notes, of the model's reconstruction, notes_principal; and notes_wrong, the share of the
    model's notes that are not there.
    """
    from sklearn.utils.extmath import randomized_svd

    x = train.images(evenly(len(train), PRINCIPAL_PICTURES)).reshape(min(len(train), PRINCIPAL_PICTURES), -1)
    x = x.astype(np.float32)
    mean = x.mean(0)
    x -= mean
    basis = randomized_svd(x, min(bundle.latent_size, *x.shape), n_iter=4, random_state=0)[2]
    found, notes = [], np.zeros((2, 3))
    for images in test.batches(256):
        flat = images.reshape(len(images), -1) - mean
        again = np.clip(np.rint(flat @ basis.T @ basis + mean), 0, 255).astype(np.uint8).reshape(images.shape)
        found.append(psnr(images, again))
        if bundle.player == "roll":
            notes += [notes_kept(images, made) for made in (bundle.decode(bundle.encode(images)[0]), again)]
    told = {"psnr_principal": float(np.concatenate(found).mean())}
    if bundle.player == "roll":
        right = notes[:, 0] / np.maximum(notes[:, 1], 1)
        told |= {"notes": right[0], "notes_principal": right[1]}
        told["notes_wrong"] = 1 - notes[0, 0] / max(notes[0, 2], 1)
    return {key: round(float(value), 3) for key, value in told.items()}


def notes_kept(rolls: Array, again: Array) -> tuple[int, int, int]:
    """Of rolls and what became of them (N, 64, 64, 3): notes in both, notes there were, notes there are."""
    kept = before = after = 0
    for old, new in zip(rolls, again):
        a, b = set(to_notes(old)), set(to_notes(new))
        kept, before, after = kept + len(a & b), before + len(a), after + len(b)
    return kept, before, after


@dataclass(frozen=True)
class Moves:
    """by (K, R): how far direction k moves what is read, of a new picture, in spreads of the factor, a sigma of the slider.

    fits (R,): correlation with the truth, on test pictures, of what the factors are read with.
    """

    by: Array
    fits: Array


def moves(bundle: Bundle, test_mu: Array, exact: Exact, used: Array) -> Moves:
    """Move each slider by a sigma to both sides from held-out codes, draw, and read the factors in the new pictures.

    They are read by the model's encoder and a linear fit to the exact factors of the training pictures, of the numbers
    that the decoder uses (d,): the others would tell of the old picture.
    """
    from sklearn.linear_model import Ridge

    spread = np.maximum(exact.values.std(0), 1e-9)
    w, fits = [], []
    for reading in exact.readings:
        x, test_x = reading.shown(bundle.codes.mu * used, test_mu * used)
        values, truth = reading.shown(exact.values[:, reading.factor], exact.test_values[:, reading.factor])
        w.append(Ridge(alpha=1.0).fit(x, values / spread[reading.factor]).coef_)
        fits.append(np.corrcoef(test_x @ w[-1], truth)[0, 1])

    def read(z: Array) -> Array:
        mu, _ = bundle.encode(bundle.decode(z.astype(np.float32)))
        return (mu * used @ np.array(w).T).mean(0)

    by, known = [], {reading.name: reading for reading in exact.readings}
    for label, step in zip(bundle.directions.labels, bundle.directions.moves(bundle.stats.cov)):
        own = known.get(label)
        can = test_mu if own is None else own.shown(bundle.codes.mu, test_mu)[1]
        z = can[evenly(len(can), MOVED_CODES)].astype(np.float64)
        by.append((read(z + step) - read(z - step)) / 2)
    return Moves(np.array(by), np.array(fits))


def transition_of(run: Path) -> Callable[..., None]:
    """What adds a run's transition, and an unseen drive of its pictures where there is one, to a bundle's folder."""

    def add(folder: Path, model: Any, weights: Mapping[str, Any], mu: Array, eyes: Any, say: Callable) -> None:
        from safetensors import safe_open

        from vae.data.sets import open_split
        from vae.training.checkpoint import load_checkpoint

        with safe_open(run / TRANSITION, framework="np") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if len(tensors.get("mean", ())) != model.latent_size:
            raise ExportError(f"{run.name}/{TRANSITION} is of another model; train it anew with --dynamics")
        (folder / DYNAMICS_FILE).write_bytes(graph.dynamics(tensors).SerializeToString())
        recipe = load_checkpoint(run).recipe
        _, test = open_split(recipe.data.replace(validation_max=1_000_000), model.image_size, model.channels)
        frames, actions = unseen_drive(test)
        np.savez_compressed(folder / DRIVE_FILE, frames=frames, actions=actions)

    return add


def unseen_drive(test: ImageSet) -> tuple[Array, Array]:
    """The longest drive of the test pictures: frames (T, s, s, c) uint8 and actions (T, 3) float32."""
    column = {name: test.factors[:, test.factor_names.index(name)] for name in ("drive", "frame", *ACTIONS)}
    kept = max(np.unique(column["drive"]), key=lambda drive: np.count_nonzero(column["drive"] == drive))
    rows = np.flatnonzero(column["drive"] == kept)
    rows = rows[np.argsort(column["frame"][rows])]
    gaps = np.flatnonzero(np.diff(column["frame"][rows]) != 1)
    rows = rows[: (gaps[0] + 1 if len(gaps) else len(rows))][:MAX_FRAMES]
    actions = np.stack([column[name][rows] for name in ACTIONS], 1)
    return test.images(rows), np.clip(actions, -1, 1).astype(np.float32)


def dreamt(run: Path) -> Sequence[Mapping[str, float]]:
    """dB by frames ahead, as `--dynamics` measured them on unseen drives; empty without a transition."""
    from safetensors import safe_open

    if not (run / TRANSITION).is_file():
        return ()
    with safe_open(run / TRANSITION, framework="np") as file:
        return json.loads((file.metadata() or {}).get("state", "{}")).get("ahead", ())


# ---------------------------------------------------------------- the card


def world_card(
    bundle: Bundle, metrics: Mapping[str, Any], world: World, exact: Exact | None, moved: Moves | None
) -> str:
    """The card's sections that only a world has, Markdown."""
    d = bundle.latent_size
    lines = [
        "", "## Against principal components", "",
        f"PSNR of the reconstruction of {metrics['images']:,} pictures that neither has seen, by {d} numbers a picture:",
        "", "| | dB |", "|-|-|", f"| this model, of whose numbers {metrics['active_units']} are in use "
        f"| {metrics['psnr']:.2f} |", f"| {d} principal components | {metrics['psnr_principal']:.2f} |", "",
    ]  # fmt: skip
    if "notes" in metrics:
        lines += [
            f"Of the notes of these rolls {100 * metrics['notes']:.0f} % come back exactly, with begin, end and pitch "
            f"(principal components: {100 * metrics['notes_principal']:.0f} %); of the notes that it draws "
            f"{100 * metrics['notes_wrong']:.0f} % are not there. Decibels say little of rolls: the model answers with "
            "how sure it is of each note, and what counts is which side of one half that is.", "",
        ]  # fmt: skip
    if bundle.settle:
        lines += whole_parts(bundle)
    if ahead := bundle.recipe.get("ahead"):
        lines += [
            "## Dreaming on", "",
            "From frames of drives on tracks that the model has not seen, by the actions of the driver, without noise; "
            "PSNR in dB by frames ahead, beside the last frame frozen and the true frame through the model, which is "
            "the most that it could reach:", "", "| Frames ahead | dream | frozen | true frame |", "|-|-|-|-|",
        ]  # fmt: skip
        lines += ["| {ahead} | {dream:.1f} | {frozen:.1f} | {ceiling:.1f} |".format(**row) for row in ahead]
        lines.append("")
    if exact is not None:
        lines += ["## Exact factors", ""]
        lines += ["What computed the pictures also says what is in them. `codes.npz` holds these numbers of each:", ""]
        lines += ["| Factor | Unit | From | To |", "|-|-|-|-|"]
        for name, unit, values in zip(exact.names, exact.units, exact.values.T):
            lines.append(f"| {name} | {unit or '-'} | {values.min():.3g} | {values.max():.3g} |")
        lines += [f"\n{_where(world, name)}" for name in world.seen]
        lines.append("")
    if moved is not None and exact is not None:
        lines += _moved_lines(bundle, exact, moved)
    lines += ["## Source", "", f"{world.title}: {world.licence}.", ""]
    return "\n".join(lines)


def _where(world: World, name: str) -> str:
    """Where a factor is read that not all pictures show."""
    parts = world.seen[name].values()
    held = {other: span for part in parts for other, span in part.items() if other in world.factors}
    spans = [f"*{what}* is from {low:g} to {high:g} {unit}".rstrip() for (what, unit), (low, high) in
             ((world.meaning(other), span) for other, span in held.items())]  # fmt: skip
    words = f"*{world.meaning(name)[0]}* is read, scored and moved apart {', '.join(world.seen[name])}"
    return f"{words}, where {' and '.join(spans)}: other pictures show it otherwise, or not." if spans else f"{words}."


def _moved_lines(bundle: Bundle, exact: Exact, moved: Moves) -> list[str]:
    spread, place = exact.values.std(0), {reading.name: r for r, reading in enumerate(exact.readings)}
    lines = [
        "## What a slider moves", "",
        f"Each slider moved by one sigma to both sides from {MOVED_CODES} held-out codes; the factors read "
        "in the new pictures by the model's own encoder and a linear fit (its correlation with the truth on held-out "
        "pictures is given). In spreads of the factor over the data.", "",
        "| Slider | moves its factor by | others by at most | read with r |", "|-|-|-|-|",
    ]  # fmt: skip
    for k, label in enumerate(bundle.directions.labels):
        own = place.get(label)
        others = [r for r, reading in enumerate(exact.readings) if r != own and reading.seen is None]
        others = sorted(others, key=lambda r: -abs(moved.by[k, r]))[:2]
        words = ", ".join(f"{exact.readings[r].name} {moved.by[k, r]:+.2f}" for r in others)
        mine, sure = "-", "-"
        if own is not None:
            factor = exact.readings[own].factor
            unit = f" {exact.units[factor]}" if exact.units[factor] else ""
            mine = f"{moved.by[k, own]:+.2f} ({moved.by[k, own] * spread[factor]:+.3g}{unit})"
            sure = f"{moved.fits[own]:.3f}"
        lines.append(f"| {label} | {mine} | {words or '-'} | {sure} |")
    return [*lines, ""]
