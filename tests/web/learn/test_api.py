"""The routes of the Learn page."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.web.asgi import ask
from vae.bundles.registry import default_registry
from vae.space.neighbours import nearest
from vae.web.learn import api
from vae.web.learn.worlds import USES, uses


def test_lessons_are_the_file_and_a_missing_one_is_a_sentence(monkeypatch, tmp_path):
    answer = ask("GET", "/api/learn/lessons")
    assert answer.status == 200 and answer.content == api.LESSONS.read_bytes()
    monkeypatch.setattr(api, "LESSONS", tmp_path / "none")
    missing = ask("GET", "/api/learn/lessons")
    assert missing.status == 404 and "make lessons" in missing.json()["error"]


def test_source_gives_files_of_the_list_alone():
    answer = ask("GET", "/api/learn/source?of=sample")
    assert answer.status == 200 and b"class Posterior" in answer.content
    refused = ask("GET", "/api/learn/source?of=../../etc/passwd")
    assert refused.status == 404 and "there is no code" in refused.json()["error"]


def codes(query: str) -> tuple[dict, np.ndarray]:
    answer = ask("GET", f"/api/learn/codes?model=faces-128&{query}")
    assert answer.status == 200, answer.content
    length = int.from_bytes(answer.content[:4], "little")
    return json.loads(answer.content[4 : 4 + length]), np.frombuffer(answer.content[4 + length :], "<f4")


def test_codes_are_of_the_data_half_with_the_label(bundle):
    head, numbers = codes("label=Smiling&count=12&seed=5")
    mu, ids = numbers.reshape(12, -1), np.array(head["ids"])
    assert (mu == bundle.codes.mu[ids].astype(np.float32)).all()
    column = list(bundle.codes.label_names).index("Smiling")
    assert head["has"] == bundle.codes.labels[ids, column].tolist() and sum(head["has"]) == 6
    assert codes("label=Smiling&count=12&seed=5")[0] == head
    assert codes("label=Smiling&count=12&seed=6")[0] != head


@pytest.mark.parametrize("query", ["label=Nice", "label=Smiling&count=1000", "label=Smiling&seed=x"])
def test_codes_refuse_in_a_sentence(query):
    answer = ask("GET", f"/api/learn/codes?model=faces-128&{query}")
    assert answer.status == 400 and answer.json()["error"]


def test_nearest_code_of_the_data(bundle):
    z = bundle.codes.mu[17].astype(np.float32) + np.float32(0.01)
    found = np.frombuffer(
        ask("POST", "/api/learn/nearest?model=faces-128", data=z.astype("<f4").tobytes()).content, "<f4"
    )
    ids, far = nearest(bundle.codes.mu, z[None], 1)
    assert ids[0, 0] == 17 and found[0] == pytest.approx(far[0, 0], rel=1e-5)
    assert found[1] > 10 * found[0] and (found[2:] == bundle.codes.mu[17].astype(np.float32)).all()
    short = ask("POST", "/api/learn/nearest?model=faces-128", data=b"abcd")
    assert short.status == 400 and "one code of 128" in short.json()["error"]


def test_uses_name_the_models_that_are_here():
    found = {use["id"]: use for use in uses(default_registry())}
    assert len(found) == len(USES) and found["actors"]["model"]["name"] == "faces-128"
    assert all(use["limit"].endswith(".") and use["text"].endswith(".") for use in found.values())


def test_miniatures_of_roads_and_pieces_begin_in_the_data():
    found = {use["id"]: use["start"] for use in uses(default_registry())}
    for use, name in (("driving", "roads-64"), ("music", "chorales-64")):
        code = default_registry().get(name).codes.mu[0].astype(np.float32)
        assert np.allclose(found.pop(use), code, atol=1e-6)
    assert set(found.values()) == {None}  # the others begin at the mean, which is a picture


def test_only_sheets_scripts_and_katex_are_given_out():
    assert ask("GET", "/web/learn/learn.js").status == 200
    assert ask("GET", "/web/learn/steps.py").status == 404
    assert ask("GET", "/katex/katex.min.css").status == 200
