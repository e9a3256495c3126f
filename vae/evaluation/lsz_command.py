"""`python -m vae compress` and `decompress`: pictures to .lsz files and back."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle


def add_compress(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vae compress`."""
    parser.add_argument("picture", help="PNG, JPEG, WebP, HEIC or AVIF")
    parser.add_argument("out", help="the file to write, .lsz")
    parser.add_argument(
        "--model", default="faces-128", help="name of a bundle, or path of its folder (default: faces-128)"
    )
    parser.add_argument(
        "--bytes", type=int, default=0,
        help="as fine as so many bytes allow (default: by the posterior's own precision, sigma * sqrt(12))",
    )  # fmt: skip
    parser.add_argument("--as-it-is", action="store_true", help="look for no face; take the middle square")


def run_compress(args: argparse.Namespace) -> int:
    """Write a picture as an .lsz file."""
    from vae.bundles.command import open_model
    from vae.data.pictures import read_image
    from vae.evaluation import lsz
    from vae.photos.sources import photo_source

    if Path(args.out).suffix.lower() != ".lsz":
        raise ValueError(f"the output is {args.out!r}; let it end in .lsz")
    bundle = open_model(args.model)
    data = Path(args.picture).read_bytes()
    if args.as_it_is:
        from vae import media

        crop = media.square(read_image(data), bundle.image_size)
        mu, _ = bundle.encode((media.grey(crop) if bundle.channels == 1 else crop)[None])
    else:
        mu = photo_source(bundle, data, Path(args.picture).name).z[None]
    packed = lsz.encode_within(bundle, mu, args.bytes) if args.bytes else lsz.encode(bundle, mu)
    if packed is None:
        raise ValueError(f"--bytes is {args.bytes}; a file has at least {lsz.overhead(1) + 1} bytes")
    Path(args.out).write_bytes(packed.data)
    print(f"{args.out}: {len(packed.data)} bytes, {packed.bound / 8:.1f} of them asked for by the prior")
    return 0


def add_decompress(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m vae decompress`."""
    parser.add_argument("file", help="an .lsz file")
    parser.add_argument("out", help="the picture to write, .png; of several pictures, one sheet")
    parser.add_argument(
        "--model", default="", help="name of a bundle, or path of its folder (default: the one that wrote it)"
    )


def _writer(data: bytes, file: str) -> Bundle:
    """The model here that wrote a file. Raises LszError."""
    from vae.bundles.contract import BundleError
    from vae.bundles.registry import default_registry
    from vae.evaluation import lsz

    digest = lsz.digest_of(data)
    if not digest:
        raise lsz.LszError(f"{file} is no .lsz file; choose one that `python -m vae compress` has written.")
    registry = default_registry()
    for name in registry.names():
        with contextlib.suppress(BundleError):  # a broken one has written nothing
            bundle = registry.get(name)
            if any(known.startswith(digest) for known in (bundle.digest, *bundle.formerly)):
                return bundle
    raise lsz.LszError(f"No model here wrote {file} (it names {digest}); name its folder with --model.")


def run_decompress(args: argparse.Namespace) -> int:
    """Draw what an .lsz file holds."""
    from vae import media
    from vae.bundles.command import open_model
    from vae.evaluation import lsz

    if Path(args.out).suffix.lower() != ".png":
        raise ValueError(f"the output is {args.out!r}; let it end in .png")
    data = Path(args.file).read_bytes()
    bundle = open_model(args.model) if args.model else _writer(data, args.file)
    packed = lsz.decode(bundle, data)
    pictures = bundle.decode(lsz.codes_of(bundle, packed))
    picture = pictures[0] if len(pictures) == 1 else media.sheet(pictures, 16)
    Path(args.out).write_bytes(media.png(picture))
    print(f"{args.out}: {len(pictures)} picture{'s' * (len(pictures) > 1)} of {bundle.title}")
    return 0
