"""Settings, one frozen dataclass per concern, to and from JSON. Unknown keys are refused by name."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

C = TypeVar("C", bound="Config")

# A dimension whose code carries less than this says next to nothing about the picture.
COLLAPSED_NATS = 0.05


class ConfigError(ValueError):
    """A setting that cannot be used; the message names the key, the value and the remedy."""


_KINDS = {
    "str": "text",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a finite number",
    "tuple[str, ...]": "a list of texts",
    "tuple[int, ...]": "a list of whole numbers",
}


def _is_a(value: Any, kind: str) -> bool:
    """Whether a setting's value is of the annotated kind; True is no number, and no number may be infinite."""
    if kind.startswith("tuple"):
        return isinstance(value, tuple) and all(_is_a(item, kind[6:9]) for item in value)
    if kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"str": str, "bool": bool}[kind])


@dataclass(frozen=True)
class Config:
    """Base of every settings class: equality, JSON both ways, and checks on construction."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), str(field.type)
            self._require(_is_a(value, kind), field.name, f"it has to be {_KINDS[kind]}")
            if kind == "float":  # JSON writes 0.0 as 0
                object.__setattr__(self, field.name, float(value))

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """Build from a mapping. Raises ConfigError on an unknown key, a wrong type or a bad value."""
        if not isinstance(values, Mapping):
            raise ConfigError(f"{cls.__name__} wants an object of settings, not {type(values).__name__}")
        fields = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise ConfigError(f"{cls.__name__} has no setting {unknown[0]!r}; it has {', '.join(fields)}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

    @classmethod
    def from_json(cls: type[C], text: str) -> C:
        """Build from JSON text."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{cls.__name__} is not valid JSON: {error}") from None
        return cls.from_dict(values)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain Python values; tuples become lists, as in JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    def to_json(self) -> str:
        """The settings as JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def replace(self: C, **changes: Any) -> C:
        """A copy with some settings changed, checked again."""
        return self.from_dict({**self.to_dict(), **changes})

    def _require(self, ok: bool, key: str, remedy: str) -> None:
        if not ok:
            raise ConfigError(f"{type(self).__name__}.{key} is {getattr(self, key)!r}; {remedy}")


ARCHITECTURES = ("style", "conv", "dense")
STYLE_SIZES = (32, 64, 128, 256)
# The linear path's largest picture: beyond it principal components hold little but cost much.
LINEAR_PIXELS = 32
# Channels by resolution in pixels: the same ladder in encoder and decoder.
STYLE_CHANNELS = {4: 384, 8: 384, 16: 256, 32: 128, 64: 64, 128: 32, 256: 16}


@dataclass(frozen=True)
class ModelConfig(Config):
    """Shape of an autoencoder.

    architecture: "style" (styled decoder, one style per resolution level, for photos of a
        power-of-two size), "conv" (small convolutional model, for any size from 8 to 128 px) or "dense" (small model
        without convolutions, for pictures in which places differ in kind, such as the keys and beats of a roll).
    latent_size: numbers in a code. variational: False gives a plain autoencoder.
    width: factor on all channel counts. style_size: numbers in a style vector ("style" only).
    linear: a linear path beside the networks ("style" only), which training begins at the principal components of
        the pictures: what PCA can say needs no learning, and a short run starts from there.
    noise: fixed maps of noise in the decoder, from which texture grows ("style" only). offsets: the encoder reads
        style offsets from a picture beside its code, which say what the code has no room for ("style" only).
    strips: a picture is cut into so many upright strips, as a roll into bars; each has its share of the code's numbers,
        one strip's after the other's, and all of them the same weights ("conv" and "dense").
    """

    architecture: str = "conv"
    image_size: int = 28
    channels: int = 1
    latent_size: int = 2
    variational: bool = True
    width: float = 1.0
    style_size: int = 384
    linear: bool = False
    noise: bool = False
    offsets: bool = False
    strips: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.architecture in ARCHITECTURES, "architecture", f"choose one of {', '.join(ARCHITECTURES)}")
        self._require(self.channels in (1, 3), "channels", "use 1 for grey or 3 for colour")
        self._require(1 <= self.latent_size <= 1024, "latent_size", "use 1 to 1024")
        self._require(0.0625 <= self.width <= 4, "width", "use 0.0625 to 4")
        self._require(8 <= self.style_size <= 1024, "style_size", "use 8 to 1024")
        if self.architecture == "style":
            self._require(self.image_size in STYLE_SIZES, "image_size", f"use one of {STYLE_SIZES}")
            self._require(self.strips == 1, "strips", "use 1, or the 'conv' or 'dense' architecture")
        else:
            self._require(8 <= self.image_size <= 128, "image_size", "use 8 to 128 pixels")
            for key in ("linear", "noise", "offsets"):
                self._require(not getattr(self, key), key, "use false, or the 'style' architecture")
            fits = self.strips >= 1 and self.latent_size % self.strips == 0
            side = self.sides[-1] if self.architecture == "conv" else self.image_size
            fits = fits and side % self.strips == 0
            self._require(fits, "strips", "use 1, 2 or 4, or what else divides the code and the picture's side")

    @property
    def levels(self) -> int:
        """Resolution levels that take a style of their own, 4 px first; 0 for a flat decoder."""
        return self.image_size.bit_length() - 2 if self.architecture == "style" else 0

    @property
    def sides(self) -> list[int]:
        """Resolutions of the small model: halved while even and above 4 px (28 -> 28, 14, 7); strips stay 2 px wide."""
        sides = [self.image_size]
        while sides[-1] % 2 == 0 and sides[-1] > max(4, 2 * self.strips * (self.strips > 1)):
            sides.append(sides[-1] // 2)
        return sides

    @property
    def linear_size(self) -> int:
        """Side in pixels of the pictures of the linear path; 0 where there is none."""
        return min(self.image_size, LINEAR_PIXELS) if self.linear else 0

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """Channels and sides of the level that a feature offset stands at, of the style architecture."""
        side = self.image_size // 4
        return self.width_at(side), side, side

    def width_at(self, pixels: int) -> int:
        """Channels of the style architecture at a resolution in pixels."""
        return max(8, round(STYLE_CHANNELS[pixels] * self.width))


RECONSTRUCTIONS = ("mse", "l1", "bernoulli", "multiscale")
KL_SCHEDULES = ("fixed", "warmup", "target")
PRIORS = ("normal", "fitted")
PRECISIONS = ("auto", "float32", "bf16")
PARTS = ("all", "encoder")


@dataclass(frozen=True)
class DataConfig(Config):
    """Where the pictures come from and how they are cut to the model's size.

    sources: names of known sets, or paths of folders, zips, tars (also packed), npy and npz arrays and scans; several
        paths are joined.
    under, validation_under: keep only files below this sub-folder (of each source); with
        validation_under those files are the validation set, else `validation` (a share, at most
        validation_max pictures) is split off, the same ones for the same seed.
    box: (left, top, right, bottom) in source pixels to cut before resizing; () is the largest centred square.
    attributes: a table (csv and the like, CelebA's txt, also gzipped) with a column of file names; columns of 0/1,
        -1/1, true/false or yes/no become labels, other numbers factors (vae.data.tables).
    limit: use at most so many pictures, 0 is all. root: folder of torchvision's downloads.
    memory_mb: sets that fit are decoded once and held in memory, larger ones are read as they are needed.
    accept_skipped: train on what is left where half of the files or more cannot be used.
    """

    sources: tuple[str, ...] = ("digits",)
    under: str = ""
    validation_under: str = ""
    validation: float = 0.1
    validation_max: int = 2048
    box: tuple[int, ...] = ()
    attributes: str = ""
    limit: int = 0
    root: str = ""
    memory_mb: int = 4096
    seed: int = 0
    accept_skipped: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(bool(self.sources) and all(self.sources), "sources", "name at least one set, zip or folder")
        self._require(0 < self.validation < 1, "validation", "use a share between 0 and 1, such as 0.1")
        self._require(self.validation_max >= 1, "validation_max", "use 1 or more")
        self._require(len(self.box) in (0, 4), "box", "give left, top, right and bottom in pixels")
        if self.box:
            left, top, right, bottom = self.box
            self._require(
                0 <= left < right and 0 <= top < bottom, "box", "left < right and top < bottom, none negative"
            )
        self._require(self.limit >= 0, "limit", "use 0 for all pictures, or a count")
        self._require(self.memory_mb >= 0, "memory_mb", "use 0 to read every picture from disk, or a size in MB")
        self._require(self.seed >= 0, "seed", "use 0 or more")


@dataclass(frozen=True)
class ObjectiveConfig(Config):
    """What is minimised: weight * reconstruction + beta * KL, and the terms that sharpen.

    reconstruction, per image in [-1, 1] units: "mse" is half the squared error summed over all
        numbers of an image (nats of a Gaussian decoder of unit variance), "l1" the absolute error
        summed (nats of a Laplace decoder of unit scale), "bernoulli" the cross-entropy of pictures that are black
        or white, summed (nats), "multiscale" the mean absolute error at
        full size plus the mean of those at 1/2, 1/4 and 1/8 size.
    kl: "fixed" uses beta; "warmup" grows from 0 to beta over the share `warmup` of the run; "target"
        starts at beta and steers it until the KL is kl_target nats per image:
        log(beta) += kl_gain * clip((KL - target) / target, -1, 1)
        (after ControlVAE, Shao et al. 2020, arXiv 2004.05988).
    adversarial: weight of the discriminator's term, 0 is none. It joins after the share
        adversarial_start of the run and grows to its weight over the share adversarial_ramp.
    feature: weight of the L1 between the discriminator's features of an image and of its
        reconstruction, ramped likewise (Larsen et al. 2016, arXiv 1512.09300).
    penalty: gamma of R1 + R2, applied every penalty_every steps, and then times penalty_every.
    slerp_share, mix_share: shares of slerps between encoded images and of style mixes of two prior
        draws among the latents that are trained to look real; the rest are prior draws.
    perceptual: weight of the distance between an image and its reconstruction in the features of a network
        that was trained on photos, from the start of the run, 0 is none (vae.networks.perceptual; after LPIPS,
        Zhang et al. 2018, arXiv 1801.03924). perceptual_side: the pixels that both are brought to for it.
    covariance: weight of the penalty that pulls the aggregate posterior to N(0, I), 0 is none: the codes of all
        pictures together then lie as prior draws do (DIP-VAE-II, Kumar et al. 2018, arXiv 1711.00848).
    colour: relative size, 0..1, of random brightness and contrast shifts of what the discriminator sees, with a
        mirror image half of the time (DiffAugment, Zhao et al. 2020, arXiv 2006.10738); 0 is neither.
    judges: weight of further discriminators that look at features of vae.networks.perceptual's network, 0 is none
        (vae.networks.critic.Judges); judge_penalty: of their slopes, squared.
    identity: weight of how different the people in an image of an aligned face and in its reconstruction look
        (vae.networks.identity), 0 is none.
    offsets: weight of the mean square of the encoder's style offsets, which it keeps small.
    prior: where draws that are to look real come from: "normal" is N(0, I), "fitted" a mixture of Gaussians that
        follows the codes (vae.training.fitted), as the app's own draws do.
    """

    reconstruction: str = "mse"
    weight: float = 1.0
    kl: str = "fixed"
    beta: float = 1.0
    warmup: float = 0.2
    kl_target: float = 20.0
    kl_gain: float = 0.01
    adversarial: float = 0.0
    adversarial_start: float = 1 / 3
    adversarial_ramp: float = 1 / 12
    feature: float = 5.0
    penalty: float = 4.0
    penalty_every: int = 8
    slerp_share: float = 0.3
    mix_share: float = 0.3
    perceptual: float = 0.0
    perceptual_side: int = 128
    covariance: float = 0.0
    colour: float = 0.0
    judges: float = 0.0
    judge_penalty: float = 1.0
    identity: float = 0.0
    offsets: float = 0.02
    prior: str = "normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(
            self.reconstruction in RECONSTRUCTIONS, "reconstruction", f"choose one of {', '.join(RECONSTRUCTIONS)}"
        )
        self._require(self.kl in KL_SCHEDULES, "kl", f"choose one of {', '.join(KL_SCHEDULES)}")
        self._require(self.weight > 0, "weight", "use a number above 0")
        self._require(self.beta >= 0, "beta", "use 0 or more")
        self._require(self.beta > 0 or self.kl != "target", "beta", "start above 0 where the KL is held at a target")
        self._require(0 < self.warmup <= 1, "warmup", "use a share of the run between 0 and 1")
        self._require(self.kl_target > 0, "kl_target", "use a number of nats above 0")
        self._require(0 < self.kl_gain <= 1, "kl_gain", "use 0 to 1, such as 0.01")
        self._require(self.adversarial >= 0, "adversarial", "use 0 for none, or a weight such as 0.5")
        self._require(0 <= self.adversarial_start < 1, "adversarial_start", "use a share of the run from 0 to 1")
        self._require(0 <= self.adversarial_ramp <= 1, "adversarial_ramp", "use a share of the run from 0 to 1")
        self._require(self.feature >= 0, "feature", "use 0 or more")
        self._require(self.penalty >= 0, "penalty", "use 0 or more")
        self._require(self.penalty_every >= 1, "penalty_every", "use 1 or more")
        self._require(self.slerp_share >= 0, "slerp_share", "use a share from 0 to 1")
        self._require(
            self.mix_share >= 0 and self.slerp_share + self.mix_share <= 1, "mix_share", "both shares sum to at most 1"
        )
        self._require(self.perceptual >= 0, "perceptual", "use 0 for none, or a weight such as 2")
        self._require(
            self.perceptual_side in range(32, 225, 32), "perceptual_side", "use a multiple of 32 from 32 to 224 pixels"
        )
        self._require(self.covariance >= 0, "covariance", "use 0 for none, or a weight such as 0.1")
        for key in ("judges", "judge_penalty", "identity", "offsets"):
            self._require(getattr(self, key) >= 0, key, "use 0 for none, or a weight above")
        self._require(self.prior in PRIORS, "prior", f"choose one of {', '.join(PRIORS)}")
        self._require(0 <= self.colour <= 1, "colour", "use 0 for none, or a relative size up to 1, such as 0.1")


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How long, how fast and where.

    batch_size: images in a step, over all processes together. The run ends at the first of steps,
        images and minutes that is reached (0: no such limit; one of them must be set).
    learning_rate falls linearly to 0 over the last share `decay` of the run. clip: largest norm of
    the gradient, 0 leaves it alone. ema_images: half-life of the weights' moving average, in images.
    flip: mirror half of the images. augment: shift images by up to 1/16 of the side, scale them by 0.9 to 1.1, and
        frame a tenth of them in one colour, so that such pictures come back as they went in: they are input and target.
    augment_share: of the images that this is done to; the others stay as they are.
    part: "encoder" trains the encoder alone, the decoder is frozen.
    frozen_images: for so many images at first the decoder is frozen, while encoder and discriminators learn: of use
        where trained weights begin beside a discriminator that knows nothing yet.
    compile: fuse the networks' operations by torch.compile, which takes a minute or two at first; for GPUs.
    start_from: run folder or bundle whose weights to begin with. critic_from: safetensors file of the discriminator's
        and the judges' weights to begin with, such as assets/recipes/faces-128-critic.safetensors.
    device: auto, cpu, cuda, cuda:1, mps. precision: bf16 is autocast, on CUDA and CPU; auto uses it where it is fast.
    log_every, validate_every: in steps (0: no such marks). validate_seconds: validate as well when so many
        seconds have passed, and more often at the beginning (0: not by time). checkpoint_seconds: the longest
        work that a crash can cost. threads: CPU threads of torch; 0 follows what the machine has free (vae.hardware.Pace).
    """

    batch_size: int = 128
    learning_rate: float = 1e-3
    adam_beta1: float = 0.9
    adam_beta2: float = 0.99
    decay: float = 0.3
    clip: float = 0.0
    ema_images: int = 10_000
    steps: int = 0
    images: int = 0
    minutes: float = 0.0
    seed: int = 0
    flip: bool = False
    augment: bool = False
    augment_share: float = 1.0
    part: str = "all"
    frozen_images: int = 0
    compile: bool = False
    start_from: str = ""
    critic_from: str = ""
    device: str = "auto"
    precision: str = "auto"
    log_every: int = 50
    validate_every: int = 500
    validate_seconds: float = 0.0
    validation_images: int = 1024
    checkpoint_seconds: float = 60.0
    sheets: bool = True
    threads: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(1 <= self.batch_size <= 65536, "batch_size", "use 1 to 65536")
        self._require(0 < self.learning_rate <= 1, "learning_rate", "use a number above 0 and up to 1, such as 0.001")
        self._require(0 <= self.adam_beta1 < 1, "adam_beta1", "use 0 to below 1")
        self._require(0 < self.adam_beta2 < 1, "adam_beta2", "use between 0 and 1")
        self._require(0 <= self.decay <= 1, "decay", "use a share of the run from 0 to 1")
        self._require(self.clip >= 0, "clip", "use 0 for no clipping, or a norm above 0")
        self._require(self.ema_images >= 0, "ema_images", "use 0 for no averaging, or a half-life in images")
        self._require(0 < self.augment_share <= 1, "augment_share", "use a share above 0 and up to 1")
        for key in ("steps", "images", "minutes"):
            self._require(getattr(self, key) >= 0, key, "use 0 for no limit, or more")
        self._require(
            bool(self.steps or self.images or self.minutes), "steps", "set at least one of steps, images and minutes"
        )
        self._require(self.seed >= 0, "seed", "use 0 or more")
        self._require(self.part in PARTS, "part", f"choose one of {', '.join(PARTS)}")
        self._require(
            re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device) is not None,
            "device",
            "use auto, cpu, cuda, cuda:N or mps",
        )
        self._require(self.precision in PRECISIONS, "precision", f"choose one of {', '.join(PRECISIONS)}")
        self._require(self.log_every >= 1, "log_every", "use 1 or more steps")
        self._require(self.validate_every >= 0, "validate_every", "use 0 for the end only, or a number of steps")
        self._require(self.validate_seconds >= 0, "validate_seconds", "use 0 for no marks by time, or more")
        self._require(self.validation_images >= 1, "validation_images", "use 1 or more")
        self._require(self.checkpoint_seconds >= 0, "checkpoint_seconds", "use 0 for every step, or more")
        self._require(self.frozen_images >= 0, "frozen_images", "use 0 for none, or a count of images")
        self._require(0 <= self.threads <= 1024, "threads", "use 0 for torch's choice, or a count")


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run is made from: its `config.json`."""

    model: ModelConfig
    data: DataConfig
    objective: ObjectiveConfig
    training: TrainingConfig
    title: str = ""
    description: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a nested object for each concern."""
        return {k: v.to_dict() if isinstance(v, Config) else v for k, v in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The inverse of to_dict. Raises ConfigError on a missing or an unknown part."""
        parts = {"model": ModelConfig, "data": DataConfig, "objective": ObjectiveConfig, "training": TrainingConfig}
        allowed = {*parts, "title", "description"}
        if not isinstance(values, Mapping) or set(values) - allowed or set(parts) - set(values):
            found = ", ".join(map(str, values)) if isinstance(values, Mapping) else type(values).__name__
            raise ConfigError(f"a recipe has the parts {', '.join(parts)}, a title and a description, not {found}")
        words = {k: str(v) for k, v in values.items() if k not in parts}
        return cls(**{k: kind.from_dict(values[k]) for k, kind in parts.items()}, **words)

    def replace(self, **parts: Mapping[str, Any]) -> Recipe:
        """A copy with some settings changed: replace(training={"steps": 100}, model={"latent_size": 8})."""
        changed = {k: getattr(self, k).replace(**v) for k, v in parts.items()}
        return dataclasses.replace(self, **changed)
