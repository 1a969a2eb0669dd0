"""One look for all figures, in either theme: white ground, safe colours, legible on a phone."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.patheffects import withStroke

# Okabe and Ito's palette, safe for colour-blind readers.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#6E6E6E"
SERIES: Any = plt.cycler(color=[BLUE, ORANGE, GREEN, GREY], marker=list("osDv"))
WIDTH = 5.6  # inches
TALL: Any = {"sharex": True, "gridspec_kw": {"hspace": 0.12}}
TIGHT: Any = {"columnspacing": 1, "borderaxespad": 0.2, "handlelength": 1.2, "handletextpad": 0.5}


def use_book_style() -> None:
    """Set matplotlib's defaults for every figure that follows."""
    plt.rc("figure", figsize=(WIDTH, 3.4), dpi=150, facecolor="white")
    plt.rc("figure.constrained_layout", use=True)
    plt.rc("font", size=11)
    plt.rc("axes", titlesize=12, titlelocation="left", grid=True, axisbelow=True)
    plt.rc("axes", prop_cycle=plt.cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY]))
    plt.rc("axes.spines", top=False, right=False)
    plt.rc("grid", color="#E4E4E4")
    plt.rc("legend", frameon=False)
    plt.rc("image", cmap="gray", interpolation="nearest")


def outline(axis: plt.Axes, x: Sequence[float], y: Sequence[float], colour: str) -> None:
    """Draw the sides of a box that runs from x[0] to x[1] and from y[0] to y[1], rimmed white."""
    box = plt.Rectangle((x[0], y[0]), x[1] - x[0], y[1] - y[0], fill=False, zorder=2)
    box.set(edgecolor=colour, linewidth=2, path_effects=[withStroke(linewidth=4, foreground="w")])
    axis.add_patch(box)


def name_rows(axis: plt.Axes, labels: Sequence[str], *, shade: bool = True) -> None:
    """Give an axis one row for each label, from the top; every second one is shaded."""
    axis.set_yticks(range(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    axis.tick_params(left=False)
    axis.grid(False, axis="y")
    for row in range(1, len(labels) if shade else 0, 2):
        axis.axhspan(row - 0.5, row + 0.5, color="#F3F3F3", linewidth=0, zorder=0)


def beside(axis: plt.Axes, text: str, x: float, y: float, points: float, **options: Any) -> None:
    """Write to the right of a place, so many points off; or with fewer than 0 to the left of it."""
    options |= {"textcoords": "offset points", "va": "center"}
    axis.annotate(text, (x, y), (points, 0), ha="right" if points < 0 else "left", **options)


def rings(axis: plt.Axes, values: Sequence[float], y: float, **look: Any) -> None:
    """Draw the values of the seeds in a row as small rings."""
    look |= {"fillstyle": "none", "markersize": 4, "markeredgewidth": 0.8, "linestyle": "none"}
    axis.plot(values, [y] * len(values), **look)
