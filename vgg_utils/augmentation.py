"""The paper's augmentation of training images, and what is done to test images (Sect. 3.1, 3.2).

Each function changes a batch (N, channels, height, width), every image by its own random draw. The
randomness comes from torch's global generator, so `torch.manual_seed` repeats it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F


def random_shift(images: torch.Tensor, pixels: int, fill: float = 0.0) -> torch.Tensor:
    """Move each image of a batch by its own random offset of at most `pixels` each way.

    The small-image form of the paper's random crop (Sect. 3.1): pad, then cut a window of the
    original size. Shape and dtype stay; what moves in from outside has the value `fill`.
    """
    if pixels < 0:
        raise ValueError(f"pixels must not be negative, got {pixels}")
    count, _, height, width = images.shape
    padded = F.pad(images, (pixels, pixels, pixels, pixels), value=fill)
    offsets = torch.randint(0, 2 * pixels + 1, (2, count))
    rows = offsets[0][:, None] + torch.arange(height)  # (N, H)
    columns = offsets[1][:, None] + torch.arange(width)  # (N, W)
    index = torch.arange(count)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)[
        index.to(images.device),
        rows[:, :, None].to(images.device),
        columns[:, None, :].to(images.device),
    ]
    return moved.permute(0, 3, 1, 2).contiguous()


def random_flip(images: torch.Tensor) -> torch.Tensor:
    """Mirror each image of a batch left to right with probability one half (Sect. 3.1)."""
    flip = (torch.rand(len(images)) < 0.5).to(images.device)
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def rescale(image: torch.Tensor, smallest: int) -> torch.Tensor:
    """Resize one image (C, H, W) so that its smallest side is `smallest` pixels.

    The other side keeps the proportion, rounded to whole pixels. Bilinear; where the image shrinks,
    each new pixel averages all that it covers, as image editors do.
    """
    if smallest < 1:
        raise ValueError(f"the smallest side must be at least 1 pixel, got {smallest}")
    height, width = image.shape[-2:]
    shape = [round(side * smallest / min(height, width)) for side in (height, width)]
    return F.interpolate(image[None], size=shape, mode="bilinear", antialias=True)[0]


def training_scale(size: int, scale: tuple[int, int] | None) -> tuple[int, int]:
    """Return (S_min, S_max) for a crop of `size` pixels; None means 8/7 of it, as 256 is to 224.

    Raises ValueError unless 1 <= size <= S_min <= S_max.
    """
    low, high = scale or (round(size * 8 / 7), round(size * 8 / 7))
    if not 1 <= size <= low <= high:
        raise ValueError(f"scale must satisfy crop ({size}) <= low <= high, got {(low, high)}")
    return low, high


def random_scale_crop(
    images: torch.Tensor | Sequence[torch.Tensor], size: int, scale: tuple[int, int]
) -> torch.Tensor:
    """Rescale each image by its own S and cut a random size x size window of it (Sect. 3.1).

    S is drawn anew for every image, uniformly from the whole numbers scale[0] to scale[1]; the
    paper gives the range, 256 to 512, and not the distribution. With scale[0] = scale[1] this is
    the paper's fixed S. Every place of the window is as likely. Takes (N, C, H, W), or images
    (C, H, W) of different sizes; returns (N, C, size, size).

    Raises ValueError unless 1 <= size <= scale[0] <= scale[1].
    """
    low, high = training_scale(size, scale)
    windows = []
    for image in images:
        image = rescale(image, int(torch.randint(low, high + 1, ())))
        top, left = (int(torch.randint(0, side - size + 1, ())) for side in image.shape[-2:])
        windows.append(image[:, top : top + size, left : left + size])
    return torch.stack(windows)


class ColourStatistics(NamedTuple):
    """Of the RGB values of a training set: mean (3,) and principal components.

    `variances` (3,) are the eigenvalues of the 3x3 covariance, smallest first; `directions` (3, 3)
    holds the eigenvectors of length 1 as columns, in the same order.
    """

    mean: torch.Tensor
    variances: torch.Tensor
    directions: torch.Tensor


def colour_statistics(images: Iterable[torch.Tensor]) -> ColourStatistics:
    """Return mean and principal components of all pixels of images (3, H, W), of any sizes.

    Raises ValueError for images that have not three channels, or none at all.
    """
    count, total, products = 0, torch.zeros(3).double(), torch.zeros(3, 3).double()
    for image in images:
        if image.dim() != 3 or len(image) != 3:
            raise ValueError(f"expected colour images (3, H, W), got {tuple(image.shape)}")
        pixels = image.flatten(1).double()  # (3, H*W)
        count += pixels.shape[1]
        total += pixels.sum(1)
        products += pixels @ pixels.T
    if count == 0:
        raise ValueError("no images to take the colours of")
    mean = total / count
    variances, directions = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    return ColourStatistics(mean.float(), variances.clamp(min=0).float(), directions.float())


def shift_colours(
    images: torch.Tensor, colours: ColourStatistics, std: float = 0.1
) -> torch.Tensor:
    """Add to each image (N, 3, H, W) one random colour along the training set's components.

    Krizhevsky et al. (2012), Sect. 4.1, to whom the paper refers: sum of p_i alpha_i lambda_i, with
    p_i the directions, lambda_i the variances, and alpha_i normal with deviation `std`, drawn once
    for an image. Being variances, the lambda_i grow with the square of the pixels' unit; they are
    meant for pixels from 0 to 1, as everywhere in this module.
    """
    if images.dim() != 4 or images.shape[1] != 3:
        raise ValueError(f"expected colour images (N, 3, H, W), got {tuple(images.shape)}")
    alphas = std * torch.randn(len(images), 3)
    shifts = (alphas * colours.variances) @ colours.directions.T  # (N, 3)
    return images + shifts[:, :, None, None].to(images)


@dataclass(frozen=True)
class TrainTransform:
    """The paper's training augmentation of one image (3, H, W), and the mean subtracted.

    In turn: scale and crop, flip, colour shift with deviation `std`, mean.
    """

    size: int
    scale: tuple[int, int]
    colours: ColourStatistics
    std: float = 0.1

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        batch = random_scale_crop(image[None], self.size, self.scale)
        batch = shift_colours(random_flip(batch), self.colours, self.std)
        return batch[0] - self.colours.mean[:, None, None]


@dataclass(frozen=True)
class EvaluationTransform:
    """One image (3, H, W) rescaled to a smallest side, its centre cut out, the mean subtracted."""

    size: int
    smallest: int
    mean: torch.Tensor

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        image = rescale(image, self.smallest)
        top, left = ((side - self.size) // 2 for side in image.shape[-2:])
        window = image[:, top : top + self.size, left : left + self.size]
        return window - self.mean[:, None, None]
