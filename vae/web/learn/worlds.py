"""What variational autoencoders are used for, and which model here shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vae.bundles.bundle import Bundle
from vae.bundles.contract import BundleError
from vae.bundles.registry import Registry
from vae.web.core.mount import describe


@dataclass(frozen=True)
class Use:
    """One use. prefix: how the names of its models begin; limit: what it cannot do; page: where it goes on."""

    id: str
    title: str
    prefix: str
    text: str
    limit: str
    page: str = "explore"


USES = (
    Use(
        "scans",
        "Scans",
        "brain",
        "Compare a scan with what is usual, or fill in what was not recorded.",
        "It draws what is usual: something rare, such as a lesion, may vanish, so it must not diagnose.",
    ),
    Use(
        "views",
        "X-rays",
        "chest",
        "Turn a patient without another exposure.",
        "It has seen one body; of another it knows nothing.",
    ),
    Use(
        "driving",
        "Driving",
        "roads",
        "Imagine the next seconds of a road, and practise in the dream.",
        "The dream drifts away from the real road within a second or two.",
    ),
    Use(
        "music",
        "Music",
        "chorales",
        "Change a tune, or find the one between two.",
        "It knows four bars at a time and no plan for a piece.",
    ),
    Use(
        "games",
        "Games",
        "people",
        "Make new characters by a few sliders.",
        "Hats and beards are yes or no; between them it draws ghosts.",
    ),
    Use(
        "actors",
        "Pictures without actors",
        "faces",
        "Draw people who do not exist, and change one trait at a time.",
        "It repeats the habits of its data, and a face may still look like someone.",
    ),
    Use(
        "digits",
        "Handwriting",
        "digits",
        "Two numbers are enough for a map of all digits.",
        "Two numbers are few: 4 and 9 share a place.",
        "atlas",
    ),
)


def start(bundle: Bundle) -> list[float] | None:
    """The code that a miniature begins with: one of the data, where the mean of all roads or pieces is neither."""
    if bundle.player not in ("road", "roll") or not len(bundle.codes):
        return None
    return [float(value) for value in bundle.check_z(bundle.codes.mu[0])]


def uses(registry: Registry) -> list[dict[str, Any]]:
    """Every use, with the model that shows it here, if one is installed and opens, and the code that it begins with."""
    found = []
    for use in USES:
        names = sorted(name for name in registry.names() if name.startswith(use.prefix))
        model = begin = None
        for name in names:
            try:
                bundle = registry.get(name)
                model, begin = describe(bundle), start(bundle)
                break
            except BundleError:
                continue
        words = {"id": use.id, "title": use.title, "text": use.text, "limit": use.limit, "page": use.page}
        found.append({**words, "model": model, "start": begin})
    return found
