"""The Blend page and its component's events."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import data as pictures

from tests.pictures import photo_file
from vae.photos.sources import reconstruct
from vae.space.mixing import BlendError


@pytest.fixture()
def page(tmp_path: Path, monkeypatch):
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv("VAE_HOME", str(tmp_path))
    return AppTest.from_file(str(Path(__file__).resolve().parents[2] / "pages" / "blend.py"), default_timeout=300)


def test_page_opens_with_two_people_mixed(page) -> None:
    page.run()
    desk = page.session_state["blend-desk"]["faces-128"]
    assert not page.exception and "Into the photo" in [tab.label for tab in page.tabs]
    assert len(desk.people) == 2 and desk.weights.tolist() == [[0.5, 0.5]] * 6
    desk.people.clear()  # taken away, they do not come back
    page.run()
    assert not page.exception and not desk.people and not page.tabs


def test_a_world_blends_pictures_and_has_no_photo_to_lay_a_face_into(page) -> None:
    from vae.bundles.registry import default_registry
    from vae.web.blend.live import Desk, samples, start_refining

    page.query_params["model"] = "roads-64"
    page.run()
    assert not page.exception
    labels = [tab.label for tab in page.tabs]
    assert labels and "Into the photo" not in labels
    roads = default_registry().get("roads-64")
    assert all(sample["label"].startswith("Drawn picture") for sample in samples(roads))
    with pytest.raises(BlendError, match="Drawn pictures"):
        start_refining(roads, Desk(roads.digest))


def test_music_begins_with_pieces_of_the_data(page, monkeypatch) -> None:
    from vae.bundles.registry import default_registry
    from vae.data.worlds.rolls import to_notes
    from vae.web.blend.live import samples
    from vae.web.core import state

    chorales = default_registry().get("chorales-64")
    page.query_params["model"] = "chorales-64"
    page.run()
    assert not page.exception
    desk = page.session_state["blend-desk"]["chorales-64"]
    assert desk.whole  # a ghost would be the first thing seen
    assert [person.source.name for person in desk.people] == ["Piece 1 of the data", "Piece 2 of the data"]
    assert [sample["label"] for sample in samples(chorales)] == [f"Piece {k} of the data" for k in range(1, 6)]
    studio = state.Studio()
    monkeypatch.setattr(state, "studio", lambda: studio)
    here = state.current(chorales)
    assert here.seed is None and np.abs(here.z - desk.people[0].source.z).max() < 0.05
    assert len(to_notes(here.decode(chorales)[0])) > 20


def test_plain_page_blends_two_samples_and_makes_a_film(page, bundle) -> None:
    page.query_params["plain"] = "1"
    page.run()
    assert not page.exception
    page.selectbox(key="plain-sample-0").set_value(0).run()
    page.selectbox(key="plain-sample-1").set_value(1).run()
    assert not page.exception
    desk = page.session_state["blend-desk"]["faces-128"]
    page.slider(key="plain-mix").set_value(1.0).run()
    assert np.array_equal(desk.picture(bundle), desk.people[1].source.crop)
    page.number_input(key="film_seconds").set_value(0.5).run()
    page.button(key="film_make").click().run()
    assert not page.exception and desk.films["data"]


def test_plain_page_takes_a_photo_and_says_why_not(page) -> None:
    page.query_params["plain"] = "1"
    page.run()
    page.file_uploader(key="plain-file-0").upload("a.png", photo_file(pictures.astronaut(), "PNG"), "image/png").run()
    assert not page.exception
    desk = page.session_state["blend-desk"]["faces-128"]
    assert len(desk.people) == 2 and desk.people[0].source.eyes and not desk.people[1].source.eyes
    page.file_uploader(key="plain-file-1").upload("b.png", b"this is text", "image/png").run()
    assert not desk.people[1].source.eyes and "This file is a text file" in page.warning[0].value


def test_page_rebuilds_the_blend_of_a_link(page, bundle, drawn) -> None:
    from vae.web.blend.live import Desk, Person, link

    there = Desk(bundle.digest, [Person(source) for source in drawn[:3]], np.array([[0.2, 0.3, 0.5]] * 6), path="lerp")
    for key, value in link(bundle, there).items():
        page.query_params[key] = value
    page.run()
    here = page.session_state["blend-desk"]["faces-128"]
    assert not page.exception and len(here.people) == 3 and here.path == "lerp"
    difference = here.picture(bundle).astype(int) - there.picture(bundle)
    assert np.abs(difference).max() <= 2
    assert json.dumps(here.weights.tolist()) == json.dumps(there.weights.tolist())


@pytest.mark.parametrize("change, word", [
    ({"z0": "nonsense"}, "code"), ({"hash": "0" * 12}, "another model"), ({"weights": "a,b"}, "not numbers"), ({"weights": "1,2,3"}, "shape"),
])  # fmt: skip
def test_page_says_what_is_wrong_with_a_link(page, bundle, drawn, change: dict, word: str) -> None:
    from vae.web.blend.live import Desk, Person, link

    there = Desk(bundle.digest, [Person(source) for source in drawn[:2]], np.full((6, 2), 0.5))
    for key, value in {**link(bundle, there), **change}.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception and word in page.session_state["blend-desk"]["faces-128"].notice


def test_component_events(bundle, drawn, monkeypatch) -> None:
    """What the component may send, good and bad; every refusal is a notice, nothing is raised."""
    import base64

    from vae.web.blend import live as blend_live

    monkeypatch.setattr(blend_live.services.refiner, "prewarm", lambda *_: None)
    here = blend_live.Desk(bundle.digest)
    send = lambda **event: blend_live.handle(bundle, here, event)  # noqa: E731
    send(name="photo", slot=0, file="me.png", data=base64.b64encode(photo_file(pictures.astronaut(), "PNG")).decode())
    assert here.notice is None and here.people[0].source.name == "me.png"
    send(name="sample", slot=1, index=0)
    assert here.weights.tolist() == [[0.5, 0.5]] * 6
    send(name="eyes", slot=0, eyes=[[200, 110], [260, 112]])
    assert here.people[0].source.eyes == ((200.0, 110.0), (260.0, 112.0))
    send(name="photo", slot=1, file="cat", data=base64.b64encode(photo_file(pictures.cat(), "PNG")).decode())
    assert "No face" in here.people[1].source.remark  # eye marks are offered for the hand
    for event in (
        {"name": "photo", "slot": 0, "data": "%%%"}, {"name": "photo", "slot": 0, "data": None}, {"name": "sample", "slot": 0, "index": 99},
        {"name": "sample", "slot": 0, "index": "1"}, {"name": "eyes", "slot": 0, "eyes": "no"}, {"name": "face", "slot": 0, "index": 9},
        {"name": "eyes", "slot": 0, "eyes": [[1, 1], [1, 1]]}, {"name": "draw", "seed": -1}, {"name": "refined"},
    ):  # fmt: skip
        people = list(here.people)
        send(**event)
        assert here.notice and here.notice.rstrip().endswith("."), event
        assert here.people == people
    send(name="unheard of")
    blend_live.handle(bundle, here, "nonsense")
    send(name="draw", seed=5)
    send(name="draw", seed=6)
    send(name="draw", seed=7)
    assert len(here.people) == 4 and "4 people" in here.notice
    ids = [person.id for person in here.people]
    here.absorb(bundle, {"people": ids, "weights": [[1, 0, 0, 0]] * 6, "path": "lerp", "shift": None})
    assert here.path == "lerp" and np.array_equal(here.picture(bundle), reconstruct(bundle, here.sources[:1])[0])
    here.absorb(bundle, {"people": ids[:2], "weights": [[1, 0]] * 6})  # of people who have gone: not taken
    assert here.weights.shape == (6, 4)
    for sent in (
        {"weights": [[float("nan")] * 4] * 6},
        {"weights": "x"},
        {"weights": [[1, 0, 0, 0]] * 6, "shift": "AAAA"},
    ):
        with pytest.raises(BlendError):
            here.absorb(bundle, {"people": ids, **sent})
    send(name="remove", slot=3)
    assert len(here.people) == 3
