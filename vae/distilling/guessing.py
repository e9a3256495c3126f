"""Train the network that guesses a photo's feature offset in one pass (vae.networks.guess), its model frozen.

Encoder and decoder are a bundle's own and stay as they are; what is learnt is only what to add to the decoder's map, so
that the picture becomes the photo. The loss is that of refining (vae.photos.fitting): the network does in one pass what
refining does in many steps, which then begins where the network ends.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vae import likeness
from vae.bundles.contract import GUESS_FILE, level_at
from vae.bundles.encoding import to_arrays
from vae.bundles.folder import extend
from vae.bundles.guess_graph import PREFIX, guess_graph
from vae.config import ModelConfig, TrainingConfig
from vae.data.imageset import ImageSet
from vae.data.options import add_data, data_config
from vae.data.sets import open_split
from vae.distilling.short_run import Descent, ShortRun, add_run_options, run_settings, start_words
from vae.networks.autoencoder import Autoencoder
from vae.networks.guess import Guess
from vae.networks.weights import load_guess, load_weights
from vae.photos.fitting import FEATURE_PENALTY, FrozenDecoder, Likeness, pyramid
from vae.training.batches import Batches
from vae.training.losses import psnr
from vae.training.processes import choose_device, uses_bf16

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

EMA_IMAGES = 10_000
UNIT_CODES = 256  # whose maps say how much each channel varies
BATCH_MEASURED = 32
HEADING = "## First guess"


@dataclass(frozen=True)
class GuessConfig(ShortRun):
    """How a guess is trained.

    penalty: on the mean square of the offset, in units of its channels' deviations: less of it leaves more of the face to
    the sliders.
    """

    penalty: float = FEATURE_PENALTY

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.penalty >= 0, "penalty", "use 0 or more")


class Frozen:
    """A model that is done learning: what one pass makes of pictures, and what more a feature offset makes of it."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, Tensor], device: torch.device, bf16: bool):
        self.model = Autoencoder(config)
        self.model.load_state_dict({key: value.float() for key, value in weights.items()})
        self.model.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)
        self.device, self.bf16, self.level = device, bf16, level_at(config.feature_shape[1])
        self.decoder = FrozenDecoder(self.model.decoder, torch.bfloat16 if bf16 else torch.float32)

    @torch.no_grad()
    def once(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor]:
        """Pictures x (N, c, s, s) -> reconstruction, the map it was drawn from, and what `above` takes beside it.

        Those are the styles w (N, L, S), what the linear path adds, and the image so far.
        """
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            q = self.model.encode(x)
        z, delta = q.mu.float(), None if q.delta is None else q.delta.float()
        decoder = self.model.decoder
        w, linear = decoder.styles(z, delta), decoder.linear_image(z)
        features, rgb = self.decoder.below(w, self.level)
        return self.above(features, rgb, w, linear), features, w, linear, rgb

    def above(self, features: Tensor, rgb: Tensor, w: Tensor, linear: Tensor | None) -> Tensor:
        """The picture (N, c, s, s) of a map."""
        image = self.decoder.above(features, rgb, w, self.level)
        return image if linear is None else image + linear

    @torch.no_grad()
    def unit(self, codes: Array) -> Tensor:
        """How much each channel of the maps of codes (N, d) varies, (1, C, 1, 1)."""
        w = self.model.decoder.styles(torch.from_numpy(codes).to(self.device))
        return self.decoder.below(w, self.level)[0].float().std((0, 2, 3), keepdim=True)


def train(
    model: ModelConfig,
    weights: Mapping[str, Tensor],
    codes: Array,
    eyes: Any,
    data: ImageSet,
    config: GuessConfig,
    say: Callable[[str], None],
    begin: Mapping[str, Tensor] | None = None,
) -> tuple[Guess, int]:
    """Train a guess for a model with styles -> it, its weights averaged, and how many pictures it saw.

    weights: of the whole model. codes (N, d): of pictures. eyes: as a bundle's. begin: the weights of another model's
    guess to begin with; of a relative, most of what they say still holds. Raises ValueError where they do not fit.
    """
    torch.manual_seed(config.seed)
    device = choose_device(config.device)
    bf16 = uses_bf16(device, config.precision, model)
    frozen = Frozen(model, weights, device, bf16)
    guess = Guess(model)
    if begin is not None:
        try:
            guess.load_state_dict(begin)
        except RuntimeError:
            raise ValueError("the guess of --start-from is of a model of another size; begin without it") from None
    guess.to(device, memory_format=torch.channels_last)
    guess.unit.copy_(frozen.unit(codes[:UNIT_CODES]))
    alike = Likeness(model.image_size, eyes)
    alike.importance = [weights.to(device) for weights in alike.importance]
    descent = Descent(guess, config, EMA_IMAGES)
    settings = TrainingConfig(seed=config.seed, batch_size=config.batch_size, steps=1, flip=True, augment=True)
    batches = Batches(data, model, settings, pin=device.type == "cuda")
    for batch in batches.run(0, 0 if device.type == "cpu" else 4):
        if (progress := descent.progress()) >= 1:
            break
        x = batch.to(device)[0].contiguous(memory_format=torch.channels_last)
        picture, features, w, linear, rgb = frozen.once(x)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            offset = guess(x, picture, features.float())
        made = frozen.above(features + offset.to(features.dtype), rgb, w, linear)
        far = alike(pyramid(made), pyramid(x)).mean()
        size = (offset.float() / guess.unit).square().mean()
        loss = far + config.penalty * size
        descent.step(loss, len(x), progress)
        if text := descent.report(progress, "pictures"):
            say(f"{text}, {psnr(x, made.detach()).mean().item():.2f} dB, size {size.item():.3f}")
    return descent.average.cpu(), descent.seen


