"""The options that name pictures, for the commands that read them."""

from __future__ import annotations

import argparse
from typing import Any

from vae.config import DataConfig


def add_data(parser: argparse.ArgumentParser, required: bool) -> None:
    """The options that name pictures."""
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


def data_config(args: argparse.Namespace, **more: Any) -> DataConfig:
    """The data settings that the options ask for."""
    settings = {"sources": args.data, "under": args.under, "attributes": args.attributes, "box": list(args.box), **more}
    return DataConfig.from_dict(settings)
