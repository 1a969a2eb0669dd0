"""Error by epoch, by setting and by number of examples (lessons 6, 9 and 11)."""

import statistics
from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise

import matplotlib.pyplot as plt
import numpy as np

from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, TALL, WIDTH, beside, name_rows, rings


def training_curves(histories: Sequence[Sequence[Mapping[str, float]]]) -> plt.Figure:
    """Draw losses and error by epoch, one faint line per run and their mean in bold.

    Histories are what `fit` returns, all of one length, with the error on a validation set or, in
    its stead, the test set: ValueError if there is neither. The axes are logarithmic (the error's
    below 1% linear), so that late progress shows. Dotted lines mark drops of the learning rate.
    """
    part = "validation" if "validation_error" in histories[0][0] else "test"
    if f"{part}_error" not in histories[0][0]:
        raise ValueError("no validation_error in the history's rows: give `fit` a validation set")
    figure, (losses, errors) = plt.subplots(2, 1, figsize=(WIDTH, 5.4), **TALL)
    for axis, key, colour, dashes, label in (
        (losses, "train_loss", BLUE, "-", "training"),
        (losses, f"{part}_loss", ORANGE, "--", part),
        (errors, f"{part}_error", ORANGE, "--", part),
    ):
        runs = np.array([[row[key] for row in history] for history in histories])
        epochs = np.arange(1, runs.shape[1] + 1)
        axis.plot(epochs, runs.T, color=colour, alpha=0.3, linewidth=1)
        axis.plot(epochs, runs.mean(axis=0), dashes, color=colour, linewidth=2, label=label)
    losses.set(title="Cross-entropy", yscale="log")
    losses.yaxis.set(major_locator=plt.LogLocator(subs=(1, 3)), major_formatter="{x:g}")
    losses.minorticks_off()
    losses.legend()
    errors.set_yscale("symlog", linthresh=1, linscale=0.5)
    errors.set_yticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
    errors.set(title=f"Top-1 error on the {part} set, %", xlabel="epoch", ylim=(0, 100))
    for before, after in pairwise(histories[0]):
        if after["learning_rate"] < before["learning_rate"]:
            for axis in (losses, errors):
                axis.axvline(before["epoch"] + 0.5, color=GREY, linestyle=":")
            beside(errors, "rate / 10", before["epoch"] + 0.4, 60, -1, color=GREY)
    return figure


def seed_rows(axis: plt.Axes, results: Mapping[str, Sequence[float]]) -> None:
    """Draw a row for each setting: its seeds' values as rings, their mean and its deviation."""
    for row, values in enumerate(results.values()):
        mean, spread = statistics.mean(values), statistics.stdev(values)
        rings(axis, values, row + 0.2, marker="o", color=GREY)
        axis.errorbar(mean, row - 0.12, xerr=spread, fmt="s", color=BLUE, markersize=6, capsize=4)
        beside(axis, f"{mean:.1f}", max(mean + spread, *values), row, 7)
    name_rows(axis, list(results))
    axis.margins(x=0.2)
    axis.set_xlim(left=0)


def example_curves(
    results: Mapping[str, Mapping[str, float]], counts: Sequence[int], title: str
) -> plt.Figure:
    """Draw error against labelled examples a class, one line with its deviation for each variant.

    `results` maps a variant's name to `error_2_mean`, `error_2_sd` and so on for all `counts`.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
    looks = zip((GREY, ORANGE, "black", BLUE, GREEN), ("D:", "v-.", "^-", "o-", "s--"), strict=True)
    for (name, result), (colour, fmt) in zip(results.items(), cycle(looks), strict=False):
        means, spreads = ([result[f"error_{n}_{kind}"] for n in counts] for kind in ("mean", "sd"))
        axis.errorbar(counts, means, spreads, fmt=fmt, color=colour, label=name, capsize=3, ms=5)
    axis.set(xscale="log", ylim=(0, None), xlabel="labelled examples of each class")
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.minorticks_off()
    axis.set_title(title)
    figure.legend(loc="outside lower center", ncols=2)
    return figure
