"""`python -m vae train --dynamics`: a run's model and drives -> the network that dreams on from a frame."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from vae.data.sets import open_split
from vae.networks.autoencoder import Autoencoder
from vae.training.checkpoint import load_checkpoint
from vae.training.dynamics import Transition, dream, drives_of, learn, measure
from vae.training.errors import TrainingError
from vae.training.processes import choose_device

FILE = "dynamics.safetensors"
MINUTES = 4.0


def run(args: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Train and measure on unseen drives; the file lies in the run's folder, or in --out -> exit status."""
    if not args.start_from:
        raise TrainingError("--dynamics goes on from a trained model; name its run with --start-from FOLDER")
    folder = Path(args.start_from).expanduser()
    checkpoint = load_checkpoint(folder)
    recipe = checkpoint.recipe
    if args.data:
        recipe = recipe.replace(data={"sources": [str(Path(source).expanduser()) for source in args.data]})
    device = choose_device(args.device or "auto")
    if args.threads:
        torch.set_num_threads(args.threads)
    train, test = open_split(
        recipe.data.replace(validation_max=1_000_000), recipe.model.image_size, recipe.model.channels
    )
    seed, minutes = args.seed or 0, args.minutes or (0.0 if args.steps else MINUTES)
    model = Autoencoder(recipe.model).to(device).eval().requires_grad_(False)
    model.load_state_dict(checkpoint.ema)
    seen, unseen = (drives_of(model, data, device) for data in (train, test))
    say(f"{len(seen.z):,} frames to learn from, {len(unseen.z):,} unseen ones, on {device}")
    torch.manual_seed(seed)
    net = Transition(recipe.model.latent_size).to(device)
    net.mean.copy_(seen.z.mean(0))
    net.std.copy_(seen.z.std(0).clamp_min(1e-3))
    for drives in (seen, unseen):
        drives.z = (drives.z - net.mean) / net.std
    steps = learn(net, seen, minutes, seed, args.batch or 256, args.steps or 0, say)
    with torch.no_grad():
        places = unseen.starts(1)
        (after,) = dream(net, unseen, places, 1)
        net.residual.copy_((after - unseen.z[torch.from_numpy(places + 1)]).std(0))
    rows = measure(net, model, unseen)
    for row in rows:
        say("{ahead:3} ahead: dream {dream:.2f} dB, frozen {frozen:.2f} dB, true frame {ceiling:.2f} dB".format(**row))
    out = Path(args.out).expanduser() if args.out else folder
    out.mkdir(parents=True, exist_ok=True)
    told = {"steps": steps, "unseen_frames": len(unseen.z), "ahead": rows}
    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    save_file(state, out / FILE, metadata={"state": json.dumps(told)})
    print(f"{out / FILE}: {steps:,} steps, {sum(p.numel() for p in net.parameters()):,} weights")
    return 0
