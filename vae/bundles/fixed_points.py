"""How many pictures of a model still change when they are encoded and decoded again, for the card of one that settles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vae.bundles.bundle import Bundle

Array = np.ndarray

LEVELS, SHARE = 24, 0.01  # of 255 levels, that more than this share of a picture's values must move by to be seen
PAIRS = 64


def times(passes: int) -> str:
    """How often, in words, for cards."""
    return "once" if passes == 1 else f"{passes} times"


def changing(bundle: Bundle, pictures: Array) -> tuple[Array, Array]:
    """Pictures uint8 (N, s, s, c) -> which change visibly (N,) by being encoded and decoded, and what they become."""
    again = bundle.decode(bundle.check_z(bundle.encode(pictures)[0]))
    far = np.abs(again.astype(np.int16) - pictures) > LEVELS
    return far.reshape(len(far), -1).mean(1) > SHARE, again


def half_way(bundle: Bundle) -> Array:
    """Pictures (N, s, s, c) of codes half-way between two of the data, up to PAIRS, drawn at random but always the same."""
    mu = bundle.codes.mu.astype(np.float32)
    count = min(PAIRS, len(mu) // 2)
    a, b = mu[np.random.default_rng(0).permutation(len(mu))[: 2 * count]].reshape(2, count, -1)
    return bundle.decode(bundle.check_z((a + b) / 2))


def whole_parts(bundle: Bundle) -> list[str]:
    """The card's section on a model that settles, lines of Markdown."""
    pictures, counts = half_way(bundle), []
    for _ in range(bundle.settle + 1):
        changed, pictures = changing(bundle, pictures)
        counts.append(int(changed.sum()))
    return [
        "## Whole parts", "",
        "A part is there or not, but codes are continuous, so a draw or a blend may have one half there. Draws are "
        f"therefore decoded and encoded again {times(bundle.settle)} before they are shown, which leads towards a code near by that the "
        "autoencoder leaves where it is (Radhakrishnan, Belkin and Uhler 2020, doi 10.1073/pnas.2005013117). Of "
        f"{len(pictures)} codes half-way between two of the data {counts[0]} change visibly in the first pass (by more "
        f"than {LEVELS} of 255 levels in more than {100 * SHARE:.0f} % of their values), and {counts[-1]} would in one "
        "more after the last.", "",
    ]  # fmt: skip
