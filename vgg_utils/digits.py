"""The embedded digits, and scenes drawn from them: a digit of known size and place on a canvas.

The digits are the 1,797 handwritten ones that ship with scikit-learn (8x8 pixels; the test part of
the UCI Optical Recognition of Handwritten Digits data, Alpaydin and Kaynak, 1998).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

INK = 0.25  # a pixel at least this dark belongs to a digit's box
Array = npt.NDArray[Any]
Square = tuple[int, int, int]  # top, left and side in pixels


@cache
def split_digits(test_size: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Return digits (1797, 1, 8, 8) from 0 to 1, labels, and indices of halves split by class."""
    from sklearn.datasets import load_digits as bundled_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = bundled_digits(return_X_y=True)
    halves = train_test_split(  # which names a test_size that cannot be
        np.arange(len(labels)), test_size=test_size, stratify=labels, random_state=seed
    )
    images = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / 16.0
    return images, torch.from_numpy(labels).long(), *map(torch.from_numpy, halves)


class DigitScenes(NamedTuple):
    """Digits on a canvas: what is there, where, and how large.

    A box holds every pixel of its digit with ink of at least `INK`; x runs to the right and y down,
    and the pixel in the corner covers 0 to 1.
    """

    images: torch.Tensor  #: (N, 1, size, size), float32, from 0 (paper) to 1 (ink)
    labels: torch.Tensor  #: (N,), from 0 to 9
    boxes: torch.Tensor  #: (N, 4), float32: centre x and y, width, height in pixels, as in App. A.1
    scales: torch.Tensor  #: (N,), the side of the digit's enlarged square in pixels


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

    The digit's side in pixels is uniform from scale[0] to scale[1], its place uniform over the
    canvas; `spread` is the share used of the way from the middle to each edge. A distractor is a
    quarter of some digit, at most half as tall as the smallest digit's square, so none can be read
    as a digit; it touches nothing else, and is left out where there is no room.

    Scene i depends on `seed`, `train` and the settings, not on `count`. Training and test have
    disjoint originals, those of `load_digits()`. Raises ValueError for settings that cannot be.
    """
    low, high = scale
    if not 8 <= low <= high <= size:
        raise ValueError(f"scale must satisfy 8 <= low <= high <= size ({size}), got {scale}")
    if not 0 <= spread <= 1:
        raise ValueError(f"spread must lie between 0 and 1, got {spread}")
    if count < 0 or distractors < 0 or seed < 0:
        raise ValueError("count, distractors and seed must not be negative")
    digits, classes, *halves = split_digits(500, 0)
    half = halves[0 if train else 1]
    originals, labels = digits[half, 0].numpy(), classes[half]
    pieces = originals.reshape(-1, 2, 4, 2, 4).swapaxes(2, 3).reshape(-1, 4, 4)
    pieces = pieces[pieces.mean(axis=(1, 2)) > 0.3]  # enough ink to be seen

    images = np.zeros((count, 1, size, size), dtype=np.float32)
    boxes = np.zeros((count, 4), dtype=np.float32)
    which, sides = np.zeros((2, count), dtype=np.int64)
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
        chosen = pieces[rng.integers(len(pieces), size=distractors)]
        _scatter(images[index, 0], chosen, low, (top, left, side), rng)
    return DigitScenes(
        torch.from_numpy(images), labels[which], torch.from_numpy(boxes), torch.from_numpy(sides)
    )


def _scatter(
    canvas: Array, pieces: Array, smallest: int, digit: Square, rng: np.random.Generator
) -> None:
    """Draw pieces of digits where neither the digit nor another piece lies within a pixel."""
    taken = [digit]
    sides = rng.integers(max(4, smallest // 4), smallest // 2 + 1, size=len(pieces)).tolist()
    places = rng.random((len(pieces), 10, 2))  # ten tries each
    for piece, side, tries in zip(pieces, sides, places, strict=True):
        for row, column in (tries * (len(canvas) - side + 1)).astype(int).tolist():
            if all(
                max(row - top - length, top - row - side) > 0
                or max(column - left - length, left - column - side) > 0
                for top, left, length in taken
            ):
                canvas[row : row + side, column : column + side] = _enlarge(piece, side)
                taken.append((row, column, side))
                break


def _enlarge(square: Array, side: int) -> Array:
    weights = _bilinear(len(square), side)
    return weights @ square @ weights.T


@cache
def _bilinear(before: int, after: int) -> Array:
    """The matrix (after, before) that resizes one axis by linear interpolation of pixel centres."""
    centres = ((np.arange(after) + 0.5) * before / after - 0.5).clip(0, before - 1)
    distance = np.abs(centres[:, None] - np.arange(before))
    return (1 - distance).clip(0).astype(np.float32)
