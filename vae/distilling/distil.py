"""Distil a lighter decoder from a bundle's own: fewer channels, the same codes, the same styles.

The light decoder draws while a hand moves, where the full one is too slow. It learns from the full decoder alone
(Hinton et al. 2015, arXiv 1503.02531), which answers any code, so that no picture is needed. It begins as the full
decoder with its least used channels cut out, and keeps its mapping network: style offsets mean the same in both.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vae.bundles import graph
from vae.config import ModelConfig
from vae.distilling.short_run import Descent, ShortRun, add_run_options, run_settings, start_words
from vae.networks.autoencoder import StyleDecoder
from vae.networks.layers import StyledConv
from vae.networks.weights import load_light, load_weights
from vae.space import latent
from vae.space.axes import bases
from vae.training.losses import reconstruction_loss
from vae.training.processes import choose_device, uses_bf16

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

EMA_IMAGES = 4000
MEMORY, REPEATS = 512, 3  # answers of the teacher that are kept; steps for each batch of them
TEST_SEED, TEST_CODES = 2**31, 512
PREFIX = "decoder."
HEADING = "## Light decoder"


@dataclass(frozen=True)
class DistilConfig(ShortRun):
    """How a light decoder is made.

    width: its channels as a share of the full decoder's. feature: weight of the distance between features, which falls
    linearly to 0 over the run.
    """

    width: float = 0.5
    learning_rate: float = 8e-3
    feature: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(0.0625 <= self.width < 1, "width", "use a share from 0.0625 to below 1")
        self._require(self.feature >= 0, "feature", "use 0 or more")


class CodeSource:
    """Codes as the app asks for them: pictures, slider moves, blends, draws and style mixes."""

    def __init__(self, bundle: Bundle):
        self.bundle, self.stats = bundle, bundle.stats
        self.axes = np.concatenate([basis.D for basis in bases(bundle).values()])  # (K, d), a sigma each

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Codes for each level, (n, L, d) float32: a third of them mixes of two."""
        a, b = self._flat(rng, n), self._flat(rng, n)
        levels = np.arange(self.bundle.levels)
        cut = np.where(rng.random(n) < 1 / 3, rng.integers(1, max(2, self.bundle.levels), n), self.bundle.levels)
        z = np.where((levels < cut[:, None])[:, :, None], a[:, None], b[:, None])
        reach = 6 * self.stats.std
        return np.clip(z, self.stats.mean - reach, self.stats.mean + reach).astype(np.float32)

    def _flat(self, rng: np.random.Generator, n: int) -> Array:
        codes, stats = self.bundle.codes, self.stats
        i, j = rng.integers(len(codes), size=(2, n))
        z = codes.mu[i] + rng.random((n, 1)) * np.exp(0.5 * codes.logvar[i]) * rng.standard_normal((n, len(stats.mean)))
        kind = rng.random(n)[:, None]
        z = np.where(kind < 0.2, latent.slerp(z, codes.mu[j], rng.random((n, 1))), z)
        z = np.where((kind >= 0.2) & (kind < 0.4), self._prior(rng, n), z)
        z = np.where((kind >= 0.4) & (kind < 0.5), stats.mean, z)
        moves = rng.standard_normal((n, 3)) * 1.5 * (rng.random((n, 3)) < [0.6, 0.4, 0.2])
        return z + (moves[:, :, None] * self.axes[rng.integers(len(self.axes), size=(n, 3))]).sum(1)

    def _prior(self, rng: np.random.Generator, n: int) -> Array:
        """Draws from the bundle's mixture, temperature 0.3 to 1.1."""
        stats = self.stats
        part = rng.choice(len(stats.prior_weight), n, p=stats.prior_weight / stats.prior_weight.sum())
        noise = rng.standard_normal((n, len(stats.mean)))
        z = stats.prior_mean[part] + np.einsum("nde,ne->nd", stats.prior_chol[part], noise)
        return np.stack([latent.toward(stats, one, t) for one, t in zip(z, rng.uniform(0.3, 1.1, n))])


