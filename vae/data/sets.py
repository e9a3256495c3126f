"""Open a set of pictures: a known one by its name, or archives, arrays and folders by their paths.

Every set answers the same few questions (see ImageSet). Pictures are uint8 (N, s, s, c). Files come
from strangers: each is checked before it is decoded, and one that cannot be used is counted with the
reason, while the others are used. This wing needs no torch.
"""

from __future__ import annotations

from pathlib import Path

from vae.config import DataConfig
from vae.data.archives import Tar, Zip
from vae.data.files import DataError, Folder
from vae.data.gathering import Progress, Ranges, chosen, gather
from vae.data.imageset import ImageSet
from vae.data.kinds import HEAD, is_archive, kind_of
from vae.data.known import SETS, open_known
from vae.data.listing import TABLE, Listing
from vae.data.names import shown
from vae.data.tables import read_table, table_of

__all__ = ["SETS", "DataError", "ImageSet", "count_pictures", "open_data", "open_source", "open_split"]


def open_source(text: str) -> Listing:
    """What a path holds: a folder, a zip, a tar (also packed), an array or a scan, by content. Raises DataError."""
    path = Path(text).expanduser()
    title = shown([path.name])[0]
    try:
        if path.is_dir():
            return Listing(Folder(path))
        if path.is_file():
            with path.open("rb") as file:
                kind = kind_of(file.read(HEAD))
            if is_archive(kind) and kind.reader != "zip":
                return Listing(Tar(path))
            single = kind.reader in ("npy", "NIfTI", "DICOM", "TIFF")
            return Listing(Folder(path) if single else Zip(path))
    except OSError as error:
        raise DataError(f"{title} cannot be read ({error.strerror}); check the path and its permissions") from None
    raise DataError(
        f"there is no data set, zip or folder {text!r}; choose {', '.join(SETS)}, or the path of a zip or folder"
    )


def count_pictures(config: DataConfig) -> int:
    """Pictures that the settings name, before any is decoded; 0 for the known sets. Raises DataError."""
    if config.sources[0] in SETS:
        return 0
    return len(chosen([open_source(text) for text in config.sources], config))


def open_data(
    config: DataConfig,
    image_size: int,
    channels: int,
    progress: Progress | None = None,
    ranges: Ranges | None = None,
) -> ImageSet:
    """The pictures that the settings name, at the model's size and channels.

    progress: called as progress(done, total) while files are decoded. ranges: those of another set (ImageSet.ranges)
    whose pictures these are to be compared with. Raises DataError.
    """
    if config.sources[0] in SETS:
        if len(config.sources) > 1:
            raise DataError(
                f"the set {config.sources[0]!r} cannot be joined with others; name it alone, or only zips and folders"
            )
        return open_known(config.sources[0], config, image_size, channels, progress)
    # The table first: it says in a moment what would else be said after all pictures are decoded.
    table = read_table(Path(config.attributes).expanduser()) if config.attributes else None
    sources = [open_source(text) for text in config.sources]
    if table is None and len(sources) == 1 and sources[0].table is not None:
        table = table_of(sources[0].table, TABLE)
    title = " + ".join(source.title for source in sources)
    return gather(title, sources, config, image_size, channels, table, progress, ranges)


def open_split(
    config: DataConfig, image_size: int, channels: int, progress: Progress | None = None
) -> tuple[ImageSet, ImageSet]:
    """Training and validation set of the settings, see open_data. Raises DataError."""
    train = open_data(config, image_size, channels, progress)
    if not config.validation_under:
        return train.split(config.validation, config.validation_max, config.seed)
    limit = min(config.validation_max, config.limit or config.validation_max)
    other = config.replace(under=config.validation_under, validation_under="", limit=limit)
    return train, open_data(other, image_size, channels, progress, train.ranges)
