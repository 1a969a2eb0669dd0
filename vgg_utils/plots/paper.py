"""The paper's tables as rows of dots and as a descent (chapter 1)."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes

from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, beside, name_rows


def dot_rows(
    axis: Axes,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    value_format: str | None = None,
) -> None:
    """Draw one row for each label, from the top, with one kind of dot for each series.

    Every series holds one value for each label; None leaves a gap. Within a row the series lie
    below one another, so that equal values stay visible. `value_format`, such as ".1f", writes each
    value beside its dot instead, all in the middle of the row.
    """
    spread = 0.25 if value_format is None else 0.0
    styles = zip((BLUE, ORANGE, GREEN, GREY), "osDv", strict=True)
    for (name, values), (colour, marker) in zip(series.items(), styles, strict=False):
        places = []
        for row, value in enumerate(values):
            if value is not None:
                present = [other for other in series if series[other][row] is not None]
                offset = present.index(name) - (len(present) - 1) / 2
                places.append((value, row + spread * offset))
        x, y = zip(*places, strict=True) if places else ((), ())
        axis.plot(x, y, marker, color=colour, markersize=8, label=name)
        if value_format is not None:
            for value, height in places:
                beside(axis, format(value, value_format), value, height, 8)
    name_rows(axis, labels)
    axis.margins(x=0.1)
    axis.locator_params(axis="x", nbins=6)
    if len(series) > 1:
        spacing: dict[str, Any] = {"borderaxespad": 0.2, "handletextpad": 0.1, "columnspacing": 1.0}
        axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(series), **spacing)


def step_rows(axis: Axes, labels: Sequence[str], values: Sequence[float]) -> None:
    """Draw a descent, from the top: each row's bar runs from the value above to its own."""
    margin = 0.15 * (max(values) - min(values))
    axis.plot(values[0], 0, "o", color=BLUE, markersize=8)
    beside(axis, f"{values[0]:.1f}", values[0], 0, -8)
    for row, (before, after) in enumerate(pairwise(values), start=1):
        axis.barh(row, before - after, left=after, height=0.5, color=BLUE)
        axis.plot([before, before], [row - 1, row + 0.25], color=GREY, linewidth=1, zorder=0.5)
        beside(axis, f"{after:.1f}", after, row, -5)
        change = f"{after - before:+.1f}".replace("-", "\N{MINUS SIGN}")
        beside(axis, change, before, row, 5, color=GREY)
    name_rows(axis, labels, shade=False)
    axis.set_xlim(min(values) - margin, max(values) + margin)
    axis.grid(False)
    axis.locator_params(axis="x", nbins=6)
