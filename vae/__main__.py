"""The command line: python -m vae train | export | rename | distil | guess | curvature | ways | lessons | evaluate | ...

A table of commands; the options of each live in its wing. A command's modules are imported only when it is asked for,
so that `decode` never waits for torch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

# What adds a command's options, and what runs it.
Command = tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]


def say(text: str) -> None:
    """What a long command is at, beside its output."""
    print(text, file=sys.stderr, flush=True)


def passive_threads() -> None:
    """Before torch is imported: threads that spin while they wait take half of a machine that others use too."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def train() -> Command:
    passive_threads()
    from vae.commands import run_train
    from vae.training.options import add_arguments

    return add_arguments, run_train


def export() -> Command:
    from vae.bundles.command import add_export, run_export
    from vae.photos.measure_curvature import add as curvature

    return add_export, lambda args: run_export(args, say, (curvature,))


def rename() -> Command:
    from vae.bundles.command import add_rename, run_rename

    return add_rename, run_rename


def distil() -> Command:
    passive_threads()
    from vae.bundles.command import open_model
    from vae.distilling.distil import add_arguments, run

    return add_arguments, lambda args: run(args, open_model(args.model), say)


def guess() -> Command:
    from vae.bundles.command import open_model
    from vae.distilling.guessing import add_arguments, run

    return add_arguments, lambda args: run(args, open_model(args.model), say)


def curvature() -> Command:
    from vae.bundles.command import open_model
    from vae.photos.measure_curvature import add_arguments, run

    return add_arguments, lambda args: run(args, open_model(args.model), say)


def ways() -> Command:
    from vae.bundles.command import open_model
    from vae.space.finding_ways import add_arguments, run

    return add_arguments, lambda args: run(args, open_model(args.model), say)


def lessons() -> Command:
    from vae.training.lessons import add_arguments, run

    return add_arguments, lambda args: run(args, say)


def evaluate() -> Command:
    from vae.bundles.command import open_model
    from vae.evaluation.command import add_arguments, run

    return add_arguments, lambda args: run(args, open_model(args.model), say)


def decode() -> Command:
    from vae.commands import add_decode, run_decode

    return add_decode, run_decode


def blend() -> Command:
    from vae.bundles.command import open_model
    from vae.photos.blend_command import add_arguments, run

    return add_arguments, lambda args: run(args, open_model(args.model))


def bench() -> Command:
    from vae.evaluation.bench import add_arguments, run

    return add_arguments, run


def lab() -> Command:
    from vae.bundles.command import open_model
    from vae.evaluation.lab_command import add_arguments, run

    return add_arguments, lambda args: run(args, open_model(args.model), say)


def compress() -> Command:
    from vae.evaluation.lsz_command import add_compress, run_compress

    return add_compress, run_compress


def decompress() -> Command:
    from vae.evaluation.lsz_command import add_decompress, run_decompress

    return add_decompress, run_decompress


def world() -> Command:
    from vae.data.worlds.command import add_arguments, run

    return add_arguments, lambda args: run(args, say)


COMMANDS: dict[str, tuple[str, Callable[[], Command]]] = {
    "train": ("train a model on pictures", train),
    "export": ("make a bundle that the app opens", export),
    "rename": ("make room for a newer model of the same name", rename),
    "distil": ("give a bundle a light decoder for slow machines", distil),
    "guess": ("let a bundle show a photo sharply in one pass", guess),
    "curvature": ("let a bundle without it refine photos in fewer steps", curvature),
    "ways": ("find the longest way through a model's codes, without labels, as a slider", ways),
    "lessons": ("train the small models of the Learn page", lessons),
    "evaluate": ("measure a bundle on pictures", evaluate),
    "decode": ("draw a picture from a bundle", decode),
    "bench": ("measure the app on this machine", bench),
    "lab": ("try a bundle against classical methods on pictures, as a report", lab),
    "compress": ("write a picture as an .lsz file", compress),
    "decompress": ("draw what an .lsz file holds", decompress),
    "world": ("draw a world's pictures with exact factors to train on", world),
    "blend": ("mix the faces of two to four photos", blend),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command -> exit status: 0, or 2 with one sentence on stderr."""
    argv = list(sys.argv[1:] if argv is None else argv)
    purpose = "Train, export, measure and try variational autoencoders."
    parser = argparse.ArgumentParser(prog="python -m vae", description=purpose)
    commands = parser.add_subparsers(dest="command", metavar="|".join(COMMANDS), required=True)
    wanted = next((word for word in argv if not word.startswith("-")), None)
    for name, (text, load) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        if name == wanted:
            options, run = load()
            options(command)
    args = parser.parse_args(argv)
    try:
        return run(args)
    except (ValueError, RuntimeError, OSError) as error:
        sentence = " ".join(str(error).split()) or type(error).__name__
        print(f"{sentence[0].upper()}{sentence[1:].rstrip('.')}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
