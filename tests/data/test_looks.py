"""Colour and size are looked for, not assumed."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from tests.data.draw import make_folder, picture, saved, settings, write_zip
from vae.data.files import DataError
from vae.data.looks import look
from vae.training.options import add_arguments, recipe_from


def grey_jpeg(seed: int) -> bytes:
    """A grey picture saved as RGB, with what compression adds."""
    values = np.random.default_rng(seed).integers(0, 256, (40, 50), np.uint8)
    return saved(values[..., None].repeat(3, 2), "JPEG", quality=60)


def test_colour_is_looked_for(tmp_path: Path) -> None:
    grey = {f"{i}.jpg": grey_jpeg(i) for i in range(8)}
    found = look(settings(make_folder(tmp_path / "grey", grey)))
    assert not found.colour and found.size == 40 and found.count == 8
    mixed = {**grey, "one.png": picture(size=(90, 70))}
    assert look(settings(write_zip(tmp_path / "mixed.zip", mixed))).colour
    deep = {f"{i}.png": saved(np.full((30, 30), 900 * i, np.uint16)) for i in range(4)}
    assert look(settings(make_folder(tmp_path / "deep", deep))) == look(settings(tmp_path / "deep"))
    assert not look(settings(tmp_path / "deep")).colour
    assert look(settings("sklearn-digits")) is None
    with pytest.raises(DataError, match="no usable"):
        look(settings(make_folder(tmp_path / "none", {"a.txt": b"hello"})))


def recipe(*words: object):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return recipe_from(parser.parse_args([str(word) for word in words]))


def test_the_command_line_takes_the_pictures_own_colour_and_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    colour = make_folder(tmp_path / "colour", {f"{i}.png": picture(i, size=(70, 60)) for i in range(4)})
    grey = make_folder(tmp_path / "grey", {f"{i}.jpg": grey_jpeg(i) for i in range(4)})
    made = recipe("--preset", "vae", "--data", colour, "--steps", 1)
    assert (made.model.channels, made.model.image_size) == (3, 60)
    assert "The pictures are in colour, usually 60 px" in capsys.readouterr().out
    made = recipe("--preset", "vae", "--data", colour, "--size", 64, "--latent", 32)
    assert (made.model.channels, made.model.image_size, made.model.latent_size) == (3, 64, 32)
    assert "they are trained in colour (--channels" in capsys.readouterr().out
    made = recipe("--preset", "sharp", "--data", grey)
    assert (made.model.channels, made.model.image_size) == (1, 32)
    made = recipe("--preset", "sharp", "--data", grey, "--set", "model.channels=3", "--size", 64)
    assert (made.model.channels, made.model.image_size) == (3, 64)
    capsys.readouterr()
    assert recipe("--preset", "vae", "--data", "sklearn-digits").model.image_size == 28
    assert recipe("--preset", "vae", "--data", tmp_path / "nowhere.zip").model.channels == 1
    assert capsys.readouterr().out == ""
