"""The models that ship: golden pictures, labels, size and terms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vae.bundles.bundle import open_bundle
from vae.data.worlds.rolls import to_notes
from vae.space import latent, settling

ROOT = Path(__file__).resolve().parents[2]
FACES = ROOT / "assets" / "models" / "faces-128"


@pytest.fixture(scope="module", params=["faces-128"])
def golden(request):
    """A bundle with codes and pictures as torch computes them from its weights, all generated."""
    with np.load(ROOT / "tests" / "golden" / f"{request.param}.npz") as data:
        return open_bundle(FACES.with_name(request.param)), {key: data[key] for key in data.files}


def test_faces_decodes_the_golden_pictures(golden):
    bundle, values = golden
    assert np.abs(bundle.decode_float(values["z"]) - values["decoded"]).max() < 1.5e-3  # kept in half precision
    cut = values["mix_cut"][:, None, None]
    z = np.where(np.arange(6)[None, :, None] < cut, values["mix_coarse_z"][:, None], values["mix_fine_z"][:, None])
    assert np.abs(bundle.decode_float(z) - values["mixed"]).max() < 1.5e-3


def test_faces_encodes_the_golden_pictures(golden):
    bundle, values = golden
    mu, logvar, delta = bundle.encode_with_offsets(np.clip(bundle.decode_float(values["z"]), -1, 1))
    assert np.abs(mu - values["mu"]).max() < 1e-3 and np.abs(logvar - values["logvar"]).max() < 1e-3
    assert np.abs(delta - values["delta"]).max() < 1e-3
    assert np.abs(bundle.decode_float(mu, delta) - values["again"]).max() < 2e-3


def test_faces_guesses_what_the_golden_pictures_have_beyond_a_code(golden):
    bundle, values = golden
    pictures, z = np.clip(values["mixed"].astype(np.float32), -1, 1), values["z"][:2]
    feature, anchor = bundle.guess(pictures, z)
    guessed = bundle.decode_float(z, feature=feature, anchor=anchor)
    assert np.abs(guessed - values["guessed"]).max() < 5e-3
    assert np.abs(guessed - pictures).mean() < 0.5 * np.abs(values["decoded"][:2] - pictures).mean()


def test_faces_reads_its_labels_as_well_as_promised():
    directions = open_bundle(FACES).directions
    score = dict(zip(directions.names, directions.score))
    promised = {"Smiling": 0.96, "Male": 0.98, "Eyeglasses": 0.94, "Blond_Hair": 0.96, "Bangs": 0.96,
                "Wearing_Hat": 0.98, "Pale_Skin": 0.95, "Young": 0.85}  # fmt: skip
    for name, auc in promised.items():
        assert score[name] > auc, name
    assert not {"Attractive", "Big_Nose", "Big_Lips", "Chubby", "Double_Chin"} & set(directions.names)
    assert {"Skin_tone", "Hair_lightness", "Head_turn"} <= set(directions.names)


def test_what_ships_is_small_and_says_its_terms():
    folders = [path for path in FACES.parent.iterdir() if path.is_dir()]
    sizes = [sum(file.stat().st_size for file in folder.iterdir()) for folder in folders]
    assert max(sizes) <= 62e6 and sum(sizes) <= 80 * 2**20
    faces = open_bundle(FACES)
    assert "non-commercial" in faces.licence.lower() and "non-commercial" in faces.card.lower()
    assert " /" not in faces.card  # no path of the machine that made it
    digits = open_bundle(FACES.parent / "digits-2d")
    assert digits.latent_size == 2 and digits.codes.labels.shape[1] == 10 and len(digits.codes) >= 1000


@pytest.mark.parametrize(
    "name, player, factor",
    [
        ("brain-96", "scan", "Height of the slice"),
        ("chest-128", "scan", "Turn of the patient"),
        ("roads-64", "road", "Place on the road, right is +"),
        ("chorales-64", "roll", "Mean pitch"),
        ("people-64", "sprite", "Lightness of the hair"),
    ],
)
def test_worlds_are_small_and_carry_their_factors(name, player, factor):
    folder = ROOT / "assets" / "models" / name
    bundle = open_bundle(folder)
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 6e6
    assert bundle.player == player and factor in bundle.codes.factor_names
    assert bundle.dynamics == (player == "road") == (bundle.drive is not None)
    for words in ("principal components", "Exact factors", "Known weaknesses", "python -m vae world"):
        assert words in bundle.card


def test_draws_of_people_stand_still():
    people = open_bundle(FACES.with_name("people-64"))

    def moved(z: np.ndarray) -> int:
        pictures = people.decode(z)
        return int(np.abs(people.decode(people.encode(pictures)[0]).astype(int) - pictures).max())

    assert moved(latent.sample(people, 1, 1.0, 32)) > 100  # a hat that is half there
    assert moved(settling.draw(people, 1, 1.0, 32)) < 12


def test_draws_of_faces_lie_where_faces_lie():
    faces = open_bundle(FACES)

    def moved(z: np.ndarray) -> np.ndarray:  # by one more pass, in levels: what is no face becomes another picture
        pictures = faces.decode(z)
        return np.abs(faces.decode(faces.encode(pictures)[0]).astype(int) - pictures).mean((1, 2, 3))

    raw = latent.sample(faces, 1, 1.0, 16)
    before, after = moved(raw), moved(settling.settled(faces, raw))
    assert before.max() > 20 and after.max() < 13 and after.mean() < 0.75 * before.mean()
    assert np.array_equal(settling.draw(faces, 1, 1.0, 1), settling.settled(faces, raw[:1]))


def test_draws_of_chorales_have_as_many_notes_as_bach_and_few_short_ones():
    chorales = open_bundle(FACES.with_name("chorales-64"))

    def short(z: np.ndarray) -> float:
        return float(np.mean([note.end - note.start == 1 for roll in chorales.decode(z) for note in to_notes(roll)]))

    drawn = settling.draw(chorales, 1, 1.0, 32)
    assert short(drawn) < 0.5 * short(latent.sample(chorales, 1, 1.0, 32))
    of_bach, of_draws = (
        np.mean([len(to_notes(roll)) for roll in chorales.decode(z)]) for z in (chorales.codes.mu[:200], drawn)
    )
    assert abs(of_draws - of_bach) < 0.1 * of_bach


@pytest.mark.parametrize(("name", "digest"), [("people-64", "a70d75630e15"), ("chorales-64", "8a16a2d1ca39")])
def test_links_to_worlds_made_before_they_settled_still_hold(name, digest):
    assert digest in open_bundle(FACES.with_name(name)).formerly
