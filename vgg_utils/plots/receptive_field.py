"""What a unit sees: stacked windows, fields on a photograph, and the explorer (lesson 2)."""

import html
import json
import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from PIL import Image

from vgg_utils.explorables import embedded, explorable
from vgg_utils.network_receptive_field import Node
from vgg_utils.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, WIDTH, outline
from vgg_utils.receptive_field import ReceptiveField


def stacked_windows() -> plt.Figure:
    """Draw the 1, 3, 5 and 7 cells aside that one unit sees through three 3x3 layers."""
    figure, axis = plt.subplots(figsize=(WIDTH, 4.9))
    levels = {
        "7x7 pixels,\nthree layers down": BLUE,
        "5x5 units,\ntwo layers down": GREEN,
        "sees 3x3 units,\none layer down": ORANGE,
        "one unit after\nthree 3x3 layers": RED,
    }
    for level, (label, colour) in enumerate(levels.items()):
        side = 7 - 2 * level
        for cells, face, edge in ((side + 2, "white", "#C8C8C8"), (side, colour, "white")):
            right, back = np.mgrid[: cells + 1, : cells + 1] - cells / 2
            x, y = right + 0.45 * back, 0.42 * back + 4.6 * level
            axis.pcolormesh(x, y, 0 * x[1:, 1:], cmap=ListedColormap([face]), zorder=level)
            axis.plot(x, y, x.T, y.T, color=edge, linewidth=0.8, zorder=level)
        right, back = np.mgrid[:2, :2].reshape(2, 4) - 0.5  # the corners, and whence they look
        sides, floors = np.array([[side, side + 2], [level, level - 1]])[..., None]
        x, y = (right + 0.45 * back) * sides, 0.42 * back * sides + 4.6 * floors
        axis.plot(x, y, color=GREY, linewidth=min(level, 1), zorder=level)
        axis.text(7.4, 4.6 * level, label, va="center")
    axis.set(aspect="equal", xlim=(-6.8, 14.6), ylim=(-2.3, 15.0))
    axis.axis("off")
    return figure


def fields_on_image(
    image: Any, fields: Mapping[str, tuple[tuple[float, float], tuple[float, float]]]
) -> plt.Figure:
    """Outline fields on an image; what lies beyond the image is hatched as padding.

    `fields` maps a label to ((left, right), (top, bottom)), two results of `interval` in pixels.
    """
    height, width = np.asarray(image).shape[:2]
    ends = np.array(list(fields.values()))
    low, high = min(0, ends.min()), max(height, width, ends.max())
    figure, axis = plt.subplots(figsize=(WIDTH, WIDTH))
    axis.grid(False)
    if (low, high) != (0, max(height, width)):
        axis.patch.set(facecolor="#F0F0F0", edgecolor="#CDCDCD", hatch="//", linewidth=0)
    axis.imshow(image, extent=(0, width, height, 0), zorder=1)
    colours, note = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY), 0.44 * height
    for (label, (x, y)), colour in zip(fields.items(), cycle(colours), strict=False):
        outline(axis, x, y, colour)
        text: dict[str, Any] = {"xytext": (x[0] + 2, y[0] + 2), "va": "top"}
        if x[1] - x[0] < 0.19 * width:  # too small to write in: a label to the right, and a line
            text = {"xytext": (0.79 * width, note), "va": "center"}
            text["arrowprops"] = {"arrowstyle": "-", "color": "white", "linewidth": 1.5}
            note += 0.11 * height
        box = {"facecolor": "white", "edgecolor": colour, "pad": 1.8}
        axis.annotate(label, (x[1], sum(y) / 2), bbox=box, zorder=3, **text)
    axis.set(xlim=(low - 6, high + 6), ylim=(high + 6, low - 6), xlabel="input pixels")
    axis.set(xticks=[0, width // 2, width], yticks=[0, height // 2, height])
    return figure


def fields_of_nodes(
    image: Any, nodes: Mapping[str, Node], *, at: tuple[float, float] = (0.5, 0.5)
) -> plt.Figure:
    """Outline on an image what one unit of each map sees, by its widest path.

    `image` has the size that the network was followed with; the unit looks nearest to `at`, shares
    of the sides; what sees everything gets all. Raises ValueError as `Node.box` does, and for none.
    """
    if not nodes:
        raise ValueError("no node to draw: give one, such as find(nodes, 'output')")
    sizes, fields = np.asarray(image).shape[:2], {}
    for label, node in nodes.items():
        place = []
        for axis, share, size in zip(node.axes, at, sizes, strict=True):
            unit = round((share * size - (axis.start or 0)) / (axis.jump or 1))
            place.append(min(max(unit, 0), axis.pixels.size // 2 - 1))
        rows, columns = (
            (max(low, 0), min(high, size)) if math.isinf(low) else (low, high)
            for (low, high), size in zip(node.box(place), sizes, strict=True)
        )
        fields[label] = (columns, rows)
    return fields_on_image(image, fields)


def receptive_field_explorer(
    image: Any, chains: Mapping[str, Sequence[Any]], *, credit: str = ""
) -> str:
    """Return a figure as HTML in which a reader walks through layers and units on a photograph.

    `image` is a picture, square or ValueError. `chains` maps a name to the rows of
    `receptive_field`, or to the nodes of `network_receptive_field` for an input of the image's
    size, of which the widest path is shown; ValueError if a node sees other fields along its axes,
    or if no node's units lie evenly apart. `credit` is a line of HTML below. The figure opens two
    thirds down D, or down the first if there is no D, and stays there where no JavaScript runs.
    Readers can also write layers of their own.
    """
    side, width = np.asarray(image).shape[:2]
    if width != side:
        raise ValueError(f"the image must be square, got {side}x{width} pixels")
    steps = {name: _steps(rows, side) for name, rows in chains.items()}
    chain = "D" if "D" in steps else next(iter(steps))
    layer, field, jump, start, _ = steps[chain][2 * len(steps[chain]) // 3]
    figure = {"side": side, "chains": steps, "chain": chain, "layer": layer}
    return explorable(
        "receptive_field",
        figure=html.escape(json.dumps(figure)).replace("&quot;", '"'),
        **{"chain": html.escape(chain), "layer": html.escape(layer), "field": field},
        low=start + round((side / 2 - start) / jump) * jump - field / 2,
        **{"jump": jump, "side": side, "credit": credit},
        photo=embedded(Image.fromarray(np.asarray(image)), "JPEG", quality=80),
    )


def _steps(rows: Sequence[Any], side: int) -> list[list[Any]]:
    """Return name, field, jump, start and units across the map: of a chain, or the widest path."""
    found: list[list[Any]] = []
    if isinstance(rows[0], ReceptiveField):
        for row in rows:
            reach = row.dilation * (row.kernel_size - 1)
            side = (side + 2 * row.padding - reach - 1) // row.stride + 1
            found.append([row.name, row.receptive_field, row.jump, row.start, side])
        return found
    even = {node.name: node for node in rows if all(axis.jump for axis in node.axes)}
    if not even:
        raise ValueError("no node's units lie evenly apart, as the figure's have to")
    for name in filter(even.__contains__, [*even.values()][-1].path):
        axes = even[name].axes
        seen = {(one.field, one.jump, one.start, one.pixels.size // 2) for one in axes}
        if len(seen) > 1:
            raise ValueError(f"{name} sees other fields along its axes: {seen}")
        if not found or seen != {tuple(found[-1][1:])}:  # what changes nothing is left out
            found.append([name, *seen.pop()])
    return found
