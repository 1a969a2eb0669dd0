"""Photographs that need no network. CREDITS.txt beside this file says whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from vgg_utils.images import read_image

FOLDER = Path(__file__).parent
CIFAR10_CLASSES = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]


FLOWERS = ["daisy", "dandelion", "rose", "sunflower", "tulip"]


class Thumbnails(NamedTuple):
    """Small photographs, as many of each class, in the order of the classes."""

    images: torch.Tensor  #: (N, 3, side, side), float32, from 0 to 1
    labels: torch.Tensor  #: (N,), counted from 0
    classes: list[str]


def thumbnails() -> Thumbnails:
    """Return forty of CIFAR-10's test photographs, 32x32 pixels: the first four of each class."""
    sheet = read_image(FOLDER / "cifar10.png")  # a column a class
    images = sheet.unflatten(1, (-1, 32)).unflatten(3, (-1, 32)).permute(3, 1, 0, 2, 4)
    labels = torch.arange(len(images)).repeat_interleave(images.shape[1])
    return Thumbnails(images.flatten(0, 1).contiguous(), labels, list(CIFAR10_CLASSES))


def flowers() -> Thumbnails:
    """Return two hundred flowers, 64x64 pixels: forty of each of five kinds."""
    sheet = read_image(FOLDER / "flowers.jpg")  # two rows a class
    images = sheet.unflatten(1, (-1, 64)).unflatten(3, (-1, 64)).permute(1, 3, 0, 2, 4)
    labels = torch.arange(len(FLOWERS)).repeat_interleave(40)
    return Thumbnails(images.flatten(0, 1).contiguous(), labels, list(FLOWERS))


def picture(name: str) -> Path:
    """Return the file of a photograph: "cat", "coffee", or a flower's name such as "rose".

    Raises ValueError for another name, with those there are.
    """
    known = sorted(file.stem for file in FOLDER.glob("*.jpg") if file.stem != "flowers")
    if name not in known:
        raise ValueError(f"unknown picture {name!r}: choose one of {', '.join(known)}")
    return FOLDER / f"{name}.jpg"