# ---------------------------------------------------------------- into the bundle


def measure(bundle: Bundle, data: ImageSet) -> dict[str, float]:
    """PSNR in dB of the reconstruction of pictures in one pass, without the guess and with it."""
    rows = []
    for images in data.batches(BATCH_MEASURED):
        mu, _, delta = encoded = bundle.encode_with_offsets(images)
        pictures = bundle.decode(mu, delta), bundle.reconstruct(images, encoded)
        rows.append([likeness.psnr(images, again) for again in pictures])
    before, after = np.concatenate(rows, 1).mean(1)
    return {"once_psnr": round(float(before), 2), "guess_psnr": round(float(after), 2), "guess_images": len(data)}


def install(bundle: Bundle, guess: Guess, held_out: ImageSet, made_by: str) -> dict[str, float]:
    """Put a guess into a bundle's folder, with its figures on pictures held out -> the figures."""
    weights = to_arrays({PREFIX + key: value for key, value in guess.state_dict().items()})
    data = guess_graph(bundle.model, weights).SerializeToString()

    def write(folder: Path) -> None:
        (folder / GUESS_FILE).write_bytes(data)

    def describe(found: Mapping[str, float]) -> str:
        return card(made_by, len(data), found)

    return extend(bundle, write, HEADING, describe, lambda extended: measure(extended, held_out))


def card(made_by: str, size: int, found: Mapping[str, float]) -> str:
    """The card's section on the guess, without its heading."""
    return "\n".join([
        f"`{GUESS_FILE}` ({size / 1e6:.1f} MB) sees a photo beside its reconstruction and guesses what code and styles "
        "leave out of it, as an offset of one feature map; the model itself stays as it is.", "",
        f"    {made_by}", "",
        f"On {found['guess_images']:,} pictures that were held out:", "", "| | |", "|-|-|",
        f"| PSNR of one pass without it | {found['once_psnr']:.2f} dB |",
        f"| PSNR of one pass with it | {found['guess_psnr']:.2f} dB |", "",
    ])  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m vae guess`."""
    parser.add_argument(
        "--model", required=True, help=f"name of a bundle, or path of its folder; it gets a {GUESS_FILE}"
    )
    add_data(parser, required=True)
    parser.add_argument(
        "--test-under", default="", help="sub-folder of the test pictures (default: a tenth of the data)"
    )
    add_run_options(parser, GuessConfig(), "pictures", GUESS_FILE)


def run(args: argparse.Namespace, bundle: Bundle, say: Callable[[str], None]) -> int:
    """Train a guess for a bundle, put it there, say what it gains."""
    config = GuessConfig(**run_settings(args))
    if not bundle.levels:
        raise ValueError(f"{bundle.name} has no styles, and so no feature map to add to; choose another model")
    settings = data_config(args, validation_under=args.test_under)
    data, held_out = open_split(settings, bundle.image_size, bundle.channels)
    begin = load_guess(args.start_from) if args.start_from else None
    guess, seen = train(bundle.model, load_weights(bundle.path), bundle.codes.mu, bundle.eyes, data, config, say, begin)
    sets = " ".join(Path(source).name for source in settings.sources)
    under = "".join(
        f" --{name} {value}" for name, value in (("under", args.under), ("test-under", args.test_under)) if value
    )
    command = f"python -m vae guess --model {bundle.name} --data {sets}{under}{start_words(args)} {config.words}"
    found = install(bundle, guess, held_out, command)
    print(
        f"{bundle.name}: a guess after {seen:,} pictures, {found['once_psnr']} to {found['guess_psnr']} dB in one pass"
    )
    return 0
