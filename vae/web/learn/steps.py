"""The steps of the lesson, as data: what each says, shows, states and counts as done.

In texts [word] is a word of the glossary, and [word|as written] one in another form. A text has at most three sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vae.web.learn import formulas as f
from vae.web.learn.formulas import SYMBOLS, Formula
from vae.web.learn.source import snippet
from vae.web.learn.words import WORDS


@dataclass(frozen=True)
class Step:
    """One step. task: what the reader does; it is done when the page has seen it done.

    formulas, code: what is stated and shown; symbols: those that are named beside the formulas.
    """

    id: str
    title: str
    text: str
    task: str
    formulas: tuple[Formula, ...] = ()
    code: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


STEPS = (
    Step(
        "squeeze",
        "Squeeze",
        "An [autoencoder] squeezes a picture through a [bottleneck] of a few numbers and draws it again. "
        "Fewer numbers keep what digits share and lose what is only yours. "
        "The [loss] adds up what is lost, pixel by pixel.",
        "Draw a digit of your own and change how many numbers it must fit through.",
        (f.PLAIN_CODE, f.DECODE, f.LOSS_OF_PIXELS),
        ("reconstruction",),
        ("x", "z", "y", "loss"),
    ),
    Step(
        "holes",
        "Holes",
        "With two numbers, every [code] is a place on a plane, and the [decoder] draws any place you point at. "
        "A plain autoencoder never practised the places between, so there are holes. "
        "A [variational autoencoder] has filled them.",
        "Guess first; then walk from a 3 to an 8 in both planes at once.",
        (f.DECODE,),
        ("forward",),
        ("z", "y"),
    ),
    Step(
        "cloud",
        "A cloud, not a point",
        "A variational [encoder] does not answer with a point but with a cloud: a middle \u03bc and a width \u03c3 for each number. "
        "All codes of the cloud have to draw about the same picture, and that is what fills the plane. "
        "A number that hardly matters may have a wide cloud.",
        "Draw from the cloud of one picture, then look at another picture, and at one that is no digit.",
        (f.ENCODE, f.DRAW),
        ("encode", "sample"),
        ("x", "mu", "sigma", "eps", "z"),
    ),
    Step(
        "trick",
        "The trick",
        "A die has no slope: nothing tells training how to turn \u03bc and \u03c3 if the throw stands in the way. "
        "The [reparameterisation trick] takes the die out: throw \u03b5 first, then z is plain arithmetic. "
        "Now the [gradient] passes by the die, back to \u03bc and \u03c3.",
        "Move \u03b5, press Backward, and then put the die in the way and press it again.",
        (f.DRAW, f.SLOPE_MU, f.SLOPE_SIGMA),
        ("sample",),
        ("mu", "sigma", "eps", "z", "loss"),
    ),
    Step(
        "wishes",
        "Two wishes",
        "Training wants two things: pictures drawn well, and clouds that lie like the [prior]. "
        "[beta|\u03b2] says how much the second wish weighs. "
        "With too little of it draws fail; with too much the numbers [collapsed|collapse], and all pictures look alike.",
        "Move \u03b2 from one end to the other: each stop is a model that was really trained.",
        (f.TWO_WISHES, f.LOSS_OF_PIXELS, f.KL),
        ("lesson", "kl"),
        ("x", "y", "mu", "sigma", "loss", "beta"),
    ),
    Step(
        "train",
        "Train one",
        "Here a variational autoencoder learns from 1,797 small digits, in your browser, from nothing. "
        "Each dot is the \u03bc of one digit, and the plane behind shows what the decoder draws there. "
        "Take one of the two wishes away and see what the other does alone.",
        "Train for 300 steps, then train with one of the two wishes alone.",
        (f.TWO_WISHES,),
        ("train",),
        ("mu", "z", "loss", "beta"),
    ),
    Step(
        "new",
        "New ones",
        "Because the codes fill the [prior], a draw from it is a place where a picture is. "
        "A smaller [temperature] stays near the average, a larger one dares more. "
        "The nearest picture of the training data tells whether a draw is new or a copy.",
        "Draw new ones at two temperatures, and walk between two of them.",
        (f.PRIOR, f.DECODE),
        ("draw", "lerp"),
        ("eps", "z", "y", "t"),
    ),
    Step(
        "directions",
        "Directions",
        "A feature is a [direction]: take some faces that have it and some that do not, and the arrow points from one middle to the other. "
        "Move along it, and see what else it drags. "
        "Two faces can also be joined [level] by level: shape of one, colours of the other.",
        "Pick faces with and without something, and move along your arrow.",
        (f.ALONG,),
        ("groups",),
        ("z", "w", "a"),
    ),
    Step(
        "uses",
        "Where it is used",
        "The same few numbers serve scans, driving, music, games and pictures without actors. "
        "Each world here has its slider: the strongest direction of its [latent space]. "
        "Read what each cannot do before you trust it.",
        "Move the slider of one world.",
    ),
)


def lesson() -> dict[str, Any]:
    """All that the page's script is told, as JSON."""
    steps = [
        {
            "id": step.id,
            "title": step.title,
            "text": step.text,
            "task": step.task,
            "formulas": [{"tex": formula.tex, "plain": formula.plain} for formula in step.formulas],
            "code": [snippet(name) for name in step.code],
            "symbols": list(step.symbols),
        }
        for step in STEPS
    ]
    return {"steps": steps, "words": WORDS, "symbols": SYMBOLS}
