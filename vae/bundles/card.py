"""The model card: what a bundle says of itself, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vae.bundles.fixed_points import times
from vae.config import ModelConfig

Array = np.ndarray


@dataclass(frozen=True)
class About:
    """What a bundle says of itself. eyes: ((x, y), (x, y)) in pixels of the picture, of a model of aligned faces."""

    title: str
    description: str = ""
    licence: str = "MIT"
    eyes: tuple[tuple[float, float], tuple[float, float]] | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    commands: Sequence[str] = ()
    notes: Sequence[str] = ()


def card(
    name: str,
    config: Mapping[str, Any],
    about: About,
    count: int,
    stats: Mapping[str, Array],
    found: Mapping[str, Array] | None,
) -> str:
    """The model card, Markdown."""
    model, metrics = ModelConfig.from_dict(config["model"]), config["metrics"]
    kind = "variational autoencoder" if model.variational else "autoencoder"
    lines = [f"# {about.title or name}", "", about.description, "" if about.description else None]
    lines += [
        f"A {kind} of {model.image_size} px pictures in {'colour' if model.channels > 1 else 'grey'} with "
        f"a code of {model.latent_size} numbers, architecture `{model.architecture}`.", "",
        f"**Licence:** {about.licence}", "", "## How it was made", "",
    ]  # fmt: skip
    lines += [*(f"    {command}" for command in about.commands), ""] if about.commands else []
    parts = len(stats["prior_weight"])
    lines += [
        f"Statistics, prior and directions come from the codes of {count:,} training pictures; "
        "`codes.npz` holds those codes, "
        "no picture. The prior is " + (f"a mixture of {parts} Gaussians." if parts > 1 else "a Gaussian."), ""
    ]  # fmt: skip
    if model.offsets:
        lines += [
            "Beside the code the encoder reads style offsets from a picture, which say what the code has no room for: "
            "the figures of the reconstruction are with both, in one pass. Draws have a code alone.", "",
        ]  # fmt: skip
    if stats["shell"]:
        lines += [
            "The codes of pictures lie on a shell around their mean, and the mean itself decodes to no picture. "
            "So the sliders stand at zero at the code of the average picture, its contrast and sharpness restored, "
            "and a draw of a lower temperature lies nearer to that code on the "
            "great arc.", "",
        ]  # fmt: skip
    if config.get("settle") and model.levels:
        lines += [
            f"Draws are decoded and encoded again {times(config['settle'])} before they are shown: what a mixture of Gaussians draws "
            "between the codes of pictures then comes to lie where codes of pictures do, towards a code that the "
            "autoencoder leaves where it is (Radhakrishnan, Belkin and Uhler 2020, doi 10.1073/pnas.2005013117).", "",
        ]  # fmt: skip
    lines += ["## Figures", "", f"On {metrics['images']:,} test pictures:", "", "| | |", "|-|-|"]
    lines += [
        f"| PSNR of the reconstruction | {metrics['psnr']:.2f} dB |",
        f"| SSIM of the reconstruction | {metrics['ssim']:.3f} |",
        f"| KL | {metrics['kl']:.1f} nats |",
        f"| Active units | {metrics['active_units']} of {model.latent_size} |", "",
    ]  # fmt: skip
    if found is not None:
        lines += _direction_lines(found, about.eyes is not None)
    if about.notes:
        lines += ["## Known weaknesses", "", *(f"- {note}" for note in about.notes), ""]
    return "\n".join(line for line in lines if line is not None)


def _direction_lines(found: Mapping[str, Array], people: bool) -> list[str]:
    caution = "Labels say what was labelled in the data, not what is true of a person. " if people else ""
    lines = [
        "## Named directions", "",
        "A linear read-out of the code, scored on test pictures: area under the ROC curve for what people labelled, "
        f"correlation for what is measured in the pixels. {caution}A step of one sigma goes along the covariance, so "
        "other traits come along as they do in the data: the largest of these are listed, in sigma.", "",
        "| Direction | Kind | Score | Also moves |", "|-|-|-|-|",
    ]  # fmt: skip
    for k, label in enumerate(found["labels"]):
        others = sorted((j for j in range(len(found["labels"])) if j != k), key=lambda j: -abs(found["leaks"][k][j]))[
            :3
        ]
        words = ", ".join(f"{found['labels'][j]} {found['leaks'][k][j]:+.2f}" for j in others)
        score = f"AUC {found['score'][k]:.3f}" if found["kind"][k] == "label" else f"r {found['score'][k]:.3f}"
        lines.append(f"| {label} | {found['kind'][k]} | {score} | {words} |")
    return [*lines, ""]
