"""The command line: python -m vae train | export | rename | distil | curvature | evaluate | decode | blend | bench.

Every command imports what it needs only when it runs, so that `decode` never waits for torch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def open_model(text: str) -> Any:
    """A bundle by its name, or by the path of its folder."""
    from vae.bundles.bundle import open_bundle
    from vae.bundles.registry import default_registry

    registry = default_registry()
    if text in registry.names() or not Path(text).is_dir():
        return registry.get(text)
    return open_bundle(text)


def say(text: str) -> None:
    """What a long command is at, beside its output."""
    print(text, file=sys.stderr, flush=True)


# ---------------------------------------------------------------- decode


def add_decode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="faces-128", help="name of a bundle, or path of its folder (default: faces-128)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: 0)")
    parser.add_argument(
        "--temperature", type=float, default=0.7, help="0 is the average picture, 1 a full draw (default: 0.7)"
    )
    parser.add_argument("--count", type=int, default=1, help="pictures on one sheet, up to 256 (default: 1)")
    parser.add_argument("--columns", type=int, default=0, help="columns of the sheet (default: as square as it goes)")
    parser.add_argument("--size", type=int, default=None, help="stop at a lower resolution of the model, such as 64")
    parser.add_argument("--scale", type=int, default=1, help="enlarge by a whole factor, 1 to 16 (default: 1)")
    parser.add_argument("--code", help="decode this packed code, as in a link of the app, instead of a draw")
    parser.add_argument("--out", required=True, metavar="FILE", help="the picture to write, .png, .jpg or .webp")


def run_decode(args: argparse.Namespace) -> int:
    """Draw codes, decode them, write one picture."""
    import numpy as np
    from PIL import Image

    from vae.space import latent

    if not 1 <= args.count <= 256:
        raise ValueError(f"--count is {args.count}; use 1 to 256")
    if not 1 <= args.scale <= 16:
        raise ValueError(f"--scale is {args.scale}; use 1 to 16")
    if not 0 <= args.columns <= 256:
        raise ValueError(f"--columns is {args.columns}; use 1 to 256, or 0 for a square sheet")
    out = Path(args.out)
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise ValueError(f"--out is {args.out!r}; let it end in .png, .jpg or .webp")
    bundle = open_model(args.model)
    if args.code is not None:
        z = bundle.check_z(latent.unpack(args.code, bundle.stats))[None]
    else:
        z = latent.sample(bundle, args.seed, args.temperature, args.count)
    images = bundle.decode(z, size=args.size)  # (N, h, w, c)
    count, height, width, channels = images.shape
    columns = min(count, args.columns or int(np.ceil(np.sqrt(count))))
    rows = -(-count // columns)
    tiles = np.full((rows * columns, height, width, channels), 255, np.uint8)
    tiles[:count] = images
    sheet = (
        tiles.reshape(rows, columns, height, width, channels)
        .swapaxes(1, 2)
        .reshape(rows * height, columns * width, channels)
    )
    picture = Image.fromarray(sheet if channels == 3 else sheet[:, :, 0])
    if args.scale > 1:
        picture = picture.resize((picture.width * args.scale, picture.height * args.scale), Image.Resampling.LANCZOS)
    picture.save(out)
    print(out)
    return 0


# ---------------------------------------------------------------- evaluate


def add_data(parser: argparse.ArgumentParser, required: bool) -> None:
    parser.add_argument(
        "--data",
        nargs="+",
        required=required,
        metavar="SET",
        help="digits, sklearn-digits, mnist, fashion-mnist, "
        "celeba, or paths of zips and folders of pictures, which are joined",
    )
    parser.add_argument("--under", default="", help="keep only files below this sub-folder of each source")
    parser.add_argument(
        "--attributes", default="", metavar="CSV", help="csv with a column `file` and a column of 0 and 1 per label"
    )
    parser.add_argument(
        "--box",
        type=int,
        nargs=4,
        default=(),
        metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
        help="cut pictures to this box",
    )


def data_config(args: argparse.Namespace, **more: Any) -> Any:
    """The data settings that the options ask for."""
    from vae.config import DataConfig

    settings = {"sources": args.data, "under": args.under, "attributes": args.attributes, "box": list(args.box), **more}
    return DataConfig.from_dict(settings)


def add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="name of a bundle, or path of its folder")
    add_data(parser, required=True)
    parser.add_argument("--limit", type=int, default=0, help="use at most so many pictures (default: all)")
    parser.add_argument("--out", metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--quality",
        action="store_true",
        help="a longer report: realism of draws, blends and style mixes, identity of faces, the posterior",
    )
    parser.add_argument("--count", type=int, default=1000, help="pictures of each kind in it (default: 1,000)")
    parser.add_argument("--refine", type=int, default=0, help="refine so many faces for it, too (default: 0)")
    parser.add_argument("--sheets", metavar="FOLDER", help="write sheets of its pictures there")


def run_evaluate(args: argparse.Namespace) -> int:
    """Figures of a bundle on pictures, as JSON."""
    from vae.bundles.figures import evaluate
    from vae.data.sets import open_data

    bundle = open_model(args.model)
    data = open_data(data_config(args, limit=args.limit), bundle.image_size, bundle.channels)
    if args.quality:
        from vae.evaluation import quality

        if not quality.LEAST <= args.count <= quality.MOST:
            raise ValueError(f"--count is {args.count}; use {quality.LEAST} to {quality.MOST:,}")
        if not 0 <= args.refine <= args.count:
            raise ValueError(f"--refine is {args.refine}; use 0 to {args.count}, the count of pictures")

        figures, sheets = quality.report(bundle, data, args.count, args.refine, say=say)
        if args.sheets:
            quality.save_sheets(sheets, args.sheets)
    else:
        figures = evaluate(bundle, data)
    text = json.dumps({"model": bundle.name, "digest": bundle.digest, **figures}, indent=2)
    if args.out:
        Path(args.out).write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


# ---------------------------------------------------------------- export


def add_export(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--force", action="store_true", help="replace the bundle if it exists")


def run_export(args: argparse.Namespace) -> int:
    """Make a bundle, say what it holds."""
    from vae.bundles.bundle import open_bundle
    from vae.bundles.card import About
    from vae.bundles.contents import MAX_CODES
    from vae.bundles.export import export_checkpoint, export_model
    from vae.photos.measure_curvature import add as curvature

    if not 10 <= args.codes <= MAX_CODES:
        raise ValueError(f"--codes is {args.codes}; use 10 to {MAX_CODES:,}")
    eyes = tuple(zip(args.eyes[::2], args.eyes[1::2])) if args.eyes else None
    recipe = {}
    if args.recipe:
        recipe = json.loads(Path(args.recipe).read_text(encoding="utf-8"))
    words = {
        "recipe": recipe,
        "eyes": eyes,
        "commands": [*args.made_by, _command(args)],
        "notes": args.note,
    }

    if args.run:
        from vae.training.loop import load_checkpoint

        made = load_checkpoint(args.run).recipe
        title, description = args.title or made.title or Path(args.out).name, args.description or made.description
        about = About(title, description, args.licence or "that of the pictures it was trained on", **words)
        out = export_checkpoint(
            args.run, args.out, about, args.codes, args.force, say, args.prior_codes, args.standardise, (curvature,)
        )
    else:
        from safetensors.numpy import load_file

        from vae.config import PRESETS
        from vae.data.sets import open_data, open_split

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
        about = About(title, args.description, args.licence or "that of the pictures it was trained on", **words)
        out = export_model(
            load_file(args.weights), model, train, test, args.out, about, args.codes,
            measure_faces=args.measure_faces, force=args.force, progress=say,
            prior_codes=args.prior_codes, standard=args.standardise, additions=(curvature,),
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
    ):
        value = getattr(args, key)
        if value in (None, "", False, (), []):
            continue
        values = value if isinstance(value, (list, tuple)) else [] if value is True else [value]
        path = key in ("run", "weights", "data", "attributes", "recipe")
        shown = [Path(str(v)).name if path else f"{v:g}" if isinstance(v, float) else str(v) for v in values]
        words.append(" ".join([f"--{key.replace('_', '-')}", *shown]))
    return " ".join([*words, f"--out assets/models/{Path(args.out).name}"])


# ---------------------------------------------------------------- rename


def add_rename(parser: argparse.ArgumentParser) -> None:
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
    from vae.bundles.bundle import open_bundle
    from vae.bundles.folder import rename

    out = rename(open_model(args.model).path, args.to, args.title, args.formerly)
    bundle = open_bundle(out)
    print(f"{out}: {bundle.title}, {bundle.digest}; links to it go on working")
    return 0


# ---------------------------------------------------------------- train


def add_train(parser: argparse.ArgumentParser) -> None:
    from vae.training.options import add_arguments

    add_arguments(parser)


def run_train(args: argparse.Namespace) -> int:
    """Train, say what comes of it, and export where asked -> exit status."""
    from vae.training.loop import train
    from vae.training.options import recipe_from

    recipe = recipe_from(args)
    out = Path(args.out or Path("runs") / (args.preset or "vae")).expanduser()
    result = train(out, recipe.model, recipe.data, recipe.objective, recipe.training, args.resume)
    if int(os.environ.get("RANK", 0)):
        return 0
    words = f"{result.reason} after {result.step:,} steps, {result.images:,} images, {result.seconds:.0f} s"
    shown = {"psnr": "PSNR {:.2f} dB", "kl": "KL {:.1f} nats", "reconstruction": "reconstruction {:.4g}"}
    words += "".join(", " + text.format(result.metrics[key]) for key, text in shown.items() if key in result.metrics)
    print(f"{words}: {result.run_dir}")
    if result.reason == "interrupted":
        print(f"go on with: python -m vae train --out {result.run_dir} --resume")
    elif args.export:
        from vae.bundles.export import export_checkpoint
        from vae.paths import user_home
        from vae.photos.measure_curvature import add as curvature

        target = Path(args.export).expanduser() if os.sep in args.export else user_home() / "models" / args.export
        print(f"bundle: {export_checkpoint(result.run_dir, target, additions=(curvature,))}")
    return 0


# ---------------------------------------------------------------- blend, bench


def add_blend(parser: argparse.ArgumentParser) -> None:
    from vae.photos.blend_command import add_arguments

    add_arguments(parser)


def run_blend(args: argparse.Namespace) -> int:
    from vae.photos.blend_command import run

    return run(args, open_model(args.model))


def add_distil(parser: argparse.ArgumentParser) -> None:
    from vae.distilling.distil import add_arguments

    add_arguments(parser)


def run_distil(args: argparse.Namespace) -> int:
    from vae.distilling.distil import run

    return run(args, open_model(args.model), say)


def add_curvature(parser: argparse.ArgumentParser) -> None:
    from vae.photos.measure_curvature import add_arguments

    add_arguments(parser)


def run_curvature(args: argparse.Namespace) -> int:
    from vae.photos.measure_curvature import run

    return run(args, open_model(args.model), say)


def add_bench(parser: argparse.ArgumentParser) -> None:
    from vae.evaluation.bench import add_arguments

    add_arguments(parser)


def run_bench(args: argparse.Namespace) -> int:
    from vae.evaluation.bench import run

    return run(args)


COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = {
    "train": ("train a model on pictures", add_train, run_train),
    "export": ("make a bundle that the app opens", add_export, run_export),
    "rename": ("make room for a newer model of the same name", add_rename, run_rename),
    "distil": ("give a bundle a light decoder for slow machines", add_distil, run_distil),
    "curvature": ("let a bundle without it refine photos in fewer steps", add_curvature, run_curvature),
    "evaluate": ("measure a bundle on pictures", add_evaluate, run_evaluate),
    "decode": ("draw a picture from a bundle", add_decode, run_decode),
    "bench": ("measure the app on this machine", add_bench, run_bench),
    "blend": ("mix the faces of two to four photos", add_blend, run_blend),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command -> exit status: 0, or 2 with one sentence on stderr."""
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="python -m vae", description="Train, export, measure and try variational autoencoders."
    )
    commands = parser.add_subparsers(dest="command", metavar="|".join(COMMANDS), required=True)
    wanted = next((word for word in argv if not word.startswith("-")), None)
    for name, (text, add, _) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        if name == wanted:  # the options of `train` come from a module that loads torch
            add(command)
    args = parser.parse_args(argv)
    try:
        return COMMANDS[args.command][2](args)
    except (ValueError, RuntimeError, OSError) as error:
        sentence = " ".join(str(error).split()) or type(error).__name__
        print(f"{sentence[0].upper()}{sentence[1:].rstrip('.')}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
