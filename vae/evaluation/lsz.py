"""The .lsz file: pictures as the code that a model gives them, rounded to the posterior's own precision.

A file is the letters LS, a version, the first 4 bytes of the model's digest, a byte of the step (its top bit says that
a count follows as uint32), a check sum of 2 bytes over all else, and the symbols of mu, range-coded against the spread
of the model's codes (vae.evaluation.coding). The step is a multiple of sigma, the posterior's usual width, for each
number of the code: what the model itself holds for noise is not written. At sigma * sqrt(12) rounding adds noise of
just the posterior's variance. 10 bytes beside the code itself.
"""

from __future__ import annotations

import binascii
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vae.evaluation.coding import STEPS, CodingError, Spread, factor, finest

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

MAGIC = b"LS\x01"
HEAD = struct.Struct(">3s4sBH")
MANY = 0x80
MAX_COUNT = 100_000
FINEST = 128  # sigma is taken for at least so small a part of a number's spread: a plain autoencoder has none
NATURAL = min(range(STEPS), key=lambda step: abs(math.log(factor(step) / math.sqrt(12))))


class LszError(ValueError):
    """A file that is not what it should be; the message is a sentence."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A file, and what it stands for. symbols: int32 (N, d); bound: bits that the prior asks for them."""

    data: bytes
    step: int
    symbols: Array
    bound: float


@lru_cache(maxsize=8)
def spread_of(bundle: Bundle) -> Spread:
    """The prior and the precision of a model's codes.

    unit: exp of half the median of logvar over the data. The median is a number of the file itself, so that every
    machine finds the same. Raises LszError for a bundle without codes.
    """
    codes = bundle.codes
    if not len(codes):
        raise LszError(f"{bundle.title} holds no codes, which say how precise a code is; export it with codes.")
    logvar = np.partition(codes.logvar, len(codes) // 2, axis=0)[len(codes) // 2]
    sigma = np.exp(0.5 * logvar.astype(np.float64))
    return Spread.of(bundle.stats.centre, bundle.stats.std, np.maximum(sigma, bundle.stats.std / FINEST))


def _head(bundle: Bundle, step: int, count: int) -> tuple[bytes, bytes, bytes]:
    many = count != 1
    return MAGIC, bytes.fromhex(bundle.digest[:8]), struct.pack(">B", step | MANY * many) + (
        struct.pack(">I", count) if many else b"")  # fmt: skip


def _assemble(bundle: Bundle, step: int, symbols: Array, body: bytes, digest: bytes = b"") -> bytes:
    """digest: of the state of the model that wrote it, where that is not its present one."""
    magic, present, rest = _head(bundle, step, len(symbols))
    digest = digest or present
    # The sum is over the symbols, too: a body that decodes to other ones is found out.
    check = binascii.crc_hqx(digest + rest + body + symbols.astype("<i4").tobytes(), 0xFFFF)
    return magic + digest + rest[:1] + struct.pack(">H", check) + rest[1:] + body


def overhead(count: int) -> int:
    """Bytes of a file of so many pictures beside their numbers."""
    return HEAD.size + 4 * (count != 1)


def encode(bundle: Bundle, mu: Array, step: int = NATURAL) -> Packed:
    """Codes mu (N, d) -> a file. step: 0 (1/16 sigma) to 127, eight to a doubling; NATURAL is sigma * sqrt(12)."""
    mu = np.asarray(mu, np.float64)
    if not 0 <= step < STEPS:
        raise LszError(f"The step is {step}; use 0 to {STEPS - 1}.")
    if mu.ndim != 2 or mu.shape[1] != bundle.latent_size or not 1 <= len(mu) <= MAX_COUNT or not np.isfinite(mu).all():
        raise LszError(f"These are not codes of {bundle.latent_size} finite numbers; encode pictures with this model.")
    spread = spread_of(bundle)
    symbols = spread.quantise(mu, step)
    body = spread.pack(symbols, step)
    return Packed(_assemble(bundle, step, symbols, body), step, symbols, float(spread.bits(symbols, step).sum()))


def encode_within(bundle: Bundle, mu: Array, most: int) -> Packed | None:
    """The finest file of at most so many bytes, None where even the coarsest is longer."""
    spread = spread_of(bundle)
    found = finest(spread, mu, most - overhead(len(mu)))
    if found is None:
        return None
    step, symbols, body = found
    return Packed(_assemble(bundle, step, symbols, body), step, symbols, float(spread.bits(symbols, step).sum()))


def codes_of(bundle: Bundle, packed: Packed) -> Array:
    """The codes that a file stands for, float32 (N, d)."""
    return spread_of(bundle).restore(packed.symbols, packed.step).astype(np.float32)


def decode(bundle: Bundle, data: bytes) -> Packed:
    """A file -> its symbols, exactly those that were written. Raises LszError.

    Files of an earlier state of the model with the same decoder and statistics go on being read, as its links are.
    """
    if len(data) < HEAD.size or data[:2] != MAGIC[:2]:
        raise LszError("This is no .lsz file; choose one that the Lab or `python -m vae compress` has written.")
    magic, digest, first, _check = HEAD.unpack(data[: HEAD.size])
    if magic != MAGIC:
        raise LszError(f"This .lsz file is of version {magic[2]}, and version 1 is known here; update the program.")
    if digest.hex() not in [known[:8] for known in (bundle.digest, *bundle.formerly)]:
        raise LszError(
            f"This .lsz file was written with another model ({digest.hex()}), not {bundle.name} ({bundle.digest[:8]}); "
            "choose the model that wrote it."
        )
    step, count, at = first & ~MANY, 1, HEAD.size
    broken = "This .lsz file is damaged"
    if first & MANY:
        if len(data) < at + 4:
            raise LszError(f"{broken}: it ends too early; copy it again.")
        (count,) = struct.unpack(">I", data[at : at + 4])
        at += 4
    body, spread = data[at:], spread_of(bundle)
    if not 1 <= count <= MAX_COUNT:
        raise LszError(f"{broken}: it names {count:,} pictures; copy it again.")
    try:
        symbols = spread.unpack(body, count, step)
    except CodingError as error:
        raise LszError(f"{broken}: {error}; copy it again.") from None
    again = _assemble(bundle, step, symbols, body, digest)
    packed = Packed(again, step, symbols, float(spread.bits(symbols, step).sum()))
    if packed.data != data:
        raise LszError(f"{broken}: its check sum is wrong; copy it again.")
    return packed


def digest_of(data: bytes) -> str:
    """First 8 hexadecimal digits of the digest of the model that wrote a file; "" for what is no .lsz file."""
    return data[3:7].hex() if len(data) >= HEAD.size and data[:3] == MAGIC else ""
