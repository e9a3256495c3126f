"""`python -m vae blend`: its options, and what it writes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vae import media
from vae.photos import faces
from vae.photos.blend import blend, grid
from vae.photos.film import FILM_KINDS, make_film
from vae.photos.into_photo import fine_factor, keep_detail, paste
from vae.photos.recognition import likeness
from vae.photos.refine_sources import refine_sources
from vae.photos.sources import Source, photo_source
from vae.space.mixing import GROUPS, MAX_SOURCES, PATHS, BlendError, check_weights, edit_shift, pair_weights

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


def _edit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name, float(value)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vae blend`."""
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="two to four photos (PNG, JPEG, WebP)")
    parser.add_argument("--model", default="faces-128", help="name of the model bundle (default: %(default)s)")
    parser.add_argument("--mix", type=_amount, default=0.5, help="0 = all A, 1 = all B (default: %(default)s)")
    for group, what in zip(GROUPS, ("pose and shape", "features", "colour and texture")):
        parser.add_argument(f"--{group}", type=_amount, help=f"the same for {what} alone")
    parser.add_argument(
        "--weights", type=float, nargs="+", metavar="W", help="a share for each photo, instead of --mix"
    )
    parser.add_argument(
        "--edit", type=_edit, nargs="+", default=[], metavar="NAME=SIGMA", help="move along named directions"
    )
    parser.add_argument("--path", choices=PATHS, default="slerp", help="way between the codes (default: %(default)s)")
    parser.add_argument(
        "--face", type=int, nargs="+", default=[], metavar="N", help="which face of each photo, 1 = largest"
    )
    parser.add_argument(
        "--refine", action="store_true", help="refine the photos first, so that both ends are the two people"
    )
    parser.add_argument("--steps", type=int, help="refining steps (default: as the app)")
    parser.add_argument("--detail", type=_amount, default=0.0, help="0 to 1 of what the model cannot say is added back")
    parser.add_argument("--paste", choices=[*"ABCD"], help="lay the face back into the whole of this photo")
    parser.add_argument("--scale", type=int, choices=(1, 2, 4), default=1, help="enlarge the picture or the film")
    parser.add_argument("--out", type=Path, help="picture to write (PNG)")
    parser.add_argument("--film", type=Path, help="film to write, by its ending: mp4, gif or webp")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the film (default: %(default)s)")
    parser.add_argument("--fps", type=int, default=30, help="frames a second (default: %(default)s)")
    parser.add_argument("--ping-pong", action="store_true", help="there and back")
    parser.add_argument("--grid", type=Path, help="table of style mixes to write (PNG)")
    parser.add_argument(
        "--cut", type=int, default=2, help="first level that the columns of the grid give (default: %(default)s)"
    )


def run(args: argparse.Namespace, bundle: Bundle) -> int:
    """`python -m vae blend`: write the picture, the film or the grid that was asked for."""
    if not (args.out or args.film or args.grid):
        raise BlendError("Nothing to write; name a picture with --out, a film with --film or a table with --grid.")
    if not 2 <= len(args.photos) <= MAX_SOURCES:
        raise BlendError(f"{len(args.photos)} photo(s) were given; give two to {MAX_SOURCES}.")
    if args.film and args.film.suffix[1:].lower() not in FILM_KINDS:
        raise BlendError(f"The film {args.film.name} has an unknown ending; use .mp4, .gif or .webp.")
    numbers = args.face + [1] * (len(args.photos) - len(args.face))
    sources = []
    for path, number in zip(args.photos, numbers):
        try:
            sources.append(photo_source(bundle, path.read_bytes(), path.name, number - 1))
        except OSError as error:
            raise BlendError(f"{path} cannot be read ({error.strerror}); check the name.") from None
        except (faces.FaceError, faces.ImageError) as error:
            raise BlendError(f"In {path.name}: {error}") from None
    if args.refine:
        sources = _refined(bundle, sources, args.steps)
    if args.weights or len(sources) > 2:
        weights = check_weights(args.weights or [1.0] * len(sources), bundle.levels, len(sources))
    else:
        weights = pair_weights(bundle.levels, args.mix, args.coarse, args.middle, args.fine)
    shift = edit_shift(bundle, dict(args.edit))
    if args.out:
        picture = _finish(bundle, sources, weights, shift, args)
        args.out.write_bytes(media.png(picture, args.scale))
        print(f"{args.out}: {picture.shape[1] * args.scale} x {picture.shape[0] * args.scale}")
    if args.grid:
        rows, columns = sources[: (len(sources) + 1) // 2], sources[(len(sources) + 1) // 2 :]
        args.grid.write_bytes(media.png(grid(bundle, rows, columns, args.cut), args.scale))
        print(f"{args.grid}: {len(rows)} x {len(columns)} mixes, cut at level {args.cut}")
    if args.film:
        kind = args.film.suffix[1:].lower()
        data = make_film(bundle, sources, kind, args.seconds, args.fps, args.ping_pong, args.path, shift, args.scale)
        args.film.write_bytes(data)
        print(f"{args.film}: {args.seconds:g} s at {args.fps} frames/s, {len(data) / 1e6:.2f} MB")
    return 0


def _finish(bundle: Bundle, sources: Sequence[Source], weights: Array, shift: Array, args: argparse.Namespace) -> Array:
    picture = blend(bundle, sources, weights, args.path, shift)
    into = None if args.paste is None else "ABCD".index(args.paste)
    if into is not None and into >= len(sources):
        raise BlendError(f"There is no photo {args.paste}; {len(sources)} were given.")
    if args.detail or into is not None:
        if bundle.eyes is None:
            raise BlendError(f"{bundle.name} is not a face model; leave out --detail and --paste.")
        factor = 1 if into is None else fine_factor(bundle, sources[into])
        picture = keep_detail(bundle, sources, weights, picture, args.detail, factor)
    return picture if into is None else paste(bundle, sources[into], picture)[0]


def _refined(bundle: Bundle, sources: list[Source], steps: int | None) -> list[Source]:
    from vae.photos.refine import Refiner

    before = [likeness(bundle, source) for source in sources]
    refiner = Refiner()
    try:
        sources = refine_sources(bundle, sources, refiner, steps)
    finally:
        refiner.close()
    for source, old in zip(sources, before):
        new = likeness(bundle, source)
        text = f"{source.name}: PSNR {old.psnr:.1f} -> {new.psnr:.1f} dB"
        if new.distance is not None:
            text += f", descriptor distance {old.distance:.2f} -> {new.distance:.2f}"
            text += " (same person)" if new.same_person else " (not recognised)"
        print(text)
    return sources
