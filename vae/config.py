"""Settings, one frozen dataclass per concern, to and from JSON. Unknown keys are refused by name."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Mapping, TypeVar

C = TypeVar("C", bound="Config")


class ConfigError(ValueError):
    """A setting that cannot be used; the message names the key, the value and the remedy."""


@dataclass(frozen=True)
class Config:
    """Base of every settings class: equality, JSON both ways, and checks on construction."""

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


ARCHITECTURES = ("style", "conv")
STYLE_SIZES = (32, 64, 128, 256)
# Channels by resolution in pixels: the same ladder in encoder and decoder.
STYLE_CHANNELS = {4: 384, 8: 384, 16: 256, 32: 128, 64: 64, 128: 32, 256: 16}


@dataclass(frozen=True)
class ModelConfig(Config):
    """Shape of an autoencoder.

    architecture: "style" (styled decoder, one style per resolution level, for photos of a
        power-of-two size) or "conv" (small convolutional model, for any size from 8 to 64 px).
    latent_size: numbers in a code. variational: False gives a plain autoencoder.
    width: factor on all channel counts. style_size: numbers in a style vector ("style" only).
    """

    architecture: str = "conv"
    image_size: int = 28
    channels: int = 1
    latent_size: int = 2
    variational: bool = True
    width: float = 1.0
    style_size: int = 384

    def __post_init__(self) -> None:
        self._require(self.architecture in ARCHITECTURES, "architecture", f"choose one of {', '.join(ARCHITECTURES)}")
        self._require(self.channels in (1, 3), "channels", "use 1 for grey or 3 for colour")
        self._require(1 <= self.latent_size <= 1024, "latent_size", "use 1 to 1024")
        self._require(0.0625 <= self.width <= 4, "width", "use 0.0625 to 4")
        self._require(8 <= self.style_size <= 1024, "style_size", "use 8 to 1024")
        if self.architecture == "style":
            self._require(self.image_size in STYLE_SIZES, "image_size", f"use one of {STYLE_SIZES}")
        else:
            self._require(8 <= self.image_size <= 64, "image_size", "use 8 to 64 pixels")

    @property
    def levels(self) -> int:
        """Resolution levels that take a style of their own, 4 px first; 0 for a flat decoder."""
        return self.image_size.bit_length() - 2 if self.architecture == "style" else 0

    def width_at(self, pixels: int) -> int:
        """Channels of the style architecture at a resolution in pixels."""
        return max(8, round(STYLE_CHANNELS[pixels] * self.width))
