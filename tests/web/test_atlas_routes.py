"""The map's routes on a running app."""

from __future__ import annotations

import base64
import io
import json
import struct
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.space.lab import write_lab
from tests.tiny import pattern
from tests.web.asgi import Answer
from tests.web.asgi import ask as routed
from vae.bundles.bundle import Bundle
from vae.photos.aligning import align
from vae.space import views
from vae.space.neighbours import nearest


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, start_app: Callable) -> Iterator[tuple[str, Bundle]]:
    """A running app with the small model in the user's folder."""
    folder = tmp_path_factory.mktemp("site")
    made = write_lab(folder / "models" / "lab")
    with start_app(folder) as url:
        yield url, made


def ask(site: tuple[str, Bundle], path: str, body: bytes | dict | None = None, method: str | None = None) -> bytes:
    url = f"{site[0]}/api/atlas/{path}{'&' if '?' in path else '?'}model=lab"
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    with urllib.request.urlopen(
        urllib.request.Request(url, data, method=method or ("GET" if body is None else "POST")), timeout=300
    ) as answer:
        return answer.read()


def refused(site: tuple[str, Bundle], path: str, body: bytes | dict | None = None) -> str:
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(site, path, body)
    assert 400 <= error.value.code < 500
    answer = json.loads(error.value.read())
    assert list(answer) == ["error"] and "Traceback" not in answer["error"] and "\n" not in answer["error"]
    return answer["error"]


def unpack(data: bytes) -> tuple[dict, bytes]:
    length = struct.unpack("<I", data[:4])[0]
    return json.loads(data[4 : 4 + length]), data[4 + length :]


def mask64(mask: np.ndarray) -> str:
    return base64.b64encode(np.packbits(mask, bitorder="little").tobytes()).decode()


def tiles(data: bytes, size: int = 48) -> np.ndarray:
    sheet = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)
    rows, columns = sheet.shape[0] // size, sheet.shape[1] // size
    return sheet.reshape(rows, size, columns, size, 3).transpose(0, 2, 1, 3, 4).reshape(-1, size, size, 3)


def test_points_travel_in_four_bytes_each(site: tuple[str, Bundle]) -> None:
    head, data = unpack(ask(site, "points?view=principal:0:1"))
    bundle = site[1]
    assert head["state"] == "ready" and len(data) == 4 * len(bundle.codes)
    low, high = np.array(head["range"]).T
    xy = low + (high - low) * np.frombuffer(data, "<u2").reshape(-1, 2) / 65535
    assert xy == pytest.approx(views.linear(bundle, views.parse("principal:0:1")).project(bundle.codes.mu), abs=1e-3)
    W, D = (np.frombuffer(base64.b64decode(head[key]), "<f4").reshape(2, -1) for key in ("W", "D"))
    assert pytest.approx(np.eye(2), abs=1e-5) == W @ D.T


def test_colours_options_and_one_code(site: tuple[str, Bundle]) -> None:
    options = json.loads(ask(site, "options"))
    assert options["count"] == 1200 and [label["name"] for label in options["labels"]] == [
        "Tall",
        "Wide",
        "Tall and wide",
    ]
    head, data = unpack(ask(site, "colours?by=label:0"))
    assert sum(head["counts"]) == 1200 and np.frombuffer(data, np.uint8).sum() == head["counts"][1]
    found = json.loads(ask(site, "code?view=principal:0:1&index=5"))
    index, _ = nearest(site[1].codes.mu, site[1].codes.mu[5], 13)
    assert [one["index"] for one in found["neighbours"]] == [int(i) for i in index[0] if i != 5][:12]
    assert found["exact"] and np.linalg.eigvalsh(found["ellipse"]).min() > 0


