"""The options of `python -m vae world`: draw the pictures of a world into a zip."""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable

from vae.data.worlds.world import World, write_zip

NAMES = ("brain", "chest", "roads", "chorales", "people")
SECONDS = 5.0  # between two words about how far it is


def world_of(name: str) -> World:
    """A world by its name; its packages are imported only when it is drawn."""
    return importlib.import_module(f"vae.data.worlds.{name}").WORLD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m vae world`."""
    parser.add_argument("name", choices=NAMES, help="which world")
    parser.add_argument("--out", metavar="ZIP", help="the zip to write (default: NAME.zip)")
    parser.add_argument("--count", type=int, default=None, help="pictures (default: as many as its model is made from)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same pictures (default: 0)")


def run(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Draw the pictures -> exit status."""
    world = world_of(args.name)
    began = told = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= SECONDS:
            told = time.monotonic()
            say(f"{done:,} of {total:,} pictures, {done / (told - began):.1f} a second")

    out = args.out or f"{args.name}.zip"
    count = world.count if args.count is None else args.count
    done = write_zip(world, out, count, args.seed, progress)
    print(f"{done:,} pictures in {time.monotonic() - began:.0f} s: {out}")
    return 0
