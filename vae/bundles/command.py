"""`python -m vae export` and `rename`, and what every command opens a model with."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vae.bundles.bundle import Bundle, open_bundle
from vae.bundles.contents import MAX_CODES
from vae.bundles.contract import MAX_SETTLE
from vae.bundles.registry import default_registry
from vae.data.options import add_data, data_config
from vae.data.worlds.command import NAMES as WORLDS
from vae.data.worlds.command import world_of

if TYPE_CHECKING:
    from vae.bundles.export import Addition


def open_model(text: str) -> Bundle:
    """A bundle by its name, or by the path of its folder."""
    registry = default_registry()
    if text in registry.names() or not Path(text).is_dir():
        return registry.get(text)
    return open_bundle(text)


def add_export(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vae export`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", metavar="FOLDER", help="a training run: its weights, settings and data")
    source.add_argument(
        "--weights", metavar="FILE", help="a safetensors file of weights; wants --preset and --data, too"
    )
    parser.add_argument("--preset", help="settings of the model that --weights belongs to, such as faces-128")
    add_data(parser, required=False)
    parser.add_argument(
        "--test-under", default="", help="sub-folder of the test pictures (default: a tenth of the data)"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="the bundle, such as assets/models/NAME")
    parser.add_argument("--title", default="", help="what people read")
    parser.add_argument("--description", default="", help="a sentence or two for people")
    parser.add_argument("--licence", default="", help="terms of use of the weights")
    parser.add_argument(
        "--made-by",
        action="append",
        default=[],
        metavar="COMMAND",
        help="a command that trained the weights, for the card; may be repeated",
    )
    parser.add_argument("--note", action="append", default=[], help="a known weakness, for the card; may be repeated")
    parser.add_argument(
        "--recipe", metavar="FILE", help="JSON of how the weights were trained, to be kept in the bundle"
    )
    parser.add_argument("--codes", type=int, default=10_000, help="training pictures to encode (default: 10,000)")
    parser.add_argument(
        "--prior-codes", type=int, default=0, help="training pictures whose codes give the prior (default: as --codes)"
    )
    parser.add_argument(
        "--standardise", action="store_true", help="shift and stretch the codes to mean 0 and variance 1; same pictures"
    )
    parser.add_argument(
        "--eyes", type=float, nargs=4, metavar=("X", "Y", "X", "Y"), help="eye centres of aligned faces, in pixels"
    )
    parser.add_argument(
        "--measure-faces",
        action="store_true",
        help="find directions of tone, light and pose in pictures of aligned faces",
    )
    parser.add_argument(
        "--world", choices=WORLDS, help="of which the pictures are: gives names to factors, licence, limits and player"
    )
    parser.add_argument(
        "--settle", type=int, default=0, metavar="N",
        help="decode and encode draws again so often before they are shown, which brings them to where pictures lie",
    )  # fmt: skip
    parser.add_argument("--half", action="store_true", help="store the weights of a model without styles as float16")
    parser.add_argument("--force", action="store_true", help="replace the bundle if it exists")


def run_export(args: argparse.Namespace, say: Callable[[str], None], additions: Sequence[Addition]) -> int:
    """Make a bundle, with what `additions` put into it, and say what it holds."""
    from vae.bundles.card import About
    from vae.bundles.export import export_checkpoint, export_model
    from vae.bundles.worlds import TRANSITION, dreamt, transition_of

    if not 10 <= args.codes <= MAX_CODES:
        raise ValueError(f"--codes is {args.codes}; use 10 to {MAX_CODES:,}")
    if not 0 <= args.settle <= MAX_SETTLE:
        raise ValueError(f"--settle is {args.settle}; use 0 to {MAX_SETTLE}")
    eyes = tuple(zip(args.eyes[::2], args.eyes[1::2])) if args.eyes else None
    recipe = {}
    if args.recipe:
        recipe = json.loads(Path(args.recipe).read_text(encoding="utf-8"))
    world = world_of(args.world) if args.world else None
    licence = args.licence or (f"MIT; made from {world.licence}" if world else "that of the pictures it was trained on")
    words = {
        "recipe": recipe,
        "eyes": eyes,
        "commands": [*args.made_by, _command(args)],
        "notes": [*args.note, *(world.limits if world else ())],
    }

    if args.run:
        from vae.training.checkpoint import load_checkpoint

        made = load_checkpoint(args.run).recipe
        title, description = args.title or made.title or Path(args.out).name, args.description or made.description
        about = About(title, description, licence, **words)
        if (Path(args.run) / TRANSITION).is_file():
            additions = [*additions, transition_of(Path(args.run))]
            recipe["ahead"] = list(dreamt(Path(args.run)))
        out = export_checkpoint(
            args.run, args.out, about, args.force, codes=args.codes, progress=say, prior_codes=args.prior_codes,
            standard=args.standardise, additions=additions, half=args.half, world=world, settle=args.settle,
        )  # fmt: skip
    else:
        from safetensors.numpy import load_file

        from vae.data.sets import open_data, open_split
        from vae.presets import PRESETS

        if args.preset not in PRESETS:
            raise ValueError(f"--preset is {args.preset!r}; choose one of {', '.join(PRESETS)}")
        if not args.data:
            raise ValueError("--weights needs --data; name the pictures that the model was trained on")
        preset = PRESETS[args.preset]
        model = preset.model
        if args.test_under:
            train = open_data(
                data_config(args, limit=max(args.codes, args.prior_codes)), model.image_size, model.channels
            )
            under = argparse.Namespace(**{**vars(args), "under": args.test_under})
            test = open_data(data_config(under), model.image_size, model.channels)
        else:
            train, test = open_split(data_config(args), model.image_size, model.channels)
        title = args.title or preset.title
        about = About(title, args.description, licence, **words)
        out = export_model(
            load_file(args.weights), model, train, test, args.out, about, args.codes,
            measure_faces=args.measure_faces, force=args.force, progress=say,
            prior_codes=args.prior_codes, standard=args.standardise, additions=additions, half=args.half, world=world,
            settle=args.settle,
        )  # fmt: skip
    bundle = open_bundle(out)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(
        f"{out}: {bundle.title}, {size / 1e6:.1f} MB, {bundle.digest}, "
        + ", ".join(f"{k} {v}" for k, v in bundle.metrics.items())
    )
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command for the card, with names of files instead of paths."""
    words = ["python -m vae export"]
    for key in (
        "run",
        "weights",
        "preset",
        "data",
        "under",
        "test_under",
        "attributes",
        "box",
        "recipe",
        "codes",
        "prior_codes",
        "standardise",
        "eyes",
        "measure_faces",
        "world",
        "half",
        "settle",
    ):
        value = getattr(args, key)
        if value in (None, "", False, (), []):
            continue
        values = value if isinstance(value, (list, tuple)) else [] if value is True else [value]
        path = key in ("run", "weights", "data", "attributes", "recipe")
        shown = [Path(str(v)).name if path else f"{v:g}" if isinstance(v, float) else str(v) for v in values]
        words.append(" ".join([f"--{key.replace('_', '-')}", *shown]))
    return " ".join([*words, f"--out assets/models/{Path(args.out).name}"])


def add_rename(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vae rename`."""
    parser.add_argument("--model", required=True, help="name of a bundle, or path of its folder")
    parser.add_argument("--to", required=True, metavar="NAME", help="its new name, such as faces-128-v1")
    parser.add_argument("--title", default="", help="what people read (default: the present title with its day)")
    parser.add_argument(
        "--formerly",
        nargs="+",
        default=[],
        metavar="DIGEST",
        help="versions of this model whose links it should answer, too; only such with the same decoder and statistics",
    )


def run_rename(args: argparse.Namespace) -> int:
    """Give a bundle another name; links to it go on working."""
    from vae.bundles.folder import rename

    out = rename(open_model(args.model).path, args.to, args.title, args.formerly)
    bundle = open_bundle(out)
    print(f"{out}: {bundle.title}, {bundle.digest}; links to it go on working")
    return 0
