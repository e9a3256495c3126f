"""Worlds: eight pictures of each where its package is there; their table; piano rolls and back."""

from __future__ import annotations

import importlib.util
import io
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae.config import DataConfig
from vae.data.files import DataError
from vae.data.sets import open_data
from vae.data.worlds import chorales, roads
from vae.data.worlds.command import NAMES, world_of
from vae.data.worlds.rolls import Note, doubtful, to_notes, to_picture
from vae.data.worlds.world import Sample, World, write_zip
from vae.presets import PRESETS

COUNT = 8


def drawn(name: str, seed: int = 3) -> list[Sample]:
    world = world_of(name)
    for package in world.packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: {world.install}")
    return list(itertools.islice(world.draw(COUNT, seed), COUNT))


@pytest.mark.parametrize("name", NAMES)
def test_a_world_draws_the_same_pictures_for_the_same_seed(name: str) -> None:
    samples, again, others = drawn(name), drawn(name), drawn(name, 4)
    world, model = world_of(name), next(r for r in PRESETS.values() if r.data.sources == (f"{name}.zip",)).model
    assert len(samples) == COUNT and len({sample.name for sample in samples}) == COUNT
    shape = (model.image_size, model.image_size) + ((3,) if model.channels == 3 else ())
    for sample, same in zip(samples, again):
        assert sample.picture.shape == shape and sample.picture.dtype == np.uint8
        assert np.array_equal(sample.picture, same.picture) and sample.factors == same.factors
        assert set(sample.factors) == {*world.factors, *world.labels}
        assert np.isfinite(list(sample.factors.values())).all()
        assert all(sample.factors[label] in (0, 1) for label in world.labels)
    assert any(not np.array_equal(a.picture, b.picture) for a, b in zip(samples, others))
    assert len({sample.picture.tobytes() for sample in samples}) > COUNT // 2


def test_a_slice_higher_up_is_smaller() -> None:
    samples = drawn("brain")
    area = [np.count_nonzero(sample.picture > 20) for sample in samples]
    height = [sample.factors["height"] for sample in samples]
    assert area[int(np.argmax(height))] < np.median(area)


def test_wider_ventricles_are_more_fluid_where_there_are_any() -> None:
    drawn("brain")
    from vae.data.worlds.brain import slice_of

    def fluid(height: float, ventricles: float) -> int:
        """Bright pixels in the middle of a T2 scan, where fluid shines."""
        seed = next(k for k in range(99) if slice_of(np.random.default_rng(k))[1]["T2"])
        told = {"height": height, "ventricles": ventricles, "head_width": 1, "head_length": 1, "nod": 0, "lean": 0}
        picture, _ = slice_of(np.random.default_rng(seed), **told, coil_shading=0)
        return np.count_nonzero(picture[28:68, 32:64] > 200)

    narrow, usual, wide = (fluid(-8, mm) for mm in (-1.5, 0, 5))
    assert narrow < 0.8 * usual and wide > 2.5 * usual
    assert abs(fluid(45, 5) - fluid(45, -1.5)) < 10  # above them nothing changes


def test_an_xray_from_the_other_side_is_nearly_its_mirror_image() -> None:
    drawn("chest")
    from vae.data.worlds.chest import xray

    left, right = (xray(angle, 0.0, 1.1, 1.6, 0.0, 0.0).astype(float) for angle in (90.0, -90.0))
    # Parallel rays see the same shadow from both ends.
    assert np.abs(left - right[:, ::-1]).mean() < 3
    assert np.abs(left - right).mean() > 10


def test_frames_of_a_drive_follow_each_other() -> None:
    samples = drawn("roads")
    assert [sample.factors["frame"] for sample in samples] == list(range(COUNT))
    steps = [np.abs(a.picture.astype(int) - b.picture).mean() for a, b in itertools.pairwise(samples)]
    assert max(steps) < np.abs(samples[0].picture.astype(int) - samples[-1].picture).mean() * 2
    assert max(steps) > 0


