"""Commands that need several wings: `python -m vae train` ends in a bundle, `decode` in a picture of a code."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from vae.bundles.command import open_model


def run_train(args: argparse.Namespace) -> int:
    """Train, say what comes of it, and export where asked -> exit status."""
    if args.dynamics:
        from vae.training.dynamics_command import run

        return run(args, lambda text: print(text, file=sys.stderr, flush=True))
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


def add_decode(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vae decode`."""
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

    from vae.space import packing, settling

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
        z = bundle.check_z(packing.unpack(args.code, bundle.stats))[None]
    else:
        z = settling.draw(bundle, args.seed, args.temperature, args.count)
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
