"""Pictures and films in memory: PNG, GIF, MP4, WebP, sheets and strips.

Frames are uint8 (h, w, 3) or grey (h, w) or (h, w, 1), all of one shape. Nothing touches the disk.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

MAX_FRAMES = 1200
MAX_SIDE = 4096
MAX_FPS = 60
# The total a film may hold, in pixels: 1200 frames of 1024 px.
MAX_FILM_PIXELS = 1200 * 1024 * 1024

Progress = Callable[[float], None]


class MediaError(ValueError):
    """Frames that cannot be written; the message is a sentence for the user."""


def rgb(image: np.ndarray) -> np.ndarray:
    """uint8 (h, w), (h, w, 1) or (h, w, 3) -> uint8 (h, w, 3), grey repeated."""
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise MediaError(f"A frame must be uint8, not {image.dtype}; scale it to 0..255 first.")
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise MediaError(f"A frame must be (h, w), (h, w, 1) or (h, w, 3), not {image.shape}.")
    return np.ascontiguousarray(np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image)


def _film(frames: Iterable[np.ndarray], fps: float) -> list[np.ndarray]:
    """Frames as RGB, checked for number, shape and speed."""
    if not (isinstance(fps, (int, float, np.number)) and math.isfinite(fps) and 1 <= fps <= MAX_FPS):
        raise MediaError(f"The frame rate is {fps}; use 1 to {MAX_FPS} frames a second.")
    film = [rgb(frame) for frame in frames]
    if not film:
        raise MediaError("The film has no frames; ask for at least one.")
    if len(film) > MAX_FRAMES:
        raise MediaError(f"The film has {len(film)} frames; use at most {MAX_FRAMES}: fewer seconds or a lower rate.")
    shape = film[0].shape
    odd = next((frame.shape for frame in film if frame.shape != shape), None)
    if odd is not None:
        raise MediaError(f"The frames differ in size, {shape[:2]} and {odd[:2]}; make them all of one size.")
    return film


def _check_size(height: int, width: int, count: int = 1) -> None:
    if max(height, width) > MAX_SIDE:
        raise MediaError(f"The picture would have {width} x {height} px; use at most {MAX_SIDE} a side.")
    if height * width * count > MAX_FILM_PIXELS:
        raise MediaError(f"The film would have {count} frames of {width} x {height} px; make it shorter or smaller.")


def data_uri(image: np.ndarray, kind: str = "png") -> str:
    """A picture as an address that holds it: "png", or "webp" with little loss."""
    data = png(image) if kind == "png" else webp_still(image, quality=86)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def upscale(image: np.ndarray, factor: float) -> np.ndarray:
    """Enlarge (or reduce) by a factor with a Lanczos filter -> uint8 (round(h * factor), round(w * factor), 3)."""
    from PIL import Image

    image = rgb(image)
    if not (math.isfinite(factor) and 0 < factor <= 32):
        raise MediaError(f"The scale is {factor}; use a number above 0 and up to 32.")
    height, width = max(1, round(image.shape[0] * factor)), max(1, round(image.shape[1] * factor))
    _check_size(height, width)
    if (height, width) == image.shape[:2]:
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """Scale a square picture to (size, size, 3) with a Lanczos filter."""
    from PIL import Image

    image = rgb(image)
    _check_size(size, size)
    if image.shape[:2] == (size, size):
        return image
    return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS))


def square(image: np.ndarray, size: int) -> np.ndarray:
    """The middle square of a picture, scaled to (size, size, 3)."""
    image = rgb(image)
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(image[top : top + side, left : left + side], size)


def grey(image: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3) -> (h, w, 1), by ITU-R BT.601 luma."""
    from PIL import Image

    return np.array(Image.fromarray(rgb(image)).convert("L"))[..., None]


