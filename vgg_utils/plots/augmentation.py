"""Photographs, and the windows that are cut out of them (chapter 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from vgg_utils.plots.style import RED, WIDTH, grid_axes, outline

if TYPE_CHECKING:
    import torch


def photographs(
    images: Sequence[torch.Tensor], titles: Sequence[str] | None = None, *, columns: int = 3
) -> Figure:
    """Draw colour images (3, H, W) in rows as they are, not stretched; beyond 0 and 1 is cut off.

    All have the shape of the first, or about that.
    """
    _, high, wide = images[0].shape
    cell = WIDTH / columns * high / wide + (0.32 if titles else 0.0)
    figure, axes = grid_axes(len(images), columns, cell, titles)
    for axis, image in zip(axes, images, strict=True):
        axis.imshow(image.permute(1, 2, 0).clamp(0, 1).cpu().numpy())
    return figure


def windows_on_photographs(
    images: Sequence[torch.Tensor],
    corners: Sequence[tuple[int, int]],
    size: int,
    titles: Sequence[str],
) -> Figure:
    """Draw images (3, H, W) at a common scale, a window outlined in each, and below what it cuts.

    `corners` gives (top, left) of each window of size x size pixels.
    """
    widths = [image.shape[2] for image in images]
    tallest = max(image.shape[1] for image in images)
    heights = [WIDTH * tallest / sum(widths) + 0.35, WIDTH / len(images) * 0.95]
    figure = plt.figure(figsize=(WIDTH, sum(heights)))
    (top,), (bottom,) = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
    whole = top.subplots(1, len(images), width_ratios=widths, squeeze=False)[0]
    parts = bottom.subplots(1, len(images), squeeze=False)[0]
    for axis, part, image, (row, column), title in zip(
        whole, parts, images, corners, titles, strict=True
    ):
        picture = image.permute(1, 2, 0).clamp(0, 1).cpu().numpy()
        axis.imshow(picture)
        axis.set_ylim(tallest, 0)
        for edge, thickness in (("white", 3.0), (RED, 1.5)):
            outline(axis, (column, row), (size, size), edgecolor=edge, linewidth=thickness)
        axis.set_title(title, fontsize=10, loc="center")
        part.imshow(picture[row : row + size, column : column + size])
        axis.axis("off")
        part.axis("off")
    return figure
