"""Vectors of numbers as few bytes: rounded to a step, and range-coded against a Gaussian for each number.

Used for the codes of a model (vae.evaluation.lsz) and for the coefficients of PCA (vae.evaluation.pca), so that both are
written by the same coder. The range coder is the package constriction (Bamler 2022, arXiv 2201.01741); encoder and
decoder must agree on every probability, so what goes into the Gaussians is rounded to binary fractions first.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

Array = np.ndarray

REACH = 16383  # largest symbol
STEPS = 128  # widths of a step: 2^-4 to 2^12 units, eight to a doubling
FRACTION = 65536
LONG = 4096  # bytes; of more than so many a few at the end are nothing


class CodingError(ValueError):
    """Bytes that cannot be read as numbers; a part of a sentence."""


def factor(step: int) -> float:
    """Width of step 0..127 in units; a binary fraction, the same on every machine."""
    return round(2.0 ** ((step - 32) / 8) * FRACTION) / FRACTION


@dataclass(frozen=True, eq=False)
class Spread:
    """What is known of vectors before one is seen: centre, std and the unit of precision of each number, (d,)."""

    centre: Array
    std: Array
    unit: Array

    @classmethod
    def of(cls, centre: Array, std: Array, unit: Array) -> Spread:
        """Rounded to binary fractions; a spread or a unit of zero becomes the smallest one."""

        def fraction(values: Array, least: int) -> Array:
            return np.maximum(np.round(np.asarray(values, np.float64) * FRACTION), least) / FRACTION

        return cls(fraction(centre, -(2**40)), fraction(std, 1), fraction(unit, 1))

    def widths(self, step: int) -> Array:
        """Width of a step of each number (d,)."""
        return self.unit * factor(step)

    def quantise(self, values: Array, step: int) -> Array:
        """Numbers (..., d) -> symbols int32 of the same shape."""
        symbols = np.rint((np.asarray(values, np.float64) - self.centre) / self.widths(step))
        return np.clip(symbols, -REACH, REACH).astype(np.int32)

    def restore(self, symbols: Array, step: int) -> Array:
        """Symbols (..., d) -> the number expected within each step, float64: the mean of the Gaussian between its ends."""
        from scipy.special import ndtr

        width = self.widths(step) / self.std  # in standard deviations
        low, high = (symbols - 0.5) * width, (symbols + 0.5) * width
        # Far out the mass underflows; the middle of the step is right there.
        mass = ndtr(-np.abs(low)) - ndtr(-np.abs(high))
        mass = np.where(low * high < 0, ndtr(high) - ndtr(low), np.abs(mass))
        density = (np.exp(-0.5 * low**2) - np.exp(-0.5 * high**2)) / np.sqrt(2 * np.pi)
        mean = np.where(mass > 1e-9, density / np.maximum(mass, 1e-300), symbols * width)
        return self.centre + self.std * np.clip(mean, low, high)

    def bits(self, symbols: Array, step: int) -> Array:
        """Bits that the Gaussian asks for symbols (..., d) -> (...): the entropy bound of any coder with this prior."""
        from scipy.special import log_ndtr

        width = self.widths(step) / self.std
        # by symmetry in the lower tail, where logarithms of the distribution are exact
        high, low = (-np.abs(symbols) + 0.5) * width, (-np.abs(symbols) - 0.5) * width
        above, below = log_ndtr(high), log_ndtr(low)
        return -(above + np.log1p(-np.exp(np.minimum(below - above, -1e-16)))).sum(-1) / np.log(2)

    def pack(self, symbols: Array, step: int) -> bytes:
        """Symbols (N, d) -> bytes, as few as decode to them."""
        flat = symbols.reshape(-1)
        coder = _library().queue.RangeEncoder()
        coder.encode(flat, _gaussian(), *self._parameters(len(symbols), step))
        words = coder.get_compressed()
        data = words.astype(">u4").tobytes()  # the coder's first digit comes first
        return data if len(data) > LONG else self._shortened(data, symbols, step)

    def _shortened(self, data: bytes, symbols: Array, step: int) -> bytes:
        """The shortest prefix, or the number after it, that still lies in the coder's last interval."""
        for length in range(max(0, len(data) - 8), len(data)):
            prefix = data[:length]
            following = (int.from_bytes(prefix, "big") + 1) % 256**length if length else 0
            for candidate in (prefix, following.to_bytes(length, "big")):
                with contextlib.suppress(CodingError):
                    if np.array_equal(self.unpack(candidate, len(symbols), step), symbols):
                        return candidate
        return data

    def unpack(self, data: bytes, count: int, step: int) -> Array:
        """Bytes of `pack` -> symbols (count, d) int32. Raises CodingError for what no coder of ours has written."""
        padded = data + bytes(-len(data) % 4) + bytes(8)  # digits that were left out are zeros
        words = np.frombuffer(padded, ">u4").astype(np.uint32)
        try:
            symbols = _library().queue.RangeDecoder(words).decode(_gaussian(), *self._parameters(count, step))
        except Exception as error:  # the library raises errors of several kinds
            raise CodingError(f"its numbers do not decode ({type(error).__name__})") from None
        return symbols.reshape(count, -1).astype(np.int32)

    def _parameters(self, count: int, step: int) -> tuple[Array, Array]:
        std = np.tile(self.std / self.widths(step), count)
        return np.zeros(len(std)), std


def _library() -> Any:
    import constriction

    return constriction.stream


@lru_cache(maxsize=1)
def _gaussian() -> Any:
    return _library().model.QuantizedGaussian(-REACH, REACH)


def finest(spread: Spread, values: Array, most: int) -> tuple[int, Array, bytes] | None:
    """The finest step at which numbers (N, d) take at most so many bytes -> step, symbols, bytes; None where none does."""
    low, high, found = 0, STEPS - 1, None
    while low <= high:
        step = (low + high) // 2
        symbols = spread.quantise(values, step)
        # the bound is within a byte of the truth and much quicker than the coder
        data = spread.pack(symbols, step) if spread.bits(symbols, step).sum() <= 8 * most + 16 else None
        if data is not None and len(data) <= most:
            found, high = (step, symbols, data), step - 1
        else:
            low = step + 1
    return found
