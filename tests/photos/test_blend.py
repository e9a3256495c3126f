"""vae.photos.blend, its route, its commands and its page."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import numpy as np
import pytest
import requests
from PIL import Image
from skimage import data as pictures

from vae.__main__ import main
from vae.bundles.bundle import Bundle
from vae.bundles.registry import default_registry
from vae.photos import blend, faces
from vae.photos.blend import BlendError
from vae.photos.refine import Refiner
from vae.space import latent
from vae.space.axes import bases
from vae.space.errors import LatentError


def photo_file(image: np.ndarray, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **{"quality": 95, **options} if kind == "JPEG" else options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return default_registry().get("faces-128")


@pytest.fixture(scope="module")
def astronaut(bundle: Bundle) -> blend.Source:
    return blend.photo_source(bundle, photo_file(pictures.astronaut()), "astronaut")


@pytest.fixture(scope="module")
def drawn(bundle: Bundle) -> list[blend.Source]:
    return [blend.drawn_source(bundle, seed) for seed in blend.SAMPLE_SEEDS]


@pytest.fixture(scope="module")
def offset_pair(bundle: Bundle, astronaut: blend.Source, drawn: list[blend.Source]) -> list[blend.Source]:
    """Two sources with style offsets, as refining gives them."""
    offsets = 0.3 * np.random.default_rng(3).standard_normal((2, bundle.levels, bundle.style_size))
    return blend.with_offsets([astronaut, drawn[0]], [0, 1], offsets)


# -- mixing


def test_groups_are_the_thirds_of_the_decoder() -> None:
    assert blend.level_groups(6) == (0, 0, 1, 1, 2, 2)
    assert blend.group_levels(6, 2) == (4, 5)
    assert blend.level_groups(4) == (0, 0, 1, 2) and blend.level_groups(0) == ()


@pytest.mark.parametrize("mix, index", [(0.0, 0), (1.0, 1)])
@pytest.mark.parametrize("path", blend.PATHS)
def test_ends_of_the_mix_are_the_reconstructions(bundle, offset_pair, mix: float, index: int, path: str) -> None:
    expected = blend.reconstruct(bundle, [offset_pair[index]])[0]
    picture = blend.blend(bundle, offset_pair, blend.pair_weights(bundle.levels, mix), path)
    assert np.array_equal(picture, expected)


def test_groups_move_on_their_own(bundle, drawn) -> None:
    pair = drawn[:2]
    weights = blend.pair_weights(bundle.levels, 0.0, fine=1.0)
    assert weights[:, 1].tolist() == [0, 0, 0, 0, 1, 1]
    mixed = bundle.decode(np.stack([pair[0].z] * 4 + [pair[1].z] * 2)[None])[0]
    assert np.array_equal(blend.blend(bundle, pair, weights), mixed)
    assert not np.array_equal(mixed, pair[0].crop)


def test_spherical_mean_is_slerp_for_two_and_keeps_lengths_for_more(drawn) -> None:
    codes = np.stack([source.z for source in drawn[:4]]).astype(float)
    pair = blend.spherical_mean(codes, np.array([0.3, 0, 0.7, 0]))
    assert np.allclose(pair, latent.slerp(codes[0], codes[2], 0.7))
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    mean = blend.spherical_mean(codes, weights)
    assert np.isclose(np.linalg.norm(mean), weights @ np.linalg.norm(codes, axis=1))
    assert np.linalg.norm(weights @ codes) < 0.95 * np.linalg.norm(mean)
    order = [2, 0, 3, 1]
    assert np.allclose(blend.spherical_mean(codes[order], weights[order]), mean)
    # at the mean the pulls of all faces cancel, and the faces' own part in it grows with their weights
    toward = blend.spherical_mean(codes, np.array([0.1, 0.1, 0.1, 0.7]))
    assert np.linalg.norm(toward - codes[3]) < np.linalg.norm(mean - codes[3])


def test_spherical_mean_survives_opposite_and_zero_codes() -> None:
    codes = np.array([[1.0, 0, 0], [-1.0, 0, 0], [0, 0, 0]])
    for weights in ([0.5, 0.5, 0], [0.4, 0.4, 0.2], [0, 0, 1.0], [0, 0.5, 0.5]):
        assert np.isfinite(blend.spherical_mean(codes, np.array(weights))).all()


@pytest.mark.parametrize("count, places", [
    (2, {(0, 0): [1, 0], (1, 0.3): [0, 1], (0.25, 0): [0.75, 0.25]}),
    (3, {(0, 0): [1, 0, 0], (1, 0): [0, 1, 0], (0.5, 1): [0, 0, 1], (0, 1): [0, 0, 1], (0.5, 0): [0.5, 0.5, 0]}),
    (4, {(0, 0): [1, 0, 0, 0], (1, 0): [0, 1, 0, 0], (0, 1): [0, 0, 1, 0], (0.5, 0.5): [0.25] * 4, (7, -3): [0, 1, 0, 0]}),
])  # fmt: skip
def test_pad_gives_each_corner_its_face(count: int, places: dict) -> None:
    for (x, y), weights in places.items():
        assert np.allclose(blend.corner_weights(x, y, count), weights), (x, y)
    rng = np.random.default_rng(0)
    for x, y in rng.uniform(-0.2, 1.2, (200, 2)):
        weights = blend.corner_weights(x, y, count)
        assert weights.min() >= -1e-12 and np.isclose(weights.sum(), 1)


def test_grid_cuts_between_row_and_column(bundle, drawn) -> None:
    weights = blend.grid_weights(bundle.levels, 1, 2, 2)
    assert weights.shape == (2, 6, 3)
    assert weights[1, :, 0].tolist() == [1, 1, 0, 0, 0, 0] and weights[1, :, 2].tolist() == [0, 0, 1, 1, 1, 1]
    page = blend.grid(bundle, drawn[:1], drawn[1:3], 2)
    size = bundle.image_size
    assert page.shape == (2 * size, 3 * size, 3)
    cell = blend.blend(bundle, [drawn[0], drawn[2]], np.array([[1, 0]] * 2 + [[0, 1]] * 4))
    assert np.array_equal(page[size:, 2 * size :], cell)


def test_flat_models_mix_as_a_whole() -> None:
    weights = blend.pair_weights(0, 0.25)
    assert weights.tolist() == [[0.75, 0.25]]
    assert blend.grid_weights(0, 1, 1, 1).tolist() == [[[0.5, 0.5]]]
    with pytest.raises(BlendError, match="no levels"):
        blend.pair_weights(0, 0.5, coarse=0.2)


@pytest.mark.parametrize("bad, word", [
    ([1.0], "shape"), ([[1.0, 0.0]] * 5, "shape"), ([0.0, 0.0], "all 0"), ([-1.0, 2.0], "below 0"),
    ([float("nan"), 1.0], "finite"), ("ab", "shape"), (None, "shape"),
])  # fmt: skip
def test_bad_weights_are_refused_in_a_sentence(bad: object, word: str) -> None:
    with pytest.raises(BlendError, match=word):
        blend.check_weights(bad, 6, 2)


@pytest.mark.parametrize("mix", [-0.1, 1.1, float("nan")])
def test_bad_amounts_are_refused(mix: float) -> None:
    with pytest.raises(BlendError, match="0 .* to 1"):
        blend.pair_weights(6, mix)


def test_one_code_and_offsets_stand_for_a_code_at_each_level(bundle, offset_pair) -> None:
    weights = blend.pair_weights(bundle.levels, 0.2, fine=0.9)
    z, delta = blend.blend_codes(bundle, offset_pair, weights[None])
    flat, offsets = blend.flatten(bundle, z[0], delta[0])
    assert flat.shape == (bundle.latent_size,)
    difference = bundle.decode(flat, offsets[None]).astype(int) - bundle.decode(z, delta)
    assert np.abs(difference).max() <= 1


def test_edits_move_the_read_out_and_leave_the_mix(bundle, drawn) -> None:
    basis = bases(bundle)["named"]
    name = basis.axes[0].id
    shift = blend.edit_shift(bundle, {name: 1.5})
    before, _ = blend.blend_codes(bundle, drawn[:2], blend.pair_weights(6, 0.5)[None])
    after, _ = blend.blend_codes(bundle, drawn[:2], blend.pair_weights(6, 0.5)[None], shift=shift)
    mean = bundle.stats.mean
    assert np.isclose(basis.values(after[0, 0], mean)[0] - basis.values(before[0, 0], mean)[0], 1.5, atol=1e-3)
    with pytest.raises(BlendError, match="-6 to 6"):
        blend.edit_shift(bundle, {name: 60})
    with pytest.raises(LatentError):
        blend.edit_shift(bundle, {"Nonsense": 1})


# -- morph, film, ribbon


def test_morph_visits_every_face(bundle, drawn) -> None:
    frames = list(blend.morph(bundle, drawn[:3], np.array([0, 0.5, 1])))
    for frame, source in zip(frames, drawn):
        assert np.array_equal(frame, source.crop)


def test_film_times() -> None:
    there = blend.film_times(4, 30)
    assert len(there) == 120 and there[0] == 0 and there[-1] == 1 and (np.diff(there) >= 0).all()
    loop = blend.film_times(4, 30, ping_pong=True, ease=False)
    assert len(loop) == 120 and loop[0] == 0 and loop[60] == 1
    assert np.isclose(loop[-1], loop[1])  # the first frame follows the last without a stop
    for seconds, fps in ((0.1, 30), (30, 30), (4, 0), (4, 100), (20, 60), (float("nan"), 30)):
        with pytest.raises(BlendError):
            blend.film_times(seconds, fps)


@pytest.mark.parametrize("kind", blend.FILM_KINDS)
def test_film_has_its_frames_and_reports_them(bundle, drawn, kind: str) -> None:
    import av

    seen: list[tuple[int, int]] = []
    data = blend.film(
        bundle, drawn[:2], kind, 0.5, 20, scale=2, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (10, 10)
    if kind == "webp":
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.n_frames == 10 and picture.size == (256, 256)
    else:
        with av.open(io.BytesIO(data)) as container:
            frames = list(container.decode(video=0))
            assert len(frames) == 10 and frames[0].width == 256
            first, last = (frames[i].to_ndarray(format="rgb24")[::2, ::2].astype(float) for i in (0, -1))
        assert np.abs(first - drawn[0].crop).mean() < 12 and np.abs(last - drawn[1].crop).mean() < 12


def test_ribbon_falls_where_a_path_leaves_the_data(bundle, drawn) -> None:
    inside = blend.ribbon(bundle, drawn[:2])
    assert inside.t.shape == inside.density.shape == inside.prior.shape == inside.data.shape
    assert ((inside.data >= 0) & (inside.data <= 1) & (inside.prior >= 0) & (inside.prior <= 1)).all()
    codes = bundle.codes.mu[:2].astype(np.float32)
    far = [blend.code_source(bundle, z, "far") for z in (codes[0], 6 * bundle.stats.std * np.sign(codes[1]))]
    outside = blend.ribbon(bundle, far)
    assert outside.data[0] > 0.02 and outside.data[-1] == 0 and outside.prior[-1] == 0
    assert outside.density[-1] < outside.density[0] - 100
    assert blend.ribbon(bundle, drawn[:1]) is None


# -- photos


def eyes_in_crop(crop: np.ndarray) -> np.ndarray:
    return np.array(faces.find_face(crop).eyes)


@pytest.mark.parametrize("change", ["plain", "turned", "exif", "wide", "grey", "cmyk", "16 bit"])
def test_a_photo_gives_the_same_crop_in_any_dress(bundle, astronaut, change: str) -> None:
    picture = Image.fromarray(pictures.astronaut())
    buffer = io.BytesIO()
    if change == "turned":
        picture.rotate(30, Image.Resampling.BICUBIC, fillcolor=(120, 120, 120)).save(buffer, "PNG")
    elif change == "exif":
        exif = Image.Exif()
        exif[0x0112] = 2
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(buffer, "JPEG", quality=95, exif=exif)
    elif change == "wide":
        picture.resize((4000, 4000), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    elif change == "grey":
        picture.convert("L").save(buffer, "PNG")
    elif change == "cmyk":
        picture.convert("CMYK").save(buffer, "JPEG", quality=95)
    elif change == "16 bit":
        Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(buffer, "PNG")
    else:
        picture.save(buffer, "PNG")
    source = blend.photo_source(bundle, buffer.getvalue())
    # what the transform does with the astronaut's own eyes, as found in the plain photo
    assert np.abs(eyes_in_crop(source.crop) - np.array(bundle.eyes)).max() < 2
    grey = [
        np.asarray(Image.fromarray(crop).convert("L")).astype(float)[16:112, 16:112]
        for crop in (source.crop, astronaut.crop)
    ]
    assert abs(grey[0].mean() - grey[1].mean()) < 6
    assert np.abs(grey[0] - grey[1]).mean() < 12


def test_drawn_faces_are_found_and_aligned(bundle, drawn) -> None:
    found = 0
    for source in drawn:
        page = np.full((300, 300, 3), 128, np.uint8)
        page[60:188, 90:218] = source.crop
        again = blend.photo_source(bundle, page)
        found += np.abs(np.array(again.eyes) - (90, 60) - bundle.eyes).max() < 3.5
    assert found >= 4


def test_eye_marks_by_hand_move_the_crop(bundle, astronaut) -> None:
    (x0, y0), (x1, y1) = astronaut.eyes
    moved = blend.with_eyes(bundle, astronaut, ((x1 + 8, y1), (x0 + 8, y0)))
    assert moved.eyes[0][0] < moved.eyes[1][0]
    assert not np.array_equal(moved.crop, astronaut.crop) and not np.array_equal(moved.z, astronaut.z)
    with pytest.raises(faces.FaceError):
        blend.with_eyes(bundle, astronaut, ((5.0, 5.0), (5.0, 5.0)))


def test_sentences_for_photos_that_do_not_work(bundle, drawn) -> None:
    cat = pictures.cat()
    with pytest.raises(faces.FaceError, match="No face"):
        blend.photo_source(bundle, photo_file(cat))
    with pytest.raises(faces.ImageError, match="damaged"):
        blend.photo_source(bundle, photo_file(pictures.astronaut())[:3000])
    with pytest.raises(faces.ImageError, match="not a picture"):
        blend.photo_source(bundle, b"not a picture at all")
    tiny = np.asarray(Image.fromarray(pictures.astronaut()[60:220, 140:300]).resize((24, 24)))
    page = np.full((400, 400, 3), 127, np.uint8)
    page[100:124, 100:124] = tiny
    with pytest.raises(faces.FaceError):
        blend.photo_source(bundle, page)
    several = np.full((256, 1100, 3), 128, np.uint8)
    face = pictures.astronaut()[0:240, 120:330]
    for i in range(5):
        several[8:248, 5 + 218 * i : 215 + 218 * i] = face
    source = blend.photo_source(bundle, several)
    assert len(source.found) == 5 and "5 faces" in source.remark
    fourth = blend.photo_source(bundle, several, face=3)
    assert fourth.eyes == source.found[3].eyes
    with pytest.raises(faces.FaceError, match="choose one of the 5"):
        blend.photo_source(bundle, several, face=7)


# -- likeness and the way back


def test_likeness_of_a_photo_and_of_the_models_own_face(bundle, astronaut, drawn) -> None:
    own = blend.likeness(bundle, drawn[0])
    assert own.psnr == 100 and own.distance == pytest.approx(0) and own.same_person
    one_pass = blend.likeness(bundle, astronaut)
    assert 14 < one_pass.psnr < 25 and 0.2 < one_pass.distance < 1
    perfect = blend.likeness(bundle, astronaut, astronaut.crop)
    assert perfect.same_person and perfect.distance < 0.35


def test_crossings_interpolate() -> None:
    t = np.linspace(0, 1, 5)
    distances = np.column_stack([[0.4, 0.5, 0.7, 0.8, 0.9], [0.9, 0.8, 0.7, 0.65, 0.55]])
    assert blend.crossings(t, distances) == (pytest.approx(0.375), pytest.approx(0.875))
    assert blend.crossings(t, np.full((5, 2), 0.9)) == (None, None)
    assert blend.crossings(t, np.full((5, 2), 0.1)) == (1.0, 0.0)


def test_all_detail_at_the_end_of_the_mix_is_the_photo(bundle, astronaut, drawn) -> None:
    weights = blend.pair_weights(bundle.levels, 0.0)
    picture = blend.blend(bundle, [astronaut, drawn[0]], weights)
    full = blend.keep_detail(bundle, [astronaut, drawn[0]], weights, picture, 1.0)
    assert np.abs(full.astype(int) - astronaut.crop).max() <= 1
    none = blend.keep_detail(bundle, [astronaut, drawn[0]], weights, picture, 0.0)
    assert np.array_equal(none, picture)


def test_paste_changes_the_face_and_nothing_else(bundle, astronaut, drawn) -> None:
    weights = blend.pair_weights(bundle.levels, 0.5)
    factor = blend.fine_factor(bundle, astronaut)
    picture = blend.keep_detail(
        bundle, [astronaut, drawn[0]], weights, blend.blend(bundle, [astronaut, drawn[0]], weights), 0.3, factor
    )
    assert picture.shape[0] == factor * bundle.image_size
    result, share = blend.paste(bundle, astronaut, picture)
    assert result.shape == astronaut.photo.shape and share.shape == result.shape[:2]
    assert np.array_equal(result[share == 0], astronaut.photo[share == 0])
    (x0, y0), (x1, y1) = astronaut.eyes
    assert share[int((y0 + y1) / 2), int((x0 + x1) / 2)] > 0.99 and share[400:].max() == 0
    tinted = blend.tint(result, share)
    assert np.ptp(tinted[450:].astype(int), axis=2).max() <= 1  # grey where the photo is
    with pytest.raises(BlendError, match="not a photo"):
        blend.paste(bundle, drawn[0], picture)


def test_refining_brings_both_photos_nearer_in_one_batch(bundle, astronaut, drawn) -> None:
    second = blend.photo_source(bundle, np.pad(drawn[1].crop, ((60, 60), (60, 60), (0, 0)), mode="edge"))
    steps = []
    with Refiner() as refiner:
        sources = blend.refine_sources(bundle, [astronaut, drawn[0], second], refiner, 12, steps.append)
    assert steps[-1].delta.shape == (2, bundle.levels, bundle.style_size)
    assert sources[1].delta is None  # drawn: nothing to refine
    for before, after in ((astronaut, sources[0]), (second, sources[2])):
        assert blend.likeness(bundle, after).psnr > blend.likeness(bundle, before).psnr + 1
    for mix, source in ((0, sources[0]), (1, sources[2])):
        picture = blend.blend(bundle, [sources[0], sources[2]], blend.pair_weights(bundle.levels, mix))
        assert np.array_equal(picture, blend.reconstruct(bundle, [source])[0])


# -- command line


@pytest.fixture()
def files(tmp_path: Path, drawn) -> list[str]:
    (tmp_path / "a.jpg").write_bytes(photo_file(pictures.astronaut()))
    page = np.pad(drawn[1].crop, ((60, 60), (60, 60), (0, 0)), mode="edge")
    (tmp_path / "b.png").write_bytes(photo_file(page, "PNG"))
    return [str(tmp_path / "a.jpg"), str(tmp_path / "b.png")]


def test_command_writes_picture_film_and_grid(files, tmp_path: Path, bundle, capsys) -> None:
    out, film, table = (str(tmp_path / name) for name in ("c.png", "m.mp4", "g.png"))
    command = [
        "blend",
        *files,
        "--mix",
        "0",
        "--out",
        out,
        "--film",
        film,
        "--seconds",
        "0.5",
        "--fps",
        "10",
        "--grid",
        table,
    ]
    assert main(command) == 0
    expected = blend.reconstruct(bundle, [blend.photo_source(bundle, Path(files[0]).read_bytes())])[0]
    assert np.array_equal(np.asarray(Image.open(out)), expected)
    assert b"ftyp" in Path(film).read_bytes()[:12]
    assert Image.open(table).size == (256, 256)
    assert "c.png" in capsys.readouterr().out


def test_command_pastes_into_the_photo(files, tmp_path: Path) -> None:
    out = str(tmp_path / "c.png")
    assert main(["blend", *files, "--detail", "0.5", "--paste", "A", "--out", out]) == 0
    assert Image.open(out).size == (512, 512)


@pytest.mark.parametrize("more, word", [
    (["--out", "c.png", "--paste", "D"], "no photo D"), ([], "Nothing to write"), (["--film", "m.avi"], "ending"),
    (["--out", "c.png", "--weights", "1", "2", "3"], "shape"), (["--out", "c.png", "--model", "nothing"], "nothing"),
])  # fmt: skip
def test_command_refuses_in_a_sentence(files, tmp_path: Path, more: list[str], word: str, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["blend", *files, *more]) == 2
    message = capsys.readouterr().err.strip()
    assert word in message and message.count("\n") == 0 and message.endswith(".")


def test_command_names_the_photo_without_a_face(files, tmp_path: Path, capsys) -> None:
    (tmp_path / "cat.png").write_bytes(photo_file(pictures.cat(), "PNG"))
    assert main(["blend", files[0], str(tmp_path / "cat.png"), "--out", str(tmp_path / "c.png")]) == 2
    assert "In cat.png: No face" in capsys.readouterr().err
    assert main(["blend", files[0], str(tmp_path / "gone.png"), "--out", str(tmp_path / "c.png")]) == 2


# -- HTTP


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> dict:
        return json.loads(self.content)


def post(path: str, **body: object) -> Answer:
    """POST in this process, so that a test can watch what the process does; body: as requests takes it."""
    from starlette.applications import Starlette

    from vae.web.routes import routes

    request = requests.Request("POST", f"http://test{path}", **body).prepare()
    address = urlsplit(request.url)
    scope = {
        "type": "http", "method": "POST", "path": address.path, "raw_path": address.path.encode(), "query_string": address.query.encode(),
        "headers": [(key.lower().encode(), str(value).encode()) for key, value in request.headers.items()],
        "http_version": "1.1", "scheme": "http", "server": ("test", 80), "client": ("test", 1), "root_path": "",
    }  # fmt: skip
    body = request.body or b""
    parts = [body[i : i + 65536] for i in range(0, len(body), 65536)] or [b""]
    sent: list[dict] = []

    async def receive() -> dict:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: dict) -> None:
        sent.append(message)

    async def call() -> None:
        await Starlette(routes=routes())(scope, receive, send)

    # In a thread of its own: where browser tests ran before, this one has Playwright's event loop.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(anyio.run, call).result()
    headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))


@pytest.fixture(scope="module")
def two_photos(drawn) -> dict[str, tuple[str, bytes]]:
    page = np.pad(drawn[1].crop, ((60, 60), (60, 60), (0, 0)), mode="edge")
    return {"a": ("a.jpg", photo_file(pictures.astronaut())), "b": ("b.png", photo_file(page, "PNG"))}


def test_post_blend_gives_the_reconstruction_at_the_end(two_photos, bundle) -> None:
    answer = post("/api/blend?model=faces-128&mix=1", files=two_photos)
    assert answer.status == 200 and answer.headers["content-type"] == "image/png"
    expected = blend.reconstruct(bundle, [blend.photo_source(bundle, two_photos["b"][1])])[0]
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
    ("model=faces-128", {"b": ("b.png", b"hello")}, 400, "not a picture"), ("model=faces-128", {"b": None}, 400, "files a and b"),
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
def test_uploads_are_never_on_disk(monkeypatch, tmp_path: Path) -> None:
    """A photo above the size from which parsers spool goes through without a temporary file being opened."""
    made: list[object] = []
    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp", "_TemporaryFileWrapper"):
        original = getattr(tempfile, name)
        monkeypatch.setattr(tempfile, name, lambda *a, _original=original, **k: made.append(a) or _original(*a, **k))
    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), dtype=np.uint8)
    noise[200:712, 200:712] = pictures.astronaut()
    big = photo_file(noise, "PNG")
    assert len(big) > 2**21
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what others write meanwhile is elsewhere
    answer = post("/api/blend?model=faces-128", files={"a": ("a.png", big), "b": ("b.png", big)})
    assert answer.status == 200
    assert not made
    assert not list(tmp_path.iterdir())


# -- the page


@pytest.fixture()
def page(tmp_path: Path, monkeypatch):
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv("VAE_HOME", str(tmp_path))
    return AppTest.from_file(str(Path(__file__).resolve().parents[2] / "pages" / "blend.py"), default_timeout=300)


def test_page_opens_empty(page) -> None:
    page.run()
    assert not page.exception and not page.tabs


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
    assert len(desk.people) == 1 and desk.people[0].source.eyes
    page.file_uploader(key="plain-file-1").upload("b.png", b"this is text", "image/png").run()
    assert len(desk.people) == 1 and "not a picture" in page.warning[0].value


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
    assert here.path == "lerp" and np.array_equal(here.picture(bundle), blend.reconstruct(bundle, here.sources[:1])[0])
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
