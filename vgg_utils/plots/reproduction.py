"""A table of the paper beside its miniature (chapter 7)."""

import statistics
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, WIDTH, beside, name_rows, rings


def paper_beside_ours(
    labels: Sequence[str],
    paper: Sequence[float | None],
    ours: Mapping[str, Sequence[Sequence[float] | None]],
    *,
    titles: tuple[str, str],
) -> Figure:
    """Draw a table of the paper on the left and its miniature on the right, one row each.

    `ours` maps the name of a series to one entry for each label: the values of its seeds, drawn as
    rings, with a filled mark at their mean. None leaves a gap on either side. The right axis is
    logarithmic.
    """
    size = (WIDTH, 1.3 + 0.36 * len(labels))
    figure, (left, right) = plt.subplots(1, 2, figsize=size, sharey=True)
    for row, value in enumerate(paper):
        if value is not None:
            left.plot(value, row, "D", color=GREY, markersize=7)
            beside(left, f"{value:.1f}", value, row, 8)
    for index, (name, column) in enumerate(ours.items()):
        look = {"color": (BLUE, ORANGE, GREEN, PURPLE)[index], "marker": "os^v"[index]}
        shift = 0.36 * (index - (len(ours) - 1) / 2)
        seeds = {row + shift: values for row, values in enumerate(column) if values is not None}
        for place, values in seeds.items():
            rings(right, values, place, alpha=0.8, **look)
        means = [statistics.mean(values) for values in seeds.values()]
        right.plot(means, list(seeds), linestyle="none", markersize=7, label=name, **look)
    left.margins(x=0.35)
    left.locator_params(axis="x", nbins=5)
    right.set_xscale("log")
    right.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    right.xaxis.set_major_formatter("{x:g}")
    right.minorticks_off()
    for axis, title in zip((left, right), titles, strict=True):
        axis.set_title(title)
        name_rows(axis, labels)
    if len(ours) > 1:
        handles = right.get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower right", ncols=len(ours))
    return figure
