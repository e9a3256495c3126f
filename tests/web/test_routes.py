"""The HTTP routes, over a real socket on the running app."""

from __future__ import annotations

import base64
import http.client
import io
import json
from urllib.parse import urlsplit

import numpy as np
import onnx
import pytest
from PIL import Image
from skimage.data import cat

from tests.conftest import ROOT
from tests.pictures import photo_file
from vae.bundles.bundle import open_bundle
from vae.space import latent, settling
from vae.space.axes import bases
from vae.web.core.files import version

FACES = ROOT / "assets" / "models" / "faces-128"


def call(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request: status, headers in lower case, body."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def refusal(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> str:
    """The sentence of a request that must be refused with a 4xx and nothing else in the answer."""
    status, _, data = call(url, method, path, body, **headers)
    answer = json.loads(data)
    assert 400 <= status < 500, (status, answer)
    assert list(answer) == ["error"]
    assert len(answer["error"]) > 15 and "\n" not in answer["error"] and "Traceback" not in answer["error"]
    return answer["error"]


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("<f4")


@pytest.fixture(scope="module")
def faces():
    return open_bundle(FACES)


def test_models_lists_what_ships(app_url):
    status, _headers, body = call(app_url, "GET", "/api/models")
    entries = {entry["name"]: entry for entry in json.loads(body)}
    assert status == 200
    assert entries["faces-128"]["latent_size"] == 128 and entries["faces-128"]["image_size"] == 128
    assert entries["digits-2d"]["latent_size"] == 2
    assert "non-commercial" in entries["faces-128"]["licence"].lower()


def test_every_answer_is_isolated_and_hardened(app_url):
    for path in ("/", "/api/models", "/web/live/theme.css", "/api/nothing"):
        _, headers, _ = call(app_url, "GET", path)
        assert headers["cross-origin-opener-policy"] == "same-origin", path
        assert headers["cross-origin-embedder-policy"] == "require-corp", path
        assert headers["x-content-type-options"] == "nosniff", path
        assert "connect-src 'self'" in headers["content-security-policy"], path


def test_modules_are_kept_for_ever_by_their_version_and_asked_after_by_name(app_url):
    for path, kept in (
        (f"/web/@{version()}/live/net.js", True),
        ("/web/@0123/live/net.js", False),
        ("/web/live/net.js", False),
    ):
        status, headers, body = call(app_url, "GET", path)
        assert status == 200 and body.startswith(b"/* Requests to this app") and "javascript" in headers["content-type"]
        assert ("immutable" in headers["cache-control"]) == kept, path
    for path in (f"/web/@{version()}/live/api.py", f"/web/@{version()}/../routes.py", "/web/@x/@x/live/net.js"):
        assert call(app_url, "GET", path)[0] in (400, 404), path


def test_decode_answers_the_pixels_of_the_bundle(app_url, faces):
    z = floats(3, 128)
    status, headers, body = call(app_url, "POST", "/api/decode?model=faces-128", z.tobytes())
    assert status == 200 and headers["x-image-shape"] == "3,128,128,3"
    images = np.frombuffer(body, np.uint8).reshape(3, 128, 128, 3)
    assert np.abs(images.astype(int) - faces.decode(z).astype(int)).max() <= 1


def test_decode_previews_at_a_lower_level(app_url, faces):
    z = latent.sample(faces, 3, 0.7, 1).astype("<f4")
    _, headers, body = call(app_url, "POST", "/api/decode?model=faces-128&size=64", z.tobytes())
    assert headers["x-image-shape"] == "1,64,64,3"
    small = np.frombuffer(body, np.uint8).reshape(64, 64, 3).astype(float)
    full = faces.decode(z)[0].reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.corrcoef(small.ravel(), full.ravel())[0, 1] > 0.95  # the same face, less fine


def test_decode_by_the_light_decoder(app_url, faces):
    z = latent.sample(faces, 3, 0.7, 2).astype("<f4")
    _, headers, body = call(app_url, "POST", "/api/decode?model=faces-128&quick=1", z.tobytes())
    assert headers["x-image-shape"] == "2,128,128,3"
    images = np.frombuffer(body, np.uint8).reshape(2, 128, 128, 3).astype(int)
    assert np.abs(images - faces.decode(z, quick=True)).max() <= 1 and np.abs(images - faces.decode(z)).max() > 8
    # A model without one answers with its only decoder.
    digit = floats(1, 2)
    one, other = (
        call(app_url, "POST", f"/api/decode?model=digits-2d{q}", digit.tobytes())[2] for q in ("", "&quick=1")
    )
    assert one == other


def test_decode_mixes_levels_and_takes_offsets(app_url, faces):
    a, b = floats(2, 128)
    levels = np.stack([a, a, b, b, b, b])
    _, _, body = call(app_url, "POST", "/api/decode?model=faces-128&layout=levels", levels.tobytes())
    mixed = np.frombuffer(body, np.uint8).reshape(1, 128, 128, 3)
    assert np.abs(mixed.astype(int) - faces.decode(levels[None]).astype(int)).max() <= 1
    delta = 0.3 * floats(6, 384, seed=2)
    record = np.concatenate([a, delta.ravel()])
    _, _, body = call(app_url, "POST", "/api/decode?model=faces-128&offsets=1", record.tobytes())
    shifted = np.frombuffer(body, np.uint8).reshape(1, 128, 128, 3)
    assert np.abs(shifted.astype(int) - faces.decode(a[None], delta[None]).astype(int)).max() <= 1
    assert np.abs(shifted.astype(int) - faces.decode(a[None]).astype(int)).mean() > 1


def test_decode_repeats_grey_to_rgb_and_answers_png(app_url):
    z = np.zeros((1, 2), "<f4")
    _, headers, body = call(app_url, "POST", "/api/decode?model=digits-2d", z.tobytes())
    raw = np.frombuffer(body, np.uint8).reshape([int(n) for n in headers["x-image-shape"].split(",")])
    assert raw.shape == (1, 28, 28, 3) and (raw[..., 0] == raw[..., 2]).all()
    _, headers, body = call(app_url, "POST", "/api/decode?model=digits-2d&format=png", z.tobytes())
    assert headers["content-type"] == "image/png"
    assert (np.asarray(Image.open(io.BytesIO(body)).convert("RGB")) == raw[0]).all()
    _, headers, body = call(app_url, "POST", "/api/decode?model=digits-2d&format=webp", z.tobytes())
    assert headers["content-type"] == "image/webp"
    assert np.abs(np.asarray(Image.open(io.BytesIO(body)).convert("RGB")) - raw[0].astype(float)).mean() < 6


def test_a_picture_without_a_face_is_told_where_its_eyes_can_be_marked(app_url):
    status, _, body = call(app_url, "POST", "/api/atlas/place?model=faces-128&name=cat.png", photo_file(cat(), "PNG"))
    answer = json.loads(body)
    assert status == 200 and answer["placed"] == []
    assert answer["refused"][0].startswith("cat.png: No face was found") and "by hand" in answer["refused"][0]
    assert answer["unseen"][0]["name"] == "cat.png" and len(answer["unseen"][0]["eyes"]) == 2


def test_decode_clips_what_lies_far_out(app_url):
    far, edge = np.full((1, 2), 1e30, "<f4"), np.full((1, 2), 1e6, "<f4")
    assert (
        call(app_url, "POST", "/api/decode?model=digits-2d", far.tobytes())[2]
        == call(app_url, "POST", "/api/decode?model=digits-2d", edge.tobytes())[2]
    )


@pytest.mark.parametrize(
    "path, body",
    [
        ("model=faces-128", b""),
        ("model=faces-128", b"\x00" * 511),
        ("model=faces-128", floats(1, 127).tobytes()),
        ("model=faces-128", np.full((1, 128), np.nan, "<f4").tobytes()),
        ("model=faces-128", np.full((1, 128), np.inf, "<f4").tobytes()),
        ("model=faces-128", floats(65, 128).tobytes()),
        ("model=faces-128&size=63", floats(1, 128).tobytes()),
        ("model=faces-128&size=big", floats(1, 128).tobytes()),
        ("model=faces-128&format=bmp", floats(1, 128).tobytes()),
        ("model=faces-128&format=png", floats(2, 128).tobytes()),
        ("model=faces-128&format=webp", floats(2, 128).tobytes()),
        ("model=faces-128&layout=heap", floats(1, 128).tobytes()),
        ("model=digits-2d&layout=levels", floats(1, 2).tobytes()),
        ("model=digits-2d&offsets=1", floats(1, 2).tobytes()),
        ("model=nobody", floats(1, 128).tobytes()),
        ("model=../faces-128", floats(1, 128).tobytes()),
        ("", floats(1, 128).tobytes()),
    ],
)
def test_decode_refuses_in_one_sentence(app_url, path, body):
    refusal(app_url, "POST", f"/api/decode?{path}", body)


def test_decode_refuses_a_huge_body_early(app_url):
    assert "larger" in refusal(app_url, "POST", "/api/decode?model=digits-2d", b"\x00" * 4_000_000)


def test_decode_survives_random_bodies(app_url):
    rng = np.random.default_rng(7)
    for _ in range(60):
        body = rng.bytes(int(rng.integers(0, 2100)))
        status, headers, _ = call(app_url, "POST", "/api/decode?model=faces-128", body)
        assert status in (200, 400) and (status == 400 or "x-image-shape" in headers)
    assert call(app_url, "GET", "/api/models")[0] == 200


def test_pages_of_other_sites_are_kept_out(app_url):
    sentence = refusal(
        app_url, "POST", "/api/decode?model=digits-2d", floats(1, 2).tobytes(), Sec_Fetch_Site="cross-site"
    )
    assert "other sites" in sentence


def test_encode_finds_the_face(app_url, faces):
    from skimage.data import astronaut

    out = io.BytesIO()
    Image.fromarray(astronaut()).save(out, "JPEG", quality=95)
    status, _, body = call(app_url, "POST", "/api/encode?model=faces-128", out.getvalue())
    answer = json.loads(body)
    assert status == 200 and len(answer["mu"]) == len(answer["logvar"]) == 128
    (left, top), (right, _) = answer["eyes"]
    assert 150 < left < right < 300 and 60 < top < 180  # in the photo's own pixels


@pytest.mark.parametrize("data", [b"", b"hello, I am a text file", b"\x89PNG\r\n\x1a\n" + b"\x00" * 64])
def test_encode_refuses_what_is_no_picture(app_url, data):
    refusal(app_url, "POST", "/api/encode?model=faces-128", data)


def test_encode_refuses_a_picture_without_a_face(app_url):
    out = io.BytesIO()
    Image.new("RGB", (300, 300), (40, 90, 120)).save(out, "PNG")
    assert "face" in refusal(app_url, "POST", "/api/encode?model=faces-128", out.getvalue())
    assert call(app_url, "POST", "/api/encode?model=digits-2d", out.getvalue())[0] == 200


def test_sample_gives_the_same_numbers_for_the_same_seed(app_url, faces):
    path = "/api/sample?model=faces-128&seed=5&temperature=0.7"
    first, again = (np.frombuffer(call(app_url, "GET", path)[2], "<f4") for _ in range(2))
    assert (first == again).all()
    assert np.allclose(first, settling.draw(faces, 5, 0.7, 1)[0], atol=1e-5)
    for query in ("seed=-1", "seed=x", "temperature=hot", "temperature=9", "count=0", "count=1000"):
        refusal(app_url, "GET", f"/api/sample?model=faces-128&{query}")


def test_axes_describe_every_slider(app_url, faces):
    answer = json.loads(call(app_url, "GET", "/api/axes?model=faces-128")[2])
    assert [basis["name"] for basis in answer["bases"]] == list(bases(faces))
    for basis in answer["bases"]:
        k = len(basis["axes"])
        W, D = (np.frombuffer(base64.b64decode(basis[key]), "<f4").reshape(k, 128) for key in "WD")
        assert np.allclose((W * D).sum(1), 1, atol=1e-3)  # one step on an axis is one sigma on its read-out
    assert len(next(b for b in answer["bases"] if b["name"] == "raw")["axes"]) == 128


def test_traversals_are_one_tile_per_end(app_url):
    axes = json.loads(call(app_url, "GET", "/api/axes?model=digits-2d")[2])
    for basis in axes["bases"]:
        status, _, body = call(app_url, "GET", f"/api/traversals?model=digits-2d&basis={basis['name']}")
        assert status == 200
        assert Image.open(io.BytesIO(body)).size == (96, 48 * len(basis["axes"]))
    refusal(app_url, "GET", "/api/traversals?model=digits-2d&basis=nothing")


def test_onnx_parts_are_the_bundle_s_own(app_url, faces):
    inputs = {"full": {"z", "delta"}, "light": None, "whole": {"z", "delta", "feature", "anchor"}}
    for part, names in {**inputs, "lower-64": inputs["whole"], "upper-64": {"rgb.4", "x.4", "w"}}.items():
        status, headers, body = call(app_url, "GET", f"/api/onnx/faces-128/{faces.digest}/{part}.onnx")
        assert status == 200 and len(body) > 10_000 and "immutable" in headers["cache-control"]
        graph = onnx.load_model_from_string(body).graph
        assert names is None or {value.name for value in graph.input} == names
    refusal(app_url, "GET", "/api/onnx/faces-128/000000000000/full.onnx")
    # as pages of an earlier version asked for, whose halves took no feature offset: never one of today's by mistake
    for part in ("lower-7", "head-64", "tail-64"):
        refusal(app_url, "GET", f"/api/onnx/faces-128/{faces.digest}/{part}.onnx")
    digits = open_bundle(faces.path.parent / "digits-2d")
    for part in ("light", "whole", "lower-64"):
        refusal(app_url, "GET", f"/api/onnx/digits-2d/{digits.digest}/{part}.onnx")
    # Streamlit's own guard may answer this one first, in words of its own.
    assert 400 <= call(app_url, "GET", f"/api/onnx/..%2Ffaces-128/{faces.digest}/full.onnx")[0] < 500


def test_refine_of_an_unknown_job_is_refused(app_url):
    refusal(app_url, "GET", "/api/refine/nothing")
    refusal(app_url, "POST", "/api/refine/nothing/cancel")


def test_the_app_never_loads_torch(app_url):
    health = json.loads(call(app_url, "GET", "/api/health")[2])
    assert health["torch"] is False
