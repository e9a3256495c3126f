"""Photos as faces to blend."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data as pictures

from tests.pictures import photo_file
from vae.photos import faces
from vae.photos.sources import photo_source, with_eyes


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
    source = photo_source(bundle, buffer.getvalue())
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
        again = photo_source(bundle, page)
        found += np.abs(np.array(again.eyes) - (90, 60) - bundle.eyes).max() < 3.5
    assert found >= 4


def test_eye_marks_by_hand_move_the_crop(bundle, astronaut) -> None:
    (x0, y0), (x1, y1) = astronaut.eyes
    moved = with_eyes(bundle, astronaut, ((x1 + 8, y1), (x0 + 8, y0)))
    assert moved.eyes[0][0] < moved.eyes[1][0]
    assert not np.array_equal(moved.crop, astronaut.crop) and not np.array_equal(moved.z, astronaut.z)
    with pytest.raises(faces.FaceError):
        with_eyes(bundle, astronaut, ((5.0, 5.0), (5.0, 5.0)))


def test_sentences_for_photos_that_do_not_work(bundle, drawn) -> None:
    cat = pictures.cat()
    with pytest.raises(faces.FaceError, match="No face"):
        photo_source(bundle, photo_file(cat))
    with pytest.raises(faces.ImageError, match="damaged"):
        photo_source(bundle, photo_file(pictures.astronaut())[:3000])
    with pytest.raises(
        faces.ImageError, match="This file is a text file, not a picture; use a PNG, JPEG or WebP picture."
    ):
        photo_source(bundle, b"not a picture at all")
    tiny = np.asarray(Image.fromarray(pictures.astronaut()[60:220, 140:300]).resize((24, 24)))
    page = np.full((400, 400, 3), 127, np.uint8)
    page[100:124, 100:124] = tiny
    with pytest.raises(faces.FaceError):
        photo_source(bundle, page)
    several = np.full((256, 1100, 3), 128, np.uint8)
    face = pictures.astronaut()[0:240, 120:330]
    for i in range(5):
        several[8:248, 5 + 218 * i : 215 + 218 * i] = face
    source = photo_source(bundle, several)
    assert len(source.found) == 5 and "5 faces" in source.remark
    fourth = photo_source(bundle, several, face=3)
    assert fourth.eyes == source.found[3].eyes
    with pytest.raises(faces.FaceError, match="choose one of the 5"):
        photo_source(bundle, several, face=7)
