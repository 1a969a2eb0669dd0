"""Data sets as tensors in memory, and the paper's augmentation for small images.

The embedded default needs no network: the 1,797 handwritten digits that ship with scikit-learn
(8x8 pixels; the test part of the UCI Optical Recognition of Handwritten Digits data, Alpaydin and
Kaynak, 1998). CIFAR-10 comes through torchvision, which is imported only when it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import TensorDataset


class ImageData(NamedTuple):
    """A training set and a held-out test set, with the names of the classes.

    Each set holds images (N, channels, height, width), float32 with the training set's mean
    subtracted per channel (Sect. 2.1), and labels (N,). `mean` is what was subtracted.
    """

    train: TensorDataset
    test: TensorDataset
    classes: list[str]
    mean: torch.Tensor


def load_digits(size: int = 32, *, test_size: int = 500, seed: int = 0) -> ImageData:
    """Return the embedded handwritten digits, enlarged to size x size, split by class.

    Pixels run from 0 (paper) to 1 (ink) before the mean is subtracted. The split depends on `seed`
    alone and holds each class in the same share on both sides.

    Raises ValueError for a size below 8 or a test set that leaves no digit to train on.
    """
    from sklearn.datasets import load_digits as bundled_digits
    from sklearn.model_selection import train_test_split

    if type(size) is not int or size < 8:
        raise ValueError(f"the digits are 8x8 pixels: size must be at least 8, got {size!r}")
    bundle = bundled_digits()
    if not 10 <= test_size <= len(bundle.images) - 10:
        raise ValueError(
            f"test_size must lie between 10 and {len(bundle.images) - 10}, got {test_size}"
        )
    images = torch.from_numpy(bundle.images).float().unsqueeze(1) / 16.0  # (1797, 1, 8, 8)
    if size > 8:
        images = F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    labels = torch.from_numpy(bundle.target).long()
    train, test = train_test_split(
        np.arange(len(labels)), test_size=test_size, stratify=bundle.target, random_state=seed
    )
    return _centred(
        (images[train], labels[train]), (images[test], labels[test]), [str(d) for d in range(10)]
    )


def load_cifar10(root: str | Path = "data") -> ImageData:
    """Return CIFAR-10 (50,000 and 10,000 colour images, 32x32), downloaded by torchvision once."""
    from torchvision.datasets import CIFAR10

    halves = [CIFAR10(str(root), train=train, download=True) for train in (True, False)]
    arrays = [
        (
            torch.from_numpy(half.data).permute(0, 3, 1, 2).float() / 255.0,
            torch.tensor(half.targets),
        )
        for half in halves
    ]
    return _centred(arrays[0], arrays[1], list(halves[0].classes))


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
