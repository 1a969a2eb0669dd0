"""The paper's augmentation of training images, and what is done to test images (Sect. 3.1, 3.2).

Each function changes a batch (N, C, H, W), every image by its own random draw, from torch's global
generator: `torch.manual_seed` repeats it. Raises as `check_float_images` for other images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vgg_utils.configs import positive
from vgg_utils.images import check_float_images


def random_shift(images: Tensor, pixels: int, fill: float = 0.0) -> Tensor:
    """Move each image by its own random offset of at most `pixels` each way.

    The small-image form of the paper's random crop (Sect. 3.1): pad with `fill`, cut a window of
    the original size. Raises ValueError for a negative number of pixels.
    """
    check_float_images(images, "(N, C, H, W)")
    if pixels < 0:
        raise ValueError(f"pixels must not be negative, got {pixels}")
    (count, _, height, width), device = images.shape, images.device
    tops, lefts = torch.randint(0, 2 * pixels + 1, (2, count, 1)).to(device)
    rows = (tops + torch.arange(height, device=device))[:, :, None]  # (N, H, 1)
    columns = (lefts + torch.arange(width, device=device))[:, None, :]  # (N, 1, W)
    padded = F.pad(images, (pixels,) * 4, value=fill).permute(0, 2, 3, 1)
    windows = padded[torch.arange(count, device=device)[:, None, None], rows, columns]
    return windows.permute(0, 3, 1, 2).contiguous()


def random_flip(images: Tensor) -> Tensor:
    """Mirror each image left to right with probability one half (Sect. 3.1)."""
    check_float_images(images, "(N, C, H, W)")
    flip = (torch.rand(len(images)) < 0.5).to(images.device)
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def rescale(image: Tensor, smallest: int) -> Tensor:
    """Resize one image (C, H, W) so that its shorter side is `smallest` pixels.

    The other side keeps the proportion, rounded. Bilinear; where the image shrinks, each new pixel
    averages all that it covers, as image editors do. float64 is taken too.
    """
    check_float_images(image, "(C, H, W)", double=True)
    sides = image.shape[1:]
    shape = [round(side * positive("smallest", smallest) / min(sides)) for side in sides]
    return F.interpolate(image[None], size=shape, mode="bilinear", antialias=True)[0]


def training_scale(size: int, scale: tuple[int, int] | None) -> tuple[int, int]:
    """Return (S_min, S_max), by default 8/7 of the crop, as 256 is to 224; or raise ValueError."""
    least = positive("size", size)
    low, high = (positive("each end of scale", end) for end in scale or [round(least * 8 / 7)] * 2)
    if not least <= low <= high:
        raise ValueError(f"scale must satisfy crop ({size}) <= low <= high, got {(low, high)}")
    return low, high


def random_scale_crop(images: Iterable[Tensor], size: int, scale: tuple[int, int]) -> Tensor:
    """Rescale each image by its own S and cut a random size x size window of it (Sect. 3.1).

    S is uniform over the whole numbers scale[0] to scale[1], if equal the paper's fixed S; of 256
    to 512 it gives no distribution. Every place of the window is as likely. Takes (N, C, H, W), or
    images (C, H, W) of different sizes; returns (N, C, size, size). Raises as `training_scale`.
    """
    low, high = training_scale(size, scale)
    windows = []
    for image in images:
        check_float_images(image, "(C, H, W)")
        image = rescale(image, int(torch.randint(low, high + 1, ())))
        top, left = (int(torch.randint(0, side - size + 1, ())) for side in image.shape[-2:])
        windows.append(image[:, top : top + size, left : left + size])
    return torch.stack(windows)


class ColourStatistics(NamedTuple):
    """Mean and principal components of the RGB values of a training set."""

    mean: Tensor  #: (3,)
    variances: Tensor  #: (3,), the eigenvalues of the covariance, smallest first
    directions: Tensor  #: (3, 3), its eigenvectors, of length 1, as columns in the same order


def colour_statistics(images: Iterable[Tensor]) -> ColourStatistics:
    """Return mean and principal components of all pixels of images (3, H, W), one or more."""
    count, total, products = 0, torch.zeros(3).double(), torch.zeros(3, 3).double()
    for image in images:
        check_float_images(image, "(3, H, W)")
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

    Krizhevsky et al. (2012), Sect. 4.1: sum of p_i alpha_i lambda_i, with directions p_i, variances
    lambda_i (of pixels from 0 to 1), and alpha_i normal, of deviation `std`, drawn for each image.
    """
    check_float_images(images, "(N, 3, H, W)")
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


@dataclass
class Preprocess:
    """Makes of one image (3, H, W) from 0 to 1, as `read_image` gives it, what the network is fed.

    Plain: `Preprocess(**dataclasses.asdict(p)) == p`. Raises ValueError for fields that clash.
    """

    size: int  #: side in pixels of the square that is cut out of the middle
    resize: int  #: what the shorter side is rescaled to before
    mean: list[float]  #: subtracted, one number a channel
    std: list[float] = field(default_factory=list)  #: divided by, one a channel; by default ones
    grey: bool = False  #: one channel, the luminance
    invert: bool = False  #: 1 becomes black and 0 white, as ink is on paper

    def __post_init__(self) -> None:
        channels = 1 if self.grey else 3
        self.mean = [float(value) for value in self.mean]
        self.std = [float(value) for value in self.std] or [1.0] * channels
        right = len(self.mean) == len(self.std) == channels and min(self.std) > 0
        if not (1 <= self.size <= self.resize and right):
            raise ValueError(f"size <= resize, mean and std of {channels} numbers, std > 0: {self}")

    def __call__(self, image: Tensor) -> Tensor:
        check_float_images(image, "(3, H, W)")
        if self.grey:  # ITU-R 601, as Pillow's mode L
            image = (torch.tensor([[[0.299]], [[0.587]], [[0.114]]]).to(image) * image).sum(0)[None]
        image = rescale(1 - image if self.invert else image, self.resize)
        top, left = ((side - self.size) // 2 for side in image.shape[-2:])
        window = image[:, top : top + self.size, left : left + self.size]
        mean, std = torch.tensor([self.mean, self.std]).to(image)[:, :, None, None]
        return (window - mean) / std
