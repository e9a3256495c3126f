"""The reader of pictures: kinds by content, colour, depth, limits, and files that break."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, features

from tests.data.draw import bomb, deep_png, dicom, heic, mutated, nifti, picture, saved, wide_profile, with_chunk
from vae.data import kinds
from vae.data.kinds import KINDS, PictureError, kind_of
from vae.data.pictures import decode_picture, deep_samples, picture_size, read_image, tiff_pages


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_kinds_and_channels(kind: str, channels: int) -> None:
    image = decode_picture(picture(kind=kind), 8, channels)
    assert image.shape == (8, 8, channels) and image.dtype == np.uint8


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "RGB"])
def test_png_modes(mode: str) -> None:
    assert decode_picture(picture(mode=mode), 8, 3).shape == (8, 8, 3)


def test_transparency_lies_over_white() -> None:
    assert (decode_picture(saved(Image.new("RGBA", (4, 4), (10, 20, 30, 0))), 4, 3) == 255).all()


def test_centre_crop_and_box() -> None:
    values = np.zeros((10, 30, 3), np.uint8)
    values[:, 10:20], values[:, 20:] = 100, 200
    data = saved(values)
    assert (decode_picture(data, 10, 3) == 100).all()
    assert (decode_picture(data, 10, 3, (20, 0, 30, 10)) == 200).all()
    with pytest.raises(PictureError, match=r"30 x 10 pixels, the box \(20, 0, 31, 10\)"):
        decode_picture(data, 10, 3, (20, 0, 31, 10))


def test_exif_orientation_is_honoured() -> None:
    values = np.zeros((8, 8), np.uint8)
    values[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    upright = decode_picture(saved(values, exif=exif), 8, 1)[..., 0]
    assert (upright[:4] == 0).all() and (upright[4:] == 255).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_deep_pictures_turn_as_others_do(turn: int) -> None:
    values = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30) % 251
    exif = Image.Exif()
    exif[0x0112] = turn
    plain = read_image(saved(values.astype(np.uint8), exif=exif))
    deep = read_image(saved(values * 257, exif=exif))
    assert plain.shape == deep.shape and np.abs(plain.astype(int) - deep).max() <= 1


def test_old_formats_are_read_and_texts_that_begin_like_them_are_texts() -> None:
    """The faces of older sets are GIFs and PGMs."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24), np.uint8))
    for kind in ("GIF", "BMP", "PPM"):
        data = saved(image, kind)
        assert np.array_equal(read_image(data)[..., 0], np.asarray(image)), kind
        assert np.array_equal(decode_picture(data, 20, 1)[..., 0], np.asarray(image)[:, 2:22])
        assert picture_size(data) == (24, 20)
    colour = read_image(saved(Image.fromarray(np.full((20, 20, 3), (10, 200, 30), np.uint8)), "PPM"))
    assert (colour == (10, 200, 30)).all()
    for text in (b"BMI,weight\n21,60\n", b"P5,P6\n1,2\n", b"P3-a line of notes\n"):
        assert kind_of(text).spoken == "a text file"


def test_large_jpeg_keeps_its_content() -> None:
    values = np.linspace(0, 255, 640).astype(np.uint8)[None].repeat(640, 0)
    expected = np.asarray(Image.fromarray(values).resize((32, 32), Image.Resampling.LANCZOS))
    found = decode_picture(saved(values, "JPEG", quality=95), 32, 1)[..., 0]
    assert np.abs(found.astype(int) - expected).max() <= 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello, I am a text", "is not a PNG, JPEG or WebP picture but a text file"),
        (b"", "is empty"),
        (picture()[:60], "cannot be decoded"),
        (bomb(20_000, 3_000), "60 megapixels, the limit is 50"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20 * 2**20), "20 MB large, the limit is 20 MB"),
        (b"II*\0" + bytes(40), "cannot be decoded"),
        (b"8BPS" + bytes(40), "is not a PNG, JPEG or WebP picture but a Photoshop file"),
        (b"%PDF-1.7", "but a PDF"),
        (b"PK\3\4" + bytes(26) + b"[Content_Types].xml", "but an office document"),
        (bytes(range(1, 9)) * 9, "is not a PNG, JPEG or WebP picture"),
    ],
    ids=["text", "empty", "cut off", "megapixels", "bytes", "tiff", "photoshop", "pdf", "office", "unknown"],
)
def test_pictures_that_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(PictureError) as caught:
        decode_picture(content, 8, 3)
    assert reason in caught.value.reason and str(caught.value) == caught.value.sentence
    assert caught.value.sentence.startswith("This ") and caught.value.sentence.endswith(".")