def test_thumbnails_and_background_are_decoded(site: tuple[str, Bundle]) -> None:
    bundle = site[1]
    made = tiles(ask(site, "thumbs", np.array([4, 9, 4], "<u4").tobytes()))
    wanted = bundle.decode(bundle.codes.mu[[4, 9]]).astype(float).mean((1, 2, 3))
    assert made[[0, 1, 2]].mean((1, 2, 3)) == pytest.approx(wanted[[0, 1, 0]], abs=3)
    z, places = bundle.codes.mu[3].astype("<f4"), np.array([[0, 0], [2, -1.5]], "<f4")
    ground = tiles(ask(site, "background?view=raw:0:1", z.tobytes() + places.tobytes()))
    moved = np.repeat(z[None], 2, 0)
    moved[:, :2] = places
    assert ground[:2].mean((1, 2, 3)) == pytest.approx(bundle.decode(moved).astype(float).mean((1, 2, 3)), abs=3)


def test_a_selection_is_answered(site: tuple[str, Bundle]) -> None:
    mask = site[1].codes.labels[:, 1] == 1
    found = json.loads(ask(site, "select", {"mask": mask64(mask)}))
    assert found["count"] == mask.sum() and found["rates"][0]["name"] == "Wide" and mask[found["sheet"]].all()
    assert "select anew" in refused(site, "select", {"mask": "*"})
    assert "reload" in refused(site, "select", {"mask": mask64(mask[:80])})


def test_a_lesson_is_learned_and_saved_as_an_axis(site: tuple[str, Bundle]) -> None:
    lesson = {"with": {"label": 0}, "without": {"label": 0, "value": 0}, "remove": ["Wide"]}
    found = json.loads(ask(site, "teach", lesson))
    assert 0.5 < found["auc"] < found["auc_before"] and found["removed"] == ["Wide"]
    before = json.loads(urllib.request.urlopen(f"{site[0]}/api/axes?model=lab").read())
    assert [basis["name"] for basis in before["bases"]] == ["raw", "principal"]
    saved = json.loads(ask(site, "directions", {**lesson, "label": "My tall"}))
    assert saved["axis"] == "named:taught-my-tall"
    after = json.loads(urllib.request.urlopen(f"{site[0]}/api/axes?model=lab").read())
    named = next(basis for basis in after["bases"] if basis["name"] == "named")
    D = np.frombuffer(base64.b64decode(named["D"]), "<f4")
    assert pytest.approx(np.frombuffer(base64.b64decode(found["direction"]), "<f4"), rel=1e-3, abs=1e-5) == D
    assert "cannot be used" in refused(site, "directions", {**lesson, "label": "<b>"})
    assert "neither a selection nor a label" in refused(site, "teach", {"with": {"label": 77}, "without": "rest"})


def test_paths_and_films(site: tuple[str, Bundle]) -> None:
    stops = site[1].codes.mu[[1, 2]].astype("<f4")
    head, data = unpack(ask(site, "path?kind=slerp&frames=8", stops.tobytes()))
    numbers = np.frombuffer(data, "<f4")
    z = numbers[: 8 * 6].reshape(8, 6)
    assert head["frames"] == 8 and len(numbers) == 8 * 7 and z[[0, 7]] == pytest.approx(stops, abs=1e-5)
    assert ask(site, "film?format=mp4", z.tobytes())[4:8] == b"ftyp"
    assert ask(site, "film?format=gif", z.tobytes())[:3] == b"GIF"


def test_dropped_pictures_are_encoded_and_the_rest_is_named(site: tuple[str, Bundle]) -> None:
    z = np.zeros(6, np.float32)
    z[2] = 2.0
    picture = np.clip((pattern(6)[2] * 2 + 1) * 127.5, 0, 255).reshape(16, 16).astype(np.uint8)
    file, archive = io.BytesIO(), io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("folder/one.png", file.getvalue())
        packed.writestr("notes.txt", "no picture")
        packed.writestr("big.png", b"\0" * (21 * 2**20), zipfile.ZIP_DEFLATED)
    answer = json.loads(ask(site, "place?name=a.zip", archive.getvalue()))
    assert [one["name"] for one in answer["placed"]] == ["one.png"]
    assert np.frombuffer(base64.b64decode(answer["placed"][0]["mu"]), "<f4") == pytest.approx(z, abs=0.1)
    assert [text.split(":")[0] for text in answer["refused"]] == ["notes.txt", "big.png"]
    assert json.loads(ask(site, "place?name=x.png", b"text"))["placed"] == []
    assert not list(Path(site[1].path).parents[1].rglob("*.png"))  # nothing was written


