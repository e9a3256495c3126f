"""The world people: characters of a game, put together from named parts by DiceBear's style Voxel Art (CC0)."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Iterator

import numpy as np
from PIL import Image

from vae.data.worlds.world import Sample, World, folder_of, rng_of

SIZE = 64
BACKGROUND = (235, 240, 245)
# Fewer parts than the style has: each can be told from the others at 64 px.
TOPS = ("short", "bob", "longStraight", "afro", "mohawk", "buns", "cap", "beanie")
OUTFITS = ("plain", "stripes", "overalls", "dress", "suit")
GLASSES, BEARDS = 0.25, 0.2  # how often
MOUTHS = ("bigSmile", "flat", "ooh")
SKIN = ("f5d0b0", "dda878", "b07347", "7d4a26")
HAIR = ("2c222b", "7b4a2d", "d9b380", "b55239", "6d5acf", "3fb27f")
SHIRT = ("e64980", "fab005", "40c057", "228be6", "7950f2", "495057")
HAT, PANTS, SHOES, JACKET = ("8d95d6",), ("2f4160",), ("343a40",), ("3b5b8c",)
FIXED = {"animationVariant": "none", "eyesVariant": "open", "noseVariant": "small", "cheeksProbability": 0}
FIXED |= {"eyebrowsProbability": 0, "topProbability": 100, "backgroundColor": "#00000000"}


def words(name: str) -> str:
    """A part's name as a column's: longStraight -> long_straight."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


@functools.cache
def _style():
    from dicebear import Style

    path = folder_of("dicebear_styles") / "voxel-art.json"
    return Style(json.loads(path.read_text(encoding="utf-8")))


def _lightness(colour: str) -> float:
    """Luma 0..100 of a colour rrggbb (Rec. 601)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (0, 2, 4))
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 2.55


def character(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, float]]:
    """One character, uint8 (SIZE, SIZE, 4) with a transparent background, and its parts."""
    import resvg_py
    from dicebear import Avatar

    pick = lambda names: names[int(rng.integers(len(names)))]  # noqa: E731
    top, outfit, mouth = pick(TOPS), pick(OUTFITS), pick(MOUTHS)
    skin, hair, shirt = pick(SKIN), pick(HAIR), pick(SHIRT)
    glasses, beard = bool(rng.random() < GLASSES), bool(rng.random() < BEARDS)
    options = {
        **FIXED,
        "topVariant": top,
        "outfitVariant": outfit,
        "mouthVariant": mouth,
        "glassesVariant": "square",
        "glassesProbability": 100 * glasses,
        "beardVariant": "full",
        "beardProbability": 100 * beard,
        "skinColor": skin,
        "hairColor": hair,
        "shirtColor": shirt,
        "hatColor": HAT[0],
        "pantsColor": PANTS[0],
        "shoesColor": SHOES[0],
        "jacketColor": JACKET[0],
    }
    drawn = Avatar(_style(), {"seed": "one", "size": SIZE, **options}).to_string()
    picture = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=drawn, width=SIZE, height=SIZE))))
    told = {f"top_{words(name)}": float(name == top) for name in TOPS}
    told |= {f"outfit_{words(name)}": float(name == outfit) for name in OUTFITS}
    told |= {f"mouth_{words(name)}": float(name == mouth) for name in MOUTHS}
    told |= {"glasses": float(glasses), "beard": float(beard)}
    told |= {"skin_lightness": _lightness(skin), "hair_lightness": _lightness(hair)}
    for place, colour in enumerate(("red", "green", "blue")):
        told[f"shirt_{colour}"] = int(shirt[2 * place : 2 * place + 2], 16) / 2.55
        told[f"hair_{colour}"] = int(hair[2 * place : 2 * place + 2], 16) / 2.55
    return np.asarray(picture.convert("RGBA")), told


def on_background(picture: np.ndarray) -> np.ndarray:
    """A picture with transparency (s, s, 4) over the world's one background, uint8 (s, s, 3)."""
    below = Image.new("RGBA", picture.shape[1::-1], (*BACKGROUND, 255))
    below.alpha_composite(Image.fromarray(picture))
    return np.asarray(below.convert("RGB"))


def draw(count: int, seed: int) -> Iterator[Sample]:
    """Random characters."""
    for place in range(count):
        picture, factors = character(rng_of(seed, place))
        yield Sample(f"character-{place:06d}", on_background(picture), factors)


WORLD = World(
    name="people",
    title="Game people",
    draw=draw,
    packages=("dicebear", "dicebear_styles", "resvg_py"),
    count=20_000,
    factors={
        "skin_lightness": "lightness of the skin (of 100)",
        "hair_lightness": "lightness of the hair (of 100)",
        **{f"shirt_{colour}": f"{colour} in the shirt (of 100)" for colour in ("red", "green", "blue")},
        **{f"hair_{colour}": f"{colour} in the hair (of 100)" for colour in ("red", "green", "blue")},
    },
    labels={
        **{f"top_{words(name)}": f"hair or hat: {words(name).replace('_', ' ')}" for name in TOPS},
        **{f"outfit_{words(name)}": f"outfit: {words(name).replace('_', ' ')}" for name in OUTFITS},
        **{f"mouth_{words(name)}": f"mouth: {words(name).replace('_', ' ')}" for name in MOUTHS},
        "glasses": "wears glasses",
        "beard": "has a beard",
    },
    licence="DiceBear's Voxel Art, CC0 1.0",
    player="sprite",
    limits=(
        "Parts are either there or not, but codes are continuous: between two characters some parts are half there.",
    ),
    settle=3,
)