def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(PictureError, match="megapixels"):
        decode_picture(bomb(20_000, 3_000), 8, 3)


# ---------------------------------------------------------------- colour


def test_colour_profiles_are_brought_to_srgb() -> None:
    """Adobe RGB's middle grey stays grey; its green is more than sRGB can show, and its red grows."""
    values = np.zeros((16, 16, 3), np.uint8)
    values[:, :4], values[:, 4:8], values[:, 8:12], values[:, 12:] = (128, 128, 128), (30, 200, 30), (150, 60, 60), 255
    for kind in ("PNG", "JPEG", "WEBP"):
        exact = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
        data = saved(values, kind, icc_profile=wide_profile(), **exact)
        for image in (read_image(data), decode_picture(data, 16, 3)):
            grey, green, red, white = image[8, 1].astype(int), image[8, 6], image[8, 10].astype(int), image[8, 14]
            assert np.ptp(grey) <= 3 and abs(grey[0] - 127) <= 3 and white.min() >= 253
            assert green[0] == 0 and 195 <= green[1] <= 206
            # The same colour by hand: linear light, Adobe RGB's matrix to XYZ, sRGB's matrix, sRGB's curve.
            linear = (np.array([150, 60, 60]) / 255) ** 2.2
            to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
            to_srgb = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
            light = (to_srgb @ to_xyz @ linear).clip(0, 1)
            expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
            assert np.abs(red - expected).max() <= 4


def test_a_broken_or_foreign_profile_does_not_cost_the_picture() -> None:
    plain = read_image(picture(size=(20, 20)))
    for profile in (b"nonsense", wide_profile()[:200], bytes(500)):
        assert (read_image(picture(size=(20, 20), icc_profile=profile)) == plain).all()
    grey = picture(size=(20, 20), mode="L", icc_profile=wide_profile())  # of colour, on a grey picture
    assert (read_image(grey) == read_image(picture(size=(20, 20), mode="L"))).all()


def test_cmyk_is_read() -> None:
    ink = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for image in (read_image(saved(ink, "JPEG", quality=95)), decode_picture(saved(ink, "JPEG", quality=95), 8, 3)):
        assert image[4, 4, 0] > 225 and image[4, 4, 1:].max() < 40


@pytest.mark.parametrize("name", [b"iCCP", b"zTXt", b"iTXt", b"tEXt"])
def test_metadata_that_is_too_large_is_skipped(name: bytes) -> None:
    png = picture(size=(20, 20))
    large = zlib.compress(bytes(3 * 2**20))
    body = {
        b"iCCP": b"wide\0\0" + large,
        b"zTXt": b"Comment\0\0" + large,
        b"iTXt": b"Comment\0\1\0en\0Comment\0" + large,
        b"tEXt": b"Comment\0" + b"x" * 3 * 2**20,
    }[name]
    assert (read_image(with_chunk(png, name, body)) == read_image(png)).all()
    assert (decode_picture(with_chunk(png, name, body), 8, 3) == decode_picture(png, 8, 3)).all()


# ---------------------------------------------------------------- depth


def test_sixteen_bits() -> None:
    half = saved(np.full((8, 8), 32768, np.uint16))
    assert decode_picture(half, 8, 1).tolist() == np.full((8, 8, 1), 128).tolist()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_twelve_bits_in_sixteen_are_not_black(channels: int) -> None:
    values = np.linspace(0, 4095, 32 * 32 * channels).reshape(32, 32, channels).astype(np.uint16)
    if channels in (2, 4):
        values[..., -1] = 65535
    image = decode_picture(deep_png(values), 32, 3)
    assert image.min() <= 1 and image.max() >= 253 and abs(image.mean() - 127) < 3
    assert read_image(deep_png(values)).max() >= 253


def test_a_set_is_spread_alike() -> None:
    dark, light = (saved(np.full((8, 8), v, np.uint16)) for v in (500, 2500))
    ranges = {deep_samples(dark)[0].group: (500, 4500)}
    assert decode_picture(dark, 8, 1, ranges=ranges).max() == 0
    assert (decode_picture(light, 8, 1, ranges=ranges) == 128).all()