def png(image: np.ndarray, scale: float = 1) -> bytes:
    """A PNG file, enlarged by `scale`. Carries no metadata."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(upscale(image, scale)).save(buffer, "PNG")
    return buffer.getvalue()


def _palette(film: list[np.ndarray]) -> object:
    """One palette of 256 colours for all frames, so that colours stand still from frame to frame."""
    from PIL import Image

    chosen = [film[round(i)] for i in np.linspace(0, len(film) - 1, min(len(film), 16))]
    step = max(1, math.isqrt(sum(frame.shape[0] * frame.shape[1] for frame in chosen) // 250_000))
    sample = np.concatenate([frame[::step, ::step].reshape(-1, 3) for frame in chosen])
    return Image.fromarray(sample[None]).quantize(256, Image.Quantize.MEDIANCUT, kmeans=1)


# Ordered dither (Bayer 1973): it stands still too, where error diffusion would crawl over a moving picture.
_BAYER = np.array([[0, 32, 8, 40, 2, 34, 10, 42], [48, 16, 56, 24, 50, 18, 58, 26], [12, 44, 4, 36, 14, 46, 6, 38],
                   [60, 28, 52, 20, 62, 30, 54, 22], [3, 35, 11, 43, 1, 33, 9, 41], [51, 19, 59, 27, 49, 17, 57, 25],
                   [15, 47, 7, 39, 13, 45, 5, 37], [63, 31, 55, 23, 61, 29, 53, 21]]) / 64 - 0.5  # fmt: skip


def gif(frames: Iterable[np.ndarray], fps: float = 20, progress: Progress | None = None) -> bytes:
    """An endless GIF with one palette for all frames.

    GIF counts in hundredths of a second: the rate is rounded to 100 / n, at most 50.
    """
    from PIL import Image

    film = _film(frames, fps)
    height, width = film[0].shape[:2]
    _check_size(height, width, len(film))
    palette = _palette(film)
    dither = np.tile(_BAYER, (-(-height // 8), -(-width // 8)))[:height, :width, None] * 12
    pictures = []
    for i, frame in enumerate(film):
        dithered = (frame + dither).round().clip(0, 255).astype(np.uint8)
        pictures.append(Image.fromarray(dithered).quantize(palette=palette, dither=Image.Dither.NONE))
        if progress:
            progress((i + 1) / len(film))
    buffer = io.BytesIO()
    hundredths = max(2, round(100 / fps))
    timing = {"duration": 10 * hundredths, "loop": 0}
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], optimize=False, disposal=1, **timing)
    return buffer.getvalue()


def webp(frames: Iterable[np.ndarray], fps: float = 30, quality: int = 85, progress: Progress | None = None) -> bytes:
    """An endless animated WebP."""
    from PIL import Image

    film = _film(frames, fps)
    _check_size(*film[0].shape[:2], len(film))
    ends = [round(1000 * (i + 1) / fps) for i in range(len(film))]
    durations = [b - a for a, b in zip([0, *ends], ends)]

    def pictures() -> Iterable[Image.Image]:
        for i, frame in enumerate(film[1:], start=1):
            yield Image.fromarray(frame)
            if progress:
                progress((i + 1) / len(film))

    buffer = io.BytesIO()
    Image.fromarray(film[0]).save(
        buffer, "WEBP", save_all=True, append_images=pictures(), duration=durations, loop=0, quality=quality, method=2
    )
    return buffer.getvalue()


def mp4(
    frames: Iterable[np.ndarray],
    fps: float = 30,
    size: int | None = None,
    crf: int = 18,
    progress: Progress | None = None,
) -> bytes:
    """An MP4 that every browser plays: H.264, yuv420p, index first.

    size: longer side of the film in px, to which frames are enlarged or reduced; sides are rounded up to even numbers.
    """
    from fractions import Fraction

    import av

    film = _film(frames, fps)
    height, width = film[0].shape[:2]
    if size is not None and not 16 <= size <= MAX_SIDE:
        raise MediaError(f"The film's size is {size} px; use 16 to {MAX_SIDE}.")
    factor = 1.0 if size is None else size / max(height, width)
    out_height, out_width = (2 * math.ceil(round(side * factor) / 2) for side in (height, width))
    _check_size(out_height, out_width, len(film))
    buffer = io.BytesIO()
    # A browser wants the index first. Moving it there at the end needs a real file; leaving room for it does not.
    room = 4096 + 32 * len(film)
    with av.open(buffer, "w", format="mp4", options={"moov_size": str(room)}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = out_width, out_height, "yuv420p"
        stream.options = {"crf": str(crf), "preset": "veryfast", "tune": "animation"}
        context = stream.codec_context
        # BT.709 with the limited range, which players take for granted
        context.color_range = context.colorspace = context.color_primaries = context.color_trc = 1
        resampler = av.video.reformatter.VideoReformatter()
        for i, frame in enumerate(film):
            picture = resampler.reformat(
                av.VideoFrame.from_ndarray(frame, format="rgb24"),
                out_width,
                out_height,
                "yuv420p",
                dst_colorspace="ITU709",
                interpolation="LANCZOS",
            )
            picture.pts = i
            container.mux(stream.encode(picture))
            if progress:
                progress((i + 1) / len(film))
        container.mux(stream.encode())
    return buffer.getvalue()


def ping_pong(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """There and back without showing either end twice: a b c -> a b c b, for films that run in a loop."""
    frames = list(frames)
    return frames + frames[-2:0:-1]


def sheet(
    images: Sequence[np.ndarray], columns: int, gap: int = 0, background: tuple[int, int, int] = (255, 255, 255)
) -> np.ndarray:
    """Lay pictures of one size in rows -> uint8 (H, W, 3); unfilled places show the background."""
    tiles = [rgb(image) for image in images]
    if not tiles:
        raise MediaError("The sheet has no pictures; give at least one.")
    if columns < 1 or gap < 0:
        raise MediaError(f"A sheet cannot have {columns} columns and gaps of {gap} px; use at least 1 and 0.")
    height, width = tiles[0].shape[:2]
    if any(tile.shape != tiles[0].shape for tile in tiles):
        raise MediaError("The pictures of a sheet differ in size; make them all of one size.")
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    page = np.empty((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), np.uint8)
    page[:] = background
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        page[top : top + height, left : left + width] = tile
    return page


def strip(images: Sequence[np.ndarray], gap: int = 0) -> np.ndarray:
    """Pictures side by side -> uint8 (h, W, 3)."""
    return sheet(images, max(1, len(images)), gap)


def webp_still(image: np.ndarray, quality: int = 80) -> bytes:
    """A WebP file of one picture."""
    from PIL import Image

    image = rgb(image)
    if max(image.shape[:2]) > 16383:
        height, width = image.shape[:2]
        raise MediaError(f"The picture would have {width} x {height} px; WebP holds at most 16383 a side.")
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()


def sprite(images: Sequence[np.ndarray], columns: int, quality: int = 80) -> bytes:
    """A sheet without gaps as a WebP file, for tiles that a page cuts out by position."""
    return webp_still(sheet(images, columns), quality)
