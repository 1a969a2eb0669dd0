"""A network as boxes, and what its blocks cost (chapter 3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vgg_utils.configs import LayerSummary
from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, WIDTH


def draw_network(rows: Sequence[LayerSummary]) -> Figure:
    """Draw a network from the rows of `summarise`, each box one layer's output.

    A box is as high and as deep as its map and as long as it has channels, but has a least length:
    in the paper's networks up to 128 channels are drawn alike. Lengths have a scale of their own.
    Fully connected layers are bars, as high as they have outputs, on a third scale.
    """
    maps = [row for row in rows if len(row.output_shape) == 3 and row.name != "avgpool"]
    full = [row for row in rows if len(row.output_shape) == 1]
    tallest = 1.75 / max(max(row.output_shape[1:]) for row in maps)  # inches per pixel
    gap, left, column = 0.26, 1.0, 0.49
    blocks = sum(row.name.startswith("pool") for row in maps)
    room = WIDTH - left - 0.34 - gap * blocks - column * len(full) - 0.2
    longest = room / sum(row.output_shape[0] for row in maps)  # inches per channel

    figure = plt.figure(figsize=(WIDTH, 3.55), layout="none")
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, WIDTH), ylim=(-1.95, 1.6), aspect="equal")
    axis.axis("off")

    columns: list[tuple[float, str, str, str]] = []  # where, and three lines of text
    kinds: dict[str, tuple[str, str]] = {}
    x = begin = left
    channels = 0
    for row in maps:
        kind, colour, hatch = _kind(row, channels)
        channels, height, width = row.output_shape
        length = max(channels * longest, 0.04)
        x += gap / 2 if kind == "max-pool" else 0
        _box(axis, x, length, height * tallest, width * tallest, colour, hatch)
        kinds[kind] = (colour, hatch)
        x += length
        side = f"{height}" if height == width else f"{height}x{width}"
        if kind == "image":
            columns.append((x - length / 2, "input", side, f"{channels}"))
            begin = x = x + 0.3
        elif kind == "max-pool":
            begin = x = x + gap / 2
        elif row.name.startswith("conv"):
            columns = [entry for entry in columns if entry[1] != row.name[4]]
            columns.append(((begin + x) / 2, row.name[4], side, f"{channels}"))
    if kind == "max-pool":
        columns.append((x - (length + gap) / 2, row.name, side, f"{channels}"))
    for index, row in enumerate(full):
        (outputs,) = row.output_shape
        centre = WIDTH - column * (len(full) - index - 0.5)
        bar = 1.1 * outputs / max(entry.output_shape[0] for entry in full)
        _box(axis, centre - 0.06, 0.12, bar, 0.0, GREY, "")
        columns.append((centre, row.name, "", f"{outputs}"))
    kinds["fully connected"] = (GREY, "")

    lines = (-1.34, -1.58, -1.82)
    for text, y in zip(("block", "map side", "channels"), lines, strict=True):
        axis.text(0.02, y, text, va="center", color=GREY)
    edge = 0.0
    for centre, *texts in columns:
        centre = max(centre, edge + 0.2)  # keeps the numbers of thin blocks apart
        for text, y in zip(texts, lines, strict=True):
            axis.text(centre, y, text, ha="center", va="center")
        edge = centre + 0.2
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=kind)
        for kind, (colour, hatch) in kinds.items()
    ]
    spacing: dict[str, Any] = {"handlelength": 1.2, "columnspacing": 1.0, "borderaxespad": 0.1}
    axis.legend(handles=handles, loc="upper right", ncols=2, fontsize=11, **spacing)
    return figure


def _kind(row: LayerSummary, in_channels: int) -> tuple[str, str, str]:
    """Return what kind of layer a row is, with its colour and hatch."""
    if row.name == "input":
        return "image", GREEN, ""
    if row.name.startswith("pool"):
        return "max-pool", ORANGE, ""
    if not row.name.startswith("conv"):
        return "normalisation", RED, "xxx"
    # weights and biases are (k * k * in_channels + 1) * channels
    kernel_size = round(((row.parameters // row.output_shape[0] - 1) / in_channels) ** 0.5)
    colour, hatch = (PURPLE, "///") if kernel_size == 1 else (BLUE, "")
    return f"{kernel_size}x{kernel_size} convolution", colour, hatch


def _box(
    axis: Axes, x: float, length: float, height: float, depth: float, colour: str, hatch: str
) -> None:
    """Draw a box seen from the front, above and right; its middle axis lies on y = 0."""
    back = 0.34 * depth  # to the right, and as far up
    x, low = x - back / 2, -height / 2 - back / 2
    right, high = x + length, low + height
    front = [(x, low), (right, low), (right, high), (x, high)]
    top = [(x, high), (right, high), (right + back, high + back), (x + back, high + back)]
    end = [(right, low), (right + back, low + back), (right + back, high + back), (right, high)]
    for corners, white in ((front, 0.0), (top, 0.45), (end, 0.25)):
        face = [value + (1 - value) * white for value in to_rgb(colour)]
        look: dict[str, Any] = {"facecolor": face, "edgecolor": "white", "linewidth": 0.7}
        axis.fill(*zip(*corners, strict=True), hatch=None if white else hatch, **look)


def cost_by_block(costs: Mapping[str, LayerSummary]) -> Figure:
    """Draw each block's share of the parameters, the multiply-accumulates and the activations.

    `costs` maps a block's name to the sum of its rows.
    """
    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 5.2), sharex=True, sharey=True)
    names = [key.removeprefix("block ") for key in costs]
    for axis, field, name, unit, millions, colour in (
        (axes[0], "parameters", "Parameters", "million", 1, BLUE),
        (axes[1], "macs", "Multiply-accumulates", "billion", 1000, ORANGE),
        (axes[2], "activations", "Activations", "million", 1, GREEN),
    ):
        values = [getattr(cost, field) for cost in costs.values()]
        shares = [100 * value / sum(values) for value in values]
        bars = axis.bar(names, shares, color=colour)
        axis.bar_label(bars, [_percent(share) for share in shares], padding=1)
        axis.set_title(f"{name}, % of {sum(values) / millions / 1e6:.2f} {unit}")
        axis.set(ylim=(0, 95), yticks=[])
        axis.spines["left"].set_visible(False)
        axis.tick_params(bottom=False)
        axis.grid(False)
        if field == "macs":  # each is too small to read their sum off the bars
            full = [index for index, key in enumerate(costs) if key.startswith("fc")]
            together = _percent(sum(shares[index] for index in full))
            middle = sum(full) / len(full)
            axis.text(middle, 34, f"fully connected:\n{together} together", ha="center")
    axes[2].set_xlabel("block of convolutions, or layer")
    return figure


def _percent(share: float) -> str:
    """Write a share so that a small one does not look like none."""
    if 0 < share < 0.05:
        return "<0.1"
    return f"{share:.1f}" if 0 < share < 1 else f"{share:.0f}"