# ---------------------------------------------------------------- HEIC and AVIF


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"heim", b"hevc", b"hevx", b"mif1", b"msf1"])
def test_heic_is_read_or_named_right(brand: bytes) -> None:
    data = heic(Image.new("RGB", (32, 24), (200, 30, 40)), brand)
    assert kind_of(data).spoken == "an HEIC photo"
    assert np.abs(read_image(data)[12, 16].astype(int) - (200, 30, 40)).max() < 8


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize("brand", [b"avif", b"avis", b"mif1"])
def test_avif_is_read_or_named_right(brand: bytes) -> None:
    data = saved(Image.new("RGB", (32, 24), (20, 130, 40)), "AVIF", quality=90)
    data = data[:8] + brand + data[12:]
    assert kind_of(data).spoken == "an AVIF picture"
    if brand != b"avis":  # a sequence without frames
        assert np.abs(read_image(data)[12, 16].astype(int) - (20, 130, 40)).max() < 8


def test_what_pillow_cannot_read_is_named_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_pillow_reads", lambda: frozenset({"PNG", "JPEG", "WEBP"}))
    for brand, spoken in (
        *((brand, "an HEIC photo") for brand in (b"heic", b"heix", b"heim", b"hevc", b"hevx", b"mif1", b"msf1")),
        *((brand, "an AVIF picture") for brand in (b"avif", b"avis")),
        *((brand, "a film") for brand in (b"isom", b"mp42", b"qt  ")),
    ):
        with pytest.raises(PictureError, match=f"This file is {spoken}.*; use"):
            read_image(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"miaf" + bytes(40))


# ---------------------------------------------------------------- scans


def test_dicom_by_its_own_window_and_without_one() -> None:
    values = np.linspace(0, 2000, 32 * 32).reshape(32, 32).astype(np.uint16)
    image = read_image(dicom(values, intercept=-1000, window=(0, 1000)))[..., 0]
    low, high = (values <= 490).sum(), (values >= 1510).sum()
    assert abs((image == 0).sum() - low) < 12 and abs((image == 255).sum() - high) < 12
    plain = read_image(dicom(values, slope=2, intercept=-1000))[..., 0]
    assert plain.min() == 0 and plain.max() == 255 and abs(plain.mean() - 127) < 2
    (deep,) = deep_samples(dicom(values, slope=2, intercept=-1000))
    assert deep.values.min() == -1000 and deep.values.max() == 3000 and not deep.fixed
    inverse = read_image(dicom(values, photometric="MONOCHROME1"))[..., 0]
    assert inverse[0, 0] == 255 and inverse[-1, -1] == 0


def test_dicom_frames_and_files_without_a_picture() -> None:
    frames = np.stack([np.full((20, 20), v, np.uint16) for v in (0, 100, 200)])
    assert [f.values.mean() for f in deep_samples(dicom(frames))] == [0, 100, 200]
    with pytest.raises(PictureError, match="holds no picture"):
        read_image(bytes(128) + b"DICM" + bytes(2000))
    whole = dicom(frames)
    for cut in (200, 500, len(whole) - 300):
        with pytest.raises(PictureError):
            read_image(whole[:cut])


def tiff(pages: list[np.ndarray], **options) -> bytes:
    first, *more = [page if isinstance(page, Image.Image) else Image.fromarray(page) for page in pages]
    return saved(first, "TIFF", save_all=True, append_images=more, **options)


def test_tiffs_of_eight_bits_are_read_as_they_are() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.integers(0, 256, (20, 24, 3), np.uint8), rng.integers(100, 120, (20, 24), np.uint8)):
        for packed in ("raw", "tiff_lzw", "tiff_deflate"):
            data = tiff([values], compression=packed)
            assert np.array_equal(read_image(data), np.broadcast_to(values.reshape(20, 24, -1), (20, 24, 3)))
            assert picture_size(data) == (24, 20)
        assert (decode_picture(tiff([values]), 20, 3) == read_image(tiff([values]))[:, 2:22]).all()
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red = read_image(tiff([image]))[8, 8]
    assert red[0] > 200 and red[1] < 80 and red[2] < 80
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = read_image(tiff([np.arange(16 * 20, dtype=np.uint16).reshape(16, 20)], exif=exif))
    assert upright.shape == (20, 16, 3)


def test_pages_of_a_tiff_are_pictures_and_its_previews_are_not() -> None:
    pages = [np.full((20, 24), 40 * k, np.uint8) for k in range(4)]
    data = tiff([*pages, np.full((10, 12), 7, np.uint8)])
    assert [deep.spread().max() for deep in deep_samples(data)] == [0, 40, 80, 120] and tiff_pages(data) == 4
    assert (read_image(tiff(pages[1:])) == 40).all()  # the first page stands for the file


