"""`python -m vae evaluate`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vae.data.options import add_data, data_config

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vae evaluate`."""
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


def run(args: argparse.Namespace, bundle: Bundle, say: Callable[[str], None]) -> int:
    """Figures of a bundle on pictures, as JSON."""
    from vae.bundles.figures import evaluate
    from vae.data.sets import open_data

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