def offsets(rng: np.random.Generator, w: Tensor) -> Tensor:
    """Style offsets like those of refined photos, for styles w (n, L, S): half of them none, half noise and drift."""
    n, levels, style = w.shape
    noise = torch.from_numpy(rng.standard_normal((n, levels, style), np.float32)).to(w.device) * w.std()
    drift = w.roll(1, 0) - w
    size = torch.from_numpy((rng.random((n, 2, 1, 1)) * (rng.random((n, 1, 1, 1)) < 0.5)).astype(np.float32))
    size = size.to(w.device)
    return size[:, 0] * noise + 0.5 * size[:, 1] * drift


def _readers(decoder: StyleDecoder) -> list[list[tuple[StyledConv, int]]]:
    """For each feature map of `StyleDecoder.maps`, the layers that read it, each with the level of its style."""
    blocks, rgb = list(decoder.blocks), list(decoder.to_rgb)
    found: list[list[tuple[StyledConv, int]]] = [[(decoder.conv_first, 0)]]
    for level in range(len(rgb)):
        readers = [(rgb[level], level)]
        if level < len(blocks):
            readers.append((blocks[level].conv_low, level + 1))
        found.append(readers)
        if level < len(blocks):
            found.append([(blocks[level].conv_high, level + 1)])
    return found


@torch.no_grad()
def choose_channels(teacher: StyleDecoder, student: StyleDecoder, w: Tensor) -> list[Tensor]:
    """Which channels of each feature map to keep: those that say most to the layers that read them."""
    kept = []
    sizes = [layer.affine.weight.shape[0] for layer, _ in (readers[0] for readers in _readers(student))]
    for (x, _), readers, size in zip(teacher.maps(w), _readers(teacher), sizes):
        power = torch.zeros(x.shape[1])
        for layer, level in readers:
            s = layer.affine(w[:, level])
            said = (x.square().mean((2, 3)) * s.square()).mean(0) * (layer.weight * layer.scale).square().sum((0, 2, 3))
            power += said / said.sum()
        kept.append(power.topk(size).indices.sort().values)
    return kept


@torch.no_grad()
def prune(teacher: StyleDecoder, student: StyleDecoder, kept: list[Tensor]) -> None:
    """Give the student the teacher's weights of the channels that it keeps."""
    student.mapping.load_state_dict(teacher.mapping.state_dict())
    student.linear.load_state_dict(teacher.linear.state_dict())
    rows = kept[0][:, None] * 16 + torch.arange(16)
    student.base.weight.copy_(teacher.base.weight[rows.flatten()])
    student.base.bias.copy_(teacher.base.bias[rows.flatten()])
    convs = [("conv_first", 0, 1)]
    for level in range(len(student.blocks)):
        convs += [(f"blocks.{level}.conv_low", 2 * level + 1, 2 * level + 2)]
        convs += [(f"blocks.{level}.conv_high", 2 * level + 2, 2 * level + 3)]
    for name, source, target in convs:
        _take(teacher.get_submodule(name), student.get_submodule(name), kept[source], kept[target])
    for level in range(len(student.to_rgb)):
        everything = torch.arange(student.to_rgb[level].weight.shape[0])
        _take(teacher.to_rgb[level], student.to_rgb[level], kept[2 * level + 1], everything)


def _take(source: StyledConv, target: StyledConv, inputs: Tensor, outputs: Tensor) -> None:
    # The equalised learning rate divides by the root of fan_in, which is now another one.
    target.weight.copy_(source.weight[outputs][:, inputs] * (source.scale / target.scale))
    target.bias.copy_(source.bias[outputs])
    if hasattr(source, "noise"):  # its maps are one for all channels
        target.noise.copy_(source.noise)
        target.strength.copy_(source.strength[outputs])
    target.affine.weight.copy_(source.affine.weight[inputs])
    target.affine.bias.copy_(source.affine.bias[inputs])


@torch.no_grad()
def resume(student: StyleDecoder, begin: Mapping[str, Tensor]) -> None:
    """Put another light decoder's weights into a student, but for what every student has of its teacher.

    Raises ValueError where they do not fit.
    """
    own = student.state_dict()
    fits = {key: value.shape for key, value in begin.items()} == {key: value.shape for key, value in own.items()}
    if not fits:
        raise ValueError("the light decoder of --start-from has other sizes; name its --width, or begin without it")
    taught = (key for key in own if not (key.startswith(("mapping.", "linear.")) or key.endswith(".noise")))
    student.load_state_dict(own | {key: begin[key] for key in taught})


