"""Compression at equal bytes: the model's code, PCA with as many bytes, and the best of WebP, JPEG and AVIF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vae.evaluation import lsz, rivals
from vae.evaluation.entries import Entry, measure
from vae.evaluation.pca import Pca
from vae.space import latent

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

BUDGETS = (50, 100, 200, 400)
LEAST, MOST = 12, 4000


def decoder_bytes(bundle: Bundle) -> int:
    """What a receiver must have beside the file: the decoder and the spread of the codes."""
    return sum((bundle.path / name).stat().st_size for name in ("decoder.onnx", "stats.npz"))


def check_budgets(budgets: Sequence[int]) -> None:
    """Refuse budgets out of range. Raises ValueError."""
    wrong = next((budget for budget in budgets if not LEAST <= budget <= MOST), None)
    if wrong is not None:
        raise ValueError(f"the budget is {wrong} bytes; use {LEAST} to {MOST:,}")


def at_equal_bytes(
    bundle: Bundle, pca: Pca | None, picture: Array, budgets: Sequence[int], perceived: bool = True
) -> dict[int, list[Entry]]:
    """One picture uint8 (s, s, c) by every method in at most so many bytes, measured; by budget.

    Raises ValueError for budgets out of range.
    """
    check_budgets(budgets)
    mu, _ = bundle.encode(picture[None])
    codecs = {codec: rivals.attempts(picture, codec, max(budgets)) for codec in rivals.available()}
    found: dict[int, list[Entry]] = {}
    drawn: dict[tuple[str, int], Array] = {}  # by step: budgets beyond the finest step share its picture
    for budget in budgets:
        entries = [_model(bundle, mu, budget, drawn)]
        if pca is not None:
            entries.append(_linear(pca, picture, budget, drawn))
        found[budget] = entries + [_codec(codec, tried, budget) for codec, tried in codecs.items()]
    measure(picture, [entry for entries in found.values() for entry in entries], perceived)
    return found


def _model(bundle: Bundle, mu: Array, budget: int, drawn: dict[tuple[str, int], Array]) -> Entry:
    packed = lsz.encode_within(bundle, mu, budget)
    if packed is None:
        return Entry("vae", "VAE", None, note=f"its smallest file has more than {budget} bytes")
    key = ("vae", packed.step)
    if key not in drawn:
        drawn[key] = bundle.decode(lsz.codes_of(bundle, packed))[0]
    return Entry("vae", "VAE", drawn[key], len(packed.data), f"step {lsz.factor(packed.step):.2g} sigma")


def _linear(pca: Pca, picture: Array, budget: int, drawn: dict[tuple[str, int], Array]) -> Entry:
    title, made = f"PCA-{len(pca.values)}", pca.compress(picture, budget)
    if made is None:
        return Entry("pca", title, None, note="does not fit")
    picture = drawn.setdefault(("pca", made[2]), made[0])
    return Entry("pca", title, picture, made[1], f"fitted to {pca.source}")


def _codec(codec: str, tried: Sequence[rivals.Attempt], budget: int) -> Entry:
    title, one = rivals.TITLES[codec], rivals.best(tried, budget)
    if one is None:
        return Entry(codec, title, None, note="no file is that small")
    return Entry(codec, title, one.picture, one.size, f"{one.side} px, quality {one.quality}")


def file_figures(bundle: Bundle, picture: Array) -> dict[str, Any]:
    """What an .lsz file of one picture at the natural step holds: bytes, the bound of the prior, KL in bits."""
    mu, logvar = bundle.encode(picture[None])
    packed = lsz.encode(bundle, mu)
    return {
        "bytes": len(packed.data),
        "head": lsz.overhead(1),
        "bound_bytes": packed.bound / 8,
        "kl_bytes": float(latent.kl(mu, logvar)[0] / np.log(2) / 8),
        "decoder_bytes": decoder_bytes(bundle),
    }


def round_trip(bundle: Bundle, mu: Array) -> dict[str, Any]:
    """Codes mu (N, d) in one file, there and back: whether each symbol came back, real bytes and the entropy bound."""
    packed = lsz.encode(bundle, mu)
    again = lsz.decode(bundle, packed.data)
    bound = max(packed.bound / 8, 1.0)  # a model whose codes say nothing asks for none
    single = [lsz.encode(bundle, one[None]) for one in mu[:200]]
    return {
        "codes": len(mu),
        "exact": bool(np.array_equal(packed.symbols, again.symbols)),
        "bytes": len(packed.data),
        "bound_bytes": packed.bound / 8,
        "over_bound": len(packed.data) / bound - 1,
        "single_bytes": float(np.mean([len(one.data) for one in single])),
    }
