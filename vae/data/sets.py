"""Open a set of pictures: a known one by its name, or zips and folders by their paths.

Every set answers the same few questions (see ImageSet). Pictures are uint8 (N, s, s, c). Files come
from strangers: each is checked before it is decoded, and one that cannot be used is counted with the
reason, while the others are used. This wing needs no torch.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from vae.config import DataConfig
from vae.data.archives import Zip
from vae.data.files import DataError, Files, Folder
from vae.data.gathering import Progress, gather
from vae.data.imageset import ImageSet
from vae.data.known import SETS, open_known
from vae.data.labels import read_attributes

__all__ = ["SETS", "DataError", "ImageSet", "open_data", "open_source", "open_split"]


def open_source(text: str) -> Files:
    """A zip or a folder by its path. Raises DataError."""
    path = Path(text).expanduser()
    try:
        if path.is_dir():
            return Folder(path)
        if path.is_file():
            return Zip(path)
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror}); check the path and its permissions") from None
    raise DataError(
        f"there is no data set, zip or folder {text!r}; choose {', '.join(SETS)}, or the path of a zip or folder"
    )


def open_data(config: DataConfig, image_size: int, channels: int, progress: Progress | None = None) -> ImageSet:
    """The pictures that the settings name, at the model's size and channels.

    progress: called as progress(done, total) while files are decoded. Raises DataError.
    """
    if config.sources[0] in SETS:
        if len(config.sources) > 1:
            raise DataError(
                f"the set {config.sources[0]!r} cannot be joined with others; name it alone, or only zips and folders"
            )
        return open_known(config.sources[0], config, image_size, channels, progress)
    sources = [open_source(text) for text in config.sources]
    title = " + ".join(Path(text).name for text in config.sources)
    if not config.attributes:
        return gather(title, sources, config, image_size, channels, None, (), progress)
    rows, names = read_attributes(Path(config.attributes).expanduser())
    look_up = lambda name: rows.get(name) or rows.get(PurePosixPath(name).name)  # noqa: E731
    return gather(title, sources, config, image_size, channels, look_up, names, progress)


def open_split(
    config: DataConfig, image_size: int, channels: int, progress: Progress | None = None
) -> tuple[ImageSet, ImageSet]:
    """Training and validation set of the settings, see open_data. Raises DataError."""
    train = open_data(config, image_size, channels, progress)
    if not config.validation_under:
        return train.split(config.validation, config.validation_max, config.seed)
    limit = min(config.validation_max, config.limit or config.validation_max)
    other = config.replace(under=config.validation_under, validation_under="", limit=limit)
    return train, open_data(other, image_size, channels, progress)