def test_deep_tiffs_are_spread_over_what_they_use() -> None:
    ramp = np.linspace(0, 60_000, 400).reshape(20, 20)
    whole = read_image(tiff([ramp.astype(np.uint16)]))[..., 0]
    assert whole.min() == 0 and abs(int(whole.max()) - 233) <= 1  # alone over all that 16 bits hold
    for values in (ramp.astype(np.float32) - 3e4, ramp.astype(np.int32) * 1000, np.where(ramp > 59_000, np.inf, ramp)):
        found = read_image(tiff([values.astype(values.dtype if values.dtype != np.float64 else np.float32)]))[..., 0]
        assert found.min() == 0 and found.max() == 255
    (deep,) = deep_samples(tiff([ramp.astype(np.uint16)]))
    assert deep.spread((0.0, 600.0)).max() == 255 and not deep.fixed


def test_a_tiff_that_unpacks_to_too_much_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.load", lambda self: pytest.fail("decoded"))
    monkeypatch.setattr("vae.data.scans.MAX_VOLUME_BYTES", 3000)
    with pytest.raises(PictureError, match="unpacks to"):
        deep_samples(tiff([np.zeros((32, 32), np.uint8)] * 4))


def test_a_dicom_that_claims_too_much_is_refused_before_decoding() -> None:
    data = bytearray(dicom(np.zeros((20, 20), np.uint16)))
    for tag in (b"\x28\0\x10\0US\2\0", b"\x28\0\x11\0US\2\0"):  # rows and columns
        at = data.index(tag) + 8
        data[at : at + 2] = struct.pack("<H", 60_000)
    with pytest.raises(PictureError, match="megapixels"):
        read_image(bytes(data))


@pytest.mark.parametrize("packed", [False, True])
def test_nifti_slices(packed: bool) -> None:
    values = np.zeros((20, 30, 5), np.int16)
    values[:, 20:, 2] = 50  # the front of the body, in the middle slice
    values[:, :, 4] = 100
    slices = deep_samples(nifti(values, packed, slope=2, intercept=-10))
    assert len(slices) == 5 and slices[0].values.shape == (30, 20)
    assert slices[4].values.min() == 190 and slices[0].values.max() == -10
    assert slices[2].values[:10].mean() == 90 and slices[2].values[10:].mean() == -10
    assert read_image(nifti(values, packed)).shape == (30, 20, 3)
    whole = nifti(values, packed)
    for share in (0.05, 0.3, 0.6):
        with pytest.raises(PictureError):
            read_image(whole[: int(share * len(whole))])


# ---------------------------------------------------------------- broken ones


def test_every_kind_of_file_has_a_name() -> None:
    assert len({kind.spoken for _, kind in KINDS}) > 25
    for _, kind in KINDS:
        assert kind.spoken.split(" ")[0] in ("a", "an") and kind.plural


def fuzz(count: int, seed: int) -> int:
    """Read mutated pictures -> how many were read all the same; raises what no reader may raise."""
    rng = np.random.default_rng(seed)
    values = np.linspace(0, 4000, 24 * 24).reshape(24, 24).astype(np.uint16)
    whole = [
        picture(size=(24, 24)),
        picture(size=(24, 24), kind="JPEG", icc_profile=wide_profile()),
        picture(size=(24, 24), kind="WEBP"),
        picture(size=(24, 24), mode="P"),
        picture(size=(24, 24), kind="GIF"),
        picture(size=(24, 24), kind="BMP"),
        picture(size=(24, 24), kind="PPM"),
        picture(size=(24, 24), kind="TIFF", compression="tiff_lzw"),
        tiff([values, values]),
        with_chunk(picture(size=(24, 24)), b"zTXt", b"a\0\0" + zlib.compress(b"x" * 500)),
        deep_png(values[..., None].repeat(3, 2)),
        saved(values),
        dicom(values, window=(500, 900)),
        nifti(np.zeros((20, 20, 3), np.int16)),
        nifti(np.zeros((20, 20, 3), np.int16), packed=False),
        heic(Image.new("RGB", (32, 32), "red")),
    ]
    if features.check("avif"):
        whole.append(picture(size=(24, 24), kind="AVIF"))
    read = 0
    for i in range(count):
        data = mutated(whole[i % len(whole)], rng)
        try:
            image = read_image(data)
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
            assert decode_picture(data, 8, 1).shape == (8, 8, 1)
            read += 1
        except PictureError as error:
            assert error.sentence.endswith(".") and "\n" not in error.sentence
    return read


@pytest.mark.filterwarnings("ignore")
def test_mutated_pictures_end_in_our_own_refusal() -> None:
    assert 50 < fuzz(480, seed=12) < 470


def test_reading_needs_no_file_object_left_open() -> None:
    data = io.BytesIO(picture()).getvalue()
    assert decode_picture(data, 8, 3).shape == (8, 8, 3)
