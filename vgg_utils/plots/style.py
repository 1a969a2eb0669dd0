"""One look for all figures: white ground, dark text, colours told apart by everyone.

Figures keep their white ground in the dark theme, so that they read the same on the site, on Colab
and in print. At 5.6 inches wide their text stays legible on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

if TYPE_CHECKING:
    import torch

# Okabe and Ito's palette, safe for colour-blind readers.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#6E6E6E"
WIDTH = 5.6  # inches


def use_book_style() -> None:
    """Set matplotlib's defaults for every figure that follows."""
    colours = plt.cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY])
    plt.rc("figure", figsize=(WIDTH, 3.4), dpi=150, facecolor="white")
    plt.rc("figure.constrained_layout", use=True)
    plt.rc("font", size=11)
    plt.rc(
        "axes", titlesize=12, titlelocation="left", prop_cycle=colours, grid=True, axisbelow=True
    )
    plt.rc("axes.spines", top=False, right=False)
    plt.rc("grid", color="#E4E4E4")
    plt.rc("legend", frameon=False)
    plt.rc("image", cmap="gray", interpolation="nearest")


def image_grid(
    images: torch.Tensor, titles: Sequence[str] | None = None, *, columns: int = 6
) -> Figure:
    """Draw images (N, 1 or 3, H, W) in rows, each stretched to its own range, with short titles."""
    cell = WIDTH / columns * (1.3 if titles else 1.0)
    figure, axes = grid_axes(len(images), columns, cell, titles)
    for axis, image in zip(axes, images, strict=True):
        axis.imshow(stretched(image))
    return figure


def grid_axes(
    count: int, columns: int, cell: float, titles: Sequence[str] | None, below: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure and `count` bare axes in rows, each row `cell` inches high, with titles.

    `below` is left free at the foot, in inches.
    """
    rows = -(-count // columns)
    size = (WIDTH, rows * cell + below)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, title in zip(axes.flat, titles or [], strict=False):
        axis.set_title(title, fontsize=10, loc="center")
    return figure, list(axes.flat)[:count]


def stretched(image: torch.Tensor) -> Any:
    """Return an image (1 or 3, H, W) as imshow takes it, its values stretched to [0, 1]."""
    low, high = image.min(), image.max()
    return ((image - low) / (high - low).clamp(min=1e-6)).permute(1, 2, 0).squeeze(-1).cpu().numpy()


def outline(
    axis: Axes, corner: tuple[float, float], size: tuple[float, float], **edge: Any
) -> None:
    """Draw the four sides of a box; `corner` is its left, upper one on an image."""
    axis.add_patch(Rectangle(corner, *size, fill=False, **edge))


def name_rows(axis: Axes, labels: Sequence[str], *, shade: bool = True) -> None:
    """Give an axis one row for each label, from the top; every second one is shaded."""
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.tick_params(left=False)
    axis.grid(False, axis="y")
    for row in range(1, len(labels) if shade else 0, 2):
        axis.axhspan(row - 0.5, row + 0.5, color="#F3F3F3", linewidth=0, zorder=0)


def beside(axis: Axes, text: str, x: float, y: float, points: float, **options: Any) -> None:
    """Write to the right of a place, so many points off; or with fewer than 0 to the left of it."""
    side = "right" if points < 0 else "left"
    axis.annotate(
        text, (x, y), (points, 0), textcoords="offset points", va="center", ha=side, **options
    )


def rings(axis: Axes, values: Sequence[float], y: float, **look: Any) -> None:
    """Draw values in a row as small rings."""
    ring = {"fillstyle": "none", "markersize": 4, "markeredgewidth": 0.8, "linestyle": "none"}
    axis.plot(values, [y] * len(values), **(look | ring))
