"""POST /api/blend."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data as pictures

from tests.pictures import photo_file
from tests.web.asgi import Answer, ask
from vae.photos import faces
from vae.photos.sources import photo_source, reconstruct


def post(path: str, **body: object) -> Answer:
    """POST in this process, so that a test can watch what the process does; body: as requests takes it."""
    return ask("POST", path, **body)


@pytest.fixture(scope="module")
def two_photos(drawn) -> dict[str, tuple[str, bytes]]:
    page = np.pad(drawn[1].crop, ((60, 60), (60, 60), (0, 0)), mode="edge")
    return {"a": ("a.jpg", photo_file(pictures.astronaut())), "b": ("b.png", photo_file(page, "PNG"))}


def test_post_blend_gives_the_reconstruction_at_the_end(two_photos, bundle) -> None:
    answer = post("/api/blend?model=faces-128&mix=1", files=two_photos)
    assert answer.status == 200 and answer.headers["content-type"] == "image/png"
    expected = reconstruct(bundle, [photo_source(bundle, two_photos["b"][1])])[0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), expected)


def test_post_blend_makes_a_film_and_mixes_three(two_photos) -> None:
    film = post("/api/blend?model=faces-128&format=gif&seconds=0.5&fps=10&ping_pong=1", files=two_photos)
    assert film.content[:4] == b"GIF8"
    three = post(
        "/api/blend?model=faces-128&weights=1,1,2&scale=2&detail=0.5", files={**two_photos, "c": two_photos["a"]}
    )
    assert Image.open(io.BytesIO(three.content)).size == (256, 256)


@pytest.mark.parametrize("query, change, status, word", [
    ("model=faces-128&mix=2", {}, 400, "0 to 1"), ("model=faces-128&mix=nan", {}, 400, "0 to 1"),
    ("model=nothing", {}, 404, "no model"), ("model=faces-128&format=avi", {}, 400, "unknown"),
    ("model=faces-128&weights=1,x", {}, 400, "not numbers"), ("model=faces-128&refine=9999", {}, 400, "200"),
    ("model=faces-128", {"b": ("b.png", b"hello")}, 400, "text file"), ("model=faces-128", {"b": None}, 400, "files a and b"),
    ("model=faces-128", {"e": ("e.png", b"x")}, 400, "files a and b"), ("model=faces-128&path=around", {}, 400, "unknown"),
    ("model=faces-128", {"b": ("b.jpg", bytes(faces.MAX_BYTES + 1))}, 413, "20 MB"),
])  # fmt: skip
def test_post_blend_refuses_in_a_sentence(two_photos, query: str, change: dict, status: int, word: str) -> None:
    files = {name: file for name, file in {**two_photos, **change}.items() if file is not None}
    answer = post(f"/api/blend?{query}", files=files)
    assert answer.status == status and word in answer.json()["error"]


def test_post_blend_refuses_what_is_no_form() -> None:
    assert post("/api/blend?model=faces-128", data=b"x").status == 415
    broken = post("/api/blend?model=faces-128", data=b"x", headers={"content-type": "multipart/form-data; boundary=q"})
    assert broken.status == 400 and "form" in broken.json()["error"]
    fields = post("/api/blend?model=faces-128", data={"a": "text"}, files={"b": ("b", b"x")})
    assert fields.status == 400


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the open files in /proc")
def test_uploads_are_never_on_disk(monkeypatch) -> None:
    """A photo above the size from which parsers spool goes through without a temporary file being opened."""
    made: list[object] = []
    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp", "_TemporaryFileWrapper"):
        original = getattr(tempfile, name)
        monkeypatch.setattr(tempfile, name, lambda *a, _original=original, **k: made.append(a) or _original(*a, **k))
    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), dtype=np.uint8)
    noise[200:712, 200:712] = pictures.astronaut()
    big = photo_file(noise, "PNG")
    assert len(big) > 2**21
    folder = Path(tempfile.gettempdir())
    before = set(os.listdir(folder))
    answer = post("/api/blend?model=faces-128", files={"a": ("a.png", big), "b": ("b.png", big)})
    assert answer.status == 200
    assert not made
    assert not {name for name in set(os.listdir(folder)) - before if name.startswith("tmp")}
