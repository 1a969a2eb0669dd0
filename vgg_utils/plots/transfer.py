"""Error against the number of labelled examples (chapter 8)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, WIDTH


def example_curves(results: Mapping[str, Mapping[str, float]], counts: Sequence[int]) -> Figure:
    """Draw error against labelled examples a class, one line with its deviation for each variant.

    `results` maps a variant's name to `error_2_mean`, `error_2_sd` and so on for all `counts`.
    """
    figure, axis = plt.subplots(figsize=(WIDTH, 3.6))
    styles = zip((GREY, ORANGE, BLUE, GREEN), ("D:", "v-.", "o-", "s--"), strict=True)
    for (name, result), (colour, style) in zip(results.items(), styles, strict=False):
        means, spreads = (
            [result[f"error_{count}_{kind}"] for count in counts] for kind in ("mean", "sd")
        )
        axis.errorbar(counts, means, spreads, fmt=style, color=colour, label=name, capsize=3, ms=5)
    axis.set_xscale("log")
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.minorticks_off()
    axis.set(ylim=(0, None), xlabel="labelled examples of each class")
    axis.set_title("Error on digits the network never met, %")
    figure.legend(loc="outside lower center", ncols=2)
    return figure
