"""Photos in, aligned faces out: on scikit-image's astronaut, its faces of 25 px, and pictures without a face."""

from __future__ import annotations

import io
import math
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image
from skimage import data

from vae.photos import faces

ASTRONAUT_PUPILS = ((202.0, 101.0), (247.0, 102.5))  # found by eye, to about 2 px


@pytest.fixture(scope="module")
def photo():
    return data.astronaut()


@pytest.fixture(scope="module")
def face(photo):
    return faces.find_face(photo)


@pytest.fixture(scope="module")
def crop(photo, face):
    return faces.align(photo, face.eyes)


def encoded(image, kind, **options) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def eyes_in_crop(crop):
    """Where the detector finds the eyes of an aligned crop, in its px."""
    return np.array(faces.find_face(crop).eyes)


# ------------------------------------------------------------------------------------------- alignment


def test_the_eyes_land_on_the_template(photo, face, crop):
    scale = 34 / face.eye_distance
    for found, pupil in zip(face.eyes, ASTRONAUT_PUPILS):
        assert math.dist(found, pupil) * scale < 2
    assert crop.shape == (128, 128, 3) and crop.dtype == np.uint8
    assert np.abs(eyes_in_crop(crop) - faces.TEMPLATE).max() < 2


def turned(photo, degrees):
    return np.asarray(Image.fromarray(photo).rotate(-degrees, Image.Resampling.BICUBIC, expand=True))


def variants(photo):
    picture = Image.fromarray(photo)
    yield "turned by 30 degrees", turned(photo, 30)
    yield "turned by -30 degrees", turned(photo, -30)
    yield "turned by 40 degrees", turned(photo, 40)
    yield "on its side", turned(photo, 90)
    yield "4000 px wide", np.asarray(picture.resize((4000, 4000), Image.Resampling.BICUBIC))
    yield "a quarter", np.asarray(picture.resize((128, 128), Image.Resampling.LANCZOS))
    yield "grey", np.asarray(picture.convert("L").convert("RGB"))
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    exif = Image.Exif()
    exif[0x0112] = 2
    yield "mirrored by EXIF", faces.read_image(encoded(mirrored, "JPEG", quality=95, exif=exif.tobytes()))
    exif[0x0112] = 6
    side = picture.transpose(Image.Transpose.ROTATE_90)
    yield "turned by EXIF", faces.read_image(encoded(side, "JPEG", quality=95, exif=exif.tobytes()))


def test_any_version_of_a_photo_gives_the_same_crop(photo, crop):
    grey = np.asarray(Image.fromarray(crop).convert("L")).astype(float)
    for name, image in variants(photo):
        found = faces.find_faces(image)
        assert len(found) == 1, name
        other = faces.align(image, found[0].eyes)
        assert np.abs(eyes_in_crop(other) - eyes_in_crop(crop)).max() < 2, name
        other = np.asarray(Image.fromarray(other).convert("L")).astype(float)
        inner = (slice(24, 112), slice(24, 104))  # of a turned photo, corners show the black around it
        assert abs(other[inner].mean() - grey[inner].mean()) < 6, name
        # Bluntly shifted by 2 px the picture would differ by more than this.
        assert np.abs(other[inner] - grey[inner]).mean() < np.abs(np.roll(grey, 2, 1) - grey)[inner].mean(), name


