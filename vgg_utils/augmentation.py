"""The paper's augmentation of training images, and what is done to test images (Sect. 3.1, 3.2).

Each function changes a batch (N, C, H, W), every image by its own random draw, from torch's global
generator: `torch.manual_seed` repeats it. `check_images` refuses what is no batch of float images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vgg_utils.configs import positive
from vgg_utils.images import check_images


def random_shift(images: Tensor, pixels: int, fill: float = 0.0) -> Tensor:
    """Move each image of a batch by its own random offset of at most `pixels` each way.

    The small-image form of the paper's random crop (Sect. 3.1): pad, then cut a window of the
    original size. Shape and dtype stay; what moves in from outside has the value `fill`.
    """
    check_images(images, "(N, C, H, W)")
    if pixels < 0:
        raise ValueError(f"pixels must not be negative, got {pixels}")
    count, _, height, width = images.shape
    padded = F.pad(images, (pixels, pixels, pixels, pixels), value=fill).permute(0, 2, 3, 1)
    tops, lefts = torch.randint(0, 2 * pixels + 1, (2, count, 1))
    rows, columns = tops + torch.arange(height), lefts + torch.arange(width)  # (N, H), (N, W)
    index = torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]
    return padded[tuple(i.to(images.device) for i in index)].permute(0, 3, 1, 2).contiguous()


def random_flip(images: Tensor) -> Tensor:
    """Mirror each image of a batch left to right with probability one half (Sect. 3.1)."""
    check_images(images, "(N, C, H, W)")
    flip = (torch.rand(len(images)) < 0.5).to(images.device)
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def rescale(image: Tensor, smallest: int) -> Tensor:
    """Resize one image (C, H, W) so that its smallest side is `smallest` pixels.

    The other side keeps the proportion, rounded to whole pixels. Bilinear; where the image shrinks,
    each new pixel averages all that it covers, as image editors do. float64 is taken too.
    """
    check_images(image, "(C, H, W)", double=True)
    sides = image.shape[1:]
    shape = [round(side * positive("smallest", smallest) / min(sides)) for side in sides]
    return F.interpolate(image[None], size=shape, mode="bilinear", antialias=True)[0]


def training_scale(size: int, scale: tuple[int, int] | None) -> tuple[int, int]:
    """Return (S_min, S_max) for a crop of `size` pixels; None means 8/7 of it, as 256 is to 224.

    Raises ValueError unless 1 <= size <= S_min <= S_max.
    """
    low, high = scale or (round(size * 8 / 7), round(size * 8 / 7))
    if not 1 <= size <= low <= high:
        raise ValueError(f"scale must satisfy crop ({size}) <= low <= high, got {(low, high)}")
    return low, high


def random_scale_crop(images: Iterable[Tensor], size: int, scale: tuple[int, int]) -> Tensor:
    """Rescale each image by its own S and cut a random size x size window of it (Sect. 3.1).

    S is drawn anew for every image, uniformly from the whole numbers scale[0] to scale[1]; the
    paper gives the range, 256 to 512, and not the distribution. With scale[0] = scale[1] this is
    its fixed S. Every place of the window is as likely. Takes (N, C, H, W), or images (C, H, W) of
    different sizes; returns (N, C, size, size). Raises ValueError as `training_scale` does.
    """
    low, high = training_scale(size, scale)
    windows = []
    for image in images:
        check_images(image, "(C, H, W)")
        image = rescale(image, int(torch.randint(low, high + 1, ())))
        top, left = (int(torch.randint(0, side - size + 1, ())) for side in image.shape[-2:])
        windows.append(image[:, top : top + size, left : left + size])
    return torch.stack(windows)


class ColourStatistics(NamedTuple):
    """Mean (3,) and principal components of the RGB values of a training set.

    `variances` (3,): the eigenvalues of the covariance, smallest first. `directions` (3, 3): the
    eigenvectors of length 1 as columns, in the same order.
    """

    mean: Tensor
    variances: Tensor
    directions: Tensor


def colour_statistics(images: Iterable[Tensor]) -> ColourStatistics:
    """Return mean and principal components of all pixels of images (3, H, W), one or more."""
    count, total, products = 0, torch.zeros(3).double(), torch.zeros(3, 3).double()
    for image in images:
        check_images(image, "(3, H, W)")
        pixels = image.flatten(1).double()  # (3, H*W)
        count += pixels.shape[1]
        total += pixels.sum(1)
        products += pixels @ pixels.T
    if count == 0:
        raise ValueError("no images to take the colours of")
    mean = total / count
    variances, directions = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    return ColourStatistics(mean.float(), variances.clamp(min=0).float(), directions.float())


def pca_lighting(images: Tensor, colours: ColourStatistics, std: float = 0.1) -> Tensor:
    """Add to each image (N, 3, H, W) one random colour along the training set's components.

    Krizhevsky et al. (2012), Sect. 4.1, to whom the paper refers: sum of p_i alpha_i lambda_i, with
    p_i the directions, lambda_i the variances, and alpha_i normal with deviation `std`, drawn once
    for an image. Being variances, the lambda_i are meant for pixels from 0 to 1, not to 255.
    """
    check_images(images, "(N, 3, H, W)")
    shifts = (std * torch.randn(len(images), 3) * colours.variances) @ colours.directions.T
    return images + shifts.to(images)[:, :, None, None]


@dataclass(frozen=True)
class TrainTransform:
    """What training does to one image (3, H, W): scale, crop, flip, PCA lighting, less the mean."""

    size: int
    scale: tuple[int, int]
    colours: ColourStatistics
    std: float = 0.1

    def __call__(self, image: Tensor) -> Tensor:
        batch = random_scale_crop(image[None], self.size, self.scale)
        batch = pca_lighting(random_flip(batch), self.colours, self.std)
        return batch[0] - self.colours.mean[:, None, None]


@dataclass(frozen=True)
class Preprocess:
    """Makes of one image (3, H, W) from 0 to 1, as `read_image` gives it, what the network is fed.

    The smallest side becomes `resize` pixels, the centre is cut out, `size` x `size`; `mean` is
    subtracted and `std` divided by, one number a channel (by default ones). With `grey` the network
    has one channel, the luminance; with `invert` 1 is black and 0 white, as ink is on paper. The
    fields are plain: `Preprocess(**dataclasses.asdict(p)) == p`. Raises ValueError if they clash.
    """

    size: int
    resize: int
    mean: list[float]
    std: list[float] = field(default_factory=list)
    grey: bool = False
    invert: bool = False

    def __post_init__(self) -> None:
        channels = 1 if self.grey else 3
        mean, std = list(self.mean), list(self.std) or [1.0] * channels
        if not (1 <= self.size <= self.resize and len(mean) == len(std) == channels):
            raise ValueError(f"size <= resize, mean and std of {channels} numbers; got {self}")
        object.__setattr__(self, "mean", [float(value) for value in mean])
        object.__setattr__(self, "std", [float(value) for value in std])

    def __call__(self, image: Tensor) -> Tensor:
        check_images(image, "(3, H, W)")
        if self.grey:  # ITU-R 601, as Pillow's mode L
            image = (torch.tensor([[[0.299]], [[0.587]], [[0.114]]]).to(image) * image).sum(0)[None]
        image = rescale(1 - image if self.invert else image, self.resize)
        top, left = ((side - self.size) // 2 for side in image.shape[-2:])
        window = image[:, top : top + self.size, left : left + self.size]
        mean, std = torch.tensor([self.mean, self.std]).to(image)[:, :, None, None]
        return (window - mean) / std
