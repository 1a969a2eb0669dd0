"""The book's figures. One look for all: white ground, dark text, colours told apart by everyone.

Figures keep their white ground in the dark theme, so that they read the same on the site, on Colab
and in print. At 5.6 inches wide their text stays legible on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure

# Okabe and Ito's palette, safe for colour-blind readers.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#6E6E6E"
WIDTH = 5.6  # inches


def use_book_style() -> None:
    """Set matplotlib's defaults for every figure that follows."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.4),
            "figure.dpi": 150,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY]),
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#E4E4E4",
            "legend.frameon": False,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
        }
    )


def image_grid(
    images: torch.Tensor, titles: Sequence[str] | None = None, *, columns: int = 6
) -> Figure:
    """Draw images (N, 1 or 3, H, W) in rows, each stretched to its own range, with short titles."""
    import matplotlib.pyplot as plt

    rows = -(-len(images) // columns)
    height = WIDTH / columns * rows * (1.3 if titles else 1.0)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, height), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for index, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
        low, high = image.min(), image.max()
        picture = ((image - low) / (high - low).clamp(min=1e-6)).permute(1, 2, 0).squeeze(-1)
        axis.imshow(picture.cpu())
        if titles:
            axis.set_title(titles[index], fontsize=10, loc="center")
    return figure


def training_curves(histories: Sequence[Sequence[dict[str, float]]]) -> Figure:
    """Draw the loss and the test error by epoch, one faint line per run and their mean in bold."""
    import matplotlib.pyplot as plt
    import numpy as np

    figure, (losses, errors) = plt.subplots(2, 1, figsize=(WIDTH, 5.0), sharex=True)
    for axis, key, colour, label in (
        (losses, "train_loss", BLUE, "training"),
        (losses, "test_loss", ORANGE, "test"),
        (errors, "test_error", ORANGE, "test"),
    ):
        runs = np.array([[row[key] for row in history] for history in histories])
        epochs = np.arange(1, runs.shape[1] + 1)
        if len(runs) > 1:
            axis.plot(epochs, runs.T, color=colour, alpha=0.25, linewidth=1)
        axis.plot(epochs, runs.mean(axis=0), color=colour, linewidth=2, label=label)
    losses.set_title("Cross-entropy")
    losses.set_ylim(bottom=0)
    losses.legend()
    errors.set_title("Top-1 error on the test set, %")
    errors.set_ylim(bottom=0)
    errors.set_xlabel("epoch")
    return figure