def test_a_photo_of_twelve_megapixels_takes_two_seconds_of_two_cores_at_most(photo):
    """By the processor's time, of both threads together, so that other work on the machine does not matter."""
    large = np.asarray(Image.fromarray(photo).resize((4000, 3000), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(0).integers(0, 256, (3000, 4000), np.uint8)
    faces.find_faces(photo)
    for picture, some in ((large, True), (noise, False)):
        before = time.process_time()
        assert bool(faces.find_faces(picture)) == some
        assert time.process_time() - before < 4


def group(photo, face, distances, size=(4032, 3024)):
    """A photo with the same head once for each distance of the eyes in px -> picture, (distance, middle of the eyes)."""
    left, top, right, bottom = 110, 0, 340, 260
    head = Image.fromarray(photo[top:bottom, left:right])
    tiles = np.random.default_rng(0).integers(90, 150, (size[1] // 48, size[0] // 48, 3), np.uint8)
    page = Image.fromarray(tiles).resize(size, Image.Resampling.NEAREST)
    centre, places = np.mean(face.eyes, axis=0) - (left, top), []
    x = y = row = 0
    for distance in sorted(distances, reverse=True):
        scale = distance / face.eye_distance
        width, height = round(head.width * scale), round(head.height * scale)
        if x + width > size[0]:
            x, y, row = 0, y + row + 20, 0
        page.paste(head.resize((width, height), Image.Resampling.LANCZOS), (x, y))
        places.append((distance, centre * scale + (x, y)))
        x, row = x + width + 20, max(row, height)
    return np.asarray(page), places


def test_a_group_photo_offers_everybody_once_whatever_the_size(photo, face):
    """Ten sizes from 30 to 300 px between the eyes in 12 megapixels: all from 36 px on are found, none twice."""
    picture, places = group(photo, face, (30, 36, 42, 50, 60, 80, 110, 150, 210, 300))
    found = faces.find_faces(picture)
    for distance, middle in places:
        here = [f for f in (*found, *found.small) if math.dist(np.mean(f.eyes, axis=0), middle) < 0.5 * distance]
        assert len(here) == 1 or distance < 36, distance
        assert all(abs(f.eye_distance / distance - 1) < 0.06 for f in here)
    assert len(found) == 9 and found == sorted(found, key=lambda f: -f.eye_distance)
    assert len(found.small) <= 1 and "9 faces were found" in faces.remark(found)


def test_faces_that_are_too_small_are_counted(photo, face):
    picture, _ = group(photo, face, (120, 60, 28, 26), (2000, 1400))
    found = faces.find_faces(picture)
    assert [round(f.eye_distance, -1) for f in found] == [120, 60]
    assert [round(f.eye_distance) for f in found.small] == [28, 26]
    assert "Two more faces are too small to use (eyes up to 28 px apart" in faces.remark(found)


def test_one_near_face_does_not_hide_six_behind(photo, face):
    picture, _ = group(photo, face, (400, 67, 67, 67, 67, 67, 67))
    assert [round(f.eye_distance, -1) for f in faces.find_faces(picture)] == [400, 70, 70, 70, 70, 70, 70]


def test_a_person_in_a_landscape_is_found(photo, face):
    scene = Image.fromarray(data.coffee()).resize((4032, 3024), Image.Resampling.BICUBIC)
    scale = 50 / face.eye_distance
    scene.paste(Image.fromarray(photo[:260, 110:340]).resize((round(230 * scale), round(260 * scale))), (2900, 1900))
    (found,) = faces.find_faces(np.asarray(scene))
    assert abs(found.eye_distance - 50) < 2 and 2900 < found.eyes[0][0] < 3200


def unclear(photo):
    grain = np.random.default_rng(0).normal(0, 1, photo.shape)
    yield "dark", photo * 0.05
    yield "darker", photo * 0.03
    yield "faded", 200 + (photo - 128.0) * 0.1
    yield "grainy", photo + 60 * grain
    yield "grainier", photo + 75 * grain
    yield "dark and grainy", photo * 0.1 + 4 * grain
    lamp = photo * 0.05
    lamp[-40:, -40:] = 255
    yield "dark with a lamp", lamp


def test_dark_faded_and_grainy_pictures_get_a_second_look(photo):
    for name, values in unclear(photo):
        found = faces.find_faces(values.clip(0, 255).astype(np.uint8))
        assert len(found) == 1, name
        assert np.abs(np.array(found[0].eyes) - ASTRONAUT_PUPILS).max() < 4, name


def test_from_the_front_is_said_only_where_something_was_refused(photo):
    nothing = faces.find_faces(np.full((300, 300), 128, np.uint8))
    assert nothing == [] and nothing.refused == 0
    assert "front" not in faces.remark(nothing) and "by hand" in faces.remark(nothing)
    assert "front" in faces.remark(faces.Faces(refused=1)) and "by hand" in faces.remark(faces.Faces(refused=1))
    with pytest.raises(faces.FaceError) as caught:
        faces.find_face(np.full((300, 300), 128, np.uint8))
    assert "front" not in str(caught.value)


def test_remarks_count_the_faces_that_are_too_small():
    def of(distance):
        return faces.Face((0, 0, 9, 9), ((0, 0), (distance, 0)), 1.0)

    two = faces.Faces([of(60)], [of(30), of(28)])
    assert faces.remark(two) == "Two more faces are too small to use (eyes up to 30 px apart, 32 are needed)."
    assert faces.remark(faces.Faces([of(60)])) is None
    assert faces.remark(faces.Faces([of(60), of(40)], [of(30)])).count(".") == 2
    assert "blurred" in faces.remark([of(20)])


def test_several_faces_come_largest_first(photo):
    picture = np.full((600, 1100, 3), 128, np.uint8)
    picture[:512, :512] = photo
    picture[100:500, 700:1100] = np.asarray(Image.fromarray(photo).resize((400, 400)))
    found = faces.find_faces(picture)
    assert len(found) == 2 and found[0].eye_distance > found[1].eye_distance
    assert found[0].box[0] < 512 < found[1].box[0]
    assert "2 faces" in faces.remark(found)
    assert faces.find_face(picture, 1) == found[1]
    with pytest.raises(faces.FaceError, match="number 3"):
        faces.find_face(picture, 2)


@pytest.mark.parametrize("name", ["chelsea", "coffee", "brick", "camera"])
def test_a_cat_is_no_face(name):
    picture = getattr(data, name)()
    if name == "camera":
        picture = picture[300:]
    assert faces.find_faces(picture) == []
    with pytest.raises(faces.FaceError, match="No face was found.*by hand"):
        faces.find_face(picture)
    assert "by hand" in faces.remark([])


def test_small_faces_are_found_and_tiny_ones_refused(photo):
    for side in (40, 25):
        left, top, right, bottom = 165, 60, 285, 180
        part = Image.fromarray(photo[top:bottom, left:right])
        small = np.asarray(part.resize((side, side), Image.Resampling.LANCZOS))
        found = faces.find_faces(small)
        if found:
            assert faces.align(small, found[0].eyes).shape == (128, 128, 3)
            assert "small" in faces.remark(found)
    subset = data.lfw_subset()
    assert sum(bool(faces.find_faces((subset[i] * 255).astype(np.uint8))) for i in range(0, 100, 10)) >= 8
    assert not any(faces.find_faces((subset[i] * 255).astype(np.uint8)) for i in range(100, 200, 10))
    with pytest.raises(faces.FaceError, match="5 px apart"):
        faces.check_face(faces.Face((0, 0, 12, 12), ((3, 4), (8, 4)), 1.0))


def test_faces_are_found_from_several_threads(photo, face):
    results = []
    threads = [threading.Thread(target=lambda: results.append(faces.find_face(photo))) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert results == [face] * 4


def test_align_matrix_is_a_similarity_onto_the_template():
    eyes = ((100.0, 50.0), (160.0, 80.0))
    matrix = faces.align_matrix(eyes, faces.TEMPLATE)
    assert np.allclose((matrix[:, :2] @ np.transpose(eyes)).T + matrix[:, 2], faces.TEMPLATE)
    assert np.allclose(matrix[:, :2] @ matrix[:, :2].T, np.eye(2) * np.linalg.det(matrix[:, :2]))


def test_align_keeps_pixels_in_place_at_every_scale():
    """A smooth picture through the identity, and from 1x, 3x and 11x its size, gives itself."""
    y, x = np.mgrid[:128, :128] / 128
    waves = (127 + 60 * np.sin(7 * x) + 60 * np.cos(5 * y + 3 * x)).astype(np.uint8)[..., None].repeat(3, 2)
    assert (faces.align(waves, faces.TEMPLATE) == waves).all()
    for factor in (2, 3, 11):
        large = np.asarray(Image.fromarray(waves).resize((128 * factor,) * 2, Image.Resampling.BICUBIC))
        eyes = tuple(tuple((v + 0.5) * factor - 0.5 for v in eye) for eye in faces.TEMPLATE)
        back = faces.align(large, eyes).astype(int)
        assert np.abs(back - waves)[4:-4, 4:-4].max() <= 3, factor


def test_align_is_antialiased_and_mirrors_the_edge(photo):
    stripes = np.zeros((1280, 1280, 3), np.uint8)
    stripes[:, ::2] = 255
    eyes = tuple(tuple((v + 0.5) * 10 - 0.5 for v in eye) for eye in faces.TEMPLATE)
    assert np.ptp(faces.align(stripes, eyes)[8:-8, 8:-8]) < 20
    white = np.full((60, 60, 3), 255, np.uint8)
    assert (faces.align(white, ((20, 30), (40, 30))) == 255).all()


@pytest.mark.parametrize(
    ("eyes", "words"),
    [
        (((5, 5), (5, 5)), "0.0 px apart"),
        (((5, 5), (float("nan"), 5)), "finite"),
        (((5, 5),), "two points"),
        ("eyes", "two points"),
        (((-900, -900), (-850, -900)), "outside the picture"),
    ],
)
def test_marks_that_cannot_be_eyes_are_refused(photo, eyes, words):
    with pytest.raises(faces.FaceError, match=words):
        faces.align(photo, eyes)


def test_the_descriptor_knows_a_person_again(photo, face, crop):
    person = faces.describe(photo, face)
    assert person.shape == (128,)
    dim = (photo * 0.7).astype(np.uint8)
    assert faces.same_person(person, faces.describe(crop)) < 0.2
    assert faces.same_person(person, faces.describe(turned(dim, 15), faces.find_face(turned(dim, 15)))) < 0.35
    other = (data.lfw_subset()[3] * 255).astype(np.uint8)
    assert faces.same_person(person, faces.describe(other, faces.find_face(other))) > faces.SAME_PERSON


# ------------------------------------------------------------------------------------------- pasting


def test_pasting_the_crop_itself_changes_little(photo, face, crop):
    result = faces.paste_back(photo, crop, faces.align_matrix(face.eyes))
    assert result.shape == photo.shape and result is not photo
    change = np.abs(result.astype(int) - photo)
    left, top, right, bottom = face.box
    assert change[top:bottom, left:right].mean() < 6
    assert not change[400:].any() and not change[:, 400:].any()


def test_pasting_changes_the_face_and_hides_the_seam(photo, face, crop):
    tinted = (crop.astype(int) + np.array([40, -10, 0])).clip(0, 255).astype(np.uint8)
    matrix = faces.align_matrix(face.eyes)
    plain = faces.paste_back(photo, tinted, matrix, match=0).astype(int) - photo
    matched = faces.paste_back(photo, tinted, matrix).astype(int) - photo
    (x, y), edge = np.mean(face.eyes, axis=0).round().astype(int), (slice(95, 110), slice(155, 165))
    assert plain[y : y + 20, x - 5 : x + 5, 0].mean() > 25
    assert matched[y : y + 20, x - 5 : x + 5, 0].mean() > 12
    assert abs(matched[edge][..., 0].mean()) < 0.5 * abs(plain[edge][..., 0].mean())


def test_pasting_works_from_a_larger_crop_at_an_edge_and_on_a_small_photo(photo, face):
    template = tuple(tuple((v + 0.5) * 4 - 0.5 for v in eye) for eye in faces.TEMPLATE)
    fine = faces.align(photo, face.eyes, template, 512)
    result = faces.paste_back(photo, fine, faces.align_matrix(face.eyes, template))
    assert np.abs(result.astype(int) - photo)[70:176, 170:277].mean() < 3
    near_edge = np.ascontiguousarray(photo[60:, 190:])
    eyes = tuple((x - 190, y - 60) for x, y in face.eyes)
    pasted = faces.paste_back(near_edge, faces.align(near_edge, eyes), faces.align_matrix(eyes))
    assert pasted.shape == near_edge.shape


def test_pasting_nonsense_is_refused(photo, crop):
    matrix = faces.align_matrix(((10, 10), (40, 10)))
    away = matrix.copy()
    away[:, 2] += 10**5
    for call, words in (
        (lambda: faces.paste_back(photo, crop, np.zeros((2, 3))), "turned round"),
        (lambda: faces.paste_back(photo, crop, away), "outside"),
        (lambda: faces.paste_back(photo, crop[:60], matrix), "square"),
        (lambda: faces.paste_back(photo, crop, matrix, feather=2), "feather is 2"),
        (lambda: faces.paste_back(photo, crop, matrix, match=-1), "match is -1"),
        (lambda: faces.paste_back(photo, crop, matrix, mask=np.ones((3, 3))), "mask"),
        (lambda: faces.detail(crop, crop, 1.5), "1.5"),
    ):
        with pytest.raises(faces.FaceError, match=words):
            call()


def test_detail_adds_back_what_the_model_left_out(crop):
    model = np.asarray(Image.fromarray(crop).resize((16, 16)).resize((128, 128)))
    assert (faces.detail(crop, model, 1.0) == crop).all() and (faces.detail(crop, model, 0.0) == model).all()
    other = np.full_like(crop, 128)
    half = faces.detail(crop, model, 0.5, other).astype(int) - 128
    assert np.abs(half - (crop.astype(int) - model) / 2).max() <= 1
    fine = np.asarray(Image.fromarray(crop).resize((256, 256)))
    assert faces.detail(fine, model, 1.0, model).shape == (256, 256, 3)


# ------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pictures_are_read_by_content(photo, kind):
    image = faces.read_image(encoded(photo, kind, **({} if kind == "PNG" else {"quality": 95})))
    assert image.shape == photo.shape and image.dtype == np.uint8
    assert np.abs(image.astype(int) - photo).mean() < 3


def test_every_colour_mode_becomes_rgb(photo):
    picture = Image.fromarray(photo)
    grey = np.asarray(picture.convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    for mode, data_ in (
        ("CMYK", encoded(picture.convert("CMYK"), "JPEG", quality=95)),
        ("P", encoded(picture.quantize(256), "PNG")),
        ("L", encoded(picture.convert("L"), "PNG")),
        ("LA", encoded(picture.convert("LA"), "PNG")),
        ("16 bit", encoded(deep, "PNG")),
        ("1", encoded(picture.convert("1"), "PNG")),
    ):
        image = faces.read_image(data_)
        assert image.shape == photo.shape and image.dtype == np.uint8, mode
        assert abs(image.mean() - photo.mean()) < 12, mode
    assert np.abs(faces.read_image(encoded(deep, "PNG"))[..., 0].astype(int) - grey).max() <= 1


def test_transparency_is_laid_over_white():
    clear = np.zeros((20, 20, 4), np.uint8)
    clear[:10] = (10, 20, 30, 255)
    image = faces.read_image(encoded(Image.fromarray(clear), "PNG"))
    assert (image[0] == (10, 20, 30)).all() and (image[-1] == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    exact = {"lossless": True} if kind == "WEBP" else {}
    movie = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **exact)
    assert (faces.read_image(movie) == (255, 0, 0)).all()


def test_exif_turns_the_picture_and_a_broken_one_does_not_matter(photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = faces.read_image(encoded(np.ascontiguousarray(photo[:, :300]), "JPEG", exif=exif.tobytes()))
    assert image.shape == (300, 512, 3)
    assert faces.read_image(encoded(photo, "JPEG", exif=b"Exif\0\0nonsense")).shape == photo.shape


def bomb(width, height) -> bytes:
    """A PNG of some bytes that claims to be width x height px."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_files_that_are_no_usable_picture_are_refused_by_a_sentence(photo):
    jpeg = encoded(photo, "JPEG")
    for data_, words in (
        (b"", "empty"),
        (b"Dear reader, this is a text file named photo.png", "PNG, JPEG or WebP"),
        (encoded(photo, "GIF")[:200], "GIF file is damaged"),
        (encoded(photo, "BMP")[:200], "BMP file is damaged"),
        (encoded(photo, "TIFF")[:200], "TIFF file is damaged"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, "HEIC"),
        (b"%PDF-1.4", "a PDF"),
        (jpeg[: len(jpeg) // 2], "damaged|cut short"),
        (jpeg[:20], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\1" * 100, "damaged"),
        (encoded(photo, "PNG")[:2000], "damaged|cut short"),
        (b"RIFF\x10\0\0\0WEBPVP8 junk", "damaged"),
        (bomb(10000, 6000), "60 megapixels"),
        (bomb(60000, 60000), "megapixels"),
        (bomb(400, 400), "damaged|cut short"),
        (encoded(photo[:8, :8], "PNG"), "8 x 8"),
        (b"\xff\xd8\xff" + b"\0" * faces.MAX_BYTES, "20.0 MB"),
    ):
        with pytest.raises(faces.ImageError, match=words) as caught:
            faces.read_image(data_)
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_a_bomb_is_refused_before_it_is_decoded():
    before = time.process_time()
    with pytest.raises(faces.ImageError):
        faces.read_image(encoded(Image.new("1", (9000, 9000)), "PNG"))
    assert time.process_time() - before < 1


def test_arrays_that_are_no_picture_are_refused():
    shapes = ((5, 5, 4), (0, 5, 3), (5,))
    for array in (np.zeros((5, 5, 3)), *(np.zeros(shape, np.uint8) for shape in shapes)):
        with pytest.raises(faces.ImageError, match="uint8"):
            faces.find_faces(array)
