"""A network as boxes, and what its blocks cost (lesson 4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb

from vgg_utils.configs import LayerSummary
from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, TALL, TIGHT, WIDTH

PLAIN = {"image": GREEN, "max-pool": ORANGE, "fully connected": GREY}
HATCHED = {"1x1 convolution": (PURPLE, "///"), "normalisation": (RED, "xxx")}


def draw_network(rows: Sequence[LayerSummary]) -> plt.Figure:
    """Draw a network for square images from the rows of `summarise`, a box for a layer's output.

    A box is as high and deep as its map and, on another scale, as long as it has channels (but has
    a least length). Fully connected layers are bars, as high as they have outputs, on a third.
    """
    maps = [row for row in rows if len(row.output_shape) == 3 and row.name != "avgpool"]
    bars = [row for row in rows if len(row.output_shape) == 1]
    spaces = {"image": 0.3, "max-pool": 0.13}  # on either side, in inches, as all lengths here
    room = WIDTH - 1.54 - 0.49 * len(bars) - 0.26 * sum(row.name[:4] == "pool" for row in maps)
    longest = room / sum(row.output_shape[0] for row in maps)  # inches per channel
    tallest = 1.75 / maps[0].output_shape[1]  # inches per pixel
    figure = plt.figure(figsize=(WIDTH, 3.55), layout="none")
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(-1.95, 1.6), aspect="equal")
    axis.axis("off")

    columns: dict[str, list[Any]] = {}  # from, to, side and channels of a block
    x, channels = 0.7, 0
    for row in maps:
        kind = _kind(row, channels)
        channels, side, _ = row.output_shape
        length = max(channels * longest, 0.04)
        x += spaces.get(kind, 0)
        _box(axis, x, length, side * tallest, side * tallest, kind)
        block = row.name[4] if row.name.startswith("conv") else row.name
        if row.name.startswith(("input", "conv", "fc")) or row is maps[-1]:
            columns.setdefault(block, [x])[1:] = x + length, side, channels
        x += length + spaces.get(kind, 0)
    for index, row in enumerate(bars, start=-len(bars)):
        x = WIDTH + 0.49 * (index + 0.5)
        share = row.output_shape[0] / max(bar.output_shape[0] for bar in bars)
        _box(axis, x - 0.06, 0.12, 1.1 * share, 0, "fully connected")
        columns[row.name] = [x, x, "", row.output_shape[0]]

    lines = (-1.34, -1.58, -1.82)
    for y, text in zip(lines, ("block", "map side", "channels"), strict=True):
        axis.text(0.02, y, text, va="center", color=GREY)
    x = 0.0
    for block, (begin, end, *numbers) in columns.items():
        x = max((begin + end) / 2, x + 0.4)  # keeps the numbers of thin blocks apart
        for y, number in zip(lines, (block, *numbers), strict=True):
            axis.text(x, y, str(number), ha="center", va="center")
    legend = {kind: box for box, kind in zip(*axis.get_legend_handles_labels(), strict=True)}
    axis.legend(legend.values(), legend, loc="upper right", ncols=2, **TIGHT)
    return figure


def _kind(row: LayerSummary, in_channels: int) -> str:
    """Say what kind of layer a row with a map is."""
    if row.name.startswith("conv"):  # parameters: (kernel_size**2 * in_channels + 1) * channels
        kernel_size = round(((row.parameters / row.output_shape[0] - 1) / in_channels) ** 0.5)
        return f"{kernel_size}x{kernel_size} convolution"
    kinds = {"in": "image", "po": "max-pool", "fc": "fully connected"}
    return kinds.get(row.name[:2], "normalisation")


def _box(axis: plt.Axes, x: float, length: float, height: float, depth: float, kind: str) -> None:
    """Draw a box seen from the front, above and right; its middle axis lies on y = 0."""
    colour, hatch = HATCHED.get(kind, (PLAIN.get(kind, BLUE), ""))
    right, up, back = np.array([[length, 0], [0, height], [0.34 * depth, 0.34 * depth]])
    low = np.array([x, -height / 2]) - back / 2
    for corner, one, other, white in (
        (low, right, up, 0.0),
        (low + up, right, back, 0.45),
        (low + right, up, back, 0.25),
    ):
        corners = np.array([corner, corner + one, corner + one + other, corner + other])
        face = white + (1 - white) * np.array(to_rgb(colour))
        (side,) = axis.fill(*corners.T, facecolor=face, edgecolor="white", linewidth=0.7)
        if not white:
            side.set(hatch=hatch, label=kind)


def cost_by_block(costs: Mapping[str, LayerSummary]) -> plt.Figure:
    """Draw the shares of blocks, each named with the sum of its rows, in the three costs."""
    figure, axes = plt.subplots(3, 1, figsize=(WIDTH, 5.4), sharey=True, **TALL)
    names = [key.removeprefix("block ") for key in costs]
    table = np.array([cost[2:] for cost in costs.values()])  # (blocks, 3)
    sums, shares = table.sum(axis=0), 100 * table / table.sum(axis=0)
    titles = {
        f"Parameters, % of {sums[0] / 1e6:.2f} million": BLUE,
        f"Multiply-accumulates, % of {sums[1] / 1e9:.2f} billion": ORANGE,
        f"Activations, % of {sums[2] / 1e6:.2f} million": GREEN,
    }
    for axis, share, (title, colour) in zip(axes, shares.T, titles.items(), strict=True):
        axis.bar_label(axis.bar(names, share, color=colour), fmt=_percent, padding=1)
        axis.set(ylim=(0, 95), yticks=[])
        axis.set_title(title, y=0.8)
        axis.spines["left"].set_visible(False)
        axis.tick_params(bottom=False)
        axis.grid(False)
    full = [index for index, name in enumerate(names) if name.startswith("fc")]
    together = _percent(shares[full, 1].sum())  # each is too small to read their sum off the bars
    axes[1].text(np.mean(full), 34, f"fully connected:\n{together} together", ha="center")
    axes[2].set_xlabel("block of convolutions, or layer")
    return figure


def _percent(share: float) -> str:
    """Write a share so that a small one does not look like none."""
    if 0 < share < 0.05:
        return "<0.1"
    return f"{share:.1f}" if 0 < share < 1 else f"{share:.0f}"
