"""The options of `python -m vae train`, and the recipe that they ask for."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path
from typing import Any

from vae.config import STYLE_SIZES, ConfigError, Recipe
from vae.data.files import DataError
from vae.data.looks import look
from vae.presets import PRESETS
from vae.training.checkpoint import CHECKPOINT, load_checkpoint

# Short names of the settings that people change most: option, part, key, type, help.
_OPTIONS = (
    ("--size", "model", "image_size", int, "side of the pictures in pixels (default: as the pictures are)"),
    ("--channels", "model", "channels", int, "1 for grey, 3 for colour (default: as the pictures are)"),
    ("--latent", "model", "latent_size", int, "numbers in a code"),
    ("--under", "data", "under", str, "only pictures below this sub-folder"),
    ("--validation-under", "data", "validation_under", str, "sub-folder of the validation pictures"),
    ("--attributes", "data", "attributes", str, "table with a column of file names and a column per attribute"),
    ("--beta", "objective", "beta", float, "factor of the KL (where it is held at a target: the first one)"),
    ("--kl-target", "objective", "kl_target", float, "nats per image to hold the KL at"),
    ("--batch", "training", "batch_size", int, "images in a step"),
    ("--lr", "training", "learning_rate", float, "Adam's learning rate"),
    ("--steps", "training", "steps", int, "end after so many steps"),
    ("--images", "training", "images", int, "end after so many images"),
    ("--minutes", "training", "minutes", float, "end after so many minutes"),
    ("--seed", "training", "seed", int, "seed of everything random"),
    ("--device", "training", "device", str, "auto, cpu, cuda, cuda:N or mps"),
    ("--precision", "training", "precision", str, "auto, float32 or bf16"),
    ("--threads", "training", "threads", int, "CPU threads (default: as many as the machine has free)"),
    ("--start-from", "training", "start_from", str, "run folder or bundle whose weights to begin with"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m vae train`."""
    parser.add_argument("--preset", choices=sorted(PRESETS), default=None, help="settings to start from (default: vae)")
    parser.add_argument(
        "--data",
        action="append",
        metavar="SET",
        help="digits, sklearn-digits, mnist, fashion-mnist, "
        "celeba, or the path of a zip or folder of pictures; several zips or folders are joined",
    )
    parser.add_argument("--out", metavar="FOLDER", help="run folder (default: runs/PRESET)")
    for option, part, key, kind, text in _OPTIONS:
        parser.add_argument(option, type=kind, metavar="VALUE", help=f"{text} ({part}.{key})")
    parser.add_argument(
        "--box", type=int, nargs=4, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"), help="cut pictures to this box"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PART.KEY=VALUE",
        help="any other setting, such as objective.reconstruction=l1",
    )
    parser.add_argument(
        "--accept-skipped",
        action="store_true",
        help="train even where half of the files or more cannot be used",
    )
    parser.add_argument(
        "--dynamics",
        action="store_true",
        help="instead of a model, train the network that dreams on from a frame: of drives, with the model of --start-from",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    parser.add_argument(
        "--export", metavar="NAME", help="make a bundle of the result: a name in the models folder, or a path"
    )


def _parse_setting(text: str) -> tuple[str, str, Any]:
    name, equals, value = text.partition("=")
    part, dot, key = name.partition(".")
    if not equals or not dot or part not in ("model", "data", "objective", "training"):
        raise ConfigError(f"--set is {text!r}; write PART.KEY=VALUE with a part model, data, objective or training")
    with contextlib.suppress(ValueError):
        value = json.loads(value)
    return part, key, value


def recipe_from(args: argparse.Namespace) -> Recipe:
    """The recipe that the options ask for. Raises ConfigError."""
    out = Path(args.out).expanduser() if args.out else None
    if args.resume and out and (out / CHECKPOINT).exists() and args.preset is None:
        recipe = load_checkpoint(out).recipe
    elif args.resume and out and (out / "config.json").exists() and args.preset is None:
        values = json.loads((out / "config.json").read_text(encoding="utf-8"))
        recipe = Recipe.from_dict({k: v for k, v in values.items() if k != "format"})
    else:
        recipe = PRESETS[args.preset or "vae"]
    changes: dict[str, dict[str, Any]] = {}
    for option, part, key, _, _ in _OPTIONS:
        value = getattr(args, option[2:].replace("-", "_"))
        if value is not None:
            changes.setdefault(part, {})[key] = value
    if args.data:
        known = args.data[0] in ("digits", "sklearn-digits")
        changes.setdefault("data", {})["sources"] = args.data if known else [_absolute(text) for text in args.data]
    if args.box:
        changes.setdefault("data", {})["box"] = args.box
    if args.accept_skipped:
        changes.setdefault("data", {})["accept_skipped"] = True
    if args.kl_target is not None:
        changes.setdefault("objective", {})["kl"] = "target"
    limits = {"steps", "images", "minutes"} & changes.get("training", {}).keys()
    if limits:  # a limit on the command line takes the place of the preset's
        changes["training"] = {**dict.fromkeys(("steps", "images", "minutes"), 0), **changes["training"]}
    for text in args.set:
        part, key, value = _parse_setting(text)
        changes.setdefault(part, {})[key] = value
    asked = set(changes.get("model", {}))
    recipe = recipe.replace(**changes)
    return _as_the_pictures_are(recipe, asked) if args.data and not args.resume else recipe


def _as_the_pictures_are(recipe: Recipe, asked: set[str]) -> Recipe:
    """The recipe with the channels and the size of its own pictures, where nobody asked for others; says so.

    A recipe that begins with trained weights keeps their shape.
    """
    free = {"channels", "image_size"} - asked
    if not free or recipe.training.start_from:
        return recipe
    try:
        looks = look(recipe.data)
    except DataError:
        return recipe  # the training says what is wrong with them
    if looks is None:
        return recipe
    if recipe.model.architecture == "style":
        # Up to 128 px: beyond it a training without a GPU takes days, which somebody has to want.
        size = max((side for side in STYLE_SIZES if side <= min(looks.size, 128)), default=STYLE_SIZES[0])
    else:
        # As far as 64 px, or as a preset of larger pictures goes: more takes long on a CPU.
        size = min(max(looks.size, 8), max(64, recipe.model.image_size))
    found = {"channels": 3 if looks.colour else 1, "image_size": size}
    colour = "in colour" if looks.colour else "in grey"
    chosen = [
        words for key, words in (("channels", f"trained {colour}"), ("image_size", f"at {size} px")) if key in free
    ]
    print(
        f"The pictures are {colour}, usually {looks.size} px on their shorter side: they are {' '.join(chosen)} "
        "(--channels and --size choose otherwise)."
    )
    return recipe.replace(model={key: found[key] for key in free})


def _absolute(source: str) -> str:
    """A path that still holds when the run is resumed from elsewhere; names of sets stay."""
    path = Path(source).expanduser()
    return str(path.resolve()) if path.exists() else source
