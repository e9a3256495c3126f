"""`python -m vae lab`: the figures of the Lab page over a set of pictures, as a report."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vae.data.options import add_data, data_config

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vae lab`."""
    parser.add_argument("--model", required=True, help="name of a bundle, or path of its folder")
    add_data(parser, required=True)
    parser.add_argument("--limit", type=int, default=0, help="measure at most so many pictures (default: all)")
    parser.add_argument(
        "--fit-under", default="", metavar="FOLDER",
        help="fit PCA to the files below this sub-folder of each source, such as train (default: as in the app)",
    )  # fmt: skip
    parser.add_argument("--fit", type=int, default=4000, help="fit PCA to at most so many pictures (default: 4,000)")
    parser.add_argument(
        "--bytes", type=int, nargs="+", default=None, help="budgets of the compression (default: 50 100 200 400)"
    )
    parser.add_argument("--sigma", type=int, nargs="+", default=None, help="of the noise (default: 25 50 100)")
    parser.add_argument("--denoise", type=int, default=128, help="denoise so many of the pictures (default: 128)")
    parser.add_argument("--modes", type=int, default=0, help="find the posterior's mode of so many (default: 0)")
    parser.add_argument("--processes", type=int, default=2, help="at work together (default: 2)")
    parser.add_argument(
        "--out", metavar="FILE", help="write a report there, .html; a .json with all figures lies beside it"
    )


def run(args: argparse.Namespace, bundle: Bundle, say: Callable[[str], None]) -> int:
    """Measure, print the tables, write the report."""
    from vae.data.sets import open_data
    from vae.evaluation import lab, lab_report, pca, picked

    if args.out and Path(args.out).suffix.lower() not in (".html", ".json"):
        raise ValueError(f"--out is {args.out!r}; let it end in .html or .json")
    if not 3 <= args.fit <= 20_000:
        raise ValueError(f"--fit is {args.fit}; use 3 to 20000 pictures")
    if not 1 <= args.processes <= 64:
        raise ValueError(f"--processes is {args.processes}; use 1 to 64")
    base = lab.Plan()
    plan = lab.Plan(
        tuple(args.bytes or base.budgets), tuple(args.sigma or base.sigmas), args.denoise, args.modes, args.processes
    )
    data = open_data(data_config(args, limit=args.limit), bundle.image_size, bundle.channels)
    pictures = data.images(np.arange(len(data)))
    with tempfile.TemporaryDirectory() as folder:
        path = picked.pca_file(bundle)
        if args.fit_under:
            under = argparse.Namespace(**{**vars(args), "under": args.fit_under})
            train = open_data(data_config(under, limit=args.fit), bundle.image_size, bundle.channels)
            path = Path(folder) / "pca.npz"
            found = pca.fit([train.images(np.arange(len(train)))], source=f"{len(train):,} training pictures")
            found.save(path)
            say(f"fitted PCA to {len(train):,} pictures")
        else:
            found = picked.fitted_pca(bundle)
        names = [Path(name).name for name in data.files]
        figures = lab.study(bundle, pictures, names, found, path, plan, say)
    figures["data"]["name"] = data.name
    print(lab_report.as_text(figures))
    if args.out:
        out = Path(args.out)
        out.with_suffix(".json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        if out.suffix.lower() == ".html":
            out.write_text(lab_report.as_html(figures), encoding="utf-8")
        print(out)
    return 0
