"""Whole parts beside the browser: the route, the plain pages, and the blend of a world whose draws are settled."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.web.asgi import ask
from vae import media
from vae.bundles.bundle import Bundle
from vae.bundles.registry import default_registry
from vae.photos.sources import SAMPLE_SEEDS, SAMPLE_TEMPERATURE, code_source, drawn_source
from vae.space import latent, settling
from vae.web.blend import live, panels
from vae.web.core import state
from vae.web.explore import picker
from vae.web.train import models

PAGES = Path(__file__).resolve().parents[2] / "pages"
MODEL = "people-64"


@pytest.fixture(scope="module")
def people() -> Bundle:
    return default_registry().get(MODEL)


@pytest.fixture(scope="module")
def ghost(people: Bundle) -> np.ndarray:
    """A raw draw (d,) that changes much when it is settled, as the address carries it."""
    z = latent.sample(people, 1, 1.0, 24)
    far = np.abs(people.decode(settling.settled(people, z)).astype(int) - people.decode(z)).mean((1, 2, 3))
    return state.grid(z[far.argmax()], people)


def opened(name: str, home: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv("VAE_HOME", str(home))
    page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=300)
    for key, value in {"plain": "1", "model": MODEL, **query}.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def test_the_route_answers_settled_codes(people: Bundle) -> None:
    z = latent.sample(people, 1, 1.0, 3).astype("<f4")
    answer = ask("POST", f"/api/settle?model={MODEL}", data=z.tobytes())
    found = np.frombuffer(answer.content, "<f4").reshape(3, -1)
    assert answer.status == 200 and np.allclose(found, settling.settled(people, z), atol=1e-4)
    assert np.abs(found - z).max() > 0.1
    drawn = np.frombuffer(ask("GET", f"/api/sample?model={MODEL}&seed=1&temperature=1&count=3").content, "<f4")
    assert np.allclose(drawn, found.ravel(), atol=1e-4)  # what is drawn has whole parts already


@pytest.mark.parametrize(
    ("model", "data", "word"),
    [
        (MODEL, b"", "0 bytes"),
        (MODEL, b"12345", "5 bytes"),
        (MODEL, np.full(32, np.nan, "<f4").tobytes(), "not finite"),
        (MODEL, bytes(4 * 32 * 65), "body"),
        ("digits-2d", bytes(8), "no parts"),
        ("nobody", bytes(8), "nobody"),
    ],
)
def test_the_route_refuses_nonsense_in_a_sentence(model: str, data: bytes, word: str) -> None:
    answer = ask("POST", f"/api/settle?model={model}", data=data)
    sentence = answer.json()["error"]
    assert 400 <= answer.status < 500 and word in sentence and "\n" not in sentence and list(answer.json()) == ["error"]


def test_the_plain_page_settles_the_present_code_and_undo_brings_it_back(
    people: Bundle, ghost: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened("explore", tmp_path, monkeypatch, **state.link(people, ghost))
    here = page.session_state[state.KEY].currents[MODEL]
    assert np.array_equal(here.z, ghost)
    page.button(key="plain-settle").click().run()
    assert not page.exception
    assert np.array_equal(here.z, state.grid(settling.settled(people, ghost), people))
    page.button(key="plain-undo").click().run()
    assert np.array_equal(here.z, ghost)


def test_a_model_without_parts_has_no_such_button(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened("explore", tmp_path, monkeypatch, model="digits-2d")
    assert not [button for button in page.button if button.key == "plain-settle"]


def test_the_plain_draw_and_the_first_picture_have_whole_parts(
    people: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened("explore", tmp_path, monkeypatch)
    here = page.session_state[state.KEY].currents[MODEL]
    first = settling.draw(people, state.FIRST_SEED, state.FIRST_TEMPERATURE)[0]
    assert np.array_equal(here.z, state.grid(first, people))
    page.number_input(key=f"seed-{MODEL}").set_value(7).run()
    drawn = settling.draw(people, 7, here.temperature)[0]
    assert np.array_equal(here.z, state.grid(drawn, people))
    assert np.abs(drawn - latent.sample(people, 7, here.temperature)[0]).max() > 0.01


def test_ready_pictures_of_a_model_have_whole_parts(people: Bundle) -> None:
    z = settling.draw(people, picker.SEED, picker.TEMPERATURE)
    assert picker._drawn(people.digest, MODEL) == media.png(people.decode(z)[0])
    first = ask("GET", f"/api/lab/samples?model={MODEL}").json()["pictures"][0]
    z = settling.draw(people, SAMPLE_SEEDS[0], SAMPLE_TEMPERATURE)
    assert first["src"] == media.data_uri(people.decode(z)[0])
    row = models.draws.__wrapped__(str(people.path), people.digest)
    assert np.array_equal(row, models.strip(people.decode(settling.draw(people, 1, 0.7, models.PICTURES))))


@pytest.fixture
def desk(people: Bundle) -> live.Desk:
    """Two drawn people, each of them whole, mixed."""
    here = live.Desk(people.digest)
    for slot, seed in enumerate((12, 49)):
        here.put(slot, drawn_source(people, seed))
    here.weights = np.array([[0.5, 0.5]])
    return here


def commit(here: live.Desk, **changes: Any) -> dict[str, Any]:
    ids = [person.id for person in here.people]
    return {"people": ids, "weights": here.weights.tolist(), "path": "slerp", "shift": None, **changes}


def moved(bundle: Bundle, picture: np.ndarray) -> float:
    again = bundle.decode(bundle.encode(picture[None])[0])[0]
    return float(np.abs(again.astype(int) - picture).max())


def test_a_blend_is_shown_with_whole_parts_on_wish(people: Bundle, desk: live.Desk, ghost: np.ndarray) -> None:
    mixed = desk.picture(people)
    desk.absorb(people, commit(desk, whole=True))
    whole = desk.picture(people)
    assert moved(people, mixed) > 60 and moved(people, whole) < 24
    desk.absorb(people, commit(desk, whole="yes"))  # no truth value: off
    assert np.array_equal(desk.picture(people), mixed)
    alone = live.Desk(people.digest, [live.Person(code_source(people, ghost, "a"))], np.ones((1, 1)), whole=True)
    assert np.array_equal(alone.picture(people), people.decode(ghost)[0])  # nobody's child


def test_a_link_and_a_file_keep_the_whole_parts_of_a_blend(people: Bundle, desk: live.Desk) -> None:
    desk.whole = True
    there = live.Desk(people.digest)
    live.read_link(people, there, live.link(people, desk))
    assert there.whole and np.abs(there.picture(people).astype(int) - desk.picture(people)).max() <= 4
    saved = base64.b64encode(panels.code(people, desk)).decode()
    other = live.Desk(people.digest)
    live.handle(people, other, {"name": "photo", "slot": 0, "file": "blend.npz", "data": saved})
    assert other.notice is None and other.whole and np.array_equal(other.picture(people), desk.picture(people))
    desk.whole = False
    assert "whole" not in live.link(people, desk)


def test_the_plain_blend_has_the_switch(people: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened("blend", tmp_path, monkeypatch)
    here = page.session_state["blend-desk"][MODEL]
    assert here.whole and moved(people, here.picture(people)) < 24
    page.toggle(key="plain-whole").set_value(False).run()
    assert not page.exception and not here.whole


def test_sent_to_explore_it_is_the_child_with_whole_parts(
    people: Bundle, desk: live.Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = state.Studio()
    monkeypatch.setattr(state, "studio", lambda: studio)
    desk.whole = True
    live.adopt(people, desk)
    shown = state.current(people).decode(people)[0]
    assert np.abs(shown.astype(int) - desk.picture(people)).max() <= 4