def test_a_photo_without_a_face_comes_back_for_its_eyes_to_be_marked(bundle: Bundle) -> None:
    def place(query: str, data: bytes) -> Answer:
        return routed("POST", f"/api/atlas/place?model=faces-128&name=wall.png{query}", data=data)

    rng = np.random.default_rng(3)
    wall = np.array(Image.fromarray(rng.integers(90, 160, (9, 12, 3), np.uint8)).resize((1200, 900), 0))
    file = io.BytesIO()
    Image.fromarray(wall).save(file, "PNG")
    answer = place("", file.getvalue()).json()
    (unseen,) = answer["unseen"]
    assert not answer["placed"] and "No face was found" in answer["refused"][0]
    assert unseen["size"] == [1200, 900] and unseen["photo"].startswith("data:image/webp;base64,")
    (x0, y0), (x1, y1) = unseen["eyes"]
    assert 150 < x0 < x1 < 1050 and y0 == y1  # where a face that fills the middle square has them
    (placed,) = place("&eyes=700,400,500,420", file.getvalue()).json()["placed"]
    crop = align(wall, ((500, 420), (700, 400)), bundle.eyes, bundle.image_size)
    assert np.frombuffer(base64.b64decode(placed["mu"]), "<f4") == pytest.approx(
        bundle.encode(crop[None])[0][0], abs=1e-5
    )
    for wrong in ("1,2,3", "a,b,c,d", "nan,0,1,1", "-9e5,0,-8e5,0", "5,5,5,5"):
        assert place(f"&eyes={wrong}", file.getvalue()).status == 400, wrong
    assert place("&eyes=1,1,40,1", b"text").status == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("points?view=raw:0:99", None),
        ("points?view=umap:9", None),
        ("colours?by=label:x", None),
        ("code?view=raw:0:1&index=-1", None),
        ("code?view=raw:0:1&index=5000", None),
        ("thumbs", b"\1\2"),
        ("thumbs", np.array([10**6], "<u4").tobytes()),
        ("decoded", b""),
        ("decoded", np.full(6, np.nan, "<f4").tobytes()),
        ("near?view=raw:0:1", np.array([np.inf, 0], "<f4").tobytes()),
        ("near?view=umap:15", bytes(8)),
        ("background?view=raw:0:1", bytes(24)),
        ("locate?view=raw:0:1", bytes(7)),
        ("select", b"[]"),
        ("select", b"{"),
        ("teach", {}),
        ("path?kind=x", bytes(48)),
        ("path?frames=9999", bytes(48)),
        ("film?format=exe", bytes(24)),
        ("place", bytes([80, 75, 3, 4] * 40)[:0]),
        ("compute?name=rm", b""),
        ("decoded?tile=9999", bytes(24)),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(
    site: tuple[str, Bundle], path: str, body: bytes | dict | None
) -> None:
    if path == "place":
        assert json.loads(ask(site, path, body))["placed"] == []
        return
    assert len(refused(site, path, body)) > 15


def test_a_view_is_computed_on_request(site: tuple[str, Bundle]) -> None:
    assert unpack(ask(site, "points?view=tsne:10"))[0]["state"] == "missing"
    report = json.loads(ask(site, "compute?name=tsne-10", b""))
    hopeless = time.monotonic() + 300
    while report["state"] == "running" and time.monotonic() < hopeless:
        time.sleep(0.1)
        report = json.loads(ask(site, "compute?name=tsne-10"))
    assert report["state"] == "done" and report["progress"] == 1
    assert unpack(ask(site, "points?view=tsne:10"))[0]["linear"] is False
    z = np.frombuffer(ask(site, "near?view=tsne:10", bytes(8)), "<f4")
    assert z.shape == (6,) and np.isfinite(z).all()
    place = np.frombuffer(ask(site, "locate?view=tsne:10", site[1].codes.mu[3].astype("<f4").tobytes()), "<f4")
    assert place.shape == (2,)
    assert json.loads(ask(site, "code?view=tsne:10&index=1"))["exact"] is False
