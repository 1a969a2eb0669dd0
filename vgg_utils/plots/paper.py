"""The paper's tables: as a descent, and beside their miniatures (lessons 1 and 9)."""

import statistics
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from vgg_utils.plots.style import BLUE, GREY, SERIES, WIDTH, beside, name_rows, rings

Values = Sequence[float | None]  # a row of a table, None where it has a gap


def step_rows(axis: plt.Axes, labels: Sequence[str], values: Sequence[float]) -> None:
    """Draw a descent, from the top: each row's bar runs from the value above to its own."""
    steps, rows = -np.diff(values), np.arange(1, len(values))
    axis.plot(values[0], 0, "o", color=BLUE, markersize=8)
    bars = axis.barh(rows, steps, left=values[1:], height=0.5, color=BLUE)
    changes = [f"{-step:+.1f}".replace("-", "\N{MINUS SIGN}") for step in steps]
    axis.bar_label(bars, changes, padding=5, color=GREY)
    axis.vlines(values[:-1], rows - 1, rows + 0.25, color=GREY, linewidth=1, zorder=0.5)
    for row, value in enumerate(values):
        beside(axis, f"{value:.1f}", value, row, -5 if row else -8)
    name_rows(axis, labels, shade=False)
    axis.set_xlim(min(values) - 0.15 * np.ptp(values), max(values) + 0.15 * np.ptp(values))
    axis.grid(False)
    axis.locator_params(axis="x", nbins=6)


def paper_beside_ours(
    labels: Sequence[str],
    paper: Values,
    ours: Mapping[str, Sequence[Sequence[float] | None]],
    *,
    titles: tuple[str, str],
) -> plt.Figure:
    """Draw a table of the paper on the left and its miniature on the right, one row each.

    `ours` maps the name of a series to the values of the seeds for each label, drawn as rings with
    a filled mark at their mean. None leaves a gap on either side.
    """
    size = (WIDTH, 1.3 + 0.36 * len(labels))
    figure, (left, right) = plt.subplots(1, 2, figsize=size, sharey=True)
    for row, value in enumerate(paper):
        if value is not None:
            left.plot(value, row, "D", color=GREY, markersize=7)
            beside(left, f"{value:.1f}", value, row, 8)
    left.margins(x=0.45)
    left.locator_params(axis="x", nbins=5)
    shift = 0.18 * (1 - len(ours))
    for (name, column), look in zip(ours.items(), SERIES(), strict=False):
        seeds = {row + shift: values for row, values in enumerate(column) if values is not None}
        for place, values in seeds.items():
            rings(right, values, place, alpha=0.8, **look)
        means = [statistics.mean(values) for values in seeds.values()]
        right.plot(means, list(seeds), linestyle="none", markersize=7, label=name, **look)
        shift += 0.36
    for axis, title in zip((left, right), titles, strict=True):
        axis.set_title(title)
        name_rows(axis, labels)
    figure.legend(loc="outside lower right", ncols=len(ours))
    return figure