def light_config(model: ModelConfig, width: float) -> ModelConfig:
    """The configuration of a light decoder: its noise is the full one's, offsets are the encoder's affair."""
    return model.replace(width=model.width * width)


class _Memory:
    """What the teacher answered lately, so that each of its answers teaches a few times. In bfloat16: 1.5 MB a code."""

    def __init__(self, teacher: StyleDecoder, kept: list[Tensor], bf16: bool, device: torch.device):
        self.teacher, self.kept, self.bf16, self.device = teacher, kept, bf16, device
        self.rows: list[list[Tensor]] = []

    @torch.no_grad()
    def learn(self, z: Array, rng: np.random.Generator) -> None:
        """Ask the teacher about codes z (n, L, d), with style offsets."""
        w = self.teacher.styles(torch.from_numpy(z).to(self.device))
        w = w + offsets(rng, w)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            answers = list(self.teacher.maps(w))
        skips = [rgb.to(torch.bfloat16) for _, rgb in answers[:-1] if rgb is not None]
        maps = [x[:, channels].to(torch.bfloat16) for (x, _), channels in zip(answers, self.kept)]
        self.rows += zip(w, *skips, answers[-1][1].float(), *maps)
        del self.rows[:-MEMORY]

    def recall(self, rng: np.random.Generator, n: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Styles, pictures of all levels and kept feature maps of n answers, float32."""
        rows = [self.rows[i] for i in rng.choice(len(self.rows), min(n, len(self.rows)), replace=False)]
        w, *rest = [torch.stack(column).float() for column in zip(*rows)]
        levels = len(self.teacher.to_rgb)
        layout = [x.contiguous(memory_format=torch.channels_last) for x in rest]
        return w, layout[:levels], layout[levels:]


def distil(
    bundle: Bundle,
    config: DistilConfig,
    say: Callable[[str], None],
    begin: Mapping[str, Tensor] | None = None,
) -> tuple[StyleDecoder, int]:
    """Train a light decoder of a bundle with styles -> it, its weights averaged, and how many codes it saw.

    begin: the weights of a light decoder to go on from, this model's or a relative's; without them it begins as the full
    decoder with channels cut out. The loss: that of a reconstruction, of the full decoder's picture by the light one; the
    distance of the pictures at lower levels; and early on, where channels were cut out, that of the feature maps (Romero
    et al. 2015, arXiv 1412.6550). Raises ValueError.
    """
    if not bundle.levels:
        raise ValueError(f"{bundle.name} has no styles, and its decoder is light already; choose another model")
    return teach(bundle.model, load_weights(bundle.path), CodeSource(bundle), config, say, begin)


def teach(
    model: ModelConfig,
    weights: Mapping[str, Tensor],
    source: CodeSource,
    config: DistilConfig,
    say: Callable[[str], None],
    begin: Mapping[str, Tensor] | None = None,
) -> tuple[StyleDecoder, int]:
    """What `distil` does, for weights of a model and a source of codes."""
    torch.manual_seed(config.seed)
    teacher, student = StyleDecoder(model), StyleDecoder(light_config(model, config.width))
    teacher.load_state_dict({k[len(PREFIX) :]: v for k, v in weights.items() if k.startswith(PREFIX)})
    teacher.requires_grad_(False).to(memory_format=torch.channels_last)
    rng = np.random.default_rng(config.seed)
    kept = choose_channels(teacher, student, teacher.styles(torch.from_numpy(source.draw(rng, 64))))
    prune(teacher, student, kept)
    if begin is not None:
        resume(student, begin)
        kept = []  # its channels are no longer any of the teacher's
    device = choose_device(config.device)
    teacher.to(device)
    kept = [channels.to(device) for channels in kept]
    student.to(device, memory_format=torch.channels_last)
    student.mapping.requires_grad_(False)
    student.linear.requires_grad_(False)
    descent = Descent(student, config, EMA_IMAGES)
    bf16 = uses_bf16(device, config.precision, model)
    memory = _Memory(teacher, kept, bf16, device)

    while (progress := descent.progress()) < 1:
        if descent.steps % REPEATS == 0:
            memory.learn(source.draw(rng, config.batch_size), rng)
        w, goals, maps = memory.recall(rng, config.batch_size)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            made = list(student.maps(w))
        skips = [rgb.float() for _, rgb in made if rgb is not None]
        picture = reconstruction_loss(goals[-1], skips[-1], "multiscale").mean()
        early = torch.stack([F.l1_loss(b, a) for a, b in zip(goals[:-1], skips[:-1])]).mean()
        loss, told = picture + 0.25 * early, {"picture": picture}
        if maps:
            apart = [(b.float() - a).square().mean() / a.square().mean() for a, (b, _) in zip(maps, made)]
            distance = torch.stack(apart).mean()
            loss = loss + config.feature * (1 - progress) * distance
            told["features"] = distance
        descent.step(loss, len(w), progress)
        if so_far := descent.report(progress, "codes"):
            say(", ".join([so_far, *(f"{name} {value:.4f}" for name, value in told.items())]))
    return descent.average.cpu(), descent.seen


# ---------------------------------------------------------------- into the bundle


def measure(bundle: Bundle, count: int = TEST_CODES) -> dict[str, float]:
    """PSNR in dB and SSIM of the light decoder's pictures against the full one's, on codes that no run has drawn."""
    from vae import likeness

    rng, source, rows = np.random.default_rng(TEST_SEED), CodeSource(bundle), []
    for _ in range(-(-count // 64)):
        z = source.draw(rng, 64)
        full, quick = bundle.decode(z), bundle.decode(z, quick=True)
        rows.append([likeness.psnr(full, quick).mean(), likeness.ssim(full, quick).mean()])
    decibels, alike = np.mean(rows, 0)
    return {"light_psnr": round(float(decibels), 2), "light_ssim": round(float(alike), 4)}


def install(bundle: Bundle, decoder: StyleDecoder, width: float, made_by: str) -> dict[str, float]:
    """Put a light decoder into a bundle's folder, with its figures in config.json and card.md -> the figures."""
    from vae.bundles.encoding import to_arrays
    from vae.bundles.folder import extend

    weights = to_arrays({PREFIX + key: value for key, value in decoder.state_dict().items()})
    data = graph.style_decoder(light_config(bundle.model, width), weights).SerializeToString()

    def write(folder: Path) -> None:
        (folder / "light.onnx").write_bytes(data)

    return extend(bundle, write, HEADING, lambda found: light_card(width, made_by, len(data), found), measure)


def light_card(width: float, made_by: str, size: int, found: Mapping[str, float]) -> str:
    """The card's section on the light decoder, without its heading."""
    return "\n".join([
        f"`light.onnx` ({size / 1e6:.1f} MB) draws while a hand moves. It is the decoder with {100 * width:g} % of the "
        "channels, distilled from the full one on codes of pictures, slider moves, blends, style mixes and draws, "
        "with style offsets; no picture was needed.", "",
        f"    {made_by}", "",
        f"On {TEST_CODES} fresh codes, against the full decoder's pictures:", "", "| | |", "|-|-|",
        f"| PSNR | {found['light_psnr']:.2f} dB |", f"| SSIM | {found['light_ssim']:.3f} |", "",
    ])  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m vae distil`."""
    default = DistilConfig()
    parser.add_argument("--model", required=True, help="name of a bundle, or path of its folder; it gets a light.onnx")
    parser.add_argument(
        "--width", type=float, default=default.width, help="share of the channels (default: %(default)g)"
    )
    add_run_options(parser, default, "codes", "light.onnx")


def run(args: argparse.Namespace, bundle: Bundle, say: Callable[[str], None]) -> int:
    """Distil a light decoder into a bundle, say how alike it is."""
    config = DistilConfig(width=args.width, **run_settings(args))
    begin = load_light(args.start_from) if args.start_from else None
    decoder, codes = distil(bundle, config, say, begin)
    command = f"python -m vae distil --model {bundle.name} --width {config.width:g}{start_words(args)} {config.words}"
    found = install(bundle, decoder, config.width, command)
    print(f"{bundle.name}: a light decoder after {codes:,} codes, {found['light_psnr']} dB against the full one")
    return 0
