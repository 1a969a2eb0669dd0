"""Boxes on images (chapter 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vgg_utils.plots.style import GREEN, ORANGE, SKY, WIDTH, grid_axes, outline, stretched

if TYPE_CHECKING:
    import torch


def boxes_on_images(
    images: torch.Tensor,
    groups: Mapping[str, Sequence[torch.Tensor]],
    titles: Sequence[str] | None = None,
    *,
    columns: int = 4,
    heat: torch.Tensor | None = None,
) -> Figure:
    """Draw images (N, 1 or 3, side, side) with boxes, in rows.

    `groups` maps a name to the boxes of each image, (N, 4) or (N, several, 4), as centre x, centre
    y, width and height in pixels of the image. Each group has its colour and dashes, named below.
    `heat` (N, rows, columns) is laid over the images, enlarged, from clear (0) to red (its own
    maximum).
    """
    cell = WIDTH / columns + (0.3 if titles else 0.03)
    figure, axes = grid_axes(len(images), columns, cell, titles, below=0.3)
    looks = zip((GREEN, ORANGE, SKY), ("-", "--", ":"), (2.0, 2.0, 1.2), strict=True)
    styles: list[dict[str, Any]] = [
        {"color": colour, "linestyle": dashes, "linewidth": line} for colour, dashes, line in looks
    ]
    side = float(images.shape[-1])
    for index, (axis, image) in enumerate(zip(axes, images, strict=True)):
        frame = (0.0, side, side, 0.0)
        axis.imshow(stretched(image), extent=frame)
        if heat is not None:
            warm = (heat[index] / heat[index].max().clamp(min=1e-6)).cpu().numpy()
            layer: np.ndarray[Any, Any] = np.empty((*warm.shape, 4))
            layer[..., :3], layer[..., 3] = (1.0, 0.1, 0.1), 0.7 * warm  # red, more with more heat
            axis.imshow(layer, extent=frame, interpolation="bilinear")
        for boxes, style in zip(groups.values(), styles, strict=False):
            for x, y, width, tall in boxes[index].reshape(-1, 4).tolist():
                corner, order = (x - width / 2, y - tall / 2), 1 + style["linewidth"]
                outline(axis, corner, (width, tall), zorder=order, **style)
        axis.set(xlim=(0, side), ylim=(side, 0))
    lines = zip(groups, styles, strict=False)
    handles = [Line2D([], [], label=name, **style) for name, style in lines]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure
