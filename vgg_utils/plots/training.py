"""Curves by epoch, and settings with their seeds (chapters 5 and 9)."""

import statistics
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from vgg_utils.plots.style import BLUE, GREY, ORANGE, WIDTH, beside, name_rows, rings


def training_curves(histories: Sequence[Sequence[dict[str, float]]]) -> Figure:
    """Draw losses and test error by epoch, one faint line per run and their mean in bold.

    The axes are logarithmic (the error's is linear below 1%), so that late progress shows too. A
    dotted line marks each drop of the learning rate.
    """
    figure, (losses, errors) = plt.subplots(2, 1, figsize=(WIDTH, 5.4), sharex=True)
    for axis, key, colour, style, label in (
        (losses, "train_loss", BLUE, "-", "training"),
        (losses, "test_loss", ORANGE, "--", "test"),
        (errors, "test_error", ORANGE, "--", "test"),
    ):
        runs = np.array([[row[key] for row in history] for history in histories])
        epochs = np.arange(1, runs.shape[1] + 1)
        if len(runs) > 1:
            axis.plot(epochs, runs.T, color=colour, alpha=0.3, linewidth=1)
        axis.plot(epochs, runs.mean(axis=0), style, color=colour, linewidth=2, label=label)
    losses.set(title="Cross-entropy", yscale="log")
    losses.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    losses.yaxis.set_major_formatter("{x:g}")
    losses.minorticks_off()
    losses.legend()
    errors.set(title="Top-1 error on the test set, %", xlabel="epoch")
    errors.set_yscale("symlog", linthresh=1, linscale=0.5)
    errors.set_yticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
    errors.set_ylim(0, 100)
    for before, after in zip(histories[0], histories[0][1:], strict=False):
        if after["learning_rate"] < before["learning_rate"]:
            for axis in (losses, errors):
                axis.axvline(before["epoch"] + 0.5, color=GREY, linestyle=":")
            place = (before["epoch"] + 0.4, 60)
            errors.annotate("rate / 10", place, color=GREY, ha="right", va="center")
    return figure


def seed_rows(axis: Axes, results: Mapping[str, Sequence[float]]) -> None:
    """Draw one row for each setting: its runs as rings, their mean and standard deviation.

    `results` maps a setting to one value for each seed. The mean is written beside its row.
    """
    for row, values in enumerate(results.values()):
        mean, spread = statistics.mean(values), statistics.stdev(values)
        rings(axis, values, row + 0.2, marker="o", color=GREY)
        axis.errorbar(mean, row - 0.12, xerr=spread, fmt="s", color=BLUE, markersize=6, capsize=4)
        beside(axis, f"{mean:.1f}", max(mean + spread, *values), row, 7)
    name_rows(axis, list(results))
    axis.margins(x=0.2)
    axis.set_xlim(left=0)