def test_the_road_is_measured_with_right_as_plus() -> None:
    track = np.array([[0.0, y] for y in range(60)] + [[x, 60.0] for x in range(60)])  # up, then to the right
    straight = roads._ahead(track, np.array([1.0, 20.0]), 0.0)
    assert straight["offset"] > 0 and straight["bend"] == pytest.approx(0, abs=1e-6)
    assert straight["road_angle"] == pytest.approx(0, abs=1e-6) and straight["aim"] < 0
    assert roads._ahead(track, np.array([0.0, 55.0]), 0.0)["bend"] > 45
    assert roads._ahead(track, np.array([0.0, 20.0]), np.pi / 6)["road_angle"] == pytest.approx(
        30
    )  # the car looks left


def test_notes_come_back_from_their_picture() -> None:
    notes = [Note(0, 4, 60), Note(4, 8, 60), Note(0, 16, 48), Note(62, 64, 96), Note(8, 9, 33)]
    assert to_notes(to_picture(notes)) == sorted(notes)  # repeated notes stay two
    assert to_notes(to_picture([Note(60, 80, 50), Note(3, 5, 20)])) == [Note(60, 64, 50)]
    assert doubtful(to_picture(notes)) == 0


def test_notes_of_a_chorale_come_back_from_its_picture() -> None:
    for sample in drawn("chorales"):
        notes = to_notes(sample.picture)
        assert np.array_equal(to_picture(notes), sample.picture)
        assert sample.factors["rhythm"] == len({note.start for note in notes}) / 4


def test_a_window_cuts_what_reaches_in_and_out() -> None:
    voices = [[Note(0, 20, 60), Note(20, 100, 62)]] * 4
    (cut,) = chorales.windows(voices, [16, 32, 48, 64])
    assert cut[0] == [Note(0, 4, 60), Note(4, 64, 62)]
    assert not list(chorales.windows(voices, [16, 32, 48]))


def test_a_bar_that_a_repeat_parts_is_one() -> None:
    assert chorales.bars_of([0, 4, 20, 32, 36, 52]) == [4, 20, 36]  # a pick-up, and 12 + 4
    assert chorales.bars_of([0, 16, 24, 32, 44]) == [0, 16]  # the last is no whole bar


# ---------------------------------------------------------------- the zip


def squares(count: int, seed: int) -> Iterator[Sample]:
    for place in range(count):
        picture = np.zeros((16, 16), np.uint8)
        picture[: place + 1, :4] = 200 + seed
        yield Sample(f"part/{place}", picture, {"height": place / 4, "even": float(place % 2 == 0)})


def world(**changes: object) -> World:
    told = dict(name="squares", title="Squares", draw=squares, packages=(), count=4, licence="none")
    told |= dict(factors={"height": "height"}, labels={"even": "even"})
    return World(**{**told, **changes})


def test_a_zip_carries_its_factors_into_the_set(tmp_path: Path) -> None:
    out = tmp_path / "squares.zip"
    assert write_zip(world(), out, 12, 0) == 12
    found = open_data(DataConfig((str(out),)), 16, 1)
    assert len(found) == 12 and found.factor_names == ("height",) and found.label_names == ("even",)
    assert not found.others and not found.refused
    for picture, (height,), (even,) in zip(found.images(range(12)), found.factors, found.labels):
        place = np.count_nonzero(picture[:, 0, 0]) - 1
        assert height == place / 4 and even == (place % 2 == 0)
    own = tmp_path / "own.csv"
    own.write_text("file,odd\n" + "".join(f"{k}.webp,{k % 2}\n" for k in range(12)), "utf-8")
    assert open_data(DataConfig((str(out),), attributes=str(own)), 16, 1).label_names == ("odd",)


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_zip(world(), tmp_path / name, 3, seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as archive:
        picture = Image.open(io.BytesIO(archive.read("part/2.webp")))
    assert np.array_equal(np.asarray(picture.convert("L")), list(squares(3, 0))[2].picture)  # nothing is lost


def test_refusals_are_sentences_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs the package no_such_package.*pip install"):
        write_zip(world(packages=("no_such_package",)), tmp_path / "a.zip", 3, 0)
    with pytest.raises(DataError, match="count is 0"):
        write_zip(world(), tmp_path / "a.zip", 0, 0)
    assert not list(tmp_path.iterdir())
    write_zip(world(), tmp_path / "a.zip", 1, 0)
    with pytest.raises(DataError, match="exists"):
        write_zip(world(), tmp_path / "a.zip", 1, 0)
